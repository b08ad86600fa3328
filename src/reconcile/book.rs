//! What was submitted and waits for its end: noted before it is sent, known once it was accepted, forgotten once its end is an event.
//!
//! The book listens at the desk ([`Observer`]), so it hears of every submission whoever asked for it. It is held in memory, since what waits
//! is little, and written durably first. A submission noted and never confirmed (the process died, or the outcome stayed unknown) is asked
//! for like any other: the vendor says what became of it, unless what it shows may be the verdict on an earlier one ([`Submission::seen_in_audit`]).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::watch;

use super::ledger::Ledger;
use crate::clock::Timestamp;
use crate::inbox::fact::agree;
use crate::inbox::{Inbox, LogError};
use crate::operations::{Observed, Observer, Tried};
use crate::platform::looks::{ProfileLook, Stand};
use crate::platform::loose;
use crate::platform::operation::Params;
use crate::platform::{Component, Components, LONGEST_APP_ID};

/// What was submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Awaited {
    /// The end of an audit.
    Audit,
    /// The end of a build.
    Build,
    /// The end of the audit of a changed profile.
    Profile,
}

/// A submission whose end is awaited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// What is awaited.
    pub awaited: Awaited,
    /// The version, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The vendor's number of the package, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_id: Option<String>,
    /// The vendor's number of the audit, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_id: Option<String>,
    /// What the profile shows once the change is in force.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub wanted: Map<String, Value>,
    /// When it was sent. Its end is not before this.
    pub submitted_at: Timestamp,
    /// It [was in doubt](Place::is_in_doubt), and its audit was seen to go on since it was sent: it took place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seen_in_audit: bool,
    /// How often the vendor was asked.
    #[serde(default)]
    pub looks: u32,
    /// When it is asked next.
    pub next_look_at: Timestamp,
}

impl Submission {
    /// Whether both await the end of an audit, and that may be the same one: nothing that both tell of its package differs.
    pub(super) fn may_be(&self, other: &Self) -> bool {
        (self.awaited, other.awaited) == (Awaited::Audit, Awaited::Audit)
            && agree(&self.package_id, &other.package_id)
            && agree(&self.version, &other.version)
    }
}

/// The place of a submission: a later one in the same place takes over from it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// App id.
    pub authorizer: String,
    /// What it is, and which where there may be several.
    pub slot: String,
}

impl Place {
    /// Whether nobody knows yet that its submission took place: it was sent and never answered.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.slot.strip_suffix(UNANSWERED) == Some(AUDIT)
    }
}

type Open = BTreeMap<Place, Submission>;

/// Behind the slot of a submission that was sent and is not answered yet.
const UNANSWERED: &str = "?";

/// The slot of a submission where a vendor audits one package at a time.
const AUDIT: &str = "audit";

/// The submissions of all components.
pub struct Book {
    ledger: Arc<dyn Ledger>,
    components: Components,
    /// How long after its submission a package is first asked for.
    after: Duration,
    open: Mutex<HashMap<String, Open>>,
    /// One writer at a time, so that memory and disk agree.
    writing: tokio::sync::Mutex<()>,
    /// Counts what was noted: the workers look at their times again.
    news: watch::Sender<u64>,
    /// Whom reconciling asks about at this moment: it tells what it finds itself.
    asking: Mutex<HashSet<(String, String)>>,
    /// By component and authorizer: a submission of which nobody knows what came, while a later one stands in its place. It comes back when that one
    /// certainly did not take place, as a vendor refuses one while another is in audit.
    in_doubt: Mutex<HashMap<(String, String), Submission>>,
    /// Takes what is overheard. Weak: the inbox's handlers lead back here.
    inbox: OnceLock<Weak<Inbox>>,
}

impl Book {
    /// The book of these components, as the ledger has it.
    ///
    /// # Errors
    /// The store's.
    pub async fn open(ledger: Arc<dyn Ledger>, components: Components, after: Duration) -> Result<Arc<Self>, LogError> {
        let mut open = HashMap::new();
        for component in components.iter() {
            let name = component.name();
            open.insert(name.to_owned(), ledger.submissions(name).await?.into_iter().collect());
        }
        let (open, writing, news) = (Mutex::new(open), tokio::sync::Mutex::default(), watch::Sender::new(0));
        let (asking, in_doubt, inbox) = (Mutex::default(), Mutex::default(), OnceLock::new());
        Ok(Arc::new(Self { ledger, components, after, open, writing, news, asking, in_doubt, inbox }))
    }

    /// From now on what others are answered is told to that inbox too, where it shows an end that is awaited.
    pub fn tells(&self, inbox: &Arc<Inbox>) {
        drop(self.inbox.set(Arc::downgrade(inbox)));
    }

    /// Who takes what is overheard, unless reconciling asks about that authorizer itself.
    pub(super) fn listener(&self, component: &str, authorizer: &str) -> Option<Arc<Inbox>> {
        let whom = (component.to_owned(), authorizer.to_owned());
        if self.asking.lock().unwrap_or_else(PoisonError::into_inner).contains(&whom) {
            return None;
        }
        self.inbox.get()?.upgrade()
    }

    /// Reconciling asks about that authorizer until the guard is dropped.
    pub(super) fn asks(&self, component: &str, authorizer: &str) -> Asking<'_> {
        let whom = (component.to_owned(), authorizer.to_owned());
        self.asking.lock().unwrap_or_else(PoisonError::into_inner).insert(whom.clone());
        Asking { book: self, whom }
    }

    /// Everything of that authorizer whose end is awaited and that was certainly accepted.
    pub(super) fn accepted(&self, component: &str, authorizer: &str) -> Vec<(Place, Submission)> {
        let from = Place { authorizer: authorizer.to_owned(), slot: String::new() };
        let held = self.held();
        let Some(open) = held.get(component) else { return Vec::new() };
        let of = open.range(from..).take_while(|(place, _)| place.authorizer == authorizer);
        of.filter(|(place, _)| !place.is_in_doubt()).map(|(place, submission)| (place.clone(), submission.clone())).collect()
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// News of everything that is noted.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// How many wait, of the authorizers that count.
    #[must_use]
    pub fn waiting(&self, component: &str, counts: impl Fn(&str) -> bool) -> usize {
        self.held().get(component).map_or(0, |open| open.keys().filter(|place| counts(&place.authorizer)).count())
    }

    /// When the first of them is due. One that is put off beyond `furthest` was by a clock that was ahead, and is due.
    #[must_use]
    pub fn next(&self, component: &str, now: Timestamp, furthest: Timestamp) -> Option<Timestamp> {
        let due_at = |submission: &Submission| if submission.next_look_at > furthest { now } else { submission.next_look_at };
        self.held().get(component)?.values().map(due_at).min()
    }

    /// Those that are due by then or put off beyond `furthest`, those that waited longest first.
    #[must_use]
    pub fn due(&self, component: &str, by: Timestamp, furthest: Timestamp, limit: usize) -> Vec<(Place, Submission)> {
        let held = self.held();
        let is_due = |submission: &Submission| submission.next_look_at <= by || submission.next_look_at > furthest;
        let open = held.get(component).into_iter().flatten().filter(|(_, submission)| is_due(submission));
        let mut due: Vec<_> = open.map(|(place, submission)| (place.clone(), submission.clone())).collect();
        drop(held);
        due.sort_by_key(|(_, submission)| submission.next_look_at);
        due.truncate(limit);
        due
    }

    /// Whether anything of that authorizer waits.
    #[must_use]
    pub fn awaits(&self, component: &str, authorizer: &str) -> bool {
        let from = Place { authorizer: authorizer.to_owned(), slot: String::new() };
        self.held().get(component).is_some_and(|open| open.range(from..).next().is_some_and(|(place, _)| place.authorizer == authorizer))
    }

    /// Puts another submission into the place of `was`, or none; unless somebody has submitted again meanwhile.
    ///
    /// # Errors
    /// The store's.
    pub async fn replace(&self, component: &str, place: &Place, was: &Submission, by: Option<Submission>) -> Result<(), LogError> {
        let _alone = self.writing.lock().await;
        let stands = self.held().get(component).and_then(|open| open.get(place)).is_some_and(|held| held.submitted_at == was.submitted_at);
        if !stands {
            return Ok(());
        }
        self.write(component, vec![(place.clone(), by)]).await
    }

    /// Notes a submission that was learnt of elsewhere, where nothing of that authorizer waits.
    ///
    /// # Errors
    /// The store's.
    pub async fn adopt(&self, component: &dyn Component, authorizer: &str, submission: Submission) -> Result<(), LogError> {
        let _alone = self.writing.lock().await;
        if self.awaits(component.name(), authorizer) {
            return Ok(());
        }
        let place = place(component, authorizer, &submission);
        self.write(component.name(), vec![(place, Some(submission))]).await
    }

    /// Puts that into the place of what is in doubt of an authorizer, and gives back what was.
    fn doubt(&self, component: &str, authorizer: &str, submission: Option<Submission>) -> Option<Submission> {
        let whom = (component.to_owned(), authorizer.to_owned());
        let mut in_doubt = self.in_doubt.lock().unwrap_or_else(PoisonError::into_inner);
        match submission {
            Some(submission) => in_doubt.insert(whom, submission),
            None => in_doubt.remove(&whom),
        }
    }

    /// Durable first, then in memory.
    async fn write(&self, component: &str, changes: Vec<(Place, Option<Submission>)>) -> Result<(), LogError> {
        self.ledger.write(component, &changes).await?;
        let mut held = self.held();
        let open = held.entry(component.to_owned()).or_default();
        for (place, submission) in changes {
            match submission {
                Some(submission) => drop(open.insert(place, submission)),
                None => drop(open.remove(&place)),
            }
        }
        drop(held);
        self.news.send_modify(|noted| *noted = noted.wrapping_add(1));
        Ok(())
    }

    fn fresh(&self, awaited: Awaited, params: &Params, at: Timestamp) -> Submission {
        let first = at.checked_add(self.after).unwrap_or(Timestamp::MAX);
        let (version, package_id) = (params.text("version"), params.text("package_id"));
        let (wanted, seen_in_audit) = (Map::new(), false);
        Submission { awaited, version, package_id, audit_id: None, wanted, submitted_at: at, seen_in_audit, looks: 0, next_look_at: first }
    }

    async fn submitted(&self, component: &dyn Component, authorizer: &str, awaited: Awaited, done: Observed<'_>) -> Result<(), LogError> {
        let _alone = self.writing.lock().await;
        let name = component.name();
        let mut submission = self.fresh(awaited, done.params, done.at);
        let told =
            |member: &str| done.result.as_object().and_then(|result| loose::text_of(result, &[member])).map(|text| text.into_owned());
        submission.version = told("version").or(submission.version);
        submission.package_id = told("package_id").or(submission.package_id);
        submission.audit_id = told("audit_id");
        let mut changes = Vec::new();
        let unanswered = unanswered(authorizer);
        if let Some(noted) = self.held().get(name).and_then(|open| open.get(&unanswered)).filter(|_| awaited == Awaited::Audit) {
            // Sent before it was answered: the verdict may lie between the two.
            submission.submitted_at = noted.submitted_at;
            changes.push((unanswered, None));
            self.doubt(name, authorizer, None);
        }
        changes.push((place(component, authorizer, &submission), Some(submission)));
        self.write(name, changes).await
    }

    /// What was about to be submitted was not: what an earlier try left in doubt stands again.
    async fn not_submitted(&self, component: &str, authorizer: &str) -> Result<(), LogError> {
        let _alone = self.writing.lock().await;
        let before = self.doubt(component, authorizer, None);
        self.write(component, vec![(unanswered(authorizer), before)]).await
    }

    /// A change of the profile is awaited where it can be seen.
    async fn changed(&self, component: &dyn Component, look: ProfileLook, authorizer: &str, done: Observed<'_>) -> Result<(), LogError> {
        let wanted: Map<String, Value> =
            look.shows.iter().filter_map(|name| Some(((*name).to_owned(), Value::from(done.params.text(name)?)))).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let submission = Submission { wanted, ..self.fresh(Awaited::Profile, done.params, done.at) };
        let _alone = self.writing.lock().await;
        self.write(component.name(), vec![(place(component, authorizer, &submission), Some(submission))]).await
    }

    /// What was taken back is not waited for any more.
    async fn taken_back(&self, component: &str, authorizer: &str, done: Observed<'_>) -> Result<(), LogError> {
        let _alone = self.writing.lock().await;
        let text = |member: &str| {
            let told = done.result.as_object().and_then(|result| loose::text_of(result, &[member])).map(|text| text.into_owned());
            told.or_else(|| done.params.text(member))
        };
        let (version, package_id) = (text("version"), text("package_id"));
        let differ = |one: &Option<String>, other: &Option<String>| one.is_some() && other.is_some() && one != other;
        let of = |(place, held): &(&Place, &Submission)| {
            place.authorizer == authorizer
                && held.awaited == Awaited::Audit
                && !differ(&held.package_id, &package_id)
                && !differ(&held.version, &version)
        };
        let gone: Vec<_> = self.held().get(component).into_iter().flatten().filter(of).map(|(place, _)| (place.clone(), None)).collect();
        if gone.is_empty() { Ok(()) } else { self.write(component, gone).await }
    }
}

/// Reconciling asks about an authorizer.
pub(super) struct Asking<'a> {
    book: &'a Book,
    whom: (String, String),
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.book.asking.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.whom);
    }
}

fn unanswered(authorizer: &str) -> Place {
    Place { authorizer: authorizer.to_owned(), slot: format!("{AUDIT}{UNANSWERED}") }
}

/// Where a vendor audits one package at a time, a later submission means that the earlier one has ended.
fn place(component: &dyn Component, authorizer: &str, submission: &Submission) -> Place {
    let which = submission.package_id.as_deref().or(submission.version.as_deref()).unwrap_or_default();
    let slot = match submission.awaited {
        Awaited::Build => format!("build:{which}"),
        Awaited::Audit if component.audit_look().is_some_and(|look| look.has_many) => format!("audit:{which}"),
        Awaited::Audit => String::from(AUDIT),
        // One change is audited at a time (Alipay 5.7).
        Awaited::Profile => String::from("profile"),
    };
    Place { authorizer: authorizer.to_owned(), slot }
}

impl Book {
    /// The component and the authorizer, where its vendor can be asked about them.
    fn about<'a>(&self, component: &str, authorizer: Option<&'a str>) -> Option<(&Arc<dyn Component>, &'a str)> {
        let component = self.components.named(component).filter(|component| component.audit_look().is_some())?;
        Some((component, authorizer.filter(|app_id| app_id.len() <= LONGEST_APP_ID && !app_id.contains('\0'))?))
    }
}

#[async_trait::async_trait]
impl Observer for Book {
    async fn begins(&self, tried: Tried<'_>) {
        let Some((_, authorizer)) = self.about(tried.component, tried.authorizer).filter(|_| tried.operation == "audit.submit") else {
            return;
        };
        let _alone = self.writing.lock().await;
        let mut noted = self.fresh(Awaited::Audit, tried.params, tried.at);
        let before = self.held().get(tried.component).and_then(|open| open.get(&unanswered(authorizer))).cloned();
        if let Some(first) = before.as_ref().filter(|before| tried.earlier.is_maybe_sent() && before.may_be(&noted)) {
            // The same submission once more: if the first try took place, its verdict may lie between the two.
            (noted.submitted_at, noted.seen_in_audit) = (first.submitted_at, first.seen_in_audit);
        }
        self.doubt(tried.component, authorizer, before);
        if let Err(error) = self.write(tried.component, vec![(unanswered(authorizer), Some(noted))]).await {
            tracing::warn!(component = tried.component, authorizer, %error, "a submission was not noted: its end is only heard of by push");
        }
    }

    async fn failed(&self, tried: Tried<'_>, nothing_done: bool) {
        let Some((_, authorizer)) = self.about(tried.component, tried.authorizer).filter(|_| tried.operation == "audit.submit") else {
            return;
        };
        if !nothing_done {
            return;
        }
        if let Err(error) = self.not_submitted(tried.component, authorizer).await {
            tracing::warn!(component = tried.component, authorizer, %error, "a submission that failed is still noted");
        }
    }

    async fn carried_out(&self, done: Observed<'_>) {
        let Some((component, authorizer)) = self.about(done.component, done.authorizer) else { return };
        let status = done.result.get("status").and_then(Value::as_str).unwrap_or_default();
        let noted = match done.operation {
            // An earlier try submitted it, and its end is awaited since then, or is known.
            "audit.submit" if Stand::of(status) == Stand::Passed => self.not_submitted(done.component, authorizer).await,
            "audit.submit" => self.submitted(component.as_ref(), authorizer, Awaited::Audit, done).await,
            // Baidu can be told to submit what was uploaded at once.
            "package.upload" if status == "in_audit" => self.submitted(component.as_ref(), authorizer, Awaited::Audit, done).await,
            "package.upload"
                if matches!(status, "queued" | "building") && component.audit_look().is_some_and(|look| look.build.is_some()) =>
            {
                self.submitted(component.as_ref(), authorizer, Awaited::Build, done).await
            }
            "audit.withdraw" | "package.back_to_development" => self.taken_back(done.component, authorizer, done).await,
            _ => match component.profile_look().filter(|look| look.changes.contains(&done.operation)) {
                Some(look) => self.changed(component.as_ref(), look, authorizer, done).await,
                None => self.overheard(component.as_ref(), authorizer, done).await,
            },
        };
        if let Err(error) = noted {
            tracing::warn!(component = done.component, authorizer, operation = done.operation, %error, "a submission was not noted: its end is only heard of by push");
        }
    }
}
