//! Log lines on their way out. Whoever says something goes on at once; a thread of its own writes what has gathered.
//!
//! A write for each line held up the threads that answer requests: it took more of a push than verifying its signature, and where standard error
//! is a file on the store's disk, it waited for that disk. Warnings and errors are written before [`Write::write`] returns, with all that was said
//! before them. What a killed process may take with it is what it said last, within [`GATHERING`], and no louder than info.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// How long lines gather before they are written together.
const GATHERING: Duration = Duration::from_millis(10);

/// Bytes that may wait. Whoever says more writes it himself: a reader who does not keep up holds up the speakers, and no line is lost.
const MOST_WAITING: usize = 256 * 1024;

/// The lines of a process. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Lines(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    /// Rung when the first line waits.
    bell: Condvar,
    /// Taken before [`Self::waiting`], so that lines come out in the order in which they were said.
    out: Mutex<Out>,
}

#[derive(Default)]
struct Waiting {
    text: Vec<u8>,
    /// Nobody writes for others any more.
    ended: bool,
}

struct Out {
    to: Box<dyn Write + Send>,
    /// What is being written; changes places with what waits, so that neither is made anew.
    text: Vec<u8>,
}

impl Lines {
    /// Lines to that place, written until the returned end is dropped; what is said afterwards is written at once.
    pub fn to(to: impl Write + Send + 'static) -> (Self, End) {
        let out = Out { to: Box::new(to), text: Vec::new() };
        let lines = Self(Arc::new(Shared { waiting: Mutex::default(), bell: Condvar::new(), out: Mutex::new(out) }));
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
        loop {
            let idle = self.0.bell.wait_while(self.waiting(), |waiting| waiting.text.is_empty() && !waiting.ended);
            if idle.unwrap_or_else(PoisonError::into_inner).ended {
                return;
            }
            std::thread::sleep(GATHERING);
            // Where nobody reads them any more, lines are lost as they always were.
            let _ = self.write_all_waiting();
        }
    }

    fn write_all_waiting(&self) -> io::Result<()> {
        let mut out = self.0.out.lock().unwrap_or_else(PoisonError::into_inner);
        let Out { to, text } = &mut *out;
        text.clear();
        std::mem::swap(text, &mut self.waiting().text);
        to.write_all(text)
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
        let is_first = waiting.text.is_empty();
        waiting.text.extend_from_slice(line);
        let at_once = self.at_once || waiting.ended || waiting.text.len() > MOST_WAITING;
        drop(waiting);
        if at_once {
            self.lines.write_all_waiting()?;
        } else if is_first {
            self.lines.0.bell.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lines.write_all_waiting()
    }
}

/// Writes what still waits when it is dropped.
#[must_use = "lines are written at once from the moment it is dropped"]
pub struct End(Lines);

impl Drop for End {
    fn drop(&mut self) {
        self.0.waiting().ended = true;
        self.0.0.bell.notify_one();
        let _ = self.0.write_all_waiting();
    }
}
