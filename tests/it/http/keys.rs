//! API keys, what they reach, and the damping of wrong ones.

use std::net::IpAddr;
use std::time::Duration;

use jiff::SignedDuration;
use yizhan::access::{ApiKey, Permit};
use yizhan::clock::Timestamp;
use yizhan::envelope::digest;
use yizhan::http::caller::{Keyring, Reach};
use yizhan::http::meter::Meter;

fn key(name: &str, text: &str) -> ApiKey {
    ApiKey { name: name.into(), hash: digest::sha256(&[text.as_bytes()]), permits: vec!["tokens:read@douyin".parse::<Permit>().unwrap()] }
}

#[test]
fn a_key_is_found_by_its_text_only() {
    let ring = Keyring::new(&[key("orders", "yzk_orders"), key("bots", "yzk_bots"), key("foreign", "foreign")]);
    assert_eq!(ring.named_by("yzk_bots").unwrap().name, "bots");
    for wrong in ["", "yzk_", "yzk_bot", "yzk_botsx", "YZK_bots", "foreign", &format!("yzk_{}", "x".repeat(10_000))] {
        assert!(ring.named_by(wrong).is_none(), "{wrong:.20}");
    }
}

#[test]
fn a_narrowed_reach_has_its_components_and_no_others() {
    let reach = Reach::Only(vec!["douyin".into()]);
    assert!(reach.has("douyin") && !reach.has("douyin2") && !reach.has(""));
    assert_eq!(reach.only_one(), Some("douyin"));
    assert_eq!(Reach::Only(vec!["a".into(), "b".into()]).only_one(), None);
    assert!(Reach::All.has("anything"));
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn an_address_that_counts_too_often_waits_for_the_rest_of_the_window() {
    let meter = Meter::new(3, SignedDuration::from_mins(1));
    let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
    for second in 0..3 {
        meter.count(one, at(second)).unwrap();
    }
    assert_eq!(meter.count(one, at(10)), Err(Duration::from_secs(50)));
    meter.count(other, at(10)).unwrap();
    meter.count(one, at(60)).unwrap();
}

#[test]
fn a_household_of_ipv6_is_one_address() {
    let meter = Meter::new(1, SignedDuration::from_mins(1));
    meter.count(address("2001:db8:1:2::1"), at(0)).unwrap();
    assert!(meter.count(address("2001:db8:1:2:ffff::9"), at(0)).is_err());
    meter.count(address("2001:db8:1:3::1"), at(0)).unwrap();
    meter.count(address("192.0.2.1"), at(0)).unwrap();
    assert!(meter.count(address("::ffff:192.0.2.1"), at(0)).is_err(), "the same host, written as IPv6");
}

#[test]
fn a_clock_that_is_set_back_locks_nobody_out() {
    let meter = Meter::new(1, SignedDuration::from_mins(1));
    meter.count(address("192.0.2.1"), at(10_000)).unwrap();
    meter.count(address("192.0.2.1"), at(0)).unwrap();
}

#[test]
fn a_flood_of_addresses_is_damped_with_its_neighbours() {
    let meter = Meter::new(2, SignedDuration::from_mins(1));
    let damped = (0..20_000u32).filter(|n| meter.count(IpAddr::V4((*n + 0x0a00_0000).into()), at(0)).is_err()).count();
    assert_eq!(damped, 20_000 - 10_000 - 40 * 2, "all but those remembered one by one and two of each /24 of the rest");
    meter.count(address("192.0.2.1"), at(61)).unwrap();
}
