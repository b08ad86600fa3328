//! What every store of the log must do: each story is told over the ports, and runs on each store.

use std::collections::HashSet;
use std::time::Duration;

use jiff::SignedDuration;
use yizhan::event_type::{EventType, Glob};
use yizhan::fanout::delivery::{DeliveryFilter, DeliveryId, Depth, Lane, Settlement, Status};
use yizhan::inbox::log::Rejected;
use yizhan::inbox::replay::{Replay, ReplayState};
use yizhan::inbox::{Accepted, EventFilter, EventId};
use yizhan::platform::{Door, RawPush};
use yizhan::secret::Secret;
use yizhan::vault::audit::Read;

use super::world::{Ports, World, arrival, key, keys};

macro_rules! stories {
    ($($name:ident)+) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let world = World::new();
            let log = world.open();
            story::$name(world.ports(&log)).await;
        }
    )+ };
}

stories! {
    what_was_stored_is_read_back_unchanged
    duplicates_in_parallel_are_one_event
    the_newest_sequence_is_announced
    pages_run_from_new_to_old_and_stay_stable_while_events_arrive
    each_filter_finds_its_own
    times_are_found_also_where_an_event_came_late
    events_are_followed_from_any_sequence
    events_are_found_by_the_state_of_their_deliveries
    first_attempts_come_in_order_each_to_one_worker
    a_claim_that_runs_out_is_given_back
    a_released_delivery_is_as_it_was
    retries_come_when_due_and_apart_from_first_attempts
    a_dead_letter_is_counted_listed_and_can_be_retried
    a_retry_has_a_fresh_schedule_and_keeps_its_history
    enqueued_events_replace_what_waits
    a_delivery_replaced_while_under_way_still_ends
    ordered_deliveries_go_one_at_a_time_per_authorizer
    an_ordered_subscription_is_held_back_by_its_oldest_only
    a_subscription_can_become_ordered_later
    cancelling_ends_all_that_waits
    the_next_due_moment_is_known
    sealed_parts_reach_our_own_subscribers_only
    deliveries_are_listed_by_every_filter
    refused_pushes_are_kept_bounded_and_sealed
    refused_pushes_are_forgotten_in_time
    replay_jobs_are_kept_and_count_their_outcome
    reads_are_listed_newest_first
    retention_takes_what_is_over_and_leaves_what_waits
}

mod story {
    use super::*;

    pub async fn what_was_stored_is_read_back_unchanged(log: Ports) {
        let event = log.put("a", Some("tt1"), &[]).await;
        assert_eq!(log.events.event(event.id).await.unwrap(), Some(event.clone()));
        let mut odd = arrival("b", None, log.now(), &[]);
        odd.event.component = "界".repeat(300);
        odd.event.authorizer = Some("x".repeat(70_000));
        odd.event.time = "0001-01-01T00:00:00Z".parse().unwrap();
        let odd = log.put_arrival(odd).await;
        assert_eq!(log.events.event(odd.id).await.unwrap(), Some(odd.clone()));
        let filter = EventFilter { authorizer: Some(Glob::new("x".repeat(70_000))), ..EventFilter::default() };
        assert_eq!(log.events.page(&filter, None, 10).await.unwrap().items, [odd.clone()]);
        assert_eq!(log.events.last_received(&odd.component, None).await.unwrap(), Some(odd.received_at));
        assert_eq!(log.events.event(EventId(uuid::Uuid::new_v4())).await.unwrap(), None);
        assert_eq!(odd.sequence, event.sequence + 1);
    }

    pub async fn duplicates_in_parallel_are_one_event(log: Ports) {
        let pushes = (0..200).map(|number| {
            let arrival = arrival(&format!("{}", number % 20), None, log.now(), &["bot"]);
            let events = log.events.clone();
            tokio::spawn(async move { events.accept(arrival).await.unwrap() })
        });
        let mut fresh = HashSet::new();
        for push in pushes.collect::<Vec<_>>() {
            if let Accepted::Fresh(sequence) = push.await.unwrap() {
                assert!(fresh.insert(sequence));
            }
        }
        assert_eq!(fresh.len(), 20);
        assert_eq!(log.events.count(&EventFilter::default()).await.unwrap(), 20);
        assert_eq!(log.outbox.depth("bot").await.unwrap().pending, 20);
        assert_eq!(log.events.accept(arrival("7", None, log.now(), &[])).await.unwrap(), Accepted::Seen);
    }

    pub async fn the_newest_sequence_is_announced(log: Ports) {
        let mut newest = log.events.newest();
        assert_eq!(*newest.borrow_and_update(), 0);
        log.put("a", None, &[]).await;
        newest.changed().await.unwrap();
        assert_eq!(*newest.borrow_and_update(), 1);
        assert_eq!(log.events.following(0, 10).await.unwrap().len(), 1);
    }

    pub async fn pages_run_from_new_to_old_and_stay_stable_while_events_arrive(log: Ports) {
        for number in 0..7 {
            log.put(&number.to_string(), Some("tt1"), &[]).await;
        }
        for filter in [EventFilter::default(), EventFilter { authorizer: Some(Glob::new("tt1")), ..EventFilter::default() }] {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = log.events.page(&filter, after.as_ref(), 3).await.unwrap();
                seen.extend(page.items.iter().map(key));
                log.put(&format!("new {} {:?}", seen.len(), filter.authorizer), Some("tt1"), &[]).await;
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            seen.retain(|key| !key.starts_with("new"));
            assert_eq!(seen, ["6", "5", "4", "3", "2", "1", "0"]);
        }
        let all = log.events.count(&EventFilter::default()).await.unwrap() as usize;
        let page = log.events.page(&EventFilter::default(), None, all).await.unwrap();
        assert_eq!((page.items.len(), page.next), (all, None), "a page that holds everything is the last one");
    }

    pub async fn each_filter_finds_its_own(log: Ports) {
        for number in 0..30 {
            let mut arrival = arrival(&number.to_string(), Some(["tt1", "tt2", "tt3"][number % 3]), log.now(), &[]);
            if number % 5 == 0 {
                (arrival.event.component, arrival.event.platform) = (String::from("baidu-1"), String::from("baidu"));
            }
            if number % 7 == 0 {
                arrival.event.kind = EventType::AuditFailed;
            }
            if number == 4 {
                arrival.event.authorizer = None;
            }
            log.put_arrival(arrival).await;
            log.advance(60);
        }
        let glob = |text: &str| Some(Glob::new(text));
        let start = super::super::world::start();
        let at = |minute: i64| Some(start + SignedDuration::from_mins(minute));
        let all = EventFilter::default();
        let cases = [
            (all.clone(), 30),
            (EventFilter { authorizer: glob("tt1"), ..all.clone() }, 10),
            (EventFilter { authorizer: glob("tt*"), ..all.clone() }, 29),
            (EventFilter { authorizer: glob("nobody"), ..all.clone() }, 0),
            (EventFilter { component: glob("baidu-1"), ..all.clone() }, 6),
            (EventFilter { component: glob("baidu*"), ..all.clone() }, 6),
            (EventFilter { platform: glob("douyin"), ..all.clone() }, 24),
            (EventFilter { kind: glob("audit.failed"), ..all.clone() }, 5),
            (EventFilter { kind: glob("audit.*"), ..all.clone() }, 30),
            (EventFilter { kind: glob("audit.failed"), component: glob("baidu-1"), ..all.clone() }, 1),
            (EventFilter { kind: glob("audit.failed"), authorizer: glob("tt1"), ..all.clone() }, 2),
            (EventFilter { since: at(10), until: at(20), ..all.clone() }, 10),
            (EventFilter { since: at(10), until: at(20), authorizer: glob("tt2"), ..all.clone() }, 4),
            (EventFilter { since: at(29), ..all.clone() }, 1),
            (EventFilter { until: at(0), ..all.clone() }, 0),
            (EventFilter { q: Some(String::from("\"12\"")), ..all.clone() }, 1),
            (EventFilter { q: Some(String::from("nothing")), ..all.clone() }, 0),
        ];
        for (filter, expected) in cases {
            assert_eq!(log.events.count(&filter).await.unwrap(), expected, "{filter:?}");
            let page = log.events.page(&filter, None, 100).await.unwrap();
            assert_eq!(page.items.len() as u64, expected, "{filter:?}");
            assert!(page.items.iter().all(|event| filter.fits(event)) && page.next.is_none());
            assert!(page.items.is_sorted_by(|a, b| a.sequence > b.sequence));
        }
        assert_eq!(log.events.last_received("douyin", Some("tt1")).await.unwrap(), at(27));
        assert_eq!(log.events.last_received("baidu-1", Some("tt1")).await.unwrap(), at(15));
        assert_eq!(log.events.last_received("baidu-1", None).await.unwrap(), at(25));
        assert_eq!(log.events.last_received("kuaishou", None).await.unwrap(), None);
    }

    pub async fn times_are_found_also_where_an_event_came_late(log: Ports) {
        let start = log.now();
        for day in 0..4 {
            for number in 0..5 {
                log.put(&format!("{day}.{number}"), None, &[]).await;
                log.advance(600);
            }
            log.advance(86_400);
        }
        // A refused push of the first day, opened on the fifth.
        log.put_arrival(arrival("late", None, start + SignedDuration::from_mins(15), &[])).await;
        log.put("newest", None, &[]).await;
        let within = async |from: i64, to: i64| {
            let (since, until) = (start + SignedDuration::from_mins(from), start + SignedDuration::from_mins(to));
            let filter = EventFilter { since: Some(since), until: Some(until), ..EventFilter::default() };
            log.events.page(&filter, None, 100).await.unwrap().items.iter().map(key).collect::<Vec<_>>()
        };
        assert_eq!(within(10, 30).await, ["late", "0.2", "0.1"]);
        assert_eq!(within(0, 1).await, ["0.0"]);
        assert_eq!(within(11, 19).await, ["late"]);
        assert_eq!(within(24 * 60, 26 * 60).await, ["1.4", "1.3", "1.2", "1.1", "1.0"]);
    }

    pub async fn events_are_followed_from_any_sequence(log: Ports) {
        for number in 0..10 {
            log.put(&number.to_string(), None, &[]).await;
            log.advance(20_000);
        }
        let followed = log.events.following(0, 4).await.unwrap();
        assert_eq!(followed.iter().map(key).collect::<Vec<_>>(), ["0", "1", "2", "3"]);
        let followed = log.events.following(followed[3].sequence, 100).await.unwrap();
        assert_eq!(followed.iter().map(key).collect::<Vec<_>>(), ["4", "5", "6", "7", "8", "9"]);
        assert!(log.events.following(followed[5].sequence, 100).await.unwrap().is_empty());
        assert!(log.events.following(u64::MAX, 100).await.unwrap().is_empty());
    }

    pub async fn events_are_found_by_the_state_of_their_deliveries(log: Ports) {
        for number in 0..6 {
            log.put(&number.to_string(), None, &["bot"]).await;
        }
        log.put("unheard", None, &[]).await;
        let claimed = log.first("bot", 4).await;
        log.deliver(&claimed[0]).await;
        log.bury(&claimed[1]).await;
        log.fail(&claimed[2], 60).await;
        let with = async |status| {
            let filter = EventFilter { status: Some(status), ..EventFilter::default() };
            let page = log.events.page(&filter, None, 100).await.unwrap();
            assert_eq!(log.events.count(&filter).await.unwrap(), page.items.len() as u64);
            page.items.iter().map(key).collect::<Vec<_>>()
        };
        assert_eq!(with(Status::Delivered).await, ["0"]);
        assert_eq!(with(Status::Dead).await, ["1"]);
        assert_eq!(with(Status::Pending).await, ["5", "4", "3", "2"]);
        assert!(with(Status::Cancelled).await.is_empty());
    }

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
        log.outbox.settle(claimed[0].delivery.id, Settlement::Released).await.unwrap();
        assert!(log.outbox.next_due("bot").await.unwrap().is_some());
        assert_eq!(keys(&log.first("bot", 100).await), ["a", "c"]);
        log.fail(&claimed[1], 5).await;
        log.advance(5);
        let retried = log.claim("bot", Lane::Retry, 1, false).await;
        log.outbox.settle(retried[0].delivery.id, Settlement::Released).await.unwrap();
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

    pub async fn a_dead_letter_is_counted_listed_and_can_be_retried(log: Ports) {
        log.put("a", None, &["bot"]).await;
        log.put("b", None, &["bot"]).await;
        let claimed = log.first("bot", 100).await;
        log.bury(&claimed[0]).await;
        let depth = log.outbox.depth("bot").await.unwrap();
        assert_eq!((depth.pending, depth.dead), (1, 1));
        let dead = DeliveryFilter { status: Some(Status::Dead), ..DeliveryFilter::default() };
        let page = log.outbox.deliveries(&dead, None, 10).await.unwrap();
        assert_eq!(page.items.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), [claimed[0].delivery.id]);
        assert!(log.claim("bot", Lane::Retry, 100, false).await.is_empty());

        let retried = log.outbox.retry(claimed[0].delivery.id, log.now()).await.unwrap().unwrap();
        assert_eq!((retried.status, retried.next_attempt_at), (Status::Pending, Some(log.now())));
        assert_eq!(keys(&log.first("bot", 100).await), ["a"]);
        assert!(log.outbox.deliveries(&dead, None, 10).await.unwrap().items.is_empty());
        assert_eq!(log.outbox.depth("bot").await.unwrap().dead, 0);
        assert_eq!(log.outbox.retry(DeliveryId(uuid::Uuid::new_v4()), log.now()).await.unwrap(), None);
    }

    pub async fn a_retry_has_a_fresh_schedule_and_keeps_its_history(log: Ports) {
        log.put("a", None, &["bot"]).await;
        let mut claimed = log.first("bot", 1).await;
        for _ in 0..3 {
            log.fail(&claimed[0], 1).await;
            log.advance(1);
            claimed = log.claim("bot", Lane::Retry, 1, false).await;
        }
        assert_eq!(claimed[0].delivery.attempts.len(), 3);
        log.bury(&claimed[0]).await;
        let id = claimed[0].delivery.id;
        log.outbox.retry(id, log.now()).await.unwrap().unwrap();
        let again = log.first("bot", 1).await;
        assert!(again[0].delivery.attempts.is_empty(), "a worker counts from the beginning");
        log.deliver(&again[0]).await;
        let done = log.outbox.delivery(id).await.unwrap().unwrap();
        assert_eq!((done.status, done.attempts.len()), (Status::Delivered, 5));
        // Also one that was delivered can be made due again.
        log.outbox.retry(id, log.now()).await.unwrap().unwrap();
        assert_eq!(keys(&log.first("bot", 1).await), ["a"]);
    }

    pub async fn enqueued_events_replace_what_waits(log: Ports) {
        let mut ids = Vec::new();
        for key in ["a", "b", "c"] {
            ids.push(log.put(key, None, &["bot"]).await.id);
        }
        let claimed = log.first("bot", 2).await;
        log.deliver(&claimed[0]).await;
        log.fail(&claimed[1], 3600).await;
        ids.push(EventId(uuid::Uuid::new_v4()));
        let made = log.outbox.enqueue(&ids, "bot", Some("rpl_1"), log.now()).await.unwrap();
        assert_eq!(made.len(), 3, "the unknown event is left out");
        assert_eq!(log.outbox.depth("bot").await.unwrap().pending, 3);
        assert!(log.claim("bot", Lane::Retry, 100, false).await.is_empty());
        let due = log.first("bot", 100).await;
        assert_eq!(keys(&due), ["a", "b", "c"]);
        assert!(due.iter().all(|one| one.delivery.attempts.is_empty()));
        for one in &due {
            log.deliver(one).await;
        }
        assert_eq!(log.replays.outcome("rpl_1").await.unwrap(), (3, 0));
        assert_eq!(log.outbox.depth("bot").await.unwrap(), Depth::default());
        log.advance(7200);
        assert!(log.claim("bot", Lane::Retry, 100, false).await.is_empty());
        // To a subscription that never heard of them.
        assert_eq!(log.outbox.enqueue(&ids, "newcomer", None, log.now()).await.unwrap().len(), 3);
        assert_eq!(keys(&log.first("newcomer", 100).await), ["a", "b", "c"]);
        // The event that was delivered twice has two deliveries to `bot`, the others one each.
        let of = async |id: EventId| {
            let filter =
                DeliveryFilter { event: Some(id.to_string()), subscription: Some(String::from("bot")), ..DeliveryFilter::default() };
            log.outbox.deliveries(&filter, None, 100).await.unwrap().items.len()
        };
        assert_eq!((of(ids[0]).await, of(ids[1]).await), (2, 1));
    }

    pub async fn a_delivery_replaced_while_under_way_still_ends(log: Ports) {
        let event = log.put("a", None, &["bot"]).await;
        let under_way = log.first("bot", 1).await;
        log.outbox.enqueue(&[event.id], "bot", None, log.now()).await.unwrap();
        log.deliver(&under_way[0]).await;
        assert!(log.first("bot", 1).await.is_empty());
        assert_eq!(log.outbox.depth("bot").await.unwrap().pending, 0);
        // Cancelled while under way: the try is recorded, the delivery stays cancelled.
        log.put("b", None, &["bot"]).await;
        let under_way = log.first("bot", 1).await;
        assert_eq!(log.outbox.cancel_all("bot").await.unwrap(), 1);
        log.fail(&under_way[0], 1).await;
        log.advance(5);
        assert!(log.claim("bot", Lane::Retry, 1, false).await.is_empty());
        let cancelled = log.outbox.delivery(under_way[0].delivery.id).await.unwrap().unwrap();
        assert_eq!((cancelled.status, cancelled.attempts.len()), (Status::Cancelled, 1));
        // Replaced by the retry of an older delivery of the same event: the newer one ends, the older one goes on.
        let first =
            log.outbox.deliveries(&DeliveryFilter { event: Some(event.id.to_string()), ..DeliveryFilter::default() }, None, 9).await;
        let first = first.unwrap().items[0].id;
        log.outbox.enqueue(&[event.id], "bot", None, log.now()).await.unwrap();
        let second = log.first("bot", 1).await;
        assert_ne!(second[0].delivery.id, first);
        log.outbox.retry(first, log.now()).await.unwrap().unwrap();
        log.deliver(&second[0]).await;
        let claimed = log.first("bot", 9).await;
        assert_eq!(claimed.iter().map(|one| one.delivery.id).collect::<Vec<_>>(), [first]);
        log.deliver(&claimed[0]).await;
        assert_eq!(log.outbox.depth("bot").await.unwrap().pending, 0);
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
        log.outbox.settle(retried[0].delivery.id, Settlement::Released).await.unwrap();
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

    pub async fn cancelling_ends_all_that_waits(log: Ports) {
        for number in 0..700 {
            log.put(&number.to_string(), Some(&(number % 9).to_string()), &["bot", "other"]).await;
        }
        let claimed = log.claim("bot", Lane::First, 3, true).await;
        log.fail(&claimed[0], 5).await;
        assert_eq!(log.outbox.cancel_all("bot").await.unwrap(), 700);
        assert_eq!(log.outbox.depth("bot").await.unwrap(), Depth::default());
        assert_eq!(log.outbox.next_due("bot").await.unwrap(), None);
        assert_eq!(log.outbox.cancel_all("bot").await.unwrap(), 0);
        assert_eq!(log.outbox.cancel_all("nobody").await.unwrap(), 0);
        log.advance(3600);
        assert!(log.first("bot", 10).await.is_empty() && log.claim("bot", Lane::Retry, 10, true).await.is_empty());
        assert_eq!(log.outbox.depth("other").await.unwrap().pending, 700);
        log.put("new", Some("0"), &["bot"]).await;
        assert_eq!(keys(&log.claim("bot", Lane::First, 10, true).await), ["new"]);
    }

    pub async fn the_next_due_moment_is_known(log: Ports) {
        assert_eq!(log.outbox.next_due("bot").await.unwrap(), None);
        let stored = log.now();
        log.put("a", None, &["bot"]).await;
        log.advance(100);
        log.put("b", None, &["bot"]).await;
        assert!(log.outbox.next_due("bot").await.unwrap().unwrap() <= stored);
        let depth = log.outbox.depth("bot").await.unwrap();
        assert_eq!((depth.pending, depth.oldest_at.unwrap().as_millisecond()), (2, stored.as_millisecond()));
        let claimed = log.first("bot", 2).await;
        assert_eq!(log.outbox.next_due("bot").await.unwrap(), None, "claimed ones are left out");
        log.deliver(&claimed[0]).await;
        let depth = log.outbox.depth("bot").await.unwrap();
        assert_eq!((depth.pending, depth.oldest_at.unwrap().as_millisecond()), (1, log.now().as_millisecond()));
        log.fail(&claimed[1], 77).await;
        assert_eq!(log.outbox.next_due("bot").await.unwrap(), Some(log.now() + SignedDuration::from_secs(77)));
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

    pub async fn deliveries_are_listed_by_every_filter(log: Ports) {
        let start = log.now();
        let mut events = Vec::new();
        for number in 0..12 {
            events.push(log.put(&number.to_string(), None, &["bot", "other"]).await);
            log.advance(6 * 3600);
        }
        let claimed = log.first("bot", 6).await;
        for one in &claimed[..3] {
            log.deliver(one).await;
        }
        for one in &claimed[3..5] {
            log.bury(one).await;
        }
        log.fail(&claimed[5], 9).await;
        let list = async |filter: &DeliveryFilter| {
            let (mut all, mut after) = (Vec::new(), None);
            loop {
                let page = log.outbox.deliveries(filter, after.as_ref(), 4).await.unwrap();
                assert!(page.items.len() <= 4);
                all.extend(page.items);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert!(all.is_sorted_by(|a, b| a.id > b.id), "newest first");
            all.len()
        };
        let all = DeliveryFilter::default();
        let (bot, other) = (Some(String::from("bot")), Some(String::from("other")));
        let hours = |hours: i64| Some(start + SignedDuration::from_hours(hours));
        let cases = [
            (all.clone(), 24),
            (DeliveryFilter { subscription: other.clone(), ..all.clone() }, 12),
            (DeliveryFilter { status: Some(Status::Delivered), ..all.clone() }, 3),
            (DeliveryFilter { status: Some(Status::Dead), ..all.clone() }, 2),
            (DeliveryFilter { status: Some(Status::Dead), subscription: other.clone(), ..all.clone() }, 0),
            (DeliveryFilter { status: Some(Status::Dead), since: hours(24), ..all.clone() }, 1),
            (DeliveryFilter { status: Some(Status::Dead), until: hours(24), ..all.clone() }, 1),
            (DeliveryFilter { status: Some(Status::Pending), ..all.clone() }, 19),
            (DeliveryFilter { status: Some(Status::Held), subscription: bot.clone(), ..all.clone() }, 7),
            (DeliveryFilter { status: Some(Status::Cancelled), ..all.clone() }, 0),
            (DeliveryFilter { event: Some(events[3].id.to_string()), ..all.clone() }, 2),
            (DeliveryFilter { event: Some(events[3].id.to_string()), status: Some(Status::Dead), ..all.clone() }, 1),
            (DeliveryFilter { event: Some(String::from("evt_nonsense")), ..all.clone() }, 0),
            (DeliveryFilter { since: hours(12), until: hours(24), ..all.clone() }, 4),
            (DeliveryFilter { subscription: Some(String::from("nobody")), ..all.clone() }, 0),
        ];
        for (filter, expected) in cases {
            assert_eq!(list(&filter).await, expected, "{filter:?}");
        }
    }

    fn rejected(number: usize, component: &str, log: &Ports) -> Rejected {
        Rejected {
            id: format!("rej_{number:04}"),
            component: component.to_owned(),
            received_at: log.now(),
            reason: String::from("bad-signature"),
            detail: String::from("the header is missing"),
        }
    }

    fn raw(log: &Ports) -> RawPush {
        RawPush {
            door: Door::Message,
            is_get: false,
            headers: vec![(String::from("kwaisign"), vec![0, 255, 7])],
            query: String::from("a=1"),
            body: bytes::Bytes::from_static(b"\xff body"),
            received_at: log.now(),
        }
    }

    pub async fn refused_pushes_are_kept_bounded_and_sealed(log: Ports) {
        for number in 0..8 {
            let component = if number % 2 == 0 { "douyin" } else { "baidu" };
            log.rejections.keep(rejected(number, component, &log), (number != 7).then(|| raw(&log))).await.unwrap();
        }
        let ids = log.rejections.ids(None).await.unwrap();
        assert_eq!(ids, ["rej_0003", "rej_0004", "rej_0005", "rej_0006", "rej_0007"], "five are kept, the oldest went");
        assert_eq!(log.rejections.ids(Some("baidu")).await.unwrap(), ["rej_0003", "rej_0005", "rej_0007"]);
        let (shown, push) = log.rejections.open("rej_0004").await.unwrap().unwrap();
        assert_eq!((shown, push), (rejected(4, "douyin", &log), raw(&log)));
        assert!(log.rejections.open("rej_0000").await.unwrap().is_none(), "gone");
        assert!(log.rejections.open("rej_0007").await.unwrap().is_none(), "had no bytes");
        let page = log.rejections.page(None, None, 2).await.unwrap();
        let next = log.rejections.page(None, page.next.as_ref(), 100).await.unwrap();
        let all: Vec<_> = page.items.iter().chain(&next.items).map(|one| one.id.as_str()).collect();
        assert_eq!(all, ["rej_0007", "rej_0006", "rej_0005", "rej_0004", "rej_0003"]);
        assert!(next.next.is_none());
        assert_eq!(log.rejections.page(Some("douyin"), None, 100).await.unwrap().items.len(), 2);
        log.rejections.remove("rej_0004").await.unwrap();
        assert_eq!(log.rejections.ids(None).await.unwrap().len(), 4);
    }

    pub async fn refused_pushes_are_forgotten_in_time(log: Ports) {
        log.rejections.keep(rejected(1, "douyin", &log), Some(raw(&log))).await.unwrap();
        log.advance(8 * 86_400);
        log.rejections.keep(rejected(2, "douyin", &log), Some(raw(&log))).await.unwrap();
        assert_eq!(log.rejections.ids(None).await.unwrap(), ["rej_0002"]);
        log.advance(8 * 86_400);
        log.events.expunge(log.now() - SignedDuration::from_hours(24 * 30)).await.unwrap();
        assert!(log.rejections.ids(None).await.unwrap().is_empty());
    }

    pub async fn replay_jobs_are_kept_and_count_their_outcome(log: Ports) {
        let mut job = Replay {
            id: String::from("rpl_1"),
            filter: EventFilter { until: Some(log.now()), component: Some(Glob::new("d*")), ..EventFilter::default() },
            subscription: Some(String::from("bot")),
            rate: 100,
            state: ReplayState::Running,
            matched: 2,
            enqueued: 0,
            cursor: 0,
            created_at: log.now(),
        };
        log.replays.save(&job).await.unwrap();
        (job.enqueued, job.state) = (2, ReplayState::Done);
        log.replays.save(&job).await.unwrap();
        let newer = Replay { id: String::from("rpl_0"), created_at: log.now() + Duration::from_secs(1), ..job.clone() };
        log.replays.save(&newer).await.unwrap();
        assert_eq!(log.replays.replay("rpl_1").await.unwrap(), Some(job.clone()));
        assert_eq!(log.replays.replay("rpl_9").await.unwrap(), None);
        assert_eq!(log.replays.replays().await.unwrap(), [newer, job]);

        let events = [log.put("a", None, &[]).await.id, log.put("b", None, &[]).await.id];
        log.outbox.enqueue(&events, "bot", Some("rpl_1"), log.now()).await.unwrap();
        let claimed = log.first("bot", 2).await;
        assert_eq!(claimed[0].delivery.replay.as_deref(), Some("rpl_1"));
        log.deliver(&claimed[0]).await;
        log.bury(&claimed[1]).await;
        assert_eq!(log.replays.outcome("rpl_1").await.unwrap(), (1, 1));
        log.outbox.retry(claimed[1].delivery.id, log.now()).await.unwrap();
        assert_eq!(log.replays.outcome("rpl_1").await.unwrap(), (1, 0));
        log.deliver(&log.first("bot", 1).await[0]).await;
        assert_eq!(log.replays.outcome("rpl_1").await.unwrap(), (2, 0));
        assert_eq!(log.replays.outcome("rpl_0").await.unwrap(), (0, 0));
    }

    pub async fn reads_are_listed_newest_first(log: Ports) {
        let read = |generation: u64, component: &str, log: &Ports| Read {
            key: String::from("order-service"),
            action: String::from("token.read"),
            component: component.to_owned(),
            authorizer: None,
            generation,
            remote: String::from("127.0.0.1"),
            at: log.now(),
            count: 3,
        };
        log.reads.append(Vec::new()).await.unwrap();
        for number in 0..4 {
            log.reads.append(vec![read(number * 2, "douyin", &log), read(number * 2 + 1, "baidu", &log)]).await.unwrap();
            log.advance(40_000);
        }
        let page = log.reads.reads(None, None, 3).await.unwrap();
        let rest = log.reads.reads(None, page.next.as_ref(), 100).await.unwrap();
        let all: Vec<_> = page.items.iter().chain(&rest.items).map(|read| read.generation).collect();
        assert_eq!((all, rest.next), (vec![7, 6, 5, 4, 3, 2, 1, 0], None));
        let douyin = log.reads.reads(Some("douyin"), None, 100).await.unwrap();
        assert_eq!(douyin.items.iter().map(|read| read.generation).collect::<Vec<_>>(), [6, 4, 2, 0]);
    }

    pub async fn retention_takes_what_is_over_and_leaves_what_waits(log: Ports) {
        let mut old = Vec::new();
        for number in 0..6 {
            let mut arrival = arrival(&format!("old {number}"), Some("tt1"), log.now(), &["bot", "yizhan-vault"]);
            arrival.sealed = Some(Secret::new("the code"));
            old.push(log.put_arrival(arrival).await);
        }
        let claimed = log.first("bot", 4).await;
        log.deliver(&claimed[0]).await;
        log.bury(&claimed[1]).await;
        log.fail(&claimed[2], 3600).await;
        for one in log.first("yizhan-vault", 5).await {
            log.deliver(&one).await;
        }
        log.advance(40 * 86_400);
        for number in 0..3 {
            log.put(&format!("new {number}"), Some("tt1"), &["bot"]).await;
        }
        let replayed = log.outbox.enqueue(&[old[0].id], "replayed", Some("rpl_1"), log.now()).await.unwrap();

        // Waiting: 0 (replayed), 2 (retry), 3 (claimed), 4 and 5 (bot), 5 (vault). Gone: 1, which is only dead.
        let expunged = log.events.expunge(log.now() - SignedDuration::from_hours(30 * 24)).await.unwrap();
        assert_eq!(expunged.events, 1);
        assert_eq!(log.events.event(old[1].id).await.unwrap(), None);
        assert_eq!(log.outbox.delivery(claimed[1].delivery.id).await.unwrap(), None);
        assert_eq!(log.outbox.retry(claimed[1].delivery.id, log.now()).await.unwrap(), None);
        let depth = log.outbox.depth("bot").await.unwrap();
        assert_eq!((depth.pending, depth.dead), (7, 0));
        let page = log.events.page(&EventFilter { authorizer: Some(Glob::new("tt1")), ..EventFilter::default() }, None, 100).await.unwrap();
        let listed: Vec<_> = page.items.iter().map(key).collect();
        assert_eq!(listed, ["new 2", "new 1", "new 0", "old 5", "old 4", "old 3", "old 2", "old 0"]);
        assert_eq!(log.events.following(0, 100).await.unwrap().len(), 8);

        let vault = log.first("yizhan-vault", 9).await;
        assert_eq!(keys(&vault), ["old 5"]);
        assert_eq!(vault[0].sealed.as_ref().unwrap().expose(), "the code");
        log.deliver(&vault[0]).await;
        let due = log.claim("bot", Lane::Retry, 9, false).await;
        assert_eq!(keys(&due), ["old 2"]);
        assert_eq!(due[0].delivery.attempts.len(), 1, "what was tried moved along");
        log.deliver(&due[0]).await;
        let first = log.first("bot", 99).await;
        assert_eq!(keys(&first), ["old 3", "old 4", "old 5", "new 0", "new 1", "new 2"]);
        for one in &first {
            log.deliver(one).await;
        }
        let again = log.first("replayed", 9).await;
        assert_eq!(again.iter().map(|one| one.delivery.id).collect::<Vec<_>>(), replayed);
        log.bury(&again[0]).await;

        // Nobody waits any more: the next round takes the kept ones.
        let expunged = log.events.expunge(log.now() - SignedDuration::from_hours(30 * 24)).await.unwrap();
        assert_eq!(expunged.events, 5);
        assert_eq!(log.events.count(&EventFilter::default()).await.unwrap(), 3);
        assert_eq!(log.outbox.depth("replayed").await.unwrap(), Depth { pending: 0, oldest_at: None, dead: 0 });
        let next = log.put("newest", None, &[]).await;
        assert_eq!(next.sequence, 10, "no sequence is given twice");
    }
}
