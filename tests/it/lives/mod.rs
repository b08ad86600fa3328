//! Lives drawn by lot: whatever can happen happens in some order; pushes come twice, in disorder or never; vendors act without answering, refuse, break
//! off; time passes; the service restarts. Nobody wrote these stories down, so they meet orders of events that no other test thought of.
//!
//! A life is told by its number: a failure says which one it was, and `YIZHAN_LIVES=17..18` lives it again (`0..500` many more than every run does).

mod grants;
mod handlers;
mod playbooks;
mod rollouts;
mod versions;

use std::ops::Range;
use std::time::Duration;

use yizhan::simulator::fault::{CallFault, CallTrouble, PushFaults};

use crate::world::World;

/// Numbers by lot, the same ones for the same life.
struct Lot(u64);

impl Lot {
    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }
}

/// What the next calls of a vendor suffer: at most so many.
fn calls_fail(lot: &mut Lot, most: u64) -> CallFault {
    const ALL: [CallTrouble; 6] = [
        CallTrouble::Status(502),
        CallTrouble::LostAnswer,
        CallTrouble::NotHeard,
        CallTrouble::Garbage,
        CallTrouble::RateLimited,
        CallTrouble::DoneAndBusy,
    ];
    CallFault { matching: String::new(), trouble: lot.of(&ALL).clone(), times: 1 + lot.below(most) as u32 }
}

/// What pushes suffer that are found again wherever they are lost.
fn pushes_suffer(lot: &mut Lot) -> PushFaults {
    match lot.below(3) {
        0 => PushFaults { duplicates: 2, forged: true, ..PushFaults::default() },
        1 => PushFaults { lose_percent: 60, ..PushFaults::default() },
        _ => PushFaults::default(),
    }
}

/// Time passes slowly enough for what is to be done meanwhile, and with it a ticket comes.
async fn pass(world: &World, platform: &str, seconds: u64) {
    for _ in 0..seconds.div_ceil(20) {
        world.advance(Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    world.simulator.ticket(platform).await.unwrap();
}

/// The lives to be lived.
fn numbers() -> Range<u64> {
    let asked = std::env::var("YIZHAN_LIVES").unwrap_or_else(|_| String::from("0..6"));
    let (from, to) = asked.split_once("..").unwrap();
    from.parse().unwrap()..to.parse().unwrap()
}
