//! Alipay: the vendor's vectors, made-up pushes and answers, and the twin against the component.

mod certificates;
mod diagnosis;
mod gateway;
mod keys;
mod pushes;
mod settings;
mod story;
mod tokens;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use yizhan::clock::Timestamp;
use yizhan::platform::alipay::Alipay;
use yizhan::platform::alipay::settings::{Application, application};
use yizhan::platform::twin::Outgoing;
use yizhan::platform::{Component, Door, Platform, RawPush, Twin};
use yizhan::settings::{Problem, Settings, Surroundings};

pub fn file(path: &str) -> String {
    std::fs::read_to_string(folder().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub fn fixture(path: &str) -> Value {
    serde_json::from_str(&file(&format!("alipay/{path}"))).unwrap()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

pub fn settings(toml: &str) -> Settings {
    Settings::parse(toml, Surroundings { folder: folder(), variables: Arc::new(BTreeMap::new()) }).unwrap()
}

pub fn component(toml: &str) -> Arc<dyn Component> {
    problems_or(Alipay.component("alipay", settings(toml)))
}

pub fn twin(toml: &str) -> Box<dyn Twin> {
    problems_or(Alipay.twin(settings(toml)))
}

fn problems_or<T>(read: Result<T, Vec<Problem>>) -> T {
    read.unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// The parts inside a component, for what the traits do not show.
pub fn parts(toml: &str) -> Application {
    let mut settings = settings(toml);
    let application = application("alipay", &mut settings);
    let problems = settings.finish();
    assert!(problems.is_empty(), "{problems:#?}");
    application.unwrap()
}

/// Settings by which the twin and the component fit together.
pub fn sample() -> String {
    Alipay.sample_settings("http://127.0.0.1:9/alipay")
}

/// The same in certificate mode.
pub fn certified() -> String {
    r#"
app_id = "2021000000000001"
app_private_key = { file = "keys/alipay/application.pem" }
app_cert = { file = "keys/alipay/application.crt" }
alipay_cert = { file = "keys/alipay/alipay.crt" }
alipay_root_cert = { file = "keys/alipay/roots.crt" }
aes_key = "aa4BtZ4tspm2wnXLb1ThQA=="
twin_private_key = { file = "keys/alipay/platform.pem" }
"#
    .to_owned()
}

pub fn now() -> Timestamp {
    "2026-11-20T04:00:00Z".parse().unwrap()
}

pub fn post(body: impl Into<Bytes>) -> RawPush {
    RawPush { door: Door::Message, is_get: false, headers: Vec::new(), query: String::new(), body: body.into(), received_at: now() }
}

pub fn arrived(push: &Outgoing) -> RawPush {
    let headers = push.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
    RawPush { door: push.door, headers, ..post(push.body.clone()) }
}
