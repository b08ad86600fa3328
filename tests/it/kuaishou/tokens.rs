//! Tokens, from both sides, and what the vendor's codes mean.

use super::*;

const COMPONENT: TokenKey = TokenKey::Component(Family::Current);

/// A component that has its own token, and the vendor that gave it.
fn at_work(lines: &str) -> (Arc<dyn Component>, Box<dyn Twin>, Secret) {
    let (component, mut twin) = (component(lines), twin(lines));
    let Notice::Ticket(ticket) = open(&*component, &twin.ticket(now()).unwrap()).notice else { panic!() };
    let call = component.component_token(Family::Current, &ticket.value).unwrap();
    let answer = twin.answer(&carried(&call), now());
    assert_eq!((answer.deed, answer.accepted), ("component_token", true));
    let token = component.read_component_token(Family::Current, &answer.reply, now()).unwrap();
    assert_eq!(token.expires_at.unwrap().duration_since(now()).as_secs(), 7200);
    assert!(twin.accepts(None, token.value.expose(), now()));
    (component, twin, token.value)
}

#[test]
fn tickets_are_started_and_the_last_three_taken() {
    let (component, mut twin) = (component(""), twin(""));
    let call = component.start_tickets().unwrap();
    assert_eq!((call.method, call.target()), (Method::Get, "127.0.0.1:9/kuaishou/mp/tp/oauth/start_push_ticket"));
    let answer = twin.answer(&carried(&call), now());
    component.read_start_tickets(&answer.reply).unwrap();
    let Notice::Ticket(first) = open(&*component, &answer.pushes[0]).notice else { panic!() };
    for _ in 0..3 {
        twin.ticket(now());
    }
    let call = component.component_token(Family::Current, &first.value).unwrap();
    let answer = twin.answer(&carried(&call), now());
    let error = component.read_component_token(Family::Current, &answer.reply, now()).unwrap_err();
    assert_eq!(error.class, Class::TicketInvalid);
}

#[test]
fn a_code_from_push_and_redirect_gives_tokens_once() {
    let (component, mut twin, token) = at_work("");
    let story = twin.grant("ks7", now());
    let Notice::Granted(grant) = open(&*component, &story.push.unwrap()).notice else { panic!() };
    let returned = component.returned(&format!("state=abc&{}", story.redirect_query), now()).unwrap();
    assert_eq!(returned.state.as_deref(), Some("abc"));
    assert_eq!(returned.code.value, grant.code.as_ref().unwrap().value);
    let call = component.exchange(standing(&token), &returned.code.value);
    let tokens = component.read_tokens(Family::Current, &twin.answer(&carried(&call), now()).reply, now()).unwrap();
    assert_eq!((tokens.len(), tokens[0].app_id.as_deref()), (1, Some("ks7")));
    assert_eq!(tokens[0].permissions.as_ref().unwrap()[0].id, "1");
    assert_eq!(tokens[0].access.expires_at.unwrap().duration_since(now()).as_secs(), 7200);
    assert_eq!(tokens[0].refresh.as_ref().unwrap().expires_at.unwrap().duration_since(now()).as_secs(), 2_592_000);
    assert!(tokens[0].access.value.expose().len() > 200);
    assert!(twin.accepts(Some("ks7"), tokens[0].access.value.expose(), now()));
    let again = twin.answer(&carried(&call), now());
    assert_eq!(component.read_tokens(Family::Current, &again.reply, now()).unwrap_err().class, Class::CodeInvalid);
}

#[test]
fn by_default_a_token_is_renewed_through_a_recovered_code() {
    let (component, mut twin, token) = at_work("");
    twin.grant("ks7", now());
    assert!(matches!(component.refresh(standing(&token), "ks7", &Secret::new("r")), Refresh::Recover));
    assert_eq!(component.lost_reply(), LostReply::Recover);
    let call = component.recover(standing(&token), "ks7").unwrap();
    assert!(call.query.iter().any(|(name, _)| name == "authorized_app_id"));
    let answer = twin.answer(&carried(&call), now());
    let Recovered::Code(code) = component.read_recovered(Family::Current, "ks7", &answer.reply, now()).unwrap() else { panic!() };
    // The vendor tells us of our own doing with the same code: known by its hash, it is not exchanged again.
    let Notice::Updated(grant) = open(&*component, &answer.pushes[0]).notice else { panic!() };
    assert_eq!(grant.code.unwrap().value, code.value);
    let call = component.exchange(standing(&token), &code.value);
    component.read_tokens(Family::Current, &twin.answer(&carried(&call), now()).reply, now()).unwrap();
}

const ENDPOINT: &str = "refresh.strategy = \"endpoint_then_recover\"\nrefresh.path = \"/mp/tp/oauth/refresh_it\"\nrefresh.extra_query = { grant_type = \"refresh_token\" }";

#[test]
fn a_refresh_endpoint_is_used_once_it_is_set() {
    let (component, mut twin, token) = at_work(ENDPOINT);
    let code = component.returned(&twin.grant("ks7", now()).redirect_query, now()).unwrap().code.value;
    let call = component.exchange(standing(&token), &code);
    let first = component.read_tokens(Family::Current, &twin.answer(&carried(&call), now()).reply, now()).unwrap().remove(0);
    let Refresh::Spend(call) = component.refresh(standing(&token), "ks7", &first.refresh.unwrap().value) else { panic!() };
    let sent = carried(&call);
    assert_eq!((sent.path.as_str(), sent.query_value("grant_type").as_deref()), ("/mp/tp/oauth/refresh_it", Some("refresh_token")));
    let second = component.read_tokens(Family::Current, &twin.answer(&sent, now()).reply, now()).unwrap().remove(0);
    assert!(second.permissions.is_none());
    assert!(!twin.accepts(Some("ks7"), first.access.value.expose(), now()));
    let error = component.read_tokens(Family::Current, &twin.answer(&sent, now()).reply, now()).unwrap_err();
    assert_eq!(error.class, Class::RefreshTokenInvalid);
    assert!(component.recover(standing(&token), "ks7").is_some());
    let key = TokenKey::Authorizer { app_id: String::from("ks7"), family: Family::Current };
    assert_eq!(component.renewal(&key).exercise, Some(Duration::from_secs(604_800)));
}

#[test]
fn strategies_and_their_times_follow_the_settings() {
    let alone = component(&ENDPOINT.replace("endpoint_then_recover", "endpoint"));
    assert!(alone.recover(standing(&Secret::new("t")), "ks7").is_none());
    let without_path = component("refresh.strategy = \"endpoint_then_recover\"");
    assert!(matches!(without_path.refresh(standing(&Secret::new("t")), "ks7", &Secret::new("r")), Refresh::Recover));
    let post = component(&format!("{ENDPOINT}\nrefresh.method = \"POST\"\nrefresh.token_param = \"rt\""));
    let Refresh::Spend(call) = post.refresh(standing(&Secret::new("t")), "ks7", &Secret::new("r")) else { panic!() };
    assert!(call.method == Method::Post && call.query.iter().any(|(name, _)| name == "rt"));
    let timed = component("refresh.margin = \"5m\"\nrefresh.min_interval = \"1m\"");
    assert_eq!(timed.renewal(&COMPONENT).ahead, Duration::from_secs(300));
    assert_eq!(timed.forced_renewal_interval(), Duration::from_secs(60));
}

#[test]
fn a_dead_component_token_is_renewed_and_a_gone_grant_is_gone() {
    let (component, mut twin, token) = at_work("");
    let recover = |twin: &mut dyn Twin, at: Timestamp| {
        let answer = twin.answer(&carried(&component.recover(standing(&token), "ks7").unwrap()), at);
        component.read_recovered(Family::Current, "ks7", &answer.reply, at).unwrap_err().class
    };
    assert_eq!(recover(&mut *twin, now()), Class::GrantGone);
    assert_eq!(recover(&mut *twin, now() + jiff::SignedDuration::from_hours(3)), Class::RenewComponentToken);
    twin.expire_tokens(None);
    assert_eq!(recover(&mut *twin, now()), Class::RenewComponentToken);
}

#[test]
fn a_withdrawal_kills_tokens_and_codes() {
    let (component, mut twin, token) = at_work("");
    let code = component.returned(&twin.grant("ks7", now()).redirect_query, now()).unwrap().code.value;
    let push = twin.revoke("ks7", now()).unwrap();
    assert!(matches!(open(&*component, &push).notice, Notice::Revoked { at } if at == now()));
    let call = component.exchange(standing(&token), &code);
    assert!(!twin.answer(&carried(&call), now()).accepted);
}

#[test]
fn a_wrong_secret_is_a_matter_of_configuration() {
    let mut twin = twin("");
    let text = kuaishou().sample_settings(VENDOR).replace("made-up-kuaishou-app-secret", "another");
    let component = kuaishou().component("kuaishou", settings(&text)).unwrap();
    let answer = twin.answer(&carried(&component.start_tickets().unwrap()), now());
    assert_eq!(component.read_start_tickets(&answer.reply).unwrap_err().class, Class::Configuration);
}

#[test]
fn an_old_authorizer_token_is_told_by_code_or_only_by_words() {
    let (component, mut twin, token) = at_work("");
    let code = component.returned(&twin.grant("ks7", now()).redirect_query, now()).unwrap().code.value;
    let call = component.exchange(standing(&token), &code);
    let access = component.read_tokens(Family::Current, &twin.answer(&carried(&call), now()).reply, now()).unwrap().remove(0).access.value;
    let mut domains = |body: Value, at: Timestamp, expire: bool| -> Value {
        if expire {
            twin.expire_tokens(Some("ks7"));
        }
        let query = format!("component_app_id={APP_ID}&authorizer_access_token={}", access.expose());
        let path = String::from("/openapi/mp/auth/app/server_domain");
        let request = Request { method: Method::Post, path, query, headers: Vec::new(), body: body.to_string().into() };
        serde_json::from_slice(&twin.answer(&request, at).reply.body).unwrap()
    };
    let change = |action: &str, kind: &str, domain: &str| {
        let mut body = json!({ "action": action, "request": [], "socket": [], "upload_file": [], "download_file": [], "udp": [] });
        body[kind] = json!([domain]);
        body
    };
    assert_eq!(domains(change("add", "request", "a.example.com"), now(), false)["request"], json!(["a.example.com"]));
    assert_eq!(domains(change("delete", "request", "b.example.com"), now(), false)["result"], 403_106);
    // Every change must have every list.
    for action in ["add", "delete", "set"] {
        for kind in ["request", "socket", "upload_file", "download_file", "udp"] {
            let whole = change(action, kind, "a.example.com");
            let mut lacking = whole.clone();
            lacking.as_object_mut().unwrap().remove(kind);
            let mut no_list = whole;
            no_list[kind] = json!("a.example.com");
            for body in [lacking, no_list] {
                assert_eq!(domains(body.clone(), now(), false)["result"], 100_200_100, "{body}");
            }
        }
    }
    assert_eq!(domains(json!({ "action": "get" }), now(), false)["request"], json!(["a.example.com"]), "nothing was changed");
    assert_eq!(domains(change("set", "udp", "c.example.com"), now(), false)["request"], json!([]));
    assert_eq!(domains(json!({ "action": "get" }), now() + jiff::SignedDuration::from_hours(3), false)["result"], 100_200_108);
    let killed = domains(json!({ "action": "get" }), now(), true);
    assert!(killed["result"] != 100_200_108 && killed["error_msg"].as_str().unwrap().contains("已过期"));
}

#[test]
fn codes_and_words_are_classified_by_the_settings() {
    let class = |lines: &str, body: Value| component(lines).read_recovered(Family::Current, "ks7", &reply(&body), now()).unwrap_err().class;
    let error = |code: i64, words: &str| json!({ "result": code, "errorMsg": words });
    assert_eq!(class("", error(42, "Component_Access_Token is INVALID")), Class::RenewComponentToken);
    assert_eq!(class("", error(42, "凭证已失效")), Class::RenewComponentToken);
    assert_eq!(class("errors.text_rule = false", error(42, "token expired")), Class::Refuse);
    assert_eq!(class("", error(42, "no")), Class::Refuse);
    assert_eq!(class("errors.component_token_invalid = [42, 43]", error(42, "no")), Class::RenewComponentToken);
    assert_eq!(class("", error(100_100_402, "no")), Class::RateLimited);
    assert_eq!(class("", error(100_200_500, "no")), Class::Retry);
    assert_eq!(class("errors.retryable = []", error(100_200_500, "no")), Class::Refuse);
    assert_eq!(class("", json!({ "result": "100200110", "error_msg": "x" })), Class::GrantGone);
    assert_eq!(class("", json!({ "errorMsg": "x" })), Class::Retry);
    assert_eq!(class("", json!([])), Class::Retry);
    assert_eq!(class("", json!({ "result": 1 })), Class::Retry);
    assert_eq!(problems(&with("errors.retryable = [\"x\"]"))[0].at, "errors.retryable");
}

#[test]
fn a_status_speaks_where_no_list_does() {
    let class = |status: u16, body: &str| {
        let reply = Reply { status, content_type: String::new(), body: body.to_owned().into() };
        component("").read_start_tickets(&reply).unwrap_err().class
    };
    assert_eq!(class(429, "slow down"), Class::RateLimited);
    assert_eq!(class(429, "{\"result\":2}"), Class::RateLimited);
    for codeless in ["{}", "{\"message\":\"slow down\"}", "[]"] {
        assert_eq!((class(429, codeless), class(503, codeless)), (Class::RateLimited, Class::Retry), "{codeless}");
    }
    assert_eq!(class(502, "<html>"), Class::Retry);
    assert_eq!(class(503, "{\"result\":2}"), Class::Retry);
}

#[test]
fn an_error_never_repeats_a_secret() {
    let words = "component_access_token CgwIARAbGAEgASgBEj8K is invalid for ticket=23454090if0s9p0345";
    let error = component("").read_start_tickets(&reply(&json!({ "result": 5, "errorMsg": words }))).unwrap_err();
    assert_eq!(error.message, "component_access_token … is invalid for …");
}

#[test]
fn both_spellings_of_an_answer_are_read() {
    let body = json!({ "result": "1", "authorizer_access_token": "a", "expires_in": "60", "authorizer_refresh_token": "r", "authorizer_app_id": "ks7" });
    let tokens = component("").read_tokens(Family::Current, &reply(&body), now()).unwrap().remove(0);
    assert_eq!((tokens.app_id.as_deref(), tokens.access.value.expose()), (Some("ks7"), "a"));
    assert_eq!(tokens.access.expires_at.unwrap().duration_since(now()).as_secs(), 60);
    assert!(tokens.refresh.unwrap().expires_at.is_none() && tokens.permissions.is_none());
}
