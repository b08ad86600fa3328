//! A process that is killed between any two lines of a rollout: before and after every write and every call. Each deed happens once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Map, Value, json};
use tokio::sync::{Semaphore, watch};
use yizhan::attributes::Attributes;
use yizhan::clock::{Clock, Timestamp};
use yizhan::inbox::LogError;
use yizhan::operations::OperationError;
use yizhan::outbound::SendError;
use yizhan::platform::token::Permission;
use yizhan::platform::{ApiError, Class};
use yizhan::rollout::hands::{Given, Hands};
use yizhan::rollout::plan::Merchants;
use yizhan::rollout::record::{Choice, Item, Rollback, Rollout, RolloutId, Spec, State};
use yizhan::rollout::settle::Waits;
use yizhan::rollout::shelf::{Items, Kept, RolloutLog};
use yizhan::rollout::stage::{Goal, Stage};
use yizhan::rollout::{Asked, Options, Rollouts};
use yizhan::shutdown::Shutdown;
use yizhan::vault::{Authorizer, AuthorizerState, VaultError};
use yizhan::versions::Versions;

/// Lets so many steps pass, then the process is dead: nothing returns any more.
pub struct Fate {
    left: Mutex<usize>,
    dead: watch::Sender<bool>,
}

impl Fate {
    pub fn after(steps: usize) -> Arc<Self> {
        Arc::new(Self { left: Mutex::new(steps), dead: watch::Sender::new(false) })
    }

    async fn step(&self) {
        let lives = {
            let mut left = self.left.lock().unwrap();
            let lives = *left > 0;
            *left = left.saturating_sub(1);
            lives
        };
        if !lives {
            self.dead.send_replace(true);
            std::future::pending::<()>().await;
        }
    }
}

/// The disk and the vendor: what stays when a process dies.
#[derive(Default)]
pub struct World {
    pub rollouts: Mutex<BTreeMap<RolloutId, Kept<Rollout>>>,
    pub items: Mutex<BTreeMap<(RolloutId, String), Kept<Item>>>,
    /// What the vendor calls each merchant's version.
    states: Mutex<BTreeMap<String, &'static str>>,
    /// Merchants who granted something, but not development.
    pub narrow: Mutex<BTreeSet<String>>,
    /// Deeds that took place.
    deeds: Mutex<BTreeMap<(String, String), u32>>,
    pub now: Mutex<Timestamp>,
    /// Calls of that operation wait here, each for a permit or until it is closed.
    hold: Mutex<Option<(&'static str, Arc<Semaphore>)>>,
    /// Calls that came to wait there.
    held: AtomicUsize,
    /// There is no list of versions to ask.
    has_no_list: AtomicBool,
    /// Nobody answers.
    pub is_away: AtomicBool,
    /// The component is taken out of the configuration.
    is_gone: AtomicBool,
    /// What the vendor says to so many uploads of each merchant before it takes one.
    pub refuses: Mutex<Option<(ApiError, usize)>>,
    /// When it said so, by merchant.
    pub refused_at: Mutex<BTreeMap<String, Vec<Timestamp>>>,
    /// Items cannot be read just now.
    is_unread: AtomicBool,
    /// Merchants whose items damage hides, with their names.
    pub hidden: Mutex<BTreeSet<String>>,
    /// What was heard of the versions of each merchant; `None`: the record of it is harmed.
    pub versions: Mutex<BTreeMap<String, Option<Versions>>>,
    /// So many rollbacks are not answered, and take effect minutes later (`Some`) or never.
    lost_rollbacks: Mutex<Vec<Option<SignedDuration>>>,
    /// When releases took place.
    pub released_at: Mutex<Vec<Timestamp>>,
    /// So many releases never arrive, which nobody learns for so long.
    pub lost_releases: Mutex<(usize, SignedDuration)>,
    /// When a merchant's rollback takes effect.
    effects: Mutex<BTreeMap<String, Timestamp>>,
}

pub struct Process {
    pub world: Arc<World>,
    pub fate: Arc<Fate>,
    pub platform: &'static str,
}

#[async_trait::async_trait]
impl Clock for Process {
    fn now(&self) -> Timestamp {
        *self.world.now.lock().unwrap()
    }

    /// Nobody waits here: time leaps.
    async fn sleep_until(&self, at: Timestamp) {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut now = self.world.now.lock().unwrap();
        *now = at.min(*now + Duration::from_secs(5)).max(*now);
    }
}

#[async_trait::async_trait]
impl RolloutLog for Process {
    async fn create(&self, rollout: &Rollout, items: &[Item]) -> Result<(), LogError> {
        for item in items {
            let kept = Kept { version: 1, record: item.clone() };
            self.world.items.lock().unwrap().insert((rollout.id, item.authorizer.clone()), kept);
        }
        self.world.rollouts.lock().unwrap().insert(rollout.id, Kept { version: 1, record: rollout.clone() });
        Ok(())
    }

    async fn save_rollout(&self, rollout: &Rollout, if_version: u64) -> Result<bool, LogError> {
        self.fate.step().await;
        {
            let mut rollouts = self.world.rollouts.lock().unwrap();
            let kept = rollouts.get_mut(&rollout.id).unwrap();
            assert_eq!(kept.version, if_version);
            *kept = Kept { version: if_version + 1, record: rollout.clone() };
        }
        self.fate.step().await;
        Ok(true)
    }

    async fn save(&self, id: RolloutId, item: &Item, if_version: u64) -> Result<bool, LogError> {
        self.fate.step().await;
        {
            let mut items = self.world.items.lock().unwrap();
            let kept = items.get_mut(&(id, item.authorizer.clone())).unwrap();
            assert_eq!(kept.version, if_version, "two tasks are at work on one item");
            *kept = Kept { version: if_version + 1, record: item.clone() };
        }
        self.fate.step().await;
        Ok(true)
    }

    async fn remove(&self, id: RolloutId, _: u64) -> Result<bool, LogError> {
        Ok(self.world.rollouts.lock().unwrap().remove(&id).is_some())
    }

    async fn rollout(&self, id: RolloutId) -> Result<Option<Kept<Rollout>>, LogError> {
        Ok(self.world.rollouts.lock().unwrap().get(&id).cloned())
    }

    async fn rollouts(&self) -> Result<Vec<Kept<Rollout>>, LogError> {
        Ok(self.world.rollouts.lock().unwrap().values().cloned().collect())
    }

    async fn items(&self, id: RolloutId) -> Result<Items, LogError> {
        if self.world.is_unread.load(Ordering::SeqCst) {
            return Err(LogError::Unread(String::from("no descriptor is left")));
        }
        let items = self.world.items.lock().unwrap();
        let hidden = self.world.hidden.lock().unwrap();
        let (lost, seen): (Vec<_>, Vec<_>) =
            items.iter().filter(|((of, _), _)| *of == id).partition(|((_, shop), _)| hidden.contains(shop));
        Ok(Items { items: seen.into_iter().map(|(_, kept)| kept.clone()).collect(), is_whole: lost.is_empty() })
    }
}

impl Process {
    async fn answer(&self, authorizer: &str, operation: &str, resumed: bool) -> Value {
        self.fate.step().await;
        let hold = self.world.hold.lock().unwrap().clone().filter(|(held, _)| *held == operation);
        if let Some((_, hold)) = hold {
            self.world.held.fetch_add(1, Ordering::SeqCst);
            if let Ok(permit) = hold.acquire().await {
                permit.forget();
            }
        }
        let answer = {
            let now = *self.world.now.lock().unwrap();
            let mut states = self.world.states.lock().unwrap();
            if self.world.effects.lock().unwrap().get(authorizer).is_some_and(|at| *at <= now) {
                states.insert(authorizer.to_owned(), "offline");
            }
            let state = states.entry(authorizer.to_owned()).or_insert("absent");
            let after = match operation {
                // There an upload is built, then scanned, and stands in the list all the while.
                "package.upload" if self.platform == "alipay" => Some("building"),
                "package.upload" => Some("development"),
                "audit.submit" if *state != "in_audit" && *state != "development" => panic!("submitted while {state}"),
                "audit.submit" => Some("in_audit"),
                "package.release" => Some("online"),
                "package.rollback" => Some("offline"),
                _ => None,
            };
            match after {
                _ if operation == "audit.quota" => json!({"remaining": 5}),
                _ if operation == "audit.hosts" => json!({"hosts": ["douyin"]}),
                _ if operation.ends_with("_domain.add") => json!({}),
                // What the desk does for what another process may have sent: the vendor's record is asked first.
                Some(after) if resumed && *state == after => json!({}),
                Some(after) => {
                    *state = after;
                    if after == "online" {
                        self.world.released_at.lock().unwrap().push(now);
                    }
                    *self.world.deeds.lock().unwrap().entry((authorizer.to_owned(), operation.to_owned())).or_default() += 1;
                    json!({"package_id": "745001", "status": after})
                }
                None if operation == "package.build_status" => match *state {
                    "building" => {
                        *state = "unscanned";
                        json!({"status": "building"})
                    }
                    _ => json!({"status": "created"}),
                },
                None if operation == "package.get" => match *state {
                    "unscanned" => {
                        *state = "development";
                        json!({"scan_result": "NAN"})
                    }
                    _ => json!({"scan_result": "True"}),
                },
                None => {
                    let listed = *state;
                    if listed == "in_audit" {
                        *state = "approved";
                    }
                    match listed {
                        "absent" => json!({"items": []}),
                        "building" | "unscanned" => json!({"items": [{"version": "2.0.1", "status": "developing"}]}),
                        listed => json!({"items": [{"version": "2.0.1", "status": listed}]}),
                    }
                }
            }
        };
        self.fate.step().await;
        answer
    }
}

fn unknown(operation: &str) -> OperationError {
    OperationError::OutcomeUnknown {
        sent: operation.to_owned(),
        cause: String::from("no whole answer in time"),
        looked_up: String::from("the list does not tell"),
        may_show: false,
    }
}

#[async_trait::async_trait]
impl Hands for Process {
    fn platform(&self, _: &str) -> Option<&'static str> {
        (!self.world.is_gone.load(Ordering::SeqCst)).then_some(self.platform)
    }

    fn takes(&self, _: &str, operation: &str) -> Result<Vec<&'static str>, OperationError> {
        match operation {
            "package.list" if self.world.has_no_list.load(Ordering::SeqCst) => {
                Err(OperationError::NotConfigured(String::from("operations.\"package.list\" = { enabled = true }")))
            }
            "package.list" | "package.upload" | "package.release" | "package.rollback" => Ok(vec!["version"]),
            "audit.submit" => Ok(vec!["version", "hosts"]),
            "audit.quota" | "audit.hosts" | "server_domain.add" | "safe_domain.add" => Ok(Vec::new()),
            "package.build_status" | "package.get" if self.platform == "alipay" => Ok(vec!["version"]),
            other => Err(OperationError::UnknownOperation { platform: "baidu", name: other.to_owned(), nearest: None }),
        }
    }

    fn check(&self, _: &str, _: &str, _: &str, _: Given) -> Result<(), OperationError> {
        Ok(())
    }

    async fn carry_out(&self, _: &str, authorizer: &str, operation: &str, _: Given) -> Result<Value, OperationError> {
        if self.world.is_away.load(Ordering::SeqCst) {
            return Err(OperationError::Unreachable(SendError::NotSent { target: operation.to_owned(), cause: String::from("refused") }));
        }
        let is_lost = operation == "package.release" && {
            let mut lost = self.world.lost_releases.lock().unwrap();
            let is_lost = lost.0 > 0;
            lost.0 = lost.0.saturating_sub(1);
            is_lost
        };
        if is_lost {
            let lasts = self.world.lost_releases.lock().unwrap().1;
            *self.world.now.lock().unwrap() += lasts;
            return Err(unknown(operation));
        }
        let lost = if operation == "package.rollback" { self.world.lost_rollbacks.lock().unwrap().pop() } else { None };
        if let Some(effect) = lost {
            if let Some(later) = effect {
                let at = self.now() + later;
                self.world.effects.lock().unwrap().insert(authorizer.to_owned(), at);
                *self.world.deeds.lock().unwrap().entry((authorizer.to_owned(), operation.to_owned())).or_default() += 1;
            }
            return Err(unknown(operation));
        }
        if operation == "package.upload"
            && let Some((refusal, times)) = self.world.refuses.lock().unwrap().clone()
        {
            let mut refused_at = self.world.refused_at.lock().unwrap();
            let refused_at = refused_at.entry(authorizer.to_owned()).or_default();
            if refused_at.len() < times {
                refused_at.push(self.now());
                return Err(OperationError::Refused(refusal));
            }
        }
        let is_absent = self.world.states.lock().unwrap().get(authorizer).is_none_or(|state| *state == "absent");
        if operation == "package.build_status" && is_absent {
            return Err(OperationError::Refused(ApiError::new(Class::Refuse, "BUILD_VERSION_NOT_EXISTED", "there is no such build")));
        }
        Ok(self.answer(authorizer, operation, false).await)
    }

    async fn resume(&self, _: &str, authorizer: &str, operation: &str, _: Given, _: Timestamp) -> Result<Value, OperationError> {
        // Their look-up compares, and has nothing to compare with.
        if matches!(self.platform, "douyin" | "kuaishou") {
            return Err(unknown(operation));
        }
        Ok(self.answer(authorizer, operation, true).await)
    }
}

#[async_trait::async_trait]
impl Merchants for Process {
    async fn page(&self, component: &str, _: Option<&str>, _: usize) -> Result<Vec<Authorizer>, VaultError> {
        Ok(vec![self.merchant(component, "shop-1"), self.merchant(component, "shop-2")])
    }

    async fn one(&self, component: &str, app_id: &str) -> Result<Option<Authorizer>, VaultError> {
        Ok(Some(self.merchant(component, app_id)))
    }

    async fn versions(&self, _: &str, app_id: &str) -> Result<Versions, LogError> {
        let known = self.world.versions.lock().unwrap().get(app_id).cloned();
        known.unwrap_or_else(|| Some(Versions::default())).ok_or_else(|| LogError::Damaged(String::from("a record")))
    }

    async fn attributes(&self, _: &str, _: &str) -> Result<Attributes, LogError> {
        Ok(Attributes::default())
    }
}

impl Process {
    fn merchant(&self, component: &str, app_id: &str) -> Authorizer {
        let is_narrow = self.world.narrow.lock().unwrap().contains(app_id);
        let other = Permission { id: String::from("2"), name: String::from("基本信息设置权限") };
        Authorizer {
            component: component.to_owned(),
            app_id: app_id.to_owned(),
            name: None,
            state: AuthorizerState::Granted,
            permissions: is_narrow.then_some(other).into_iter().collect(),
            granted_at: None,
            revoked_at: None,
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }
}

pub fn spec() -> Spec {
    Spec {
        component: String::from("shops"),
        authorizers: Choice::All,
        template_id: json!(12),
        version: String::from("2.0.1"),
        description: String::from("spring"),
        // Every question and every setting that may stand between two deeds.
        variables: Map::from_iter([
            (String::from("server_domain"), json!({"request": ["https://api.example.com"]})),
            (String::from("safe_domain"), json!("https://shop.example.com")),
        ]),
        until: Goal::Released,
        concurrency: 4,
        rate: None,
        canary: 0,
        batch: 0,
        stop_above_failed_percent: None,
        window: None,
    }
}

pub const OPTIONS: Options = Options {
    waits: Waits { poll: Duration::from_secs(10), quota: Duration::from_secs(60), longest: Duration::from_secs(600) },
    concurrency: 4,
    most: 8,
    rate: None,
    grace: Duration::from_secs(20),
};

const PLATFORMS: [&str; 4] = ["baidu", "douyin", "kuaishou", "alipay"];

/// One process from its start until its death, or until the rollout is done; with `takes_back`, until all of it is taken back. `true`: it died.
pub async fn live(world: &Arc<World>, platform: &'static str, fate: &Arc<Fate>, takes_back: bool) -> bool {
    let process = Arc::new(Process { world: world.clone(), fate: fate.clone(), platform });
    let rollouts = Rollouts::open(process.clone(), process.clone(), process.clone(), process.clone(), OPTIONS).await.unwrap();
    let known = world.rollouts.lock().unwrap().keys().next().copied();
    let id = match known {
        Some(id) => id,
        // Without a list only events tell how an audit ends, and there are none here.
        None if world.has_no_list.load(Ordering::SeqCst) => {
            rollouts.create(Spec { until: Goal::InAudit, ..spec() }, None).await.unwrap().id
        }
        None => rollouts.create(spec(), None).await.unwrap().id,
    };
    let running = tokio::spawn(rollouts.clone().run(Shutdown::default()));
    let mut dead = fate.dead.subscribe();
    let done = async {
        if takes_back && !world.rollouts.lock().unwrap()[&id].record.rolling_back {
            // A person who got no answer asks again.
            rollouts.roll_back(id).await.unwrap();
        }
        loop {
            let rollout = world.rollouts.lock().unwrap()[&id].record.clone();
            if rollout.state == State::Done && !rollout.rolling_back {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let died = tokio::select! {
        _ = dead.wait_for(|dead| *dead) => true,
        () = done => false,
        () = tokio::time::sleep(Duration::from_secs(20)) => panic!("stands still: {:?}", rollouts.items(id).await),
    };
    running.abort();
    let _ = running.await;
    drop(rollouts);
    // What it was just at on another thread is done by then: the dead write nothing.
    while Arc::strong_count(&process) > 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    died
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_any_two_lines_repeats_no_deed() {
    for platform in PLATFORMS {
        for steps in 0.. {
            let world = Arc::new(World::default());
            let died = live(&world, platform, &Fate::after(steps), false).await;
            if died {
                live(&world, platform, &Fate::after(usize::MAX), false).await;
            }
            let stages: Vec<Stage> = world.items.lock().unwrap().values().map(|kept| kept.record.stage).collect();
            assert_eq!(stages, [Stage::Released; 2], "{platform}, killed after {steps} steps");
            let deeds = world.deeds.lock().unwrap().clone();
            assert_eq!(deeds.len(), 6, "{platform}, killed after {steps} steps: {deeds:?}");
            assert!(deeds.values().all(|times| *times == 1), "{platform}, killed after {steps} steps: {deeds:?}");
            if !died {
                assert!(steps > 40, "{steps}");
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_to_look_at_a_kill_repeats_no_deed_either() {
    let mut failed = 0;
    for steps in 0.. {
        let world = Arc::new(World::default());
        world.has_no_list.store(true, Ordering::SeqCst);
        let died = live(&world, "kuaishou", &Fate::after(steps), false).await;
        if died {
            live(&world, "kuaishou", &Fate::after(usize::MAX), false).await;
        }
        let deeds = world.deeds.lock().unwrap().clone();
        assert!(deeds.values().all(|times| *times == 1), "killed after {steps} steps: {deeds:?}");
        failed += usize::from(world.items.lock().unwrap().values().any(|kept| kept.record.stage == Stage::Failed));
        if !died {
            break;
        }
    }
    assert!(failed > 3, "what nobody can tell is left to people: {failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_any_two_lines_of_a_rollback_takes_everything_back_once() {
    for platform in PLATFORMS {
        for steps in 0.. {
            let world = Arc::new(World::default());
            live(&world, platform, &Fate::after(usize::MAX), false).await;
            let died = live(&world, platform, &Fate::after(steps), true).await;
            if died {
                live(&world, platform, &Fate::after(usize::MAX), true).await;
            }
            let told = format!("{platform}, killed after {steps} steps");
            let back: Vec<Option<Rollback>> = world.items.lock().unwrap().values().map(|kept| kept.record.rollback).collect();
            assert_eq!(back, [Some(Rollback::Done); 2], "{told}");
            let deeds = world.deeds.lock().unwrap().clone();
            assert!(deeds.len() == 8 && deeds.values().all(|times| *times == 1), "{told}: {deeds:?}");
            if !died {
                assert!(steps > 15, "{steps}");
                break;
            }
        }
    }
}

/// Until what was released is taken back.
async fn taken_back(world: &Arc<World>, id: RolloutId, told: &str) {
    let waited = async {
        while world.rollouts.lock().unwrap()[&id].record.rolling_back {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let items = || world.items.lock().unwrap().values().map(|kept| kept.record.clone()).collect::<Vec<_>>();
    assert!(tokio::time::timeout(Duration::from_secs(20), waited).await.is_ok(), "{told}: {:?}", items());
    let states = world.states.lock().unwrap().clone();
    assert!(states.values().all(|state| *state != "online"), "{told}: {states:?} {:?}", items());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_a_killed_process_began_is_taken_back_by_a_rollback_after_its_restart() {
    for platform in PLATFORMS {
        let mut in_doubt = 0;
        for steps in 0.. {
            let world = Arc::new(World::default());
            let told = format!("{platform}, killed after {steps} steps");
            if !live(&world, platform, &Fate::after(steps), false).await {
                break;
            }
            in_doubt += usize::from(world.items.lock().unwrap().values().any(|kept| kept.record.stage == Stage::Releasing));
            let process = Arc::new(Process { world: world.clone(), fate: Fate::after(usize::MAX), platform });
            let rollouts = Rollouts::open(process.clone(), process.clone(), process.clone(), process, OPTIONS).await.unwrap();
            let Some(id) = world.rollouts.lock().unwrap().keys().next().copied() else { continue };
            // Before anything is taken up again.
            rollouts.roll_back(id).await.unwrap();
            let running = tokio::spawn(rollouts.run(Shutdown::default()));
            taken_back(&world, id, &told).await;
            let deeds = world.deeds.lock().unwrap().clone();
            assert!(deeds.values().all(|times| *times == 1), "{told}: {deeds:?}");
            running.abort();
        }
        assert!(in_doubt > 3, "{platform}: {in_doubt}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_under_way_when_a_rollback_is_asked_for_is_taken_back_when_it_has_ended() {
    let world = Arc::new(World::default());
    let hold = Arc::new(Semaphore::new(0));
    *world.hold.lock().unwrap() = Some(("package.release", hold.clone()));
    let process = Arc::new(Process { world: world.clone(), fate: Fate::after(usize::MAX), platform: "douyin" });
    let rollouts = Rollouts::open(process.clone(), process.clone(), process.clone(), process, OPTIONS).await.unwrap();
    let id = rollouts.create(spec(), None).await.unwrap().id;
    let running = tokio::spawn(rollouts.clone().run(Shutdown::default()));
    let is_sent = || world.items.lock().unwrap().values().all(|kept| kept.record.stage == Stage::Releasing && kept.record.begun.is_some());
    while !is_sent() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    rollouts.roll_back(id).await.unwrap();
    hold.close();
    while world.items.lock().unwrap().values().any(|kept| kept.record.stage != Stage::Released) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    taken_back(&world, id, "both").await;
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_whose_answer_was_lost_is_looked_for_until_it_would_show() {
    for platform in ["douyin", "kuaishou"] {
        let world = Arc::new(World::default());
        live(&world, platform, &Fate::after(usize::MAX), false).await;
        // One takes effect minutes later; one never arrived, and is sent again when it would show by now.
        *world.lost_rollbacks.lock().unwrap() = vec![Some(SignedDuration::from_mins(5)), None];
        live(&world, platform, &Fate::after(usize::MAX), true).await;
        let items: Vec<Item> = world.items.lock().unwrap().values().map(|kept| kept.record.clone()).collect();
        assert!(items.iter().all(|item| item.rollback == Some(Rollback::Done)), "{platform}: {items:?}");
        let deeds = world.deeds.lock().unwrap().clone();
        assert!(deeds.len() == 8 && deeds.values().all(|times| *times == 1), "{platform}: {deeds:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_a_rollback_takes_several_merchants_back_at_a_time() {
    let world = Arc::new(World::default());
    let process = Arc::new(Process { world: world.clone(), fate: Fate::after(usize::MAX), platform: "alipay" });
    let rollouts = Rollouts::open(process.clone(), process.clone(), process.clone(), process, OPTIONS).await.unwrap();
    let shops = ["shop-1", "shop-2", "shop-3"].map(String::from).to_vec();
    let id = rollouts.create(Spec { authorizers: Choice::These(shops), ..spec() }, None).await.unwrap().id;
    let running = tokio::spawn(rollouts.clone().run(Shutdown::default()));
    let until = async |what: &str, holds: &dyn Fn() -> bool| {
        let waited = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(20), waited).await.is_ok(), "waited too long: {what}");
    };
    until("released", &|| world.rollouts.lock().unwrap()[&id].record.state == State::Done).await;
    world.is_away.store(true, Ordering::SeqCst);
    rollouts.roll_back(id).await.unwrap();
    until("nobody answers", &|| world.items.lock().unwrap().values().any(|kept| kept.record.failures > 2)).await;
    let hold = Arc::new(Semaphore::new(0));
    *world.hold.lock().unwrap() = Some(("package.rollback", hold.clone()));
    world.is_away.store(false, Ordering::SeqCst);
    let held = || world.held.load(Ordering::SeqCst);
    until("one asks for all", &|| held() == 1).await;
    hold.add_permits(1);
    until("the others, together", &|| held() == 3).await;
    hold.close();
    taken_back(&world, id, "all three").await;
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_no_longer_than_the_grace_period_for_a_step() {
    let world = Arc::new(World::default());
    let fate = Fate::after(7);
    let process = Arc::new(Process { world: world.clone(), fate: fate.clone(), platform: "baidu" });
    let rollouts = Rollouts::open(process.clone(), process.clone(), process.clone(), process.clone(), OPTIONS).await.unwrap();
    rollouts.create(spec(), None).await.unwrap();
    let shutdown = Shutdown::default();
    let running = tokio::spawn(rollouts.run(shutdown.clone()));
    // From here on the step that is under way never ends.
    fate.dead.subscribe().wait_for(|dead| *dead).await.unwrap();
    shutdown.request();
    tokio::time::timeout(Duration::from_secs(20), running).await.expect("the stop is waited for").unwrap();

    live(&world, "baidu", &Fate::after(usize::MAX), false).await;
    let deeds = world.deeds.lock().unwrap().clone();
    assert!(deeds.len() == 6 && deeds.values().all(|times| *times == 1), "{deeds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_were_at_work_in_a_cancelled_rollout_when_its_process_died_are_cancelled_by_the_next_one() {
    for (deed, stage) in [
        ("package.list", Stage::Uploading),
        ("package.upload", Stage::Uploading),
        ("audit.submit", Stage::Submitting),
        ("package.release", Stage::Releasing),
    ] {
        let world = Arc::new(World::default());
        *world.hold.lock().unwrap() = Some((deed, Arc::new(Semaphore::new(0))));
        let process = Arc::new(Process { world: world.clone(), fate: Fate::after(usize::MAX), platform: "douyin" });
        let rollouts = Rollouts::open(process.clone(), process.clone(), process.clone(), process.clone(), OPTIONS).await.unwrap();
        let id = rollouts.create(spec(), None).await.unwrap().id;
        let running = tokio::spawn(rollouts.clone().run(Shutdown::default()));
        while world.held.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        rollouts.cancel(id).await.unwrap();
        running.abort();
        let _ = running.await;
        drop(rollouts);
        let items = || world.items.lock().unwrap().values().map(|kept| kept.record.clone()).collect::<Vec<Item>>();
        assert!(items().iter().all(|item| item.stage == stage), "{deed}: {:?}", items());

        *world.hold.lock().unwrap() = None;
        let before = world.deeds.lock().unwrap().clone();
        let rollouts = Rollouts::open(process.clone(), process.clone(), process.clone(), process, OPTIONS).await.unwrap();
        let shutdown = Shutdown::default();
        let running = tokio::spawn(rollouts.clone().run(shutdown.clone()));
        let ended = async {
            while items().iter().any(|item| item.stage != Stage::Cancelled) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(10), ended).await.is_ok(), "{deed}: {:?}", items());
        let is_begun = deed != "package.list";
        for item in items() {
            assert_eq!(item.begun.is_some(), is_begun, "{deed}: {item:?}");
            let why = is_begun.then_some("its last step was begun, and nobody knows what came of it");
            assert_eq!(item.reason.as_deref(), why, "{deed}: {item:?}");
        }
        shutdown.request();
        running.await.unwrap();
        assert_eq!(world.rollouts.lock().unwrap()[&id].record.state, State::Cancelled);
        assert_eq!(*world.deeds.lock().unwrap(), before, "{deed}: nothing is done for a rollout that is over");
        assert!(!rollouts.is_any_at_work(), "{deed}");
    }
}

/// A process dies with two releases sent and not answered: one of them arrived, one did not. `is_cancelled`: a person had ended their rollout just
/// before.
async fn dies_while_releasing(platform: &'static str, is_cancelled: bool) -> (Arc<World>, RolloutId) {
    let world = Arc::new(World::default());
    *world.hold.lock().unwrap() = Some(("package.release", Arc::new(Semaphore::new(0))));
    let process = Arc::new(Process { world: world.clone(), fate: Fate::after(usize::MAX), platform });
    let rollouts = Rollouts::open(process.clone(), process.clone(), process.clone(), process, OPTIONS).await.unwrap();
    let id = rollouts.create(spec(), None).await.unwrap().id;
    let running = tokio::spawn(rollouts.clone().run(Shutdown::default()));
    while world.held.load(Ordering::SeqCst) < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    if is_cancelled {
        rollouts.cancel(id).await.unwrap();
    }
    running.abort();
    let _ = running.await;
    *world.hold.lock().unwrap() = None;
    world.states.lock().unwrap().insert(String::from("shop-1"), "online");
    (world, id)
}

/// One process in which people cancel that rollout, where they had not, and roll it back, until its death or until all of it is taken back. `true`:
/// it died.
async fn rolls_back_what_is_cancelled(world: &Arc<World>, platform: &'static str, id: RolloutId, fate: &Arc<Fate>, told: &str) -> bool {
    let process = Arc::new(Process { world: world.clone(), fate: fate.clone(), platform });
    let rollouts = Rollouts::open(process.clone(), process.clone(), process.clone(), process, OPTIONS).await.unwrap();
    let rollout = || world.rollouts.lock().unwrap()[&id].record.clone();
    let mut dead = fate.dead.subscribe();
    let cancelled = async {
        if rollout().state != State::Cancelled {
            rollouts.cancel(id).await.unwrap();
        }
    };
    tokio::select! {
        _ = dead.wait_for(|dead| *dead) => return true,
        () = cancelled => {}
    }
    let running = tokio::spawn(rollouts.clone().run(Shutdown::default()));
    let done = async {
        if !rollout().rolling_back {
            while world.items.lock().unwrap().values().any(|kept| kept.record.stage == Stage::Releasing) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            rollouts.roll_back(id).await.unwrap();
        }
        taken_back(world, id, told).await;
    };
    let died = tokio::select! {
        _ = dead.wait_for(|dead| *dead) => true,
        () = done => false,
    };
    running.abort();
    let _ = running.await;
    died
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_was_in_doubt_when_its_rollout_was_cancelled_is_taken_back_by_a_rollback() {
    for (platform, is_cancelled) in PLATFORMS.into_iter().flat_map(|platform| [(platform, true), (platform, false)]) {
        for steps in 0.. {
            let told = format!("{platform}, cancelled before its process died: {is_cancelled}, the next killed after {steps} steps");
            let (world, id) = dies_while_releasing(platform, is_cancelled).await;
            let died = rolls_back_what_is_cancelled(&world, platform, id, &Fate::after(steps), &told).await;
            if died {
                rolls_back_what_is_cancelled(&world, platform, id, &Fate::after(usize::MAX), &told).await;
            }
            let items = world.items.lock().unwrap().values().map(|kept| kept.record.clone()).collect::<Vec<Item>>();
            let stood: Vec<_> = items.iter().map(|item| (item.stage, item.rollback, item.begun)).collect();
            assert_eq!(stood, [(Stage::Released, Some(Rollback::Done), None), (Stage::Cancelled, None, None)], "{told}: {items:?}");
            assert_eq!(world.rollouts.lock().unwrap()[&id].record.state, State::Cancelled, "{told}");
            let deeds = world.deeds.lock().unwrap().clone();
            let of_end = deeds.iter().filter(|((_, deed), _)| deed == "package.release" || deed == "package.rollback");
            let of_end: Vec<_> = of_end.map(|((shop, deed), times)| (shop.as_str(), deed.as_str(), *times)).collect();
            assert_eq!(of_end, [("shop-1", "package.rollback", 1)], "{told}: nothing is released again");
            if !died {
                assert!(steps > 10, "{steps}");
                break;
            }
        }
    }
}

/// What was cancelled by a former build does not say where it stopped.
#[test]
fn an_item_that_was_cancelled_before_that_was_noted_is_still_read() {
    let stored = json!({
        "authorizer": "shop-1", "place": 0, "stage": "cancelled", "reason": "its last step was begun, and nobody knows what came of it",
        "begun": "2026-11-22T08:00:00Z", "since": "2026-11-22T08:00:00Z", "updated_at": "2026-11-22T08:00:00Z",
    });
    let item: Item = serde_json::from_value(stored).unwrap();
    assert_eq!((item.stage, item.stopped_at, item.begun.is_some()), (Stage::Cancelled, None, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_rollout_whose_merchants_cannot_be_read_keeps_nothing_from_starting() {
    let (world, id) = dies_while_releasing("douyin", true).await;
    let process = Arc::new(Process { world: world.clone(), fate: Fate::after(usize::MAX), platform: "douyin" });
    world.is_unread.store(true, Ordering::SeqCst);
    let rollouts = Rollouts::open(process.clone(), process.clone(), process.clone(), process, OPTIONS).await.unwrap();
    assert!(!rollouts.is_any_at_work(), "it is over");
    assert_eq!(rollouts.find(id).await.unwrap().map(|rollout| rollout.state), Some(State::Cancelled));
    rollouts.items(id).await.unwrap_err();
    // What could not be read only then can be taken back now.
    world.is_unread.store(false, Ordering::SeqCst);
    let running = tokio::spawn(rollouts.clone().run(Shutdown::default()));
    rollouts.roll_back(id).await.unwrap();
    taken_back(&world, id, "both").await;
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_again_hears_of_the_rollout_that_it_made() {
    let world = Arc::new(World::default());
    let process = Arc::new(Process { world, fate: Fate::after(usize::MAX), platform: "douyin" });
    let rollouts = Rollouts::open(process.clone(), process.clone(), process.clone(), process.clone(), OPTIONS).await.unwrap();
    let asked = |since| Some(Asked { name: String::from("request"), since });
    let began = process.now();
    let (one, two) = tokio::join!(rollouts.create(spec(), asked(began)), rollouts.create(spec(), asked(began)));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!((one.id, rollouts.all().await.unwrap().len()), (two.id, 1), "two at once make one");
    // The same key a day later is another request.
    let later = one.created_at + SignedDuration::from_secs(1);
    let third = rollouts.create(spec(), asked(later)).await.unwrap();
    assert_ne!(third.id, one.id);
}

/// What is on the disk and not in hand is taken in hand by whoever asks for it again, or steers it.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_could_not_be_taken_in_hand_is_when_it_is_asked_for_again_or_steered() {
    for steered in [false, true] {
        let world = Arc::new(World::default());
        let process = Arc::new(Process { world: world.clone(), fate: Fate::after(usize::MAX), platform: "douyin" });
        let rollouts = Rollouts::open(process.clone(), process.clone(), process.clone(), process.clone(), OPTIONS).await.unwrap();
        let asked = || Some(Asked { name: String::from("request"), since: Timestamp::UNIX_EPOCH });
        world.is_unread.store(true, Ordering::SeqCst);
        rollouts.create(spec(), asked()).await.unwrap_err();
        world.is_unread.store(false, Ordering::SeqCst);
        let id = *world.rollouts.lock().unwrap().keys().next().unwrap();
        let state = || world.rollouts.lock().unwrap()[&id].record.state;
        if steered {
            rollouts.pause(id).await.unwrap();
            assert_eq!(state(), State::Paused, "it is so on the disk");
            rollouts.resume(id).await.unwrap();
        } else {
            assert_eq!(rollouts.create(spec(), asked()).await.unwrap().id, id);
        }
        let running = tokio::spawn(rollouts.run(Shutdown::default()));
        while state() != State::Done {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        running.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_back_of_a_component_that_is_gone_and_the_rollback_ends() {
    let world = Arc::new(World::default());
    assert!(!live(&world, "douyin", &Fate::after(usize::MAX), false).await);
    let id = *world.rollouts.lock().unwrap().keys().next().unwrap();
    world.is_gone.store(true, Ordering::SeqCst);
    let process = Arc::new(Process { world: world.clone(), fate: Fate::after(usize::MAX), platform: "douyin" });
    let rollouts = Rollouts::open(process.clone(), process.clone(), process.clone(), process, OPTIONS).await.unwrap();
    rollouts.roll_back(id).await.unwrap();
    let running = tokio::spawn(rollouts.run(Shutdown::default()));
    while world.rollouts.lock().unwrap()[&id].record.rolling_back {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let items: Vec<Item> = world.items.lock().unwrap().values().map(|kept| kept.record.clone()).collect();
    assert!(items.iter().all(|item| item.rollback == Some(Rollback::Failed)), "{items:?}");
    assert_eq!(items[0].reason.as_deref(), Some("the component is no longer configured"));
    running.abort();
}

/// Its rollback was sent and not answered, then the component was away for a while: it is looked for, and not sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_in_doubt_stays_so_while_its_component_is_gone() {
    let world = Arc::new(World::default());
    assert!(!live(&world, "douyin", &Fate::after(usize::MAX), false).await);
    let id = *world.rollouts.lock().unwrap().keys().next().unwrap();
    *world.lost_rollbacks.lock().unwrap() = vec![Some(SignedDuration::from_mins(10)); 2];
    let items = || world.items.lock().unwrap().values().map(|kept| kept.record.clone()).collect::<Vec<Item>>();
    for (is_gone, until) in [(false, Rollback::Begun), (true, Rollback::Failed), (false, Rollback::Done)] {
        world.is_gone.store(is_gone, Ordering::SeqCst);
        let process = Arc::new(Process { world: world.clone(), fate: Fate::after(usize::MAX), platform: "douyin" });
        let rollouts = Rollouts::open(process.clone(), process.clone(), process.clone(), process, OPTIONS).await.unwrap();
        if !is_gone {
            rollouts.roll_back(id).await.unwrap();
        }
        let shutdown = Shutdown::default();
        let running = tokio::spawn(rollouts.run(shutdown.clone()));
        let has_come = || items().iter().all(|item| item.rollback == Some(until) && (until != Rollback::Begun || item.wake_at.is_some()));
        while !has_come() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // In good order: what is at work on an item would meet the next process there.
        shutdown.request();
        running.await.unwrap();
    }
    let deeds = world.deeds.lock().unwrap().clone();
    assert!(deeds.values().all(|times| *times == 1), "{deeds:?}");
}
