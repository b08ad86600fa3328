//! SIGKILL: under load, in the middle of renewals, and while the vendor has acted and not yet answered.

use std::time::Duration;

use yizhan::platform::twin::Verdict;
use yizhan::simulator::fault::{CallFault, CallTrouble};

use super::station::{MERCHANTS, Station, token_address};
use super::{scattered, times};

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_under_load_nothing_acknowledged_or_handed_out_is_lost() {
    let kills = times(10, 50);
    let mut station = Station::new().await;
    station.granted().await;
    let mut tokens_lost = 0;
    for round in 0..kills {
        let mut renewals = Vec::new();
        let mut held = Vec::new();
        for (platform, app) in MERCHANTS {
            held.push((platform, app, station.served(platform, app).await["generation"].as_u64().unwrap()));
        }
        let load = station.load(8);
        station.acknowledged(20).await;
        tokio::time::sleep(Duration::from_millis(scattered(round, 200))).await;
        for (platform, app, generation) in held {
            renewals.push(station.renewal(platform, app, generation));
        }
        tokio::time::sleep(Duration::from_millis(scattered(round * 7, 60))).await;
        station.kill();
        load.stop().await;
        for renewal in renewals {
            renewal.await.unwrap();
        }
        station.start().await;
        tokens_lost += station.tokens_lost().await;
        if round % 10 == 9 {
            station.account().await.settle("after a kill");
        }
    }
    let account = station.account().await;
    station.all_delivered().await;
    println!("{kills} kills: {account}, refresh tokens lost: {tokens_lost}");
    account.settle("after all kills");
    assert_eq!(tokens_lost, 0);
    assert!(account.acknowledged >= 20 * kills as usize, "only {} pushes were acknowledged", account.acknowledged);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_vendor_has_acted_and_not_answered_a_valid_token_is_served_without_a_new_authorization() {
    let mut station = Station::new().await;
    station.granted().await;
    let spending = |platform: &str| match platform {
        "kuaishou" => "authorization_code=",
        "alipay" => "refresh_token",
        _ => "app_to_tp_refresh_token",
    };
    let mut lost = 0;
    for round in 0..times(2, 5) {
        for (platform, app) in MERCHANTS {
            let held = station.served(platform, app).await;
            let fault = CallFault { matching: spending(platform).into(), trouble: CallTrouble::SlowMs(400), times: 1 };
            station.simulator.fail_calls(platform, fault).unwrap();
            let renewal = station.renewal(platform, app, held["generation"].as_u64().unwrap());
            tokio::time::sleep(Duration::from_millis(120 + scattered(round, 60))).await;
            station.kill();
            renewal.await.unwrap();
            station.start().await;
            lost += station.tokens_lost().await;
        }
    }
    assert_eq!(lost, 0);
}

/// The connection breaks after the vendor has acted, at every spending call of a grant and of a renewal.
#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_acts_and_does_not_answer_costs_no_authorization() {
    let station = Station::new().await;
    for (platform, app) in MERCHANTS {
        station.simulator.ticket(platform).await.unwrap();
        for trouble in [CallTrouble::LostAnswer, CallTrouble::Garbage] {
            station.simulator.fail_calls(platform, CallFault { matching: String::new(), trouble, times: 1 }).unwrap();
        }
        station.simulator.grant(platform, app).await.unwrap();
    }
    for (platform, app) in MERCHANTS {
        let held = station.served(platform, app).await;
        let fault = CallFault { matching: String::new(), trouble: CallTrouble::LostAnswer, times: 1 };
        station.simulator.fail_calls(platform, fault).unwrap();
        station.renewal(platform, app, held["generation"].as_u64().unwrap()).await.unwrap();
        let (status, body) = station.get(&token_address(platform, app)).await;
        assert_eq!(status, 200, "the held token is served meanwhile: {body}");
    }
    assert_eq!(station.tokens_lost().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_under_load_is_restored_into_a_service_that_knows_everything() {
    let mut station = Station::new().await;
    station.simulator.ticket("douyin").await.unwrap();
    let (platform, app) = MERCHANTS[1];
    station.simulator.grant(platform, app).await.unwrap();
    let token = station.served(platform, app).await;
    for number in 0..200 {
        station.simulator.audit("baidu", "1000001", &format!("1.0.{number}"), &Verdict::Passed).await.unwrap();
    }
    let archive = station.beside("backup");
    let archive = archive.to_str().unwrap();
    let backup = station.run(&["backup", archive]);
    assert!(backup.status.success(), "{}", String::from_utf8_lossy(&backup.stderr));
    station.kill();
    std::fs::remove_dir_all(&station.store).unwrap();
    let restored = station.run(&["restore", archive]);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    station.start().await;
    assert_eq!(station.served(platform, app).await["access_token"], token["access_token"]);
    let (_, page) = station.get("/v1/events?component=baidu&type=audit.*&limit=500").await;
    assert_eq!(page["items"].as_array().unwrap().len(), 200);
}
