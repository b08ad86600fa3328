//! Answers that others got: a question of a rollout or of a person may show the end that a lost push would have told. It becomes the one event
//! of that end before whoever asked hears it, so that every subscriber hears of it too.
//!
//! Called by the book, which observes the desk. Asks nobody.

use jiff::SignedDuration;

use super::audits::{Answer, read};
use super::book::{Awaited, Book, Submission};
use crate::clock::Timestamp;
use crate::inbox::{Finding, LogError};
use crate::operations::Observed;
use crate::platform::Component;

/// So long after a submission a vendor may still show what was before it.
const SHOWS_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// The list that every vendor with audits has.
const LIST: &str = "package.list";

impl Book {
    /// Holds an answer against what is awaited of that authorizer.
    ///
    /// # Errors
    /// The store's: then it is found by the next look.
    pub(super) async fn overheard(&self, component: &dyn Component, authorizer: &str, done: Observed<'_>) -> Result<(), LogError> {
        let name = component.name();
        let Some(look) = component.audit_look() else { return Ok(()) };
        let profile = component.profile_look().map(|look| look.operation);
        if done.operation != LIST
            && done.operation != look.operation
            && look.build != Some(done.operation)
            && profile != Some(done.operation)
        {
            return Ok(());
        }
        let Some(inbox) = self.listener(name, authorizer) else { return Ok(()) };
        for (place, submission) in self.accepted(name, authorizer) {
            let whole = match submission.awaited {
                Awaited::Audit => Some(look.operation),
                Awaited::Build => look.build,
                Awaited::Profile => profile,
            };
            let is_whole = whole == Some(done.operation);
            let is_list = submission.awaited == Awaited::Audit && done.operation == LIST;
            let shows = submission.submitted_at.checked_add(SHOWS_AFTER).unwrap_or(Timestamp::MAX);
            if !(is_whole || is_list) || done.at < shows || is_about_another(&submission, done) {
                continue;
            }
            let Answer::Ended { kind, data, at, since } = read(look, &submission, done.result) else { continue };
            let next = if is_whole {
                let (asked, vendor, at) = (done.operation, done.vendor.clone(), at.unwrap_or(done.at));
                let finding = Finding { authorizer, kind, data, asked, vendor, at, since: Some(since) };
                inbox.derive(component, finding).await?;
                None
            } else {
                // The list has no reasons (Alipay 5.3): the whole answer is asked for at once.
                Some(Submission { next_look_at: done.at, ..submission.clone() })
            };
            self.replace(name, &place, &submission, next).await?;
        }
        Ok(())
    }
}

/// Whether the question named another version.
fn is_about_another(submission: &Submission, done: Observed<'_>) -> bool {
    let asked = done.params.text("version");
    asked.is_some() && submission.version.is_some() && asked != submission.version
}
