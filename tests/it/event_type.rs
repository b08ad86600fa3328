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
