//! What follows from tries, on its way into the outbox. What ended while the store was at it is settled together, so that many tries cost one
//! write to the disk. A delivery stays claimed until its settlement is durable: after a crash it is made again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::carrier::News;
use super::delivery::{Ended, Settlement};
use super::subscription::Ordering;
use super::{Fanout, schedule};
use crate::clock::Timestamp;
use crate::inbox::log::LogError;
use crate::shutdown::Shutdown;

/// Settlements that may wait; carriers that have more keep their slots until there is room.
pub(super) const MOST_WAITING: usize = 256;

/// Time from one round of settlements to the next. Where order is kept there is none: the next one of an authorizer waits for it.
const BETWEEN_ROUNDS: Duration = Duration::from_millis(2);

/// How often settlements are offered to a store that has no room.
const TRIES: u32 = 8;

/// Settles what comes until nobody is left who could send more.
pub(super) async fn settle(
    fanout: &Fanout,
    name: &str,
    mut ended: mpsc::Receiver<Ended>,
    tell: mpsc::UnboundedSender<News>,
    give_up: &Shutdown,
) {
    let mut some = Vec::new();
    while ended.recv_many(&mut some, MOST_WAITING).await > 0 {
        let begun = Instant::now();
        let round = Arc::from(std::mem::take(&mut some));
        offer(fanout, name, &round, give_up).await;
        let retries: Vec<Timestamp> = round.iter().filter_map(|one| retry_at(&one.settlement)).collect();
        let is_ordered = fanout.roster().entry(name).is_some_and(|entry| entry.subscription.ordering == Ordering::Authorizer);
        // A delivery that somebody asked for again while it was tried waits from now on, and nobody else tells of it. As with every news: nobody may
        // listen any more.
        let _ = tell.send(News::Settled(retries));
        if !is_ordered {
            tokio::time::sleep(BETWEEN_ROUNDS.saturating_sub(begun.elapsed())).await;
        }
    }
}

fn retry_at(settlement: &Settlement) -> Option<Timestamp> {
    match settlement {
        Settlement::Retry(_, at) | Settlement::Gone(_, at) | Settlement::Deferred(_, at) => Some(*at),
        _ => None,
    }
}

/// Offers settlements to the outbox until they are taken. Those that are lost are deliveries that are made again: at least once.
async fn offer(fanout: &Fanout, subscription: &str, round: &Arc<[Ended]>, give_up: &Shutdown) {
    let deliveries = round.len();
    let mut wait = Duration::from_millis(50);
    for _ in 0..TRIES {
        match fanout.outbox.settle_all(Arc::clone(round)).await {
            Ok(()) => return,
            Err(error @ LogError::Full) if !give_up.is_requested() => {
                tracing::warn!(subscription, deliveries, %error, "deliveries not settled; trying again");
            }
            Err(error) => {
                tracing::error!(subscription, deliveries, %error, "deliveries not settled; they will be made again");
                return;
            }
        }
        tokio::select! {
            () = fanout.clock.sleep_until(schedule::later(fanout.clock.now(), wait)) => {}
            () = give_up.requested() => {}
        }
        wait = wait.saturating_mul(2);
    }
    tracing::error!(subscription, deliveries, "deliveries not settled; they will be made again");
}
