//! Answers to everybody whose push was made durable by one commit. To wake a task of another thread is a system call, so the committing thread wakes
//! each thread once, and who is woken answers the others of its thread.

use std::thread::ThreadId;

use tokio::sync::oneshot;

use crate::inbox::{Accepted, LogError};

/// Who waits for an answer.
pub struct Asker {
    thread: ThreadId,
    to: oneshot::Sender<Result<Answer, LogError>>,
}

impl Asker {
    /// Somebody on this thread.
    pub fn here(to: oneshot::Sender<Result<Answer, LogError>>) -> Self {
        Self { thread: std::thread::current().id(), to }
    }

    /// Answers that nothing was stored, and why.
    pub fn refuse(self, why: LogError) {
        // If it is gone, the platform sends again.
        let _ = self.to.send(Err(why));
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
            let _ = asker.to.send(Ok(Self { accepted, others: Vec::new() }));
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
        let _ = first.to.send(Ok(answer));
    }
}
