//! What operators watch: how much waits for each subscription, for how long, and what is past its time.

use std::collections::BTreeSet;
use std::time::Duration;

use metrics::gauge;

use super::delivery::{DeliveryFilter, Status};
use super::subscription::{Origin, State, Subscription};
use super::{Fanout, schedule};
use crate::clock::Timestamp;
use crate::inbox::log::LogError;
use crate::shutdown::Shutdown;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(15);

/// A delivery that was due for this long and is not under way is past due: its worker does not keep up.
const PAST_DUE: Duration = Duration::from_secs(60);

/// Past-due deliveries are counted up to here; more is no other news.
const MOST_COUNTED: usize = 200;

/// Looks until shutdown.
pub(super) async fn watch(fanout: &Fanout, shutdown: &Shutdown) {
    let mut told = BTreeSet::new();
    while !shutdown.is_requested() {
        let roster = fanout.roster();
        let names: BTreeSet<String> = roster.entries().map(|entry| entry.subscription.name.clone()).collect();
        for gone in told.difference(&names) {
            // Nobody is alarmed by what is not there any more.
            tell(gone, 0, 0.0, 0);
        }
        told = names;
        for entry in roster.entries() {
            if let Err(error) = look(fanout, &entry.subscription).await {
                tracing::warn!(subscription = entry.subscription.name, %error, "cannot count what waits");
            }
        }
        tokio::select! {
            () = fanout.clock.sleep_until(schedule::later(fanout.clock.now(), EVERY)) => {}
            () = shutdown.requested() => {}
        }
    }
}

async fn look(fanout: &Fanout, subscription: &Subscription) -> Result<(), LogError> {
    let now = fanout.clock.now();
    let name = &subscription.name;
    let mut pending = fanout.outbox.depth(name).await?.pending;
    let oldest_at = match subscription.origin {
        _ if pending == 0 => None,
        Origin::Playbook => {
            // A run that waits for a person or for its time of day is not late.
            let deferred = fanout.outbox.deferred(name, now).await?;
            pending = pending.saturating_sub(deferred.count);
            deferred.oldest_other_at
        }
        Origin::File | Origin::Api | Origin::Internal => fanout.outbox.oldest(name).await?,
    };
    let age = oldest_at.map_or(0.0, |oldest| now.duration_since(oldest).as_secs_f64().max(0.0));
    let past_due = match subscription.state {
        State::Active if pending > 0 => past_due(fanout, name, now).await?,
        // What is held is not late.
        _ => 0,
    };
    tell(name, pending, age, past_due);
    if past_due > 0 {
        // A push whose platform hung up before its answer may have been stored without anybody telling the worker.
        fanout.ring(name);
    }
    Ok(())
}

fn tell(name: &str, pending: u64, oldest_seconds: f64, past_due: u64) {
    gauge!("yizhan_undelivered", "subscription" => name.to_owned()).set(count(pending));
    gauge!("yizhan_oldest_undelivered_seconds", "subscription" => name.to_owned()).set(oldest_seconds);
    gauge!("yizhan_past_due_deliveries", "subscription" => name.to_owned()).set(count(past_due));
}

async fn past_due(fanout: &Fanout, name: &str, now: Timestamp) -> Result<u64, LogError> {
    let late = |at: Option<Timestamp>| at.is_some_and(|at| schedule::later(at, PAST_DUE) < now);
    let due = fanout.outbox.next_due(name).await?;
    if !late(due) {
        return Ok(0);
    }
    let filter = DeliveryFilter { status: Some(Status::Pending), subscription: Some(name.to_owned()), ..DeliveryFilter::default() };
    let page = fanout.outbox.deliveries(&filter, None, MOST_COUNTED).await?;
    let counted = page.items.iter().filter(|delivery| late(delivery.next_attempt_at)).count();
    // The newest come first, so the late ones may stand further back. A store says "at once" with the epoch, which is no delivery's time.
    let least = u64::from(due.is_some_and(|due| due > Timestamp::UNIX_EPOCH));
    Ok(u64::try_from(counted).unwrap_or(u64::MAX).max(least))
}

/// A count as a gauge takes it; exact up to 2³².
fn count(number: u64) -> f64 {
    u32::try_from(number).map_or(f64::from(u32::MAX), f64::from)
}
