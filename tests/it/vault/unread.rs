//! Answers that cannot be verified before an operator has appended the vendor's new certificate: what was spent for them is not lost.

use std::collections::BTreeMap;
use std::sync::Mutex;

use yizhan::clock::Clock;
use yizhan::outbound::{SendError, Vendors};
use yizhan::platform::token::LostReply;
use yizhan::platform::twin::Twin;
use yizhan::platform::{Call, Class, Reply};
use yizhan::vault::Exchanged;
use yizhan::vault::shelf::Kind;

use super::vendor::{APPEND, Fault};
use super::worker::until;
use super::*;
use crate::alipay::{certified, component, file, twin};
use crate::twin_vendors::request;

const DAY: i64 = 24 * 3600;

/// Access tokens that do not die, codes that a browser brings without a mark of ours, no tickets.
fn habits() -> Habits {
    Habits { lost_reply: LostReply::RepeatThenRecover, has_tickets: false, has_state: false, life: None, ..Habits::default() }
}

/// That an operator is told what to do, and that nothing is lost so far.
fn told<T: std::fmt::Debug>(answer: Result<T, VaultError>) {
    let Err(VaultError::VendorRefused(error)) = &answer else { panic!("{answer:?}") };
    assert_eq!((error.class, error.code.as_str(), error.advice), (Class::Configuration, "unknown-certificate", Some(APPEND)));
    assert!(error.message.contains("is kept for a day"), "{error}");
}

impl World {
    async fn insist(&self) -> Result<Served, VaultError> {
        self.vault.refresh(NAME, &token_of("app1")).await
    }

    /// Insists, and gives up the answer that waits.
    async fn insist_anew(&self) -> Result<Served, VaultError> {
        self.vault.refresh_anew(NAME, &token_of("app1")).await
    }

    /// `app1` with tokens, whose renewal has just been answered with an unknown certificate.
    async fn unread_renewal(habits: Habits) -> Self {
        let world = Self::with(habits).await;
        world.grant("app1").await.unwrap();
        world.vendor.change_certificate();
        told(world.insist().await);
        world
    }

    async fn came_with(&self, code: &AuthorizationCode) -> Result<Exchanged, VaultError> {
        self.vault.returned(NAME, &format!("code={}", code.value.expose()), STRANGER).await
    }

    async fn mended(self) -> Self {
        self.vendor.append_certificate();
        self.restart().await
    }

    fn calls(&self) -> [usize; 3] {
        ["exchange", "refresh", "recover"].map(|deed| self.vendor.calls(deed))
    }

    /// The vault's worker does what is due, and nothing of it calls the vendor.
    async fn waits(&self) {
        let calls = self.calls();
        Worker::over(&self.vault, &self.clock, 20, 100).await;
        assert_eq!(self.calls(), calls);
    }

    async fn is_settled(&self) {
        let served = self.fresh("app1").await.unwrap();
        assert!(self.vendor.accepts("app1", &served.token));
        assert!(self.shelf.names(Kind::Intent).is_empty() && self.shelf.names(Kind::Code).is_empty());
    }
}

#[tokio::test]
async fn a_renewal_whose_answer_cannot_be_verified_spends_nothing_more_and_is_read_once_it_can_be() {
    let world = World::unread_renewal(Habits { can_recover: false, ..habits() }).await;
    assert_eq!(world.fresh("app1").await.unwrap().generation, 1, "what is held is served");
    for _ in 0..3 {
        world.advance(30);
        told(world.insist().await);
    }
    world.advance(30);
    told(world.vault.report_invalid(NAME, &token_of("app1"), 1).await);
    world.waits().await;
    let world = world.restart().await;
    assert_eq!(world.fresh("app1").await.unwrap().generation, 1);
    told(world.insist().await);
    world.waits().await;
    assert_eq!(world.calls(), [1, 1, 0]);
    let world = world.mended().await;
    assert_eq!(world.fresh("app1").await.unwrap().generation, 2);
    world.is_settled().await;
    assert_eq!(world.calls(), [1, 1, 0], "read, not asked for");
    // With the refresh token that came in it.
    world.advance(60);
    assert_eq!(world.insist().await.unwrap().generation, 3);
}

#[tokio::test]
async fn whoever_asks_when_the_held_token_is_dead_hears_what_to_do() {
    let world = World::unread_renewal(Habits { life: Some(7200), ..habits() }).await;
    world.advance(7200);
    told(world.fresh("app1").await);
    let warnings = world.vault.component_state(NAME).unwrap().warnings;
    assert!(warnings.iter().any(|line| line.contains("app1") && line.contains("unknown-certificate")), "{warnings:?}");
}

#[tokio::test]
async fn a_renewal_that_cannot_be_verified_for_a_day_counts_as_unanswered() {
    let world = World::unread_renewal(habits()).await;
    world.advance(DAY);
    told(world.insist().await);
    assert_eq!(world.calls(), [1, 2, 0], "repeated once");
    world.advance(DAY - 1);
    told(world.insist().await);
    assert_eq!(world.calls(), [1, 2, 0]);
    world.advance(30);
    assert!(matches!(world.insist().await, Err(VaultError::VendorRefused(_))));
    assert_eq!(world.calls(), [1, 2, 1], "then asked for");
    let world = world.mended().await;
    world.is_settled().await;
}

#[tokio::test]
async fn an_answer_that_no_key_opens_is_waited_for_until_a_person_gives_it_up() {
    let world = World::with(habits()).await;
    world.grant("app1").await.unwrap();
    world.vendor.fault("refresh", Fault::Altered);
    told(world.insist().await);
    world.advance(30);
    let Err(VaultError::VendorRefused(error)) = world.insist().await else { panic!() };
    assert!(error.message.contains("`give_up_answer`"), "who insists is told how it ends: {error}");
    assert_eq!(world.calls(), [1, 1, 0]);
    world.waits().await;
    let warnings = world.vault.component_state(NAME).unwrap().warnings;
    assert!(warnings.iter().any(|line| line.contains("app1") && line.contains("`give_up_answer`")), "{warnings:?}");
    world.advance(30);
    let served = world.insist_anew().await.unwrap();
    assert!(served.generation > 1);
    assert_eq!(world.calls(), [2, 2, 1], "as after an answer that was lost: repeated, and then won back");
    world.is_settled().await;
}

#[tokio::test]
async fn what_came_by_the_very_call_that_gave_an_answer_up_is_not_given_up() {
    let world = World::with(Habits { can_recover: false, ..habits() }).await;
    world.grant("app1").await.unwrap();
    world.vendor.change_certificate();
    told(world.insist_anew().await);
    world.advance(30);
    told(world.insist().await);
    assert_eq!(world.calls(), [1, 1, 0]);
    let world = world.mended().await;
    assert_eq!(world.fresh("app1").await.unwrap().generation, 2);
    world.is_settled().await;
    assert_eq!(world.calls(), [1, 1, 0], "read, not asked for");
}

#[tokio::test]
async fn an_answer_that_was_given_up_is_read_all_the_same_if_nothing_took_its_place() {
    let world = World::unread_renewal(Habits { lost_reply: LostReply::Recover, ..habits() }).await;
    world.advance(DAY);
    assert!(matches!(world.insist().await, Err(VaultError::VendorRefused(_))));
    assert_eq!(world.calls(), [1, 1, 1]);
    let world = world.mended().await;
    world.is_settled().await;
    assert_eq!(world.calls(), [1, 1, 1]);
}

#[tokio::test]
async fn a_merchant_who_grants_anew_ends_the_waiting() {
    let world = World::unread_renewal(Habits { can_recover: false, ..habits() }).await;
    world.advance(60);
    let code = world.vendor.grant("app1");
    told(world.came_with(&code).await);
    let world = world.mended().await;
    let worker = world.work();
    until("both answers are read", || world.shelf.names(Kind::Code).is_empty()).await;
    worker.stop().await;
    world.is_settled().await;
    assert_eq!(world.calls(), [2, 1, 0]);
}

#[tokio::test]
async fn a_code_whose_answer_cannot_be_verified_is_not_sent_again_and_its_tokens_are_read_once_they_can_be() {
    let world = World::with(Habits { can_recover: false, ..habits() }).await;
    let code = world.vendor.grant("app1");
    world.vendor.change_certificate();
    for _ in 0..3 {
        told(world.came_with(&code).await);
    }
    world.waits().await;
    let world = world.restart().await;
    told(world.came_with(&code).await);
    world.waits().await;
    let world = world.mended().await;
    let worker = world.work();
    until("the answer is read", || world.shelf.names(Kind::Code).is_empty()).await;
    worker.stop().await;
    world.is_settled().await;
    assert_eq!(world.calls(), [1, 0, 0]);
    assert_eq!(world.came_with(&code).await.unwrap(), Exchanged::Already(vec![String::from("app1")]));
}

#[tokio::test]
async fn a_browsers_code_whose_answer_cannot_be_verified_for_a_day_is_dropped() {
    let world = World::with(habits()).await;
    let code = world.vendor.grant("app1");
    world.vendor.change_certificate();
    told(world.came_with(&code).await);
    world.advance(DAY - 1);
    told(world.came_with(&code).await);
    world.advance(1);
    assert!(matches!(world.came_with(&code).await, Err(VaultError::NotAuthorized(_))));
    assert!(world.shelf.names(Kind::Code).is_empty());
    assert_eq!(world.calls(), [1, 0, 0]);
}

#[tokio::test]
async fn a_pushed_code_whose_answer_cannot_be_verified_for_a_day_is_won_back() {
    let world = World::with(habits()).await;
    let push = world.pushed("app1");
    world.vendor.change_certificate();
    told(world.vault.granted(NAME, Some("app1"), &push).await);
    assert!(matches!(world.fresh("app1").await, Err(VaultError::NotAuthorized(words)) if words.contains("tried again by itself")));
    world.advance(DAY);
    assert!(matches!(world.vault.granted(NAME, Some("app1"), &push).await, Err(VaultError::VendorRefused(_))));
    assert_eq!(world.calls(), [1, 0, 1]);
    let world = world.mended().await;
    assert!(world.vault.granted(NAME, Some("app1"), &push).await.is_ok());
    world.is_settled().await;
}

/// A merchant who saw no success authorizes once more. In whatever order the answers are read afterwards, the later tokens are the ones.
#[tokio::test]
async fn of_two_answers_that_waited_the_later_one_counts() {
    let mut first_is_read_first = [0, 0];
    for serial in 0..8 {
        let world = World::with(Habits { can_recover: false, ..habits() }).await;
        // Which is read first is a matter of the codes' hashes.
        (0..serial).for_each(|_| drop(world.vendor.another_code("app2")));
        world.vendor.change_certificate();
        let first = world.vendor.grant("app1");
        told(world.came_with(&first).await);
        let name = world.shelf.names(Kind::Code).remove(0);
        world.advance(60);
        let second = world.vendor.grant("app1");
        told(world.came_with(&second).await);
        first_is_read_first[usize::from(world.shelf.names(Kind::Code)[0] == name)] += 1;
        world.advance(60);
        let world = world.mended().await;
        let worker = world.work();
        until("both answers are read", || world.shelf.names(Kind::Code).is_empty()).await;
        worker.stop().await;
        world.is_settled().await;
        assert_eq!(world.calls(), [2, 0, 0]);
    }
    assert!(first_is_read_first.iter().all(|times| *times > 0), "{first_is_read_first:?}");
}

#[tokio::test]
async fn tokens_that_waited_do_not_bring_back_a_merchant_who_withdrew() {
    let world = World::with(habits()).await;
    world.vendor.change_certificate();
    let code = world.vendor.grant("app1");
    told(world.came_with(&code).await);
    world.advance(60);
    world.vendor.revoke("app1");
    world.vault.revoked(NAME, "app1", world.clock.now()).await.unwrap();
    let world = world.mended().await;
    let worker = world.work();
    until("the answer is read", || world.shelf.names(Kind::Code).is_empty()).await;
    worker.stop().await;
    assert!(matches!(world.fresh("app1").await, Err(VaultError::Revoked { .. })));
}

#[tokio::test]
async fn a_page_in_place_of_an_answer_is_asked_again() {
    for fault in [Fault::Page, Fault::Says("busy")] {
        let world = World::with(Habits { can_recover: false, ..habits() }).await;
        world.vendor.fault("exchange", fault.clone());
        let code = world.vendor.grant("app1");
        assert!(matches!(world.came_with(&code).await, Err(VaultError::VendorRefused(error)) if error.class == Class::Retry));
        world.came_with(&code).await.unwrap();
        world.vendor.fault("refresh", fault);
        assert!(matches!(world.insist().await, Err(VaultError::VendorRefused(error)) if error.class == Class::Retry));
        assert!(world.shelf.names(Kind::Intent).is_empty());
        world.advance(30);
        assert_eq!(world.insist().await.unwrap().generation, 2);
        assert_eq!(world.calls(), [2, 2, 0]);
    }
}

/// Alipay's twin, which signs with its next certificate already; and what it was asked for.
struct Alipay {
    clock: Arc<ManualClock>,
    twin: Mutex<Box<dyn Twin>>,
    calls: Mutex<BTreeMap<&'static str, usize>>,
}

const MERCHANT: &str = "2021000000000003";

#[async_trait::async_trait]
impl Vendors for Alipay {
    async fn send(&self, call: &Call) -> Result<Reply, SendError> {
        let answer = self.twin.lock().unwrap().answer(&request(call, "/gateway.do"), self.clock.now());
        *self.calls.lock().unwrap().entry(answer.deed).or_default() += 1;
        Ok(answer.reply)
    }
}

impl Alipay {
    fn new() -> Arc<Self> {
        let next = certified().replace("alipay/alipay.crt", "alipay/alipay_next.crt").replace("platform.pem", "platform_next.pem");
        let clock = Arc::new(ManualClock::starting_at(start()));
        Arc::new(Self { clock, twin: Mutex::new(twin(&next)), calls: Mutex::default() })
    }

    /// A start of the service with that in `alipay_cert`.
    async fn start(self: &Arc<Self>, shelf: &Arc<MemoryShelf>, certificates: &[&str]) -> Arc<Vault> {
        let certificates: String = certificates.iter().map(|name| file(&format!("keys/alipay/{name}.crt"))).collect();
        let settings = certified().replace("{ file = \"keys/alipay/alipay.crt\" }", &format!("'''\n{certificates}'''"));
        // Nothing that is thrown away is won back.
        let component = component(&format!("{settings}\nrecover_by_query = false\n"));
        let (shelf, vendors, clock) = (Arc::clone(shelf) as _, Arc::clone(self) as _, Arc::clone(&self.clock) as _);
        Vault::open(shelf, Components::new(vec![component]), vendors, clock, "https://post.example.com").await.unwrap()
    }

    /// Those for tokens.
    fn calls(&self) -> Vec<(&'static str, usize)> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(deed, _)| ["exchange", "refresh", "recover"].contains(deed)).map(|(deed, times)| (*deed, *times)).collect()
    }

    fn accepts(&self, served: &Served) -> bool {
        self.twin.lock().unwrap().accepts(Some(MERCHANT), served.token.expose(), self.clock.now())
    }
}

fn told_by_alipay<T: std::fmt::Debug>(answer: Result<T, VaultError>) {
    let Err(VaultError::VendorRefused(error)) = &answer else { panic!("{answer:?}") };
    assert_eq!(error.code, "unknown-certificate");
    assert!(error.advice.is_some_and(|advice| advice.contains("put it below the old one in alipay_cert")), "{error:?}");
}

#[tokio::test]
async fn alipays_change_of_certificate_costs_no_authorization_and_no_renewal() {
    let (alipay, shelf) = (Alipay::new(), Arc::new(MemoryShelf::default()));
    let key = token_of(MERCHANT);

    let unready = alipay.start(&shelf, &["alipay"]).await;
    let redirect = alipay.twin.lock().unwrap().grant(MERCHANT, start()).redirect_query;
    for _ in 0..2 {
        told_by_alipay(unready.returned("alipay", &redirect, STRANGER).await);
    }
    Worker::over(&unready, &alipay.clock, 20, 100).await;
    let ready = alipay.start(&shelf, &["alipay", "alipay_next"]).await;
    let worker = Worker::of(&ready);
    until("the answer is read", || shelf.names(Kind::Code).is_empty()).await;
    worker.stop().await;
    let granted = ready.fresh("alipay", &key, Want::default()).await.unwrap();
    assert!(alipay.accepts(&granted));
    assert_eq!(alipay.calls(), [("exchange", 1)]);

    // The same a year later, with a renewal.
    alipay.clock.advance(SignedDuration::from_hours(24 * 350));
    let unready = alipay.start(&shelf, &["alipay"]).await;
    told_by_alipay(unready.refresh("alipay", &key).await);
    assert_eq!(unready.fresh("alipay", &key, Want::default()).await.unwrap().generation, 1);
    alipay.clock.advance(SignedDuration::from_secs(60));
    told_by_alipay(unready.refresh("alipay", &key).await);
    let ready = alipay.start(&shelf, &["alipay", "alipay_next"]).await;
    let renewed = ready.fresh("alipay", &key, Want::default()).await.unwrap();
    assert!(renewed.generation == 2 && alipay.accepts(&renewed));
    assert_eq!(alipay.calls(), [("exchange", 1), ("refresh", 1)]);
    assert!(shelf.names(Kind::Intent).is_empty());
    assert!(ready.refresh("alipay", &key).await.is_ok_and(|served| alipay.accepts(&served)), "with the refresh token that waited");
}
