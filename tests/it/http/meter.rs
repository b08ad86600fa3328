//! Counting by address: a flood of addresses damps those around it, and nobody else. What is counted as one, and until when: `http::keys`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use jiff::SignedDuration;
use yizhan::clock::Timestamp;
use yizhan::http::meter::Meter;

const LIMIT: u32 = 3;

fn meter() -> Meter {
    Meter::new(LIMIT, SignedDuration::from_mins(1))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn v4(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(number).into()
}

fn v6(beginning: &str, number: u128, shift: u32) -> IpAddr {
    Ipv6Addr::from_bits(beginning.parse::<Ipv6Addr>().unwrap().to_bits() | number << shift).into()
}

/// How many of so many are let pass.
fn let_pass(meter: &Meter, addresses: impl Iterator<Item = IpAddr>) -> usize {
    addresses.filter(|address| meter.count(*address, at(1)).is_ok()).count()
}

/// A newcomer goes as far as the limit, and not beyond.
fn comes_freshly(meter: &Meter, address: IpAddr, what: &str) {
    for _ in 0..LIMIT {
        assert_eq!(meter.count(address, at(1)), Ok(()), "{what}");
    }
    assert!(meter.count(address, at(1)).is_err(), "{what}");
}

/// One tunnel's /48 has 65,536 of what is one household elsewhere.
#[test]
fn whoever_has_many_networks_crowds_out_nobody_else() {
    let meter = meter();
    let one_tunnel = |from: u128, to: u128| (from..to).map(|number| v6("2001:db8:1::", number, 64));
    assert_eq!(let_pass(&meter, one_tunnel(0, 10_000)), 10_000);
    assert_eq!(let_pass(&meter, one_tunnel(10_000, 60_000)), 3, "beyond what is remembered they are counted as one");
    comes_freshly(&meter, v4(0xc633_6407), "IPv4");
    comes_freshly(&meter, v4(0xc633_6408), "IPv4, the next address");
    comes_freshly(&meter, v6("2001:db8:2::", 7, 64), "another tunnel");
    comes_freshly(&meter, v6("2408:8000::", 7, 64), "another network");
    assert_eq!(meter.count(v6("2001:db8:1::", 3, 64), at(3)), Ok(()), "who was there before is still counted alone");
    // A minute later all of that is over.
    assert_eq!(meter.count(v6("2001:db8:1::", 60_001, 64), at(120)), Ok(()));
}

#[test]
fn whoever_has_a_network_of_networks_crowds_out_no_other_network() {
    let meter = meter();
    let one_network = (0..65_536).map(|number| v6("2001:db8::", number, 80));
    assert_eq!(let_pass(&meter, one_network), 10_000 + 5_000 + 3);
    comes_freshly(&meter, v6("2408:8000::", 7, 64), "another network");
    comes_freshly(&meter, v4(7), "IPv4");
    // As many networks as one likes are damped too, and cost no more.
    let whole_networks = (0..65_536).map(|number| v6("2a00::", number, 96));
    assert_eq!(let_pass(&meter, whole_networks), 5_000 - 2 + 3);
    comes_freshly(&meter, v4(0x0a00_0001), "IPv4");
}

#[test]
fn a_flood_from_everywhere_in_ipv4_damps_its_neighbours() {
    let meter = meter();
    // One address of each /24: ten thousand alone, five thousand with their /24, the rest with its /16.
    let everywhere = (0..100_000).map(|number| v4(0x2000_0000 + (number << 8)));
    let passed = let_pass(&meter, everywhere);
    assert!((15_000..17_000).contains(&passed), "{passed}");
    comes_freshly(&meter, v4(0xc633_6407), "an address far away");
    comes_freshly(&meter, v6("2408:8000::", 7, 64), "IPv6");
}
