//! The live stream of events: server-sent events, taken up again after the last one seen whenever the connection breaks.

use std::time::Duration;

use anyhow::Context as _;
use bytes::BytesMut;
use reqwest::header;
use serde_json::Value;

use super::client::{ANOTHER_SERVICE, Client, Query};
use super::failure::{hinted, is_temporary};
use super::terminal::{Look, Terminal, plain};

/// One server-sent event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// Its kind, where it says one.
    pub kind: Option<String>,
    /// Its data; lines are joined.
    pub data: String,
}

/// A live stream.
pub struct Live<'a> {
    client: &'a Client,
    terminal: &'a Terminal,
    query: Query,
    /// Within which it must begin, each time.
    opening: Duration,
    last_seen: Option<String>,
    connection: Option<(reqwest::Response, Reader)>,
    failures: u32,
}

/// The kind of a message that names what the stream lacks.
const GAP: &str = "gap";

/// The service sends a sign of life far more often.
const SILENCE: Duration = Duration::from_secs(90);

impl<'a> Live<'a> {
    /// Connects. `after` is the id of the last event seen; without it the stream begins with what comes from now on. Each time that it is taken up it must
    /// begin within `opening`.
    pub async fn open(
        client: &'a Client,
        terminal: &'a Terminal,
        query: Query,
        after: Option<String>,
        opening: Duration,
    ) -> anyhow::Result<Self> {
        let mut live = Self { client, terminal, query, opening, last_seen: after, connection: None, failures: 0 };
        live.connect().await?;
        Ok(live)
    }

    async fn connect(&mut self) -> anyhow::Result<()> {
        let mut headers = vec![("accept", "text/event-stream")];
        headers.extend(self.last_seen.as_deref().map(|id| ("last-event-id", id)));
        let response = self.client.open(&["v1", "events", "stream"], &self.query, &headers, self.opening).await?;
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("text/event-stream") {
            return Err(hinted("the answer is no stream of events", ANOTHER_SERVICE).into());
        }
        self.connection = Some((response, Reader::default()));
        Ok(())
    }

    /// The next event, however often the connection breaks in between.
    ///
    /// # Errors
    /// Only what waiting does not mend: a key that is refused, a stream that is none.
    pub async fn next(&mut self) -> anyhow::Result<Frame> {
        loop {
            let Some((response, reader)) = &mut self.connection else {
                self.reconnect().await?;
                continue;
            };
            let frame = reader.next()?;
            if let Some(remark) = reader.remark.take() {
                // How the service took it up: from where on, or that it does not know the event to begin after.
                let remark = format!("stream: {}", plain(&remark));
                self.terminal.say(self.terminal.paint_talk(Look::Faint, &remark));
            }
            if let Some(id) = reader.last_id.take() {
                self.last_seen = Some(id);
            }
            if let Some(frame) = frame {
                self.failures = 0;
                if frame.kind.as_deref() == Some(GAP) {
                    self.tell_gap(&frame.data);
                    continue;
                }
                return Ok(frame);
            }
            match tokio::time::timeout(SILENCE, response.chunk()).await {
                Ok(Ok(Some(piece))) => reader.push(&piece),
                // Ended, broken or silent: all the same to us.
                _ => self.connection = None,
            }
        }
    }

    /// Says that events are missing here.
    fn tell_gap(&self, told: &str) {
        let told: Value = serde_json::from_str(told).unwrap_or_default();
        let detail = told.get("detail").and_then(Value::as_str).unwrap_or("the service does not say which");
        let line = format!("stream: events are missing here: {}", plain(detail));
        self.terminal.say(self.terminal.paint_talk(Look::Warning, &line));
    }

    async fn reconnect(&mut self) -> anyhow::Result<()> {
        let pause = Duration::from_millis(500 << self.failures.min(4));
        self.failures = self.failures.saturating_add(1);
        if self.failures == 1 {
            self.terminal.say(self.terminal.paint_talk(Look::Warning, "the connection broke; taking it up again"));
        }
        tokio::time::sleep(pause).await;
        match self.connect().await {
            Err(error) if is_temporary(&error) => Ok(()),
            done => done.context("the stream cannot be taken up again"),
        }
    }
}

/// Takes server-sent events out of the pieces of an answer.
#[derive(Debug, Default)]
struct Reader {
    pieces: BytesMut,
    frame: Frame,
    has_data: bool,
    id: Option<String>,
    /// The last id of a whole message, with data or without, until somebody takes it.
    pub last_id: Option<String>,
    /// The first comment, until somebody takes it. Later ones are signs of life.
    pub remark: Option<String>,
    has_comment: bool,
}

/// Longest line that is read: far above the largest event.
const LONGEST_LINE: usize = 16 * 1024 * 1024;

impl Reader {
    /// A piece came.
    pub fn push(&mut self, piece: &[u8]) {
        self.pieces.extend_from_slice(piece);
    }

    /// The next whole event, if it is there.
    ///
    /// # Errors
    /// A line without end.
    pub fn next(&mut self) -> anyhow::Result<Option<Frame>> {
        while let Some(end) = self.pieces.iter().position(|byte| *byte == b'\n') {
            let line = self.pieces.split_to(end + 1);
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\n', '\r']);
            if line.is_empty() {
                let frame = std::mem::take(&mut self.frame);
                // An id alone says from where on the stream is taken up again.
                self.last_id = self.id.take().or(self.last_id.take());
                if std::mem::take(&mut self.has_data) {
                    return Ok(Some(frame));
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                // A line that begins with a colon is a comment.
                "" if !std::mem::replace(&mut self.has_comment, true) => self.remark = Some(value.to_owned()),
                "id" => self.id = Some(value.to_owned()),
                "event" => self.frame.kind = Some(value.to_owned()),
                "data" => {
                    if std::mem::replace(&mut self.has_data, true) {
                        self.frame.data.push('\n');
                    }
                    self.frame.data.push_str(value);
                }
                _ => {}
            }
        }
        anyhow::ensure!(self.pieces.len() <= LONGEST_LINE, "the stream has a line without end");
        Ok(None)
    }
}
