//! Links and browsers that come back.

use super::*;

fn request() -> LinkRequest {
    LinkRequest { redirect_uri: String::from("https://post.example.com/callback/kuaishou/authorized"), state: String::from("s-1_2") }
}

fn prepared() -> Reply {
    reply(&json!({ "result": 1, "preAuthCode": "pre+code/1", "expiresIn": 600 }))
}

#[test]
fn a_link_carries_the_code_and_the_state_in_the_path() {
    let link = component("").link(&request(), Some(&prepared()), now()).unwrap();
    let url = url::Url::parse(&link.url).unwrap();
    let query: std::collections::BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    assert_eq!(query["component_app_id"], APP_ID);
    assert_eq!(query["pre_auth_code"], "pre+code/1");
    assert_eq!(query["redirect_uri"], "https://post.example.com/callback/kuaishou/authorized/s-1_2");
    assert_eq!(link.expires_at.unwrap().duration_since(now()).as_secs(), 600);
}

#[test]
fn the_state_can_travel_otherwise_and_the_redirect_can_be_another() {
    let redirect = |lines: &str| {
        let link = component(lines).link(&request(), Some(&prepared()), now()).unwrap();
        let url = url::Url::parse(&link.url).unwrap();
        url.query_pairs().find(|(name, _)| name == "redirect_uri").unwrap().1.into_owned()
    };
    assert_eq!(redirect("auth.state_in = \"query\""), "https://post.example.com/callback/kuaishou/authorized?state=s-1_2");
    assert_eq!(redirect("auth.state_in = \"template\""), "https://post.example.com/callback/kuaishou/authorized");
    assert_eq!(redirect("auth.redirect_uri = \"https://a.example.com/x?y=1\""), "https://a.example.com/x/s-1_2?y=1");
    assert_eq!(
        redirect("auth.redirect_uri = \"https://a.example.com/x?y=1\"\nauth.state_in = \"query\""),
        "https://a.example.com/x?y=1&state=s-1_2"
    );
}

#[test]
fn without_a_template_the_error_names_the_setting_and_keeps_the_code_to_itself() {
    let text: String =
        kuaishou().sample_settings(VENDOR).lines().filter(|line| !line.starts_with("auth.")).map(|line| format!("{line}\n")).collect();
    let component = kuaishou().component("kuaishou", settings(&text)).unwrap();
    let error = component.link(&request(), Some(&prepared()), now()).unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (Class::Configuration, "auth.page_url_template"));
    assert!(error.message.contains("2026-11-20T07:14:05Z"), "{}", error.message);
    assert!(!format!("{error:?}").contains("pre+code"));
}

#[test]
fn a_refused_pre_auth_code_is_the_vendors_error() {
    let refused = reply(&json!({ "result": 100_200_109, "errorMsg": "no" }));
    assert_eq!(component("").link(&request(), Some(&refused), now()).unwrap_err().class, Class::GrantGone);
    assert!(component("").link(&request(), None, now()).is_err());
}

#[test]
fn the_code_comes_back_under_several_names() {
    for name in ["authorization_code", "authorizationCode", "auth_code", "code"] {
        let returned = component("").returned(&format!("x=1&{name}=a%2Bb&expiresIn=60"), now()).unwrap();
        assert_eq!(returned.code.value.expose(), "a+b");
        assert_eq!(returned.code.expires_at.duration_since(now()).as_secs(), 60);
        assert_eq!(returned.state, None);
    }
    let endless = component("").returned("code=1&expires_in=9999999999", now()).unwrap();
    assert_eq!(endless.code.expires_at.duration_since(now()).as_secs(), 3600, "a query is anybody's to write");
    let own = component("auth.redirect_code_params = [\"c\"]");
    assert_eq!(own.returned("code=1&c=2", now()).unwrap().code.value.expose(), "2");
    for query in ["", "code=", "state=1", "%ff=%ff", "expires_in=5"] {
        assert_eq!(component("").returned(query, now()).unwrap_err().class, Class::Refuse);
    }
}

#[test]
fn templates_that_cannot_work_are_refused() {
    let text: String =
        kuaishou().sample_settings(VENDOR).lines().filter(|line| !line.starts_with("auth.")).map(|line| format!("{line}\n")).collect();
    for template in
        ["https://x.example.com/", "https://x.example.com/?c={pre_auth_code}&d={nonsense}", "x?{pre_auth_code}", "ftp://x/{pre_auth_code}"]
    {
        let problems = problems(&format!("{text}auth.page_url_template = \"{template}\"\n"));
        assert_eq!((problems.len(), problems[0].at.as_str()), (1, "auth.page_url_template"), "{template}");
    }
}
