//! The vendor, pretended.

use super::*;

#[test]
fn a_twin_knows_an_acknowledgement_from_anything_else() {
    let mut twin = twin("");
    let push = twin.audit("ks7", "1.0.3", &Verdict::Failed(String::from("blurred")), now());
    let opened = open(&*component(""), &push);
    assert_eq!(fact(&opened), (EventType::AuditFailed, json!({ "version": "1.0.3", "reason": "blurred" })));
    assert!(twin.acknowledged(&push, 200, &opened.acknowledgement.body));
    for (status, body) in [(200, "success"), (200, "{\"result\":1,\"message_id\":\"other\"}"), (200, "{\"result\":10000006}"), (200, "")] {
        assert!(!twin.acknowledged(&push, status, body.as_bytes()));
    }
    assert!(!twin.acknowledged(&push, 500, &opened.acknowledgement.body));
}

#[test]
fn a_forged_push_is_a_bad_signature() {
    let mut twin = twin("");
    let push = twin.ticket(now()).unwrap();
    let forged = twin.forge(&push);
    assert!(matches!(component("").open(&arrived(&forged)), Err(PushError::BadSignature(_))));
}

#[test]
fn calls_for_tokens_are_get_and_nothing_else() {
    let (component, mut twin) = (component(""), twin(""));
    let ticket = twin.ticket(now()).unwrap();
    let Notice::Ticket(ticket) = open(&*component, &ticket).notice else { panic!() };
    let call = component.component_token(Family::Current, &ticket.value).unwrap();
    let token = component.read_component_token(Family::Current, &twin.answer(&carried(&call), now()).reply, now()).unwrap().value;
    let code = component.returned(&twin.grant("ks7", now()).redirect_query, now()).unwrap().code.value;
    let link = LinkRequest { redirect_uri: String::from("https://post.example.com/cb"), state: String::from("m") };
    let calls = [
        component.start_tickets().unwrap(),
        call,
        component.prepare_link(standing(&token), &link).unwrap(),
        component.exchange(standing(&token), &code),
        component.recover(standing(&token), "ks7").unwrap(),
    ];
    for call in calls {
        let sent = carried(&call);
        let posted = twin.answer(&Request { method: Method::Post, ..sent.clone() }, now());
        assert_eq!((posted.accepted, posted.reply.status, posted.pushes.len()), (false, 404, 0), "{}", sent.path);
        assert!(twin.answer(&sent, now()).accepted, "{}: it was not used up", sent.path);
    }
}

#[test]
fn a_refresh_is_sent_as_the_settings_say() {
    let lines = "refresh.strategy = \"endpoint\"\nrefresh.path = \"/mp/tp/oauth/refresh_it\"\nrefresh.method = \"POST\"";
    let mut twin = twin(lines);
    let Refresh::Spend(call) = component(lines).refresh(standing(&Secret::new("t")), "ks7", &Secret::new("r")) else { panic!() };
    let sent = carried(&call);
    assert_eq!(twin.answer(&sent, now()).deed, "refresh");
    assert_eq!(twin.answer(&Request { method: Method::Get, ..sent }, now()).reply.status, 404);
}

#[test]
fn a_link_leads_to_a_page_while_its_code_lives() {
    let mut twin = twin("");
    let page = |query: &str| Request {
        method: Method::Get,
        path: String::from("/authorize"),
        query: query.to_owned(),
        headers: Vec::new(),
        body: bytes::Bytes::new(),
    };
    assert_eq!(twin.answer(&page("pre_auth_code=nonsense"), now()).reply.status, 400);
    assert_eq!(twin.answer(&Request { path: String::from("/nowhere"), ..page("") }, now()).reply.status, 404);
}
