//! Counts what an address does within a window, in bounded memory: damps the guessing of keys and the calling of vendors through public pages.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;

use crate::clock::Timestamp;

/// Addresses remembered at a time. Beyond that, newcomers share one count, so a flood of addresses costs no memory and is damped as one.
const REMEMBERED: usize = 10_000;

/// One meter.
pub struct Meter {
    /// How often within the window.
    limit: u32,
    /// How long a count lasts.
    window: SignedDuration,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    /// When each window began, and how often since.
    by_address: HashMap<IpAddr, (Timestamp, u32)>,
    /// When counts that are over were last thrown out: once a window, so that a flood does not pay for it with every request.
    swept_at: Option<Timestamp>,
}

impl Meter {
    /// Lets `limit` pass per address and window.
    #[must_use]
    pub fn new(limit: u32, window: SignedDuration) -> Self {
        Self { limit, window, counts: Mutex::default() }
    }

    /// Counts one more.
    ///
    /// # Errors
    /// How long to wait, once the limit is passed.
    pub fn count(&self, address: IpAddr, now: Timestamp) -> Result<(), Duration> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut address = network(address);
        if counts.by_address.len() >= REMEMBERED && !counts.by_address.contains_key(&address) {
            if counts.swept_at.is_none_or(|at| !self.lasts(at, now)) {
                counts.by_address.retain(|_, (since, _)| self.lasts(*since, now));
                counts.swept_at = Some(now);
            }
            if counts.by_address.len() >= REMEMBERED {
                address = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            }
        }
        let (since, count) = counts.by_address.entry(address).or_insert((now, 0));
        if !self.lasts(*since, now) {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        if *count <= self.limit {
            return Ok(());
        }
        let left = self.window.checked_sub(now.duration_since(*since)).unwrap_or(self.window);
        Err(Duration::try_from(left).unwrap_or_default())
    }

    /// Whether a window that began then is still open. A clock that was set back closes it.
    fn lasts(&self, since: Timestamp, now: Timestamp) -> bool {
        let passed = now.duration_since(since);
        !passed.is_negative() && passed < self.window
    }
}

/// Who is counted as one: an IPv4 address, or a /64 of IPv6, which one household or host has to itself.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}
