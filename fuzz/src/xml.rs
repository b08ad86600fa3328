//! XML, as Alipay's gateway check has it: nothing grows, nothing is fetched, and what was read can be written and read again.

use serde_json::{Map, Value};
use yizhan::platform::alipay::xml::elements;

/// Any text.
pub fn xml(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(read) = elements(text) else { return };
    assert!(weight(&read, 0) <= text.len(), "{} bytes grew to {}", text.len(), weight(&read, 0));
    assert!(!text.trim_start().starts_with("<!DOCTYPE"), "a document type was let through");
    let Value::Object(root) = &read else { panic!("{read}") };
    assert_eq!(root.len(), 1);
    if names(&read).iter().all(|name| name.chars().all(|c| c.is_alphanumeric() || "_-.:".contains(c))) {
        let mut written = String::new();
        write(root, &mut written);
        assert_eq!(elements(&written).as_ref(), Ok(&read), "{written}");
    }
}

/// Bytes of all texts and names; nesting is bounded.
fn weight(value: &Value, depth: usize) -> usize {
    assert!(depth <= 40, "nested too deeply");
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(|item| weight(item, depth + 1)).sum(),
        Value::Object(members) => members.iter().map(|(name, value)| name.len() + weight(value, depth + 1)).sum(),
        other => panic!("{other}"),
    }
}

fn names(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(items) => items.iter().flat_map(names).collect(),
        Value::Object(members) => members.iter().flat_map(|(name, value)| [vec![name.as_str()], names(value)].concat()).collect(),
        _ => Vec::new(),
    }
}

fn write(members: &Map<String, Value>, into: &mut String) {
    for (name, value) in members {
        let items = match value {
            Value::Array(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        for item in items {
            into.push_str(&format!("<{name}>"));
            match item {
                Value::Object(inner) => write(inner, into),
                other => {
                    for c in other.as_str().unwrap_or_default().chars() {
                        into.push_str(&format!("&#{};", u32::from(c)));
                    }
                }
            }
            into.push_str(&format!("</{name}>"));
        }
    }
}
