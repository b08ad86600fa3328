//! What is known of a call whose answer was lost: what may have been sent before, and what the vendor's own record tells.
//!
//! Asked and read by each platform's look-up; `operations` decides by it whether a call may be sent again.

use super::call::{ApiError, Class};
use super::operation::Outcome;
use crate::clock::{SLACK, Timestamp};

/// What may have been sent of an operation before its first reply came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// Nothing: its replies show how things stood before its deed, and what the vendor dates before this moment, at which it began, is not its work.
    Nothing(Timestamp),
    /// Any of its calls, at this moment or later, by another process that ended before it knew what came of them: its replies may show the deed's own
    /// work already. Then only where things stand tells, and what the vendor dates, never a comparison with them.
    MaybeSent(Timestamp),
}

impl Earlier {
    /// Whether another process may have sent it.
    #[must_use]
    pub fn is_maybe_sent(self) -> bool {
        matches!(self, Self::MaybeSent(_))
    }

    /// Whether what the vendor dates so may be its work.
    #[must_use]
    pub fn may_have_made(self, dated: Timestamp) -> bool {
        let (Self::Nothing(since) | Self::MaybeSent(since)) = self;
        dated.saturating_add(SLACK).is_ok_and(|dated| dated >= since)
    }
}

/// What a look-up after a lost answer found.
#[derive(Debug, Clone, PartialEq)]
pub enum LookedUp {
    /// It took place.
    Done(Box<Outcome>),
    /// It took place, and what was found stands in for the answer that was lost: the operation goes on with it.
    Stands,
    /// It did not: it may be sent again.
    NotDone,
    /// It does not show, and nothing else stands where it would: once it has had time to show, it did not take place.
    NotShown,
    /// The vendor's answer does not tell.
    Unknown,
    /// The vendor is in trouble, or at work on it, or its answer cannot be read: asking later may tell.
    Later,
}

impl LookedUp {
    /// What it says that the question itself was refused.
    #[must_use]
    pub fn refused(error: &ApiError) -> Self {
        match error.class {
            Class::Retry | Class::RateLimited => Self::Later,
            _ if error.is_unreadable() => Self::Later,
            _ => Self::Unknown,
        }
    }
}
