//! The vendor's own list of pushes that did not arrive (Baidu 2.8, 5.9): every entry goes through the door of a push, so what arrived after
//! all is known.
//!
//! Entries stay in the list after they were taken, so each look sees those of the last day again; the log knows them. It is never asked for
//! more than the log remembers of messages, or old ones would be new.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Corner, LookState, Reconcile, Report, SLACK};
use crate::clock::Timestamp;
use crate::inbox::Listed;
use crate::platform::looks::MISSED_PUSHES;

/// A push is repeated for a while before it counts as failed, so each look begins this much before the one before it.
const OVERLAP: Duration = Duration::from_secs(86_400);
/// The list goes back a month (Baidu 5.9); a day less, since clocks differ.
const LONGEST_BACK: Duration = Duration::from_secs(29 * 86_400);
/// One question spans at most a week.
const SPAN: Duration = Duration::from_secs(6 * 86_400);
/// Entries of a page.
const SIZE: u64 = 100;
/// Pages of one span.
const MOST_PAGES: u64 = 500;

impl Reconcile {
    /// Reads the list since the last look that saw all of it.
    pub(super) async fn missed(&self, corner: &Corner, state: &LookState) -> Report {
        let now = self.clock.now();
        let back = |by: Duration| now.checked_sub(by).unwrap_or(Timestamp::MIN);
        let horizon = back(self.options.remembered.min(LONGEST_BACK));
        // A look that was made while the clock was ahead saw another part of the list.
        let complete_at = state.complete_at.filter(|at| *at <= now.checked_add(SLACK).unwrap_or(Timestamp::MAX));
        let since_last = complete_at.and_then(|at| at.checked_sub(OVERLAP).ok()).unwrap_or(horizon);
        let mut from = state.lost_since.map_or(since_last, |lost| lost.min(since_last)).max(horizon);
        // 1: all, 2: those that failed. After a loss the acknowledged ones are what is missing.
        let push_type = if state.lost_since.is_some() { 1 } else { 2 };
        let mut report = Report::default();
        while from < now && report.error.is_none() {
            let until = from.checked_add(SPAN).unwrap_or(now).min(now);
            self.span(corner, (from, until), push_type, &mut report).await;
            from = until;
        }
        report
    }

    async fn span(&self, corner: &Corner, (from, until): (Timestamp, Timestamp), push_type: u64, report: &mut Report) {
        let component = corner.component.as_ref();
        let mut seen: u64 = 0;
        for page in 0..MOST_PAGES {
            // Cut to whole seconds; the end is cut upwards.
            let (start, end) = (from.as_second(), until.as_second().saturating_add(1));
            let asked = json!({"start": start, "end": end, "push_type": push_type, "offset": page * SIZE, "count": SIZE});
            let params: Map<String, Value> = asked.as_object().cloned().unwrap_or_default();
            report.asked += 1;
            let outcome = match self.desk.carry_out(component.name(), None, MISSED_PUSHES, params).await {
                Ok(outcome) => outcome,
                Err(error) => return report.fail(error),
            };
            let items = outcome.result.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            for entry in items {
                match self.inbox.take_listed(component, entry).await {
                    Ok(Listed::Fresh) => report.found += 1,
                    Ok(Listed::Seen) => {}
                    // One that no key opens would stop the list for good if it were waited for.
                    Ok(Listed::Unreadable(error)) => {
                        let id = entry.get("id").and_then(Value::as_str);
                        tracing::warn!(component = component.name(), id, %error, "an entry of the list of missed pushes cannot be opened");
                    }
                    Err(error) => return report.fail(error),
                }
            }
            seen += u64::try_from(items.len()).unwrap_or(u64::MAX);
            let count = outcome.result.get("count").and_then(Value::as_u64);
            if items.is_empty() || count.is_some_and(|count| seen >= count) {
                return;
            }
        }
        report.fail("the list of missed pushes is longer than one look reads");
    }
}
