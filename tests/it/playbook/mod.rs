//! Playbooks: mistakes, windows, runs that are killed at every step, and a story over HTTP.

mod api;
mod shipped;
mod unread;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use yizhan::attributes::{AttributeShelf, Attributes};
use yizhan::clock::{Clock, ManualClock, Timestamp};
use yizhan::config::Config;
use yizhan::event_type::Glob;
use yizhan::fanout::delivery::{Claimed, Delivery, DeliveryId, Status};
use yizhan::fanout::sink::{Outcome, Sink};
use yizhan::inbox::{Event, LogError, Page};
use yizhan::operations::OperationError;
use yizhan::outbound::{Guard, Webhooks};
use yizhan::placeholder::Template;
use yizhan::platform::operation::Effect;
use yizhan::platform::twin::Verdict;
use yizhan::platform::{ApiError, Class};
use yizhan::playbook::run::{Run, RunLog, State};
use yizhan::playbook::sink::{Call, Hands, Steps};
use yizhan::playbook::window::Window;
use yizhan::playbook::{Condition, Deed, Operation, Playbook, Step, Tell, written};
use yizhan::robot::Robots;
use yizhan::settings::Surroundings;
use yizhan::store::fjall::FjallLog;

use crate::log::world::{World as Log, arrival};
use crate::outbound::receiver::{Manner, Receiver};
use crate::world::{Setting, World, configuration};

#[test]
fn windows_are_china_time_and_may_run_over_midnight() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    for (window, now, opens) in [
        ("22:00-06:00", "2026-11-20T14:00:00Z", None),
        ("22:00-06:00", "2026-11-20T21:59:59Z", None),
        ("22:00-06:00", "2026-11-20T22:00:00Z", Some("2026-11-21T14:00:00Z")),
        ("22:00-06:00", "2026-11-20T13:59:59.5Z", Some("2026-11-20T14:00:00Z")),
        ("09:30-10:00", "2026-11-20T01:45:00Z", None),
        ("09:30-10:00", "2026-11-20T02:00:00Z", Some("2026-11-21T01:30:00Z")),
    ] {
        assert_eq!(window.parse::<Window>().unwrap().opens(at(now)), opens.map(at), "{window} at {now}");
    }
    for wrong in ["", "22:00", "22:00-22:00", "24:00-01:00", "9:00-10:00", "22:60-23:00", "+1:00-02:00"] {
        assert!(wrong.parse::<Window>().is_err(), "{wrong}");
    }
}

fn components() -> String {
    String::from(
        "[[components]]\nname = \"baidu\"\nplatform = \"baidu\"\ntp_id = \"1\"\nclient_id = \"c\"\ntoken = \"t\"\nencoding_aes_key = \"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG\"\n",
    )
}

fn problems(playbooks: &str) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{}\n{}\n{playbooks}", configuration(folder.path(), "http://127.0.0.1:1"), components());
    match Config::parse(&text, Surroundings::default()) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().map(|problem| (problem.at, problem.message)).collect(),
    }
}

#[test]
fn all_mistakes_of_a_playbook_are_said_at_once_with_their_places() {
    let found = problems(
        r#"
        [[playbooks]]
        name = "onboard"
        on = ["authorization.granted", "nothing.*"]
        components = ["baidu", "nowhere"]
        steps = [
          { operation = "package.uplod" },
          { operation = "package.upload", with = { template_id = true, version = "${steps.2.version}", nope = 1, description = "${shop.name}", ext = "a${variables.x}" } },
          { operation = "audit.submit", with = { description = "${" }, window = "night" },
        ]
        "#,
    );
    let mut places: Vec<&str> = found.iter().map(|(at, _)| at.strip_prefix("playbooks.onboard.").unwrap_or(at)).collect();
    places.sort_unstable();
    for place in [
        "components",
        "on",
        "steps[0].operation",
        "steps[1].with.description",
        "steps[1].with.ext",
        "steps[1].with.nope",
        "steps[1].with.template_id",
        "steps[1].with.version",
        "steps[2].window",
    ] {
        assert!(places.contains(&place), "{place}: {found:#?}");
    }
    let of = |end: &str| found.iter().find(|(at, _)| at.ends_with(end)).map(|(_, message)| message.as_str()).unwrap_or_default();
    assert!(of("steps[0].operation").contains("did you mean `package.upload`?"), "{found:#?}");
    assert!(of("steps[1].with.version").contains("comes later"), "{found:#?}");
    assert!(found.iter().any(|(_, message)| message.contains("has no `}`")), "{found:#?}");
}

#[test]
fn the_playbooks_of_the_page_are_valid() {
    let page = include_str!("../../../docs/playbooks.md");
    let blocks: Vec<&str> = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!blocks.is_empty());
    for block in blocks.into_iter().filter(|block| !block.starts_with("include")) {
        assert_eq!(problems(block), [], "{block}");
    }
}

/// Writes and sends, in the order in which they happen; one of them never returns, before or after it took effect.
struct Fate {
    at: usize,
    after: bool,
    count: AtomicUsize,
    died: Notify,
}

impl Fate {
    async fn die(&self) {
        self.died.notify_one();
        std::future::pending::<()>().await;
    }

    async fn effect<T>(&self, does: impl Future<Output = T>) -> T {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        if number == self.at && !self.after {
            self.die().await;
        }
        let done = does.await;
        if number == self.at && self.after {
            self.die().await;
        }
        done
    }
}

/// The vendor counts what it does and remembers it.
#[derive(Default)]
struct Vendor {
    deeds: Mutex<Vec<String>>,
    refuses: Mutex<Option<OperationError>>,
}

struct Fake {
    vendor: Arc<Vendor>,
    fate: Arc<Fate>,
}

#[async_trait]
impl Hands for Fake {
    fn check(&self, call: Call<'_>, _: &Map<String, Value>) -> Result<Effect, OperationError> {
        Ok(if call.operation == "package.list" { Effect::Read } else { Effect::Once })
    }

    fn needs(&self, _: Call<'_>, _: &str) -> bool {
        false
    }

    async fn carry_out(&self, call: Call<'_>, with: Map<String, Value>, maybe_sent: Option<Timestamp>) -> Result<Value, OperationError> {
        let operation = call.operation;
        if let Some(error) = self.vendor.refuses.lock().unwrap().take() {
            return Err(error);
        }
        self.fate
            .effect(async {
                let mut deeds = self.vendor.deeds.lock().unwrap();
                let deed = format!("{operation} {}", Value::Object(with));
                if operation != "package.list" && !(maybe_sent.is_some() && deeds.contains(&deed)) {
                    deeds.push(deed);
                }
            })
            .await;
        let items =
            json!([{"version": "1", "status": "in_audit", "package_id": 1}, {"version": "2", "status": "approved", "package_id": 2}]);
        Ok(json!({"package_id": 7, "items": items}))
    }
}

struct Runs {
    log: Arc<FjallLog>,
    fate: Arc<Fate>,
}

#[async_trait]
impl RunLog for Runs {
    async fn run(&self, id: &str) -> Result<Option<(u64, Run)>, LogError> {
        self.log.run(id).await
    }
    async fn save_run(&self, version: u64, run: &Run) -> Result<bool, LogError> {
        self.fate.effect(self.log.save_run(version, run)).await
    }
    async fn runs(&self, after: Option<&str>, limit: usize) -> Result<Page<Run>, LogError> {
        self.log.runs(after, limit).await
    }
    async fn expunge_runs(&self, before: Timestamp) -> Result<u64, LogError> {
        self.log.expunge_runs(before).await
    }
}

fn templates(value: Value) -> BTreeMap<String, Template> {
    value.as_object().unwrap().iter().map(|(name, value)| (name.clone(), Template::parse(value).unwrap())).collect()
}

fn step(operation: &str, with: Value) -> Step {
    let operation = Operation { name: operation.to_owned(), with: templates(with), find: BTreeMap::new() };
    Step { deed: Deed::Operation(operation), window: None, approval: false }
}

fn playbook(steps: Vec<Step>) -> Playbook {
    Playbook { name: String::from("book"), on: vec![Glob::new("audit.*")], components: Vec::new(), when: BTreeMap::new(), steps }
}

struct Stage {
    world: Log,
    log: Arc<FjallLog>,
    vendor: Arc<Vendor>,
    claimed: Claimed,
}

impl Stage {
    fn new() -> Self {
        let world = Log::new();
        let log = world.open();
        let event: Event = arrival("x", Some("tt1"), world.clock.now(), &[]).event;
        let delivery = Delivery {
            id: DeliveryId(uuid::Uuid::new_v4()),
            event_id: event.id,
            event_sequence: 1,
            subscription: String::from("book"),
            ordering_key: String::from("douyin/tt1"),
            status: Status::Pending,
            attempts: Vec::new(),
            next_attempt_at: None,
            created_at: world.clock.now(),
            replay: None,
        };
        Self { world, log, vendor: Arc::default(), claimed: Claimed { delivery, event, sealed: None } }
    }

    /// One try by a process that dies as `at` and `after` say; `None`: it died.
    async fn try_until(&self, playbook: &Playbook, at: usize, after: bool) -> Option<Outcome> {
        let fate = Arc::new(Fate { at, after, count: AtomicUsize::new(0), died: Notify::new() });
        let hands = Fake { vendor: Arc::clone(&self.vendor), fate: Arc::clone(&fate) };
        let runs = Runs { log: Arc::clone(&self.log), fate: Arc::clone(&fate) };
        let clock: Arc<ManualClock> = Arc::clone(&self.world.clock);
        let client = Webhooks::new(Guard::default()).unwrap();
        let robots = Arc::new(Robots::new([], client, std::time::Duration::from_secs(1), clock.clone()));
        let steps = Steps::new([playbook.clone()], Arc::new(hands), robots, Arc::new(runs), self.log.clone(), clock);
        let subscription = playbook.subscription(self.world.clock.now());
        tokio::select! {
            tried = steps.deliver(&subscription, &self.claimed) => Some(tried),
            () = fate.died.notified() => None,
            () = tokio::time::sleep(std::time::Duration::from_secs(20)) => panic!("it neither ends nor dies"),
        }
    }

    async fn try_once(&self, playbook: &Playbook) -> Outcome {
        self.try_until(playbook, usize::MAX, false).await.expect("it ends")
    }

    async fn run(&self) -> Run {
        self.log.runs(None, 9).await.unwrap().items.remove(0)
    }

    fn deeds(&self) -> usize {
        self.vendor.deeds.lock().unwrap().len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_any_two_effects_repeats_no_deed() {
    let book = playbook(vec![
        step("package.upload", json!({"version": "1"})),
        step("audit.submit", json!({"package_id": "${steps.1.package_id}"})),
    ]);
    // Begun, sent, done of two steps, and the end: seven effects.
    for at in 0..7 {
        for after in [false, true] {
            let stage = Stage::new();
            assert_eq!(stage.try_until(&book, at, after).await, None, "it dies at {at}");
            assert!(matches!(stage.try_once(&book).await, Outcome::Delivered(_)));
            assert_eq!(stage.deeds(), 2, "killed at {at}, after: {after}: {:?}", stage.vendor.deeds.lock().unwrap());
            assert!(stage.vendor.deeds.lock().unwrap()[1].contains("{\"package_id\":7}"));
            assert_eq!(stage.run().await.state, State::Done);
            assert!(matches!(stage.try_once(&book).await, Outcome::Delivered(_)), "a replay");
            assert_eq!(stage.deeds(), 2, "a replay repeats nothing");
        }
    }
}

#[tokio::test]
async fn what_time_can_mend_is_tried_again_and_what_it_cannot_is_dead_with_the_vendors_words() {
    let book = playbook(vec![step("audit.submit", json!({}))]);
    let stage = Stage::new();
    *stage.vendor.refuses.lock().unwrap() = Some(OperationError::Refused(ApiError::new(Class::RateLimited, "429", "slowly")));
    assert!(matches!(stage.try_once(&book).await, Outcome::Failed(..)));
    assert_eq!(stage.run().await.steps[0].begun_at, None, "it certainly was not done");
    // The desk asked the vendor's record, or nothing was sent yet.
    *stage.vendor.refuses.lock().unwrap() = Some(OperationError::Refused(ApiError::new(Class::Retry, "-1", "system busy")));
    assert!(matches!(stage.try_once(&book).await, Outcome::Failed(..)));
    assert_eq!(stage.run().await.steps[0].begun_at, None, "nor was this");
    *stage.vendor.refuses.lock().unwrap() = Some(OperationError::Refused(ApiError::new(Class::Refuse, "40001", "name is taken")));
    let Outcome::Refused(attempt) = stage.try_once(&book).await else { panic!("it is dead") };
    assert!(attempt.error.unwrap().contains("name is taken"));
    assert_eq!(stage.run().await.state, State::Failed);
    assert!(matches!(stage.try_once(&book).await, Outcome::Delivered(_)), "somebody mended it and asked for a retry");
    assert_eq!(stage.deeds(), 1);
}

#[tokio::test]
async fn a_token_that_is_refused_after_its_renewal_is_not_renewed_again_and_again() {
    let book = playbook(vec![step("audit.submit", json!({}))]);
    let stage = Stage::new();
    let refusal = ApiError::new(Class::RenewAuthorizerToken, "NO_AUTH_RELATION", "no relation");
    *stage.vendor.refuses.lock().unwrap() = Some(OperationError::Refused(refusal));
    let Outcome::Refused(attempt) = stage.try_once(&book).await else { panic!("it is dead") };
    assert!(attempt.error.unwrap().contains("NO_AUTH_RELATION"));
}

#[tokio::test]
async fn what_was_begun_before_a_crash_stays_begun_while_nobody_can_be_asked_about_it() {
    let book = playbook(vec![step("audit.submit", json!({}))]);
    let stage = Stage::new();
    // It is sent, and the process dies before it knows what came of it.
    assert_eq!(stage.try_until(&book, 1, true).await, None);
    // The next one cannot even ask.
    *stage.vendor.refuses.lock().unwrap() =
        Some(OperationError::Refused(ApiError::new(Class::RenewComponentToken, "40001", "token is invalid")));
    assert!(matches!(stage.try_once(&book).await, Outcome::Failed(..)));
    assert!(matches!(stage.try_once(&book).await, Outcome::Delivered(_)));
    assert_eq!(stage.deeds(), 1, "{:?}", stage.vendor.deeds.lock().unwrap());
}

#[tokio::test]
async fn a_deed_that_a_vendor_in_trouble_refused_is_looked_up_before_it_is_sent_again() {
    let book = playbook(vec![step("audit.submit", json!({}))]);
    let stage = Stage::new();
    *stage.vendor.refuses.lock().unwrap() = Some(OperationError::Doubted {
        sent: String::from("vendor.example/audit"),
        refusal: ApiError::new(Class::Retry, "-1", "system busy"),
        looked_up: String::from("the list does not tell"),
    });
    // It took it all the same.
    stage.vendor.deeds.lock().unwrap().push(String::from("audit.submit {}"));
    assert!(matches!(stage.try_once(&book).await, Outcome::Failed(..)));
    assert!(matches!(stage.try_once(&book).await, Outcome::Delivered(_)));
    assert_eq!(stage.deeds(), 1, "{:?}", stage.vendor.deeds.lock().unwrap());
}

#[tokio::test]
async fn missing_variables_are_all_named_before_anything_is_sent() {
    let later = json!({"remark": "${variables.city}", "description": "${event.data.nothing}"});
    let book = playbook(vec![step("package.upload", json!({"description": "${variables.shop}"})), step("audit.submit", later)]);
    let stage = Stage::new();
    let Outcome::Refused(attempt) = stage.try_once(&book).await else { panic!("it cannot go on") };
    let error = attempt.error.unwrap();
    assert!(error.ends_with("event.data.nothing, variables.city, variables.shop"), "{error}");
    assert_eq!(stage.deeds(), 0);
    let noted = Attributes { variables: json!({"shop": "小店", "city": "x"}).as_object().unwrap().clone(), ..Attributes::default() };
    stage.log.put("douyin", "tt1", &noted).await.unwrap();
    let book = playbook(vec![step("package.upload", json!({"description": "${variables.shop}"}))]);
    assert!(matches!(stage.try_once(&book).await, Outcome::Delivered(_)));
}

#[tokio::test]
async fn a_step_waits_for_its_window_and_for_a_person() {
    let release = Step { window: Some("22:00-06:00".parse().unwrap()), approval: true, ..step("package.release", json!({})) };
    let book = playbook(vec![release]);
    let stage = Stage::new();
    assert!(matches!(stage.try_once(&book).await, Outcome::Deferred(..)));
    let mut run = stage.run().await;
    assert_eq!(run.state, State::WaitingForApproval);
    let (version, _) = stage.log.run(&run.id).await.unwrap().unwrap();
    run.steps[0].approved_by = Some(String::from("li"));
    run.state = State::Running;
    assert!(stage.log.save_run(version, &run).await.unwrap());
    let Outcome::Deferred(_, until) = stage.try_once(&book).await else { panic!("it is too early") };
    assert_eq!((until, stage.run().await.state), ("2026-11-20T14:00:00Z".parse().unwrap(), State::WaitingForWindow));
    stage.world.clock.advance(jiff::SignedDuration::from_hours(7));
    assert!(matches!(stage.try_once(&book).await, Outcome::Delivered(_)));
    assert_eq!(stage.deeds(), 1);
}

#[tokio::test]
async fn a_release_goes_by_what_the_platform_shows() {
    let confirmed = |version: &str| {
        let find = templates(json!({"status": ["approved"], "version": version}));
        let list = Operation { name: String::from("package.list"), find, ..Operation::default() };
        let list = Step { deed: Deed::Operation(list), window: None, approval: false };
        playbook(vec![list, step("package.release", json!({"package_id": "${steps.1.package_id}"}))])
    };
    let stage = Stage::new();
    assert!(matches!(stage.try_once(&confirmed("1")).await, Outcome::Failed(..)), "it is in audit still");
    assert_eq!(stage.deeds(), 0);
    assert!(matches!(stage.try_once(&confirmed("2")).await, Outcome::Delivered(_)));
    assert_eq!(*stage.vendor.deeds.lock().unwrap(), ["package.release {\"package_id\":2}"]);
}

#[test]
fn a_playbook_written_and_read_again_is_the_same() {
    let find = Operation {
        name: String::from("package.list"),
        with: templates(json!({"a": "x ${event.data.version} $${y}", "b": ["${authorizer}", 1, {"c": null}]})),
        find: templates(json!({"status": ["approved"], "version": "${event.data.version}"})),
    };
    let told = Tell { robot: String::from("ops"), text: Some(Template::parse(&json!("${variables.shop} failed")).unwrap()) };
    let mut book = playbook(vec![
        Step { deed: Deed::Operation(find), window: Some("22:00-06:30".parse().unwrap()), approval: true },
        Step { deed: Deed::Tell(told), window: None, approval: false },
    ]);
    book.components = vec![String::from("douyin")];
    book.when.insert(String::from("data.reason"), Condition::Exists(true));
    book.when.insert(String::from("authorizer"), Condition::OneOf(vec![json!("tt1")]));
    book.when.insert(String::from("data.state"), Condition::OneOf(vec![json!(1), json!("x")]));
    assert_eq!(written::reread(&written::write(&book)).unwrap(), book);
    assert_eq!(book.variables().into_iter().collect::<Vec<_>>(), ["shop"]);
    assert!(book.concerns_authorizer("tt1") && !book.concerns_authorizer("tt2"));
}

#[tokio::test]
async fn a_run_keeps_the_steps_it_began_with_until_it_fails() {
    let waits = Step { approval: true, ..step("package.release", json!({})) };
    let stage = Stage::new();
    let before = playbook(vec![step("package.upload", json!({"version": "1"})), waits.clone()]);
    assert!(matches!(stage.try_once(&before).await, Outcome::Deferred(..)));
    let changed = playbook(vec![step("package.upload", json!({"version": "2"})), step("audit.submit", json!({}))]);
    let mut run = stage.run().await;
    run.steps[1].approved_by = Some(String::from("li"));
    assert!(stage.log.save_run(stage.log.run(&run.id).await.unwrap().unwrap().0, &run).await.unwrap());
    assert!(matches!(stage.try_once(&changed).await, Outcome::Delivered(_)));
    assert_eq!(*stage.vendor.deeds.lock().unwrap(), ["package.upload {\"version\":\"1\"}", "package.release {}"]);

    let stage = Stage::new();
    let wrong = playbook(vec![step("package.upload", json!({})), step("audit.submit", json!({"remark": "${steps.1.nothing}"}))]);
    assert!(matches!(stage.try_once(&wrong).await, Outcome::Refused(_)));
    let mended = playbook(vec![step("package.upload", json!({})), step("audit.submit", json!({"remark": "yes"}))]);
    assert!(matches!(stage.try_once(&mended).await, Outcome::Delivered(_)), "somebody mended the playbook and asked for a retry");
    assert_eq!(*stage.vendor.deeds.lock().unwrap(), ["package.upload {}", "audit.submit {\"remark\":\"yes\"}"]);
}

#[tokio::test]
async fn a_run_under_way_goes_on_although_its_playbook_would_not_begin_it_any_more() {
    let waits = Step { approval: true, ..step("package.release", json!({})) };
    let before = playbook(vec![step("package.upload", json!({})), waits]);
    let narrowed = Playbook { when: [(String::from("authorizer"), Condition::OneOf(vec![json!("tt2")]))].into(), ..before.clone() };
    let stage = Stage::new();
    assert!(matches!(stage.try_once(&before).await, Outcome::Deferred(..)));
    let mut run = stage.run().await;
    run.steps[1].approved_by = Some(String::from("li"));
    assert!(stage.log.save_run(stage.log.run(&run.id).await.unwrap().unwrap().0, &run).await.unwrap());
    assert!(matches!(stage.try_once(&narrowed).await, Outcome::Delivered(_)));
    assert_eq!((stage.run().await.state, stage.deeds()), (State::Done, 2), "{:?}", stage.vendor.deeds.lock().unwrap());

    let stage = Stage::new();
    let Outcome::Delivered(attempt) = stage.try_once(&narrowed).await else { panic!("it is none of its business") };
    assert_eq!(attempt.answer.as_deref(), Some("its conditions do not hold of this event"));
    assert!(stage.log.runs(None, 9).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn a_variable_that_only_a_finished_step_needed_stops_nobody() {
    let noted = |value: Value| Attributes { variables: value.as_object().unwrap().clone(), ..Attributes::default() };
    let waits = Step { approval: true, ..step("audit.submit", json!({"remark": "${variables.city}"})) };
    let book = playbook(vec![step("package.upload", json!({"description": "${variables.shop}"})), waits]);
    let stage = Stage::new();
    stage.log.put("douyin", "tt1", &noted(json!({"shop": "小店", "city": "x"}))).await.unwrap();
    assert!(matches!(stage.try_once(&book).await, Outcome::Deferred(..)));

    // What the other step needs is missed by name, and something was sent already.
    stage.log.put("douyin", "tt1", &noted(json!({}))).await.unwrap();
    let Outcome::Refused(attempt) = stage.try_once(&book).await else { panic!("it cannot go on") };
    assert_eq!(attempt.error.as_deref(), Some("nothing more was sent: there is no value for variables.city"));

    stage.log.put("douyin", "tt1", &noted(json!({"city": "x"}))).await.unwrap();
    assert!(matches!(stage.try_once(&book).await, Outcome::Deferred(..)), "it waits for approval again");
    let mut run = stage.run().await;
    run.steps[1].approved_by = Some(String::from("li"));
    assert!(stage.log.save_run(stage.log.run(&run.id).await.unwrap().unwrap().0, &run).await.unwrap());
    assert!(matches!(stage.try_once(&book).await, Outcome::Delivered(_)));
    assert_eq!(stage.deeds(), 2);
}

#[tokio::test]
async fn a_step_whose_placeholders_stand_for_too_much_fails_its_run_and_sends_nothing() {
    let words: Vec<String> = (0..1_500).map(|_| String::from("${variables.a}")).collect();
    let find = Operation {
        name: String::from("package.list"),
        find: (0..1_500).map(|n| (format!("m{n}"), Template::parse(&json!("${variables.a}")).unwrap())).collect(),
        ..Operation::default()
    };
    let find = Step { deed: Deed::Operation(find), window: None, approval: false };
    let text = Some(Template::parse(&json!(words.concat())).unwrap());
    let tell = Step { deed: Deed::Tell(Tell { robot: String::from("ops"), text }), window: None, approval: false };
    for long in [step("audit.submit", json!({"remark": words.concat()})), step("audit.submit", json!({"hosts": words})), find, tell] {
        let stage = Stage::new();
        let noted = Attributes { variables: Map::from_iter([(String::from("a"), json!("x".repeat(60_000)))]), ..Attributes::default() };
        stage.log.put("douyin", "tt1", &noted).await.unwrap();
        let Outcome::Refused(attempt) = stage.try_once(&playbook(vec![long])).await else { panic!("no other try mends it") };
        let error = attempt.error.unwrap();
        assert!(error.ends_with("its placeholders stand for more than 1048576 bytes"), "{error}");
        assert_eq!((stage.run().await.state, stage.deeds()), (State::Failed, 0));
    }
}

#[test]
fn a_value_that_is_one_long_row_of_placeholders_is_a_mistake() {
    let of = |description: String| {
        problems(&format!(
            "[[playbooks]]\nname = \"long\"\non = \"audit.*\"\nsteps = [{{ operation = \"template.add\", with = {{ draft_id = 1, description = \"{description}\" }} }}]"
        ))
    };
    assert_eq!(of(String::from("${authorizer}")), []);
    let found = of("${authorizer}".repeat(6_000));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].1, "is 78002 bytes with its placeholders, at most 65536 are possible");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_audit_is_told_to_the_group_once() {
    let mut groups = Vec::new();
    let mut extra = String::new();
    for (kind, path, answer) in [
        ("dingtalk", "/robot/send?access_token=sesame", r#"{"errcode":0,"errmsg":"ok"}"#),
        ("feishu", "/open-apis/bot/v2/hook/sesame", r#"{"code":0,"msg":"success"}"#),
        ("wecom", "/cgi-bin/webhook/send?key=sesame", r#"{"errcode":0,"errmsg":"ok"}"#),
    ] {
        let group = Receiver::start(Manner::headed(200, "", answer)).await;
        extra += &format!("[[robots]]\nname = \"{kind}\"\nkind = \"{kind}\"\nurl = \"{}\"\n", group.url(path));
        if kind != "wecom" {
            extra += "secret = \"SEC0123\"\n";
        }
        groups.push(group);
    }
    extra += "[[playbooks]]\nname = \"tell\"\non = [\"audit.failed\", \"service.suspended\"]\n\
              steps = [{ tell = \"dingtalk\" }, { tell = \"feishu\" }, { tell = \"wecom\", text = \"${authorizer}: ${event.data.reason}\" }]\n";
    let world = World::with(Setting { extra, ..Setting::default() }).await;
    world.granted("baidu", "1452365").await;
    world.simulator.audit("baidu", "1452365", "1.0.0", &Verdict::Failed(String::from("图片不清晰"))).await.unwrap();
    for (index, group) in groups.iter_mut().enumerate() {
        let seen = group.next().await;
        assert!(seen.text().contains("图片不清晰") && seen.text().contains("1452365"), "{}", seen.text());
        assert_eq!(seen.line.contains("timestamp=1795158000000&sign="), index == 0, "{}", seen.line);
        assert_eq!(seen.text().contains("\"sign\""), index == 1, "{}", seen.text());
    }
    let done = async || {
        let (_, runs) = world.get("/v1/runs?playbook=tell&state=done").await;
        runs["items"].get(0).cloned()
    };
    let run = world.until("the run", done).await;
    assert_eq!(run["steps"][0]["operation"], "tell dingtalk");
    assert!(!run.to_string().contains("sesame") && run.get("playbook_then").is_none(), "{run}");
    // A replay tells nobody again.
    let event = run["event_id"].as_str().unwrap();
    assert_eq!(world.post(&format!("/v1/events/{event}/replay"), json!({"subscription": "tell"})).await.0, 202);
    let taken = async || {
        let (_, list) = world.get(&format!("/v1/deliveries?subscription=tell&event={event}&status=delivered")).await;
        (list["items"].as_array().unwrap().len() == 2).then_some(())
    };
    world.until("the replay's delivery", taken).await;
    assert!(groups.iter_mut().all(|group| group.try_next().is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_tries_are_used_up_has_failed() {
    let extra = r#"
        [[playbooks]]
        name = "look"
        on = "audit.failed"
        components = ["douyin"]
        steps = [{ operation = "package.list", find = { version = "9.9.9" } }]
    "#;
    let world = World::with(Setting { extra: extra.to_owned(), ..Setting::default() }).await;
    world.granted("douyin", "tt0123456789abcdef").await;
    world.simulator.audit("douyin", "tt0123456789abcdef", "1.0.0", &Verdict::Failed(String::from("picture"))).await.unwrap();
    let dead = async || {
        world.advance(std::time::Duration::from_secs(1800));
        let (_, list) = world.get("/v1/deliveries?subscription=look&status=dead").await;
        list["items"].get(0).cloned()
    };
    let dead = world.until("the last try", dead).await;
    let (_, runs) = world.get("/v1/runs?playbook=look").await;
    assert_eq!(runs["items"][0]["state"], "failed", "{runs}");
    let reason = runs["items"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("it is not tried any more: step 1 (package.list): "), "{reason}");
    // A person may still have it tried again.
    let id = dead["id"].as_str().unwrap();
    assert_eq!(world.post(&format!("/v1/deliveries/{id}/retry"), json!({})).await.0, 202);
    let tried = async || {
        let (_, shown) = world.get(&format!("/v1/deliveries/{id}")).await;
        let tries = u64::try_from(shown["attempts"].as_array().unwrap().len()).unwrap();
        (tries > dead["attempts"].as_u64().unwrap()).then_some(())
    };
    world.until("one more try", tried).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_audit_runs_its_playbook_over_http_and_a_person_approves() {
    let extra = r#"
        [[playbooks]]
        name = "look after failures"
        on = "audit.failed"
        components = ["douyin"]
        when = { "data.reason" = { exists = true } }
        steps = [
          { operation = "package.list" },
          { operation = "package.list", approval = true },
        ]
    "#;
    let world = World::with(Setting { extra: extra.to_owned(), ..Setting::default() }).await;
    world.granted("douyin", "tt0123456789abcdef").await;
    world.simulator.audit("douyin", "tt0123456789abcdef", "1.0.0", &Verdict::Failed(String::from("picture"))).await.unwrap();
    let state = async |wanted: &str| {
        let wanted = wanted.to_owned();
        world
            .until("the run", async || {
                let (_, runs) = world.get("/v1/runs?playbook=look%20after%20failures").await;
                let run = runs["items"][0].clone();
                (run["state"] == wanted.as_str()).then_some(run)
            })
            .await
    };
    let run = state("waiting_for_approval").await;
    assert!(run["steps"][0]["done_at"].is_string() && run["steps"][1].get("done_at").is_none(), "{run}");
    let id = run["id"].as_str().unwrap();
    assert_eq!(world.post(&format!("/v1/runs/{id}/approve"), json!({})).await.0, 200);
    let run = state("done").await;
    assert_eq!(run["steps"][1]["approved_by"], "test");
    assert_eq!(world.post(&format!("/v1/runs/{id}/approve"), json!({})).await.0, 409);
    assert_eq!(world.post(&format!("/v1/runs/{id}/cancel"), json!({})).await.0, 409);
    // What waits for a run goes with it.
    world.simulator.audit("douyin", "tt0123456789abcdef", "1.0.1", &Verdict::Failed(String::from("sound"))).await.unwrap();
    let run = state("waiting_for_approval").await;
    assert_eq!(world.post(&format!("/v1/runs/{}/cancel", run["id"].as_str().unwrap()), json!({})).await.0, 200);
    let of_run = format!("/v1/deliveries?subscription=look%20after%20failures&event={}", run["event_id"].as_str().unwrap());
    let (_, deliveries) = world.get(&of_run).await;
    let statuses: Vec<_> = deliveries["items"].as_array().unwrap().iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, ["cancelled"], "{deliveries}");
    let (status, shown) = world.get("/v1/subscriptions/look%20after%20failures").await;
    assert_eq!((status, &shown["origin"]), (200, &json!("playbook")), "{shown}");
    assert_eq!(world.get("/v1/runs/run_x").await.0, 404);
}
