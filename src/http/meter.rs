//! Counts what an address does within a window, in bounded memory: damps the guessing of keys and the calling of vendors through public pages.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;

use crate::clock::Timestamp;

/// How widely addresses are taken together, and how many such networks of each family are remembered at a time.
struct Breadth {
    v4: u32,
    v6: u128,
    remembered: usize,
}

/// Narrowest first. Who finds no room is counted with its neighbours, at the next breadth: a flood of addresses costs no memory and damps those
/// around it, not everybody. First an IPv4 address, or a /64 of IPv6, which one household or host has to itself; then /24 or /48, which is what
/// one customer of a network has; then /16 or /32, which is a network's own.
const BREADTHS: [Breadth; 3] = [
    Breadth { v4: u32::MAX, v6: u128::MAX << 64, remembered: 10_000 },
    Breadth { v4: u32::MAX << 8, v6: u128::MAX << 80, remembered: 5_000 },
    Breadth { v4: u32::MAX << 16, v6: u128::MAX << 96, remembered: 5_000 },
];

/// One meter.
pub struct Meter {
    /// How often within the window.
    limit: u32,
    /// How long a count lasts.
    window: SignedDuration,
    counts: Mutex<Counts>,
}

/// Each family has rooms of its own: addresses of IPv6 cost nothing, and must not take those of IPv4 theirs.
#[derive(Default)]
struct Counts {
    v4: [Room; BREADTHS.len()],
    v6: [Room; BREADTHS.len()],
}

/// The networks of one breadth.
#[derive(Default)]
struct Room {
    /// When each window began, and how often since.
    by_network: HashMap<IpAddr, (Timestamp, u32)>,
    /// When counts that are over were last thrown out: once a window, so that a flood does not pay for it with every request.
    swept_at: Option<Timestamp>,
}

impl Meter {
    /// Lets `limit` pass per network and window.
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
        let address = address.to_canonical();
        let rooms = if address.is_ipv4() { &mut counts.v4 } else { &mut counts.v6 };
        for (room, breadth) in rooms.iter_mut().zip(&BREADTHS) {
            let network = breadth.network(address);
            if self.has_room(room, &network, breadth.remembered, now) {
                return self.count_in(room, network, now);
            }
        }
        // Whoever has thousands of such networks to himself: all that is left of the family is one.
        let [.., widest] = rooms;
        let unspecified = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        self.count_in(widest, unspecified, now)
    }

    /// Whether that network is counted there, or can be.
    fn has_room(&self, room: &mut Room, network: &IpAddr, remembered: usize, now: Timestamp) -> bool {
        if room.by_network.len() < remembered || room.by_network.contains_key(network) {
            return true;
        }
        if room.swept_at.is_none_or(|at| !self.lasts(at, now)) {
            room.by_network.retain(|_, (since, _)| self.lasts(*since, now));
            room.swept_at = Some(now);
        }
        room.by_network.len() < remembered
    }

    fn count_in(&self, room: &mut Room, network: IpAddr, now: Timestamp) -> Result<(), Duration> {
        let (since, count) = room.by_network.entry(network).or_insert((now, 0));
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

impl Breadth {
    /// The network that an address belongs to.
    fn network(&self, address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & self.v4).into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & self.v6).into(),
        }
    }
}
