//! SIGKILL: under load, in the middle of renewals, and while the vendor has acted and not yet answered.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use yizhan::secret::Secret;
use yizhan::simulator::fault::{CallFault, CallTrouble};
use yizhan::store::at_rest::AtRest;
use yizhan::store::sled::SledVault;
use yizhan::vault::shelf::{Change, Kind, RecordKey, TokenShelf};

use super::station::{MERCHANTS, Station, token_address};
use super::{scattered, times};
use crate::world::{KEY, MASTER_KEY};

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

/// More in a vault that nobody has open than finds room between a service and a reader who does not read. It stands behind merchants and before their
/// tokens.
async fn fill(store: &Path) {
    let at_rest = Arc::new(AtRest::new(&Secret::new(MASTER_KEY), &[]).unwrap());
    let vault = SledVault::open(&store.join("vault"), at_rest).await.unwrap();
    for number in 0..160 {
        let nobodys = RecordKey::new(Kind::Note, "", format!("of-nobody-{number}"));
        vault.commit(vec![Change::put(nobodys, vec![0; 50_000].into())]).await.unwrap();
    }
}

/// Merchants who grant, one after the other, until told to stop.
async fn granting(station: &Station, stop: &AtomicBool) {
    for number in 0.. {
        let app = format!("20{number:05}");
        station.simulator.grant("baidu", &app).await.unwrap();
        station.served("baidu", &app).await;
        if stop.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// Every delivery to the vault of events of that type: whose they are and how far they came.
async fn of_vault(station: &Station, kind: &str) -> Vec<(String, String, String)> {
    let (_, events) = station.get(&format!("/v1/events?type={kind}&limit=500")).await;
    let (_, deliveries) = station.get("/v1/deliveries?subscription=yizhan-vault&limit=500").await;
    let deliveries = deliveries["items"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let delivered = |event: &Value| {
        let delivery = deliveries.iter().find(|one| one["event_id"] == event["id"]).unwrap();
        (text(&event["platform"]), text(&event["subject"]), text(&delivery["status"]))
    };
    events["items"].as_array().unwrap().iter().map(delivered).collect()
}

/// The reader stands still in the middle of the vault while everybody goes on: pushes come, merchants grant and withdraw, and all of it is told to the
/// vault. Whatever of that the backup's log says was told to the vault, its vault knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_under_load_is_restored_into_a_service_that_knows_everything() {
    let mut station = Station::new().await;
    station.granted().await;
    station.simulator.grant("baidu", "1000009").await.unwrap();
    station.served("baidu", "1000009").await;
    station.stop().await;
    fill(&station.store).await;
    station.start().await;
    let archive = station.beside("backup");
    let stop = AtomicBool::new(false);
    let backup = async {
        let load = station.load(4);
        station.acknowledged(20).await;
        let promised = station.ledger.acknowledged.lock().unwrap().clone();
        let request = station.client.get(format!("{}/v1/backup", station.base)).bearer_auth(KEY).timeout(Duration::from_secs(120));
        let mut response = request.send().await.unwrap();
        let mut bytes = response.chunk().await.unwrap().unwrap().to_vec();

        for number in 0..5 {
            let app = format!("10{number:05}");
            station.simulator.grant("baidu", &app).await.unwrap();
            station.served("baidu", &app).await;
        }
        station.simulator.revoke("baidu", "1000009").await.unwrap();
        while of_vault(&station, "authorization.revoked").await != [("baidu".into(), "1000009".into(), "delivered".into())] {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        station.acknowledged(20).await;

        while let Some(piece) = response.chunk().await.unwrap() {
            bytes.extend_from_slice(&piece);
        }
        load.stop().await;
        stop.store(true, Ordering::Relaxed);
        std::fs::write(&archive, bytes).unwrap();
        promised
    };
    let (promised, ()) = tokio::join!(backup, granting(&station, &stop));
    station.kill();
    std::fs::remove_dir_all(&station.store).unwrap();
    let restored = station.run(&["restore", archive.to_str().unwrap()]);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    let said = station.talk().len();
    station.start().await;

    let said = station.talk().split_off(said);
    assert!(!said.contains("are missing"), "what came after the backup is no damage: {said}");
    let stored = station.stored().await;
    let lost: Vec<_> = promised.iter().filter(|mark| !stored.contains_key(*mark)).collect();
    assert!(lost.is_empty(), "acknowledged before the backup: {lost:?}");
    assert_eq!(station.tokens_lost().await, 0);
    let granted = of_vault(&station, "authorization.granted").await;
    assert!(granted.len() > MERCHANTS.len(), "{granted:?}");
    for (component, app, status) in granted {
        let (found, authorizer) = station.get(&format!("/v1/components/{component}/authorizers/{app}")).await;
        assert!(found == 200 || status != "delivered", "{app} granted, which was told to the vault: {authorizer}");
        // One that was on its way is told again. Who withdrew after the backup did so at the vendor, too.
        if app != "1000009" {
            assert_eq!(station.tokens_lost_of(&component, &app).await, 0);
        }
    }
    for (component, app, status) in of_vault(&station, "authorization.revoked").await {
        let (_, authorizer) = station.get(&format!("/v1/components/{component}/authorizers/{app}")).await;
        assert!(authorizer["state"] == "revoked" || status != "delivered", "{app} withdrew, which was told to the vault: {authorizer}");
    }
}
