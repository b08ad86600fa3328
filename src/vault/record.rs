//! What the vault stores, as JSON inside sealed records. Stored types are no API types: a change of one never changes the other.
//!
//! Every type here may hold secrets in clear, so none of them prints itself.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::clock::{SLACK, Timestamp};
use crate::platform::Reply;
use crate::platform::token::{AuthorizationCode, Family, Permission, RefreshToken, Token};
use crate::secret::{Secret, exposed};

use super::authorizer::AuthorizerState;
use super::schedule::{goes_on, is_ahead};
use super::shares::Network;
use super::shelf::{Change, Clear, Kind, Record, RecordKey, ShelfError};

/// A component's newest ticket.
#[derive(Serialize, Deserialize)]
pub(super) struct TicketRecord {
    #[serde(with = "exposed")]
    pub value: Secret,
    pub created_at: Timestamp,
    pub received_at: Timestamp,
}

/// A token. It stays when an authorizer is revoked, without its secrets, so that its generation never goes back.
#[derive(Serialize, Deserialize, Default)]
pub(super) struct TokenRecord {
    pub generation: u64,
    pub access: Option<Token>,
    pub refresh: Option<RefreshToken>,
    pub obtained_at: Timestamp,
    /// When a code was last exchanged for it, by our clock: a grant that the vendor dates before that is this one.
    #[serde(default)]
    pub exchanged_at: Option<Timestamp>,
    /// When we last asked the vendor for a code ourselves: the push that this causes is no news.
    #[serde(default)]
    pub recovered_at: Option<Timestamp>,
}

/// An authorizer.
#[derive(Serialize, Deserialize, Clone)]
pub(super) struct AuthorizerRecord {
    pub name: Option<String>,
    pub state: AuthorizerState,
    pub permissions: Vec<Permission>,
    pub granted_at: Option<Timestamp>,
    /// Whether `granted_at` is a time of our own clock: a browser came, or we won the tokens back, and no push has dated the grant.
    #[serde(default)]
    pub is_own_date: bool,
    pub revoked_at: Option<Timestamp>,
    /// Whether `revoked_at` is the vendor's time of a push. If not, we found the grant gone ourselves, and the time is ours:
    /// no grant is refused for being older.
    #[serde(default)]
    pub revoked_by_push: bool,
    /// When the grant before this one ended, where that is known: a withdrawal of then or earlier, should it come back, is of that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// What we last learnt of the grant from an answer, and no push had told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<FoundRecord>,
    pub updated_at: Timestamp,
}

/// What an answer said of a grant. It stays after it was told: its event comes back to the vault like any other, and is known by its time.
#[derive(Serialize, Deserialize, Clone, PartialEq)]
pub(super) struct FoundRecord {
    pub what: Standing,
    /// By our clock.
    pub at: Timestamp,
    /// When the grant was made that is gone, or when it was given up that is back; no later than when a merchant granted who came.
    pub since: Option<Timestamp>,
    /// Of the answer, what the event shows.
    pub vendor: serde_json::Value,
    /// It is an event, or there is nothing to tell any more.
    pub told: bool,
}

/// Whether a grant stands, as an answer showed.
#[derive(Debug, Serialize, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The vendor says that it is gone.
    Gone,
    /// It was given up, and the vendor gave its tokens back.
    Back,
    /// A merchant's browser brought its code, and no push has told of it yet: some grants are never pushed (Alipay 3.1), and a push may be lost.
    Came,
}

/// So long a push that tells of a browser's grant is waited for: it mostly comes within seconds.
const PUSH_COMES_WITHIN: Duration = Duration::from_secs(60);

impl FoundRecord {
    /// That a browser came, to be told.
    pub fn came(at: Timestamp, since: Timestamp) -> Self {
        Self { what: Standing::Came, at, since: Some(since), vendor: serde_json::json!({"returned": true}), told: false }
    }

    /// That a grant which nobody told of, or which was given up then, stands: the vendor gave its tokens, to be told.
    pub fn back(at: Timestamp, since: Option<Timestamp>) -> Self {
        Self { what: Standing::Back, at, since, vendor: serde_json::json!({"recovered": true}), told: false }
    }

    /// Whether it may be told by now.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.what != Standing::Came || !goes_on(self.at, PUSH_COMES_WITHIN, now)
    }
}

impl AuthorizerRecord {
    /// One that nothing is known of but that a grant came.
    pub fn pending(now: Timestamp) -> Self {
        Self {
            name: None,
            state: AuthorizerState::Pending,
            permissions: Vec::new(),
            granted_at: None,
            is_own_date: false,
            revoked_at: None,
            revoked_by_push: false,
            ended_at: None,
            found: None,
            updated_at: now,
        }
    }

    /// When it was granted; `None` also where that was noted while our clock was ahead, which says nothing of what a vendor dates since. A vendor's own
    /// time may lie ahead as well: then it is not we who wrote at such a time. Ours may not, whenever the record was last written.
    pub fn dated_grant(&self, now: Timestamp) -> Option<Timestamp> {
        self.granted_at.filter(|at| !(is_ahead(*at, now) && (self.is_own_date || is_ahead(self.updated_at, now))))
    }

    /// Dates the grant, by the vendor's clock or (`is_own_date`) by ours.
    pub fn date(&mut self, granted_at: Timestamp, is_own_date: bool) {
        (self.granted_at, self.is_own_date) = (Some(granted_at), is_own_date);
    }

    /// A grant came: an end that a push told is that of the one before.
    pub fn begin_anew(&mut self) {
        self.ended_at = self.ended_at.max(self.revoked_at.filter(|_| self.revoked_by_push));
        (self.revoked_at, self.revoked_by_push) = (None, false);
    }

    /// Whether a withdrawal of that time, by the vendor's clock, was the end of an earlier grant than the one that is known.
    pub fn began_after(&self, withdrawn_at: Timestamp, now: Timestamp) -> bool {
        if self.ended_at.is_some_and(|ended_at| withdrawn_at <= ended_at && !is_ahead(ended_at, now)) {
            return true;
        }
        self.dated_grant(now).is_some_and(|granted_at| match self.is_own_date {
            true => withdrawn_at.saturating_add(SLACK).is_ok_and(|at| at < granted_at),
            // Vendors cut some of their times to seconds.
            false => withdrawn_at.as_second() < granted_at.as_second(),
        })
    }

    /// The end of the grant before this one was heard only now. Where no push dated this one, perhaps none will ever tell of it, and what handlers heard
    /// last is that end: so it is to be told, and once, as the same withdrawal may come again. Whether there was reason to.
    pub fn tell_again(&mut self, withdrawn_at: Timestamp, now: Timestamp) -> bool {
        let granted_at = self.dated_grant(now).filter(|_| self.state == AuthorizerState::Granted && self.is_own_date);
        let Some(granted_at) = granted_at.filter(|_| self.ended_at < Some(withdrawn_at) && self.began_after(withdrawn_at, now)) else {
            return false;
        };
        self.ended_at = Some(withdrawn_at);
        // Since then: not what was told before that end.
        self.found = Some(FoundRecord::came(granted_at, withdrawn_at));
        true
    }

    /// A push has told where the grant stands: what was found before that is news no more.
    pub fn overtaken(&mut self) {
        if let Some(found) = &mut self.found {
            found.told = true;
        }
    }

    /// What was found and is no event yet.
    pub fn untold(&self) -> Option<&FoundRecord> {
        self.found.as_ref().filter(|found| !found.told)
    }

    /// Whether a grant of that time is the event of what was found here.
    pub fn is_own_grant(&self, at: Timestamp) -> bool {
        self.found.as_ref().is_some_and(|found| found.what != Standing::Gone && found.at == at)
    }

    /// Whether a withdrawal of that time is the event of what was found here.
    pub fn is_own_word(&self, at: Timestamp) -> bool {
        self.found.as_ref().is_some_and(|found| found.what == Standing::Gone && found.at == at)
    }

    /// Whether a grant of that time was withdrawn later, as far as the vendor said so.
    pub fn outlived(&self, granted_at: Timestamp) -> bool {
        self.state == AuthorizerState::Revoked && self.revoked_by_push && self.revoked_at.is_some_and(|at| at > granted_at)
    }

    /// Whether an answer showed that a grant of that time is gone: it, or a later one. Tokens of it are dead, however late its push comes.
    pub fn showed_gone(&self, granted_at: Timestamp) -> bool {
        let since = self.found.as_ref().filter(|found| found.what == Standing::Gone).and_then(|found| found.since);
        // By our clock, where only a browser told of it.
        self.state == AuthorizerState::Revoked
            && !self.revoked_by_push
            && since.is_some_and(|since| since.saturating_add(SLACK).is_ok_and(|since| granted_at <= since))
    }
}

/// Written before a refresh token is spent; removed together with the new tokens' arrival.
#[derive(Serialize, Deserialize)]
pub(super) struct IntentRecord {
    /// When the call was about to be sent.
    pub at: Timestamp,
    /// How often the call was sent again because no answer came.
    pub repeats: u32,
    /// The vendor's answer before it is read.
    pub answer: Option<Answer>,
}

/// A vendor's raw answer and when it came: lifetimes in it count from then.
#[derive(Serialize, Deserialize)]
pub(super) struct Answer {
    pub at: Timestamp,
    status: u16,
    content_type: String,
    body: String,
}

impl Answer {
    pub fn new(reply: &Reply, at: Timestamp) -> Self {
        Self { at, status: reply.status, content_type: reply.content_type.clone(), body: STANDARD.encode(&reply.body) }
    }

    /// The answer as it came. `None` only if the record was written by something else than [`Answer::new`].
    pub fn reply(&self) -> Option<Reply> {
        let body = STANDARD.decode(&self.body).ok()?;
        Some(Reply { status: self.status, content_type: self.content_type.clone(), body: body.into() })
    }
}

/// Where a code comes from.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Origin {
    /// A verified push.
    Push,
    /// A merchant's browser.
    Redirect,
    /// We asked for it.
    Recovery,
}

/// How far a code came.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// Not sent yet, or certainly not spent.
    Waiting,
    /// About to be sent, or sent without an answer; and how often it was sent again.
    Sent { repeats: u32 },
    /// Lost, refused or too old: a new one is asked for.
    Lost,
    /// The vendor's answer before it is read.
    Answered(Answer),
}

/// A code until its tokens are held.
#[derive(Serialize, Deserialize)]
pub(super) struct CodeRecord {
    pub code: AuthorizationCode,
    pub family: Family,
    pub origin: Origin,
    /// Whose, where the push said so.
    pub app_id: Option<String>,
    /// The vendor's time of the grant; our time where only a browser came.
    pub granted_at: Timestamp,
    pub permissions: Vec<Permission>,
    pub received_at: Timestamp,
    /// Who brought it, where a browser did; former builds did not note that.
    #[serde(default)]
    pub bringer: Option<Bringer>,
    /// It came while we asked for a code ourselves, or soon after: perhaps its push is what that caused, and no grant.
    #[serde(default)]
    pub echo: bool,
    pub stage: Stage,
}

impl CodeRecord {
    /// As [`AuthorizerRecord::dated_grant`].
    pub fn dated_grant(&self, now: Timestamp) -> Option<Timestamp> {
        let is_dated = !(is_ahead(self.granted_at, now) && is_ahead(self.received_at, now));
        is_dated.then_some(self.granted_at)
    }

    /// Whether nobody stands for it whom we know: it may be made up.
    pub fn is_strangers(&self) -> bool {
        self.app_id.is_none() && is_strangers(self.origin, self.bringer)
    }
}

/// Whether what came in that way is of somebody whom neither the vendor nor a caller of ours told us of.
pub(super) fn is_strangers(origin: Origin, bringer: Option<Bringer>) -> bool {
    origin == Origin::Redirect && bringer.is_none_or(|bringer| bringer.inviter != Some(Inviter::Caller))
}

/// A code that was exchanged (or needed no exchange), and for whom.
#[derive(Serialize, Deserialize, Clone)]
pub(super) struct UsedRecord {
    pub at: Timestamp,
    pub authorizers: Vec<String>,
}

/// A link's `state`.
#[derive(Serialize, Deserialize)]
pub(super) struct StateRecord {
    /// SHA-256 of its text, in hexadecimal.
    pub hash: String,
    pub created_at: Timestamp,
    /// Who asked for it; former builds did not note that.
    #[serde(default)]
    pub asker: Option<Inviter>,
}

/// A visitor's mark that came back, under its hash: it is good no more. Former builds find no link in it, and leave it alone.
#[derive(Serialize, Deserialize)]
pub(super) struct SpentRecord {
    pub made_at: Timestamp,
}

/// The key that visitors' marks are made with, as base64url text.
#[derive(Serialize, Deserialize)]
pub(super) struct MarkKeyRecord {
    #[serde(with = "exposed")]
    pub key: Secret,
}

/// Who asked for a link.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Hash)]
#[serde(rename_all = "snake_case")]
pub(super) enum Inviter {
    /// Somebody who opened the public page.
    Visitor,
    /// A caller with an API key.
    Caller,
}

/// Who brought a code.
#[derive(Serialize, Deserialize, Clone, Copy)]
pub(super) struct Bringer {
    /// Who had asked for the link, where a `state` of ours came with it.
    pub inviter: Option<Inviter>,
    pub network: Network,
}

/// When something last happened.
#[derive(Serialize, Deserialize)]
pub(super) struct NoteRecord {
    pub at: Timestamp,
}

/// How far the log had acknowledged events.
#[derive(Serialize, Deserialize)]
pub(super) struct HighWaterRecord {
    pub sequence: u64,
    pub at: Timestamp,
}

/// The record's body as a value; `None` when it is damaged or not what it should be.
pub(super) fn read<T: serde::de::DeserializeOwned>(record: &Record) -> Option<T> {
    serde_json::from_slice(record.body.as_deref()?).ok()
}

/// A value as a body.
pub(super) fn write<T: Serialize>(value: &T) -> Result<Clear, ShelfError> {
    serde_json::to_vec(value).map(Zeroizing::new).map_err(|error| ShelfError::Unsealed(error.to_string()))
}

/// Writes a value whatever was there.
pub(super) fn put<T: Serialize>(key: RecordKey, value: &T) -> Result<Change, ShelfError> {
    Ok(Change::put(key, write(value)?))
}

/// Name of a token's record.
pub(super) fn token_name(family: Family, app_id: &str) -> String {
    format!("{}/{app_id}", family_name(family))
}

/// Family and app id of a token's record.
pub(super) fn token_of(name: &str) -> Option<(Family, &str)> {
    let (family, app_id) = name.split_once('/')?;
    let family = [Family::Current, Family::V1].into_iter().find(|known| family_name(*known) == family)?;
    Some((family, app_id))
}

const fn family_name(family: Family) -> &'static str {
    match family {
        Family::Current => "current",
        Family::V1 => "v1",
    }
}

/// Key of a record of that component.
pub(super) fn key(kind: Kind, component: &str, name: &str) -> RecordKey {
    RecordKey::new(kind, component, name)
}
