//! Audits of a changed profile that no push tells of (Alipay): found when the change is in force.

use std::time::Duration;

use serde_json::{Map, Value, json};
use yizhan::event_type::EventType;
use yizhan::platform::looks::AuditLook;
use yizhan::reconcile::audits::{Answer, read};
use yizhan::reconcile::{Awaited, Submission};

use super::{delivered, done, events, reconcile, submit};
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_whose_audit_passed_is_told_once() {
    let mut world = World::new().await;
    world.granted("alipay", super::app_id("alipay")).await;
    // With a version online a change waits for an audit, ten minutes here.
    submit(&world, "alipay", false).await;
    world.simulator.audit("alipay", super::app_id("alipay"), "1.0.0", &yizhan::platform::twin::Verdict::Passed).await.unwrap();
    done(&world, "alipay", "package.release", json!({"version": "1.0.0"})).await;
    let intro = "沿途小店卖干粮、热汤和马料，天黑点灯，天亮收摊，雪天也开。";
    done(&world, "alipay", "profile.modify", json!({"intro": intro, "slogan": "一盏灯一碗热汤一匹马"})).await;
    world.advance(Duration::from_secs(120));
    let early = reconcile(&world, "alipay").await;
    assert_eq!((&early["audits"]["found"], &early["audits"]["waiting"]), (&json!(0), &json!(1)), "{early}");
    world.restart().await;
    world.advance(Duration::from_secs(600));
    let looks = reconcile(&world, "alipay").await;
    assert_eq!(looks["audits"]["waiting"], 0, "{looks}");
    let told = events(&world, "alipay", "profile.*").await;
    assert_eq!(told.len(), 1, "{told:?}");
    let (kind, data) = (&told[0]["type"], &told[0]["data"]);
    assert_eq!((kind, &data["field"], &data["derived"]), (&json!("profile.passed"), &json!("slogan, intro"), &json!(true)));
    assert!(data["vendor"].to_string().contains("雪天也开"), "{data}");
    reconcile(&world, "alipay").await;
    assert_eq!(delivered(&world, "alipay", "profile.*").await.len(), 1);
}

#[test]
fn a_profile_is_approved_when_all_of_it_shows() {
    let look = AuditLook { operation: "package.get", by_version: true, has_stages: false, has_many: false, build: None };
    let at = "2026-11-20T07:00:00Z".parse().unwrap();
    let wanted: Map<String, Value> = json!({"name": "驿站", "intro": "一碗热汤 "}).as_object().unwrap().clone();
    let submission = Submission {
        awaited: Awaited::Profile,
        version: None,
        package_id: None,
        audit_id: None,
        wanted,
        submitted_at: at,
        seen_in_audit: false,
        looks: 0,
        next_look_at: at,
    };
    assert!(matches!(
        read(look, &submission, &json!({"name": "驿站", "intro": "一碗热汤", "phone": "1"})),
        Answer::Ended { kind: EventType::ProfilePassed, .. }
    ));
    for not_yet in
        [json!({"name": "驿站", "intro": "旧"}), json!({"name": "驿站"}), json!({}), json!(null), json!({"name": 7, "intro": []})]
    {
        assert_eq!(read(look, &submission, &not_yet), Answer::Open, "{not_yet}");
    }
    let of_nothing = Submission { wanted: Map::new(), ..submission };
    assert_eq!(read(look, &of_nothing, &json!({"name": "驿站"})), Answer::Open, "nothing was changed that could be seen");
}
