//! Query strings and JSON bodies, read strictly.

use serde_json::Value;
use yizhan::clock::Timestamp;
use yizhan::fanout::delivery::Status;
use yizhan::http::parameters::{Members, Query};
use yizhan::http::problem::{Kind, Problem};

fn names(problem: &Problem) -> Vec<String> {
    assert_eq!(problem.kind(), Kind::InvalidParameter);
    problem.detail().split("; ").map(|part| part.split('`').nth(1).unwrap().to_owned()).collect()
}

#[test]
fn a_query_is_read_by_form() {
    let mut query = Query::parse("n=17&since=2026-11-20T15:04:05%2B08:00&until=2026-11-20T15:04:05+08:00&status=dead&type=audit.*&q=");
    assert_eq!(query.number("n"), Some(17));
    let at: Timestamp = "2026-11-20T07:04:05Z".parse().unwrap();
    assert_eq!(query.time("since"), Some(at));
    assert_eq!(query.time("until"), Some(at), "a plus sign that was not escaped");
    assert_eq!(query.word::<Status>("status", "…"), Some(Status::Dead));
    assert!(query.glob("type").unwrap().matches("audit.passed"));
    assert_eq!(query.text("q"), None, "an empty text is none");
    query.finish().unwrap();
}

#[test]
fn every_bad_parameter_of_a_query_is_named_at_once() {
    let mut query = Query::parse("n=x&since=yesterday&status=lost&twice=1&twice=2&colour=red&since2");
    assert_eq!(query.number("n"), None);
    assert_eq!(query.time("since"), None);
    assert_eq!(query.word::<Status>("status", "…"), None);
    assert_eq!(query.text("twice"), None);
    assert_eq!(names(&query.finish().unwrap_err()), ["n", "since", "status", "twice", "colour", "since2"]);
}

#[test]
fn a_number_or_time_that_is_empty_is_no_number_or_time() {
    for (text, name) in [("n=", "n"), ("n", "n")] {
        let mut query = Query::parse(text);
        query.number("n");
        assert_eq!(names(&query.finish().unwrap_err()), [name]);
    }
}

#[test]
fn every_bad_member_of_a_body_is_named_at_once() {
    let mut members =
        Members::parse(br#"{"rate":"fast","dry_run":1,"colour":"red","filter":{"type":7,"since":"then","shape":1},"shade":null}"#).unwrap();
    let mut filter = members.need_object("filter");
    assert_eq!(filter.take::<String>("type"), None);
    assert_eq!(filter.take::<Timestamp>("since"), None);
    members.absorb(filter);
    members.take::<u32>("rate");
    members.take::<bool>("dry_run");
    members.need::<String>("name");
    let mut named = names(&members.finish().unwrap_err());
    named.sort();
    assert_eq!(named, ["colour", "dry_run", "filter.shape", "filter.since", "filter.type", "name", "rate", "shade"]);
}

#[test]
fn a_body_of_nothing_is_an_empty_object() {
    for empty in ["", " \n"] {
        let mut members = Members::parse(empty.as_bytes()).unwrap();
        assert_eq!(members.take::<String>("subscription"), None);
        members.finish().unwrap();
    }
}

#[test]
fn a_body_that_is_no_json_object_is_told_where() {
    for (body, says) in [("{\"a\":", "line 1"), ("[1]", "no object"), ("\"x\"", "no object"), ("{'a':1}", "line 1"), ("\u{0}", "line 1")] {
        let problem = Members::parse(body.as_bytes()).unwrap_err();
        assert_eq!(problem.kind(), Kind::BadRequest, "{body}");
        assert!(problem.detail().contains(says), "{body}: {}", problem.detail());
    }
    assert!(Members::parse(&[b'{', 0xff, b'}']).is_err());
}

#[test]
fn a_member_that_is_null_counts_as_not_given() {
    let mut members = Members::parse(br#"{"subscription":null,"generation":null}"#).unwrap();
    assert_eq!(members.take::<String>("subscription"), None);
    members.need::<u64>("generation");
    assert_eq!(names(&members.finish().unwrap_err()), ["generation"]);
}

#[test]
fn a_member_named_twice_is_refused_at_any_depth() {
    for (body, name) in [
        (r#"{"dry_run":true,"dry_run":false}"#, "dry_run"),
        (r#"{"filter":{"component":"a","component":"b"}}"#, "component"),
        (r#"{"items":[{"tags":[]},{"tags":[],"tags":["x"]}]}"#, "tags"),
        (r#"{"a":1,"\u0061":2}"#, "a"),
        (r#"{"a":null,"a":null}"#, "a"),
    ] {
        let problem = Members::parse(body.as_bytes()).unwrap_err();
        assert_eq!(problem.kind(), Kind::BadRequest, "{body}");
        assert!(problem.detail().starts_with(&format!("the body names `{name}` twice at line 1")), "{}", problem.detail());
    }
    let kept = r#"{"z":1,"a":[{"a":-1},{"a":1.5}],"n":18446744073709551615,"s":"\u9a7f","t":true,"u":null,"e":{}}"#;
    let read = Value::Object(Members::parse(kept.as_bytes()).unwrap().all());
    assert_eq!(read, serde_json::from_str::<Value>(kept).unwrap(), "everything else is read as it is");
    assert_eq!(read.to_string(), serde_json::from_str::<Value>(kept).unwrap().to_string(), "in its order");
}

#[test]
fn of_thousands_of_bad_members_a_hundred_are_named() {
    let body: serde_json::Map<_, _> = (0..50_000).map(|number| (format!("m{number}"), Value::from(1))).collect();
    let problem = Members::parse(Value::Object(body).to_string().as_bytes()).unwrap().finish().unwrap_err();
    assert_eq!(problem.member("parameters").unwrap().as_array().unwrap().len(), 100);
    assert!(problem.detail().starts_with("`m0` is not") && problem.detail().ends_with("; and 49900 more"), "{}", problem.detail());
}
