//! Whom a rollout is for, and who of them takes no part and why. What a dry run shows is exactly what a rollout begins with.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::yield_now;

use super::hands::Given;
use super::hold::{Active, locked};
use super::parameters::Filling;
use super::record::{Choice, Item, Spec, State};
use super::route::Route;
use super::stage::Goal;
use super::{RolloutError, Rollouts, Words, route};
use crate::attributes::{AttributeShelf, Attributes};
use crate::inbox::{LogError, Position};
use crate::operations::OperationError;
use crate::vault::{Authorizer, AuthorizerState, Vault, VaultError};
use crate::versions::{VersionBook, Versions};

/// Authorizers read at a time.
const PORTION: usize = 500;

/// Who the merchants are. Answered by [`Known`].
#[async_trait::async_trait]
pub trait Merchants: Send + Sync {
    /// A page of those of a component that we know, by app id.
    ///
    /// # Errors
    /// The vault's.
    async fn page(&self, component: &str, after: Option<&str>, limit: usize) -> Result<Vec<Authorizer>, VaultError>;

    /// One; `None`: we do not know it.
    ///
    /// # Errors
    /// The vault's.
    async fn one(&self, component: &str, app_id: &str) -> Result<Option<Authorizer>, VaultError>;

    /// The versions that we heard of.
    ///
    /// # Errors
    /// The store's.
    async fn versions(&self, component: &str, app_id: &str) -> Result<Versions, LogError>;

    /// Tags and variables.
    ///
    /// # Errors
    /// The store's.
    async fn attributes(&self, component: &str, app_id: &str) -> Result<Attributes, LogError>;
}

/// What the service knows of merchants.
pub struct Known {
    /// Who granted.
    pub vault: Arc<Vault>,
    /// Which versions they have.
    pub versions: Arc<VersionBook>,
    /// What was noted about them.
    pub attributes: Arc<dyn AttributeShelf>,
}

#[async_trait::async_trait]
impl Merchants for Known {
    async fn page(&self, component: &str, after: Option<&str>, limit: usize) -> Result<Vec<Authorizer>, VaultError> {
        let after = after.map(|after| Position(after.to_owned()));
        Ok(self.vault.authorizers(component, after.as_ref(), limit).await?.items)
    }

    async fn one(&self, component: &str, app_id: &str) -> Result<Option<Authorizer>, VaultError> {
        match self.vault.authorizer(component, app_id).await {
            Ok((authorizer, _)) => Ok(Some(authorizer)),
            Err(VaultError::NotAuthorized(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn versions(&self, component: &str, app_id: &str) -> Result<Versions, LogError> {
        self.versions.of(component, app_id).await
    }

    async fn attributes(&self, component: &str, app_id: &str) -> Result<Attributes, LogError> {
        self.attributes.get(component, app_id).await
    }
}

/// What would happen to one authorizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its app id.
    pub authorizer: String,
    /// Why it takes no part; `None`: it does.
    pub skip: Option<String>,
}

impl Rollouts {
    /// What a rollout would begin with. Nothing is sent to any vendor. However many merchants there are, whatever else the thread has to do comes in
    /// between: a server's thread answers pushes.
    ///
    /// # Errors
    /// What is wrong with the rollout as a whole, or the store's.
    pub async fn plan(&self, spec: &Spec) -> Result<Vec<Planned>, RolloutError> {
        let route = self.hands.platform(&spec.component).and_then(route::of);
        let route = route.ok_or_else(|| RolloutError::Invalid(vec![(String::from("component"), String::from("is none of ours"))]))?;
        let mut planned = Vec::new();
        for (app_id, known) in self.chosen(spec).await? {
            yield_now().await;
            let skip = match &known {
                None => Some(String::from("not known: it never granted")),
                Some(authorizer) => self.objection(spec, route, authorizer).await?,
            };
            planned.push(Planned { authorizer: app_id, skip });
        }
        Ok(planned)
    }

    async fn chosen(&self, spec: &Spec) -> Result<Vec<(String, Option<Authorizer>)>, RolloutError> {
        let component = &spec.component;
        match &spec.authorizers {
            Choice::These(app_ids) => {
                let mut seen = BTreeSet::new();
                let mut chosen = Vec::new();
                for app_id in app_ids.iter().filter(|app_id| seen.insert(app_id.as_str())) {
                    yield_now().await;
                    chosen.push((app_id.clone(), self.merchants.one(component, app_id).await?));
                }
                Ok(chosen)
            }
            Choice::All => Ok(named(self.granted(component).await?)),
            Choice::Version(version) => {
                let mut chosen = Vec::new();
                for authorizer in self.granted(component).await? {
                    yield_now().await;
                    // One of whom that cannot be read is chosen: what it is skipped for says so.
                    let is_chosen = match self.versions(component, &authorizer.app_id).await? {
                        Ok(versions) => versions.released.and_then(|note| note.version).as_deref() == Some(version),
                        Err(_) => true,
                    };
                    if is_chosen {
                        chosen.push(authorizer);
                    }
                }
                Ok(named(chosen))
            }
            Choice::Tag(tag) => {
                let mut chosen = Vec::new();
                for authorizer in self.granted(component).await? {
                    yield_now().await;
                    let is_chosen = match self.merchants.attributes(component, &authorizer.app_id).await {
                        Ok(attributes) => attributes.tags.contains(tag),
                        // As by version: what is said of its words says so.
                        Err(LogError::Damaged(_) | LogError::OtherKey(_)) => true,
                        Err(error) => return Err(error.into()),
                    };
                    if is_chosen {
                        chosen.push(authorizer);
                    }
                }
                Ok(named(chosen))
            }
        }
    }

    /// Everybody of a component who has not withdrawn.
    async fn granted(&self, component: &str) -> Result<Vec<Authorizer>, RolloutError> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.merchants.page(component, after.as_deref(), PORTION).await?;
            let is_last = page.len() < PORTION;
            after = page.last().map(|authorizer| authorizer.app_id.clone());
            all.extend(page.into_iter().filter(|authorizer| authorizer.state != AuthorizerState::Revoked));
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Why an authorizer takes no part.
    async fn objection(&self, spec: &Spec, route: &'static Route, authorizer: &Authorizer) -> Result<Option<String>, RolloutError> {
        let app_id = &authorizer.app_id;
        match authorizer.state {
            AuthorizerState::Revoked => return Ok(Some(String::from("the merchant withdrew the grant"))),
            AuthorizerState::Pending => return Ok(Some(String::from("its grant is not exchanged for a token yet"))),
            AuthorizerState::Granted => {}
        }
        if let Some(needed) = route.permission
            && !authorizer.permissions.is_empty()
            && !authorizer.permissions.iter().any(|permission| permission.id == needed.id)
        {
            return Ok(Some(format!("permission {} ({}) is not granted", needed.id, needed.name)));
        }
        if let Some(why) = self.other_rollout(spec, app_id) {
            return Ok(Some(why));
        }
        let versions = match self.versions(&spec.component, app_id).await? {
            Ok(versions) => versions,
            Err(why) => return Ok(Some(why)),
        };
        let notes = [versions.released, versions.approved, versions.in_audit, versions.uploaded];
        if notes.into_iter().flatten().any(|note| note.version.as_deref() == Some(&spec.version)) {
            return Ok(Some(format!("already has version {}", spec.version)));
        }
        Ok(match self.words(spec, None, app_id).await? {
            Ok(words) => self.misfit(spec, route, app_id, &words),
            Err(reason) => Some(reason),
        })
    }

    /// Why one that failed is not tried again: it has gone on without its rollout since, and must not come back from there.
    pub(super) async fn objection_to_another_try(&self, spec: &Spec, item: &Item) -> Result<Option<String>, RolloutError> {
        if let Some(why) = self.other_rollout(spec, &item.authorizer) {
            return Ok(Some(why));
        }
        let versions = match self.versions(&spec.component, &item.authorizer).await? {
            Ok(versions) => versions,
            Err(why) => return Ok(Some(why)),
        };
        // What was only uploaded brings nobody anything.
        let notes = [versions.released, versions.approved, versions.in_audit].into_iter().flatten();
        let since = notes.filter(|note| note.at > item.since).filter_map(|note| note.version);
        // An older one was there before, and only the note is new: made when somebody asked the platform for its list, or rolled back.
        let newer = since.into_iter().find(|version| *version != spec.version && !is_older(version, &spec.version));
        Ok(newer.map(|version| format!("has version {version} since")))
    }

    /// The versions that we heard of; why they are not known, where the record of them is harmed: that keeps back nobody else.
    async fn versions(&self, component: &str, app_id: &str) -> Result<Result<Versions, String>, LogError> {
        match self.merchants.versions(component, app_id).await {
            Err(LogError::Damaged(error)) => {
                tracing::error!(component, authorizer = app_id, error, "damage: what is known of a merchant's versions cannot be read");
                Ok(Err(String::from("what is known of its versions cannot be read")))
            }
            versions => Ok(Ok(versions?)),
        }
    }

    /// Why an authorizer is another rollout's: that is at work on it, or may be and cannot say. Two that do not know of each other would each send what
    /// must be sent once.
    fn other_rollout(&self, spec: &Spec, app_id: &str) -> Option<String> {
        let floor = locked(&self.floor);
        let is_open = |active: &&Active| !matches!(active.rollout.state, State::Done | State::Cancelled);
        floor.active.values().filter(is_open).find_map(|active| {
            let rollout = &active.rollout;
            // Of one that cannot be read not even the component is known.
            if !rollout.is_unread && rollout.spec.component != spec.component {
                return None;
            }
            let id = rollout.id;
            match active.entries.get(app_id).map(|entry| &entry.item) {
                Some(item) if item.is_unread => Some(format!("is in rollout {id}, where its record cannot be read")),
                Some(item) if rollout.spec.until.is_over(item.stage) => None,
                Some(_) if rollout.is_unread => {
                    Some(format!("is in rollout {id}, whose record cannot be read; cancel that one to go on without it"))
                }
                Some(_) => Some(format!("is in rollout {id}")),
                None if active.is_whole => None,
                None => {
                    Some(format!("may be in rollout {id}, of which some merchants cannot be read; cancel that one to go on without it"))
                }
            }
        })
    }

    /// What is wrong with the parameters of any of its operations.
    fn misfit(&self, spec: &Spec, route: &'static Route, app_id: &str, words: &Words) -> Option<String> {
        let item = Item::queued(app_id.to_owned(), 0, self.clock.now());
        let filling = Filling { spec, route, item: &item, variables: &words.variables, description: &words.description };
        let takes = |operation: &str| self.hands.takes(&spec.component, operation);
        let submission = takes("audit.submit");
        let mut wanted: Vec<(&str, Given)> = filling.domains("package.upload");
        match takes("package.upload") {
            Ok(takes) => wanted.push(("package.upload", filling.upload(&takes, submission.as_deref().unwrap_or_default()))),
            Err(error) => return Some(objection("package.upload", &error)),
        }
        if spec.until != Goal::Uploaded {
            wanted.extend(filling.domains("audit.submit"));
            match &submission {
                Ok(takes) => {
                    let mut given = filling.submission(takes);
                    // Asked of the platform when it comes to that.
                    if route.hosts.is_some() && !given.contains_key("hosts") {
                        given.insert(String::from("hosts"), serde_json::json!(["all"]));
                    }
                    wanted.push(("audit.submit", given));
                }
                Err(error) => return Some(objection("audit.submit", error)),
            }
        }
        if spec.until == Goal::Released {
            match takes("package.release") {
                Ok(takes) => wanted.push(("package.release", filling.version(&takes))),
                Err(error) => return Some(objection("package.release", &error)),
            }
        }
        let wrong = |(operation, given): (&str, Given)| {
            let checked = self.hands.check(&spec.component, app_id, operation, given);
            checked.err().map(|error| objection(operation, &error))
        };
        wanted.into_iter().find_map(wrong)
    }
}

/// Whether a version is older than another for certain: both are numbers joined with dots.
fn is_older(version: &str, than: &str) -> bool {
    let numbers = |text: &str| text.split('.').map(|part| part.parse::<u64>().ok()).collect::<Option<Vec<_>>>();
    numbers(version).zip(numbers(than)).is_some_and(|(version, than)| version < than)
}

fn named(all: Vec<Authorizer>) -> Vec<(String, Option<Authorizer>)> {
    all.into_iter().map(|authorizer| (authorizer.app_id.clone(), Some(authorizer))).collect()
}

fn objection(operation: &str, error: &OperationError) -> String {
    match error {
        OperationError::NotConfigured(_) => format!("{operation} is not configured"),
        OperationError::UnknownOperation { .. } => format!("the platform has no {operation}"),
        OperationError::Invalid(bad) => {
            let words: Vec<String> = bad.iter().map(|bad| format!("`{}` {}", bad.name, bad.reason)).collect();
            format!("{operation}: {}", words.join("; "))
        }
        other => format!("{operation}: {other}"),
    }
}
