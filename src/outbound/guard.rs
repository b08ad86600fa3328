//! Which addresses a subscriber may have. Whoever may make a subscription must not reach through us what only we can reach: metadata
//! services, databases, our own ports.
//!
//! Names are judged by what they resolve to, at the moment of connecting, by the resolver that the client dials with (`names`): a name that
//! changes its mind between check and connection gains nothing. Literal addresses never reach a resolver, so they are judged before
//! ([`Guard::url`]); the `url` crate has turned decimal, octal and hexadecimal forms into addresses by then.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

/// Longest address of a subscriber.
const MOST_URL_BYTES: usize = 2048;

const fn v4(a: u8, b: u8, c: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), length)
}

const fn v6(a: u16, b: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), length)
}

/// IPv4 addresses that no subscriber of the open internet has (IANA's registry of special-purpose addresses).
const CLOSED_V4: &[(Ipv4Net, &str)] = &[
    (v4(0, 0, 0, 8), "unspecified"),
    (v4(10, 0, 0, 8), "private"),
    (v4(100, 64, 0, 10), "shared by a carrier (CGNAT)"),
    (v4(127, 0, 0, 8), "loopback"),
    (v4(169, 254, 0, 16), "link-local"),
    (v4(172, 16, 0, 12), "private"),
    (v4(192, 0, 0, 24), "reserved"),
    (v4(192, 0, 2, 24), "for documentation"),
    (v4(192, 88, 99, 24), "reserved"),
    (v4(192, 168, 0, 16), "private"),
    (v4(198, 18, 0, 15), "for benchmarks"),
    (v4(198, 51, 100, 24), "for documentation"),
    (v4(203, 0, 113, 24), "for documentation"),
    (v4(224, 0, 0, 4), "multicast"),
    (v4(240, 0, 0, 4), "reserved"),
];

/// The part of IPv6 that is open, `2000::/3`, has these closed places; everything outside of it is closed.
const CLOSED_V6: &[(Ipv6Net, &str)] = &[
    (v6(0x2001, 0, 23), "reserved"),
    (v6(0x2001, 0xdb8, 32), "for documentation"),
    (v6(0x2002, 0, 16), "a tunnel (6to4)"),
    (v6(0x3fff, 0, 20), "for documentation"),
    (v6(0xfc00, 0, 7), "private"),
    (v6(0xfe80, 0, 10), "link-local"),
    (v6(0xff00, 0, 8), "multicast"),
];

const OPEN_V6: Ipv6Net = v6(0x2000, 0, 3);
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 96);

/// Why an address is not a subscriber's.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum Forbidden {
    /// Not a URL with a host.
    #[error("is not an address in full, as in https://example.com/hook")]
    NotAnAddress,
    /// Another scheme.
    #[error("is neither http nor https")]
    Scheme,
    /// `user:password@`.
    #[error("must not hold a user name or password")]
    Credentials,
    /// Longer than 2048 bytes.
    #[error("is longer than 2048 bytes")]
    TooLong,
    /// In a range that is not allowed.
    #[error("{address} is {kind}; such addresses must be allowed in `[fanout] allow_private`")]
    Address {
        /// The address.
        address: IpAddr,
        /// Its range in a word.
        kind: &'static str,
    },
}

/// The rule, with the operator's exceptions.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    allowed: Arc<[IpNet]>,
}

impl Guard {
    /// A guard that lets these ranges through besides the open internet.
    #[must_use]
    pub fn allowing(ranges: &[IpNet]) -> Self {
        Self { allowed: ranges.into() }
    }

    /// Whether a subscriber may have this address.
    ///
    /// # Errors
    /// [`Forbidden::Address`] with its range in a word.
    pub fn address(&self, address: IpAddr) -> Result<(), Forbidden> {
        let meant = meant(address);
        if self.allowed.iter().any(|range| range.contains(&address) || range.contains(&meant)) {
            return Ok(());
        }
        match closed(meant) {
            Some(kind) => Err(Forbidden::Address { address, kind }),
            None => Ok(()),
        }
    }

    /// Reads a subscriber's URL; a literal address in it is judged here, a name when it is resolved.
    ///
    /// # Errors
    /// The first thing wrong with it.
    pub fn url(&self, text: &str) -> Result<Url, Forbidden> {
        if text.len() > MOST_URL_BYTES {
            return Err(Forbidden::TooLong);
        }
        // The parser leaves line breaks out and says nothing; nobody means an address with one.
        if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(Forbidden::NotAnAddress);
        }
        let url = Url::parse(text).map_err(|_| Forbidden::NotAnAddress)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Forbidden::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Forbidden::Credentials);
        }
        match url.host() {
            Some(Host::Ipv4(address)) => self.address(address.into())?,
            Some(Host::Ipv6(address)) => self.address(address.into())?,
            Some(Host::Domain(_)) => {}
            None => return Err(Forbidden::NotAnAddress),
        }
        Ok(url)
    }
}

/// The address that is reached in the end: IPv4 inside of IPv6 (mapped, NAT64) is judged as IPv4.
fn meant(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(inside) if NAT64.contains(&inside) => {
            let [.., a, b, c, d] = inside.octets();
            Ipv4Addr::new(a, b, c, d).into()
        }
        canonical => canonical,
    }
}

fn closed(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => CLOSED_V4.iter().find(|(range, _)| range.contains(&address)).map(|(_, kind)| *kind),
        IpAddr::V6(Ipv6Addr::LOCALHOST) => Some("loopback"),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Some("unspecified"),
        IpAddr::V6(address) => match CLOSED_V6.iter().find(|(range, _)| range.contains(&address)) {
            Some((_, kind)) => Some(kind),
            None if OPEN_V6.contains(&address) => None,
            None => Some("reserved"),
        },
    }
}
