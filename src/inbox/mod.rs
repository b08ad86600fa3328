//! What arrived. [`Inbox::accept`] is the one door: open the push → (a ticket into the vault) → store event, dedupe key and deliveries
//! in one durable batch → acknowledge. Nothing else happens in the request; everything later is a worker that can be killed at any line.
//!
//! Called by `http` for pushes; by `reconcile` for pushes that the vendor lists as missed ([`Inbox::take_listed`]) and for what asking
//! found ([`Inbox::derive`]). All pass the same door: what was told before is not told again. Never sends anything to anybody.

mod body;
pub mod event;
pub mod fact;
mod keeping;
pub mod log;
mod meters;
pub mod replay;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde_json::{Map, Value};

pub use event::{Event, EventFilter, EventId, MessageHash, message_hash};
pub use log::{Accepted, Arrival, EventLog, LogError, Page, Position, Rejections};

use crate::clock::{Clock, Timestamp};
use crate::event_type::EventType;
use crate::platform::push::{Grant, Notice};
use crate::platform::{Acknowledgement, Component, Components, Opened, Push, PushError, RawPush};
use crate::secret::Secret;
use fact::Fact;
use keeping::Keeping;
use log::{Audience, Rejected, Tickets};
use meters::{Meters, Outcome, Phase};

/// Why a push is not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is not a push of this component; kept among the rejected. The answer is what the platform or the contract wants.
    #[error("{0}")]
    Refused(PushError, Option<Acknowledgement>),
    /// The store did not take it: 503, never `success`.
    #[error("the push could not be stored: {0}")]
    Unavailable(#[from] LogError),
}

/// What reprocessing the rejected gave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Reprocessed {
    /// Opened and stored now.
    pub accepted: u64,
    /// Refused again.
    pub still_refused: u64,
}

/// What asking a vendor found.
#[derive(Debug, Clone)]
pub struct Finding<'a> {
    /// Whom it is about.
    pub authorizer: &'a str,
    /// What happened: the end of an audit or a build, a grant, a withdrawal.
    pub kind: EventType,
    /// Normal fields of `data` (contract 4), without `derived` and `vendor`.
    pub data: Map<String, Value>,
    /// The operation that was asked; it stands where a push has the vendor's name of its event.
    pub asked: &'a str,
    /// The vendor's answer; no secret is in it.
    pub vendor: Value,
    /// When it happened by the vendor's clock; when it was found, where the vendor does not say.
    pub at: Timestamp,
    /// It did not happen before this: the submission, the grant. Tells this fact from an earlier one like it.
    pub since: Option<Timestamp>,
}

/// What became of an entry of a vendor's list of pushes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// It was missed, and is stored now.
    Fresh,
    /// It was stored before.
    Seen,
    /// It cannot be opened.
    Unreadable(PushError),
}

/// Bytes of an app id by which events are listed: more than of those that are known by it elsewhere, for a vendor may send what it likes.
const LONGEST_LISTED: usize = 1024;

/// The door.
pub struct Inbox {
    log: Arc<dyn EventLog>,
    rejections: Arc<dyn Rejections>,
    audience: Arc<dyn Audience>,
    tickets: Arc<dyn Tickets>,
    clock: Arc<dyn Clock>,
    components: Components,
    keeping: Keeping,
    meters: Meters,
}

impl Inbox {
    /// An inbox of these components over these ports.
    pub fn new(
        log: Arc<dyn EventLog>,
        rejections: Arc<dyn Rejections>,
        audience: Arc<dyn Audience>,
        tickets: Arc<dyn Tickets>,
        clock: Arc<dyn Clock>,
        components: Components,
    ) -> Self {
        let keeping = Keeping::of(components.iter().map(|one| one.name()), clock.passed());
        let meters = Meters::new(components.iter().map(|component| component.name()));
        Self { log, rejections, audience, tickets, clock, components, keeping, meters }
    }

    /// Opens a push, makes it durable, and says what to answer.
    ///
    /// # Errors
    /// It is not a push of this component, or the store does not take it.
    pub async fn accept(&self, component: &dyn Component, raw: RawPush) -> Result<Acknowledgement, Refusal> {
        let began = Instant::now();
        let name = component.name();
        let opened = component.open(&raw);
        let open = began.elapsed();
        let outcome = match opened {
            Ok(Opened::Push(push)) => {
                let acknowledgement = push.acknowledgement.clone();
                let kind = push.notice.kind();
                match self.store(component, push, raw.received_at).await {
                    Ok(outcome) => {
                        if matches!(outcome, Outcome::Duplicate) {
                            tracing::info!(component = name, r#type = %kind, "a push seen before was acknowledged again");
                        }
                        Ok((outcome, acknowledgement))
                    }
                    Err(error) => {
                        match &error {
                            // The platform sends again; a store that stays full shows in `yizhan_queue_depth`.
                            LogError::Full => tracing::warn!(component = name, %error, "a push was not acknowledged: the store is busy"),
                            error => tracing::error!(component = name, %error, "a push could not be stored and was not acknowledged"),
                        }
                        Err((Outcome::Unavailable, Refusal::Unavailable(error)))
                    }
                }
            }
            Ok(Opened::Check(answer)) => {
                tracing::info!(component = name, door = ?raw.door, "the address was checked");
                Ok((Outcome::Check, answer))
            }
            Err(error) => {
                let answer = component.refusal(&raw, &error);
                self.reject(component, error.reason(), error.to_string(), Some(raw));
                Err((Outcome::Refused, Refusal::Refused(error, answer)))
            }
        };
        let total = began.elapsed();
        self.meters.phase(Phase::Open, open);
        self.meters.phase(Phase::Total, total);
        match outcome {
            Ok((outcome, answer)) => {
                self.meters.push(name, outcome);
                if matches!(outcome, Outcome::Fresh | Outcome::Duplicate) {
                    self.meters.phase(Phase::Store, total.saturating_sub(open));
                }
                Ok(answer)
            }
            Err((outcome, refusal)) => {
                self.meters.push(name, outcome);
                Err(refusal)
            }
        }
    }

    /// A push over the size limit: remembered among the rejected without its body.
    #[expect(clippy::unused_async, reason = "the port of `http` awaits it, and another inbox may have to wait")]
    pub async fn too_large(&self, component: &dyn Component) {
        self.reject(component, "too-large", String::from("the body is larger than `server.max_push_bytes`"), None);
        self.meters.push(component.name(), Outcome::Refused);
    }

    /// A push that was not even read, because of all the others that are on their way. Anybody can send those: it is counted, and no line says more than that
    /// it was answered so.
    pub fn crowded_out(&self, component: &dyn Component) {
        self.meters.push(component.name(), Outcome::Unavailable);
    }

    /// Opens rejected pushes again: those of `ids`, or of a component, or all.
    ///
    /// # Errors
    /// The store does not answer. What was accepted until then is stored and gone from the rejected; asking again is safe.
    pub async fn reprocess(&self, component: Option<&str>, ids: Option<&[String]>) -> Result<Reprocessed, LogError> {
        let ids = match ids {
            Some(ids) => ids.to_vec(),
            None => self.rejections.ids(component).await?,
        };
        let mut reprocessed = Reprocessed::default();
        for id in ids {
            let kept = match self.rejections.open(&id).await {
                Err(LogError::Damaged(why)) => {
                    tracing::error!(rejected.id = %id, why, "a refused push cannot be read; the others are opened all the same");
                    None
                }
                kept => kept?,
            };
            let Some((rejected, raw)) = kept else {
                reprocessed.still_refused += 1;
                continue;
            };
            if component.is_some_and(|component| component != rejected.component) {
                continue;
            }
            let opened = self.components.named(&rejected.component).map(|component| (component, component.open(&raw)));
            let Some((component, Ok(opened))) = opened else {
                reprocessed.still_refused += 1;
                continue;
            };
            if let Opened::Push(push) = opened {
                let outcome = self.store(component.as_ref(), push, raw.received_at).await?;
                self.meters.push(component.name(), outcome);
            }
            self.rejections.remove(&id).await?;
            reprocessed.accepted += 1;
        }
        Ok(reprocessed)
    }

    /// An entry of the vendor's list of pushes, through the same door as a push.
    ///
    /// # Errors
    /// The store did not take it.
    pub async fn take_listed(&self, component: &dyn Component, entry: &Value) -> Result<Listed, LogError> {
        let received_at = self.clock.now();
        let push = match component.open_listed(entry, received_at) {
            Ok(push) => push,
            Err(error) => return Ok(Listed::Unreadable(error)),
        };
        Ok(match self.store(component, Box::new(push), received_at).await? {
            Outcome::Fresh => {
                self.meters.push(component.name(), Outcome::Fresh);
                Listed::Fresh
            }
            _ => Listed::Seen,
        })
    }

    /// What asking the vendor found becomes an event marked as derived, unless a push or an earlier finding told the same. The new event's id.
    ///
    /// # Errors
    /// The store did not take it.
    pub async fn derive(&self, component: &dyn Component, finding: Finding<'_>) -> Result<Option<EventId>, LogError> {
        let now = self.clock.now();
        let Finding { authorizer, kind, data, asked, vendor, at, since } = finding;
        let Some(fact) = Fact::found(authorizer, kind, &data, at, since, now) else {
            return Err(LogError::Failed(format!("{kind} is never derived")));
        };
        let told = &fact.told;
        let since_text = since.map(|since| since.to_string()).unwrap_or_default();
        let ids = [&told.version, &told.package_id, &told.audit_id].map(|id| id.as_deref().unwrap_or_default());
        let dedupe_key = format!("derived\n{}\n{authorizer}\n{kind}\n{since_text}\n{}", fact.subject.as_str(), ids.join("\n"));
        let notice = match kind {
            // Without a code: the vault asks the vendor for one.
            EventType::AuthorizationGranted => Notice::Granted(Grant { code: None, tokens: None, permissions: Vec::new(), granted_at: at }),
            EventType::AuthorizationRevoked => Notice::Revoked { at },
            kind => Notice::Fact { kind, data },
        };
        let push = Push {
            notice,
            vendor_type: asked.to_owned(),
            authorizer: Some(authorizer.to_owned()),
            time: at,
            dedupe_key,
            vendor,
            acknowledgement: Acknowledgement::success(),
        };
        let (id, accepted) = self.put_down(component, self.arrival(component, push, now, Some(fact), true)?).await?;
        Ok(match accepted {
            Accepted::Fresh(sequence) => {
                tracing::info!(component = component.name(), authorizer, event.id = %id, event.sequence = sequence, r#type = %kind, asked, "found what no push told");
                Some(id)
            }
            Accepted::Seen => None,
        })
    }

    /// The durable part of a push: a ticket first, then event and deliveries.
    async fn store(&self, component: &dyn Component, push: Box<Push>, received_at: Timestamp) -> Result<Outcome, LogError> {
        let name = component.name();
        if let Notice::Ticket(ticket) = &push.notice {
            // Before its event: a crash between the two leaves the push unacknowledged, and the platform sends it again.
            self.tickets.keep(name, ticket, received_at).await?;
        }
        let kind = push.notice.kind();
        let always_stored = match &push.notice {
            Notice::Granted(grant) if grant.code.is_some() || grant.tokens.is_some() => {
                !push.authorizer.as_deref().is_some_and(|app_id| self.tickets.has_tokens(name, app_id, grant))
            }
            _ => false,
        };
        let fact = Fact::pushed(&push, received_at, always_stored);
        // A block of its own, so that the future does not hold the arrival until its end (see `put_down`).
        let putting = {
            let arrival = self.arrival(component, *push, received_at, fact, false)?;
            self.put_down(component, arrival)
        };
        let (id, accepted) = putting.await?;
        match accepted {
            Accepted::Fresh(sequence) => {
                tracing::info!(component = name, event.id = %id, event.sequence = sequence, r#type = %kind, "a push was stored");
                Ok(Outcome::Fresh)
            }
            Accepted::Seen => Ok(Outcome::Duplicate),
        }
    }

    /// What becomes of a push in the log. The push itself is gone by then: nothing of it waits for the disk.
    fn arrival(
        &self,
        component: &dyn Component,
        push: Push,
        received_at: Timestamp,
        fact: Option<Fact>,
        derived: bool,
    ) -> Result<Arrival, LogError> {
        let name = component.name();
        let kind = push.notice.kind();
        let platform = component.platform().name();
        let dedupe_key = [name, "\n", &push.dedupe_key].concat();
        let id = EventId::of_message(received_at, &message_hash(&dedupe_key));
        let body = body::write(name, platform, id, &push, received_at, derived).map_err(|error| LogError::Failed(error.to_string()))?;
        let sealed = match &push.notice {
            Notice::Granted(grant) | Notice::Updated(grant) => Some(sealed(grant)?),
            Notice::Ticket(_) | Notice::Revoked { .. } | Notice::Fact { .. } => None,
        };
        let subscribers = self.audience.subscribers(name, kind);
        let event = Event {
            sequence: 0,
            id,
            component: name.to_owned(),
            platform: platform.to_owned(),
            // One that no vendor gives, and that may be longer than a key of the log: the event still names it, no list has it.
            authorizer: push.authorizer.filter(|app_id| app_id.len() <= LONGEST_LISTED),
            kind,
            time: push.time,
            received_at,
            body: Bytes::from(body),
        };
        Ok(Arrival { event, dedupe_key, sealed, subscribers, fact })
    }

    /// Event and deliveries in one batch; then whoever waits for them is woken.
    ///
    /// Whatever an `async fn` is given it holds until its end, mostly twice. With pushes and arrivals in them the futures of requests were so large
    /// that the allocator asked the system for each of them anew.
    fn put_down<'a>(
        &'a self,
        component: &'a dyn Component,
        arrival: Arrival,
    ) -> impl Future<Output = Result<(EventId, Accepted), LogError>> + Send + 'a {
        let (id, kind, subscribers) = (arrival.event.id, arrival.event.kind, arrival.subscribers.clone());
        let accepting = self.log.accept(arrival);
        async move {
            let accepted = accepting.await?;
            if let Accepted::Fresh(_) = accepted {
                self.audience.nudge(&subscribers);
                self.meters.event(component.name(), kind);
            }
            Ok((id, accepted))
        }
    }

    /// Keeps a refused push, without making the answer wait.
    fn reject(&self, component: &dyn Component, reason: &str, detail: String, raw: Option<RawPush>) {
        let room = match self.keeping.room(component.name(), raw.as_ref().map_or(0, |raw| raw.body.len()), self.clock.passed()) {
            Ok(room) => room,
            Err(unkept) => {
                if let Some(pushes) = unkept {
                    tracing::warn!(component = component.name(), pushes, reason, detail, "more pushes were refused than are kept");
                }
                return;
            }
        };
        let received_at = raw.as_ref().map_or_else(|| self.clock.now(), |raw| raw.received_at);
        let id = format!("rej_{}", event::random_uuid_at(received_at).as_simple());
        tracing::warn!(component = component.name(), rejected.id = %id, reason, detail, "a push was refused");
        let rejected = Rejected { id, component: component.name().to_owned(), received_at, reason: reason.to_owned(), detail };
        let rejections = self.rejections.clone();
        tokio::spawn(async move {
            if let Err(error) = rejections.keep(rejected, raw).await {
                tracing::warn!(%error, "a refused push could not be kept");
            }
            drop(room);
        });
    }
}

/// What travels sealed beside the event: the grant as JSON, for the vault's exchange only.
fn sealed(grant: &Grant) -> Result<Secret, LogError> {
    serde_json::to_string(grant).map(Secret::from).map_err(|error| LogError::Failed(error.to_string()))
}
