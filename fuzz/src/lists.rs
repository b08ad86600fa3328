//! Cursors, filters and globs of the service API.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use yizhan::envelope::digest;
use yizhan::event_type::{EventType, Glob};
use yizhan::http::events;
use yizhan::http::list::{Listing, MOST};
use yizhan::http::parameters::{Members, Query};
use yizhan::inbox::EventFilter;

type Events = Listing<EventFilter>;

fn listed(query: &str) -> Option<Events> {
    Events::read("events", Query::parse(query), EventFilter::default()).ok()
}

/// As a cursor, and as the content of one whose check somebody has reckoned.
pub fn cursor(input: &[u8]) {
    let made = [&digest::sha256(&[b"yizhan cursor", input])[..6], input].concat();
    for text in [String::from_utf8_lossy(input).into_owned(), URL_SAFE_NO_PAD.encode(input), URL_SAFE_NO_PAD.encode(made)] {
        let query: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("cursor", &text).finish();
        let Some(listing) = listed(&query) else { continue };
        let Some(after) = &listing.after else { continue };
        let encoded = listing.cursor(after).expect("what was read");
        let again = listed(&format!("cursor={encoded}")).expect("a cursor of ours");
        assert_eq!(again, listing, "read, written, read");
        assert_eq!(again.cursor(after).expect("the same"), encoded);
    }
}

/// A query string: read in full or refused with every bad name, the same each time.
pub fn query(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let read = || {
        let mut query = Query::parse(text);
        let filter = events::filter(&mut query);
        Events::read("events", query, filter)
    };
    match (read(), read()) {
        (Ok(one), Ok(other)) => {
            assert!(one == other && (1..=MOST).contains(&one.limit));
            let json = serde_json::to_string(&one.filter).expect("a filter");
            assert_eq!(serde_json::from_str::<EventFilter>(&json).expect("its JSON"), one.filter, "{json}");
        }
        (Err(one), Err(other)) => assert_eq!(one.detail(), other.detail()),
        _ => panic!("read and refused"),
    }
    if let Ok(mut members) = Members::parse(input) {
        let _ = members.take::<u64>("rate");
        let mut inner = members.need_object("filter");
        let _ = inner.take::<String>("component");
        members.absorb(inner);
        let _ = members.finish();
    }
}

/// A pattern, a line break, a name: as a plain and slow reader of patterns would say.
pub fn glob(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (pattern, name) = text.split_once('\n').unwrap_or((text, ""));
    let glob = Glob::new(pattern);
    if pattern.len() <= 256 && name.len() <= 256 {
        assert_eq!(glob.matches(name), slowly(pattern.as_bytes(), name.as_bytes()), "{pattern:?} and {name:?}");
    }
    for kind in EventType::ALL {
        assert!(!glob.wants(*kind) || glob.matches(kind.as_str()));
    }
    assert_eq!(glob.wants_any(), EventType::ALL.iter().any(|kind| glob.wants(*kind)));
}

/// By a table: which beginnings of the name the beginning of the pattern fits.
fn slowly(pattern: &[u8], name: &[u8]) -> bool {
    let mut fits = vec![false; name.len() + 1];
    fits[0] = true;
    for byte in pattern {
        if *byte == b'*' {
            for at in 1..fits.len() {
                fits[at] |= fits[at - 1];
            }
        } else {
            for at in (1..fits.len()).rev() {
                fits[at] = fits[at - 1] && name[at - 1] == *byte;
            }
            fits[0] = false;
        }
    }
    fits[name.len()]
}
