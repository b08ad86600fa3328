//! A quota that is used up, and people who try again; and the small rules beside the table.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use yizhan::clock::Timestamp;
use yizhan::platform::quota::AuditQuota;
use yizhan::platform::{ApiError, Class};
use yizhan::rollout::record::Item;
use yizhan::rollout::settle::{Waits, poll_after};
use yizhan::rollout::stage::Stage;
use yizhan::rollout::whereabouts::{Place, find};
use yizhan::rollout::window::Window;

use super::crash::{Fate, World as Disk, live};
use super::stories::Deployment;

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_is_used_up_is_waited_for() {
    let deployment = Deployment::of("baidu").await;
    let quota = AuditQuota { audits: Some(1), every_ms: Some(3_600_000) };
    deployment.world.simulator.limit_audits("baidu", quota).unwrap();
    let id = deployment.begin(json!({"until": "in_audit", "concurrency": 1})).await;
    let shown = deployment.until(&id, "two wait", |shown| shown["counts"]["uploaded"] == 2 && shown["counts"]["in_audit"] == 1).await;
    assert!(shown["waits"][0]["reason"].as_str().unwrap().contains("used up"), "{shown}");
    let refused = deployment.world.simulator.journal().iter().filter(|entry| entry.path.contains("submitaudit")).count();
    assert_eq!(refused, 1, "a quota that is known to be used up is not tried");
    for _ in 0..150 {
        deployment.world.simulator.ticket("baidu").await.unwrap();
        deployment.world.advance(Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    deployment.until(&id, "done", |shown| shown["state"] == "done").await;
    assert_eq!(deployment.deeds("audit.submit"), [1, 1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_failed_are_tried_again_where_they_stopped() {
    let deployment = Deployment::of("kuaishou").await;
    let id = deployment.begin(json!({"template_id": 99})).await;
    let done = deployment.until(&id, "done", |shown| shown["state"] == "done").await;
    assert_eq!((&done["counts"]["failed"], &done["reasons"][0]["count"]), (&json!(3), &json!(3)), "the same words are one reason: {done}");
    assert!(deployment.items(&id).await.iter().all(|item| item["stopped_at"] == "uploading"));
    let (status, answer) = deployment.world.post(&format!("/v1/rollouts/{id}/retry"), json!({})).await;
    assert_eq!(status, 200, "{answer}");
    let done = deployment.until(&id, "done again", |shown| shown["state"] == "done").await;
    assert_eq!(done["counts"]["failed"], 3);
    assert_eq!(deployment.deeds("package.upload").len(), 0);
}

/// The items of a rollout to two merchants, of whom the vendor refuses so many uploads each, and the seconds between its refusals.
async fn refused(class: Class, times: usize) -> Vec<(Item, Vec<i64>)> {
    let world = Arc::new(Disk::default());
    *world.refuses.lock().unwrap() = Some((ApiError::new(class, "NO_AUTH_RELATION", "no relation"), times));
    live(&world, "baidu", &Fate::after(usize::MAX), false).await;
    let refused_at = world.refused_at.lock().unwrap();
    let pauses = |at: &[Timestamp]| at.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs()).collect();
    let items = world.items.lock().unwrap().values().map(|kept| kept.record.clone()).collect::<Vec<_>>();
    items.into_iter().map(|item| (item.clone(), pauses(&refused_at[&item.authorizer]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_refused_however_often_it_is_renewed_ends_its_merchant() {
    for (item, pauses) in refused(Class::RenewAuthorizerToken, usize::MAX).await {
        assert_eq!((item.stage, pauses.len()), (Stage::Failed, 2), "{item:?}");
        assert!(item.reason.unwrap().contains("NO_AUTH_RELATION"));
    }
    for (item, pauses) in refused(Class::RenewAuthorizerToken, 2).await {
        assert_eq!((item.stage, item.token_refusals, pauses.len()), (Stage::Released, 0, 1), "{item:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pauses_of_a_merchant_grow_although_others_of_its_questions_are_answered() {
    for (item, pauses) in refused(Class::Retry, 6).await {
        assert_eq!(item.stage, Stage::Released, "{item:?}");
        assert!(pauses.iter().zip([5, 10, 20, 40, 80]).all(|(pause, least)| *pause >= least), "{pauses:?}");
    }
}

#[test]
fn a_window_over_midnight_is_chinas() {
    let window: Window = "22:00-06:00".parse().unwrap();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    for (moment, is_open) in [("13:59", false), ("14:00", true), ("21:59", true), ("22:00", false)] {
        assert_eq!(window.is_open(at(&format!("2026-11-20T{moment}:00Z"))), is_open, "{moment}");
    }
    assert_eq!(window.opens(at("2026-11-20T23:30:00Z")), at("2026-11-21T14:00:00Z"));
    assert_eq!(window.to_string(), "22:00-06:00");
    for wrong in ["", "22:00", "22:00-22:00", "24:00-06:00", "22:60-06:00", "2:00-06:00", "22:00-06:00-07:00", "+2:00-06:00"] {
        assert!(wrong.parse::<Window>().is_err(), "{wrong}");
    }
}

#[test]
fn pauses_grow_and_end_somewhere() {
    let waits = Waits { poll: Duration::from_secs(300), quota: Duration::from_secs(3600), longest: Duration::from_secs(600) };
    let now = Timestamp::UNIX_EPOCH;
    assert_eq!([1, 2, 3, 8, 100].map(|failures| waits.again(now, 5, failures).as_second()), [5, 10, 20, 600, 600]);
    let seconds = |seconds: i64| Timestamp::from_second(seconds).unwrap();
    assert_eq!([60, 605].map(|asked| waits.at_most(now, seconds(asked)).as_second()), [60, 600], "vendors' pauses end there too");
    let after = |minutes: i64| poll_after(Duration::from_secs(300), jiff::SignedDuration::from_mins(minutes)).as_secs() / 60;
    assert_eq!([0, 20, 60, 6000].map(after), [5, 5, 15, 60]);
}

#[test]
fn of_several_entries_of_a_version_the_furthest_counts() {
    let list = json!({"items": [
        {"version": "2.0.1", "status": "uploaded"}, {"version": "2.0.1", "status": "passed"}, {"version": "2.0.0", "status": "released"},
        {"version": "d3.0", "package_id": 7, "status": "development"}, {"version": "3.0", "package_id": 8, "status": "rejected", "reason": "r"},
    ]});
    assert_eq!(find(&list, "2.0.1", None).place, Place::Approved);
    assert_eq!(find(&list, "2.0.0", None).place, Place::Released);
    assert_eq!(find(&list, "9", None).place, Place::Nowhere);
    assert_eq!(find(&list, "3.0", Some("7")).place, Place::Made);
    assert_eq!(find(&list, "3.0", None).reason.as_deref(), Some("r"));
    assert_eq!(find(&json!(null), "3.0", None).place, Place::Nowhere);
}
