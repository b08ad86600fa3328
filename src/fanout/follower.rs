//! Rooms of our own that hear of events by reading the log in its order, where a subscriber would have a delivery written, claimed and settled for
//! each event. A push pays nothing for them.
//!
//! For rooms to which hearing the same twice means nothing: how far one has come is remembered about once a second, so after a crash it hears the last
//! second again. What hears a thing that is done with once (a code) is a subscriber and has deliveries. Made and started by `app`.

use std::sync::Arc;
use std::time::Duration;

use super::schedule;
use crate::clock::Clock;
use crate::event_type::Glob;
use crate::inbox::log::LogError;
use crate::inbox::{Event, EventLog};
use crate::shutdown::Shutdown;

/// Who hears.
#[async_trait::async_trait]
pub trait Listener: Send + Sync {
    /// Takes in some events, oldest first; what must last of them is durable when this returns. Told twice they change nothing.
    ///
    /// # Errors
    /// The store's: all of them are told again.
    async fn hear(&self, events: &[Event]) -> Result<(), LogError>;

    /// Whether anything could concern it now. What is stored while nothing does is passed over unread.
    fn is_listening(&self) -> bool {
        true
    }
}

/// Where it is remembered how far each follower has come.
#[async_trait::async_trait]
pub trait Bookmarks: Send + Sync {
    /// The sequence up to which that follower has heard; `None` before the first.
    async fn bookmark(&self, follower: &str) -> Result<Option<u64>, LogError>;
    /// Remembers it durably.
    async fn keep_bookmark(&self, follower: &str, sequence: u64) -> Result<(), LogError>;
}

/// The stores that a follower reads.
#[derive(Clone)]
pub struct Shelves {
    /// The events.
    pub log: Arc<dyn EventLog>,
    /// The bookmarks.
    pub marks: Arc<dyn Bookmarks>,
}

/// Events read at a time.
const READ: usize = 256;

/// The pause after each reading. What comes meanwhile is read together and, where it is written, written together: a push does not wait for the
/// disk behind what the one before it brought.
const PAUSE: Duration = Duration::from_millis(25);

/// How often it is remembered how far a follower has come.
const KEPT_EVERY: Duration = Duration::from_secs(1);

/// How long is waited before an event is told again, or the log read again, the first time and at most.
const AGAIN_FIRST: Duration = Duration::from_millis(50);
const AGAIN: Duration = Duration::from_secs(5);

/// One of them.
pub struct Follower {
    name: &'static str,
    events: Vec<Glob>,
    listener: Arc<dyn Listener>,
    shelves: Shelves,
    clock: Arc<dyn Clock>,
    /// The sequence from behind which it reads.
    begins: u64,
}

impl Follower {
    /// A follower that goes on where the last one of that name was. The first of a name hears what is stored from now on.
    ///
    /// # Errors
    /// The store's.
    pub async fn open(
        name: &'static str,
        events: impl IntoIterator<Item = &str>,
        listener: Arc<dyn Listener>,
        shelves: Shelves,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LogError> {
        let newest = *shelves.log.newest().borrow();
        let begins = match shelves.marks.bookmark(name).await? {
            // Where damage took the newest events, their sequences may be given again.
            Some(sequence) => sequence.min(newest),
            None => {
                // Before the first event: a crash must not move the beginning behind what was stored until then.
                shelves.marks.keep_bookmark(name, newest).await?;
                newest
            }
        };
        Ok(Self { name, events: events.into_iter().map(Glob::new).collect(), listener, shelves, clock, begins })
    }

    /// Tells every event until shutdown.
    pub async fn run(self, shutdown: Shutdown) {
        let mut newest = self.shelves.log.newest();
        let (mut heard, mut kept) = (self.begins, self.begins);
        let mut keep_at = schedule::later(self.clock.now(), KEPT_EVERY);
        while !shutdown.is_requested() {
            // Before it is asked: whoever begins to listen after the answer hears all that is stored after this.
            let stored = *newest.borrow_and_update();
            let (reached, caught_up) =
                if self.listener.is_listening() { self.read_on(heard, &shutdown).await } else { (heard.max(stored), true) };
            heard = reached;
            let now = self.clock.now();
            // A clock that was set back is no reason to wait.
            if heard != kept && (now >= keep_at || keep_at > schedule::later(now, KEPT_EVERY)) {
                kept = self.keep(heard, kept).await;
                keep_at = schedule::later(now, KEPT_EVERY);
            }
            if caught_up {
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = shutdown.requested() => {}
                }
                tokio::select! {
                    // The sender lives as long as the log.
                    _ = newest.changed() => {}
                    () = self.clock.sleep_until(keep_at), if heard != kept => {}
                    () = shutdown.requested() => {}
                }
            }
        }
        if heard != kept {
            self.keep(heard, kept).await;
        }
    }

    /// Tells some events behind that sequence: how far it came, and whether there are no more. What is damaged is passed over: the log tells of it.
    async fn read_on(&self, heard: u64, shutdown: &Shutdown) -> (u64, bool) {
        let stretch = match self.shelves.log.following(heard, READ).await {
            Ok(stretch) => stretch,
            Err(error) => {
                tracing::error!(follower = self.name, %error, "the events behind a place in the log cannot be read");
                self.wait(AGAIN, shutdown).await;
                return (heard, false);
            }
        };
        match self.tell(stretch.events, shutdown).await {
            true => (stretch.reached, !stretch.more),
            false => (heard, false),
        }
    }

    /// Tells those events that it follows until they are taken; `false` when the shutdown came first.
    async fn tell(&self, mut events: Vec<Event>, shutdown: &Shutdown) -> bool {
        events.retain(|event| self.events.iter().any(|glob| glob.matches(event.kind.as_str())));
        let mut wait = AGAIN_FIRST;
        while let Some(first) = events.first()
            && let Err(error) = self.listener.hear(&events).await
        {
            let count = events.len();
            tracing::warn!(follower = self.name, event.id = %first.id, count, %error, "events were not taken in; they are told again");
            self.wait(wait, shutdown).await;
            if shutdown.is_requested() {
                return false;
            }
            wait = wait.saturating_mul(2).min(AGAIN);
        }
        true
    }

    async fn wait(&self, time: Duration, shutdown: &Shutdown) {
        tokio::select! {
            () = self.clock.sleep_until(schedule::later(self.clock.now(), time)) => {}
            () = shutdown.requested() => {}
        }
    }

    /// The place that is remembered after that.
    async fn keep(&self, heard: u64, kept: u64) -> u64 {
        match self.shelves.marks.keep_bookmark(self.name, heard).await {
            Ok(()) => heard,
            Err(error) => {
                tracing::warn!(follower = self.name, %error, "it is not remembered how far the log was read; after a restart some of it is read again");
                kept
            }
        }
    }
}
