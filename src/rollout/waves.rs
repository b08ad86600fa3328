//! Who may begin: canaries first, then batches; and when a rollout stops itself or is done. Pure functions over its items.

use super::record::{Item, Rollout, State};
use super::stage::Stage;

/// What the items say about their rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    GoOn,
    /// It stops, for this reason.
    Stop(String),
    /// Nothing is left to do.
    Done,
}

/// Items that take part, in their order. Those that were skipped make room for the next.
fn taking_part<'a>(items: impl Iterator<Item = &'a Item>) -> Vec<&'a Item> {
    let mut items: Vec<&Item> = items.filter(|item| item.stage != Stage::Skipped).collect();
    items.sort_by_key(|item| item.place);
    items
}

fn size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// How many of those that take part may have begun: the canaries until all of them have arrived or ended, then one batch after the other.
fn open(rollout: &Rollout, items: &[&Item]) -> usize {
    let spec = &rollout.spec;
    let has_ended =
        |from: usize, to: usize| items.iter().skip(from).take(to.saturating_sub(from)).all(|item| spec.until.is_over(item.stage));
    let mut open = 0;
    if spec.canary > 0 {
        open = size(spec.canary);
        if !has_ended(0, open) {
            return open.min(items.len());
        }
    }
    if spec.batch == 0 {
        return items.len();
    }
    while open < items.len() {
        let next = open.saturating_add(size(spec.batch));
        if !has_ended(open, next) {
            return next.min(items.len());
        }
        open = next;
    }
    items.len()
}

/// The place up to which (and without which) items may begin.
#[must_use]
pub fn begins_below<'a>(rollout: &Rollout, items: impl Iterator<Item = &'a Item>) -> u32 {
    let items = taking_part(items);
    let open = open(rollout, &items);
    items.get(open).map_or(u32::MAX, |first_that_waits| first_that_waits.place)
}

/// Whether it stops, goes on, or is done.
#[must_use]
pub fn review<'a>(rollout: &Rollout, items: impl Iterator<Item = &'a Item>) -> Verdict {
    let spec = &rollout.spec;
    let items = taking_part(items);
    let is_done = items.iter().all(|item| spec.until.is_over(item.stage));
    let failures = items.iter().filter(|item| item.stage.is_failure()).count();
    let forgiven = size(rollout.forgiven);
    if rollout.state == State::Running && failures > forgiven {
        let canaries = size(spec.canary);
        let of_canaries = items.iter().take(canaries).filter(|item| item.stage.is_failure()).count();
        let open = open(rollout, &items);
        if of_canaries > forgiven && !is_done {
            return Verdict::Stop(format!("{of_canaries} of the {canaries} that went first failed"));
        }
        if let Some(most) = spec.stop_above_failed_percent
            && failures.saturating_sub(forgiven).saturating_mul(100) > open.saturating_mul(usize::from(most))
            && !is_done
        {
            return Verdict::Stop(format!("{failures} of {open} failed, more than {most} %"));
        }
    }
    if is_done { Verdict::Done } else { Verdict::GoOn }
}
