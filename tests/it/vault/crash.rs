//! A kill at every step: before and after every commit, before and after every call. After each, a new process on the same shelf must
//! serve a token that the vendor accepts, without a new authorization, with a generation that never goes back.

use std::sync::atomic::{AtomicBool, AtomicU64};

use tokio::runtime::{Builder, Runtime};
use yizhan::clock::Clock;
use yizhan::platform::token::LostReply;
use yizhan::shutdown::Shutdown;
use yizhan::vault::Want;
use yizhan::vault::shelf::Kind;

use super::memory::Stops;
use super::*;

/// What a merchant and the vendor do around the process, and what survives it.
struct Outside {
    clock: Arc<ManualClock>,
    vendor: Arc<FakeVendor>,
    shelf: Arc<MemoryShelf>,
    stops: Arc<Stops>,
    /// The grant's push, until it is acknowledged by the exchange worker; then it is delivered no more.
    push: Grant,
    delivered: AtomicBool,
    /// The highest generation that was served.
    served: AtomicU64,
}

impl Outside {
    fn new(habits: Habits) -> Self {
        let clock = Arc::new(ManualClock::starting_at(start()));
        let stops = Arc::new(Stops::default());
        let vendor = Arc::new(FakeVendor::new(habits, Arc::clone(&clock)));
        *vendor.stops.lock().unwrap() = Some(Arc::clone(&stops));
        let mut shelf = MemoryShelf::default();
        shelf.stops = Arc::clone(&stops);
        let shelf = Arc::new(shelf);
        let push = Grant { code: Some(vendor.grant("app1")), tokens: None, permissions: Vec::new(), granted_at: clock.now() };
        Self { clock, vendor, shelf, stops, push, delivered: AtomicBool::new(false), served: AtomicU64::new(0) }
    }

    async fn deliver(&self, vault: &Vault) {
        if !self.delivered.load(Ordering::SeqCst) {
            vault.granted(NAME, Some("app1"), &self.push).await.unwrap();
            self.delivered.store(true, Ordering::SeqCst);
        }
    }

    async fn ticket(&self, vault: &Vault) {
        vault.keep(NAME, &self.vendor.ticket(), self.clock.now()).await.unwrap();
    }

    async fn fetch(&self, vault: &Vault) {
        let served = vault.fresh(NAME, &token_of("app1"), Want::default()).await.unwrap();
        assert!(served.generation >= self.served.load(Ordering::SeqCst), "a generation went back");
        self.served.store(served.generation, Ordering::SeqCst);
        assert!(self.vendor.accepts("app1", &served.token), "the vendor does not know the token that was served");
    }

    /// A life of the process: a ticket, a grant, two renewals.
    async fn live(&self) {
        let vault = open(Arc::clone(&self.shelf) as _, &self.vendor, &self.clock).await;
        self.ticket(&vault).await;
        self.deliver(&vault).await;
        self.fetch(&vault).await;
        for _ in 0..2 {
            self.clock.advance(SignedDuration::from_secs(7190));
            self.ticket(&vault).await;
            self.fetch(&vault).await;
        }
    }

    /// The life after the kill.
    async fn live_on(&self, work: bool) {
        self.stops.clear();
        self.shelf.forget_leases();
        let vault = open(Arc::clone(&self.shelf) as _, &self.vendor, &self.clock).await;
        self.ticket(&vault).await;
        let shutdown = Shutdown::default();
        let worker = work.then(|| tokio::spawn(Arc::clone(&vault).run(shutdown.clone())));
        self.deliver(&vault).await;
        self.fetch(&vault).await;
        if let Some(worker) = worker {
            for _ in 0..200 {
                tokio::task::yield_now().await;
            }
            shutdown.request();
            worker.await.unwrap();
            self.fetch(&vault).await;
        }
        assert!(self.shelf.names(Kind::Intent).is_empty(), "an intent was left behind");
        assert!(self.shelf.names(Kind::Code).is_empty(), "a code was left behind");
        self.clock.advance(SignedDuration::from_secs(7190));
        self.ticket(&vault).await;
        self.fetch(&vault).await;
    }
}

fn process() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Kills at step 1, 2, 3 … until a life ends by itself. Returns how many kills there were.
fn killed_at_every_step(habits: &Habits, work: bool) -> usize {
    for step in 1.. {
        let outside = Outside::new(habits.clone());
        outside.stops.set(step);
        let ended = process().block_on(async {
            tokio::select! {
                biased;
                () = outside.stops.stopped() => false,
                () = outside.live() => true,
            }
        });
        if ended {
            return step - 1;
        }
        process().block_on(outside.live_on(work));
    }
    unreachable!()
}

#[test]
fn killed_at_every_step_where_lost_tokens_are_recovered() {
    let kills = killed_at_every_step(&Habits::default(), false);
    assert!(kills > 40, "{kills} steps");
    assert_eq!(killed_at_every_step(&Habits::default(), true), kills);
}

#[test]
fn killed_at_every_step_where_a_lost_call_is_repeated_first() {
    for work in [false, true] {
        killed_at_every_step(&Habits { lost_reply: LostReply::RepeatThenRecover, ..Habits::default() }, work);
    }
}

#[test]
fn killed_at_every_step_where_renewal_is_recovery() {
    for work in [false, true] {
        killed_at_every_step(&Habits { renews_by_recovery: true, ..Habits::default() }, work);
    }
}

#[test]
fn killed_at_every_step_where_answers_name_nobody() {
    for work in [false, true] {
        killed_at_every_step(&Habits { anonymous: true, ..Habits::default() }, work);
    }
}

/// The vendor changes its certificate before the grant or the first renewal, and an operator appends it only after the kill. The process reads
/// the answer in vain, starts again, and reads it in vain once more.
#[test]
fn killed_at_every_step_while_the_vendors_certificate_is_unknown() {
    for is_grant_unread in [true, false] {
        for step in 1.. {
            let outside = Outside::new(Habits { lost_reply: LostReply::RepeatThenRecover, ..Habits::default() });
            outside.stops.set(step);
            let ended = process().block_on(async {
                let life = async {
                    for start in 0..2 {
                        let vault = open(Arc::clone(&outside.shelf) as _, &outside.vendor, &outside.clock).await;
                        outside.ticket(&vault).await;
                        if is_grant_unread {
                            if start == 0 {
                                outside.vendor.change_certificate();
                            }
                            assert!(vault.granted(NAME, Some("app1"), &outside.push).await.is_err());
                            continue;
                        }
                        outside.deliver(&vault).await;
                        if start == 0 {
                            outside.fetch(&vault).await;
                            outside.vendor.change_certificate();
                            outside.clock.advance(SignedDuration::from_secs(7100));
                            outside.ticket(&vault).await;
                        }
                        assert!(vault.refresh(NAME, &token_of("app1")).await.is_err());
                    }
                };
                tokio::select! {
                    biased;
                    () = outside.stops.stopped() => false,
                    () = life => true,
                }
            });
            outside.vendor.append_certificate();
            process().block_on(outside.live_on(step % 2 == 0));
            if ended {
                let calls = ["exchange", "refresh", "recover"].map(|deed| outside.vendor.calls(deed));
                assert_eq!(calls, [1, if is_grant_unread { 1 } else { 2 }, 0], "nothing was asked for twice");
                break;
            }
        }
    }
}

#[test]
fn killed_twice() {
    for first in (1..60).step_by(3) {
        for second in (1..30).step_by(2) {
            let outside = Outside::new(Habits::default());
            outside.stops.set(first);
            process().block_on(async {
                tokio::select! {
                    biased;
                    () = outside.stops.stopped() => {}
                    () = outside.live() => {}
                }
            });
            outside.stops.set(second);
            outside.shelf.forget_leases();
            process().block_on(async {
                tokio::select! {
                    biased;
                    () = outside.stops.stopped() => {}
                    () = async {
                        let vault = open(Arc::clone(&outside.shelf) as _, &outside.vendor, &outside.clock).await;
                        outside.ticket(&vault).await;
                        outside.deliver(&vault).await;
                        outside.fetch(&vault).await;
                    } => {}
                }
            });
            process().block_on(outside.live_on(true));
        }
    }
}

/// A redirect whose push never comes: only the code's own record can bring the tokens.
#[test]
fn a_redirect_killed_at_every_step_is_finished_or_was_never_begun() {
    for anonymous in [false, true] {
        for step in 1.. {
            let outside = Outside::new(Habits { anonymous, has_state: false, ..Habits::default() });
            let code = outside.push.code.as_ref().unwrap().value.expose().to_owned();
            outside.stops.set(step);
            let came = AtomicBool::new(false);
            let ended = process().block_on(async {
                tokio::select! {
                    biased;
                    () = outside.stops.stopped() => false,
                    () = async {
                        let vault = open(Arc::clone(&outside.shelf) as _, &outside.vendor, &outside.clock).await;
                        outside.ticket(&vault).await;
                        vault.fresh(NAME, &COMPONENT, Want::default()).await.unwrap();
                        came.store(true, Ordering::SeqCst);
                        vault.returned(NAME, &format!("code={code}"), STRANGER).await.unwrap();
                    } => true,
                }
            });
            if ended {
                break;
            }
            outside.stops.clear();
            outside.shelf.forget_leases();
            let begun = !outside.shelf.names(Kind::Code).is_empty() || !outside.shelf.names(Kind::Used).is_empty();
            process().block_on(async {
                let vault = open(Arc::clone(&outside.shelf) as _, &outside.vendor, &outside.clock).await;
                outside.ticket(&vault).await;
                let shutdown = Shutdown::default();
                let worker = tokio::spawn(Arc::clone(&vault).run(shutdown.clone()));
                for _ in 0..300 {
                    tokio::task::yield_now().await;
                }
                shutdown.request();
                worker.await.unwrap();
                let served = vault.fresh(NAME, &token_of("app1"), Want::default()).await;
                match served {
                    Ok(served) => assert!(outside.vendor.accepts("app1", &served.token)),
                    // Spent at the vendor, no answer stored, and nobody has said whose it is: only the push can help.
                    Err(error) => assert!(!begun || outside.vendor.deeds("exchange") > 0, "step {step}: {error}"),
                }
                if !came.load(Ordering::SeqCst) {
                    assert!(!begun);
                }
            });
        }
    }
}
