//! Answers to everybody whose push was made durable by one commit. To wake a task of another thread is a system call, so the committing thread wakes
//! each thread once, and who is woken answers the others of its thread.

use std::thread::ThreadId;

use tokio::sync::oneshot;

use crate::inbox::Accepted;

/// Who waits for an answer.
pub struct Asker {
    thread: ThreadId,
    to: oneshot::Sender<Answer>,
}

impl Asker {
    /// Somebody on this thread.
    pub fn here(to: oneshot::Sender<Answer>) -> Self {
        Self { thread: std::thread::current().id(), to }
    }
}

/// An answer, and what others of the same thread wait for: they have it when this is dropped, received or not.
pub struct Answer {
    /// What became of it.
    pub accepted: Accepted,
    others: Vec<(Asker, Accepted)>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        for (asker, accepted) in std::mem::take(&mut self.others) {
            // The platform may have hung up: it will send again and be told that it was seen.
            let _ = asker.to.send(Self { accepted, others: Vec::new() });
        }
    }
}

/// Answers all of them.
pub fn send(all: Vec<(Asker, Accepted)>) {
    let mut threads: Vec<(Asker, Answer)> = Vec::new();
    for (asker, accepted) in all {
        match threads.iter_mut().find(|(first, _)| first.thread == asker.thread) {
            Some((_, answer)) => answer.others.push((asker, accepted)),
            None => threads.push((asker, Answer { accepted, others: Vec::new() })),
        }
    }
    for (first, answer) in threads {
        // If it is gone, the answer comes back and the others have theirs from here.
        let _ = first.to.send(answer);
    }
}
