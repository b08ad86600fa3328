//! What becomes of deliveries, and how they are listed.

use jiff::SignedDuration;
use yizhan::fanout::delivery::{Attempt, DeliveryFilter, DeliveryId, Depth, Ended, Known, Lane, Settlement, Status};
use yizhan::inbox::EventId;

use super::{Ports, keys};

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
        let filter = DeliveryFilter { event: Some(id.to_string()), subscription: Some(String::from("bot")), ..DeliveryFilter::default() };
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
    let first = log.outbox.deliveries(&DeliveryFilter { event: Some(event.id.to_string()), ..DeliveryFilter::default() }, None, 9).await;
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

pub async fn a_try_that_began_before_a_replay_does_not_stand_for_it(log: Ports) {
    let event = log.put("a", None, &["bot"]).await;
    let under_way = log.first("bot", 1).await;
    let attempt = log.attempt(200);
    log.advance(1);
    log.outbox.enqueue(&[event.id], "bot", None, log.now()).await.unwrap();
    log.outbox.settle(&under_way[0].delivery, Settlement::Delivered(attempt)).await.unwrap();
    let again = log.first("bot", 9).await;
    assert_eq!(keys(&again), ["a"], "the handler answered before the replay was asked for");
    log.deliver(&again[0]).await;
    let done = log.outbox.delivery(again[0].delivery.id).await.unwrap().unwrap();
    assert_eq!((done.status, done.attempts.len()), (Status::Delivered, 2));
    assert_eq!(log.outbox.depth("bot").await.unwrap(), Depth::default());
}

pub async fn a_handler_that_is_gone_uses_up_nothing_of_the_schedule(log: Ports) {
    log.put("a", None, &["bot"]).await;
    let claimed = log.first("bot", 1).await;
    let gone = Settlement::Gone(log.attempt(410), log.now());
    log.outbox.settle(&claimed[0].delivery, gone).await.unwrap();
    let shown = log.outbox.delivery(claimed[0].delivery.id).await.unwrap().unwrap();
    assert_eq!((shown.status, shown.attempts.len(), shown.next_attempt_at), (Status::Pending, 1, Some(log.now())));
    let again = log.claim("bot", Lane::Retry, 9, false).await;
    assert_eq!((keys(&again), again[0].delivery.attempts.len()), (vec![String::from("a")], 0));
}

pub async fn a_try_stands_though_the_clock_was_set_back_meanwhile(log: Ports) {
    let before = |attempt: Attempt| Attempt { at: attempt.at - SignedDuration::from_hours(1), ..attempt };
    log.put("a", None, &["bot"]).await;
    let claimed = log.first("bot", 1).await;
    log.outbox.settle(&claimed[0].delivery, Settlement::Delivered(before(log.attempt(200)))).await.unwrap();
    assert_eq!(log.outbox.delivery(claimed[0].delivery.id).await.unwrap().unwrap().status, Status::Delivered);

    log.put("b", None, &["bot"]).await;
    let claimed = log.first("bot", 9).await;
    assert_eq!(keys(&claimed), ["b"], "what was delivered is not delivered again");
    log.fail(&claimed[0], 10).await;
    log.advance(10);
    let retried = log.claim("bot", Lane::Retry, 9, false).await;
    let again = log.now() - SignedDuration::from_hours(1) + SignedDuration::from_secs(30);
    log.outbox.settle(&retried[0].delivery, Settlement::Retry(before(log.attempt(500)), again)).await.unwrap();
    let waiting = log.outbox.delivery(retried[0].delivery.id).await.unwrap().unwrap();
    assert_eq!((waiting.next_attempt_at, waiting.attempts.len()), (Some(again), 2));
    let retried = log.claim("bot", Lane::Retry, 9, false).await;
    let (looked, later) = (log.now() - SignedDuration::from_hours(2), log.now() - SignedDuration::from_mins(90));
    log.outbox.settle(&retried[0].delivery, Settlement::Deferred(looked, later)).await.unwrap();
    assert_eq!(log.outbox.delivery(retried[0].delivery.id).await.unwrap().unwrap().next_attempt_at, Some(later));
}

pub async fn what_is_settled_together_ends_each_in_its_way(log: Ports) {
    for key in ["a", "b", "c", "d", "e", "f"] {
        log.put(key, None, &["bot"]).await;
    }
    let claimed = log.first("bot", 9).await;
    let (soon, later) = (log.now() + SignedDuration::from_secs(5), log.now() + SignedDuration::from_secs(600));
    let settlements = [
        Settlement::Delivered(log.attempt(200)),
        Settlement::Retry(log.attempt(500), soon),
        Settlement::Dead(log.attempt(400)),
        Settlement::Deferred(log.now(), later),
        Settlement::Released,
        Settlement::Delivered(log.attempt(204)),
    ];
    let mut ended: Vec<Ended> = std::iter::zip(&claimed, settlements)
        .map(|(claimed, settlement)| Ended { delivery: claimed.delivery.clone(), settlement })
        .collect();
    // The same once more: it is in another batch of the log, and what comes after it is not left out.
    ended.insert(1, Ended { delivery: claimed[0].delivery.clone(), settlement: Settlement::Dead(log.attempt(500)) });
    log.outbox.settle_all(ended.into()).await.unwrap();
    let mut found = Vec::new();
    for one in &claimed {
        let delivery = log.outbox.delivery(one.delivery.id).await.unwrap().unwrap();
        found.push((delivery.status, delivery.attempts.len()));
    }
    let (delivered, pending, dead) = (Status::Delivered, Status::Pending, Status::Dead);
    assert_eq!(found, [(delivered, 2), (pending, 1), (dead, 1), (pending, 0), (pending, 0), (delivered, 1)]);
    assert_eq!(keys(&log.first("bot", 9).await), ["e"]);
    let depth = log.outbox.depth("bot").await.unwrap();
    assert_eq!((depth.pending, depth.dead), (3, 1));
    log.advance(5);
    assert_eq!(keys(&log.claim("bot", Lane::Retry, 9, false).await), ["b"]);
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

pub async fn nothing_comes_to_wait_for_a_name_that_was_retired(log: Ports) {
    let event = log.put("a", None, &["bot", "other"]).await;
    let claimed = log.first("bot", 1).await;
    log.bury(&claimed[0]).await;
    log.put("b", None, &["bot"]).await;
    log.outbox.retire("bot", log.now()).await.unwrap();
    // A push, a replay and a retry that were under way.
    log.put("c", None, &["bot", "other"]).await;
    assert!(log.outbox.enqueue(&[event.id], "bot", None, log.now()).await.unwrap().is_empty());
    assert_eq!(log.outbox.retry(claimed[0].delivery.id, log.now()).await.unwrap(), None);
    assert_eq!(log.outbox.depth("bot").await.unwrap().pending, 1);
    let known = |name: &str, pending, retired_at| Known { subscription: String::from(name), pending, retired_at };
    assert_eq!(log.outbox.names().await.unwrap(), [known("bot", 1, Some(log.now())), known("other", 2, None)]);

    // Whoever bears the name next hears of nothing that was for the former; where it was never retired, of everything.
    log.outbox.reinstate("bot").await.unwrap();
    log.outbox.reinstate("other").await.unwrap();
    assert_eq!(log.outbox.names().await.unwrap(), [known("bot", 0, None), known("other", 2, None)]);
    log.put("d", None, &["bot"]).await;
    assert_eq!(keys(&log.first("bot", 9).await), ["d"]);
    assert_eq!(log.outbox.retry(claimed[0].delivery.id, log.now()).await.unwrap().unwrap().status, Status::Pending);
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

pub async fn a_deferred_delivery_waits_and_uses_nothing_up(log: Ports) {
    log.put("a", Some("tt1"), &["bot"]).await;
    let claimed = log.first("bot", 1).await;
    log.fail(&claimed[0], 1).await;
    log.advance(1);
    let claimed = log.claim("bot", Lane::Retry, 1, false).await;
    let until = log.now() + SignedDuration::from_secs(600);
    log.outbox.settle(&claimed[0].delivery, Settlement::Deferred(log.now(), until)).await.unwrap();
    assert_eq!(log.outbox.next_due("bot").await.unwrap(), Some(until));
    assert!(log.claim("bot", Lane::First, 9, false).await.is_empty() && log.claim("bot", Lane::Retry, 9, false).await.is_empty());
    log.advance(600);
    let again = log.claim("bot", Lane::Retry, 9, false).await;
    assert_eq!((keys(&again), again[0].delivery.attempts.len()), (vec![String::from("a")], 1));
    log.deliver(&again[0]).await;
    assert_eq!(log.outbox.depth("bot").await.unwrap(), Depth::default());
}

pub async fn a_replay_during_a_look_that_found_it_too_early_is_looked_at_again(log: Ports) {
    let event = log.put("a", Some("tt1"), &["bot"]).await;
    let claimed = log.first("bot", 1).await;
    let looked_at = log.now();
    log.advance(1);
    log.outbox.enqueue(&[event.id], "bot", None, log.now()).await.unwrap();
    let until = log.now() + SignedDuration::from_secs(600);
    log.outbox.settle(&claimed[0].delivery, Settlement::Deferred(looked_at, until)).await.unwrap();
    assert_eq!(keys(&log.first("bot", 1).await), ["a"]);
}

pub async fn a_delivery_to_which_nothing_happened_can_be_looked_up_and_retried(log: Ports) {
    let event = log.put("a", Some("tt1"), &["bot", "other"]).await;
    let of_event = DeliveryFilter { event: Some(event.id.to_string()), ..DeliveryFilter::default() };
    let both = log.outbox.deliveries(&of_event, None, 10).await.unwrap().items;
    assert_eq!(both.len(), 2);
    for one in &both {
        assert_eq!(log.outbox.delivery(one.id).await.unwrap().as_ref(), Some(one));
        assert_eq!((one.status, one.created_at, one.event_id), (Status::Pending, event.received_at, event.id));
        assert_eq!((one.attempts.len(), one.next_attempt_at), (0, Some(event.received_at)));
    }
    log.advance(60);
    // Asked for by hand, it is due from now on, and a try that began before does not stand for it.
    let retried = log.outbox.retry(both[0].id, log.now()).await.unwrap().unwrap();
    assert_eq!((retried.id, retried.next_attempt_at), (both[0].id, Some(log.now())));
    let claimed = log.first(&both[0].subscription, 5).await;
    assert_eq!(claimed.iter().map(|one| one.delivery.id).collect::<Vec<_>>(), [both[0].id]);
    log.deliver(&claimed[0]).await;
    assert_eq!(log.outbox.delivery(both[0].id).await.unwrap().unwrap().status, Status::Delivered);
    // The other one is untouched, is given out once, and given back as it was.
    let claimed = log.first(&both[1].subscription, 5).await;
    assert_eq!(claimed[0].delivery, both[1]);
    log.outbox.settle(&claimed[0].delivery, Settlement::Released).await.unwrap();
    assert_eq!(log.outbox.delivery(both[1].id).await.unwrap().as_ref(), Some(&both[1]));
    assert_eq!(log.outbox.cancel_all(&both[1].subscription).await.unwrap(), 1);
    assert_eq!(log.outbox.delivery(both[1].id).await.unwrap().unwrap().status, Status::Cancelled);
    assert_eq!(log.outbox.deliveries(&of_event, None, 10).await.unwrap().items.len(), 2);
}

pub async fn deliveries_with_and_without_a_record_are_listed_once_each(log: Ports) {
    const SUBSCRIPTIONS: [&str; 3] = ["bot", "other", "third"];
    for number in 0..120 {
        log.put(&number.to_string(), None, &SUBSCRIPTIONS[..=number % 3]).await;
        log.advance(3600);
    }
    // Tried here and there, so that both kinds stand between each other in every day.
    for (at, one) in log.first("bot", 100).await.iter().enumerate() {
        match at % 5 {
            0 => log.deliver(one).await,
            1 => log.fail(one, 86_400).await,
            2 => log.bury(one).await,
            _ => {}
        }
    }
    for limit in [1, 2, 7, 50, 1000] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = log.outbox.deliveries(&DeliveryFilter::default(), after.as_ref(), limit).await.unwrap();
            found.extend(page.items);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert!(found.is_sorted_by(|a, b| a.id > b.id), "newest first, each once, {limit} at a time");
        assert_eq!(found.len(), 240, "{limit} at a time");
        assert_eq!(found.iter().filter(|one| one.status == Status::Pending).count(), 240 - 40);
    }
}
