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
