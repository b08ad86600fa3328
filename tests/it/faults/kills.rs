//! SIGKILL: under load, in the middle of renewals, and while the vendor has acted and not yet answered.

use std::time::Duration;

use yizhan::platform::twin::Verdict;
use yizhan::simulator::fault::{CallFault, CallTrouble};

use super::station::{MERCHANTS, Station, token_address};
use super::{scattered, times};

/// What the call of a renewal holds that spends something.
fn renewing(platform: &str) -> &'static str {
    match platform {
        "kuaishou" => "authorization_code=",
        "alipay" => "refresh_token",
        _ => "app_to_tp_refresh_token",
    }
}

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
    let mut lost = 0;
    for round in 0..times(2, 5) {
        for (platform, app) in MERCHANTS {
            let held = station.served(platform, app).await;
            let fault = CallFault { matching: renewing(platform).into(), trouble: CallTrouble::SlowMs(400), times: 1 };
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

/// Merchants of a platform, so many that each trouble finds a call of its own.
fn merchants(app: &str, how_many: usize) -> Vec<String> {
    let stem = &app[..app.len() - 1];
    (0..how_many).map(|last| format!("{stem}{last}")).collect()
}

/// The vendor acts and its answer is lost, is rubbish, or comes later than any call waits for it: at a call that spends the code of a grant, and at one
/// that renews.
#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_acts_and_does_not_answer_costs_no_authorization() {
    const TROUBLES: [CallTrouble; 3] = [CallTrouble::LostAnswer, CallTrouble::Garbage, CallTrouble::SlowMs(60_000)];
    let station = Station::new().await;
    let upset = |platform: &str, matching: &str| {
        for trouble in TROUBLES {
            station.simulator.fail_calls(platform, CallFault { matching: matching.into(), trouble, times: 1 }).unwrap();
        }
    };
    let platforms = MERCHANTS.map(|(platform, app)| {
        let (station, upset) = (&station, &upset);
        async move {
            // Alipay's push brings the tokens themselves: its grant spends nothing.
            let spending = match platform {
                "kuaishou" => Some("authorization_code="),
                "alipay" => None,
                _ => Some("app_to_tp_authorization_code"),
            };
            let apps = merchants(app, TROUBLES.len());
            station.simulator.ticket(platform).await.unwrap();
            if let Some(spending) = spending {
                upset(platform, spending);
            }
            for app in &apps {
                station.simulator.grant(platform, app).await.unwrap();
            }
            let mut renewals = Vec::new();
            for app in &apps {
                renewals.push((app, station.served(platform, app).await["generation"].as_u64().unwrap()));
            }
            assert_eq!(station.simulator.call_faults(platform).unwrap(), [], "{platform}: a trouble that no exchange met");

            upset(platform, renewing(platform));
            let renewals: Vec<_> =
                renewals.into_iter().map(|(app, generation)| (app, station.renewal(platform, app, generation))).collect();
            for (app, renewal) in renewals {
                renewal.await.unwrap();
                let (status, body) = station.get(&token_address(platform, app)).await;
                assert_eq!(status, 200, "the held token is served meanwhile: {body}");
            }
            assert_eq!(station.simulator.call_faults(platform).unwrap(), [], "{platform}: a trouble that no renewal met");
            let mut lost = 0;
            for app in &apps {
                lost += station.tokens_lost_of(platform, app).await;
            }
            lost
        }
    });
    assert_eq!(futures_util::future::join_all(platforms).await, [0; 4]);
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
