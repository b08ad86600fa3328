//! Fair shares of what strangers can use up: the calls that they have us make, and the room for codes that they bring. Whoever comes first is let in,
//! but of what is left no network has more than a tenth. So a flood soon stops itself, and keeps nobody out who comes from elsewhere: to use all of it
//! up takes some fifty networks at a time, each as large as a provider's.
//!
//! Held by each component's `chamber`; asked by `authorize` and `codes`. Never counts callers with a key, nor what vendors push.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

use super::schedule::{between, goes_on, later};

/// What part of what is left a network may have.
const PART: usize = 10;

/// Links that strangers are given in a minute, and codes of theirs that are tried: per component, because each has quotas of its own at its vendor. So
/// many that the limit of a single address, which `http` counts, is met before its network's.
const MOST: usize = 720;

/// How long a count lasts.
const WINDOW: Duration = Duration::from_secs(60);

/// Where somebody comes from, as widely as a network's owner: whoever has one address there can have others. /16, and /32 of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Network(IpAddr);

impl Network {
    /// The network that an address belongs to.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & u32::MAX << 16).into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & u128::MAX << 96).into(),
        })
    }
}

/// Whether somebody who holds so much may have one more, where that much is left.
pub(super) const fn is_fair(held: usize, left: usize) -> bool {
    held.saturating_mul(PART) < left
}

/// What was given in this minute. As many networks are remembered as were given something: never more than there is to give.
#[derive(Default)]
pub(super) struct Shares {
    began_at: Option<Timestamp>,
    given: usize,
    by_network: HashMap<Network, usize>,
}

impl Shares {
    /// Gives one to somebody from there.
    ///
    /// # Errors
    /// How long to wait for the next minute.
    pub fn take(&mut self, network: Network, now: Timestamp) -> Result<(), Duration> {
        let began_at = match self.began_at.filter(|at| goes_on(*at, WINDOW, now)) {
            Some(at) => at,
            None => {
                *self = Self { began_at: Some(now), ..Self::default() };
                now
            }
        };
        let held = self.by_network.get(&network).copied().unwrap_or(0);
        if !is_fair(held, MOST.saturating_sub(self.given)) {
            return Err(between(now, later(began_at, WINDOW)));
        }
        self.given += 1;
        self.by_network.insert(network, held + 1);
        Ok(())
    }
}
