//! Those that failed are tried again, and nobody else is kept back by who is not.

use std::sync::Arc;
use std::time::Duration;

use yizhan::clock::Timestamp;
use yizhan::platform::{ApiError, Class};
use yizhan::rollout::Rollouts;
use yizhan::rollout::record::{Choice, Item, RolloutId, Spec, State};
use yizhan::rollout::stage::Stage;
use yizhan::shutdown::Shutdown;
use yizhan::versions::{VersionNote, Versions};

use super::crash::{Fate, OPTIONS, Process, World, spec};

/// A rollout at work, of which the vendor refuses the first upload of each merchant.
struct Refused {
    world: Arc<World>,
    rollouts: Arc<Rollouts>,
    id: RolloutId,
}

impl Refused {
    async fn begin(spec: Spec) -> Self {
        let world = Arc::new(World::default());
        *world.refuses.lock().unwrap() = Some((ApiError::new(Class::Refuse, "1", "no such template"), 1));
        let process = Arc::new(Process { world: world.clone(), fate: Fate::after(usize::MAX), platform: "douyin" });
        let rollouts = Rollouts::open(process.clone(), process.clone(), process.clone(), process, OPTIONS).await.unwrap();
        let id = rollouts.create(spec, None).await.unwrap().id;
        tokio::spawn(rollouts.clone().run(Shutdown::default()));
        Self { world, rollouts, id }
    }

    fn items(&self) -> Vec<Item> {
        self.world.items.lock().unwrap().values().map(|kept| kept.record.clone()).collect()
    }

    async fn until(&self, state: State) {
        let now = || self.world.rollouts.lock().unwrap()[&self.id].record.clone();
        let waited = async {
            while now().state != state {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(20), waited).await.is_ok(), "waited too long: {:?} {:?}", now(), self.items());
    }

    fn note(&self, shop: &str, version: &str, at: Timestamp) {
        let released = Some(VersionNote { version: Some(version.to_owned()), at, ..VersionNote::default() });
        self.world.versions.lock().unwrap().insert(shop.to_owned(), Some(Versions { released, ..Versions::default() }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_left_out_of_a_retry_does_not_stop_the_rollout_again() {
    for (canary, stop_above_failed_percent) in [(1, None), (0, Some(0)), (1, Some(0))] {
        let told = format!("canary {canary}, {stop_above_failed_percent:?} %");
        let refused = Refused::begin(Spec { canary, stop_above_failed_percent, concurrency: 1, ..spec() }).await;
        refused.until(State::Stopped).await;
        let failed = refused.items().remove(0);
        assert_eq!(failed.stage, Stage::Failed, "{told}");
        // It has gone on without the rollout.
        refused.note(&failed.authorizer, "3.0.1", failed.since + Duration::from_secs(1));
        *refused.world.refuses.lock().unwrap() = None;
        refused.rollouts.retry(refused.id).await.unwrap();
        refused.until(State::Done).await;
        let [left_out, other] = refused.items().try_into().unwrap();
        assert_eq!((left_out.stage, left_out.reason.as_deref()), (Stage::Failed, Some("has version 3.0.1 since")), "{told}");
        assert_eq!(other.stage, Stage::Released, "{told}: {other:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_harmed_record_of_a_merchant_s_versions_leaves_out_that_merchant_alone() {
    let refused = Refused::begin(spec()).await;
    refused.until(State::Done).await;
    assert!(refused.items().iter().all(|item| item.stage == Stage::Failed), "{:?}", refused.items());
    refused.world.versions.lock().unwrap().insert(String::from("shop-1"), None);
    assert_eq!(refused.rollouts.retry(refused.id).await.unwrap(), 1);
    refused.until(State::Done).await;
    let [harmed, other] = refused.items().try_into().unwrap();
    let why = Some("what is known of its versions cannot be read");
    assert_eq!((harmed.stage, harmed.reason.as_deref(), other.stage), (Stage::Failed, why, Stage::Released));

    // Nor does it keep the others from a new rollout, by whatever they are chosen.
    refused.note("shop-2", "2.0.1", Timestamp::UNIX_EPOCH);
    for authorizers in [Choice::All, Choice::Version(String::from("2.0.1"))] {
        let planned = refused.rollouts.plan(&Spec { authorizers, version: String::from("2.0.2"), ..spec() }).await.unwrap();
        let planned: Vec<_> = planned.iter().map(|planned| (planned.authorizer.as_str(), planned.skip.as_deref())).collect();
        assert_eq!(planned, [("shop-1", why), ("shop-2", None)]);
    }
}
