//! Room for what others send: how much of it is held at a time, in all.
//!
//! Each body has a limit of its own and a time in which it must come, but connections are many: some thousands that send next to all of a large body and
//! stop there would hold gigabytes. Small bodies, as pushes usually are, need no room; what a body is beyond that is taken from the room as it comes, and
//! given back when the request has been answered. Heads are held against the room of strangers in the same way, until they have ended.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What every body, and every head, may have without asking. Times `server.max_connections`, this is held on top of the room.
pub const SMALL: usize = 16 * 1024;

/// Bytes that are free. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Room(Arc<Semaphore>);

/// What one body or head has of a room, as long as this lives.
#[derive(Default)]
pub struct Share {
    bytes: usize,
    taken: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Room of so many bytes.
    #[must_use]
    pub fn of(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes)))
    }

    /// So many bytes, if they are free, until that is dropped.
    fn hold(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()
    }
}

impl Share {
    /// So many bytes more have come; whether there is room for them.
    pub fn grow(&mut self, room: &Room, bytes: usize) -> bool {
        let before = self.bytes.max(SMALL);
        self.bytes = self.bytes.saturating_add(bytes);
        let more = self.bytes.saturating_sub(before);
        if more == 0 {
            return true;
        }
        let Some(held) = room.hold(more) else { return false };
        match &mut self.taken {
            Some(taken) => taken.merge(held),
            none => *none = Some(held),
        }
        true
    }

    /// Nothing has come yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }
}
