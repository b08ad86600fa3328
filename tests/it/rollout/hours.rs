//! The hours in which a rollout releases, and what holds a release up until they are over.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use yizhan::rollout::Rollouts;
use yizhan::rollout::record::{Item, Spec, State};
use yizhan::rollout::stage::Stage;
use yizhan::rollout::window::Window;
use yizhan::shutdown::Shutdown;

use super::crash::{Fate, OPTIONS, Process, World, spec};

/// The world begins at 08:00 in China.
const HOURS: &str = "08:30-08:40";

/// A rollout that releases in those hours, at work.
struct Morning {
    world: Arc<World>,
    window: Window,
}

impl Morning {
    async fn begin(platform: &'static str, prepare: impl FnOnce(&World)) -> Self {
        let (world, window) = (Arc::new(World::default()), HOURS.parse().unwrap());
        prepare(&world);
        let process = Arc::new(Process { world: world.clone(), fate: Fate::after(usize::MAX), platform });
        let rollouts = Rollouts::open(process.clone(), process.clone(), process.clone(), process, OPTIONS).await.unwrap();
        rollouts.create(Spec { window: Some(window), ..spec() }, None).await.unwrap();
        tokio::spawn(rollouts.run(Shutdown::default()));
        Self { world, window }
    }

    fn items(&self) -> Vec<Item> {
        self.world.items.lock().unwrap().values().map(|kept| kept.record.clone()).collect()
    }

    fn now(&self) -> Timestamp {
        *self.world.now.lock().unwrap()
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let waited = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(20), waited).await.is_ok(), "waited too long: {what}: {:?}", self.items());
    }

    async fn until_all_are(&self, stage: Stage) {
        self.until(stage.as_str(), |this| this.items().iter().all(|item| item.stage == stage)).await;
    }

    /// Lets the hours of that day pass and looks that nothing is released until those of the next one, in which everything is.
    async fn releases_the_next_day(&self) {
        let (opened, day) = (self.window.opens(Timestamp::UNIX_EPOCH), SignedDuration::from_hours(24));
        self.until("an hour later", |this| this.now() > opened + SignedDuration::from_mins(75)).await;
        assert_eq!(*self.world.released_at.lock().unwrap(), [], "nothing is released out of its hours: {:?}", self.items());
        *self.world.now.lock().unwrap() = opened + day - SignedDuration::from_mins(15);
        let is_done = |this: &Self| this.world.rollouts.lock().unwrap().values().all(|kept| kept.record.state == State::Done);
        self.until("done", is_done).await;
        self.until_all_are(Stage::Released).await;
        let released_at = self.world.released_at.lock().unwrap().clone();
        assert_eq!(released_at.len(), 2, "{released_at:?}");
        assert!(released_at.iter().all(|at| *at >= opened + day && self.window.is_open(*at)), "{released_at:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_to_its_release_and_was_not_sent_in_its_hours_waits_for_the_next_ones() {
    let morning = Morning::begin("douyin", |_| {}).await;
    morning.until_all_are(Stage::Approved).await;
    // Nobody answers until the hours are over.
    morning.world.is_away.store(true, Ordering::SeqCst);
    morning.until("the first try", |this| this.items().iter().any(|item| item.stage == Stage::Releasing && item.failures > 0)).await;
    morning.until("the end of the hours", |this| this.now() > Timestamp::UNIX_EPOCH + SignedDuration::from_mins(41)).await;
    morning.world.is_away.store(false, Ordering::SeqCst);
    morning.releases_the_next_day().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_did_not_arrive_is_sent_again_in_its_hours_only() {
    for platform in ["baidu", "douyin", "kuaishou", "alipay"] {
        let lost = |world: &World| *world.lost_releases.lock().unwrap() = (2, SignedDuration::from_mins(15));
        let morning = Morning::begin(platform, lost).await;
        let waits = |item: &Item| item.reason.as_deref().is_some_and(|why| why.ends_with("is sent again only within 08:30-08:40"));
        morning.until("both wait", |this| this.items().iter().all(|item| waits(item) && item.begun.is_some())).await;
        morning.releases_the_next_day().await;
    }
}
