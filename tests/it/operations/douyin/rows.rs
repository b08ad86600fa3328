//! Over all rows: the calls are their snapshot, wrong parameters are named, the twin accepts the example and the result is as documented.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};
use yizhan::platform::Method;
use yizhan::platform::call::{Body, Call};
use yizhan::platform::operation::{Answers, Effect, Params};
use yizhan::secret::Secret;

use super::{World, caller, example, is_v1, picture};

const CATEGORY: &str = "188,189,190";

fn categories() -> Value {
    json!({"categories": [{"category": CATEGORY, "materials": [{"id": "5", "files": [picture("a.png")]}]}]})
}

/// Brings the mini program into the state in which the example can be carried out.
fn prepare(world: &World, name: &str) {
    match name {
        "package.get" | "package.list" | "audit.submit" | "trial.qrcode" => world.upload("2.0.1"),
        "audit.withdraw" => {
            world.upload("2.0.1");
            world.submit();
        }
        "package.release" => {
            world.upload("2.0.1");
            world.submit();
            world.approve();
        }
        "package.rollback" | "quality.rating" => {
            world.publish("2.0.0");
            world.publish("2.0.1");
        }
        "category.modify" | "category.list" | "category.delete" => {
            world.done("category.add", categories());
            world.decide_category(CATEGORY, if name == "category.delete" { 1 } else { 0 });
        }
        "category.published" => {
            world.done("category.publish", json!({}));
        }
        "server_domain.get" | "server_domain.delete" | "webview_domain.get" | "webview_domain.delete" => {
            let add = if name.starts_with("server") { "server_domain.add" } else { "webview_domain.add" };
            world.done(add, Value::Object(example(world.row(add))));
        }
        "capability.status" | "capability.list" => {
            world.done("capability.apply", json!({"capability": "live", "reason": "r"}));
            world.decide("APPLY_CAPACITY", json!({"EventContent": {"capacity_key": "live_self_mount", "status": 1}}));
        }
        _ => {}
    }
}

fn shown(call: &Call) -> String {
    let method = if call.method == Method::Get { "GET" } else { "POST" };
    let mut text = format!("{method} {}\n", call.url);
    for (name, value) in &call.query {
        writeln!(text, "? {name} = {}", value.expose()).unwrap();
    }
    for (name, value) in &call.headers {
        writeln!(text, "{name}: {}", value.expose()).unwrap();
    }
    match &call.body {
        Body::Empty => {}
        Body::Json(body) => writeln!(text, "json {}", body.expose()).unwrap(),
        Body::Multipart(parts) => {
            for part in parts {
                match &part.file_name {
                    Some(file) => writeln!(text, "file {} = {file} ({})", part.name, part.content_type.as_ref().unwrap()).unwrap(),
                    None => writeln!(text, "part {} = {}", part.name, String::from_utf8_lossy(&part.content)).unwrap(),
                }
            }
        }
        other => panic!("{other:?}"),
    }
    text
}

fn compare(name: &str, found: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/operations/snapshots/douyin/{name}.txt"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, found).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(kept, found, "{name}: run with UPDATE_SNAPSHOTS=1 and read the difference");
}

#[test]
fn every_example_makes_its_calls_and_the_twin_gives_its_result() {
    for row in World::new().rows() {
        let world = World::new();
        prepare(&world, row.name);
        world.sent();
        let outcome = world.call(row.name, Value::Object(example(row))).unwrap_or_else(|failure| panic!("{}: {failure:?}", row.name));
        let result = serde_json::to_string_pretty(&outcome.result).unwrap();
        let file =
            outcome.file.map_or(String::new(), |file| format!("{} {:?}, {} bytes\n", file.content_type, file.name, file.content.len()));
        assert_eq!(row.answers == Answers::File, !file.is_empty(), "{}", row.name);
        let calls: Vec<_> = world.sent().iter().map(shown).collect();
        let text = format!("{}\n{file}{result}\n", calls.join("\n"));
        let hidden = world.hidden(&text);
        assert!(hidden.contains("[token]"), "{}: without a token", row.name);
        assert_eq!(is_v1(row), hidden.contains("? component_appid = "), "{}: V1 names the component in the query", row.name);
        assert!(!world.hidden(&outcome.vendor.to_string()).contains("[token]"), "{}: the answer shows the token", row.name);
        compare(row.name, &hidden);
    }
}

#[test]
fn missing_and_unknown_parameters_are_named() {
    for row in World::new().rows() {
        let names = |given| Params::check(row, given).unwrap_err().into_iter().map(|bad| bad.name).collect::<Vec<_>>();
        let mut given = example(row);
        given.insert(String::from("horse"), json!("grey"));
        assert_eq!(names(given), ["horse"], "{}", row.name);
        for param in row.params.iter().filter(|param| param.required) {
            let mut given = example(row);
            given.remove(param.name);
            assert_eq!(names(given), [param.name], "{}", row.name);
        }
    }
}

#[test]
fn every_row_is_named_once_and_what_must_not_be_repeated_can_be_looked_up() {
    let world = World::new();
    let token = Secret::new("t");
    for (at, row) in world.rows().iter().enumerate() {
        assert!(world.rows()[at + 1..].iter().all(|other| other.name != row.name), "{} stands twice", row.name);
        assert!(row.path.starts_with('/') && row.reference.starts_with("Douyin ") && row.disabled.is_none(), "{}", row.name);
        let params = Params::check(row, example(row)).unwrap_or_else(|bad| panic!("{}: {bad:?}", row.name));
        assert_eq!(world.component.operations().misfits(row, &params), [], "{}", row.name);
        let question = world.component.operations().look_up(row, &params, &[], caller(row, &token));
        assert_eq!(question.is_some(), row.effect == Effect::Once, "{}", row.name);
    }
}

#[test]
fn every_feature_of_the_guide_has_its_row() {
    let world = World::new();
    let names = "authorization.permissions authorization.list profile.get profile.check_name profile.set_name profile.set_icon \
        profile.set_intro category.catalogue category.list category.add category.delete category.modify category.publish \
        category.published media.upload component_media.upload server_domain.get server_domain.add server_domain.set \
        server_domain.delete webview_domain.get webview_domain.add webview_domain.set webview_domain.delete \
        webview_domain.check_file quality.rating quality.credit_score package.upload audit.hosts audit.submit audit.withdraw \
        trial.qrcode package.list package.get package.release package.rollback qrcode.create capability.apply capability.status \
        live_component.apply live_component.status phone_number.apply phone_number.status template.list template.drafts \
        template.add template.delete trial_operation.get capability.list";
    for name in names.split_whitespace() {
        world.row(name);
    }
    assert_eq!(world.rows().len(), names.split_whitespace().count());
}

#[test]
fn what_a_kind_cannot_say_is_named_before_anything_is_sent() {
    let world = World::new();
    let file = |content: &str| json!({"file_name": "f", "content_base64": content});
    let proof = |material: Value| json!({"categories": [{"category": CATEGORY, "materials": [material]}]});
    let table = [
        ("profile.set_intro", json!({"intro": "too short"}), "intro"),
        ("package.get", json!({}), "stage"),
        ("package.upload", json!({"template_id": "99999999999999999999", "version": "1", "description": "d"}), "template_id"),
        ("package.upload", json!({"template_id": 1, "version": "1", "description": "d", "ext": {"extEnable": "yes"}}), "ext"),
        ("template.add", json!({"draft_id": "18446744073709551616"}), "draft_id"),
        ("trial.qrcode", json!({"stage": "latest", "path": "/pages/a"}), "path"),
        ("qrcode.create", json!({"color": "red"}), "color"),
        ("qrcode.create", json!({"background": "#12345g"}), "background"),
        ("server_domain.add", json!({}), "request"),
        ("server_domain.add", json!({"request": ["https://a.example.com/x"]}), "request"),
        ("server_domain.add", json!({"socket": ["wss://a.example.com:8080"]}), "socket"),
        ("server_domain.set", json!({"upload": ["192.0.2.1"]}), "upload"),
        ("webview_domain.delete", json!({"domains": ["localhost"]}), "domains"),
        ("category.add", json!({"categories": [{"category": "1,,2"}]}), "categories"),
        ("category.add", json!({"categories": [{"category": "1,2,3,4"}]}), "categories"),
        ("category.add", json!({"categories": [{"category": "1", "cert": []}]}), "categories"),
        ("category.modify", proof(json!({"id": "5", "files": []})), "categories"),
        ("category.modify", proof(json!({"id": "5", "files": [file("***")]})), "categories"),
        ("capability.apply", json!({"capability": "phone_number", "reason": "r"}), "capability"),
        ("capability.apply", json!({"capability": "live", "reason": "r", "anchor_text": "a"}), "anchor_text"),
        (
            "live_component.apply",
            json!({"reason": "r", "firstLiveTime": 1, "liveFrequency": 1, "hasAdBudget": true, "adPersonName": "p"}),
            "adBudgetAmount",
        ),
        ("phone_number.apply", json!({"reason": 1, "scene": 1, "description": "short", "materials": "p"}), "description"),
        ("media.upload", json!({"material_type": 8, "file": file("iVBORw0KGgo=")}), "file"),
        ("media.upload", json!({"material_type": 1, "file": file("JVBERi0=")}), "file"),
    ];
    for (name, params, bad) in table {
        assert_eq!(world.bad(name, params.clone()), [bad], "{name} {params}");
    }
    assert_eq!(world.bad("capability.apply", json!({"capability": "short_video", "reason": "r"})), ["anchor_text", "materials"]);
    assert_eq!(world.sent(), []);
}
