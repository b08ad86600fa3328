//! Platforms' twins as the vendors of a service under test, in this process: calls are handed to the twin whose address they go to.
//!
//! ```ignore
//! let vendors = TwinVendors::of_all(&clock);           // every platform with its sample settings
//! let vault = Vault::open(shelf, vendors.components(), vendors.clone(), clock, "https://…").await?;
//! let push = vendors.twin("baidu", |twin| twin.ticket(clock.now())).unwrap();
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use url::form_urlencoded;
use yizhan::clock::Clock;
use yizhan::outbound::{SendError, Vendors};
use yizhan::platform::call::{Body, Fields};
use yizhan::platform::push::{Opened, Push, RawPush};
use yizhan::platform::twin::{Outgoing, Request, Twin};
use yizhan::platform::{self, Call, Component, Components, Platform, Reply};
use yizhan::settings::{Settings, Surroundings};

/// Both sides of one platform.
struct Stage {
    component: Arc<dyn Component>,
    twin: Box<dyn Twin>,
    /// What the vendor did, with how often it agreed.
    deeds: BTreeMap<&'static str, usize>,
    /// Pushes that calls caused, not delivered yet.
    pushes: Vec<Outgoing>,
}

/// What happens to the next call of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// There is no connection.
    NotSent,
    /// The vendor did it and the answer is lost.
    AnswerLost,
}

/// The vendors.
pub struct TwinVendors {
    clock: Arc<dyn Clock>,
    stages: Mutex<BTreeMap<&'static str, Stage>>,
    losses: Mutex<Vec<(&'static str, Loss)>>,
}

/// Base address of a platform's twin.
pub fn address(platform: &dyn Platform) -> String {
    format!("http://127.0.0.1:9/{}", platform.name())
}

impl TwinVendors {
    /// Every platform, with its sample settings and what `settings` adds to them; components are called like their platforms.
    pub fn of_all(clock: Arc<dyn Clock>, more: impl Fn(&str) -> &'static str) -> Arc<Self> {
        let read = |text: &str| Settings::parse(text, Surroundings::default()).unwrap();
        let stages = platform::ALL.iter().map(|platform| {
            let sample = format!("{}\n{}", platform.sample_settings(&address(*platform)), more(platform.name()));
            let component = platform.component(platform.name(), read(&sample));
            let component = component.unwrap_or_else(|problems| panic!("{}: {problems:?}", platform.name()));
            let twin = platform.twin(read(&sample)).unwrap_or_else(|problems| panic!("{}: {problems:?}", platform.name()));
            (platform.name(), Stage { component, twin, deeds: BTreeMap::new(), pushes: Vec::new() })
        });
        Arc::new(Self { clock, stages: Mutex::new(stages.collect()), losses: Mutex::default() })
    }

    /// Our side of all of them.
    pub fn components(&self) -> Components {
        let stages = self.stages.lock().unwrap();
        Components::new(platform::ALL.iter().map(|platform| Arc::clone(&stages[platform.name()].component)).collect())
    }

    /// Does something at a vendor.
    pub fn twin<T>(&self, platform: &str, does: impl FnOnce(&mut dyn Twin) -> T) -> T {
        does(&mut *self.stages.lock().unwrap().get_mut(platform).unwrap().twin)
    }

    /// Opens what a vendor pushed, as the inbox would.
    pub fn open(&self, platform: &str, push: &Outgoing) -> Push {
        let headers = push.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_bytes().to_vec())).collect();
        let raw = RawPush {
            door: push.door,
            is_get: false,
            headers,
            query: String::new(),
            body: push.body.clone(),
            received_at: self.clock.now(),
        };
        match self.stages.lock().unwrap()[platform].component.open(&raw) {
            Ok(Opened::Push(push)) => *push,
            other => panic!("{platform}: {other:?}"),
        }
    }

    /// How often a vendor did something and agreed.
    pub fn deeds(&self, platform: &str, deed: &str) -> usize {
        self.stages.lock().unwrap()[platform].deeds.get(deed).copied().unwrap_or(0)
    }

    /// Pushes that calls caused, each once.
    pub fn pushes(&self, platform: &str) -> Vec<Outgoing> {
        std::mem::take(&mut self.stages.lock().unwrap().get_mut(platform).unwrap().pushes)
    }

    /// The next call that this vendor answers for `deed` is lost.
    pub fn lose(&self, deed: &'static str, loss: Loss) {
        self.losses.lock().unwrap().push((deed, loss));
    }
}

#[async_trait::async_trait]
impl Vendors for TwinVendors {
    async fn send(&self, call: &Call) -> Result<Reply, SendError> {
        let mut stages = self.stages.lock().unwrap();
        let found = platform::ALL.iter().find_map(|platform| Some((platform.name(), call.url.strip_prefix(&address(*platform))?)));
        let (name, path) = found.unwrap_or_else(|| panic!("{} leaves the simulator", call.target()));
        let stage = stages.get_mut(name).unwrap();
        let target = format!("{name}{path}");
        let mut losses = self.losses.lock().unwrap();
        // Whether a call is lost before it is sent cannot depend on what the vendor would do with it: the first loss waiting counts.
        if let Some(at) = losses.iter().position(|(_, loss)| *loss == Loss::NotSent) {
            losses.remove(at);
            return Err(SendError::NotSent { target, cause: String::from("refused") });
        }
        let answer = stage.twin.answer(&request(call, path), self.clock.now());
        if answer.accepted {
            *stage.deeds.entry(answer.deed).or_default() += 1;
        }
        stage.pushes.extend(answer.pushes);
        if let Some(at) = losses.iter().position(|(deed, _)| *deed == answer.deed) {
            losses.remove(at);
            return Err(SendError::NoAnswer { target, cause: String::from("timed out") });
        }
        Ok(answer.reply)
    }
}

/// The call as it reaches a twin.
pub fn request(call: &Call, path: &str) -> Request {
    let mut headers: Vec<(String, String)> = call.headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
    let (content_type, body) = match &call.body {
        Body::Empty => (None, Bytes::new()),
        Body::Form(fields) => (Some("application/x-www-form-urlencoded;charset=utf-8"), encoded(fields).into()),
        Body::Json(value) => (Some("application/json"), value.expose().to_owned().into()),
        Body::Multipart(_) => panic!("{path}: no call of these tests has files"),
    };
    headers.extend(content_type.map(|value| (String::from("content-type"), value.to_owned())));
    Request { method: call.method, path: path.to_owned(), query: encoded(&call.query), headers, body }
}

fn encoded(fields: &Fields) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        text.append_pair(name, value.expose());
    }
    text.finish()
}
