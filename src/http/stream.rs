//! `GET /v1/events/stream`: server-sent events as they are stored, resumable with `Last-Event-ID`.
//!
//! A connection holds a position in the log and no queue: what a slow reader has not taken is still in the log, not in memory. Connections read the log in
//! turns: a thousand readers who want all of it again, or none of what comes, take no more of the machine than one.
//!
//! A reader always has an id to come back with: besides the events', ids of places (`seq_…`) come with the greeting and with every sign of life. What it
//! cannot be given is named by a message of its own, `event: gap`, which readers of plain messages do not see.

use std::convert::Infallible;
use std::sync::Arc;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::stream;
use jiff::SignedDuration;
use serde_json::json;
use tokio::sync::watch;

use super::Face;
use super::caller::{Caller, EventsRead, Reach};
use super::parameters::Query;
use super::places::Place;
use super::problem::Problem;
use crate::app::App;
use crate::clock::Timestamp;
use crate::inbox::{Event, EventFilter, EventId, EventLog, LogError};

/// Between two signs of life on a quiet stream: proxies cut connections that are silent for a minute.
const HEARTBEAT: SignedDuration = SignedDuration::from_secs(15);

/// Events read from the log at a time: the most that one connection holds in memory.
const BATCH: usize = 100;

/// After how many milliseconds a reader that lost its connection comes back.
const COME_BACK_MS: u32 = 2_000;

/// `GET /v1/events/stream`.
pub async fn stream(
    caller: Caller<EventsRead>,
    face: web::Data<Face>,
    request: HttpRequest,
    mut query: Query,
) -> Result<HttpResponse, Problem> {
    let filter = EventFilter {
        component: query.glob("component"),
        platform: query.glob("platform"),
        authorizer: query.glob("authorizer"),
        kind: query.glob("type"),
        ..EventFilter::default()
    };
    query.finish()?;
    let taken = face.last(caller.name())?;
    let newest = face.app.log.newest();
    let last_seen = request.headers().get("last-event-id").map(|value| value.to_str().unwrap_or_default().trim());
    let reach = caller.reach();
    let start = start(&face.app, &reach, last_seen, *newest.borrow()).await?;
    let gap = start.gap.map(|gap| gap.message()).unwrap_or_default();
    let greeting = format!("retry: {COME_BACK_MS}\n{}: {}\n\n{gap}", place(&*face.app.log, start.sequence), start.remark);
    let tail = Tail {
        beat_at: next_beat(&face.app),
        face,
        key: caller.name().to_owned(),
        reach,
        filter,
        newest,
        sequence: start.sequence,
        whole_from: 0,
        greeting: Some(greeting),
        _place: taken,
    };
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // Asks nginx not to collect the stream before passing it on.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(stream::unfold(tail, Tail::next)))
}

/// Where a stream starts.
struct Start {
    /// Behind this sequence.
    sequence: u64,
    /// What people are told about it.
    remark: &'static str,
    /// What programs are.
    gap: Option<Gap>,
}

/// Ids of places begin so.
const PLACE: &str = "seq_";

/// What ids of places in that log begin with; the sequence follows behind which the place is. The timeline is among it, because the same sequence is another
/// place on another one. Where the log has none, they are as former builds gave them.
fn places(log: &dyn EventLog) -> String {
    log.timeline().map_or_else(|| PLACE.to_owned(), |timeline| format!("{PLACE}{timeline:016x}_"))
}

/// The line that gives a reader an id to come back with, where no event does.
fn place(log: &dyn EventLog, sequence: u64) -> String {
    format!("id: {}{sequence}\n", places(log))
}

async fn start(app: &App, reach: &Reach, last_seen: Option<&str>, newest: u64) -> Result<Start, LogError> {
    let from = |sequence, remark| Start { sequence, remark, gap: None };
    let Some(last_seen) = last_seen.filter(|id| !id.is_empty()) else { return Ok(from(newest, "from now")) };
    if let Ok(id) = last_seen.parse::<EventId>() {
        let known = match app.log.event(id).await {
            Err(LogError::Damaged(error)) => {
                tracing::warn!(event.id = %id, error, "damage: the event of a Last-Event-ID cannot be read; its stream is resumed from its time");
                None
            }
            known => known?,
        };
        // An event that the caller may not see is told no differently from one that is not there.
        if let Some(event) = known.filter(|event| reach.has(&event.component)) {
            return Ok(from(event.sequence, "resumed"));
        }
        let sequence = match app.log.sequence_before(id.received_at()).await {
            Err(LogError::Damaged(error)) => {
                tracing::error!(event.id = %id, error, "damage: nobody can say where a stream is to be resumed; it starts from now");
                let remark = "where the event of the Last-Event-ID stands cannot be read; from now; /v1/events has what was missed";
                return Ok(Start { gap: Some(Gap::Unplaced), ..from(newest, remark) });
            }
            sequence => sequence?,
        };
        return Ok(from(sequence, "the event of the Last-Event-ID is not known here; resumed from the time at which it was received"));
    }
    match last_seen.strip_prefix(&*places(&*app.log)).and_then(|sequence| sequence.parse().ok()) {
        Some(sequence) if sequence <= newest => Ok(from(sequence, "resumed")),
        _ => Ok(Start {
            gap: Some(Gap::UnknownId),
            ..from(newest, "the Last-Event-ID is not known here, from now; /v1/events has what was missed")
        }),
    }
}

/// What a reader is not given though it may have asked for it.
#[derive(Clone, Copy)]
enum Gap {
    /// Its id says nothing to this service.
    UnknownId,
    /// Where its id stands cannot be read.
    Unplaced,
    /// Retention has removed events behind its place.
    Expunged,
    /// So many events cannot be read.
    Damaged(usize),
}

impl Gap {
    /// As a message.
    fn message(self) -> String {
        let told = match self {
            Self::UnknownId => {
                json!({"reason": "unknown-id", "detail": "the Last-Event-ID is not known here; /v1/events has what came since it was given"})
            }
            Self::Unplaced => {
                json!({"reason": "damaged", "detail": "where the Last-Event-ID stands cannot be read any more; /v1/events has what came since it was given"})
            }
            Self::Expunged => {
                json!({"reason": "expunged", "detail": "events behind the Last-Event-ID are older than the retention time and no longer kept"})
            }
            Self::Damaged(events) => {
                json!({"reason": "damaged", "events": events, "detail": "events that may have been meant for this stream cannot be read any more"})
            }
        };
        format!("event: gap\ndata: {told}\n\n")
    }
}

fn next_beat(app: &App) -> Timestamp {
    app.clock.now().checked_add(HEARTBEAT).unwrap_or(Timestamp::MAX)
}

/// One connection.
struct Tail {
    face: web::Data<Face>,
    /// Name of the key, which has its turn to read.
    key: String,
    reach: Reach,
    filter: EventFilter,
    /// Tells of new events.
    newest: watch::Receiver<u64>,
    /// The last sequence looked at.
    sequence: u64,
    /// The reader was told that what is missing before this sequence was removed by retention.
    whole_from: u64,
    /// When the next sign of life is due.
    beat_at: Timestamp,
    /// What is said first.
    greeting: Option<String>,
    /// Given back when the reader goes.
    _place: Place,
}

impl Tail {
    /// The next piece to send; `None` ends the stream. Asked only when the connection can take more.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if let Some(greeting) = self.greeting.take() {
            return Some((Ok(greeting.into()), self));
        }
        let app = Arc::clone(&self.face.app);
        loop {
            if self.face.closing.is_requested() {
                return None;
            }
            if *self.newest.borrow_and_update() > self.sequence {
                // Until what was read is written out, and no longer: a reader who takes nothing holds up nobody.
                let _turn = tokio::select! {
                    turn = self.face.reading.next(&self.key) => turn,
                    () = self.face.closing.requested() => return None,
                    () = app.clock.sleep_until(self.beat_at) => return Some(self.beat()),
                };
                let whole_from = app.log.whole_from();
                let stretch = match app.log.following(self.sequence, BATCH).await {
                    Ok(stretch) => stretch,
                    Err(error) => {
                        tracing::error!(%error, "event stream ended");
                        return None;
                    }
                };
                let mut text = String::new();
                if self.sequence.saturating_add(1) < whole_from && self.whole_from < whole_from {
                    self.whole_from = whole_from;
                    text += &Gap::Expunged.message();
                }
                self.sequence = stretch.reached;
                text.extend(stretch.events.iter().filter(|event| self.wants(event)).map(frame));
                if !stretch.unreadable.is_empty() {
                    text += &Gap::Damaged(stretch.unreadable.len()).message();
                }
                if !text.is_empty() {
                    self.beat_at = next_beat(&app);
                    return Some((Ok(text.into()), self));
                }
                if stretch.more && app.clock.now() < self.beat_at {
                    continue;
                }
            }
            tokio::select! {
                changed = self.newest.changed() => changed.ok()?,
                () = self.face.closing.requested() => return None,
                () = app.clock.sleep_until(self.beat_at) => return Some(self.beat()),
            }
        }
    }

    /// A sign of life, with a place to come back to.
    fn beat(mut self) -> (Result<Bytes, Infallible>, Self) {
        self.beat_at = next_beat(&self.face.app);
        let text = format!(": still here\n{}\n", place(&*self.face.app.log, self.sequence));
        (Ok(text.into()), self)
    }

    fn wants(&self, event: &Event) -> bool {
        self.reach.has(&event.component) && self.filter.fits(event)
    }
}

/// One event as a message. A line break inside JSON is only ever white space, so it may become one `data` line more.
fn frame(event: &Event) -> String {
    let body = String::from_utf8_lossy(&event.body);
    let mut text = format!("id: {}\n", event.id);
    for line in body.lines() {
        text.push_str("data: ");
        text.push_str(line);
        text.push('\n');
    }
    text.push('\n');
    text
}
