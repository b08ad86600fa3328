//! Everything else that is kept: refused pushes, replay jobs, reads; and what retention takes.

use std::time::Duration;

use jiff::SignedDuration;
use yizhan::clock::Timestamp;
use yizhan::event_type::Glob;
use yizhan::fanout::delivery::{Depth, Lane};
use yizhan::inbox::EventFilter;
use yizhan::inbox::log::Rejected;
use yizhan::inbox::replay::{MOST_ENDED, Replay, ReplayState};
use yizhan::platform::{Door, RawPush};
use yizhan::secret::Secret;
use yizhan::vault::audit::Read;

use super::{Ports, arrival, key, keys};

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

pub async fn a_flood_of_refused_pushes_at_one_component_pushes_out_nobody_elses(log: Ports) {
    let keep = async |number, component| log.rejections.keep(rejected(number, component, &log), Some(raw(&log))).await.unwrap();
    keep(0, "baidu").await;
    keep(1, "baidu").await;
    for number in 2..50 {
        keep(number, "douyin").await;
    }
    assert_eq!(log.rejections.ids(None).await.unwrap(), ["rej_0000", "rej_0001", "rej_0047", "rej_0048", "rej_0049"]);
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
        unreadable: 0,
        cursor: 0,
        created_at: log.now(),
        ended_at: None,
    };
    log.replays.save(&job).await.unwrap();
    (job.enqueued, job.state) = (2, ReplayState::Done);
    log.replays.save(&job).await.unwrap();
    let newer = Replay { id: String::from("rpl_0"), created_at: log.now() + Duration::from_secs(1), ..job.clone() };
    log.replays.save(&newer).await.unwrap();
    assert_eq!(log.replays.replay("rpl_1").await.unwrap(), Some(job.clone()));
    assert_eq!(log.replays.replay("rpl_9").await.unwrap(), None);
    assert_eq!(log.replays.replays().await.unwrap(), [newer, job.clone()]);
    for number in 0..250 {
        let ended = Replay { id: format!("rpl_later_{number}"), created_at: log.now() + Duration::from_secs(2), ..job.clone() };
        log.replays.save(&ended).await.unwrap();
    }
    log.replays.save(&Replay { state: ReplayState::Running, ..job }).await.unwrap();
    assert_eq!(log.replays.replays().await.unwrap().len(), 200);
    let live: Vec<_> = log.replays.live().await.unwrap().into_iter().map(|live| live.id).collect();
    assert_eq!(live, ["rpl_1"], "however many came after it");

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

pub async fn of_the_jobs_that_are_over_those_that_ended_last_are_kept(log: Ports) {
    let seconds = |number: usize| SignedDuration::from_secs(i64::try_from(number).unwrap());
    let job = |id: &str, state: ReplayState, ended_at: Option<Timestamp>| Replay {
        id: id.to_owned(),
        filter: EventFilter::default(),
        subscription: None,
        rate: 100,
        state,
        matched: 0,
        enqueued: 0,
        unreadable: 0,
        cursor: 0,
        created_at: log.now(),
        ended_at,
    };
    let later = |number: usize| log.now() + seconds(number);
    // As they were stored before their end was noted: they count as ended when they were made.
    let former = job("rpl_former", ReplayState::Done, None);
    let ended = (1..MOST_ENDED).map(|number| job(&format!("rpl_{number}"), ReplayState::Done, Some(later(number))));
    let live = [job("rpl_slow", ReplayState::Running, None), job("rpl_paused", ReplayState::Paused, None)];
    let all: Vec<Replay> = ended.chain([former]).chain(live).collect();
    futures_util::future::try_join_all(all.iter().map(|job| log.replays.save(job))).await.unwrap();
    let events = [log.put("a", None, &[]).await.id, log.put("b", None, &[]).await.id];
    log.outbox.enqueue(&events, "bot", Some("rpl_former"), log.now()).await.unwrap();
    log.outbox.enqueue(&events, "other", Some("rpl_2"), log.now()).await.unwrap();
    for name in ["bot", "other"] {
        log.deliver(&log.first(name, 1).await[0]).await;
    }
    let known = async |id: &str| (log.replays.replay(id).await.unwrap().is_some(), log.replays.outcome(id).await.unwrap());
    assert_eq!((known("rpl_former").await, known("rpl_1").await), ((true, (1, 0)), (true, (0, 0))), "there are as many as may be");

    log.replays.save(&job("rpl_slow", ReplayState::Done, Some(later(MOST_ENDED)))).await.unwrap();
    assert_eq!(known("rpl_former").await, (false, (0, 0)), "it ended first");
    // What the clock calls the oldest is there for whoever waits for its end.
    log.replays.save(&job("rpl_paused", ReplayState::Cancelled, Some(log.now()))).await.unwrap();
    assert_eq!((known("rpl_1").await.0, known("rpl_2").await, known("rpl_slow").await.0), (false, (true, (1, 0)), true));
    assert!(known("rpl_paused").await.0);

    // What was still under way for it ends, and is forgotten too.
    log.deliver(&log.first("bot", 1).await[0]).await;
    assert_eq!(known("rpl_former").await, (false, (1, 0)));
    log.events.expunge(log.now() - SignedDuration::from_hours(24 * 30)).await.unwrap();
    assert_eq!((known("rpl_former").await, known("rpl_2").await), ((false, (0, 0)), (true, (1, 0))));
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
    assert_eq!(log.events.following(0, 100).await.unwrap().events.len(), 8);

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
    assert_eq!(log.outbox.depth("replayed").await.unwrap(), Depth::default());
    let next = log.put("newest", None, &[]).await;
    assert_eq!(next.sequence, 10, "no sequence is given twice");
}

pub async fn an_event_is_found_by_its_id_for_as_long_as_it_is_kept(log: Ports) {
    let [waits, goes] = [log.put("waits", Some("tt1"), &["bot"]).await, log.put("goes", Some("tt1"), &[]).await];
    let days = |days: i64| SignedDuration::from_hours(24 * days);
    // Its message needs not be remembered any more.
    log.advance(20 * 86_400);
    log.put("newer", None, &[]).await;
    log.events.expunge(log.now() - days(30)).await.unwrap();
    for event in [&waits, &goes] {
        assert_eq!(log.events.event(event.id).await.unwrap().as_ref(), Some(event));
    }
    // And then its day goes.
    log.advance(20 * 86_400);
    log.put("newest", None, &[]).await;
    assert_eq!(log.events.expunge(log.now() - days(30)).await.unwrap().events, 1);
    assert_eq!(log.events.event(waits.id).await.unwrap().as_ref(), Some(&waits));
    assert_eq!(log.events.event(goes.id).await.unwrap(), None);
    let filter = EventFilter { component: Some(Glob::new("douyin")), ..EventFilter::default() };
    assert_eq!(log.events.count(&filter).await.unwrap(), 3);
    // What is repeated so late is new.
    log.put("waits", Some("tt1"), &[]).await;
    let claimed = log.first("bot", 5).await;
    assert_eq!(claimed[0].event, waits);
    log.fail(&claimed[0], 60).await;
    log.advance(60);
    let again = log.claim("bot", Lane::Retry, 5, false).await;
    assert_eq!(again[0].delivery.id, claimed[0].delivery.id);
    log.deliver(&again[0]).await;
    log.events.expunge(log.now() - days(30)).await.unwrap();
    assert_eq!(log.events.event(waits.id).await.unwrap(), None);
    assert_eq!(log.outbox.delivery(claimed[0].delivery.id).await.unwrap(), None);
}
