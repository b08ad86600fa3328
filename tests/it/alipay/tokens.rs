//! Tokens and links, without a vendor: shapes of answers, links to the letter.

use serde_json::json;
use yizhan::envelope::rsa2::PrivateKey;
use yizhan::platform::alipay::reply::root_node;
use yizhan::platform::token::{LinkRequest, Recovered, Standing};
use yizhan::platform::{Class, Family, Reply};

use super::{component, file, now, sample};

fn answered(method: &str, node: &serde_json::Value) -> Reply {
    let key = PrivateKey::read(&file("keys/alipay/platform.pem")).unwrap();
    let node = node.to_string();
    let body = format!("{{\"{}\":{node},\"sign\":\"{}\"}}", root_node(method), key.sign(node.as_bytes()));
    Reply { status: 200, content_type: String::from("application/json"), body: body.into() }
}

#[test]
fn both_shapes_of_the_token_answer_are_read() {
    let component = component(&sample());
    let entry = |app: &str| json!({"app_auth_token": format!("t{app}"), "app_refresh_token": format!("r{app}"), "auth_app_id": app, "expires_in": "31536000", "re_expires_in": "32140800"});
    let read = |node: &serde_json::Value| component.read_tokens(Family::Current, &answered("alipay.open.auth.token.app", node), now());
    let batch = read(&json!({"code": "10000", "tokens": [entry("1"), entry("2")]})).unwrap();
    assert_eq!(batch.len(), 2);
    assert_eq!(batch[1].app_id.as_deref(), Some("2"));
    assert_eq!(batch[1].access.value.expose(), "t2");
    assert_eq!(batch[1].access.expires_at, None);
    assert_eq!(batch[0].refresh.as_ref().unwrap().expires_at.unwrap().to_string(), "2027-11-27T04:00:00Z");
    let mut flat = entry("3");
    flat["code"] = json!("10000");
    flat["tokens"] = json!([]);
    assert_eq!(read(&flat).unwrap()[0].app_id.as_deref(), Some("3"));
    assert_eq!(read(&json!({"code": "10000"})).unwrap_err().class, Class::Retry);
    assert_eq!(read(&json!({"code": "10000", "tokens": [{"app_auth_token": "t"}]})).unwrap_err().class, Class::Retry);
}

#[test]
fn an_empty_text_is_no_token() {
    let component = component(&sample());
    let read = |access: &str, refresh: &str| {
        let node = json!({"code": "10000", "app_auth_token": access, "app_refresh_token": refresh, "auth_app_id": "1"});
        component.read_tokens(Family::Current, &answered("alipay.open.auth.token.app", &node), now())
    };
    for empty in ["", " "] {
        assert_eq!(read(empty, "r").unwrap_err().class, Class::Retry);
        assert!(read("t", empty).unwrap()[0].refresh.is_none(), "the former one is kept");
    }
    let listed = json!({"code": "10000", "app_auth_list": [{"auth_app_id": "1", "mini_app_token": ""}], "total_items": 1});
    let listed = answered("alipay.open.mini.appauth.query", &listed);
    assert_eq!(component.read_recovered(Family::Current, "1", &listed, now()).unwrap_err().code, "no-token");
}

#[test]
fn a_lost_token_is_found_in_the_list_or_the_grant_is_gone() {
    let component = component(&sample());
    let read = |node: serde_json::Value| {
        let node = answered("alipay.open.mini.appauth.query", &node);
        component.read_recovered(Family::Current, "2021000000000003", &node, now())
    };
    let entry = |app: &str| json!({"auth_app_id": app, "mini_app_token": "found", "isv_app_id": "2021000000000001"});
    let Recovered::Tokens(tokens) =
        read(json!({"code": "10000", "app_auth_list": [entry("9"), entry("2021000000000003")], "total_items": 2})).unwrap()
    else {
        panic!()
    };
    assert_eq!(tokens.access.value.expose(), "found");
    assert!(tokens.refresh.is_none());
    assert_eq!(read(json!({"code": "10000", "total_items": 0})).unwrap_err().class, Class::GrantGone);
    let endless = read(json!({"code": "10000"})).unwrap_err();
    assert_eq!(endless.class, Class::Retry, "nobody says that this is the whole list");
    let longer = read(json!({"code": "10000", "app_auth_list": [entry("9")], "total_items": "300"})).unwrap_err();
    assert_eq!(longer.class, Class::Refuse);
    let without = read(json!({"code": "10000", "app_auth_list": [{"auth_app_id": "2021000000000003"}]})).unwrap_err();
    assert_eq!(without.class, Class::Refuse);
}

#[test]
fn what_the_list_of_mini_programs_lacks_is_not_gone_where_other_kinds_can_be_granted() {
    let nobody = answered("alipay.open.mini.appauth.query", &json!({"code": "10000", "total_items": 0}));
    for (types, holds_all, class) in [
        ("", true, Class::GrantGone),
        ("application_types = [\"TINYAPP\"]\n", true, Class::GrantGone),
        ("application_types = [\"TINYAPP\", \"WEBAPP\"]\n", false, Class::Refuse),
        ("application_types = [\"WEBAPP\"]\n", false, Class::Refuse),
    ] {
        let component = component(&(sample() + types));
        assert_eq!(component.grant_list().unwrap().holds_all, holds_all, "{types}");
        let absent = component.read_recovered(Family::Current, "2021000000000003", &nobody, now()).unwrap_err();
        assert_eq!((absent.class, absent.code.as_str()), (class, "not-in-list"), "{types}");
    }
}

#[test]
fn recovery_can_be_switched_off() {
    let standing = Standing { family: Family::Current, component_token: None, now: now() };
    assert!(component(&sample()).recover(standing, "1").is_some());
    assert!(component(&(sample() + "recover_by_query = false\n")).recover(standing, "1").is_none());
}

#[test]
fn links_carry_the_task_encoded_once_and_bring_the_state_back() {
    let component = component(&sample());
    let request =
        LinkRequest { redirect_uri: String::from("https://post.example.com/callback/alipay/authorized"), state: String::from("a-_b~?>") };
    let link = component.link(&request, None, now()).unwrap();
    let task = |url: &str, before: &str| {
        let encoded = url.strip_prefix(before).unwrap_or_else(|| panic!("{url}"));
        let decoded = url::form_urlencoded::parse(format!("x={encoded}").as_bytes()).next().unwrap().1.into_owned();
        serde_json::from_str::<serde_json::Value>(&decoded).unwrap()
    };
    let pc = task(&link.url, "http://127.0.0.1:9/alipay/page/message/tasksDetail?bizData=");
    let state = pc["agentOpParam"]["state"].as_str().unwrap().to_owned();
    assert_eq!(
        pc,
        json!({"platformCode": "O", "taskType": "INTERFACE_AUTH", "agentOpParam": {
            "redirectUri": request.redirect_uri, "appTypes": ["TINYAPP"], "isvAppId": "2021000000000001", "state": state}})
    );
    let start = "alipays://platformapi/startapp?appId=2021003130652097&page=pages%2Fauthorize%2Findex%3FbizData%3D";
    assert_eq!(task(&link.mobile_url.unwrap(), start), pc);
    assert!(state.len() <= 100);
    let batch = url::Url::parse(&link.batch_url.unwrap()).unwrap();
    assert_eq!((batch.host_str(), batch.path()), (Some("openauth.alipay.com"), "/oauth2/appToAppBatchAuth.htm"));
    let query: Vec<(String, String)> = batch.query_pairs().into_owned().collect();
    let asked = [
        ("app_id", "2021000000000001"),
        ("application_type", "TINYAPP"),
        ("redirect_uri", request.redirect_uri.as_str()),
        ("state", state.as_str()),
    ];
    assert_eq!(query, asked.map(|(name, value)| (name.to_owned(), value.to_owned())));

    let back = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("app_id", "2021000000000001")
        .append_pair("app_auth_code", "c")
        .append_pair("state", &state)
        .finish();
    let returned = component.returned(&back, now()).unwrap();
    assert_eq!(returned.state.as_deref(), Some("a-_b~?>"));
    assert_eq!(returned.code.value.expose(), "c");
    assert_eq!(returned.code.expires_at.to_string(), "2026-11-21T04:00:00Z");
    // An order's own callback has no state; a foreign one comes back as it is.
    assert_eq!(component.returned("app_auth_code=c", now()).unwrap().state, None);
    assert_eq!(component.returned("app_auth_code=c&state=%21%21", now()).unwrap().state.as_deref(), Some("!!"));
    for bad in ["", "app_id=2021000000000001", "app_auth_code=", "app_id=9&app_auth_code=c"] {
        assert_eq!(component.returned(bad, now()).unwrap_err().class, Class::Refuse, "{bad}");
    }
}

#[test]
fn a_callback_of_the_console_is_used_to_the_letter() {
    let toml = sample()
        + "redirect_uri = \"https://isv.example/callback/\"\napplication_types = [\"TINYAPP\", \"WEBAPP\"]\nmobile_auth_url = \"\"\nbatch_auth_url = \"\"\n";
    let request = LinkRequest { redirect_uri: String::from("https://post.example.com/x"), state: String::from("s") };
    let link = component(&toml).link(&request, None, now()).unwrap();
    assert!(link.url.contains("https%3A%2F%2Fisv.example%2Fcallback%2F%22"), "{}", link.url);
    assert!(link.url.contains("WEBAPP"));
    assert_eq!((link.mobile_url, link.batch_url), (None, None));
}

#[test]
fn there_is_neither_ticket_nor_component_token() {
    let component = component(&sample());
    assert!(component.ticket_rule().is_none());
    assert!(!component.needs_component_token());
    assert!(component.component_token(Family::Current, &"t".into()).is_none());
}
