//! The door for pushes, over a real log and made-up components.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use jiff::SignedDuration;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use yizhan::clock::Timestamp;
use yizhan::event_type::EventType;
use yizhan::inbox::log::{Audience, Rejected, Rejections, Stretch, Tickets};
use yizhan::inbox::{Accepted, Arrival, Event, EventFilter, EventId, EventLog, Inbox, LogError, Page, Position, Refusal, Reprocessed};
use yizhan::platform::call::{Call, Reply};
use yizhan::platform::diagnose::{Diagnose, Diagnosis};
use yizhan::platform::push::{Grant, Notice, Pushes, SEALED, Ticket};
use yizhan::platform::token::{
    AuthorizationCode, Family, Link, LinkRequest, LostReply, Permission, Recovered, Refresh, Renewal, Returned, Standing, TicketRule,
    Token, TokenKey, Tokens,
};
use yizhan::platform::{
    Acknowledgement, ApiError, AuthorizerTokens, Component, Components, Door, Opened, Platform, Push, PushError, RawPush,
};
use yizhan::secret::Secret;
use yizhan::store::fjall::FjallLog;

use super::world::{World, start};

/// A component whose pushes are plain JSON: `{"key":…, "what":…}`; a body that is none is malformed. Its "signature" is the query.
struct Plain {
    name: String,
    key: Mutex<String>,
}

impl Plain {
    fn new() -> Arc<Self> {
        Self::named("douyin-1")
    }

    fn named(name: &str) -> Arc<Self> {
        Arc::new(Self { name: name.to_owned(), key: Mutex::new(String::from("right")) })
    }
}

impl Pushes for Plain {
    fn open(&self, raw: &RawPush) -> Result<Opened, PushError> {
        if raw.query != *self.key.lock().unwrap() {
            return Err(PushError::BadSignature(String::from("the query differs")));
        }
        if raw.is_get {
            return Ok(Opened::Check(Acknowledgement::text("echo")));
        }
        let body: Value = serde_json::from_slice(&raw.body).map_err(|_| PushError::Malformed(String::from("not JSON")))?;
        let granted = || Grant {
            code: Some(AuthorizationCode { value: Secret::new("a-code"), expires_at: start() }),
            tokens: None,
            permissions: vec![Permission { id: String::from("1"), name: String::from("manage") }],
            granted_at: start(),
        };
        let notice = match body["what"].as_str() {
            Some("ticket") => Notice::Ticket(Ticket { value: Secret::new("a-ticket"), created_at: start() }),
            Some("grant") => Notice::Granted(granted()),
            Some("revoke") => Notice::Revoked { at: start() },
            _ => {
                let data: Map<String, Value> =
                    [("version", json!("1.0.3")), ("reason", json!("因为"))].into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
                Notice::Fact { kind: EventType::AuditFailed, data }
            }
        };
        Ok(Opened::Push(Box::new(Push {
            notice,
            vendor_type: String::from("PACKAGE_AUDIT"),
            authorizer: body["authorizer"].as_str().map(str::to_owned),
            time: "2026-11-20T07:04:05Z".parse().unwrap(),
            dedupe_key: body["key"].to_string(),
            vendor: body.get("vendor").cloned().unwrap_or_else(|| json!({"Zeta": 1, "Alpha": [true, null], "code": SEALED})),
            acknowledgement: Acknowledgement::success(),
        })))
    }

    fn refusal(&self, _: &RawPush, error: &PushError) -> Option<Acknowledgement> {
        matches!(error, PushError::Malformed(_)).then(|| Acknowledgement { status: 400, ..Acknowledgement::text("no") })
    }
}

impl Tokens for Plain {
    fn ticket_rule(&self) -> Option<TicketRule> {
        None
    }
    fn renewal(&self, _: &TokenKey) -> Renewal {
        Renewal { ahead: Duration::ZERO, overlap: Duration::ZERO, exercise: None }
    }
    fn component_token(&self, _: Family, _: &Secret) -> Option<Call> {
        None
    }
    fn read_component_token(&self, _: Family, reply: &Reply, _: Timestamp) -> Result<Token, ApiError> {
        Err(ApiError::unreadable(reply, "token"))
    }
    fn exchange(&self, _: Standing<'_>, _: &Secret) -> Call {
        Call::get("http://127.0.0.1/")
    }
    fn refresh(&self, _: Standing<'_>, _: &str, _: &Secret) -> Refresh {
        Refresh::Recover
    }
    fn read_tokens(&self, _: Family, reply: &Reply, _: Timestamp) -> Result<Vec<AuthorizerTokens>, ApiError> {
        Err(ApiError::unreadable(reply, "tokens"))
    }
    fn recover(&self, _: Standing<'_>, _: &str) -> Option<Call> {
        None
    }
    fn read_recovered(&self, _: Family, _: &str, reply: &Reply, _: Timestamp) -> Result<Recovered, ApiError> {
        Err(ApiError::unreadable(reply, "code"))
    }
    fn lost_reply(&self) -> LostReply {
        LostReply::Recover
    }
    fn prepare_link(&self, _: Standing<'_>, _: &LinkRequest) -> Option<Call> {
        None
    }
    fn link(&self, _: &LinkRequest, _: Option<&Reply>, _: Timestamp) -> Result<Link, ApiError> {
        unreachable!("no link is asked for here")
    }
    fn returned(&self, _: &str, _: Timestamp) -> Result<Returned, ApiError> {
        unreachable!("no browser comes back here")
    }
}

impl Diagnose for Plain {
    fn diagnose(&self, _: &RawPush) -> Diagnosis {
        Diagnosis { steps: Vec::new(), opens: false, proposal: Vec::new(), content: None }
    }
}

impl Component for Plain {
    fn name(&self) -> &str {
        &self.name
    }
    fn platform(&self) -> &'static dyn Platform {
        yizhan::platform::named("douyin").unwrap()
    }
    fn app_id(&self) -> &str {
        "tt0"
    }
}

/// Wants everything for `bot` and remembers whom it was told to wake.
#[derive(Default)]
struct Everybody {
    nudged: Mutex<Vec<String>>,
}

impl Audience for Everybody {
    fn subscribers(&self, _: &str, kind: EventType) -> Vec<String> {
        match kind {
            EventType::AuthorizationGranted => vec![String::from("yizhan-vault"), String::from("bot")],
            _ => vec![String::from("bot")],
        }
    }
    fn nudge(&self, subscribers: &[String]) {
        self.nudged.lock().unwrap().extend(subscribers.iter().cloned());
    }
}

/// Remembers tickets together with how many events were stored when each came; may fail.
struct Drawer {
    log: Arc<FjallLog>,
    kept: Mutex<Vec<(String, u64)>>,
    broken: bool,
}

#[async_trait::async_trait]
impl Tickets for Drawer {
    async fn keep(&self, component: &str, ticket: &Ticket, _: Timestamp) -> Result<(), LogError> {
        if self.broken {
            return Err(LogError::Failed(String::from("no disk")));
        }
        assert_eq!(ticket.value.expose(), "a-ticket");
        self.kept.lock().unwrap().push((component.to_owned(), self.log.last_sequence()));
        Ok(())
    }

    fn has_tokens(&self, _: &str, _: &str, _: &Grant) -> bool {
        false
    }
}

struct Scene {
    world: World,
    log: Arc<FjallLog>,
    component: Arc<Plain>,
    audience: Arc<Everybody>,
    tickets: Arc<Drawer>,
    inbox: Inbox,
}

impl Scene {
    fn new() -> Self {
        Self::with(false)
    }

    fn with(broken: bool) -> Self {
        Self::over(World::new(), broken)
    }

    fn over(world: World, broken: bool) -> Self {
        let log = world.open();
        let component = Plain::new();
        let audience = Arc::new(Everybody::default());
        let tickets = Arc::new(Drawer { log: log.clone(), kept: Mutex::default(), broken });
        let components = Components::new(vec![component.clone()]);
        let inbox = Inbox::new(log.clone(), log.clone(), audience.clone(), tickets.clone(), world.clock.clone(), components);
        Self { world, log, component, audience, tickets, inbox }
    }

    async fn push(&self, query: &str, body: &Value) -> Result<Acknowledgement, Refusal> {
        self.inbox.accept(&*self.component, raw(query, body.to_string())).await
    }

    async fn events(&self) -> Vec<Event> {
        EventLog::page(&*self.log, &EventFilter::default(), None, 100).await.unwrap().items
    }

    /// Rejected pushes are kept aside: waits until there are that many.
    async fn rejected(&self, number: usize) -> Vec<Rejected> {
        loop {
            let page = Rejections::page(&*self.log, None, None, 100).await.unwrap();
            if page.items.len() >= number {
                return page.items;
            }
            tokio::task::yield_now().await;
        }
    }
}

fn raw(query: &str, body: impl Into<Bytes>) -> RawPush {
    RawPush { door: Door::Message, is_get: false, headers: Vec::new(), query: query.to_owned(), body: body.into(), received_at: start() }
}

#[tokio::test]
async fn an_event_is_the_json_that_serde_json_would_write() {
    let scene = Scene::new();
    let vendor = json!({
        "a \"quoted\" \\ name": "say \"hi\" \\ and / and \u{7f}",
        "control": "\u{0}\u{8}\t\n\u{1f}",
        "中文": "因为😀",
        "numbers": [0, -1, 1.5, 1e300, 0.1, u64::MAX, i64::MIN, -0.0],
        "empty": [{}, [], "", null, false, [[{"": [true]}]]],
    });
    scene.push("right", &json!({"key": 1, "authorizer": "a \"name\"\n", "vendor": vendor})).await.unwrap();
    let event = scene.events().await.pop().unwrap();
    let read: Value = serde_json::from_slice(&event.body).unwrap();
    assert_eq!(serde_json::to_vec(&read).unwrap(), event.body);
    assert_eq!((&read["data"]["vendor"], &read["subject"]), (&vendor, &json!("a \"name\"\n")));
    assert_eq!(read["receivedat"].as_str().unwrap(), format!("{:.3}", start()));
}

#[tokio::test]
async fn a_push_becomes_an_event_with_its_deliveries_and_is_then_acknowledged() {
    let scene = Scene::new();
    let answer = scene.push("right", &json!({"key": 1, "authorizer": "tt1"})).await.unwrap();
    assert_eq!(answer, Acknowledgement::success());
    let event = scene.events().await.pop().unwrap();
    assert_eq!(
        std::str::from_utf8(&event.body).unwrap(),
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{}\",\"source\":\"/components/douyin-1\",\"type\":\"audit.failed\",\"subject\":\"tt1\",\
             \"time\":\"2026-11-20T15:04:05+08:00\",\"datacontenttype\":\"application/json\",\"platform\":\"douyin\",\
             \"vendortype\":\"PACKAGE_AUDIT\",\"receivedat\":\"2026-11-20T07:04:05.120Z\",\
             \"data\":{{\"version\":\"1.0.3\",\"reason\":\"因为\",\"vendor\":{{\"Zeta\":1,\"Alpha\":[true,null],\"code\":\"[sealed]\"}}}}}}",
            event.id
        )
    );
    assert_eq!(event.component, "douyin-1");
    assert_eq!(event.authorizer.as_deref(), Some("tt1"));
    assert_eq!(*scene.audience.nudged.lock().unwrap(), ["bot"]);
    let ports = scene.world.ports(&scene.log);
    assert_eq!(ports.first("bot", 9).await[0].event, event);
}

/// Keys of the log are bounded, and what is too long for one ends the committing thread.
#[tokio::test]
async fn an_app_id_that_no_vendor_gives_harms_nothing() {
    let scene = Scene::new();
    let long = "t".repeat(70_000);
    scene.push("right", &json!({"key": 1, "authorizer": long})).await.unwrap();
    scene.push("right", &json!({"key": 2, "authorizer": "tt1"})).await.unwrap();
    let events = scene.events().await;
    let subjects: Vec<Value> =
        events.iter().map(|event| serde_json::from_slice::<Value>(&event.body).unwrap()["subject"].clone()).collect();
    assert!(events.len() == 2 && subjects.contains(&json!(long)), "the event says what the push said");
}

#[tokio::test]
async fn what_waits_for_the_disk_is_small() {
    let scene = Scene::new();
    let waiting = scene.inbox.accept(&*scene.component, raw("right", "{\"key\":1}"));
    // Futures of several kilobytes are memory that the allocator gives back and asks for again with every push.
    let size = size_of_val(&waiting);
    assert!(size <= 1536, "{size} bytes");
    waiting.await.unwrap();
}

#[tokio::test]
async fn the_same_push_three_times_in_parallel_is_acknowledged_thrice_and_stored_once() {
    let scene = Scene::new();
    let body = json!({"key": 1});
    let (a, b, c) = tokio::join!(scene.push("right", &body), scene.push("right", &body), scene.push("right", &body));
    assert_eq!([a.unwrap(), b.unwrap(), c.unwrap()], [(); 3].map(|()| Acknowledgement::success()));
    assert_eq!(scene.events().await.len(), 1);
    assert_eq!(scene.audience.nudged.lock().unwrap().len(), 1, "nobody is woken for a repetition");
}

#[tokio::test]
async fn a_ticket_is_in_the_vault_before_its_event_is_stored() {
    let scene = Scene::new();
    scene.push("right", &json!({"key": 1, "what": "ticket"})).await.unwrap();
    assert_eq!(*scene.tickets.kept.lock().unwrap(), [(String::from("douyin-1"), 0)]);
    let events = scene.events().await;
    assert_eq!(events[0].kind, EventType::TicketReceived);
    let body: Value = serde_json::from_slice(&events[0].body).unwrap();
    assert_eq!(body["data"].as_object().unwrap().keys().collect::<Vec<_>>(), ["vendor"]);
    assert!(body.get("subject").is_none());
}

#[tokio::test]
async fn a_ticket_that_cannot_be_kept_is_not_acknowledged_and_no_event() {
    let scene = Scene::with(true);
    let refusal = scene.push("right", &json!({"key": 1, "what": "ticket"})).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Unavailable(_)));
    assert!(scene.events().await.is_empty());
}

#[tokio::test]
async fn a_grant_names_its_permissions_and_carries_its_code_sealed_to_the_vault_only() {
    let scene = Scene::new();
    scene.push("right", &json!({"key": 1, "what": "grant", "authorizer": "tt1"})).await.unwrap();
    let ports = scene.world.ports(&scene.log);
    let vault = ports.first("yizhan-vault", 1).await;
    let grant: Grant = serde_json::from_str(vault[0].sealed.as_ref().unwrap().expose()).unwrap();
    assert_eq!(grant.code.unwrap().value.expose(), "a-code");
    let bot = ports.first("bot", 1).await;
    assert!(bot[0].sealed.is_none());
    let text = std::str::from_utf8(&bot[0].event.body).unwrap();
    assert!(!text.contains("a-code"));
    let body: Value = serde_json::from_str(text).unwrap();
    assert_eq!(body["data"]["permissions"], json!([{"id": "1", "name": "manage"}]));
    scene.push("right", &json!({"key": 2, "what": "revoke"})).await.unwrap();
    assert_eq!(scene.events().await[0].kind, EventType::AuthorizationRevoked);
}

#[tokio::test]
async fn a_check_of_the_address_is_answered_and_not_stored() {
    let scene = Scene::new();
    let check = RawPush { is_get: true, ..raw("right", "") };
    assert_eq!(scene.inbox.accept(&*scene.component, check).await.unwrap(), Acknowledgement::text("echo"));
    assert!(scene.events().await.is_empty());
}

#[tokio::test]
async fn refused_pushes_are_kept_and_reprocessed_once_the_configuration_is_mended() {
    let scene = Scene::new();
    for number in 0..3 {
        let refusal = scene.push("wrong", &json!({"key": number})).await.unwrap_err();
        let Refusal::Refused(PushError::BadSignature(_), None) = refusal else { panic!("{refusal:?}") };
    }
    let refusal = scene.inbox.accept(&*scene.component, raw("right", "no json")).await.unwrap_err();
    let Refusal::Refused(PushError::Malformed(_), Some(answer)) = refusal else { panic!("{refusal:?}") };
    assert_eq!(answer.status, 400);
    let rejected = scene.rejected(4).await;
    assert_eq!(rejected.iter().filter(|one| one.reason == "bad-signature").count(), 3);
    assert!(rejected.iter().all(|one| one.id.starts_with("rej_") && one.component == "douyin-1" && one.received_at == start()));

    assert_eq!(scene.inbox.reprocess(None, None).await.unwrap(), Reprocessed { accepted: 0, still_refused: 4 });
    *scene.component.key.lock().unwrap() = String::from("wrong");
    let some = [rejected.iter().find(|one| one.reason == "bad-signature").unwrap().id.clone(), String::from("rej_unknown")];
    assert_eq!(scene.inbox.reprocess(None, Some(&some)).await.unwrap(), Reprocessed { accepted: 1, still_refused: 1 });
    assert_eq!(scene.inbox.reprocess(Some("baidu"), None).await.unwrap(), Reprocessed::default());
    assert_eq!(scene.inbox.reprocess(Some("douyin-1"), None).await.unwrap(), Reprocessed { accepted: 2, still_refused: 1 });
    assert_eq!(scene.events().await.len(), 3);
    assert_eq!(scene.rejected(1).await[0].reason, "malformed");
    // What came again by itself meanwhile is one event all the same.
    scene.push("wrong", &json!({"key": 0})).await.unwrap();
    assert_eq!(scene.events().await.len(), 3);
}

#[tokio::test]
async fn an_oversized_push_is_remembered_without_its_body() {
    let scene = Scene::new();
    scene.inbox.too_large(&*scene.component).await;
    let rejected = scene.rejected(1).await;
    assert_eq!(rejected[0].reason, "too-large");
    assert!(Rejections::open(&*scene.log, &rejected[0].id).await.unwrap().is_none());
    assert_eq!(scene.inbox.reprocess(None, None).await.unwrap(), Reprocessed { accepted: 0, still_refused: 1 });
}

/// A log that takes nothing, and rejections that never end.
#[derive(Default)]
struct Stuck {
    never: Notify,
    keeping: AtomicUsize,
}

#[async_trait::async_trait]
impl EventLog for Stuck {
    async fn accept(&self, _: Arrival) -> Result<Accepted, LogError> {
        Err(LogError::Full)
    }
    async fn event(&self, _: EventId) -> Result<Option<Event>, LogError> {
        Ok(None)
    }
    async fn page(&self, _: &EventFilter, _: Option<&Position>, _: usize) -> Result<Page<Event>, LogError> {
        Ok(Page { items: Vec::new(), next: None })
    }
    async fn following(&self, _: u64, _: usize) -> Result<Stretch, LogError> {
        Ok(Stretch::default())
    }
    async fn sequence_before(&self, _: Timestamp) -> Result<u64, LogError> {
        Ok(0)
    }
    fn whole_from(&self) -> u64 {
        1
    }
    async fn count(&self, _: &EventFilter) -> Result<u64, LogError> {
        Ok(0)
    }
    fn newest(&self) -> tokio::sync::watch::Receiver<u64> {
        tokio::sync::watch::channel(0).1
    }
    fn timeline(&self) -> Option<u64> {
        None
    }
    async fn last_received(&self, _: &str, _: Option<&str>) -> Result<Option<Timestamp>, LogError> {
        Ok(None)
    }
    async fn expunge(&self, _: Timestamp) -> Result<yizhan::inbox::log::Expunged, LogError> {
        Ok(yizhan::inbox::log::Expunged::default())
    }
}

#[async_trait::async_trait]
impl Rejections for Stuck {
    async fn keep(&self, _: Rejected, _: Option<RawPush>) -> Result<(), LogError> {
        self.keeping.fetch_add(1, Ordering::SeqCst);
        self.never.notified().await;
        Ok(())
    }
    async fn page(&self, _: Option<&str>, _: Option<&Position>, _: usize) -> Result<Page<Rejected>, LogError> {
        Ok(Page { items: Vec::new(), next: None })
    }
    async fn open(&self, _: &str) -> Result<Option<(Rejected, RawPush)>, LogError> {
        Ok(None)
    }
    async fn ids(&self, _: Option<&str>) -> Result<Vec<String>, LogError> {
        Ok(Vec::new())
    }
    async fn remove(&self, _: &str) -> Result<(), LogError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_store_that_does_not_take_it_means_unavailable_and_a_slow_one_delays_no_refusal() {
    let scene = Scene::new();
    let stuck = Arc::new(Stuck::default());
    let inbox = Inbox::new(
        stuck.clone(),
        stuck,
        scene.audience.clone(),
        scene.tickets.clone(),
        scene.world.clock.clone(),
        Components::new(vec![scene.component.clone()]),
    );
    let refusal = inbox.accept(&*scene.component, raw("right", "{\"key\":1}")).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Unavailable(LogError::Full)));
    assert!(scene.audience.nudged.lock().unwrap().is_empty());
    // More than are kept at a time: none of them waits for the store.
    for number in 0..500 {
        let refusal = inbox.accept(&*scene.component, raw("wrong", number.to_string())).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Refused(PushError::BadSignature(_), None)));
    }
}

#[tokio::test]
async fn a_flood_at_many_components_waits_in_a_bounded_number() {
    let scene = Scene::new();
    let stuck = Arc::new(Stuck::default());
    let components: Vec<_> = (0..8).map(|number| Plain::named(&format!("douyin-{number}"))).collect();
    let all = Components::new(components.iter().map(|one| one.clone() as Arc<dyn Component>).collect());
    let inbox = Inbox::new(stuck.clone(), stuck.clone(), scene.audience.clone(), scene.tickets.clone(), scene.world.clock.clone(), all);
    let flood = async |component: &Plain| {
        for number in 0..100 {
            inbox.accept(component, raw("wrong", number.to_string())).await.unwrap_err();
        }
        // Everything that was begun takes its turn.
        tokio::task::yield_now().await;
        stuck.keeping.load(Ordering::SeqCst)
    };
    assert_eq!(flood(&components[0]).await, 16, "one leaves room to the others");
    let mut keeping = 0;
    for component in &components {
        keeping = flood(component).await;
    }
    assert_eq!(keeping, 64, "and all of them leave room to genuine pushes");
}

/// Whoever sends forgeries does not decide how much is written.
#[tokio::test]
async fn of_refused_pushes_so_many_bytes_are_kept_and_more_with_time() {
    let mut world = World::new();
    world.options.rejected_keep = 1000;
    let scene = Scene::over(world, false);
    let forged = async |pushes: usize| {
        let before = Rejections::ids(&*scene.log, None).await.unwrap().len();
        for number in 0..pushes {
            let body = format!("{number}{}", "x".repeat(1024 * 1024));
            scene.inbox.accept(&*scene.component, raw("wrong", body)).await.unwrap_err();
            // One after the other: none is left out because others are on their way.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Rejections::ids(&*scene.log, None).await.unwrap().len() - before
    };
    assert_eq!(forged(20).await, 15, "sixteen megabytes at once");
    scene.world.clock.advance(SignedDuration::from_secs(10));
    assert_eq!(forged(5).await, 3, "two and a half more after ten seconds, and what was left");
    // Of the usual size there is room for many.
    scene.world.clock.advance(SignedDuration::from_secs(60));
    let before = Rejections::ids(&*scene.log, None).await.unwrap().len();
    for number in 0..200 {
        scene.inbox.accept(&*scene.component, raw("wrong", format!("{number}{}", "x".repeat(2000)))).await.unwrap_err();
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    assert!(Rejections::ids(&*scene.log, None).await.unwrap().len() > before + 190);
}
