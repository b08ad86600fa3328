//! The normal vocabulary and its patterns.

use yizhan::event_type::{EventType, Glob};

#[test]
fn a_glob_matches_whole_names() {
    let yes = [("audit.*", "audit.passed"), ("*", "x"), ("a*c*e", "abcde"), ("*.failed", "audit.failed"), ("x", "x"), ("a*a", "aa")];
    for (pattern, name) in yes {
        assert!(Glob::new(pattern).matches(name), "{pattern} {name}");
    }
    for (pattern, name) in [("audit.*", "audits.passed"), ("a*a", "a"), ("", "x"), ("x", "xy"), ("*b*c", "acb")] {
        assert!(!Glob::new(pattern).matches(name), "{pattern} {name}");
    }
}

#[test]
fn a_run_of_stars_is_one_star_however_it_is_written_down() {
    let stars = "*".repeat(60_000);
    let patterns = [(stars.clone(), "*"), (format!("{stars}x"), "*x"), (format!("a{stars}b{stars}"), "a*b*"), (String::from("a*b"), "a*b")];
    for (pattern, kept) in patterns {
        let read: Glob = serde_json::from_value(serde_json::Value::from(pattern.as_str())).unwrap();
        assert_eq!((Glob::new(pattern).as_str(), read.as_str()), (kept, kept));
        assert_eq!(serde_json::to_value(&read).unwrap(), kept);
    }
    assert!(Glob::new("a**c***e").matches("abcde") && !Glob::new("a**c").matches("ab"));
}

#[test]
fn a_ticket_must_be_named() {
    assert!(!Glob::new("*").wants(EventType::TicketReceived));
    assert!(Glob::new("ticket.received").wants(EventType::TicketReceived));
    assert!(Glob::new("*").wants(EventType::VendorOther));
}

#[test]
fn names_are_read_back() {
    for kind in EventType::ALL {
        assert_eq!(kind.as_str().parse(), Ok(*kind));
    }
}
