//! Speaking to people and to programs: data to standard output, talk to standard error, colour and progress only on a terminal.

use std::io::{self, IsTerminal, Write as _};
use std::time::{Duration, Instant};

use super::failure::Failure;

/// How text looks.
#[derive(Debug, Clone, Copy)]
pub enum Look {
    /// Done.
    Good,
    /// Wants attention.
    Warning,
    /// Went wrong.
    Bad,
    /// Less important.
    Faint,
    /// A heading.
    Strong,
}

impl Look {
    const fn code(self) -> &'static str {
        match self {
            Self::Good => "\x1b[32m",
            Self::Warning => "\x1b[33m",
            Self::Bad => "\x1b[31m",
            Self::Faint => "\x1b[2m",
            Self::Strong => "\x1b[1m",
        }
    }
}

/// Where a command speaks.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    /// Whether data is wanted as JSON.
    pub json: bool,
    colour_data: bool,
    colour_talk: bool,
}

impl Terminal {
    /// Finds out what standard output and standard error are. `NO_COLOR`, set to anything, means no colour.
    pub fn new(json: bool) -> Self {
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { json, colour_data: colour && io::stdout().is_terminal(), colour_talk: colour && io::stderr().is_terminal() }
    }

    /// One line of data.
    pub fn data(&self, line: impl AsRef<str>) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", line.as_ref())
    }

    /// One JSON document on a line of its own.
    pub fn json(&self, value: &impl serde::Serialize) -> io::Result<()> {
        self.data(serde_json::to_string(value).map_err(io::Error::other)?)
    }

    /// One JSON document: indented for people, on a line of its own with `--json`. JSON escapes what could command a terminal.
    pub fn document(&self, value: &serde_json::Value) -> io::Result<()> {
        if self.json { self.json(value) } else { self.data(format!("{value:#}")) }
    }

    /// One line of talk.
    pub fn say(&self, line: impl AsRef<str>) {
        // Talk is a courtesy: a command goes on without.
        let _ = writeln!(io::stderr().lock(), "{}", line.as_ref());
    }

    /// Text for [`Terminal::data`] in that look.
    pub fn paint(&self, look: Look, text: &str) -> String {
        if self.colour_data { format!("{}{text}\x1b[0m", look.code()) } else { text.to_owned() }
    }

    /// Text for [`Terminal::say`] in that look.
    pub fn paint_talk(&self, look: Look, text: &str) -> String {
        if self.colour_talk { format!("{}{text}\x1b[0m", look.code()) } else { text.to_owned() }
    }

    /// Asks before something that cannot be undone. `yes` is `--yes`.
    ///
    /// A read from a terminal cannot be called off. It waits on a thread of its own, so that whoever runs the command still hears Ctrl-C; see
    /// [`super::wait`] for what becomes of that thread.
    pub async fn confirm(&self, question: &str, yes: bool) -> Result<(), Failure> {
        if yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(Failure::usage(question.to_owned(), "nobody can answer here: say --yes"));
        }
        let _ = write!(io::stderr().lock(), "{question} [y/N] ");
        let answer = tokio::task::spawn_blocking(|| {
            let mut answer = String::new();
            io::stdin().read_line(&mut answer).map(|_| answer)
        });
        let answer = answer.await.map_err(io::Error::from)??;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Failure::Interrupted),
        }
    }

    /// Progress of long work in several lines, on standard error.
    pub fn board(&self) -> Board {
        Board { live: io::stderr().is_terminal(), height: 0, progress: self.progress() }
    }

    /// Progress of long work, on standard error.
    pub fn progress(&self) -> Progress {
        Progress { live: io::stderr().is_terminal(), last: None, written: false }
    }
}

/// One line that tells how far long work is: rewritten in place on a terminal, else written again now and then.
#[derive(Debug)]
pub struct Progress {
    live: bool,
    last: Option<Instant>,
    written: bool,
}

impl Progress {
    /// How far it is.
    pub fn at(&mut self, line: &str) {
        let pause = if self.live { Duration::from_millis(100) } else { Duration::from_secs(10) };
        if self.last.is_some_and(|last| last.elapsed() < pause) {
            return;
        }
        self.last = Some(Instant::now());
        self.written = true;
        let mut err = io::stderr().lock();
        let _ = if self.live { write!(err, "\r\x1b[K{line}").and_then(|()| err.flush()) } else { writeln!(err, "{line}") };
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.live && self.written {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}

/// A few lines that tell how far long work is: redrawn in place on a terminal, else one line now and then.
#[derive(Debug)]
pub struct Board {
    live: bool,
    /// Lines that stand there now.
    height: usize,
    progress: Progress,
}

impl Board {
    /// Shows these lines; `short` is the same on one line, where nothing can be redrawn.
    pub fn show(&mut self, lines: &[String], short: &str) {
        if !self.live {
            self.progress.at(short);
            return;
        }
        // Lines that wrapped could not be redrawn: for the moment they are cut at the edge instead.
        let mut text = format!("{}\x1b[?7l", self.start());
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        text.push_str("\x1b[?7h");
        self.height = lines.len();
        let mut err = io::stderr().lock();
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }

    /// Says something that stays, above what is redrawn.
    pub fn aside(&mut self, line: &str) {
        let start = self.start();
        self.height = 0;
        let _ = writeln!(io::stderr().lock(), "{start}{line}");
    }

    /// Back to where the first line began, and nothing below.
    fn start(&self) -> String {
        if self.live && self.height > 0 { format!("\x1b[{}A\r\x1b[J", self.height) } else { String::new() }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        let _ = write!(io::stderr().lock(), "{}", self.start());
    }
}

/// Text from elsewhere, safe to print: control characters, which could move the cursor or change the terminal, become `\u{fffd}`.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
