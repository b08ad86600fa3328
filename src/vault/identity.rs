//! Which application every component's records belong to. Records are kept under a component's name alone, and a slip of the configuration can
//! give that name to another application: one vendor's ticket would go to another vendor, and one application's tokens be served as another's.
//!
//! Asked by [`super::Vault::open`] before anything is read, and by `check`, of a copy. Never removes anything, and never asks a vendor.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::platform::{Component, Components};

use super::authorizer::AuthorizerState;
use super::record::{AuthorizerRecord, key, put, read};
use super::shelf::{Change, Kind, ShelfError, TokenShelf};

/// Begins the names of the notes that say whose a component's records are; the component's name follows.
const NOTES: &str = "component/";

/// Records read in one go.
const PAGE: usize = 1000;

/// Kinds of records that belong to an application: once there is one of them, the component's name stands for that application.
const OWNED: [Kind; 6] = [Kind::Ticket, Kind::Token, Kind::Authorizer, Kind::Intent, Kind::Code, Kind::Used];

/// A third-party application, as its vendor knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// Name of the platform.
    pub platform: String,
    /// Its id there, by which the vendor knows our calls.
    pub app_id: String,
}

impl Application {
    fn of(component: &dyn Component) -> Self {
        Self { platform: component.platform().name().to_owned(), app_id: component.calls_as().trim().to_owned() }
    }
}

impl fmt::Display for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` of {}", self.app_id, self.platform)
    }
}

/// A component under whose name another application's records are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistaken {
    /// Its name.
    pub component: String,
    /// Whose records they are.
    pub stored: Application,
    /// Whom the configuration means.
    pub configured: Application,
}

impl Mistaken {
    /// What to do about it.
    pub const HINT: &str = "put back the platform and app id that the name stood for; or give the other application a name of its own, and its \
         new callback addresses to the platform's console (`yizhan check` prints them)";
}

impl fmt::Display for Mistaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "is {} in the configuration, but what the store holds under that name belongs to {}", self.configured, self.stored)
    }
}

/// A component with merchants in the store that the configuration does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgotten {
    /// Its name.
    pub component: String,
    /// Merchants whose authorization stands, as far as we know.
    pub merchants: u64,
    /// The component that is the same application by the configuration: it was renamed.
    pub renamed: Option<String>,
}

impl Forgotten {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match &self.renamed {
            Some(now) => format!("component `{now}` is the same application: name it `{}` again", self.component),
            None => String::from("put it back under this name, unless that application is given up"),
        }
    }
}

impl fmt::Display for Forgotten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let merchants = if self.merchants == 1 { String::from("1 merchant") } else { format!("{} merchants", self.merchants) };
        write!(f, "is not in the configuration, and has {merchants} in the store whose tokens are neither renewed nor given out")
    }
}

/// The store's components held against the configuration's.
#[derive(Debug, Default)]
pub struct Identities {
    /// What would use another application's records.
    pub mistaken: Vec<Mistaken>,
    /// What is left out.
    pub forgotten: Vec<Forgotten>,
    /// Components that are to be noted: new ones; those of a store that no build has noted them in yet, which are taken for what they are now; and
    /// those whose name stood for another application of which nothing is kept, such as one with a mistyped app id.
    unnoted: Vec<(String, Application)>,
}

impl Identities {
    /// Reads whose records the shelf holds.
    ///
    /// # Errors
    /// Of reading.
    pub async fn compare(shelf: &dyn TokenShelf, components: &Components) -> Result<Self, ShelfError> {
        let mut noted = noted(shelf).await?;
        let mut found = Self::default();
        for component in components.iter() {
            let (name, configured) = (component.name(), Application::of(&**component));
            match noted.remove(name).flatten() {
                Some(stored) if stored == configured => {}
                Some(stored) if is_owned(shelf, name).await? => {
                    found.mistaken.push(Mistaken { component: name.to_owned(), stored, configured });
                }
                _ => found.unnoted.push((name.to_owned(), configured)),
            }
        }
        for (component, stored) in noted {
            let merchants = merchants(shelf, &component).await?;
            if merchants > 0 {
                let is_it =
                    |one: &&std::sync::Arc<dyn Component>| stored.as_ref().is_some_and(|stored| *stored == Application::of(&***one));
                let renamed = components.iter().find(is_it).map(|now| now.name().to_owned());
                found.forgotten.push(Forgotten { component, merchants, renamed });
            }
        }
        Ok(found)
    }

    /// Writes down what is not yet.
    ///
    /// # Errors
    /// Of writing.
    pub(super) async fn note(&self, shelf: &dyn TokenShelf) -> Result<(), ShelfError> {
        let note = |(name, application): &(String, Application)| put(key(Kind::Note, "", &format!("{NOTES}{name}")), application);
        let changes: Vec<Change> = self.unnoted.iter().map(note).collect::<Result<_, _>>()?;
        if changes.is_empty() { Ok(()) } else { shelf.commit(changes).await }
    }
}

/// Every component that was ever noted; `None`: its note cannot be read.
async fn noted(shelf: &dyn TokenShelf) -> Result<BTreeMap<String, Option<Application>>, ShelfError> {
    let mut noted = BTreeMap::new();
    let mut after = String::from(NOTES);
    loop {
        let page = shelf.page(Kind::Note, "", Some(&after), PAGE).await?;
        for record in &page {
            let Some(name) = record.name.strip_prefix(NOTES) else { return Ok(noted) };
            noted.insert(name.to_owned(), read(record));
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after.clone_from(&last.name),
            _ => return Ok(noted),
        }
    }
}

async fn is_owned(shelf: &dyn TokenShelf, component: &str) -> Result<bool, ShelfError> {
    for kind in OWNED {
        if !shelf.page(kind, component, None, 1).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Merchants whose authorization was not withdrawn. One whose record is damaged counts: so it would if it were loaded.
async fn merchants(shelf: &dyn TokenShelf, component: &str) -> Result<u64, ShelfError> {
    let (mut merchants, mut after) = (0, None::<String>);
    loop {
        let page = shelf.page(Kind::Authorizer, component, after.as_deref(), PAGE).await?;
        for record in &page {
            let is_gone = read::<AuthorizerRecord>(record).is_some_and(|record| record.state == AuthorizerState::Revoked);
            merchants += u64::from(!is_gone);
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.name.clone()),
            _ => return Ok(merchants),
        }
    }
}
