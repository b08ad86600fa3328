//! The strict reader of the configuration.

use std::time::Duration;

use yizhan::settings::{Settings, Surroundings, duration};

fn read(text: &str) -> Settings {
    Settings::parse(text, Surroundings::default()).unwrap()
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_known_one() {
    let mut settings = read("listen = \"a\"\n\npublic_ulr = \"b\"\n");
    settings.text_or("listen", "");
    settings.text_or("public_url", "");
    let problems = settings.finish();
    assert_eq!(problems.len(), 1);
    assert_eq!((problems[0].line, problems[0].hint.as_str()), (Some(3), "did you mean `public_url`?"));
}

#[test]
fn every_problem_is_reported_at_once() {
    let mut settings = read("a = 1\nb = \"x\"\nc = { env = \"NO_SUCH\" }\n");
    settings.flag_or("a", true);
    settings.number_or("b", 1, 0..=9);
    settings.secret("c");
    settings.text("d");
    assert_eq!(settings.finish().len(), 4);
}

#[test]
fn spans_of_time_are_read() {
    assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
    assert_eq!(duration("30d"), Some(Duration::from_secs(2_592_000)));
    assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
    assert_eq!(duration("5"), None);
    assert_eq!(duration("x5s"), None);
}
