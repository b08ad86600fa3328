//! `GET /v1/events/stream`: server-sent events as they are stored, resumable with `Last-Event-ID`.
//!
//! A connection holds a position in the log and no queue: what a slow reader has not taken is still in the log, not in memory.

use std::convert::Infallible;
use std::sync::Arc;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::stream;
use jiff::SignedDuration;
use tokio::sync::watch;

use super::Face;
use super::caller::{Caller, EventsRead, Reach};
use super::parameters::Query;
use super::problem::Problem;
use crate::app::App;
use crate::clock::Timestamp;
use crate::inbox::{Event, EventFilter, EventId, LogError};
use crate::shutdown::Shutdown;

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
    let newest = face.app.log.newest();
    let last_seen = request.headers().get("last-event-id").map(|value| value.to_str().unwrap_or_default().trim());
    let reach = caller.reach();
    let (sequence, remark) = start(&face.app, &reach, last_seen, *newest.borrow()).await?;
    let greeting = format!("retry: {COME_BACK_MS}\n: {remark}\n\n");
    let tail = Tail {
        beat_at: next_beat(&face.app),
        app: Arc::clone(&face.app),
        reach,
        filter,
        closing: face.closing.clone(),
        newest,
        sequence,
        greeting: Some(greeting),
    };
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // Asks nginx not to collect the stream before passing it on.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(stream::unfold(tail, Tail::next)))
}

/// Behind which sequence the stream starts, and what the reader is told about it.
async fn start(app: &App, reach: &Reach, last_seen: Option<&str>, newest: u64) -> Result<(u64, &'static str), LogError> {
    let Some(last_seen) = last_seen.filter(|id| !id.is_empty()) else { return Ok((newest, "from now")) };
    let known = match last_seen.parse::<EventId>() {
        Ok(id) => app.log.event(id).await?,
        Err(_) => None,
    };
    // An event that the caller may not see is told no differently from one that is not there.
    Ok(match known.filter(|event| reach.has(&event.component)) {
        Some(event) => (event.sequence, "resumed"),
        None => (newest, "the Last-Event-ID is not known here, from now; /v1/events has what was missed"),
    })
}

fn next_beat(app: &App) -> Timestamp {
    app.clock.now().checked_add(HEARTBEAT).unwrap_or(Timestamp::MAX)
}

/// One connection.
struct Tail {
    app: Arc<App>,
    reach: Reach,
    filter: EventFilter,
    /// Ends the stream.
    closing: Shutdown,
    /// Tells of new events.
    newest: watch::Receiver<u64>,
    /// The last sequence looked at.
    sequence: u64,
    /// When the next sign of life is due.
    beat_at: Timestamp,
    /// What is said first.
    greeting: Option<String>,
}

impl Tail {
    /// The next piece to send; `None` ends the stream. Asked only when the connection can take more.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if let Some(greeting) = self.greeting.take() {
            return Some((Ok(greeting.into()), self));
        }
        loop {
            if self.closing.is_requested() {
                return None;
            }
            if *self.newest.borrow_and_update() > self.sequence {
                let events = match self.app.log.following(self.sequence, BATCH).await {
                    Ok(events) => events,
                    Err(error) => {
                        tracing::error!(%error, "event stream ended");
                        return None;
                    }
                };
                if let Some(last) = events.last() {
                    self.sequence = last.sequence;
                    let text: String = events.iter().filter(|event| self.wants(event)).map(frame).collect();
                    if !text.is_empty() {
                        self.beat_at = next_beat(&self.app);
                        return Some((Ok(text.into()), self));
                    }
                    if self.app.clock.now() < self.beat_at {
                        continue;
                    }
                }
            }
            let app = Arc::clone(&self.app);
            tokio::select! {
                changed = self.newest.changed() => changed.ok()?,
                () = self.closing.requested() => return None,
                () = app.clock.sleep_until(self.beat_at) => {
                    self.beat_at = next_beat(&self.app);
                    return Some((Ok(Bytes::from_static(b": still here\n\n")), self));
                }
            }
        }
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
