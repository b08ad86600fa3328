//! Over all rows: the call is its snapshot, wrong parameters are named, the twin accepts the example and the result is as documented.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};
use yizhan::platform::call::{Body, Call};
use yizhan::platform::operation::{Effect, Next, Operation, Params};

use super::{Failure, SHOP, World, caller, example};

/// Brings the mini program into the state in which the example can be carried out.
fn prepare(world: &World, name: &str) {
    let version = || json!({"version": "0.0.1"});
    match name {
        "package.build_status"
        | "package.list"
        | "package.get"
        | "package.delete"
        | "audit.reason"
        | "audit.submit"
        | "trial.qrcode"
        | "trial.create"
        | "template.usage"
        | "template.instances" => world.upload("0.0.1"),
        "audit.withdraw" => {
            world.upload("0.0.1");
            world.submit("0.0.1");
        }
        "package.release" | "package.online" | "package.gray_online" | "package.back_to_development" | "package.gray_cancel" => {
            world.upload("0.0.1");
            world.submit("0.0.1");
            world.approve("0.0.1");
            if name == "package.gray_cancel" {
                world.done("package.gray_online", json!({"version": "0.0.1", "gray_strategy": "p10"}));
            }
        }
        "package.offline" | "qrcode_rule.bind" => world.publish("0.0.1"),
        "package.rollback" => {
            world.publish("0.0.0");
            world.publish("0.0.1");
        }
        "trial.cancel" | "trial.status" => {
            world.upload("0.0.1");
            world.done("trial.create", version());
        }
        "member.remove" | "member.list" => {
            world.done("member.add", json!({"account": "guest@example.com", "role": "EXPERIENCER"}));
        }
        "qrcode_rule.unbind" | "qrcode_rule.list" => {
            world.publish("0.0.1");
            world.done("qrcode_rule.bind", json!({"url": "https://example.com/t/1", "mode": "EXACT", "path": "pages/index/index"}));
        }
        "safe_domain.get" => {
            world.done("safe_domain.add", json!({"domain": "https://api.example.com"}));
        }
        _ => {}
    }
}

fn first_call(world: &World, row: &Operation, params: &Params) -> Call {
    match world.component.operations().next(row, params, &[], caller(row, &world.token, super::now())) {
        Next::Call(call) => *call,
        other => panic!("{}: {other:?}", row.name),
    }
}

fn shown(world: &World, call: &Call) -> String {
    let mut text = format!("{:?} {}\n", call.method, call.url);
    let hide = |name: &str, value: &str| match name {
        "sign" => String::from("[signature]"),
        _ => value.replace(world.token.expose(), "[token]"),
    };
    for (name, value) in &call.query {
        writeln!(text, "? {name} = {}", hide(name, value.expose())).unwrap();
    }
    for (name, value) in &call.headers {
        writeln!(text, "{name}: {}", value.expose()).unwrap();
    }
    match &call.body {
        Body::Form(fields) => {
            fields.iter().for_each(|(name, value)| writeln!(text, "form {name} = {}", hide(name, value.expose())).unwrap())
        }
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
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/operations/snapshots/alipay/{name}.txt"));
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
        let params = Params::check(row, example(row)).unwrap_or_else(|bad| panic!("{}: {bad:?}", row.name));
        let call = first_call(&world, row, &params);
        assert!(!format!("{call:?}").contains(world.token.expose()), "{}", row.name);
        assert!(!format!("{call:?}").contains("lamp-and-horse"), "a password is printed");
        prepare(&world, row.name);
        let outcome = world.call(row.name, Value::Object(example(row))).unwrap_or_else(|failure| panic!("{}: {failure:?}", row.name));
        assert!(!outcome.vendor.to_string().contains(world.token.expose()), "{}: the answer shows the token", row.name);
        let result = serde_json::to_string_pretty(&outcome.result).unwrap();
        compare(row.name, &format!("{}\n{result}\n", shown(&world, &call)));
    }
}

#[test]
fn missing_and_unknown_parameters_are_named() {
    for row in World::new().component.operations().operations() {
        let mut given = example(row);
        given.insert(String::from("horse"), json!("grey"));
        let bad = Params::check(row, given).unwrap_err();
        assert_eq!(bad.iter().map(|bad| bad.name.as_str()).collect::<Vec<_>>(), ["horse"], "{}", row.name);
        for param in row.params.iter().filter(|param| param.required) {
            let mut given = example(row);
            given.remove(param.name);
            let bad = Params::check(row, given).unwrap_err();
            assert_eq!(bad.iter().map(|bad| bad.name.as_str()).collect::<Vec<_>>(), [param.name], "{}", row.name);
        }
    }
}

#[test]
fn every_row_is_named_once_and_what_must_not_be_repeated_can_be_looked_up() {
    let world = World::new();
    let rows = world.component.operations().operations();
    for (at, row) in rows.iter().enumerate() {
        assert!(rows[at + 1..].iter().all(|other| other.name != row.name), "{} stands twice", row.name);
        assert!(row.path.starts_with("alipay.") && row.reference.starts_with("Alipay "), "{}", row.name);
        let params = Params::check(row, example(row)).unwrap();
        let question = world.component.operations().look_up(row, &params, &[], caller(row, &world.token, super::now()));
        assert_eq!(question.is_some(), row.effect == Effect::Once, "{}", row.name);
    }
}

#[test]
fn every_feature_of_the_guide_has_its_row() {
    let world = World::new();
    for name in [
        "profile.get",
        "profile.modify",
        "profile.check_name",
        "package.upload",
        "package.build_status",
        "package.list",
        "package.get",
        "audit.submit",
        "audit.withdraw",
        "audit.reason",
        "package.back_to_development",
        "package.delete",
        "trial.create",
        "trial.cancel",
        "trial.status",
        "package.online",
        "package.offline",
        "package.release",
        "package.rollback",
        "package.gray_online",
        "package.gray_cancel",
        "member.add",
        "member.remove",
        "member.list",
        "qrcode.create",
        "qrcode_rule.bind",
        "qrcode_rule.unbind",
        "qrcode_rule.list",
        "safe_domain.get",
        "safe_domain.add",
        "safe_domain.delete",
        "category.catalogue",
        "category.modify",
        "template.list",
        "content.check",
        "authorization.permissions",
        "authorization.list",
        "authorization.invite",
    ] {
        world.row(name);
    }
}

#[test]
fn an_invitation_with_a_state_that_our_own_callback_refuses_is_refused_at_once() {
    let world = World::new();
    let own = "https://post.example.com/callback/alipay/authorized?x=1";
    for (params, is_fine) in [
        (json!({"app_id": SHOP}), true),
        (json!({"app_id": SHOP, "redirect_url": own}), true),
        (json!({"app_id": SHOP, "state": "eWl6aGFu"}), false),
        (json!({"app_id": SHOP, "state": "eWl6aGFu", "redirect_url": own}), false),
        (json!({"app_id": SHOP, "state": "eWl6aGFu", "redirect_url": "https://shop.example.com/granted"}), true),
    ] {
        match world.call("authorization.invite", params.clone()) {
            Ok(_) => assert!(is_fine, "{params}"),
            Err(Failure::Bad(bad)) => {
                assert!(
                    !is_fine && bad.len() == 1 && bad[0].name == "state" && bad[0].reason.contains("leave it out"),
                    "{params}: {bad:?}"
                );
            }
            Err(other) => panic!("{params}: {other:?}"),
        }
    }
}
