//! A connection as the server library reads it: one request at a time.
//!
//! The library takes apart all that it has read before it looks at an answer, and keeps each request that it finds as some 6 KB, however short it was:
//! twenty connections with a hundred kilobytes of short requests each, and without an eye for the answers, held a quarter of a gigabyte and kept a core
//! busy. So it reads through a [`Wire`], which hands on the head of a request, with what has come of the body that it announces, and nothing behind it
//! before the service has been asked; then the rest of the body; then, once the service has answered, the next head. Heads that are long need room, and
//! each must end in time. Whoever takes nothing of an answer for long is given up, however much it says meanwhile: the system does that only with those
//! who are silent.
//!
//! Nothing is decided here of what a request is. Where the library sees another body than was seen here, nothing more is handed on.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use actix_web::dev::RequestHead;
use actix_web::http::header;
use actix_web::rt::net::TcpStream;
use memchr::{memchr, memchr_iter};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::room::{Room, Share};

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
    /// What the present head has of the room, as far as it was handed on.
    head: Share,
    room: Room,
    /// Heads have come over it; it is the library that waits for the first.
    is_known: bool,
    unended: Wait,
    untaken: Wait,
}

/// How long something may take, from when it is first waited for.
struct Wait {
    most: Duration,
    begun: Option<Pin<Box<Sleep>>>,
}

impl Wait {
    fn of(most: Duration) -> Self {
        Self { most, begun: None }
    }

    /// Waits from now on, if not yet; ready once that took too long.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let most = self.most;
        self.begun.get_or_insert_with(|| Box::pin(tokio::time::sleep(most))).as_mut().poll(context)
    }

    fn ends(&mut self) {
        self.begun = None;
    }
}

/// How far a connection is; what the service tells the wire.
#[derive(Default)]
pub(super) struct Course {
    next: Cell<Next>,
    /// The present request was answered.
    is_answered: Cell<bool>,
    /// How much of its body was handed on together with a head.
    given: Cell<u64>,
    /// How many bytes of it were handed on, head and body.
    taken: Cell<usize>,
    /// Whoever reads, where more is there to be read.
    reader: RefCell<Option<Waker>>,
}

/// What is handed on next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Next {
    /// A head.
    #[default]
    Head,
    /// Nothing: a head was handed on and the service has not been asked yet, or it has not answered yet.
    Nothing,
    /// Nothing ever again.
    Never,
    /// So many bytes of a body.
    Body(u64),
    /// A body in chunks, whose length says itself.
    Chunks(Chunks),
}

impl Course {
    /// The service is asked that.
    pub fn asked(&self, request: &RequestHead, is_without_body: bool) {
        let given = self.given.take();
        let next = match announced(request) {
            None if given == 0 && is_without_body => Next::Nothing,
            None if given == 0 && request.headers.contains_key(header::TRANSFER_ENCODING) => Next::Chunks(Chunks::default()),
            // Whatever comes is its body.
            None if given == 0 => Next::Body(u64::MAX),
            Some(length) if length == given => Next::Nothing,
            Some(length) if length > given => Next::Body(length - given),
            _ => Next::Never,
        };
        self.is_answered.set(false);
        self.goes_on(next);
    }

    /// The service has answered it. Another head may be handed on once the library knows nothing of a request but that: it takes a body that has begun
    /// to come for one that was left unread, whose ever it is, and says that it will close the connection.
    pub fn answered(&self) {
        self.is_answered.set(true);
        if self.next.get() == Next::Nothing {
            self.goes_on(Next::Head);
        }
    }

    /// How many bytes the present request had so far. The library keeps the memory that it took for them as long as the connection is open.
    pub fn taken(&self) -> usize {
        self.taken.get()
    }

    /// What follows a body.
    fn behind(&self) -> Next {
        if self.is_answered.get() { Next::Head } else { Next::Nothing }
    }

    fn goes_on(&self, next: Next) {
        self.next.set(next);
        if next != Next::Nothing
            && let Some(reader) = self.reader.take()
        {
            reader.wake();
        }
    }
}

/// The length of a body, where its head says it: no request has that in two ways.
pub(super) fn announced(request: &RequestHead) -> Option<u64> {
    request.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// How many bytes those are.
fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
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
        for end in memchr_iter(b'\n', bytes) {
            self.goes_on(bytes.get(at..end).unwrap_or_default());
            at = end + 1;
            if self.is_begun && !self.is_filled {
                *self = Self::default();
                return Some(at);
            }
            self.is_filled = false;
        }
        self.goes_on(bytes.get(at..).unwrap_or_default());
        None
    }

    /// That is next in the present line.
    fn goes_on(&mut self, bytes: &[u8]) {
        if bytes.iter().any(|byte| *byte != b'\r') {
            *self = Self { is_begun: true, is_filled: true };
        }
    }
}

/// The length of the body that this head announces; nothing where there is none, or where the head could be read in another way.
fn announced_in(head: &[u8]) -> u64 {
    let mut lengths = None;
    let mut at = 0;
    for end in memchr_iter(b'\n', head) {
        let line = head.get(at..end).unwrap_or_default();
        at = end + 1;
        if !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T')) {
            continue;
        }
        let Some((name, value)) = memchr(b':', line).and_then(|colon| line.split_at_checked(colon)) else { continue };
        let length = std::str::from_utf8(value.get(1..).unwrap_or_default()).ok().and_then(|value| value.trim().parse().ok());
        lengths = match (lengths, length) {
            _ if name.eq_ignore_ascii_case(b"transfer-encoding") => return 0,
            (None, Some(length)) if name.eq_ignore_ascii_case(b"content-length") => Some(length),
            _ if name.eq_ignore_ascii_case(b"content-length") => return 0,
            (before, _) => before,
        };
    }
    lengths.unwrap_or_default()
}

impl Wire {
    /// That connection, whose long heads are in that room. Once a head takes longer than `to_ask`, nothing more is read; once nothing is taken of
    /// what waits for the other end for longer than `to_take`, it is given up.
    pub fn new(stream: TcpStream, room: Room, to_ask: Duration, to_take: Duration) -> Self {
        Self {
            stream,
            course: Rc::default(),
            lines: Lines::default(),
            held: Vec::new(),
            from: 0,
            head: Share::default(),
            room,
            is_known: false,
            unended: Wait::of(to_ask),
            untaken: Wait::of(to_take),
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

    /// How many of these bytes are handed on now, counted.
    ///
    /// # Errors
    /// As [`Wire::portion`].
    fn counted(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let before = if self.course.next.get() == Next::Head && self.head.is_empty() { 0 } else { self.course.taken.get() };
        let now = self.portion(bytes)?;
        self.course.taken.set(before.saturating_add(now));
        Ok(now)
    }

    /// How many of these bytes are handed on now.
    ///
    /// # Errors
    /// There is no room for as much of a head as has come.
    fn portion(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.course.next.get() {
            Next::Nothing | Next::Never => Ok(0),
            Next::Body(left) => {
                let now = length(bytes).min(left);
                self.course.next.set(if now == left { self.course.behind() } else { Next::Body(left - now) });
                Ok(usize::try_from(now).unwrap_or(bytes.len()))
            }
            Next::Chunks(mut chunks) => {
                let end = chunks.end_in(bytes);
                self.course.next.set(if end.is_some() { self.course.behind() } else { Next::Chunks(chunks) });
                Ok(end.unwrap_or(bytes.len()))
            }
            Next::Head => {
                let Some(end) = self.lines.end_in(bytes) else {
                    return if self.head.grow(&self.room, bytes.len()) { Ok(bytes.len()) } else { Err(ErrorKind::OutOfMemory.into()) };
                };
                self.course.next.set(Next::Nothing);
                let is_whole = std::mem::take(&mut self.head).is_empty();
                self.is_known = true;
                self.unended.ends();
                let (head, behind) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
                if !is_whole || behind.is_empty() {
                    return Ok(end);
                }
                // What came of the body is handed on with its head: the library, and the handler, are asked once and not twice.
                let given = announced_in(head).min(length(behind));
                self.course.given.set(given);
                Ok(end.saturating_add(usize::try_from(given).unwrap_or_default()))
            }
        }
    }

    /// Hands on from what is held.
    fn hand_on(&mut self, into: &mut ReadBuf<'_>) -> io::Result<()> {
        let mut held = std::mem::take(&mut self.held);
        let waiting = held.get(self.from..).unwrap_or_default();
        let some = waiting.get(..into.remaining()).unwrap_or(waiting);
        let now = self.counted(some)?;
        into.put_slice(some.get(..now).unwrap_or(some));
        self.from += now;
        if self.from >= held.len() {
            held.clear();
            held.shrink_to(KEPT);
            self.from = 0;
        }
        self.held = held;
        Ok(())
    }

    /// Reads, and keeps what is not handed on yet.
    fn read(&mut self, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        let come = into.filled().get(before..).unwrap_or_default();
        let now = self.counted(come)?;
        self.held.extend_from_slice(come.get(now..).unwrap_or_default());
        into.set_filled(before + now);
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if matches!(this.course.next.get(), Next::Nothing | Next::Never) {
            // Where nothing has come yet, this is polled again once something does; otherwise, once the service was asked or has answered.
            if !this.held.is_empty() || this.stream.poll_read_ready(context)?.is_ready() {
                this.course.reader.replace(Some(context.waker().clone()));
            }
            return Poll::Pending;
        }
        // A head that has begun and does not end: the library has a time for the first of a connection only. As if nobody were there any more.
        if this.is_known && !this.head.is_empty() && this.unended.poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if this.held.is_empty() {
            return this.read(context, into);
        }
        Poll::Ready(this.hand_on(into))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        if written.is_ready() {
            this.untaken.ends();
            return written;
        }
        ready!(this.untaken.poll(context));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
