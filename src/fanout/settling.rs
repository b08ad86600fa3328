//! What follows from tries, on its way into the outbox. What ended while the store was at it is settled together, so that many tries cost one
//! write to the disk. A delivery stays claimed until its settlement is durable: after a crash it is made again.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::mpsc;

use super::carrier::News;
use super::delivery::{Delivery, Settlement};
use super::subscription::Ordering;
use super::{Fanout, schedule};
use crate::clock::Timestamp;
use crate::inbox::log::LogError;
use crate::shutdown::Shutdown;

/// Settlements that may wait; carriers that have more keep their slots until there is room.
pub(super) const MOST_WAITING: usize = 256;

/// Time from one round of settlements to the next. Where order is kept there is none: the next one of an authorizer waits for it.
const BETWEEN_ROUNDS: Duration = Duration::from_millis(2);

/// How often a settlement is offered to a store that has no room.
const TRIES: u32 = 8;

/// A try that ended.
pub(super) struct Ended {
    pub delivery: Delivery,
    pub settlement: Settlement,
    pub ordering: Ordering,
}

/// Settles what comes until nobody is left who could send more.
pub(super) async fn settle(fanout: &Fanout, mut ended: mpsc::Receiver<Ended>, tell: mpsc::UnboundedSender<News>, give_up: &Shutdown) {
    let mut some = Vec::new();
    while ended.recv_many(&mut some, MOST_WAITING).await > 0 {
        let begun = Instant::now();
        join_all(some.iter().map(|one| offer(fanout, one, give_up))).await;
        let is_ordered = some.iter().any(|one| one.ordering == Ordering::Authorizer);
        let retries: Vec<Timestamp> = some.drain(..).filter_map(|one| retry_at(&one.settlement)).collect();
        if is_ordered || !retries.is_empty() {
            // As with every news: nobody may listen any more.
            let _ = tell.send(News::Settled(retries));
        }
        if !is_ordered {
            tokio::time::sleep(BETWEEN_ROUNDS.saturating_sub(begun.elapsed())).await;
        }
    }
}

fn retry_at(settlement: &Settlement) -> Option<Timestamp> {
    match settlement {
        Settlement::Retry(_, at) | Settlement::Deferred(_, at) => Some(*at),
        _ => None,
    }
}

/// Offers a settlement to the outbox until it is taken. One that is lost is a delivery that is made again: at least once.
async fn offer(fanout: &Fanout, one: &Ended, give_up: &Shutdown) {
    let id = one.delivery.id;
    let mut wait = Duration::from_millis(50);
    for _ in 0..TRIES {
        match fanout.outbox.settle(&one.delivery, one.settlement.clone()).await {
            Ok(()) => return,
            Err(error @ LogError::Full) if !give_up.is_requested() => {
                tracing::warn!(delivery.id = %id, %error, "delivery not settled; trying again");
            }
            Err(error) => {
                tracing::error!(delivery.id = %id, %error, "delivery not settled; it will be made again");
                return;
            }
        }
        tokio::select! {
            () = fanout.clock.sleep_until(schedule::later(fanout.clock.now(), wait)) => {}
            () = give_up.requested() => {}
        }
        wait = wait.saturating_mul(2);
    }
    tracing::error!(delivery.id = %id, "delivery not settled; it will be made again");
}
