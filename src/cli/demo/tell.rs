//! How the demo talks: one line per thing that happened.

use std::time::Instant;

use crate::cli::terminal::{Look, Progress, Terminal};

/// A voice.
pub(super) struct Tell<'a> {
    terminal: &'a Terminal,
    since: Instant,
}

impl<'a> Tell<'a> {
    pub(super) fn new(terminal: &'a Terminal) -> Self {
        Self { terminal, since: Instant::now() }
    }

    /// A heading.
    pub(super) fn chapter(&self, title: &str) {
        self.terminal.say(format!("\n{}", self.terminal.paint_talk(Look::Strong, title)));
    }

    /// Something held.
    pub(super) fn held(&self, what: &str) {
        self.terminal.say(format!("  {} {what}", self.terminal.paint_talk(Look::Good, "✓")));
    }

    /// Something did not hold.
    pub(super) fn broke(&self, what: &str) {
        self.terminal.say(format!("  {} {what}", self.terminal.paint_talk(Look::Bad, "✗")));
    }

    /// Something worth knowing.
    pub(super) fn note(&self, what: &str) {
        self.terminal.say(format!("  {}", self.terminal.paint_talk(Look::Faint, what)));
    }

    /// How far long work is. Ends before anything else is told.
    pub(super) fn progress(&self) -> Progress {
        self.terminal.progress()
    }

    /// Seconds since the story began.
    pub(super) fn seconds(&self) -> f64 {
        self.since.elapsed().as_secs_f64()
    }
}
