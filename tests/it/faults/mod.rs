//! What goes wrong around the service, brought about on purpose: it is killed, the power goes, the disk is full or lies, clocks jump, files rot,
//! handlers misbehave, everybody comes at once. `tests/faults` runs this room, `docs/faults.md` says what each test shows.

mod clocks;
mod crowd;
mod cuts;
mod damage;
mod disk;
mod handlers;
mod kills;
mod station;
mod steps;

/// As often as the run wants it: `tests/faults --long`, or what every run of all tests can afford.
fn times(short: u64, long: u64) -> u64 {
    match std::env::var("YIZHAN_FAULTS").as_deref() {
        Ok("long") => long,
        _ => short,
    }
}

/// A cheap scatter of numbers; the moment of a fault needs no better randomness, and a failure can be repeated.
fn scattered(round: u64, below: u64) -> u64 {
    (round.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33) % below
}
