//! Rows that nobody has verified are off; the settings switch them on and correct them.

use serde_json::json;
use yizhan::operations::OperationError;
use yizhan::platform::call::{Body, Method};
use yizhan::platform::operation::{Next, Params};

use super::{SHOP, World, caller, component, problems};

#[test]
fn only_what_is_documented_is_on() {
    let component = component("");
    let rows = component.operations().operations();
    let on: Vec<_> = rows.iter().filter(|row| row.disabled.is_none()).map(|row| row.name).collect();
    let domains = ["server_domain", "webview_domain"].into_iter();
    let mut expected: Vec<_> = domains.flat_map(|kind| ["get", "add", "set", "delete"].map(|verb| format!("{kind}.{verb}"))).collect();
    expected.push(String::from("media.upload"));
    assert_eq!(on, expected);
}

#[test]
fn a_row_that_is_off_answers_the_lines_that_switch_it_on() {
    let world = World::of("");
    let upload = json!({"template_id": 12, "version": "1.0.3", "description": "x"});
    match world.call("package.upload", upload.clone()) {
        Err(OperationError::NotConfigured(lines)) => {
            let expected = r#"operations."package.upload" = { enabled = true, method = "POST", path = "/openapi/mp/auth/package/upload" }"#;
            assert_eq!(lines, expected);
            World::of(&lines).done("package.upload", upload);
        }
        other => panic!("{other:?}"),
    }
    // Whatever a row says can be written as it stands, but for a path that nobody can even guess.
    for row in component("").operations().operations() {
        for line in row.disabled.iter().flat_map(|lines| lines.lines()) {
            let line = line.replace("/openapi/mp/…", "/openapi/mp/auth/publish");
            let row = component(&line).operations().operations().iter().find(|other| other.name == row.name).unwrap().clone();
            assert_eq!(row.disabled, None, "{line}");
        }
    }
}

#[test]
fn a_capability_may_be_off_while_another_is_on() {
    let world = World::of("operations.\"capability.apply.live\" = { enabled = true }");
    world.done("capability.apply", json!({"capability": "live", "reason": "x"}));
    match world.call("capability.apply", json!({"capability": "short_video"})) {
        Err(OperationError::NotConfigured(line)) => {
            let expected = "operations.\"capability.apply.short_video\" = { enabled = true, method = \"POST\", path = \
                \"/openapi/mp/auth/operation/video_application\" }";
            assert_eq!(line, expected, "the one line that is missing, not those of the others");
            let both = format!("operations.\"capability.apply.live\" = {{ enabled = true }}\n{line}");
            World::of(&both).done("capability.apply", json!({"capability": "short_video"}));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(world.call("capability.status", json!({"capability": "live"})), Err(OperationError::NotConfigured(_))));
}

#[test]
fn method_path_names_and_form_are_corrected_by_the_settings() {
    let lines = "operations.\"package.upload\" = { enabled = true, path = \"/mp/tp/code/commit\", body = \"form\", id_type = \"string\", \
        fields = { template_id = \"templateId\", ext = \"extJson\" }, extra = { mode = 2, dry = false } }\n\
        operations.\"package.list\" = { enabled = true, method = \"POST\", path = \"/mp/tp/code/list\" }";
    let component = component(lines);
    let row = component.operations().operations().iter().find(|row| row.name == "package.upload").unwrap();
    let params = Params::check(row, row.example()).unwrap();
    let world = World::of(lines);
    let tokens = world.tokens();
    let next = component.operations().next(row, &params, &[super::nothing()], caller(row, &tokens));
    let Next::Call(call) = next else { panic!("{next:?}") };
    assert_eq!((call.method, call.url.as_str()), (Method::Post, "http://127.0.0.1:9/kuaishou/mp/tp/code/commit"));
    let Body::Form(fields) = &call.body else { panic!("{call:?}") };
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(fields[0], ("templateId", "12"));
    assert_eq!(fields[3].0, "extJson");
    assert_eq!(fields[4..], [("dry", "false"), ("mode", "2")]);
    world.upload("1.0.3");
    assert_eq!(world.stage("latest")["version"], "1.0.3");
}

#[test]
fn a_package_is_made_for_the_merchant_whose_token_makes_it_whatever_is_given() {
    let world = World::new();
    let row = world.row("package.upload");
    let ext = json!({"extAppid": "ks709999999999999999", "extEnable": false, "ext": {"shop": "驿站"}});
    let given = json!({"template_id": 12, "version": "1.0.3", "description": "d", "ext": ext});
    let params = Params::check(&row, given.as_object().unwrap().clone()).unwrap();
    let tokens = world.tokens();
    let next = world.component.operations().next(&row, &params, &[super::nothing()], caller(&row, &tokens));
    let Next::Call(call) = next else { panic!("{next:?}") };
    let Body::Json(body) = &call.body else { panic!("{call:?}") };
    let body: serde_json::Value = serde_json::from_str(body.expose()).unwrap();
    let ext: serde_json::Value = serde_json::from_str(body["ext_json"].as_str().unwrap()).unwrap();
    assert_eq!(ext, json!({"extAppid": SHOP, "extEnable": false, "ext": {"shop": "驿站"}}));
}

#[test]
fn wrong_settings_are_named() {
    let at = |lines: &str| problems(lines).into_iter().map(|problem| problem.at).collect::<Vec<_>>();
    for path in ["/elsewhere", "/openapi/mp/", "/openapi/mp/../x", "/openapi/mp/a?b=c", "/mp/tp/oauth/access_token", "https://example.com/"]
    {
        let line = format!("operations.\"package.list\" = {{ enabled = true, path = \"{path}\" }}");
        assert_eq!(at(&line), ["operations.package.list.path"], "{path}");
    }
    assert_eq!(at("operations.\"capability.apply.publish\" = { enabled = true }"), ["operations.capability.apply.publish.path"]);
    assert_eq!(at("operations.\"package.release\" = { method = \"GET\" }")[0], "operations.package.release.method");
    assert_eq!(at("operations.\"package.list\" = { body = \"json\" }"), ["operations.package.list.body"]);
    assert_eq!(at("operations.\"package.upload\" = { fields = { vresion = \"v\" } }"), ["operations.package.upload.fields.vresion"]);
    assert_eq!(at("operations.\"package.uplaod\" = { enabled = true }"), ["operations.package.uplaod"]);
    assert_eq!(
        at("operations.\"phone_number.status\" = { status_map = { 1 = \"fine\" } }"),
        ["operations.phone_number.status.status_map.1"]
    );
}
