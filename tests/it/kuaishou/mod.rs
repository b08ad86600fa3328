//! Kuaishou: its pushes in every variant, its events, its tokens, its twin and its diagnosis.

mod configuration;
mod diagnosis;
mod events;
mod links;
mod pushes;
mod tokens;
mod twins;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use yizhan::clock::Timestamp;
use yizhan::event_type::EventType;
use yizhan::platform::call::{Body, Class, Method};
use yizhan::platform::push::{Notice, Opened, Push, PushError, RawPush};
use yizhan::platform::token::{Family, LinkRequest, LostReply, Recovered, Refresh, Standing, TokenKey};
use yizhan::platform::twin::{Outgoing, Request, Twin, Verdict};
use yizhan::platform::{self, Call, Component, Door, Reply, capture};
use yizhan::secret::Secret;
use yizhan::settings::{Problem, Settings, Surroundings};

const APP_ID: &str = "ks600000000000000001";
const VENDOR: &str = "http://127.0.0.1:9/kuaishou";

fn now() -> Timestamp {
    "2026-11-20T07:04:05Z".parse().unwrap()
}

fn settings(text: &str) -> Settings {
    Settings::parse(text, Surroundings::default()).unwrap()
}

fn kuaishou() -> &'static dyn platform::Platform {
    platform::named("kuaishou").unwrap()
}

/// The sample's settings with these lines after them.
fn with(lines: &str) -> String {
    format!("{}{lines}\n", kuaishou().sample_settings(VENDOR))
}

fn component(lines: &str) -> Arc<dyn Component> {
    kuaishou().component("kuaishou", settings(&with(lines))).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn twin(lines: &str) -> Box<dyn Twin> {
    kuaishou().twin(settings(&with(lines))).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn problems(text: &str) -> Vec<Problem> {
    kuaishou().component("kuaishou", settings(text)).err().expect("settings with problems")
}

fn arrived(push: &Outgoing) -> RawPush {
    let headers = push.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
    RawPush { door: push.door, is_get: false, headers, query: String::new(), body: push.body.clone(), received_at: now() }
}

fn open(component: &dyn Component, push: &Outgoing) -> Push {
    match component.open(&arrived(push)) {
        Ok(Opened::Push(push)) => *push,
        other => panic!("{other:?}"),
    }
}

/// What the component makes of this message.
fn said(lines: &str, plain: &Value) -> Push {
    open(&*component(lines), &twin(lines).say(Door::Message, &plain.to_string(), now()))
}

fn fact(push: &Push) -> (EventType, Value) {
    match &push.notice {
        Notice::Fact { kind, data } => (*kind, Value::Object(data.clone())),
        other => panic!("{other:?}"),
    }
}

/// Carries a call to the twin, as `outbound` and the simulator do.
fn carried(call: &Call) -> Request {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in &call.query {
        query.append_pair(name, value.expose());
    }
    assert_eq!(call.body, Body::Empty);
    let path = call.url.strip_prefix(VENDOR).unwrap().to_owned();
    Request { method: call.method, path, query: query.finish(), headers: Vec::new(), body: bytes::Bytes::new() }
}

fn reply(body: &Value) -> Reply {
    Reply { status: 200, content_type: String::from("application/json"), body: body.to_string().into() }
}

fn standing(token: &Secret) -> Standing<'_> {
    Standing { family: Family::Current, component_token: Some(token), now: now() }
}
