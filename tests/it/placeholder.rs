//! Values with gaps: found, named, filled.

use serde_json::{Value, json};
use yizhan::placeholder::{MOST_FILLED_BYTES, Mistake, Template, Unfilled, at};

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
    let missing = ["event.data.reason", "variables.nope"].map(String::from).to_vec();
    assert_eq!(template.fill(&values).unwrap_err(), Unfilled::Missing(missing));
    assert_eq!(template.constant(), None);
    assert_eq!(Template::parse(&json!({"a": [1, "$${x}"]})).unwrap().constant(), Some(json!({"a": [1, "${x}"]})));
}

#[test]
fn what_is_filled_in_has_a_bound_over_the_whole_value_and_is_given_up_where_it_is_passed() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let asked = AtomicUsize::new(0);
    let value_of = |name: &str| {
        asked.fetch_add(1, Ordering::SeqCst);
        Some(if name == "list" { json!(["x".repeat(30_000), {"b": "y".repeat(30_000)}]) } else { json!("x".repeat(60_000)) })
    };
    let told = Unfilled::TooLong;
    assert_eq!(told.to_string(), "its placeholders stand for more than 1048576 bytes");
    for repeated in [
        json!("${a}".repeat(1_500)),
        json!("${list}".repeat(1_500)),
        json!(vec!["${a}"; 1_500]),
        json!(vec!["${list}"; 1_500]),
        json!((0..1_500).map(|n| (n.to_string(), json!({"in": [format!("- ${{a}} {n}")]}))).collect::<serde_json::Map<_, _>>()),
    ] {
        asked.store(0, Ordering::SeqCst);
        assert_eq!(Template::parse(&repeated).unwrap().fill(&value_of), Err(told.clone()));
        assert!(asked.load(Ordering::SeqCst) <= MOST_FILLED_BYTES / 60_000 + 1, "it went on: {asked:?}");
    }
    // What is written itself counts for nothing: it does not grow.
    let long = json!({"file": "z".repeat(2 * MOST_FILLED_BYTES), "text": "${a}"});
    assert!(Template::parse(&long).unwrap().fill(&value_of).is_ok());
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

#[test]
fn of_thousands_of_names_and_mistakes_the_first_are_said() {
    let text: String = (0..3_000).map(|number| format!("${{variables.x{number:0>200}}}")).collect();
    let missing = Template::parse(&json!(text)).unwrap().fill(&values).unwrap_err();
    let said = missing.to_string();
    assert!(said.starts_with("there is no value for variables.x000") && said.ends_with(" and 2990 more"), "{said}");
    assert!(said.len() < 1_000, "{} bytes", said.len());
    let mistakes = Template::parse(&json!({"a": "${!}".repeat(16_000), "b": ["${!}"]})).unwrap_err();
    assert_eq!(mistakes.len(), 10);
}
