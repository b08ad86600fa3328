//! Claims: who is handed what, and in which order.

use jiff::SignedDuration;
use yizhan::clock::Timestamp;
use yizhan::fanout::delivery::{Lane, Settlement, Status};
use yizhan::secret::Secret;

use super::{Ports, arrival, keys};

pub async fn first_attempts_come_in_order_each_to_one_worker(log: Ports) {
    for number in 0..10 {
        log.put(&number.to_string(), None, &["bot", "other"]).await;
    }
    assert_eq!(keys(&log.first("bot", 4).await), ["0", "1", "2", "3"]);
    assert_eq!(keys(&log.first("bot", 4).await), ["4", "5", "6", "7"]);
    assert_eq!(log.first("other", 100).await.len(), 10);
    let rest = log.first("bot", 100).await;
    assert_eq!(keys(&rest), ["8", "9"]);
    assert!(log.first("bot", 100).await.is_empty());
    assert!(log.first("nobody", 100).await.is_empty());
    for one in &rest {
        assert_eq!(one.delivery.subscription, "bot");
        assert_eq!((one.delivery.event_id, one.delivery.event_sequence), (one.event.id, one.event.sequence));
        assert_eq!(one.delivery.ordering_key, "douyin/");
        assert!(one.delivery.attempts.is_empty() && one.sealed.is_none());
        log.deliver(one).await;
    }
    log.advance(3600);
    assert_eq!(log.first("bot", 100).await.len(), 8, "what was settled does not come back when claims run out");
    let delivered = log.outbox.delivery(rest[0].delivery.id).await.unwrap().unwrap();
    assert_eq!((delivered.status, delivered.next_attempt_at), (Status::Delivered, None));
    assert_eq!(delivered.attempts.len(), 1);
}

pub async fn a_claim_that_runs_out_is_given_back(log: Ports) {
    log.put("a", None, &["bot"]).await;
    assert_eq!(log.first("bot", 1).await.len(), 1);
    log.advance(59);
    assert!(log.first("bot", 1).await.is_empty());
    log.advance(1);
    let again = log.first("bot", 1).await;
    log.fail(&again[0], 10).await;
    log.advance(10);
    assert_eq!(log.claim("bot", Lane::Retry, 1, false).await.len(), 1);
    log.advance(60);
    assert_eq!(log.claim("bot", Lane::Retry, 1, false).await.len(), 1);
}

pub async fn a_released_delivery_is_as_it_was(log: Ports) {
    for key in ["a", "b", "c"] {
        log.put(key, None, &["bot"]).await;
    }
    let claimed = log.first("bot", 2).await;
    log.outbox.settle(&claimed[0].delivery, Settlement::Released).await.unwrap();
    assert!(log.outbox.next_due("bot").await.unwrap().is_some());
    assert_eq!(keys(&log.first("bot", 100).await), ["a", "c"]);
    log.fail(&claimed[1], 5).await;
    log.advance(5);
    let retried = log.claim("bot", Lane::Retry, 1, false).await;
    log.outbox.settle(&retried[0].delivery, Settlement::Released).await.unwrap();
    let again = log.claim("bot", Lane::Retry, 1, false).await;
    assert_eq!(again[0].delivery.attempts.len(), 1);
    assert_eq!(again[0].delivery.status, Status::Pending);
}

pub async fn retries_come_when_due_and_apart_from_first_attempts(log: Ports) {
    for key in ["a", "b", "c"] {
        log.put(key, None, &["bot"]).await;
    }
    let claimed = log.first("bot", 100).await;
    for (one, seconds) in claimed.iter().zip([30, 10, 20]) {
        log.fail(one, seconds).await;
    }
    log.put("d", None, &["bot"]).await;
    assert!(log.claim("bot", Lane::Retry, 100, false).await.is_empty());
    assert_eq!(log.outbox.next_due("bot").await.unwrap(), Some(log.now()), "the new one is due at once");
    assert_eq!(keys(&log.first("bot", 100).await), ["d"]);
    assert_eq!(log.outbox.next_due("bot").await.unwrap(), Some(log.now() + SignedDuration::from_secs(10)));
    log.advance(20);
    let due = log.claim("bot", Lane::Retry, 100, false).await;
    assert_eq!(keys(&due), ["b", "c"]);
    assert_eq!(due[0].delivery.attempts[0].status, Some(500));
    log.fail(&due[0], 10).await;
    log.advance(10);
    assert_eq!(keys(&log.claim("bot", Lane::Retry, 100, false).await), ["a", "b"]);
}

pub async fn ordered_deliveries_go_one_at_a_time_per_authorizer(log: Ports) {
    for key in ["a1", "a2", "b1", "a3", "b2"] {
        log.put(key, Some(&key[..1]), &["bot"]).await;
    }
    let ordered = async |lane| log.claim("bot", lane, 100, true).await;
    let claimed = ordered(Lane::First).await;
    assert_eq!(keys(&claimed), ["a1", "b1"]);
    assert!(ordered(Lane::First).await.is_empty());
    log.deliver(&claimed[0]).await;
    let next = ordered(Lane::First).await;
    assert_eq!(keys(&next), ["a2"]);
    log.fail(&claimed[1], 10).await;
    assert!(ordered(Lane::First).await.is_empty(), "b2 waits for b1");
    log.bury(&next[0]).await;
    assert_eq!(keys(&ordered(Lane::First).await), ["a3"], "a dead letter holds nobody back");
    log.put("b3", Some("b"), &["bot"]).await;
    log.put("c1", Some("c"), &["bot"]).await;
    assert_eq!(keys(&ordered(Lane::First).await), ["c1"]);
    assert_eq!(log.outbox.next_due("bot").await.unwrap(), Some(log.now() + SignedDuration::from_secs(10)));
    log.advance(10);
    let retried = ordered(Lane::Retry).await;
    assert_eq!(keys(&retried), ["b1"]);
    assert!(ordered(Lane::First).await.is_empty());
    log.outbox.settle(&retried[0].delivery, Settlement::Released).await.unwrap();
    assert!(ordered(Lane::First).await.is_empty());
    let retried = ordered(Lane::Retry).await;
    log.deliver(&retried[0]).await;
    let b2 = ordered(Lane::First).await;
    assert_eq!(keys(&b2), ["b2"]);
    log.deliver(&b2[0]).await;
    assert_eq!(keys(&ordered(Lane::First).await), ["b3"]);
}

pub async fn an_ordered_subscription_is_held_back_by_its_oldest_only(log: Ports) {
    let old = log.put("a1", Some("a"), &[]).await;
    for number in 2..200 {
        log.put(&format!("a{number}"), Some("a"), &["bot"]).await;
    }
    log.put("b1", Some("b"), &["bot"]).await;
    let claimed = log.claim("bot", Lane::First, 1, true).await;
    assert_eq!(keys(&claimed), ["a2"]);
    assert_eq!(keys(&log.claim("bot", Lane::First, 100, true).await), ["b1"]);
    // A replay puts an older one in front while the next is under way.
    log.outbox.enqueue(&[old.id], "bot", None, log.now()).await.unwrap();
    assert!(log.claim("bot", Lane::First, 100, true).await.is_empty(), "one at a time");
    log.fail(&claimed[0], 1).await;
    log.advance(1);
    assert!(log.claim("bot", Lane::Retry, 100, true).await.is_empty(), "the older one goes first");
    let older = log.claim("bot", Lane::First, 100, true).await;
    assert_eq!(keys(&older), ["a1"]);
    log.deliver(&older[0]).await;
    let retried = log.claim("bot", Lane::Retry, 100, true).await;
    assert_eq!(keys(&retried), ["a2"]);
    log.deliver(&retried[0]).await;
    for number in 3..200 {
        let next = log.claim("bot", Lane::First, 100, true).await;
        assert_eq!(keys(&next), [format!("a{number}")]);
        log.deliver(&next[0]).await;
    }
}

pub async fn a_subscription_can_become_ordered_later(log: Ports) {
    for number in 0..600 {
        log.put(&number.to_string(), Some(&(number % 2).to_string()), &["bot"]).await;
    }
    let claimed = log.first("bot", 3).await;
    log.fail(&claimed[0], 10).await;
    log.fail(&claimed[2], 5).await;
    log.deliver(&claimed[1]).await;
    // 0 and 2 of the same authorizer wait for their retry, 2 is due earlier.
    assert_eq!(keys(&log.claim("bot", Lane::First, 100, true).await), ["3"]);
    log.advance(5);
    assert!(log.claim("bot", Lane::Retry, 100, true).await.is_empty());
    log.advance(5);
    assert_eq!(keys(&log.claim("bot", Lane::Retry, 100, true).await), ["0"]);
    // And back: nothing is held.
    assert_eq!(log.first("bot", 1000).await.len(), 596);
}

/// How many wait for `bot`, and since when the oldest of them does, in milliseconds.
async fn oldest(log: &Ports) -> (u64, Option<i64>) {
    let oldest = log.outbox.oldest("bot").await.unwrap();
    (log.outbox.depth("bot").await.unwrap().pending, oldest.map(Timestamp::as_millisecond))
}

pub async fn the_next_due_moment_is_known(log: Ports) {
    assert_eq!(log.outbox.next_due("bot").await.unwrap(), None);
    assert_eq!(oldest(&log).await, (0, None));
    let stored = log.now();
    log.put("a", None, &["bot"]).await;
    log.advance(100);
    log.put("b", None, &["bot"]).await;
    assert!(log.outbox.next_due("bot").await.unwrap().unwrap() <= stored);
    assert_eq!(oldest(&log).await, (2, Some(stored.as_millisecond())));
    let claimed = log.first("bot", 2).await;
    let over = log.now() + SignedDuration::from_secs(60);
    assert_eq!(log.outbox.next_due("bot").await.unwrap(), Some(over), "claimed ones, when their claims run out");
    log.deliver(&claimed[0]).await;
    assert_eq!(oldest(&log).await, (1, Some(log.now().as_millisecond())));
    log.fail(&claimed[1], 77).await;
    assert_eq!(log.outbox.next_due("bot").await.unwrap(), Some(log.now() + SignedDuration::from_secs(77)));
    log.outbox.cancel_all("bot").await.unwrap();
    assert_eq!(oldest(&log).await, (0, None), "what ended does not wait");
}

pub async fn what_a_replay_put_there_is_not_the_oldest_that_waits(log: Ports) {
    let old = log.put("old", None, &[]).await;
    log.advance(100);
    let waits_since = log.now();
    log.put("waits", None, &["bot"]).await;
    log.advance(50);
    log.outbox.enqueue(&[old.id], "bot", None, log.now()).await.unwrap();
    assert_eq!(oldest(&log).await, (2, Some(waits_since.as_millisecond())));
}

pub async fn sealed_parts_reach_our_own_subscribers_only(log: Ports) {
    let mut grant = arrival("grant", Some("tt1"), log.now(), &["yizhan-vault", "bot"]);
    grant.sealed = Some(Secret::new("the code"));
    let event = log.put_arrival(grant).await;
    let ours = log.first("yizhan-vault", 1).await;
    assert_eq!(ours[0].sealed.as_ref().unwrap().expose(), "the code");
    assert!(log.first("bot", 1).await[0].sealed.is_none());
    assert_eq!(log.events.event(event.id).await.unwrap().unwrap().body, event.body);
}

pub async fn a_retry_put_off_by_a_clock_that_was_ahead_is_due(log: Ports) {
    for (number, authorizer) in ["tt0", "tt1", "tt1"].into_iter().enumerate() {
        log.put(&number.to_string(), Some(authorizer), &["bot"]).await;
    }
    let claimed = log.first("bot", 10).await;
    log.fail(&claimed[0], 7 * 86_400).await;
    log.fail(&claimed[1], 40 * 86_400).await;
    log.fail(&claimed[2], 60).await;
    let due = async |ordered: bool| keys(&log.claim("bot", Lane::Retry, 10, ordered).await);
    assert_eq!(due(false).await, ["1"], "nothing is ever put off for so long");
    assert!(due(false).await.is_empty(), "it is under way");
    log.advance(61);
    assert_eq!(due(true).await, ["1"], "the older one of its authorizer goes first");
}
