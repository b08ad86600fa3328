//! What callers of the service API write down for later: values with gaps, playbooks, rollouts.

use serde_json::{Map, Value};
use yizhan::http::parameters::Members;
use yizhan::http::rollouts;
use yizhan::placeholder::{self, Template, Unfilled};
use yizhan::platform::Component;
use yizhan::playbook::check::Scope;
use yizhan::playbook::written;
use yizhan::rollout::record::{Choice, Spec};

use super::corpus::{self, subjects};

/// A value with gaps: read, written and read again it is the same; it is filled with what is given and with nothing else.
pub fn placeholder(input: &[u8]) {
    let value: Value = match serde_json::from_slice(input) {
        Ok(value) => value,
        Err(_) => Value::String(String::from_utf8_lossy(input).into_owned()),
    };
    let template = match Template::parse(&value) {
        Ok(template) => template,
        Err(mistakes) => {
            assert!(!mistakes.is_empty() && mistakes.iter().all(|mistake| mistake.reason.len() <= 512), "{mistakes:?}");
            return;
        }
    };
    assert_eq!(Template::parse(&template.written()).as_ref(), Ok(&template), "read, written, read");
    let names = template.names();
    assert!(names.iter().all(|name| placeholder::is_name(name)), "{names:?}");
    assert_eq!(template.constant().is_some(), names.is_empty());
    let missing = match template.fill(&|_| None) {
        Err(Unfilled::Missing(missing)) => missing,
        filled => {
            assert!(filled.is_ok(), "nothing is too long");
            Vec::new()
        }
    };
    assert!(missing.iter().map(String::as_str).eq(names.iter().copied()), "{missing:?} of {names:?}");

    // What is filled in is never read for gaps: a merchant's variable must not reach another value.
    let filled = template.fill(&|name| Some(Value::String(format!("${{{name}.inner}}")))).expect("everything has a value");
    assert_eq!(shape(&filled), shape(&value), "filling moved something");
    if let Some(name) = template.whole() {
        assert_eq!(filled, Value::String(format!("${{{name}.inner}}")));
        assert_eq!(template.fill(&|_| Some(Value::from(7))), Ok(Value::from(7)), "the type is taken over");
    }
    for name in names {
        let _ = placeholder::at(&value, name);
        let (root, rest) = placeholder::split(name);
        assert!(name.starts_with(root) && name.ends_with(rest));
    }
}

/// The outline of a value without its texts and numbers; a text and what fills it may be of any kind.
fn shape(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Object(members) => Value::Object(members.iter().map(|(name, member)| (name.clone(), shape(member))).collect()),
        _ => Value::Null,
    }
}

/// A playbook as the API and the configuration have it.
pub fn playbook(input: &[u8]) {
    let Ok(source) = serde_json::from_slice::<Map<String, Value>>(input) else { return };
    let components: Vec<&dyn Component> =
        ["baidu", "douyin", "kuaishou", "alipay"].iter().map(|platform| subjects(platform)[0].component.as_ref()).collect();
    let robots = [String::from("ops")];
    let scope = Scope { components: &components, robots: &robots };
    match written::read(&source, &scope) {
        Ok(playbook) => {
            let json = written::write(&playbook);
            assert_eq!(written::reread(&json).as_ref(), Ok(&playbook), "read, written, read: {json}");
            let again = written::read(json.as_object().expect("an object"), &scope);
            assert_eq!(again.as_ref(), Ok(&playbook), "read, written, read: {json}");
            assert!(!playbook.steps.is_empty() && !playbook.name.starts_with("yizhan-"));
            for step in &playbook.steps {
                assert!(step.names().iter().all(|name| placeholder::is_name(name)));
                if let Some(window) = &step.window {
                    assert!(window.opens(corpus::now()).is_none_or(|opens| opens > corpus::now()));
                }
            }
            let _ = playbook.subscription(corpus::now());
            let _ = playbook.concerns(&Value::Object(source));
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            assert_eq!(written::read(&source, &scope), Err(mistakes), "judged in two ways");
        }
    }
}

/// The body of `POST /v1/rollouts`.
pub fn rollout(input: &[u8]) {
    let Ok(members) = Members::parse(input) else { return };
    let Ok((spec, _)) = rollouts::spec(members, 4) else { return };
    assert!((1..=256).contains(&spec.concurrency) && (1..=64).contains(&spec.version.chars().count()));
    assert!(spec.rate.is_none_or(|rate| (0.001..=1000.0).contains(&rate)));
    assert!(spec.stop_above_failed_percent.is_none_or(|percent| percent <= 100));
    match &spec.authorizers {
        Choice::All => {}
        Choice::These(ids) => assert!((1..=20_000).contains(&ids.len()) && ids.iter().all(|id| !id.is_empty())),
        Choice::Tag(text) | Choice::Version(text) => assert!(!text.is_empty()),
    }
    if let Some(window) = spec.window {
        assert!(window.opens(corpus::now()) >= corpus::now());
    }
    // As it is kept in the store.
    let kept = serde_json::to_value(&spec).expect("JSON");
    let again: Spec = serde_json::from_value(kept).expect("what was kept");
    assert_eq!(again, spec);
}
