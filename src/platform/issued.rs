//! What a vendor's twin has handed out (tickets, tokens, codes): each valid until its end, some of them once.
//!
//! Used by the twins only; the service's own store is the vault.

use std::collections::HashMap;

use crate::clock::Timestamp;

/// How something that was handed out stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It works.
    Good,
    /// Its time is over.
    Expired,
    /// It was single-use and has been used.
    Used,
    /// Never handed out, or taken back.
    Unknown,
}

struct Note<W> {
    what: W,
    dies: Timestamp,
    used: bool,
}

/// Everything of one kind that was handed out, by its text.
pub struct Issued<W> {
    notes: HashMap<String, Note<W>>,
    tidy_at: usize,
}

/// Notes kept before the first tidying.
const FIRST_TIDYING: usize = 4096;

impl<W> Default for Issued<W> {
    fn default() -> Self {
        Self { notes: HashMap::new(), tidy_at: FIRST_TIDYING }
    }
}

impl<W> Issued<W> {
    /// Hands something out until `dies`.
    pub fn issue(&mut self, text: String, what: W, dies: Timestamp, now: Timestamp) {
        if self.notes.len() >= self.tidy_at {
            self.notes.retain(|_, note| !note.used && note.dies > now);
            self.tidy_at = FIRST_TIDYING.max(self.notes.len() * 2);
        }
        self.notes.insert(text, Note { what, dies, used: false });
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self, text: &str, now: Timestamp) -> State {
        match self.notes.get(text) {
            None => State::Unknown,
            Some(note) if note.used => State::Used,
            Some(note) if note.dies <= now => State::Expired,
            Some(_) => State::Good,
        }
    }

    /// What was written down for it, if it works.
    ///
    /// # Errors
    /// How it stands instead.
    pub fn good(&self, text: &str, now: Timestamp) -> Result<&W, State> {
        match (self.state(text, now), self.notes.get(text)) {
            (State::Good, Some(note)) => Ok(&note.what),
            (state, _) => Err(state),
        }
    }

    /// Uses it up.
    pub fn spend(&mut self, text: &str) {
        if let Some(note) = self.notes.get_mut(text) {
            note.used = true;
        }
    }

    /// It dies at `at`, unless it dies before.
    pub fn shorten(&mut self, text: &str, at: Timestamp) {
        if let Some(note) = self.notes.get_mut(text) {
            note.dies = note.dies.min(at);
        }
    }

    /// Takes it back: from now on it was never handed out.
    pub fn withdraw(&mut self, text: &str) {
        self.notes.remove(text);
    }

    /// Takes back all of which `which` is true.
    pub fn withdraw_all(&mut self, which: impl Fn(&W) -> bool) {
        self.notes.retain(|_, note| !which(&note.what));
    }
}
