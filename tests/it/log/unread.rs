//! Records past damage of whole blocks: what can be read is there, and what cannot is told by whatever still names it.

use serde_json::json;
use yizhan::playbook::book::{PlaybookShelf, Stored};
use yizhan::rollout::record::{Item, Rollout, RolloutId};
use yizhan::rollout::shelf::RolloutLog;

use super::damage::{rot_in, tables};
use super::world::{World, start};

/// So long that few records fill a block.
fn noise(number: u128) -> String {
    let part = |part: u128| (number * 7919 + part + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    (0..60).map(|number| uuid::Uuid::from_u128(part(number)).as_simple().to_string()).collect()
}

fn id(number: u128) -> RolloutId {
    RolloutId(uuid::Uuid::from_u128((0x0190_c0de_0000_7000_8000 << 48) | number))
}

fn rollout(number: u128) -> Rollout {
    let at = start().to_string();
    serde_json::from_value(json!({
        "id": id(number), "state": "running", "created_at": at, "updated_at": at,
        "spec": {"component": "douyin", "authorizers": "all", "template_id": 12, "version": "2.0.1", "description": noise(number), "concurrency": 8},
    }))
    .unwrap()
}

#[tokio::test]
async fn rollouts_and_merchants_past_damaged_blocks_are_there_and_the_others_are_told() {
    let mut met = [false; 3];
    for part in [1, 5, 6, 7, 9, 11] {
        let world = World::new();
        let log = world.open();
        for number in 0..40 {
            let shops = (0..2).map(|shop| Item { reason: Some(noise(number * 2 + shop)), ..Item::queued(format!("tt{shop}"), 0, start()) });
            log.create(&rollout(number), &shops.collect::<Vec<_>>()).await.unwrap();
            let stored = Stored { written: json!({"text": noise(number)}), updated_at: start() };
            log.put_playbook(&format!("look{number:02}"), &stored).await.unwrap();
        }
        drop(log);
        let folder = world.folder.path().join("log");
        let length = std::fs::metadata(&tables(&folder, "records")[0]).unwrap().len();
        rot_in(&folder, "records", length / 12 * part);

        let log = world.open();
        let all = log.rollouts().await.unwrap();
        let ids: Vec<_> = all.iter().map(|kept| kept.record.id).collect();
        assert_eq!(ids, (0..40).map(id).collect::<Vec<_>>(), "{part}: each is there, or its merchants tell of it");
        let unread = all.iter().filter(|kept| kept.record.is_unread).count();
        let (mut hidden, mut holed) = (0, 0);
        for number in 0..40 {
            let found = log.items(id(number)).await.unwrap();
            hidden += 2 - found.items.len();
            holed += usize::from(!found.is_whole);
            assert!(found.is_whole == (found.items.len() == 2), "{part}: {number}");
        }
        let shelved = log.playbooks().await.unwrap();
        let lost = 40 - shelved.playbooks.len();
        assert_eq!(shelved.is_whole, lost == 0, "{part}");
        assert!((1..12).contains(&(unread + hidden + lost)), "{part}: {unread} rollouts, {hidden} merchants, {lost} playbooks");
        met = [met[0] || unread > 0, met[1] || holed > 0, met[2] || lost > 0];

        // What is damaged can be written over, and removed.
        for kept in all.iter().filter(|kept| kept.record.is_unread) {
            assert!(log.save_rollout(&kept.record, kept.version).await.unwrap());
            let again = log.rollout(kept.record.id).await.unwrap().unwrap();
            assert!(again.record.is_unread && again.version == 1, "{again:?}");
        }
        for number in (0..40).filter(|number| shelved.playbooks.iter().all(|(name, _)| *name != format!("look{number:02}"))) {
            log.remove_playbook(&format!("look{number:02}")).await.unwrap();
        }
    }
    assert_eq!(met, [true; 3], "rollouts, merchants and playbooks were met");
}
