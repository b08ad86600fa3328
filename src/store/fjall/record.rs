//! How events, deliveries and refused pushes are written as bytes, and how keys are built. Compact by hand: an event's JSON is stored once,
//! and reading a page copies no body.
//!
//! Every value begins with a version. Numbers are big-endian, so that keys sort by them.

use bytes::Bytes;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::envelope::digest;
use crate::event_type::EventType;
use crate::fanout::delivery::{Attempt, Delivery, DeliveryId, Status};
use crate::inbox::event::uuid_at;
use crate::inbox::{Event, EventId};
use crate::platform::RawPush;
use crate::platform::push::Door;

const VERSION: u8 = 1;
/// Names up to this many bytes stand in keys as they are; longer ones as their SHA-256.
const LONGEST_NAME: usize = 200;
/// Tries kept of one delivery; older ones go.
const ATTEMPTS_KEPT: usize = 100;

/// Appends a name so that no other name's keys begin with it.
pub fn name(key: &mut Vec<u8>, name: &str) {
    match u8::try_from(name.len()) {
        Ok(length) if name.len() <= LONGEST_NAME => {
            key.push(length);
            key.extend_from_slice(name.as_bytes());
        }
        _ => {
            key.push(u8::MAX);
            key.extend_from_slice(&digest::sha256(&[name.as_bytes()]));
        }
    }
}

/// `kind ‖ name`: the prefix of everything about that name.
pub fn named(kind: u8, of: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(of.len() + 34);
    key.push(kind);
    name(&mut key, of);
    key
}

/// `kind ‖ name ‖ number`.
pub fn numbered(kind: u8, of: &str, number: u64) -> Vec<u8> {
    let mut key = named(kind, of);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The number at the end of a key.
pub fn last_number(key: &[u8]) -> Option<u64> {
    key.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}

/// A moment as a number that sorts; moments before 1970 are 1970.
pub fn nanoseconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_nanosecond().max(0)).unwrap_or(u64::MAX)
}

/// The moment of [`nanoseconds`].
pub fn moment(nanoseconds: u64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or(Timestamp::MAX)
}

/// Milliseconds since 1970 that a UUIDv7 carries.
pub fn milliseconds(id: Uuid) -> u64 {
    let [a, b, c, d, e, f, ..] = *id.as_bytes();
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

/// The moment at which a delivery was made, to the millisecond.
pub fn created(id: DeliveryId) -> Timestamp {
    i64::try_from(milliseconds(id.0)).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
}

/// The id of the delivery that is made together with its event: computed from the event's and the subscription's name, and the event's from it, so that
/// neither needs an index.
pub fn first_delivery(event: EventId, subscription: &str) -> DeliveryId {
    DeliveryId(mixed(event.0, subscription))
}

/// The event of a delivery that was made together with it.
pub fn event_of(delivery: DeliveryId, subscription: &str) -> EventId {
    EventId(mixed(delivery.0, subscription))
}

/// Changes what is random in a UUIDv7 in a way that depends on a name; the same again changes it back.
fn mixed(id: Uuid, name: &str) -> Uuid {
    let mut rest = [0; 10];
    let (_, random) = id.as_bytes().split_at(6);
    rest.iter_mut().zip(random).zip(digest::sha256(&[name.as_bytes()])).for_each(|((to, random), mask)| *to = random ^ mask);
    uuid::Builder::from_unix_timestamp_millis(milliseconds(id), &rest).into_uuid()
}

/// The id that former versions gave to the delivery that is made together with its event.
fn former_first_delivery(event: EventId, received_at: Timestamp, subscription: &str) -> DeliveryId {
    let hash = digest::sha256(&[event.0.as_bytes(), subscription.as_bytes()]);
    let mut rest = [0; 10];
    rest.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    DeliveryId(uuid_at(received_at, &rest))
}

/// Both ids that the delivery made together with an event may have.
pub fn first_deliveries(event: &Event, subscription: &str) -> [DeliveryId; 2] {
    [first_delivery(event.id, subscription), former_first_delivery(event.id, event.received_at, subscription)]
}

/// What is kept in order, short: equal for equal keys, and for different ones practically never.
pub fn order_of(ordering_key: &str) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = digest::sha256(&[ordering_key.as_bytes()]);
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// `component/authorizer`, or `component/`.
pub fn ordering_key(component: &str, authorizer: Option<&str>) -> String {
    format!("{component}/{}", authorizer.unwrap_or_default())
}

/// The value of a key that says everything.
pub const NOTHING: [u8; 0] = [];

/// What the engine keeps, shared and not copied.
pub fn shared(slice: fjall::Slice) -> Bytes {
    Bytes::from_owner(slice)
}

/// Reads what was written, piece by piece; `None` when it ends too early.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub fn uuid(&mut self) -> Option<Uuid> {
        self.array().map(Uuid::from_bytes)
    }

    pub fn long(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_be_bytes(self.array()?);
        self.bytes(usize::try_from(length).ok()?)
    }

    pub fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.long()?).ok()
    }

    pub fn optional_text(&mut self) -> Option<Option<&'a str>> {
        match self.byte()? {
            0 => Some(None),
            _ => Some(Some(self.text()?)),
        }
    }

    pub fn time(&mut self) -> Option<Timestamp> {
        let second = i64::from_be_bytes(self.array()?);
        let nanosecond = i32::from_be_bytes(self.array()?);
        Timestamp::new(second, nanosecond).ok()
    }
}

fn put_long(to: &mut Vec<u8>, bytes: &[u8]) {
    // Nothing here comes near 4 GiB: pushes are bounded by `server.max_push_bytes`.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(bytes);
}

fn put_optional_text(to: &mut Vec<u8>, text: Option<&str>) {
    to.push(u8::from(text.is_some()));
    if let Some(text) = text {
        put_long(to, text.as_bytes());
    }
}

fn put_time(to: &mut Vec<u8>, at: Timestamp) {
    to.extend_from_slice(&at.as_second().to_be_bytes());
    to.extend_from_slice(&at.subsec_nanosecond().to_be_bytes());
}

/// An event without its sequence, which is its key; `sealed` is sealed already, empty when there is none.
pub fn write_event(event: &Event, sealed: &[u8]) -> Vec<u8> {
    let head = 96 + event.component.len() + event.platform.len() + event.authorizer.as_ref().map_or(0, String::len);
    let mut to = Vec::with_capacity(head + sealed.len() + event.body.len());
    to.push(VERSION);
    to.extend_from_slice(event.id.0.as_bytes());
    put_time(&mut to, event.time);
    put_time(&mut to, event.received_at);
    put_long(&mut to, event.kind.as_str().as_bytes());
    put_long(&mut to, event.component.as_bytes());
    put_long(&mut to, event.platform.as_bytes());
    put_optional_text(&mut to, event.authorizer.as_deref());
    put_long(&mut to, sealed);
    to.extend_from_slice(&event.body);
    to
}

/// The event and its sealed part (empty when there is none). The body is a view into `value`.
pub fn read_event(sequence: u64, value: &Bytes) -> Option<(Event, Bytes)> {
    let mut from = Reader(value);
    if from.byte()? != VERSION {
        return None;
    }
    let id = EventId(from.uuid()?);
    let time = from.time()?;
    let received_at = from.time()?;
    // A type that a later version knew is kept as what this one does not know.
    let kind = from.text()?.parse().unwrap_or(EventType::VendorOther);
    let component = from.text()?.to_owned();
    let platform = from.text()?.to_owned();
    let authorizer = from.optional_text()?.map(str::to_owned);
    let sealed = from.long()?;
    let sealed = value.slice_ref(sealed);
    let body = value.slice_ref(from.0);
    Some((Event { sequence, id, component, platform, authorizer, kind, time, received_at, body }, sealed))
}

/// A delivery as stored: the port's, and where the present schedule began among its attempts.
#[derive(Debug, Clone)]
pub struct StoredDelivery {
    pub delivery: Delivery,
    /// Attempts before this one belong to schedules that a retry or a replay ended.
    pub schedule: usize,
}

impl StoredDelivery {
    /// One that was never tried.
    pub fn fresh(id: DeliveryId, event: &Event, subscription: &str, replay: Option<&str>, now: Timestamp) -> Self {
        let delivery = Delivery {
            id,
            event_id: event.id,
            event_sequence: event.sequence,
            subscription: subscription.to_owned(),
            ordering_key: ordering_key(&event.component, event.authorizer.as_deref()),
            status: Status::Pending,
            attempts: Vec::new(),
            next_attempt_at: Some(now),
            created_at: now,
            replay: replay.map(str::to_owned),
        };
        Self { delivery, schedule: 0 }
    }

    /// Records a try.
    pub fn tried(&mut self, attempt: Attempt) {
        self.delivery.attempts.push(attempt);
        let surplus = self.delivery.attempts.len().saturating_sub(ATTEMPTS_KEPT);
        self.delivery.attempts.drain(..surplus);
        self.schedule = self.schedule.saturating_sub(surplus);
    }

    /// Makes it due with a fresh schedule; what was tried before stays on record.
    pub fn restart(&mut self, now: Timestamp) {
        self.delivery.status = Status::Pending;
        self.delivery.next_attempt_at = Some(now);
        self.schedule = self.delivery.attempts.len();
    }

    /// As a worker is given it: only the attempts of the present schedule.
    pub fn for_worker(mut self) -> Delivery {
        self.delivery.attempts.drain(..self.schedule.min(self.delivery.attempts.len()));
        self.delivery
    }
}

const STATUSES: [(u8, Status); 4] = [(0, Status::Pending), (1, Status::Delivered), (2, Status::Dead), (3, Status::Cancelled)];

/// A delivery without its id, which is its key.
pub fn write_delivery(stored: &StoredDelivery) -> Vec<u8> {
    let delivery = &stored.delivery;
    let mut to = Vec::with_capacity(96 + delivery.subscription.len() + delivery.ordering_key.len());
    to.push(VERSION);
    // `Held` is how pending reads while a subscription is paused; it is never stored.
    to.push(STATUSES.iter().find(|(_, status)| *status == delivery.status).map_or(0, |(byte, _)| *byte));
    to.extend_from_slice(&delivery.event_sequence.to_be_bytes());
    to.extend_from_slice(delivery.event_id.0.as_bytes());
    put_time(&mut to, delivery.created_at);
    to.push(u8::from(delivery.next_attempt_at.is_some()));
    put_time(&mut to, delivery.next_attempt_at.unwrap_or(delivery.created_at));
    put_optional_text(&mut to, delivery.replay.as_deref());
    put_long(&mut to, delivery.subscription.as_bytes());
    put_long(&mut to, delivery.ordering_key.as_bytes());
    to.extend_from_slice(&u32::try_from(stored.schedule).unwrap_or(u32::MAX).to_be_bytes());
    if !delivery.attempts.is_empty() {
        // Numbers, texts and times: writing them as JSON cannot fail.
        to.extend(serde_json::to_vec(&delivery.attempts).unwrap_or_default());
    }
    to
}

/// The delivery of that id.
pub fn read_delivery(id: DeliveryId, value: &[u8]) -> Option<StoredDelivery> {
    let mut from = Reader(value);
    if from.byte()? != VERSION {
        return None;
    }
    let byte = from.byte()?;
    let status = STATUSES.iter().find(|(known, _)| *known == byte)?.1;
    let event_sequence = from.number()?;
    let event_id = EventId(from.uuid()?);
    let created_at = from.time()?;
    let waits = from.byte()? != 0;
    let next = from.time()?;
    let replay = from.optional_text()?.map(str::to_owned);
    let subscription = from.text()?.to_owned();
    let ordering_key = from.text()?.to_owned();
    let schedule = usize::try_from(u32::from_be_bytes(from.array()?)).ok()?;
    let attempts = if from.0.is_empty() { Vec::new() } else { serde_json::from_slice(from.0).ok()? };
    let next_attempt_at = waits.then_some(next);
    let delivery =
        Delivery { id, event_id, event_sequence, subscription, ordering_key, status, attempts, next_attempt_at, created_at, replay };
    Some(StoredDelivery { delivery, schedule })
}

/// A refused push, to be sealed.
pub fn write_push(raw: &RawPush) -> Vec<u8> {
    let mut to = Vec::with_capacity(64 + raw.query.len() + raw.body.len());
    to.push(VERSION);
    to.push(match raw.door {
        Door::Authorization => 0,
        Door::Message => 1,
    });
    to.push(u8::from(raw.is_get));
    put_time(&mut to, raw.received_at);
    put_long(&mut to, raw.query.as_bytes());
    put_long(&mut to, &raw.body);
    for (name, value) in &raw.headers {
        put_long(&mut to, name.as_bytes());
        put_long(&mut to, value);
    }
    to
}

/// The push of [`write_push`].
pub fn read_push(value: &[u8]) -> Option<RawPush> {
    let mut from = Reader(value);
    if from.byte()? != VERSION {
        return None;
    }
    let door = if from.byte()? == 0 { Door::Authorization } else { Door::Message };
    let is_get = from.byte()? != 0;
    let received_at = from.time()?;
    let query = from.text()?.to_owned();
    let body = Bytes::copy_from_slice(from.long()?);
    let mut headers = Vec::new();
    while !from.0.is_empty() {
        headers.push((from.text()?.to_owned(), from.long()?.to_vec()));
    }
    Some(RawPush { door, is_get, headers, query, body, received_at })
}

/// What the index of dead letters says of one.
pub fn write_dead(sequence: u64, subscription: &str) -> Vec<u8> {
    let mut to = sequence.to_be_bytes().to_vec();
    to.extend_from_slice(subscription.as_bytes());
    to
}

/// Sequence of the event and name of the subscription.
pub fn read_dead(value: &[u8]) -> Option<(u64, &str)> {
    let mut from = Reader(value);
    Some((from.number()?, std::str::from_utf8(from.0).ok()?))
}
