//! Values with gaps: found, named, filled.

use serde_json::{Value, json};
use yizhan::placeholder::{Mistake, Template, at};

fn values(name: &str) -> Option<Value> {
    let root = json!({
        "event": {"data": {"version": "1.0.3", "hosts": [{"name": "douyin"}, {"name": "toutiao"}], "reason": null}},
        "variables": {"shop": "小店", "domains": ["https://a.example.com"], "count": 3, "ext": {"a": 1}, "店名": "茶馆"},
    });
    at(&root, name)
}

#[test]
fn a_text_that_is_one_placeholder_keeps_the_type() {
    for (text, wanted) in [
        ("${variables.domains}", json!(["https://a.example.com"])),
        ("${variables.count}", json!(3)),
        ("${variables.ext}", json!({"a": 1})),
        ("${event.data.version}", json!("1.0.3")),
        ("${event.data.hosts.1.name}", json!("toutiao")),
        ("${variables.店名}", json!("茶馆")),
    ] {
        let template = Template::parse(&json!(text)).unwrap();
        assert!(template.whole().is_some(), "{text}");
        assert_eq!(template.fill(&values).unwrap(), wanted, "{text}");
    }
}

#[test]
fn inside_text_a_value_becomes_text() {
    for (text, wanted) in [
        ("v${event.data.version}", "v1.0.3"),
        ("${variables.shop} ${variables.count}", "小店 3"),
        ("ext=${variables.ext}", "ext={\"a\":1}"),
        ("$${variables.shop}", "${variables.shop}"),
        ("a$${b} ${variables.shop}$", "a${b} 小店$"),
        ("$ { } }", "$ { } }"),
        ("", ""),
    ] {
        assert_eq!(Template::parse(&json!(text)).unwrap().fill(&values).unwrap(), json!(wanted), "{text}");
    }
}

#[test]
fn placeholders_are_found_at_any_depth_and_all_missing_names_are_said_at_once() {
    let value =
        json!({"a": ["${variables.shop}", {"b": "x${variables.nope}", "c": 12, "d": true}], "${variables.key}": "${event.data.reason}"});
    let template = Template::parse(&value).unwrap();
    let names: Vec<&str> = template.names().into_iter().collect();
    assert_eq!(names, ["event.data.reason", "variables.nope", "variables.shop"]);
    assert_eq!(template.fill(&values).unwrap_err(), ["event.data.reason", "variables.nope"]);
    assert_eq!(template.constant(), None);
    assert_eq!(Template::parse(&json!({"a": [1, "$${x}"]})).unwrap().constant(), Some(json!({"a": [1, "${x}"]})));
}

#[test]
fn all_mistakes_are_said_with_their_places() {
    let value = json!({"a": ["${", "${}"], "b": {"c": "${x y} and ${..} and ${a.}", "d": "${ok}"}});
    let mistakes = Template::parse(&value).unwrap_err();
    let places: Vec<&str> = mistakes.iter().map(|Mistake { at, .. }| at.as_str()).collect();
    assert_eq!(places, ["a.0", "a.1", "b.c", "b.c", "b.c"]);
    assert!(mistakes[0].reason.contains("has no `}`"), "{mistakes:?}");
    assert!(mistakes[2].reason.contains("${x y}"), "{mistakes:?}");
}
