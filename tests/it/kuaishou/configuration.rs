//! Settings that are refused.

use super::*;

#[test]
fn all_problems_come_at_once() {
    let text = "component_app_secret = \"s\"\nencoding_aes_key = \"short\"\ntokn = \"x\"\nbase_url = \"nowhere\"\n\
        push.signature_mode = \"guess\"\npush.max_padding = 64\nrefresh.strategy = \"endpoint\"\nevents = { A = \"b\" }\n\
        audit.status_map = { 1 = \"fine\" }\nfields = { eventt = [] }";
    let mut at: Vec<_> = problems(text).into_iter().map(|problem| problem.at).collect();
    at.sort();
    let expected = [
        "audit.status_map.1",
        "base_url",
        "component_app_id",
        "encoding_aes_key",
        "events.A",
        "fields.eventt",
        "push.max_padding",
        "push.signature_mode",
        "refresh.path",
        "token",
        "tokn",
    ];
    assert_eq!(at, expected);
}

#[test]
fn a_refresh_path_is_any_path_and_nothing_else() {
    let refresh = |path: &str| kuaishou().component("kuaishou", settings(&with(&format!("refresh.path = \"{path}\""))));
    for path in ["", "/openapi/oauth2/mp/refresh_authorizer_token", "/mp/tp/oauth/refresh_it"] {
        assert!(refresh(path).is_ok(), "{path}");
    }
    for path in ["mp/tp/oauth/refresh_it", "https://open.kuaishou.com/refresh", "/refresh?app=1", "/refresh#it", "/re fresh"] {
        assert_eq!(refresh(path).err().unwrap()[0].at, "refresh.path", "{path}");
    }
}
