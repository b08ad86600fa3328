//! `Idempotency-Key`: a request that comes again under the same key gets the first one's answer, for 24 hours and over a restart.
//!
//! Called by `http` around an operation. Owns the port [`IdempotencyShelf`]; `store` implements it durably, [`Memory`] for tests.
//! What is remembered: an answer, and that an outcome is unknown. What ended without anything having been done releases its key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::SignedDuration;
use uuid::Uuid;

use crate::clock::{Clock, Timestamp};
use crate::envelope::digest;

/// How long an answer is remembered.
pub const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);

/// Longest body that is remembered; of a longer one only that there was one. In base64 and with its frame it fits the largest record
/// that a store must take (60 KiB).
pub const MOST_BODY_BYTES: usize = 40 * 1024;

/// Longest key that a caller may send.
pub const LONGEST_KEY: usize = 200;

/// Under what a request is remembered: a digest over the API key's name and the caller's key, 32 bytes in hex.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Slot(String);

impl Slot {
    /// The slot of that API key and that `Idempotency-Key`. The same text from another API key is another slot.
    #[must_use]
    pub fn of(api_key: &str, key: &str) -> Self {
        Self(fingerprint(&[api_key.as_bytes(), key.as_bytes()]))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// SHA-256 over parts, each with its length, in hex: what a request asks for.
#[must_use]
pub fn fingerprint(parts: &[&[u8]]) -> String {
    let lengths: Vec<[u8; 8]> = parts.iter().map(|part| u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes()).collect();
    let framed: Vec<&[u8]> = lengths.iter().zip(parts).flat_map(|(length, part)| [length.as_slice(), part]).collect();
    hex::encode(digest::sha256(&framed))
}

/// An answer as it was given.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Content type.
    pub content_type: String,
    /// File name, where it was a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    /// The body; `None` when it was too long to be remembered.
    #[serde(with = "base64_text")]
    pub body: Option<Vec<u8>>,
}

impl Answer {
    /// Whether its body is too long to be remembered.
    #[must_use]
    pub fn is_too_long(&self) -> bool {
        self.body.as_ref().is_some_and(|body| body.len() > MOST_BODY_BYTES)
    }
}

/// Where a request stands.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stand {
    /// A process is at work on it.
    Working {
        /// Which one; another one after a restart, and none (empty) after one has given it up.
        holder: String,
    },
    /// It was answered.
    Answered(Answer),
}

/// What is remembered of a request.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Remembered {
    /// What was asked for ([`fingerprint`]): the same key with something else is a mistake.
    pub request: String,
    /// Where it stands.
    pub stand: Stand,
    /// When it first came.
    pub at: Timestamp,
}

/// Why the shelf did not do it.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[error("requests cannot be remembered: {0}")]
pub struct ShelfError(pub String);

/// Where requests are remembered. One method, one transaction; durable when it returns. The body of an answer is sealed at rest.
#[async_trait::async_trait]
pub trait IdempotencyShelf: Send + Sync {
    /// Writes `fresh` unless something newer than `expired` is there, which is given back instead.
    ///
    /// # Errors
    /// The store's.
    async fn claim(&self, slot: &Slot, fresh: Remembered, expired: Timestamp) -> Result<Option<Remembered>, ShelfError>;

    /// Replaces what is there (`None`: removes it).
    ///
    /// # Errors
    /// The store's.
    async fn settle(&self, slot: &Slot, remembered: Option<Remembered>) -> Result<(), ShelfError>;

    /// Forgets what came before `before`; how many.
    ///
    /// # Errors
    /// The store's.
    async fn forget(&self, before: Timestamp) -> Result<u64, ShelfError>;
}

/// What to do with a request.
#[derive(Debug)]
pub enum Begun {
    /// Carry it out, then settle the ticket.
    Go(Ticket),
    /// It was answered so.
    Answered(Answer),
    /// It is being carried out right now.
    Working,
    /// It was being carried out when its process ended: nobody knows how far it came.
    Interrupted(Ticket),
    /// The key was used for another request.
    Another,
}

/// The right to settle one slot.
#[derive(Debug, Clone)]
pub struct Ticket {
    slot: Slot,
    request: String,
    at: Timestamp,
}

impl Ticket {
    /// Under what it is remembered.
    #[must_use]
    pub fn slot(&self) -> &Slot {
        &self.slot
    }

    /// When the request first came.
    #[must_use]
    pub fn begun_at(&self) -> Timestamp {
        self.at
    }
}

/// Remembers requests.
pub struct Idempotency {
    shelf: Arc<dyn IdempotencyShelf>,
    clock: Arc<dyn Clock>,
    holder: String,
}

impl Idempotency {
    /// One per process.
    #[must_use]
    pub fn new(shelf: Arc<dyn IdempotencyShelf>, clock: Arc<dyn Clock>) -> Self {
        Self { shelf, clock, holder: Uuid::new_v4().to_string() }
    }

    /// A request comes under a key; `request` is its [`fingerprint`].
    ///
    /// # Errors
    /// The store's: nothing must be carried out then.
    pub async fn begin(&self, slot: Slot, request: String) -> Result<Begun, ShelfError> {
        let now = self.clock.now();
        let fresh = Remembered { request: request.clone(), stand: Stand::Working { holder: self.holder.clone() }, at: now };
        let expired = self.expired();
        let Some(found) = self.shelf.claim(&slot, fresh, expired).await? else {
            return Ok(Begun::Go(Ticket { slot, request, at: now }));
        };
        Ok(match found.stand {
            _ if found.request != request => Begun::Another,
            Stand::Answered(answer) => Begun::Answered(answer),
            Stand::Working { holder } if holder == self.holder => Begun::Working,
            Stand::Working { .. } => Begun::Interrupted(Ticket { slot, request, at: found.at }),
        })
    }

    /// It was answered: remembered until its time is over.
    ///
    /// # Errors
    /// The store's.
    pub async fn answered(&self, ticket: Ticket, mut answer: Answer) -> Result<(), ShelfError> {
        answer.body = answer.body.filter(|body| body.len() <= MOST_BODY_BYTES);
        let remembered = Remembered { request: ticket.request, stand: Stand::Answered(answer), at: ticket.at };
        self.shelf.settle(&ticket.slot, Some(remembered)).await
    }

    /// Nothing was done: the key may be used again.
    ///
    /// # Errors
    /// The store's.
    pub async fn released(&self, ticket: Ticket) -> Result<(), ShelfError> {
        self.shelf.settle(&ticket.slot, None).await
    }

    /// Nobody knows how far it came, and nobody is at work on it any more: to whoever repeats it, it is [`Begun::Interrupted`].
    ///
    /// # Errors
    /// The store's.
    pub async fn interrupted(&self, ticket: Ticket) -> Result<(), ShelfError> {
        let remembered = Remembered { request: ticket.request, stand: Stand::Working { holder: String::new() }, at: ticket.at };
        self.shelf.settle(&ticket.slot, Some(remembered)).await
    }

    /// Takes over an interrupted request that may be carried out again. `false`: somebody else was quicker.
    ///
    /// # Errors
    /// The store's.
    pub async fn take_over(&self, ticket: &Ticket) -> Result<bool, ShelfError> {
        self.shelf.settle(&ticket.slot, None).await?;
        let fresh = Remembered { request: ticket.request.clone(), stand: Stand::Working { holder: self.holder.clone() }, at: ticket.at };
        Ok(self.shelf.claim(&ticket.slot, fresh, Timestamp::MIN).await?.is_none())
    }

    /// Forgets what is over; called now and then.
    ///
    /// # Errors
    /// The store's.
    pub async fn forget(&self) -> Result<u64, ShelfError> {
        self.shelf.forget(self.expired()).await
    }

    /// What came before is forgotten: not by a clock that is wrong for a moment, or requests are carried out again.
    fn expired(&self) -> Timestamp {
        self.clock.believed().checked_sub(REMEMBERED).unwrap_or(Timestamp::MIN)
    }
}

/// A shelf in memory, for tests and for `demo`: forgets everything with the process.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<Slot, Remembered>>);

#[async_trait::async_trait]
impl IdempotencyShelf for Memory {
    async fn claim(&self, slot: &Slot, fresh: Remembered, expired: Timestamp) -> Result<Option<Remembered>, ShelfError> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match held.get(slot) {
            Some(found) if found.at > expired => Ok(Some(found.clone())),
            _ => {
                held.insert(slot.clone(), fresh);
                Ok(None)
            }
        }
    }

    async fn settle(&self, slot: &Slot, remembered: Option<Remembered>) -> Result<(), ShelfError> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match remembered {
            Some(remembered) => held.insert(slot.clone(), remembered),
            None => held.remove(slot),
        };
        Ok(())
    }

    async fn forget(&self, before: Timestamp) -> Result<u64, ShelfError> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.len();
        held.retain(|_, remembered| remembered.at >= before);
        Ok(u64::try_from(count.saturating_sub(held.len())).unwrap_or(u64::MAX))
    }
}

/// Bytes as base64: JSON would write a list of numbers.
mod base64_text {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
        bytes.as_ref().map(|bytes| STANDARD.encode(bytes)).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| STANDARD.decode(text).map_err(de::Error::custom)).transpose()
    }
}
