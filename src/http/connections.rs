//! How many connections are open. While there is room, an answered one is kept for the next request; once most of the room is taken, each is closed after its
//! answer.
//!
//! Whoever asks for `/healthz` once a minute on as many connections as there may be would keep everybody else out for good, platforms' pushes among them. So
//! what is left comes round: whoever waits for a connection gets one as soon as one was answered, or has run out of `client_timeout`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// All connections of the server. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Connections(Arc<Counted>);

struct Counted {
    open: AtomicUsize,
    /// More than so many are a crowd.
    room: usize,
}

/// One that is open, as long as this lives.
pub struct Open(Connections);

impl Connections {
    /// Of a server that has so many at most: three quarters of them may be kept.
    #[must_use]
    pub fn of(most: usize) -> Self {
        Self(Arc::new(Counted { open: AtomicUsize::new(0), room: most - most / 4 }))
    }

    /// One was opened.
    #[must_use]
    pub fn opened(&self) -> Open {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        Open(self.clone())
    }

    /// Whether an answered one is closed now.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.0.open.load(Ordering::Relaxed) > self.0.room
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
