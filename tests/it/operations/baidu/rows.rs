//! Over all rows: the calls that an example makes, what is wrong with parameters, what the twin says to it.

use std::collections::HashSet;
use std::path::PathBuf;

use serde_json::{Map, Value};
use yizhan::platform::operation::{Answers, Effect, Params};

use super::shop::{Shop, written};

fn names() -> Vec<&'static str> {
    Shop::open().component.operations().operations().iter().map(|row| row.name).collect()
}

/// Members that the result of a row has.
fn members(name: &str) -> &'static [&'static str] {
    match name {
        "profile.get" => &["app_id", "name", "intro", "icon", "status", "subject", "categories", "permissions", "audits", "changes_left"],
        "profile.check_name" => &["status", "words"],
        "profile.set_name" | "profile.set_icon" | "profile.set_intro" | "profile.correct" => &["audit_id"],
        "category.add" | "category.modify" | "category.delete" => &["audit_id"],
        "server_domain.get" | "component_server_domain.get" => &["request", "socket", "upload", "download"],
        "webview_domain.get" | "component_webview_domain.get" => &["domains"],
        "package.rollback" => &["package_id", "status"],
        "package.upload" | "package.get" | "audit.submit" | "audit.withdraw" | "package.release" => &["package_id", "version", "status"],
        "audit.quota" => &["period", "quota", "remaining", "unlimited"],
        "phone_number.status" | "capability.status" => &["capability", "status"],
        "base_library.get" => &["version", "items"],
        "media.upload" => &["url"],
        "template.add" => &["template_id"],
        "template.list" | "template.drafts" | "pushes.missed" => &["items", "count"],
        "trial.qrcode" | "qrcode.create" | "webview_domain.check_file" => &["file_name", "content_type", "bytes"],
        "authorization.permissions"
        | "category.catalogue"
        | "component_category.catalogue"
        | "category.list"
        | "package.list"
        | "violation.list" => &["items"],
        _ => &[],
    }
}

#[test]
fn names_are_unique_and_every_row_says_where_it_is_documented() {
    let names = names();
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
    assert!(names.len() >= 60, "{}", names.len());
    for row in Shop::open().component.operations().operations() {
        assert!(row.reference.starts_with("Baidu ") && row.path.starts_with('/') && row.disabled.is_none(), "{}", row.name);
        assert!(!row.title.zh.is_empty() && !row.title.en.is_empty(), "{}", row.name);
        for param in &row.params {
            assert!(!param.title.zh.is_empty() && !param.title.en.is_empty(), "{} {}", row.name, param.name);
        }
    }
}

#[test]
fn the_calls_of_every_example_are_as_they_were_reviewed() {
    let update = std::env::var_os("UPDATE_SNAPSHOTS").is_some();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/operations/snapshots/baidu");
    let mut differ = Vec::new();
    for name in names() {
        let mut shop = Shop::open();
        shop.prepare(name);
        shop.example(name);
        let calls: Vec<String> = shop.calls.iter().map(written).collect();
        let file = folder.join(format!("{name}.txt"));
        let text = calls.join("\n");
        if update {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&file, &text).unwrap();
        } else if std::fs::read_to_string(&file).unwrap_or_default() != text {
            differ.push(format!("{name}:\n{text}"));
        }
    }
    assert!(differ.is_empty(), "changed; UPDATE_SNAPSHOTS=1 writes them anew\n{}", differ.join("\n"));
}

#[test]
fn no_call_shows_a_secret_when_it_is_printed() {
    for name in names() {
        let mut shop = Shop::open();
        shop.prepare(name);
        shop.example(name);
        for call in &shop.calls {
            let shown = format!("{call:?}");
            for secret in [shop.tp.expose(), shop.app.expose(), "sample-password-1"] {
                assert!(!shown.contains(secret), "{name}: {shown}");
            }
        }
    }
}

#[test]
fn the_twin_accepts_every_example_and_the_result_has_its_members() {
    for name in names() {
        let mut shop = Shop::open();
        shop.prepare(name);
        let row = shop.row(name);
        let outcome = shop.example(name);
        for member in members(name) {
            assert!(outcome.result.get(member).is_some_and(|value| !value.is_null()), "{name}: no {member} in {}", outcome.result);
        }
        assert_eq!(outcome.file.is_some(), row.answers == Answers::File, "{name}");
        assert!(outcome.file.is_some() || outcome.vendor.get("errno") == Some(&Value::from(0)), "{name}: {}", outcome.vendor);
        let deed = match name {
            "profile.get" | "category.list" | "authorization.permissions" => "info",
            "category.add" | "category.delete" => "category.modify",
            "component_category.catalogue" => "category.catalogue",
            "capability.apply" => "phone_number.apply",
            "capability.status" => "phone_number.status",
            name => name,
        };
        assert_eq!(shop.count(deed), 1, "{name}: {:?}", shop.deeds);
        assert_eq!(
            row.effect == Effect::Read,
            matches!(row.method, yizhan::platform::Method::Get) || name.ends_with("_domain.get"),
            "{name}"
        );
    }
}

#[test]
fn every_missing_and_every_unknown_parameter_is_named() {
    for row in Shop::open().component.operations().operations() {
        let example = row.example();
        Params::check(row, example.clone()).unwrap_or_else(|bad| panic!("{}: {bad:?}", row.name));
        for param in row.params.iter().filter(|param| param.required) {
            let mut given = example.clone();
            given.remove(param.name);
            given.insert(String::from("no_such_thing"), Value::from(1));
            let bad: Vec<String> = Params::check(row, given).unwrap_err().into_iter().map(|bad| bad.name).collect();
            assert_eq!(bad, ["no_such_thing", param.name], "{}", row.name);
        }
        let nothing: Vec<String> = Params::check(row, Map::new()).err().unwrap_or_default().into_iter().map(|bad| bad.name).collect();
        let required: Vec<&str> = row.params.iter().filter(|param| param.required).map(|param| param.name).collect();
        assert_eq!(nothing, required, "{}", row.name);
    }
}

#[test]
fn a_row_asked_again_with_the_same_replies_gives_the_same_call() {
    for name in names() {
        let mut shop = Shop::open();
        shop.prepare(name);
        let row = shop.row(name);
        let params = Params::check(&row, row.example()).unwrap();
        let operations = shop.component.operations();
        let first = operations.next(&row, &params, &[], shop.caller(&row));
        assert_eq!(first, operations.next(&row, &params, &[], shop.caller(&row)), "{name}");
    }
}
