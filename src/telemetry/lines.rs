//! Log lines on their way out. Whoever says something goes on at once; a thread of its own writes what has gathered.
//!
//! A write for each line held up the threads that answer requests: it took more of a push than verifying its signature, and where standard error
//! is a file on the store's disk, it waited for that disk. Whoever warns goes on when his line has been written, with all that was said before it. What a
//! killed process may take with it is what it said last, within [`GATHERING`], and no louder than info.
//!
//! Nobody may stop the service by not reading what it says (a pager, a terminal with Ctrl-S, a collector that hangs): whoever has waited for
//! [`PATIENCE`] goes on, and until lines are taken again nobody waits any more and what does not fit into [`MOST_WAITING`] is lost, and counted.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// How long lines gather before they are written together.
const GATHERING: Duration = Duration::from_millis(10);

/// Bytes that may wait. Whoever says more waits until there is room: a reader who does not keep up holds up the speakers.
const MOST_WAITING: usize = 256 * 1024;

/// How long he holds them up at most.
const PATIENCE: Duration = Duration::from_millis(500);

/// The lines of a process. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Lines(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    /// Rung when there is something to write.
    bell: Condvar,
    /// Rung when something was written, and when nobody should wait for that any longer.
    taken: Condvar,
    /// Taken before [`Self::waiting`], so that lines come out in the order in which they were said.
    out: Mutex<Out>,
}

#[derive(Default)]
struct Waiting {
    text: Vec<u8>,
    /// Bytes that were ever said, and how many of them were written.
    said: usize,
    written: usize,
    /// Somebody waits for them to be written.
    is_urgent: bool,
    /// Nobody has taken anything for [`PATIENCE`].
    is_stuck: bool,
    /// Lines that were lost since then.
    lost: u64,
    /// The thread that writes; it never waits for itself.
    writer: Option<ThreadId>,
    /// Nobody writes for others any more.
    ended: bool,
}

impl Waiting {
    fn has_room(&self, bytes: usize) -> bool {
        self.text.is_empty() || self.text.len() + bytes <= MOST_WAITING
    }
}

struct Out {
    to: Box<dyn Write + Send>,
    /// What is being written; changes places with what waits, so that neither is made anew.
    text: Vec<u8>,
}

impl Lines {
    /// Lines to that place, written until the returned end is dropped; what is said afterwards is written at once.
    pub fn to(to: impl Write + Send + 'static) -> (Self, End) {
        let out = Mutex::new(Out { to: Box::new(to), text: Vec::new() });
        let lines = Self(Arc::new(Shared { waiting: Mutex::default(), bell: Condvar::new(), taken: Condvar::new(), out }));
        let writing = lines.clone();
        let thread = std::thread::Builder::new().name(String::from("log-lines")).spawn(move || writing.write_until_ended());
        let end = End(lines.clone());
        // Without a thread each line is written when it is said.
        if thread.is_err() {
            lines.waiting().ended = true;
        }
        (lines, end)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_until_ended(&self) {
        self.waiting().writer = Some(std::thread::current().id());
        loop {
            let idle = self.0.bell.wait_while(self.waiting(), |waiting| waiting.text.is_empty() && !waiting.ended);
            let waiting = idle.unwrap_or_else(PoisonError::into_inner);
            if waiting.text.is_empty() {
                return;
            }
            drop(self.0.bell.wait_timeout_while(waiting, GATHERING, |waiting| !waiting.is_urgent && !waiting.ended));
            // Where nobody reads them any more, lines are lost as they always were.
            let _ = self.write_all_waiting();
            let lost = std::mem::take(&mut self.waiting().lost);
            if lost > 0 {
                tracing::warn!(lines = lost, "nobody took what was said here, and these lines were lost");
            }
        }
    }

    fn write_all_waiting(&self) -> io::Result<()> {
        let mut out = self.0.out.lock().unwrap_or_else(PoisonError::into_inner);
        let Out { to, text } = &mut *out;
        text.clear();
        {
            let mut waiting = self.waiting();
            std::mem::swap(text, &mut waiting.text);
            waiting.is_urgent = false;
        }
        let done = to.write_all(text);
        let mut waiting = self.waiting();
        waiting.written += text.len();
        waiting.is_stuck = false;
        self.0.taken.notify_all();
        done
    }

    /// Has all that was said written before it returns, if anybody takes it.
    fn write_out(&self, waiting: MutexGuard<'_, Waiting>) -> io::Result<()> {
        if !waiting.ended {
            let said = waiting.said;
            drop(self.hold_up(waiting, |waiting| waiting.written >= said));
        } else if !waiting.is_stuck {
            drop(waiting);
            self.write_all_waiting()?;
        }
        Ok(())
    }

    /// Has what waits written and waits for that, for no longer than a reader may hold up.
    fn hold_up<'a>(&'a self, mut waiting: MutexGuard<'a, Waiting>, until: impl Fn(&Waiting) -> bool) -> MutexGuard<'a, Waiting> {
        if waiting.is_stuck || waiting.writer == Some(std::thread::current().id()) {
            return waiting;
        }
        waiting.is_urgent = true;
        self.0.bell.notify_one();
        let held_up = self.0.taken.wait_timeout_while(waiting, PATIENCE, |waiting| !until(waiting) && !waiting.is_stuck);
        let (mut waiting, waited) = held_up.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            waiting.is_stuck = true;
            self.0.taken.notify_all();
        }
        waiting
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line { lines: self, at_once: false }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Self::Writer {
        Line { lines: self, at_once: *event.level() <= Level::WARN }
    }
}

/// Takes one line.
pub struct Line<'a> {
    lines: &'a Lines,
    at_once: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.lines.waiting();
        if !waiting.has_room(line.len()) {
            waiting = self.lines.hold_up(waiting, |waiting| waiting.has_room(line.len()));
            if !waiting.has_room(line.len()) {
                waiting.lost += 1;
                metrics::counter!("yizhan_log_lines_lost_total").increment(1);
                return Ok(line.len());
            }
        }
        let is_first = waiting.text.is_empty();
        waiting.text.extend_from_slice(line);
        waiting.said += line.len();
        if waiting.ended || self.at_once {
            self.lines.write_out(waiting)?;
        } else if is_first {
            self.lines.0.bell.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lines.write_out(self.lines.waiting())
    }
}

/// Has what still waits written when it is dropped.
#[must_use = "lines are written at once from the moment it is dropped"]
pub struct End(Lines);

impl Drop for End {
    fn drop(&mut self) {
        let _ = self.0.write_out(self.0.waiting());
        self.0.waiting().ended = true;
        self.0.0.bell.notify_one();
    }
}
