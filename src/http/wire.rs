//! A connection as the server library reads it: one request at a time.
//!
//! The library takes apart all that it has read before it looks at an answer, and keeps each request that it finds as some 6 KB, however short it was:
//! twenty connections with a hundred kilobytes of short requests each, and without an eye for the answers, held a quarter of a gigabyte and kept a core
//! busy. So it reads through a [`Wire`], which hands on the head of a request and nothing behind it before the service has been asked; then as much of a
//! body as was announced; then the next head. Heads that are long need room. Whoever takes nothing of an answer for long is given up, however much it says meanwhile: the system does that
//! only with those who are silent.
//!
//! Nothing is decided here of what a request is. Who disagrees with the library about where a head or a body ends is handed on more slowly, or not at all.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use actix_web::dev::RequestHead;
use actix_web::http::header;
use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;

use super::room::{Room, SMALL};

/// What is kept of the memory for bytes that wait here.
const KEPT: usize = 16 * 1024;

/// A connection.
pub(super) struct Wire {
    stream: TcpStream,
    course: Rc<Course>,
    lines: Lines,
    /// Read, and not handed on yet from that place on.
    held: Vec<u8>,
    from: usize,
    /// Bytes of the present head, and what it has of the room.
    head: usize,
    room: Room,
    share: Option<OwnedSemaphorePermit>,
    /// Ends where nothing was taken for so long.
    patience: Duration,
    untaken: Option<Pin<Box<Sleep>>>,
}

/// How far a connection is; what the service tells the wire.
#[derive(Default)]
pub(super) struct Course {
    next: Cell<Next>,
    /// Whoever reads, where more is there to be read.
    reader: RefCell<Option<Waker>>,
}

/// What is handed on next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Next {
    /// A head.
    #[default]
    Head,
    /// Nothing: a head was handed on, and the service has not been asked yet.
    Nothing,
    /// So many bytes of a body.
    Body(u64),
    /// A body in chunks, whose length says itself.
    Chunks(Chunks),
}

impl Course {
    /// The service is asked that.
    pub fn asked(&self, request: &RequestHead, is_without_body: bool) {
        let next = match announced(request) {
            _ if is_without_body => Next::Head,
            Some(0) => Next::Head,
            Some(length) => Next::Body(length),
            None if request.headers.contains_key(header::TRANSFER_ENCODING) => Next::Chunks(Chunks::default()),
            // Whatever comes is its body.
            None => Next::Body(u64::MAX),
        };
        self.next.set(next);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// The length of a body, where its head says it: no request has that in two ways.
fn announced(request: &RequestHead) -> Option<u64> {
    request.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// How far a body in chunks is (RFC 9112, 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunks {
    /// In a line that begins with a size.
    Size { size: u64, has_ended: bool },
    /// So many bytes of a chunk are left, the end of its line among them.
    Data(u64),
    /// Behind the last one, in a line in which something stands or nothing yet.
    Trailer { is_filled: bool },
}

impl Default for Chunks {
    fn default() -> Self {
        Self::Size { size: 0, has_ended: false }
    }
}

impl Chunks {
    /// Behind the end of the body in what comes next.
    fn end_in(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if let Self::Data(left) = self {
                let now = (bytes.len() - at).min(usize::try_from(*left).unwrap_or(usize::MAX));
                at += now;
                *left = left.saturating_sub(u64::try_from(now).unwrap_or(u64::MAX));
                if *left == 0 {
                    *self = Self::default();
                }
                continue;
            }
            at += 1;
            *self = match (*self, byte, char::from(*byte).to_digit(16)) {
                (Self::Size { size: 0, .. }, b'\n', _) => Self::Trailer { is_filled: false },
                (Self::Size { size, .. }, b'\n', _) => Self::Data(size.saturating_add(2)),
                (Self::Size { size, has_ended: false }, _, Some(digit)) => {
                    Self::Size { size: size.saturating_mul(16).saturating_add(u64::from(digit)), has_ended: false }
                }
                (Self::Size { size, .. }, ..) => Self::Size { size, has_ended: true },
                (Self::Trailer { is_filled: false }, b'\n', _) => return Some(at),
                (Self::Trailer { is_filled }, b'\n' | b'\r', _) => Self::Trailer { is_filled: is_filled && *byte == b'\r' },
                (Self::Trailer { .. }, ..) => Self::Trailer { is_filled: true },
                (data @ Self::Data(_), ..) => data,
            };
        }
        None
    }
}

/// Finds the end of a head: an empty line, once something has been said.
#[derive(Default)]
struct Lines {
    is_begun: bool,
    /// Something stands in the present line.
    is_filled: bool,
}

impl Lines {
    /// Behind the end of a head in what comes next.
    fn end_in(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            at += line.len();
            if line.iter().any(|byte| !matches!(byte, b'\r' | b'\n')) {
                *self = Self { is_begun: true, is_filled: true };
            }
            if line.ends_with(b"\n") {
                if self.is_begun && !self.is_filled {
                    *self = Self::default();
                    return Some(at);
                }
                self.is_filled = false;
            }
        }
        None
    }
}

impl Wire {
    /// That connection, whose long heads are in that room. It is given up once nothing is taken of what waits for the other end for so long.
    pub fn new(stream: TcpStream, room: Room, patience: Duration) -> Self {
        Self {
            stream,
            course: Rc::default(),
            lines: Lines::default(),
            held: Vec::new(),
            from: 0,
            head: 0,
            room,
            share: None,
            patience,
            untaken: None,
        }
    }

    /// The connection itself.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// How far it is.
    pub fn course(&self) -> Rc<Course> {
        Rc::clone(&self.course)
    }

    /// How many of these bytes are handed on now.
    fn portion(&mut self, bytes: &[u8]) -> usize {
        match self.course.next.get() {
            Next::Nothing => 0,
            Next::Body(left) => {
                let now = u64::try_from(bytes.len()).unwrap_or(u64::MAX).min(left);
                self.course.next.set(if now == left { Next::Head } else { Next::Body(left - now) });
                usize::try_from(now).unwrap_or(bytes.len())
            }
            Next::Chunks(mut chunks) => {
                let end = chunks.end_in(bytes);
                self.course.next.set(if end.is_some() { Next::Head } else { Next::Chunks(chunks) });
                end.unwrap_or(bytes.len())
            }
            Next::Head => {
                let Some(end) = self.lines.end_in(bytes) else { return bytes.len() };
                self.course.next.set(Next::Nothing);
                (self.head, self.share) = (0, None);
                end
            }
        }
    }

    /// Whether there is room for that much more of a head that has not ended yet.
    fn has_room(&mut self, bytes: usize) -> bool {
        if self.course.next.get() != Next::Head {
            return true;
        }
        let before = self.head.max(SMALL);
        self.head = self.head.saturating_add(bytes);
        let more = self.head.saturating_sub(before);
        if more == 0 {
            return true;
        }
        let Some(held) = self.room.hold(more) else { return false };
        match &mut self.share {
            Some(share) => share.merge(held),
            none => *none = Some(held),
        }
        true
    }

    /// Hands on from what is held.
    fn hand_on(&mut self, into: &mut ReadBuf<'_>) {
        let mut held = std::mem::take(&mut self.held);
        let waiting = held.get(self.from..).unwrap_or_default();
        let some = waiting.get(..into.remaining()).unwrap_or(waiting);
        let now = self.portion(some);
        into.put_slice(some.get(..now).unwrap_or(some));
        self.from += now;
        if self.from >= held.len() {
            held.clear();
            held.shrink_to(KEPT);
            self.from = 0;
        }
        self.held = held;
    }

    /// Reads, and keeps what is not handed on yet.
    fn read(&mut self, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        let come = into.filled().get(before..).unwrap_or_default();
        let now = self.portion(come);
        self.held.extend_from_slice(come.get(now..).unwrap_or_default());
        into.set_filled(before + now);
        Poll::Ready(if self.has_room(now) { Ok(()) } else { Err(ErrorKind::OutOfMemory.into()) })
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.course.next.get() == Next::Nothing {
            // Where nothing has come yet, this is polled again once something does; otherwise, once the service was asked.
            if !this.held.is_empty() || this.stream.poll_read_ready(context)?.is_ready() {
                this.course.reader.replace(Some(context.waker().clone()));
            }
            return Poll::Pending;
        }
        if this.held.is_empty() {
            return this.read(context, into);
        }
        this.hand_on(into);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        if written.is_ready() {
            this.untaken = None;
            return written;
        }
        let patience = this.patience;
        let untaken = this.untaken.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(untaken.as_mut().poll(context));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
