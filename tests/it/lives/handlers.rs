//! Handlers refuse, break off, hang, ask for patience, want no more; people pause, resume, send again; the service restarts. In the end each handler has
//! taken each event that it asked for, once unless somebody sent it again, and one that wants order had it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Lot, numbers};
use crate::outbound::receiver::{Manner, Receiver};
use crate::world::{Setting, World};

/// Platforms with two merchants each.
const MERCHANTS: [(&str, [&str; 2]); 2] = [("douyin", ["tt0123456789abcdef", "tt0123456789abcde0"]), ("kuaishou", ["ks71", "ks72"])];

/// Handlers, and what they ask for.
const HANDLERS: [&str; 4] = ["all", "ordered", "hasty", "late"];

const STEPS: usize = 60;

/// Looks for the end, an hour apart.
const LOOKS: usize = 60;

/// What handlers do, and what they took.
#[derive(Default)]
struct Handlers {
    moods: BTreeMap<String, Manner>,
    taken: Vec<(String, String)>,
}

struct Life {
    lot: Lot,
    world: World,
    receiver: Receiver,
    handlers: Arc<Mutex<Handlers>>,
    /// How often somebody sent an event to a handler again, who may have had it.
    again: BTreeMap<(String, String), usize>,
    /// Events that were there before the last handler asked for any, and right after; `None`: it has not asked yet.
    around_late: Option<[BTreeSet<String>; 2]>,
    granted: BTreeSet<&'static str>,
    story: String,
}

fn subscription(name: &str, receiver: &Receiver, more: &str) -> String {
    format!(
        "[[subscriptions]]\nname = \"{name}\"\nurl = \"{}\"\nsecret = \"{}\"\ntimeout = \"1s\"\n{more}\n",
        receiver.url(&format!("/{name}")),
        crate::world::SECRET
    )
}

impl Life {
    async fn begin(number: u64) -> Self {
        let handlers = Arc::new(Mutex::new(Handlers::default()));
        let heard = handlers.clone();
        let receiver = Receiver::with(move |seen| {
            let name = seen.line.split(['/', ' ']).nth(2).unwrap().to_owned();
            let mut handlers = heard.lock().unwrap();
            let well = || Manner::status(204);
            let manner = handlers.moods.get(&name).cloned().unwrap_or_else(well);
            if matches!(&manner, Manner::Answer(text) if text.starts_with("HTTP/1.1 2")) {
                handlers.taken.push((name, seen.header("webhook-id").unwrap().to_owned()));
            }
            manner
        })
        .await;
        let subscriptions = [
            subscription("all", &receiver, "events = [\"*\"]"),
            subscription("ordered", &receiver, "events = [\"authorization.*\"]\nordering = \"authorizer\""),
            subscription("hasty", &receiver, "events = [\"authorization.*\"]\ncomponents = [\"douyin\"]\nretry = [\"5s\", \"2m\"]"),
        ];
        let world = World::with(Setting { subscriptions: Some(subscriptions.concat()), ..Setting::default() }).await;
        for (platform, _) in MERCHANTS {
            world.simulator.ticket(platform).await.unwrap();
        }
        let (again, granted, story) = Default::default();
        Self { lot: Lot(number), world, receiver, handlers, again, around_late: None, granted, story }
    }

    fn tell(&mut self, what: std::fmt::Arguments<'_>) {
        let now = self.world.simulator.now();
        writeln!(self.story, "{now} {what}").unwrap();
    }

    /// The clock goes on at once, as if somebody set it: a try that is under way takes no longer for that, and is not made again.
    fn goes_on(&self, seconds: i64) {
        self.world.clock.step(SignedDuration::from_secs(seconds));
    }

    async fn step(&mut self) {
        let pause = *self.lot.of(&[1, 5, 30, 60, 300, 1800]);
        self.goes_on(pause);
        tokio::time::sleep(Duration::from_millis(10)).await;
        match self.lot.below(16) {
            0..=5 => self.something_happens().await,
            6..=9 => self.mood_changes(),
            10 | 11 => self.is_steered().await,
            12 => self.is_sent_again().await,
            13 => self.is_replayed().await,
            14 => self.late_one_asks().await,
            _ => {
                self.tell(format_args!("restart"));
                self.world.restart().await;
            }
        }
    }

    /// Merchants come and go, several at once.
    async fn something_happens(&mut self) {
        for _ in 0..1 + self.lot.below(6) {
            let (platform, apps) = *self.lot.of(&MERCHANTS);
            let app = *self.lot.of(&apps);
            // Vendors cut some times to seconds.
            self.goes_on(2);
            if self.granted.remove(app) {
                self.world.simulator.revoke(platform, app).await.unwrap();
            } else {
                self.world.simulator.grant(platform, app).await.unwrap();
                self.granted.insert(app);
            }
            self.tell(format_args!("{app} {}", if self.granted.contains(app) { "grants" } else { "withdraws" }));
        }
    }

    fn mood_changes(&mut self) {
        let name = *self.lot.of(&HANDLERS);
        let manner = match self.lot.below(8) {
            0 => Manner::status(500),
            1 => Manner::headed(429, "Retry-After: 90\r\n", ""),
            2 => Manner::Closing,
            3 => Manner::headed(302, "Location: http://127.0.0.1:9/\r\n", ""),
            4 if self.lot.below(4) == 0 => Manner::status(410),
            5 if self.lot.below(4) == 0 => Manner::Hanging,
            _ => Manner::status(200),
        };
        self.tell(format_args!("{name}: {manner:?}"));
        self.handlers.lock().unwrap().moods.insert(name.to_owned(), manner);
    }

    async fn is_steered(&mut self) {
        let name = *self.lot.of(&HANDLERS);
        let how = *self.lot.of(&["pause", "resume", "resume", "enable"]);
        let (status, body) = self.world.post(&format!("/v1/subscriptions/{name}/{how}"), json!({})).await;
        self.tell(format_args!("{name}: {how}: {status} {}", body["state"]));
    }

    /// Somebody sends one event to one handler again: by its delivery, or by itself.
    async fn is_sent_again(&mut self) {
        let name = *self.lot.of(&HANDLERS);
        let (_, page) = self.world.get(&format!("/v1/deliveries?subscription={name}&limit=500")).await;
        let all = page["items"].as_array().unwrap().clone();
        if all.is_empty() {
            return;
        }
        let delivery = self.lot.of(&all).clone();
        // What waits in order would come before what is older.
        if name == "ordered" && delivery["status"] != "delivered" {
            return;
        }
        let event = delivery["event_id"].as_str().unwrap().to_owned();
        let address = match self.lot.below(2) {
            0 => format!("/v1/deliveries/{}/retry", delivery["id"].as_str().unwrap()),
            _ => format!("/v1/events/{event}/replay"),
        };
        let body = if address.ends_with("retry") { json!({}) } else { json!({ "subscription": name }) };
        // Counted first: it may arrive before it is answered.
        *self.again.entry((name.to_owned(), event.clone())).or_default() += 1;
        let (status, _) = self.world.post(&address, body).await;
        self.tell(format_args!("{event}, {}, is sent to {name} again: {address}: {status}", delivery["status"]));
    }

    /// Somebody sends everything to one handler again.
    async fn is_replayed(&mut self) {
        let name = *self.lot.of(&["all", "hasty"]);
        let component = self.lot.of(&MERCHANTS).0;
        for event in self.events().await {
            *self.again.entry((name.to_owned(), event["id"].as_str().unwrap().to_owned())).or_default() += 1;
        }
        let asked = json!({ "filter": { "component": component }, "subscription": name, "rate": 50 });
        let (status, body) = self.world.post("/v1/replays", asked).await;
        self.tell(format_args!("everything of {component} is sent to {name} again: {status} {}", body["detail"]));
    }

    /// One more handler asks for events, of now on.
    async fn late_one_asks(&mut self) {
        if self.around_late.is_some() {
            return;
        }
        let asked = json!({ "name": "late", "url": self.receiver.url("/late"), "events": ["*"], "timeout": "1s", "concurrency": 1 });
        let ids = async || self.events().await.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
        let before = ids().await;
        let (status, body) = self.world.ask(Method::POST, "/v1/subscriptions", asked).await;
        assert_eq!(status, 201, "{body}");
        self.around_late = Some([before, ids().await]);
        self.tell(format_args!("one more handler asks"));
    }

    /// All, oldest first.
    async fn events(&self) -> Vec<Value> {
        let (_, page) = self.world.get("/v1/events?limit=500").await;
        assert!(page["next_cursor"].is_null(), "more than fit one page");
        let mut all = page["items"].as_array().unwrap().clone();
        all.reverse();
        all
    }

    /// What is not delivered yet; a person sees to it.
    async fn left(&mut self) -> Vec<String> {
        let mut left = Vec::new();
        for name in HANDLERS.into_iter().filter(|name| *name != "late" || self.around_late.is_some()) {
            let (_, shown) = self.world.get(&format!("/v1/subscriptions/{name}")).await;
            let mends = match shown["state"].as_str().unwrap() {
                "paused" => "resume",
                "disabled" => "enable",
                _ => "",
            };
            if !mends.is_empty() {
                let (status, _) = self.world.post(&format!("/v1/subscriptions/{name}/{mends}"), json!({})).await;
                left.push(format!("{name} was {}: {status}", shown["state"]));
            }
            for status in ["dead", "pending", "held"] {
                let (_, page) = self.world.get(&format!("/v1/deliveries?subscription={name}&status={status}&limit=500")).await;
                for delivery in page["items"].as_array().unwrap() {
                    left.push(format!("{name}: {delivery}"));
                    if status == "dead" {
                        let event = delivery["event_id"].as_str().unwrap().to_owned();
                        *self.again.entry((name.to_owned(), event)).or_default() += 1;
                        self.world.post(&format!("/v1/deliveries/{}/retry", delivery["id"].as_str().unwrap()), json!({})).await;
                    }
                }
            }
        }
        left
    }

    async fn settle(mut self, number: u64) {
        for name in HANDLERS {
            self.handlers.lock().unwrap().moods.insert(name.to_owned(), Manner::status(204));
        }
        let mut left = Vec::new();
        for _ in 0..LOOKS {
            self.goes_on(3600);
            // Tokens go on being renewed.
            for (platform, _) in MERCHANTS {
                self.world.simulator.ticket(platform).await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(150)).await;
            left = self.left().await;
            if left.is_empty() {
                break;
            }
        }
        println!("life {number}:\n{}", self.story);
        assert!(left.is_empty(), "life {number}: {left:#?}\n{}", self.story);
        let wrong = self.wrong().await;
        assert!(wrong.is_empty(), "life {number}: {wrong:#?}\n{}", self.story);
    }

    /// What the service says of an event and a handler.
    async fn deliveries(&self, name: &str, event: &str) -> Vec<String> {
        let (_, page) = self.world.get(&format!("/v1/deliveries?subscription={name}&event={event}")).await;
        let mut all = Vec::new();
        for delivery in page["items"].as_array().unwrap() {
            let (_, whole) = self.world.get(&format!("/v1/deliveries/{}", delivery["id"].as_str().unwrap())).await;
            all.push(format!("{} {}", whole["status"], whole["attempts"]));
        }
        all
    }

    /// What handlers had too often, too seldom, or in disorder.
    async fn wrong(&self) -> Vec<String> {
        let (events, taken) = (self.events().await, std::mem::take(&mut self.handlers.lock().unwrap().taken));
        let mut wrong = Vec::new();
        for name in HANDLERS {
            let mut last: BTreeMap<&str, usize> = BTreeMap::new();
            for (place, event) in events.iter().enumerate() {
                let (id, kind) = (event["id"].as_str().unwrap(), event["type"].as_str().unwrap());
                let is_wanted = match name {
                    "all" => kind != "ticket.received",
                    "ordered" => kind.starts_with("authorization."),
                    "hasty" => kind.starts_with("authorization.") && event["platform"] == "douyin",
                    _ => kind != "ticket.received" && self.around_late.as_ref().is_some_and(|[_, after]| !after.contains(id)),
                };
                // What came just then: either will do.
                let is_early =
                    name == "late" && self.around_late.as_ref().is_some_and(|[before, after]| !before.contains(id) && after.contains(id));
                let times = taken.iter().filter(|(handler, event)| handler == name && event == id).count();
                let again = self.again.get(&(name.to_owned(), id.to_owned())).copied().unwrap_or_default();
                let may = usize::from(is_wanted)..=usize::from(is_wanted || is_early) + again;
                if !may.contains(&times) {
                    wrong.push(format!("{name} took {kind} {id} {times} times, should {may:?}: {:?}", self.deliveries(name, id).await));
                }
                if name == "ordered" && is_wanted {
                    let first = taken.iter().position(|(handler, event)| handler == name && event == id).unwrap_or_default();
                    let subject = event["subject"].as_str().unwrap();
                    if last.insert(subject, first).is_some_and(|last| last > first) {
                        wrong.push(format!("{name} took number {place}, {id} of {subject}, before an older one"));
                    }
                }
            }
        }
        wrong
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_each_handler_takes_each_event_once() {
    for number in numbers() {
        let mut life = Life::begin(number).await;
        for _ in 0..STEPS {
            life.step().await;
        }
        life.settle(number).await;
    }
}
