//! All playbooks of a deployment: those of the configuration, which are read-only here, and those made by API, which are stored.
//!
//! A change is durable before it holds. Each playbook is a subscription of its own; [`Book`] keeps store, sink and fan-out in step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::{Map, Value};

use super::check::{Mistake, Scope};
use super::run::{Run, RunLog, State};
use super::sink::Steps;
use super::{Playbook, check, written};
use crate::clock::{Clock, Timestamp};
use crate::fanout::subscription::Origin;
use crate::fanout::{Fanout, Subscriber, Subscription, SubscriptionError};
use crate::inbox::{LogError, Position};
use crate::platform::{Component, Components};

/// Playbooks made by API at most: each has a worker of its own.
const MOST: usize = 200;
/// What is said of the name of another playbook.
pub const TAKEN: &str = "there is a playbook of that name already";
/// Why a run ended whose playbook was deleted.
const DELETED: &str = "its playbook was deleted";
/// Runs looked at in one go, when those of a deleted playbook are ended.
const PORTION: usize = 256;

/// Where a playbook comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The configuration: read-only.
    Configuration,
    /// The API.
    Api,
}

/// One playbook with what is to be known about it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// It.
    pub playbook: Arc<Playbook>,
    /// Where from.
    pub source: Source,
    /// When it was written last; of the API's only.
    pub updated_at: Option<Timestamp>,
    /// What no longer fits the configuration. Its runs stop there and say why.
    pub mistakes: Vec<Mistake>,
}

/// As it is stored.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Stored {
    /// In its form as JSON.
    pub written: Value,
    /// When it was written last.
    pub updated_at: Timestamp,
}

/// A stored playbook that does not stand.
#[derive(Debug, Clone)]
pub enum Behind {
    /// Its name is another's.
    Playbook(Playbook),
    /// It cannot be read.
    Unreadable,
}

/// All playbooks made by API, as far as they can be read.
#[derive(Debug, Default)]
pub struct Shelved {
    /// By name.
    pub playbooks: Vec<(String, Stored)>,
    /// Names of those that cannot be read, and why.
    pub unread: Vec<(String, String)>,
    /// Whether these are all: `false` where damage hides even the names of those that it has made unreadable.
    pub is_whole: bool,
}

/// Where playbooks made by API are kept.
#[async_trait::async_trait]
pub trait PlaybookShelf: Send + Sync {
    /// All of them.
    async fn playbooks(&self) -> Result<Shelved, LogError>;
    /// Writes one, new or changed, durable when it returns.
    async fn put_playbook(&self, name: &str, stored: &Stored) -> Result<(), LogError>;
    /// Forgets one.
    async fn remove_playbook(&self, name: &str) -> Result<(), LogError>;
}

/// Why a playbook was not made, changed or deleted.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// There is none of that name.
    #[error("there is no playbook of that name")]
    Unknown,
    /// The name is another's.
    #[error("{0}")]
    Taken(&'static str),
    /// It comes from the configuration.
    #[error("this playbook comes from the configuration")]
    ReadOnly,
    /// Everything that is wrong with it.
    #[error("the playbook has mistakes")]
    Invalid(Vec<Mistake>),
    /// The store does not answer.
    #[error("{0}")]
    Store(String),
}

impl From<LogError> for BookError {
    fn from(error: LogError) -> Self {
        Self::Store(error.to_string())
    }
}

/// Whether a playbook may take the place of one of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    /// It must be new.
    Create,
    /// It may replace one.
    Replace,
}

/// What playbooks are held against, and who works with them.
pub struct Doors {
    /// Where those of the API are kept.
    pub shelf: Arc<dyn PlaybookShelf>,
    /// Runs of all.
    pub runs: Arc<dyn RunLog>,
    /// Their sink.
    pub steps: Arc<Steps>,
    /// Their subscriptions.
    pub fanout: Arc<Fanout>,
    /// The components of this deployment.
    pub components: Components,
    /// Names of its robots.
    pub robots: Vec<String>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// All of them.
pub struct Book {
    entries: RwLock<BTreeMap<String, Arc<Entry>>>,
    /// [`Standing::unread`].
    unread: RwLock<BTreeMap<String, String>>,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
    doors: Doors,
}

/// What there is at start.
#[derive(Debug, Default)]
pub struct Standing {
    /// Those that stand: the configuration's, and of the stored ones those whose names are free.
    pub entries: BTreeMap<String, Arc<Entry>>,
    /// Names of stored ones that cannot be read, and why: nothing runs for them, and what waits for them is held until they are written again or deleted.
    pub unread: BTreeMap<String, String>,
}

/// What there is at start. `subscriptions` are those of the configuration and the stored ones: a playbook's among the latter tells of one that damage hides.
///
/// # Errors
/// The store's, where another try may mend it.
pub async fn standing(
    shelf: &dyn PlaybookShelf,
    of_file: &[Playbook],
    subscriptions: &[&Subscription],
    scope: &Scope<'_>,
) -> Result<Standing, LogError> {
    let own =
        |one: &Playbook| Entry { playbook: Arc::new(one.clone()), source: Source::Configuration, updated_at: None, mistakes: Vec::new() };
    let mut entries: BTreeMap<_, _> = of_file.iter().map(|one| (one.name.clone(), Arc::new(own(one)))).collect();
    let is_playbook = |one: &&&Subscription| one.origin == Origin::Playbook;
    let taken: BTreeSet<&str> = subscriptions.iter().filter(|one| !is_playbook(one)).map(|one| one.name.as_str()).collect();
    let shelved = shelf.playbooks().await?;
    let mut unread: BTreeMap<String, String> = shelved.unread.into_iter().collect();
    for (name, stored) in shelved.playbooks {
        if entries.contains_key(&name) || taken.contains(name.as_str()) {
            tracing::warn!(
                playbook = name,
                "a stored playbook stands back: the configuration or a subscription has its name; name that another, or delete the stored one for good \
                 with: yizhan playbooks delete NAME (what stands under the name stays)"
            );
            continue;
        }
        let playbook = match written::reread(&stored.written) {
            Ok(playbook) => playbook,
            Err(mistakes) => {
                let told = mistakes.iter().map(|Mistake { at, reason }| format!("{at} {reason}")).collect::<Vec<_>>();
                unread.insert(name, told.join("; "));
                continue;
            }
        };
        let mistakes = check::mistakes(&playbook, scope);
        for Mistake { at, reason } in &mistakes {
            tracing::warn!(playbook = name, at, reason, "a stored playbook no longer fits the configuration");
        }
        let updated_at = Some(stored.updated_at);
        entries.insert(name, Arc::new(Entry { playbook: Arc::new(playbook), source: Source::Api, updated_at, mistakes }));
    }
    if !shelved.is_whole {
        // Each of these may be it. One that has left the configuration is told so a little late, and nothing of what waits for it is lost.
        for one in subscriptions.iter().filter(is_playbook).filter(|one| !entries.contains_key(&one.name)) {
            unread.entry(one.name.clone()).or_insert_with(|| String::from("the log is damaged where it may have been"));
        }
    }
    unread.retain(|name, _| !entries.contains_key(name) && !taken.contains(name.as_str()));
    for (name, why) in &unread {
        tracing::error!(
            playbook = name,
            why,
            "a stored playbook cannot be read: it is disabled, and what comes for it is held; write it again (yizhan playbooks put), or delete it, which \
             cancels what waits (yizhan playbooks delete NAME)"
        );
    }
    Ok(Standing { entries, unread })
}

impl Book {
    /// Of those that stand ([`standing`]); sink and fan-out have them already.
    #[must_use]
    pub fn new(standing: Standing, doors: Doors) -> Self {
        let Standing { entries, unread } = standing;
        Self { entries: RwLock::new(entries), unread: RwLock::new(unread), changing: tokio::sync::Mutex::new(()), doors }
    }

    /// Those that cannot be read, by name, and why.
    #[must_use]
    pub fn unread(&self) -> BTreeMap<String, String> {
        self.unread.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_unread(&self, name: &str) -> bool {
        self.unread.read().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }

    fn forget_unread(&self, name: &str) {
        self.unread.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// All of them, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// One.
    #[must_use]
    pub fn one(&self, name: &str) -> Option<Arc<Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Reads a playbook and holds it against this deployment. Nothing is written.
    ///
    /// # Errors
    /// [`BookError::Invalid`] with every mistake.
    pub fn read(&self, source: &Map<String, Value>) -> Result<Playbook, BookError> {
        let components: Vec<&dyn Component> = self.doors.components.iter().map(AsRef::as_ref).collect();
        let scope = Scope { components: &components, robots: &self.doors.robots };
        written::read(source, &scope).map_err(BookError::Invalid)
    }

    /// Makes or changes one. Runs under way keep the steps that they began with.
    ///
    /// # Errors
    /// The name is another's or the configuration's, or the store does not answer.
    pub async fn write(self: &Arc<Self>, playbook: Playbook, writing: Writing) -> Result<Arc<Entry>, BookError> {
        let book = Arc::clone(self);
        through(async move { book.written(playbook, writing).await }).await
    }

    async fn written(&self, playbook: Playbook, writing: Writing) -> Result<Arc<Entry>, BookError> {
        let _alone = self.changing.lock().await;
        let Doors { shelf, steps, fanout, clock, .. } = &self.doors;
        let name = playbook.name.clone();
        let known = self.one(&name);
        let is_unread = self.is_unread(&name);
        match known.as_ref().map(|known| known.source) {
            Some(Source::Configuration) => return Err(BookError::ReadOnly),
            Some(Source::Api) if writing == Writing::Create => return Err(BookError::Taken(TAKEN)),
            None if is_unread && writing == Writing::Create => return Err(BookError::Taken(TAKEN)),
            Some(Source::Api) => {}
            // What was held for it is carried on by this one.
            None if is_unread => {}
            None if fanout.subscription(&name).is_some() => return Err(BookError::Taken("there is a subscription of that name")),
            None if self.all().iter().filter(|entry| entry.source == Source::Api).count() >= MOST => {
                return Err(BookError::Taken("there are as many playbooks as there may be; delete one"));
            }
            None => {}
        }
        let now = clock.now();
        shelf.put_playbook(&name, &Stored { written: written::write(&playbook), updated_at: now }).await?;
        steps.put(playbook.clone());
        let subscription = playbook.subscription(now);
        if let Err(error) = fanout.enlist(Subscriber { subscription, sink: steps.clone() }).await {
            if known.is_none() && !is_unread {
                steps.remove(&name);
                shelf.remove_playbook(&name).await?;
            }
            return Err(match error {
                SubscriptionError::Taken => BookError::Taken("there is a subscription of that name"),
                error => BookError::Store(error.to_string()),
            });
        }
        let entry = Arc::new(Entry { playbook: Arc::new(playbook), source: Source::Api, updated_at: Some(now), mistakes: Vec::new() });
        self.forget_unread(&name);
        self.entries.write().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::clone(&entry));
        Ok(entry)
    }

    /// Deletes one made by API: what waits for it is cancelled, and its runs end where they stand. Returns how many deliveries were cancelled.
    ///
    /// # Errors
    /// It is unknown or the configuration's, or the store does not answer.
    pub async fn delete(self: &Arc<Self>, name: &str) -> Result<u64, BookError> {
        let (book, name) = (Arc::clone(self), name.to_owned());
        through(async move { book.deleted(&name).await }).await
    }

    async fn deleted(&self, name: &str) -> Result<u64, BookError> {
        let _alone = self.changing.lock().await;
        let entry = self.one(name).ok_or(BookError::Unknown)?;
        if entry.source == Source::Configuration {
            return Err(BookError::ReadOnly);
        }
        self.doors.shelf.remove_playbook(name).await?;
        let cancelled = self.dismissed(name).await?;
        self.doors.steps.remove(name);
        self.end_runs(|run| run.playbook == name, State::Cancelled, DELETED).await?;
        self.entries.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok(cancelled)
    }

    /// Lets its subscription go, and cancels what waits for it.
    async fn dismissed(&self, name: &str) -> Result<u64, BookError> {
        match self.doors.fanout.dismiss(name).await {
            // An earlier try came that far.
            Err(SubscriptionError::Unknown) => Ok(0),
            dismissed => dismissed.map_err(|error| BookError::Store(error.to_string())),
        }
    }

    /// The stored playbook of a name where it does not stand ([`standing`]). `None`: there is no such one.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn behind(&self, name: &str) -> Result<Option<Behind>, BookError> {
        if self.one(name).is_some_and(|entry| entry.source == Source::Api) {
            return Ok(None);
        }
        let shelved = self.doors.shelf.playbooks().await?;
        if self.is_unread(name) || shelved.unread.iter().any(|(unread, _)| unread == name) {
            return Ok(Some(Behind::Unreadable));
        }
        let stored = shelved.playbooks.into_iter().find(|(stored, _)| stored == name);
        Ok(stored.map(|(_, stored)| written::reread(&stored.written).map_or(Behind::Unreadable, Behind::Playbook)))
    }

    /// Deletes the stored one of a name where it does not stand. What stands under the name stays as it is, with its runs.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn delete_behind(self: &Arc<Self>, name: &str) -> Result<(), BookError> {
        let (book, name) = (Arc::clone(self), name.to_owned());
        through(async move {
            let _alone = book.changing.lock().await;
            match book.one(&name).map(|entry| entry.source) {
                // It was written again meanwhile: as if that had come after.
                Some(Source::Api) => return Ok(()),
                Some(Source::Configuration) => book.doors.shelf.remove_playbook(&name).await?,
                None => {
                    book.doors.shelf.remove_playbook(&name).await?;
                    if book.is_unread(&name) {
                        book.dismissed(&name).await?;
                    }
                    book.end_runs(|run| run.playbook == name, State::Cancelled, DELETED).await?;
                    book.forget_unread(&name);
                }
            }
            Ok(())
        })
        .await
    }

    /// Runs under way whose playbook has left the configuration stop, and say so: nobody carries them on. Should it come back, a retry of
    /// their deliveries takes them up again. One that waits for a person may wait for the playbook as well, but not if nothing became of it
    /// since `before`. Returns how many.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn end_forsaken(&self, before: Timestamp) -> Result<u64, LogError> {
        let _alone = self.changing.lock().await;
        let is_forsaken = |run: &Run| {
            let is_gone = self.one(&run.playbook).is_none() && !self.is_unread(&run.playbook);
            is_gone && (run.state != State::WaitingForApproval || run.updated_at < before)
        };
        self.end_runs(is_forsaken, State::Failed, "its playbook is not in the configuration any more").await
    }

    async fn end_runs(&self, which: impl Fn(&Run) -> bool + Send, state: State, reason: &str) -> Result<u64, LogError> {
        let (mut ended, mut after) = (0, None::<String>);
        loop {
            let some = self.doors.runs.runs(after.as_deref(), PORTION).await?;
            let ids: Vec<String> = some.items.into_iter().filter(|run| run.state.is_open() && which(run)).map(|run| run.id).collect();
            for id in ids {
                // One that moves on meanwhile notices by itself that its playbook is gone.
                if let Some((version, mut run)) = self.doors.runs.run(&id).await?.filter(|(_, run)| run.state.is_open()) {
                    (run.state, run.reason) = (state, Some(reason.to_owned()));
                    run.updated_at = self.doors.clock.now();
                    ended += u64::from(self.doors.runs.save_run(version, &run).await?);
                }
            }
            match some.next {
                Some(Position(last)) => after = Some(last),
                None => return Ok(ended),
            }
        }
    }
}

/// Carries a change through, also where whoever asked for it goes away meanwhile.
async fn through<T: Send + 'static>(change: impl Future<Output = Result<T, BookError>> + Send + 'static) -> Result<T, BookError> {
    tokio::spawn(change).await.unwrap_or_else(|error| Err(BookError::Store(format!("the change was interrupted: {error}"))))
}
