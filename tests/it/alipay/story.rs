//! The twin and the component, talking to each other: both halves of the contract.

use serde_json::json;
use yizhan::clock::Timestamp;
use yizhan::platform::token::{LostReply, Recovered, Refresh, Standing};
use yizhan::platform::twin::{Answer, Outgoing, Request, Verdict};
use yizhan::platform::{Body, Call, Class, Component, Door, Family, Method, Notice, Opened, Twin};
use yizhan::secret::Secret;

use super::{arrived, certified, component, now, sample, twin};

const SHOP: &str = "2021000000000003";

fn standing(now: Timestamp) -> Standing<'static> {
    Standing { family: Family::Current, component_token: None, now }
}

/// The call as it would reach the vendor.
fn sent(call: &Call) -> Request {
    let written = |fields: &yizhan::platform::call::Fields| {
        url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields.iter().map(|(name, value)| (name, value.expose())))
            .finish()
    };
    let Body::Form(fields) = &call.body else { panic!() };
    Request {
        method: Method::Post,
        path: String::from("/gateway.do"),
        query: written(&call.query),
        headers: vec![(String::from("content-type"), String::from("application/x-www-form-urlencoded"))],
        body: written(fields).into(),
    }
}

fn ask(twin: &mut dyn Twin, call: &Call, now: Timestamp) -> Answer {
    twin.answer(&sent(call), now)
}

fn notice(component: &dyn Component, push: &Outgoing) -> Notice {
    match component.open(&arrived(push)).unwrap() {
        Opened::Push(push) => push.notice,
        Opened::Check(_) => panic!("a check"),
    }
}

fn spend(component: &dyn Component, refresh: &Secret, now: Timestamp) -> Call {
    match component.refresh(standing(now), SHOP, refresh) {
        Refresh::Spend(call) => call,
        Refresh::Recover => panic!(),
    }
}

fn life(toml: &str) {
    let (component, mut twin) = (component(toml), twin(toml));
    let start = now();

    // The notice and the browser bring the same authorization.
    let story = twin.grant(SHOP, start);
    let push = story.push.unwrap();
    let Notice::Granted(grant) = notice(&*component, &push) else { panic!() };
    let pushed = grant.tokens.unwrap();
    assert!(twin.accepts(Some(SHOP), pushed.access.value.expose(), start));
    assert!(twin.acknowledged(&push, 200, b"success"));
    assert!(!twin.acknowledged(&push, 200, b"\"success\"") && !twin.acknowledged(&push, 503, b"success"));
    let returned = component.returned(&story.redirect_query, start).unwrap();
    assert_eq!(returned.code.value, grant.code.unwrap().value);
    let exchange = component.exchange(standing(start), &returned.code.value);
    let answer = ask(&mut *twin, &exchange, start);
    assert_eq!((answer.deed, answer.accepted), ("exchange", true));
    let tokens = component.read_tokens(Family::Current, &answer.reply, start).unwrap();
    assert_eq!(tokens[0].app_id.as_deref(), Some(SHOP));
    assert_eq!(tokens[0].access.value, pushed.access.value);

    // A code works once, and a day.
    let again = ask(&mut *twin, &exchange, start);
    assert_eq!(component.read_tokens(Family::Current, &again.reply, start).unwrap_err().class, Class::CodeInvalid);
    let late = start + jiff::SignedDuration::from_hours(25);
    let stale = component.returned(&twin.grant("2021000000000004", start).redirect_query, start).unwrap();
    let answer = ask(&mut *twin, &component.exchange(standing(late), &stale.code.value), late);
    assert_eq!(component.read_tokens(Family::Current, &answer.reply, late).unwrap_err().code, "AUTH_CODE_NOT_VALID");

    // A refresh supersedes; the former token works a short while longer.
    let refresh = tokens[0].refresh.as_ref().unwrap().value.clone();
    let answer = ask(&mut *twin, &spend(&*component, &refresh, start), start);
    assert_eq!(answer.deed, "refresh");
    let next = component.read_tokens(Family::Current, &answer.reply, start).unwrap().remove(0);
    assert_ne!(next.access.value, tokens[0].access.value);
    let later = start + jiff::SignedDuration::from_mins(5);
    assert!(twin.accepts(Some(SHOP), next.access.value.expose(), later));
    assert!(!twin.accepts(Some(SHOP), tokens[0].access.value.expose(), later));
    assert!(!twin.accepts(None, next.access.value.expose(), later));

    // The answer to that was lost: repeating is refused, the list of authorizations has the token.
    assert_eq!(component.lost_reply(), LostReply::RepeatThenRecover);
    let answer = ask(&mut *twin, &spend(&*component, &refresh, later), later);
    let refused = component.read_tokens(Family::Current, &answer.reply, later).unwrap_err();
    assert_eq!((refused.class, refused.code.as_str()), (Class::RefreshTokenInvalid, "REFRESH_TOKEN_NOT_VALID"));
    let answer = ask(&mut *twin, &component.recover(standing(later), SHOP).unwrap(), later);
    assert_eq!(answer.deed, "recover");
    let Recovered::Tokens(recovered) = component.read_recovered(Family::Current, SHOP, &answer.reply, later).unwrap() else { panic!() };
    assert_eq!(recovered.access.value, next.access.value);

    // Tokens that stop working by themselves are renewed with the refresh token.
    twin.expire_tokens(Some(SHOP));
    assert!(!twin.accepts(Some(SHOP), next.access.value.expose(), later));
    let answer = ask(&mut *twin, &spend(&*component, &next.refresh.unwrap().value, later), later);
    let renewed = component.read_tokens(Family::Current, &answer.reply, later).unwrap().remove(0);
    assert!(twin.accepts(Some(SHOP), renewed.access.value.expose(), later));

    // After the year and a bit of its life a refresh token is of no use.
    let year = later + jiff::SignedDuration::from_secs(32_140_800);
    let answer = ask(&mut *twin, &spend(&*component, &renewed.refresh.as_ref().unwrap().value, year), year);
    assert_eq!(component.read_tokens(Family::Current, &answer.reply, year).unwrap_err().code, "REFRESH_TOKEN_TIME_OUT");

    // The merchant withdraws.
    let push = twin.revoke(SHOP, later).unwrap();
    assert!(matches!(notice(&*component, &push), Notice::Revoked { at } if at == later));
    assert!(!twin.accepts(Some(SHOP), renewed.access.value.expose(), later));
    let answer = ask(&mut *twin, &component.recover(standing(later), SHOP).unwrap(), later);
    assert_eq!(component.read_recovered(Family::Current, SHOP, &answer.reply, later).unwrap_err().class, Class::GrantGone);
}

#[test]
fn an_authorization_lives_and_dies_in_key_mode() {
    life(&sample());
}

#[test]
fn an_authorization_lives_and_dies_in_certificate_mode() {
    life(&certified());
}

#[test]
fn audits_retries_and_forgeries() {
    let (component, mut twin) = (component(&sample()), twin(&sample()));
    let passed = twin.audit(SHOP, "1.0.3", &Verdict::Passed, now());
    assert_eq!(notice(&*component, &passed).kind().as_str(), "audit.passed");
    let failed = twin.audit(SHOP, "1.0.4", &Verdict::Failed(String::from("图标不清晰")), now());
    let Notice::Fact { kind, data } = notice(&*component, &failed) else { panic!() };
    assert_eq!((kind.as_str(), &data["version"], &data["reason"]), ("audit.failed", &json!("1.0.4"), &json!("图标不清晰")));
    let key = |push: &Outgoing| match component.open(&arrived(push)).unwrap() {
        Opened::Push(push) => push.dedupe_key,
        Opened::Check(_) => panic!(),
    };
    let retried = twin.reseal(&failed, now());
    assert_eq!(key(&retried), key(&failed));
    assert_eq!(failed.message_id, Some(key(&failed)));
    assert_ne!(key(&passed), key(&failed));
    let forged = twin.forge(&failed);
    assert_ne!(forged.body, failed.body);
    assert_eq!(component.open(&arrived(&forged)).unwrap_err().reason(), "bad-signature");
    assert!(twin.ticket(now()).is_none());
}

#[test]
fn the_twin_checks_the_gateway_address() {
    let (component, mut twin) = (component(&sample()), twin(&sample()));
    let xml = "<?xml version=\"1.0\" encoding=\"gbk\"?><XML><AppId>2021000000000001</AppId><EventType>verifygw</EventType></XML>";
    let check = twin.say(Door::Message, &json!({"service": "alipay.service.check", "biz_content": xml}).to_string(), now());
    let Opened::Check(answer) = component.open(&arrived(&check)).unwrap() else { panic!() };
    assert!(twin.acknowledged(&check, answer.status, &answer.body));
    assert!(!twin.acknowledged(&check, 200, b"success"));
    let forged = arrived(&twin.forge(&check));
    let error = component.open(&forged).unwrap_err();
    let refusal = component.refusal(&forged, &error).unwrap();
    assert!(!twin.acknowledged(&check, 200, &refusal.body));
}

#[test]
fn the_twin_refuses_what_alipay_refuses() {
    let (component, mut vendor) = (component(&sample()), twin(&sample()));
    let call = component.exchange(standing(now()), &"code".into());
    let refused = |twin: &mut dyn Twin, change: &dyn Fn(&mut Request)| {
        let mut request = sent(&call);
        change(&mut request);
        let answer = twin.answer(&request, now());
        assert!(!answer.accepted);
        component.read_tokens(Family::Current, &answer.reply, now()).unwrap_err().code
    };
    let replaced = |from: &'static str, to: &'static str| move |request: &mut Request| request.query = request.query.replace(from, to);
    assert_eq!(refused(&mut *vendor, &|_| {}), "AUTH_CODE_NOT_EXIST");
    assert_eq!(refused(&mut *vendor, &replaced("sign=", "sign=A")), "isv.invalid-signature");
    assert_eq!(refused(&mut *vendor, &replaced("&sign=", "&other=")), "isv.missing-signature");
    assert_eq!(refused(&mut *vendor, &replaced("2021000000000001", "2021000000000009")), "isv.invalid-app-id");
    assert_eq!(refused(&mut *vendor, &replaced("RSA2", "RSA")), "isv.invalid-signature-type");
    assert_eq!(refused(&mut *vendor, &|request| request.body = "biz_content=%7B%7D".into()), "isv.invalid-signature");
    let limited = vendor.rate_limited(&sent(&call), now());
    assert_eq!(component.read_tokens(Family::Current, &limited.reply, now()).unwrap_err().class, Class::RateLimited);
    // A component with another key is nobody the platform knows.
    let stranger = super::component(
        &sample().replace(super::file("keys/alipay/application.pem").trim(), super::file("keys/alipay/platform_next.pem").trim()),
    );
    let answer = ask(&mut *twin(&sample()), &stranger.exchange(standing(now()), &"code".into()), now());
    assert_eq!(component.read_tokens(Family::Current, &answer.reply, now()).unwrap_err().code, "isv.invalid-signature");
}

#[test]
fn calls_for_a_merchant_and_encrypted_calls_reach_the_twin() {
    use yizhan::platform::alipay::gateway::Request as Ask;
    let application = super::parts(&sample());
    let mut twin = twin(&sample());
    let query = "alipay.open.auth.token.app.query";
    let Notice::Granted(grant) = notice(&*component(&sample()), &twin.grant(SHOP, now()).push.unwrap()) else { panic!() };
    let token = grant.tokens.unwrap().access.value;
    let content = json!({"app_auth_token": token.expose()}).to_string();
    let plain = application.gateway.call(Ask::biz(query, content.clone()), now());
    let answer = ask(&mut *twin, &plain, now());
    assert_eq!(application.gateway.read(query, &answer.reply).unwrap()["auth_app_id"], SHOP);
    let sealed = Ask::sealed_biz(query, &content, application.gateway.content_key().unwrap()).on_behalf_of(&token);
    let answer = ask(&mut *twin, &application.gateway.call(sealed, now()), now());
    assert!(!String::from_utf8_lossy(&answer.reply.body).contains(SHOP), "the answer is encrypted as the request was");
    assert_eq!(application.gateway.read(query, &answer.reply).unwrap()["status"], "valid");
    let strange = Ask::biz(query, content).on_behalf_of(&"unknown".into());
    let answer = ask(&mut *twin, &application.gateway.call(strange, now()), now());
    assert_eq!(application.gateway.read(query, &answer.reply).unwrap_err().class, Class::RenewAuthorizerToken);
}
