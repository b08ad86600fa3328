//! The port to a store: where the vault keeps its records. Implemented by `store`, called only by the vault.
//!
//! The vault thinks in records. A record has a kind, a component and a name, a version that counts its changes, and a body that holds
//! secrets in clear: **the shelf seals every body at rest**, bound to kind, component, name and version, and never logs one.
//!
//! Contract, for every implementation (the suite in `tests/it/vault/shelf.rs` runs on each):
//! - [`TokenShelf::commit`] is one transaction: all of its changes or none, durable when it returns. Calls may be grouped.
//! - A change may name the version it expects. When one does not hold, nothing of the commit happens: [`ShelfError::Conflict`].
//!   A new record has version 1; each change adds 1; a record that was removed starts again at 1.
//! - After [`ShelfError::Failed`] nothing is written any more by this process.
//! - [`TokenShelf::lease`] lets one holder at a time work on a name, across all processes that share the shelf. A shelf that belongs
//!   to one process (sled locks its file) grants every lease: the vault itself lets only one task at a time work on a name.
//!   In PostgreSQL it is a row (name, holder, until), taken with one conditional `UPDATE`. A lease only saves work, it is no
//!   guarantee: a holder may be paused beyond its end. The versions are the guarantee.

use zeroize::Zeroizing;

use crate::clock::Timestamp;

/// Largest body in bytes. Sled puts much larger values into files of their own that it never syncs.
pub const LARGEST_BODY: usize = 60 * 1024;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A component's newest ticket; name empty.
    Ticket,
    /// An access token with its refresh token and generation; name `family/app id`, without an app id the component's own.
    Token,
    /// An authorizer; name app id.
    Authorizer,
    /// A refresh token about to be spent, later the vendor's raw answer; name as the token's.
    Intent,
    /// A code that waits, was sent, or was answered but not read; name its hash.
    Code,
    /// A code that was exchanged; name its hash.
    Used,
    /// A link's `state`; name its hash.
    State,
    /// Small things to remember; name says which.
    Note,
}

impl Kind {
    /// Every kind.
    pub const ALL: &'static [Self] =
        &[Self::Ticket, Self::Token, Self::Authorizer, Self::Intent, Self::Code, Self::Used, Self::State, Self::Note];

    /// Its name in keys and as associated data of the seal. Never changes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Token => "token",
            Self::Authorizer => "authorizer",
            Self::Intent => "intent",
            Self::Code => "code",
            Self::Used => "used",
            Self::State => "state",
            Self::Note => "note",
        }
    }
}

/// Which record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKey {
    /// What it is.
    pub kind: Kind,
    /// Component name; empty for what belongs to none. Holds no NUL.
    pub component: String,
    /// Its name within kind and component.
    pub name: String,
}

impl RecordKey {
    /// A key.
    pub fn new(kind: Kind, component: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind, component: component.into(), name: name.into() }
    }
}

/// A body in clear; wiped when dropped.
pub type Clear = Zeroizing<Vec<u8>>;

/// A record as it was found.
#[derive(Clone)]
pub struct Record {
    /// Its name.
    pub name: String,
    /// Counts its changes from 1; readable even when the body is not.
    pub version: u64,
    /// `None`: it is damaged, or sealed under a key that is not configured.
    pub body: Option<Clear>,
}

/// One change of a commit.
#[derive(Clone)]
pub struct Change {
    /// Which record.
    pub key: RecordKey,
    /// `None`: whatever is there. `Some(0)`: there must be none. `Some(n)`: it must have version `n`.
    pub expected: Option<u64>,
    /// The new body; `None` removes the record.
    pub body: Option<Clear>,
}

impl Change {
    /// Writes a record whatever was there.
    #[must_use]
    pub fn put(key: RecordKey, body: Clear) -> Self {
        Self { key, expected: None, body: Some(body) }
    }

    /// Writes a record if it still has that version (0: if there is none).
    #[must_use]
    pub fn put_if(key: RecordKey, version: u64, body: Clear) -> Self {
        Self { key, expected: Some(version), body: Some(body) }
    }

    /// Removes a record, if there is one.
    #[must_use]
    pub fn remove(key: RecordKey) -> Self {
        Self { key, expected: None, body: None }
    }
}

/// Why the shelf did not do it.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum ShelfError {
    /// An expected version did not hold: somebody else changed the record. Nothing was written.
    #[error("the record was changed by somebody else")]
    Conflict,
    /// Too much waits to be written; nothing was written.
    #[error("the write queue is full")]
    Full,
    /// A body above [`LARGEST_BODY`]; nothing was written.
    #[error("a record of {0} bytes is too large")]
    TooLarge(usize),
    /// The record could not be sealed; nothing was written.
    #[error("the record could not be sealed: {0}")]
    Unsealed(String),
    /// A write or sync failed. Final for this process.
    #[error("the vault's store cannot write any more: {0}")]
    Failed(String),
    /// What is stored cannot be read.
    #[error("the vault's store is damaged: {0}")]
    Damaged(String),
}

/// Where the vault's records are kept. One method, one transaction.
#[async_trait::async_trait]
pub trait TokenShelf: Send + Sync {
    /// One record.
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>, ShelfError>;

    /// Up to `limit` records of a kind and component with names behind `after`, in the byte order of their names.
    async fn page(&self, kind: Kind, component: &str, after: Option<&str>, limit: usize) -> Result<Vec<Record>, ShelfError>;

    /// All changes or none; durable when it returns.
    async fn commit(&self, changes: Vec<Change>) -> Result<(), ShelfError>;

    /// Asks to be the only one who works on `name` until `until`; `until <= now` gives the lease back.
    /// `None`: granted. `Some(t)`: another holder has it until then. The holder's own lease is prolonged.
    async fn lease(&self, name: &str, holder: uuid::Uuid, now: Timestamp, until: Timestamp) -> Result<Option<Timestamp>, ShelfError>;
}
