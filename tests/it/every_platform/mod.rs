//! What every platform must do, told once and run over all of them: its twin speaks, its component understands, and nothing else is believed.

mod forgery;
mod pushes;
mod secrecy;
mod story;
mod vectors;

use std::sync::Arc;

use serde_json::{Value, json};
use url::form_urlencoded;
use yizhan::clock::Timestamp;
use yizhan::platform::call::{Body, Fields};
use yizhan::platform::push::{Notice, Opened, Push, PushError, RawPush};
use yizhan::platform::twin::{Answer, Outgoing, Request, Twin};
use yizhan::platform::{self, Call, Component, Door, Platform, Reply};
use yizhan::settings::{Settings, Surroundings};

/// A merchant's mini program.
const MERCHANT: &str = "yz0123456789abcdef";

fn now() -> Timestamp {
    "2026-11-20T07:04:05Z".parse().unwrap()
}

fn vendor_url(platform: &dyn Platform) -> String {
    format!("http://127.0.0.1:9/{}", platform.name())
}

/// One platform with both its sides.
struct Stage {
    platform: &'static dyn Platform,
    name: &'static str,
    component: Arc<dyn Component>,
    twin: Box<dyn Twin>,
    /// Texts that nobody may see: settings, tickets, tokens, codes.
    secrets: Vec<String>,
    /// Everything that was printed on the way.
    shown: Vec<String>,
    /// What the vendor last did.
    deed: &'static str,
}

/// Every platform of this build.
fn stages() -> impl Iterator<Item = Stage> {
    platform::ALL.iter().map(|platform| Stage::new(*platform))
}

fn settings(text: &str) -> Settings {
    Settings::parse(text, Surroundings::default()).unwrap()
}

fn component(platform: &'static dyn Platform, text: &str) -> Arc<dyn Component> {
    platform.component("shop", settings(text)).unwrap_or_else(|problems| panic!("{}: {problems:?}", platform.name()))
}

impl Stage {
    fn new(platform: &'static dyn Platform) -> Self {
        let sample = platform.sample_settings(&vendor_url(platform));
        let twin = platform.twin(settings(&sample)).unwrap_or_else(|problems| panic!("{}: {problems:?}", platform.name()));
        let component = component(platform, &sample);
        let secrets = secrecy::secrets_of(&sample);
        Self { platform, name: platform.name(), component, twin, secrets, shown: Vec::new(), deed: "" }
    }

    fn sample(&self) -> String {
        self.platform.sample_settings(&vendor_url(self.platform))
    }

    fn open(&mut self, push: &Outgoing) -> Push {
        let opened = self.component.open(&arrived(push));
        self.shown.push(format!("{opened:?}"));
        match opened {
            Ok(Opened::Push(push)) => {
                self.shown.push(push.vendor.to_string());
                *push
            }
            other => panic!("{}: {other:?}", self.name),
        }
    }

    /// Carries a call to the twin, as `outbound` and the simulator do between them.
    fn ask(&mut self, call: &Call) -> Answer {
        self.ask_at(call, now())
    }

    fn ask_at(&mut self, call: &Call, at: Timestamp) -> Answer {
        let answer = self.twin.answer(&self.request(call), at);
        self.shown.push(format!("{call:?} {} {:?}", call.target(), answer.reply));
        self.deed = answer.deed;
        answer
    }

    fn request(&self, call: &Call) -> Request {
        let path =
            call.url.strip_prefix(&vendor_url(self.platform)).unwrap_or_else(|| panic!("{}: {} leaves the simulator", self.name, call.url));
        let mut headers: Vec<(String, String)> =
            call.headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
        let (content_type, body) = match &call.body {
            Body::Empty => (None, bytes::Bytes::new()),
            Body::Form(fields) => (Some("application/x-www-form-urlencoded;charset=utf-8"), encoded(fields).into()),
            Body::Json(value) => (Some("application/json"), value.expose().to_owned().into()),
            Body::Multipart(_) => panic!("{}: a token call has no files", self.name),
        };
        headers.extend(content_type.map(|value| (String::from("content-type"), value.to_owned())));
        Request { method: call.method, path: path.to_owned(), query: encoded(&call.query), headers, body }
    }

    /// Marks a text as one that nobody may see.
    fn secret(&mut self, text: &str) {
        self.secrets.push(text.to_owned());
    }

    /// Pushes of every kind that this vendor makes, each with what it should be opened as.
    fn every_push(&mut self) -> Vec<Outgoing> {
        let ticket = self.twin.ticket(now());
        let grant = self.twin.grant(MERCHANT, now()).push;
        let passed = self.twin.audit(MERCHANT, "1.0.3", &platform::twin::Verdict::Passed, now());
        let other = self.twin.say(Door::Message, &unheard_of(), now());
        let revoked = self.twin.revoke(MERCHANT, now());
        [ticket, grant, Some(passed), Some(other), revoked].into_iter().flatten().collect()
    }
}

fn encoded(fields: &Fields) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        text.append_pair(name, value.expose());
    }
    text.finish()
}

/// A message that no platform knows, under every name that one of them may give it.
fn unheard_of() -> String {
    let name = "yizhan.test.unheard.of";
    json!({ "event": name, "Event": name, "MsgType": name, "msg_method": name, "notify_type": name, "CreateTime": 1_795_158_245, "note": "keep me" }).to_string()
}

/// The push as it would arrive.
fn arrived(push: &Outgoing) -> RawPush {
    let headers = push.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone().into_bytes())).collect();
    RawPush { door: push.door, is_get: false, headers, query: String::new(), body: push.body.clone(), received_at: now() }
}

/// Everything that a push was opened as, secrets too: two pushes with the same essence mean the same to us.
fn essence(opened: Result<Opened, PushError>) -> Option<Value> {
    let push = match opened {
        Ok(Opened::Push(push)) => push,
        Ok(Opened::Check(answer)) => return Some(json!({ "check": String::from_utf8_lossy(&answer.body) })),
        Err(_) => return None,
    };
    let notice = match &push.notice {
        Notice::Ticket(ticket) => json!([ticket.value.expose(), ticket.created_at]),
        Notice::Granted(grant) | Notice::Updated(grant) => json!(grant),
        Notice::Revoked { at } => json!(at),
        Notice::Fact { data, .. } => json!(data),
    };
    Some(json!({
        "kind": push.notice.kind(), "notice": notice, "vendor_type": push.vendor_type, "authorizer": push.authorizer,
        "time": push.time, "dedupe_key": push.dedupe_key, "vendor": push.vendor,
    }))
}
