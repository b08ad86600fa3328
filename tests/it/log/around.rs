//! A damaged block of what waits, or of a list of deliveries, keeps back nothing that stands behind it.

use std::collections::BTreeSet;
use std::sync::Arc;

use yizhan::fanout::Outbox;
use yizhan::fanout::delivery::{Delivery, DeliveryFilter, DeliveryId, Ended, Lane, Settlement, Status};
use yizhan::inbox::LogError;
use yizhan::store::fjall::FjallLog;

use super::damage::{keyspaces, opened, rot, rot_where_there_is, stored, works};
use super::world::{Ports, World, keys};

/// Every delivery of that status, page by page.
async fn listed(log: &FjallLog, status: Option<Status>) -> Vec<Delivery> {
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = log.deliveries(&DeliveryFilter { status, ..DeliveryFilter::default() }, after.as_ref(), 70).await.unwrap();
        listed.extend(page.items);
        after = page.next;
        if after.is_none() {
            assert!(listed.is_sorted_by(|a, b| a.id > b.id), "newest first, each once");
            return listed;
        }
    }
}

async fn settle_all(ports: &Ports, subscription: &str, settlement: impl Fn(&Ports) -> Settlement) -> Vec<DeliveryId> {
    let claimed = ports.first(subscription, 5000).await;
    let ended = claimed.into_iter().map(|one| Ended { delivery: one.delivery, settlement: settlement(ports) });
    let ended: Arc<[Ended]> = ended.collect();
    ports.outbox.settle_all(ended.clone()).await.unwrap();
    let mut ids: Vec<_> = ended.iter().map(|one| one.delivery.id).collect();
    ids.sort_unstable_by(|a, b| b.cmp(a));
    ids
}

/// Those of `all` that are not there: some, few, and one beside the other.
fn missing<T: Copy + Ord>(all: &[T], there: impl IntoIterator<Item = T>) -> Vec<T> {
    let there: BTreeSet<T> = there.into_iter().collect();
    let first = all.iter().position(|one| !there.contains(one)).expect("some are damaged");
    let missing: Vec<T> = all[first..].iter().copied().take_while(|one| !there.contains(one)).collect();
    assert!(missing.len() < all.len() * 3 / 5, "{} of {}", missing.len(), all.len());
    let others = all.iter().enumerate().filter(|(_, one)| !there.contains(one) && !missing.contains(one)).map(|(at, _)| at);
    let others: Vec<usize> = others.collect();
    assert!(others.is_empty(), "all others than {} from {first} on are there: {others:?}", missing.len());
    missing
}

#[tokio::test]
async fn deliveries_behind_a_damaged_block_are_listed() {
    let world = World::new();
    let (log, ports) = opened(&world);
    stored(&ports, 0, 600, &["bot", "other"]).await;
    let dead = settle_all(&ports, "bot", |ports| Settlement::Dead(ports.attempt(500))).await;
    let delivered = settle_all(&ports, "other", |ports| Settlement::Delivered(ports.attempt(200))).await;
    assert_eq!((dead.len(), delivered.len()), (600, 600));
    drop((log, ports));
    rot(&world, "dead", 6_000);

    let (log, ports) = opened(&world);
    missing(&dead, listed(&log, Some(Status::Dead)).await.iter().map(|one| one.id));
    drop((log, ports));
    let name = keyspaces(&world, "delivery").remove(0);
    rot(&world, &name, 20_000);
    // The first of its blocks, behind which nothing is in a list.
    rot(&world, &name, 500);

    let (log, ports) = opened(&world);
    let mut all = [dead, delivered.clone()].concat();
    all.sort_unstable_by(|a, b| b.cmp(a));
    let there: BTreeSet<_> = listed(&log, None).await.iter().map(|one| one.id).collect();
    let unlisted: Vec<_> = all.iter().filter(|one| !there.contains(one)).collect();
    assert!((2..200).contains(&unlisted.len()) && unlisted.last() == Some(&&all[1199]), "{}", unlisted.len());
    let mut unreadable = Vec::new();
    for one in &unlisted {
        if let Err(LogError::Damaged(_)) = log.delivery(**one).await {
            unreadable.push(*one);
        }
    }
    assert_eq!(unlisted.len(), unreadable.len(), "only what cannot be read at all stays out");
    let of_one_status = listed(&log, Some(Status::Delivered)).await.len();
    assert_eq!(of_one_status, delivered.iter().filter(|one| there.contains(one)).count());
    works(&ports, "new").await;
}

const ALL: u32 = 400;

/// A log in which so many deliveries wait, the first attempts of which have failed where that is said, with a block of them damaged.
async fn damaged_queue(is_tried: bool, ordered: bool, at: u64) -> World {
    let world = World::new();
    let (log, ports) = opened(&world);
    if ordered {
        assert!(ports.claim("bot", Lane::First, 1, true).await.is_empty());
    }
    stored(&ports, 0, ALL, &["bot"]).await;
    if ordered {
        ports.claim("bot", Lane::First, 1, true).await;
    }
    if is_tried {
        let again = ports.now() + jiff::SignedDuration::from_secs(5);
        settle_all(&ports, "bot", |ports| Settlement::Retry(ports.attempt(500), again)).await;
    }
    drop((log, ports));
    rot_where_there_is(&world, "waiting", at);
    world
}

#[tokio::test]
async fn what_waits_behind_a_damaged_block_is_claimed_and_listed() {
    let all: Vec<u32> = (0..ALL).collect();
    let numbers = |keys: Vec<String>| keys.into_iter().map(|key| key.parse().unwrap()).collect::<Vec<u32>>();
    let world = damaged_queue(false, false, 6_000).await;
    let (log, ports) = opened(&world);
    let damaged = missing(&all, numbers(keys(&ports.first("bot", 1000).await)));
    let waiting: Vec<u64> = listed(&log, Some(Status::Pending)).await.iter().map(|one| one.event_sequence).collect();
    let pending: Vec<u32> = waiting.iter().map(|sequence| u32::try_from(sequence - 1).unwrap()).collect();
    assert_eq!(missing(&all, pending), damaged);
    works(&ports, "new").await;
    assert_eq!(keys(&ports.first("bot", 9).await), ["new"], "what comes later as well");
    drop((log, ports));

    // Retries, in the list of when they are due and of what they are.
    for at in [3_000, 14_000] {
        let world = damaged_queue(true, false, at).await;
        let (log, ports) = opened(&world);
        ports.advance(5);
        let mut claimed = numbers(keys(&ports.claim("bot", Lane::Retry, 1000, false).await));
        claimed.sort_unstable();
        missing(&all, claimed);
        assert!(log.next_due("bot").await.unwrap().is_some(), "the claims run out");
        works(&ports, "new").await;
    }
}

#[tokio::test]
async fn what_waits_in_order_behind_a_damaged_block_goes_on_in_order() {
    // In the list that keeps the order (those that only it knew in order stay behind, so that nothing goes before its turn), and in what waits.
    for at in [3_000, 14_000] {
        let world = damaged_queue(false, true, at).await;
        let (log, ports) = opened(&world);
        let mut went = Vec::new();
        while let [one] = &ports.claim("bot", Lane::First, 10, true).await[..] {
            went.push(keys(std::slice::from_ref(one))[0].parse::<u32>().unwrap());
            ports.deliver(one).await;
        }
        assert!(went.is_sorted(), "one after the other: {went:?}");
        assert!((200..400).contains(&went.len()) && went.last() == Some(&(ALL - 1)), "{} {:?}", went.len(), went.last());
        works(&ports, "new").await;
        drop(log);
    }
}
