//! What a provider notes about its merchants: tags to choose them by, and variables (shop name, domains, parts of `ext_json`) that playbooks
//! and rollouts fill into parameters.
//!
//! Written by people and their programs through `http`; read by `playbook` and `rollout`. A merchant may be noted before it has granted anything.
//! This room never asks a vendor and never decides what a variable is for.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::inbox::LogError;
use crate::placeholder;
use crate::platform::LONGEST_APP_ID;

/// Tags of one authorizer at most.
pub const MOST_TAGS: usize = 64;
/// Characters of a tag at most.
const MOST_TAG_CHARACTERS: usize = 64;
/// Variables of one authorizer at most.
pub const MOST_VARIABLES: usize = 128;
/// Characters of a variable's name at most.
const MOST_NAME_CHARACTERS: usize = 64;
/// Bytes of all variables of one authorizer at most, as JSON.
pub const MOST_BYTES: usize = 64 * 1024;

/// Tags and variables of one authorizer.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Attributes {
    /// Words to choose authorizers by.
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// Values by name; `${variables.NAME}` in playbooks and rollouts.
    #[serde(default)]
    pub variables: Map<String, Value>,
}

impl Attributes {
    /// Whether nothing is noted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.variables.is_empty()
    }

    /// Every problem: the member's name and why. Empty: valid.
    #[must_use]
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut add = |member: &str, why: String| problems.push((member.to_owned(), why));
        if self.tags.len() > MOST_TAGS {
            add("tags", format!("holds more than {MOST_TAGS} tags"));
        }
        for tag in &self.tags {
            if tag.trim() != tag || tag.is_empty() || tag.chars().count() > MOST_TAG_CHARACTERS || tag.chars().any(char::is_control) {
                add("tags", format!("{:?} is no tag: 1 to {MOST_TAG_CHARACTERS} characters, no space around them", shortened(tag)));
            }
        }
        if self.variables.len() > MOST_VARIABLES {
            add("variables", format!("holds more than {MOST_VARIABLES} variables"));
        }
        for name in self.variables.keys() {
            if !is_variable(name) {
                let why = format!("{:?} is no name: 1 to {MOST_NAME_CHARACTERS} letters, digits, `_` or `-`", shortened(name));
                add("variables", why);
            }
        }
        let bytes = Value::Object(self.variables.clone()).to_string().len();
        if bytes > MOST_BYTES {
            add("variables", format!("are {bytes} bytes of JSON, at most {MOST_BYTES} are possible"));
        }
        problems
    }
}

fn is_variable(name: &str) -> bool {
    placeholder::is_name(name) && !name.contains('.') && name.chars().count() <= MOST_NAME_CHARACTERS
}

/// Foreign text in a message: its beginning.
fn shortened(text: &str) -> String {
    text.chars().take(MOST_NAME_CHARACTERS).collect()
}

/// Whether an app id can be noted: vendors' ids are short and plain, and a key of the store must stay one.
#[must_use]
pub fn is_authorizer(app_id: &str) -> bool {
    (1..=LONGEST_APP_ID).contains(&app_id.len()) && !app_id.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// What becomes of what is noted.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It is that, and nothing else.
    Replace(Attributes),
    /// Tags are added and taken away, variables set; `null` takes a variable away. Everything else stays.
    Merge {
        /// Added.
        add_tags: BTreeSet<String>,
        /// Taken away.
        remove_tags: BTreeSet<String>,
        /// Set.
        variables: Map<String, Value>,
    },
}

impl Change {
    /// What is noted afterwards.
    #[must_use]
    pub fn apply(&self, before: Attributes) -> Attributes {
        match self {
            Self::Replace(attributes) => {
                let mut attributes = attributes.clone();
                attributes.variables.retain(|_, value| !value.is_null());
                attributes
            }
            Self::Merge { add_tags, remove_tags, variables } => {
                let mut after = before;
                after.tags.retain(|tag| !remove_tags.contains(tag));
                after.tags.extend(add_tags.iter().cloned());
                after.variables.extend(variables.clone());
                after.variables.retain(|_, value| !value.is_null());
                after
            }
        }
    }
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// What it would come to is not valid: whose, which member, why. All of them.
    #[error("attributes that do not fit")]
    Invalid(Vec<(String, String, String)>),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] LogError),
}

/// Where attributes are kept.
#[async_trait::async_trait]
pub trait AttributeShelf: Send + Sync {
    /// Those of one authorizer; empty when nothing was noted.
    async fn get(&self, component: &str, authorizer: &str) -> Result<Attributes, LogError>;

    /// Changes those of several authorizers (app id, change) of a component in one transaction, durable when it returns. All are held against
    /// the rules; where one does not fit nothing is changed. Returns what is noted afterwards, in that order.
    async fn change(&self, component: &str, changes: &[(String, Change)]) -> Result<Vec<Attributes>, ChangeError>;

    /// By app id, those behind `after` only, at most `limit`. Authorizers of whom nothing is noted are left out.
    async fn page(&self, component: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Attributes)>, LogError>;

    /// Notes exactly that of one.
    ///
    /// # Errors
    /// As [`AttributeShelf::change`].
    async fn put(&self, component: &str, authorizer: &str, attributes: &Attributes) -> Result<(), ChangeError> {
        self.change(component, &[(authorizer.to_owned(), Change::Replace(attributes.clone()))]).await.map(drop)
    }
}
