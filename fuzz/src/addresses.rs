//! Addresses that callers give us to go to, and what handlers are sent.

use std::net::{IpAddr, Ipv4Addr};

use url::{Host, Url};
use yizhan::fanout::signature::{self, Headers, Signer};
use yizhan::outbound::Guard;
use yizhan::platform::proxy;
use yizhan::secret::Secret;

use super::corpus;

/// A subscriber's address: whatever was let through is a plain address of the open internet.
pub fn subscriber(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(url) = Guard::default().url(text) else { return };
    assert!(["http", "https"].contains(&url.scheme()) && url.username().is_empty() && url.password().is_none());
    let host: IpAddr = match url.host().expect("a host") {
        Host::Ipv4(address) => address.into(),
        Host::Ipv6(address) => address.into(),
        // A name that a resolver would take for a number must not have come so far.
        Host::Domain(name) => {
            // One dot at its end is the root; with more it is no name and no number.
            let name = name.strip_suffix('.').unwrap_or(name);
            assert!(name.parse::<IpAddr>().is_err() && name.parse::<Ipv4Addr>().is_err(), "{name}");
            let last = name.rsplit('.').next().unwrap_or_default();
            return assert!(last.is_empty() || !last.bytes().all(|byte| byte.is_ascii_digit()), "{name}");
        }
    };
    let open = match host.to_canonical() {
        IpAddr::V4(a) => {
            !(a.is_loopback()
                || a.is_private()
                || a.is_link_local()
                || a.is_unspecified()
                || a.is_broadcast()
                || a.is_multicast()
                || a.is_documentation())
        }
        IpAddr::V6(a) => !(a.is_loopback() || a.is_unspecified() || a.is_multicast() || a.is_unique_local() || a.is_unicast_link_local()),
    };
    assert!(open, "{text} leads to {host}");
    assert!(Guard::default().url(url.as_str()).is_ok(), "{url} is refused as it was understood");
}

/// A path for the vendor: the address that is called has the vendor's host and that very path.
pub fn vendor_path(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(path) = proxy::path(text) {
        let url = Url::parse(&format!("https://vendor.example.com{path}")).expect("an address");
        assert_eq!((url.host_str(), url.path(), url.query(), url.fragment()), (Some("vendor.example.com"), text, None, None));
    }
    for for_authorizer in [false, true] {
        let path = yizhan::http::proxy::vendor_path(text, for_authorizer);
        assert!(path.starts_with('/') && path.len() <= text.len() + 1);
    }
    for platform in ["baidu", "douyin", "kuaishou", "alipay"] {
        let subject = &corpus::subjects(platform)[0];
        if let (Ok(path), Some(proxied)) = (proxy::path(text), subject.component.proxy())
            && let Ok(lane) = proxied.lane(path)
        {
            assert!(path.starts_with(lane.prefix) && !proxied.closed().iter().any(|closed| path.starts_with(closed)));
        }
    }
}

/// A delivery: what we sign verifies, and nothing else does. The first byte says what is changed.
pub fn webhook(input: &[u8]) {
    let [change, rest @ ..] = input else { return };
    let body = rest;
    let secret = Secret::new("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX");
    let (id, now) = ("evt_1", corpus::now());
    let timestamp = now.as_second().to_string();
    let signer = Signer::new(&secret).expect("a secret");
    let good = signature::header(&[signer], id, &timestamp, body);
    let verify = |id: &str, timestamp: &str, signature: &str, body: &[u8]| {
        signature::verify(std::slice::from_ref(&secret), Headers { id, timestamp, signature }, body, now).is_ok()
    };
    assert!(verify(id, &timestamp, &good, body));
    let text = String::from_utf8_lossy(rest).into_owned();
    match change % 4 {
        0 => assert!(text == id || !verify(&text, &timestamp, &good, body)),
        1 => assert!(text == timestamp || !verify(id, &text, &good, body)),
        2 => assert!(text.contains(&good) || !verify(id, &timestamp, &text, body)),
        _ => assert!(!verify(id, &timestamp, &good, &[body, b"x"].concat())),
    }
    let _ = Signer::new(&Secret::new(text));
}
