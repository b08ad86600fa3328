//! Which addresses a subscriber may have.

use std::net::IpAddr;

use yizhan::outbound::Guard;
use yizhan::outbound::guard::Forbidden;

#[test]
fn closed_ranges_are_refused_to_their_edges() {
    let closed = [
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.0.0",
        "169.254.169.254",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.168.0.0",
        "192.168.255.255",
        "198.18.0.0",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.7",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.1.2.3",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
    ];
    let guard = Guard::default();
    for text in closed {
        let address: IpAddr = text.parse().unwrap();
        assert!(matches!(guard.address(address), Err(Forbidden::Address { .. })), "{text}");
    }
    let open = [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.1",
        "169.253.255.255",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "223.255.255.255",
        "2400:3200::1",
        "2606:4700::1111",
        "::ffff:1.1.1.1",
        "64:ff9b::101:101",
    ];
    for text in open {
        assert_eq!(guard.address(text.parse().unwrap()), Ok(()), "{text}");
    }
}

#[test]
fn a_literal_address_is_refused_in_every_spelling() {
    let guard = Guard::default();
    for url in [
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://0x7f000001/",
        "http://127.0.0.1./",
        "http://0/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[::1]:8080/",
        "http://①②⑦.0.0.1/",
        "http://169.254.169.254/latest/",
        "http://%31%32%37.0.0.1/",
    ] {
        assert!(matches!(guard.url(url), Err(Forbidden::Address { .. })), "{url}: {:?}", guard.url(url));
    }
}

#[test]
fn only_plain_http_addresses_are_taken() {
    let guard = Guard::default();
    assert_eq!(guard.url("ftp://example.com/"), Err(Forbidden::Scheme));
    assert_eq!(guard.url("file:///etc/passwd"), Err(Forbidden::Scheme));
    assert_eq!(guard.url("https://user@example.com/"), Err(Forbidden::Credentials));
    assert_eq!(guard.url("https://user:secret@example.com/"), Err(Forbidden::Credentials));
    assert_eq!(guard.url("example.com/hook"), Err(Forbidden::NotAnAddress));
    assert_eq!(guard.url("https://"), Err(Forbidden::NotAnAddress));
    assert_eq!(guard.url(&format!("https://example.com/{}", "a".repeat(2048))), Err(Forbidden::TooLong));
    assert!(guard.url("https://bot.example.com:8443/hooks/yizhan?a=1").is_ok());
}

#[test]
fn an_operator_may_open_ranges() {
    let guard = Guard::allowing(&["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
    for text in ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "fd00::1"] {
        assert_eq!(guard.address(text.parse().unwrap()), Ok(()), "{text}");
    }
    assert!(guard.address("127.0.0.1".parse().unwrap()).is_err());
    assert!(guard.url("http://10.1.2.3/hook").is_ok());
}
