//! Over all rows: the call is its snapshot, wrong parameters are named, the twin accepts the example and the result is as documented.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};
use yizhan::platform::Reply;
use yizhan::platform::call::{Body, Call};
use yizhan::platform::operation::{Next, Params};

use super::{World, caller};

/// Brings the mini program into the state in which the example can be carried out.
fn prepare(world: &World, name: &str) {
    match name {
        "server_domain.delete" => drop(world.done("server_domain.add", Value::Object(world.row(name).example()))),
        "webview_domain.delete" => drop(world.done("webview_domain.add", Value::Object(world.row(name).example()))),
        "audit.submit" | "package.list" | "trial.qrcode" => world.upload("1.0.3"),
        "audit.withdraw" => {
            world.upload("1.0.3");
            world.done("audit.submit", json!({}));
        }
        "package.release" => {
            world.upload("1.0.3");
            world.approve("1.0.3");
        }
        "package.rollback" => {
            world.publish("1.0.2");
            world.publish("1.0.3");
        }
        "capability.status" => drop(world.done("capability.apply", json!({"capability": "short_video"}))),
        _ => {}
    }
}

/// The deed itself: what is read before it gets an answer that says nothing.
fn main_call(world: &World, name: &str) -> Call {
    let row = world.row(name);
    let params = Params::check(&row, row.example()).unwrap_or_else(|bad| panic!("{name}: {bad:?}"));
    let tokens = world.tokens();
    let next = |replies: &[Reply]| world.component.operations().next(&row, &params, replies, caller(&row, &tokens));
    match next(&[]) {
        Next::Call(call) => *call,
        Next::Ask(_) => match next(&[super::nothing()]) {
            Next::Call(call) => *call,
            other => panic!("{name}: {other:?}"),
        },
        other => panic!("{name}: {other:?}"),
    }
}

fn shown(world: &World, call: &Call) -> String {
    let (component, merchant) = world.tokens();
    let mut text = format!("{:?} {}\n", call.method, call.url);
    for (name, value) in &call.query {
        let value = value.expose().replace(component.expose(), "[token]").replace(merchant.expose(), "[token]");
        writeln!(text, "? {name} = {value}").unwrap();
    }
    for (name, value) in &call.headers {
        writeln!(text, "{name}: {}", value.expose()).unwrap();
    }
    match &call.body {
        Body::Empty => {}
        Body::Json(body) => writeln!(text, "json {}", body.expose()).unwrap(),
        other => panic!("{other:?}"),
    }
    text
}

fn compare(name: &str, found: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/operations/snapshots/kuaishou/{name}.txt"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, found).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(kept, found, "{name}: run with UPDATE_SNAPSHOTS=1 and read the difference");
}

#[test]
fn every_example_makes_its_call_and_the_twin_gives_its_result() {
    for row in World::new().component.operations().operations() {
        let world = World::new();
        let (component, merchant) = world.tokens();
        let call = main_call(&world, row.name);
        let printed = format!("{call:?}");
        assert!(!printed.contains(component.expose()) && !printed.contains(merchant.expose()), "{}", row.name);
        prepare(&world, row.name);
        let before = world.seen(row.name);
        let outcome = world.call(row.name, Value::Object(row.example())).unwrap_or_else(|error| panic!("{}: {error:?}", row.name));
        assert_eq!(world.seen(row.name), before + 1, "{}", row.name);
        let result = serde_json::to_string_pretty(&outcome.result).unwrap();
        compare(row.name, &format!("{}\n{result}\n", shown(&world, &call)));
    }
}

#[test]
fn missing_and_unknown_parameters_are_named() {
    for row in World::new().component.operations().operations() {
        let mut given = row.example();
        given.insert(String::from("horse"), json!("grey"));
        let bad = Params::check(row, given).unwrap_err();
        assert_eq!(bad.iter().map(|bad| bad.name.as_str()).collect::<Vec<_>>(), ["horse"], "{}", row.name);
        for param in row.params.iter().filter(|param| param.required) {
            let mut given = row.example();
            given.remove(param.name);
            let bad = Params::check(row, given).unwrap_err();
            assert_eq!(bad.iter().map(|bad| bad.name.as_str()).collect::<Vec<_>>(), [param.name], "{}", row.name);
        }
    }
}
