//! The vault with every real platform: its component on our side, its twin as the vendor.

use tokio::runtime::Builder;
use yizhan::clock::Clock;
use yizhan::outbound::{SendError, Vendors};
use yizhan::platform::push::{Notice, Push};
use yizhan::platform::twin::Outgoing;
use yizhan::platform::{self, Call, Platform, Reply};
use yizhan::vault::{Asker, AuthorizerState, Exchanged, Want};

use super::memory::Stops;
use super::*;
use crate::twin_vendors::{Loss, TwinVendors};

const MERCHANT: &str = "yz0123456789abcdef";

/// One platform, its vendor, and a vault on a shelf in memory.
struct Shop {
    name: &'static str,
    clock: Arc<ManualClock>,
    vendors: Arc<TwinVendors>,
    shelf: Arc<MemoryShelf>,
    vault: Arc<Vault>,
}

/// Stops before and after each call.
struct Stopping {
    vendors: Arc<TwinVendors>,
    stops: Arc<Stops>,
}

#[async_trait::async_trait]
impl Vendors for Stopping {
    async fn send(&self, call: &Call) -> Result<Reply, SendError> {
        self.stops.pass().await;
        let reply = self.vendors.send(call).await;
        self.stops.pass().await;
        reply
    }
}

async fn opened(vendors: &Arc<TwinVendors>, shelf: &Arc<MemoryShelf>, clock: &Arc<ManualClock>) -> Arc<Vault> {
    let calls = Arc::new(Stopping { vendors: Arc::clone(vendors), stops: Arc::clone(&shelf.stops) });
    let shelf = Arc::clone(shelf);
    Vault::open(shelf, vendors.components(), calls, Arc::clone(clock) as _, "https://post.example.com").await.unwrap()
}

impl Shop {
    fn vendors(clock: &Arc<ManualClock>) -> Arc<TwinVendors> {
        TwinVendors::of_all(Arc::clone(clock) as _, |_| "")
    }

    async fn of(platform: &'static dyn Platform) -> Self {
        let clock = Arc::new(ManualClock::starting_at(start()));
        let (vendors, shelf) = (Self::vendors(&clock), Arc::new(MemoryShelf::default()));
        let vault = opened(&vendors, &shelf, &clock).await;
        Self { name: platform.name(), clock, vendors, shelf, vault }
    }

    async fn ticket(&self) {
        let push = self.vendors.twin(self.name, |twin| twin.ticket(self.clock.now()));
        if let Some(push) = push {
            let Notice::Ticket(ticket) = self.vendors.open(self.name, &push).notice else { panic!("{}", self.name) };
            self.vault.keep(self.name, &ticket, self.clock.now()).await.unwrap();
        }
    }

    /// What the inbox and the exchange worker do with a grant's push.
    async fn deliver(&self, push: &Outgoing) -> Result<Exchanged, VaultError> {
        let push: Push = self.vendors.open(self.name, push);
        match &push.notice {
            Notice::Granted(grant) | Notice::Updated(grant) => self.vault.granted(self.name, push.authorizer.as_deref(), grant).await,
            other => panic!("{}: {other:?}", self.name),
        }
    }

    /// A token that the vendor accepts, in the present family; its generation.
    async fn works(&self) -> u64 {
        let served = self.vault.fresh(self.name, &token_of(MERCHANT), Want::default()).await;
        let served = served.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let now = self.clock.now();
        assert!(self.vendors.twin(self.name, |twin| twin.accepts(Some(MERCHANT), served.token.expose(), now)), "{}", self.name);
        served.generation
    }

    async fn granted(&self) {
        self.ticket().await;
        let story = self.vendors.twin(self.name, |twin| twin.grant(MERCHANT, self.clock.now()));
        match &story.push {
            Some(push) => drop(self.deliver(push).await.unwrap_or_else(|error| panic!("{}: {error}", self.name))),
            None => drop(self.vault.returned(self.name, &story.redirect_query, STRANGER).await.unwrap()),
        }
    }

    /// Time passes until the token is due; tickets go on coming. Alipay's live for a year.
    async fn let_it_age(&self) {
        match self.vault.authorizer(self.name, MERCHANT).await.unwrap().1[0].expires_at {
            Some(end) => self.clock.advance(end.duration_since(self.clock.now()) - SignedDuration::from_secs(30)),
            None => self.clock.advance(SignedDuration::from_hours(24 * 350)),
        }
        self.ticket().await;
    }

    /// The renewal that the worker would do.
    async fn renew(&self) -> Result<yizhan::vault::Served, VaultError> {
        self.vault.refresh(self.name, &token_of(MERCHANT)).await
    }
}

fn each(story: impl AsyncFn(Shop)) {
    for platform in platform::ALL.iter().copied() {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { story(Shop::of(platform).await).await });
    }
}

#[test]
fn a_grant_becomes_a_token_that_is_renewed_and_withdrawn() {
    each(async |shop| {
        shop.granted().await;
        assert_eq!(shop.works().await, 1, "{}", shop.name);
        shop.let_it_age().await;
        shop.renew().await.unwrap_or_else(|error| panic!("{}: {error}", shop.name));
        assert_eq!(shop.works().await, 2, "{}", shop.name);
        // What our own recovery pushes back is no news.
        for echo in shop.vendors.pushes(shop.name) {
            assert_eq!(shop.deliver(&echo).await.unwrap(), Exchanged::Already(vec![MERCHANT.to_owned()]), "{}", shop.name);
        }
        assert_eq!(shop.works().await, 2, "{}", shop.name);
        shop.clock.advance(SignedDuration::from_secs(60));
        let push = shop.vendors.twin(shop.name, |twin| twin.revoke(MERCHANT, shop.clock.now()));
        let push = shop.vendors.open(shop.name, &push.unwrap_or_else(|| panic!("{}: no push", shop.name)));
        let Notice::Revoked { at } = push.notice else { panic!("{}", shop.name) };
        shop.vault.revoked(shop.name, push.authorizer.as_deref().unwrap(), at).await.unwrap();
        let gone = shop.vault.fresh(shop.name, &token_of(MERCHANT), Want::default()).await;
        assert!(matches!(gone, Err(VaultError::Revoked { .. })), "{}", shop.name);
        shop.clock.advance(SignedDuration::from_secs(60));
        shop.granted().await;
        assert_eq!(shop.works().await, 3, "{}", shop.name);
    });
}

#[test]
fn push_and_redirect_of_one_grant_do_not_fight() {
    for push_first in [true, false] {
        each(async |shop| {
            shop.ticket().await;
            let redirect_uri = format!("https://post.example.com/callback/{}/authorized", shop.name);
            let link =
                shop.vault.link(shop.name, &redirect_uri, Asker::Caller).await.unwrap_or_else(|error| panic!("{}: {error}", shop.name));
            assert!(!link.url.is_empty());
            // The twin's redirect carries no state; what does is each platform's own business and tested there.
            let story = shop.vendors.twin(shop.name, |twin| twin.grant(MERCHANT, shop.clock.now()));
            let push = story.push.unwrap();
            let (one, two) = if push_first {
                (shop.deliver(&push).await, shop.vault.returned(shop.name, &story.redirect_query, STRANGER).await)
            } else {
                let redirect = shop.vault.returned(shop.name, &story.redirect_query, STRANGER).await;
                (redirect, shop.deliver(&push).await)
            };
            assert!(one.is_ok() && two.is_ok(), "{}: {one:?} {two:?}", shop.name);
            shop.works().await;
            let (authorizer, _) = shop.vault.authorizer(shop.name, MERCHANT).await.unwrap();
            assert_eq!(authorizer.state, AuthorizerState::Granted);
        });
    }
}

#[test]
fn an_answer_lost_on_its_way_costs_no_authorization() {
    for deed in ["exchange", "refresh", "recover"] {
        each(async |shop| {
            shop.ticket().await;
            shop.vendors.lose(deed, Loss::AnswerLost);
            let story = shop.vendors.twin(shop.name, |twin| twin.grant(MERCHANT, shop.clock.now()));
            if let Err(error) = shop.deliver(&story.push.unwrap()).await {
                assert!(matches!(error, VaultError::VendorUnreachable(_)), "{}: {error}", shop.name);
            }
            shop.clock.advance(SignedDuration::from_secs(30));
            shop.works().await;
            shop.let_it_age().await;
            let renewed = shop.renew().await;
            shop.clock.advance(SignedDuration::from_secs(40));
            assert!(shop.works().await >= 2, "{}, {deed}: {renewed:?}", shop.name);
        });
    }
}

#[test]
fn tokens_that_the_vendor_expires_early_are_renewed_on_report() {
    each(async |shop| {
        shop.granted().await;
        shop.vendors.twin(shop.name, |twin| {
            twin.expire_tokens(Some(MERCHANT));
            twin.expire_tokens(None);
        });
        let served = shop.vault.report_invalid(shop.name, &token_of(MERCHANT), 1).await;
        let served = served.unwrap_or_else(|error| panic!("{}: {error}", shop.name));
        assert_eq!(served.generation, 2, "{}", shop.name);
        assert_eq!(shop.works().await, 2, "{}", shop.name);
    });
}

#[test]
fn many_callers_at_expiry_are_one_renewal() {
    each(async |shop| {
        shop.granted().await;
        shop.let_it_age().await;
        shop.vault.fresh(shop.name, &token_of(MERCHANT), Want::default()).await.unwrap();
        let deeds = ["refresh", "recover"].map(|deed| shop.vendors.deeds(shop.name, deed));
        shop.clock.advance(SignedDuration::from_hours(2));
        shop.ticket().await;
        let callers = (0..200).map(|_| {
            let (vault, name) = (Arc::clone(&shop.vault), shop.name);
            tokio::spawn(async move { vault.fresh(name, &token_of(MERCHANT), Want::default()).await.unwrap().generation })
        });
        let mut generations: Vec<u64> = Vec::new();
        for caller in futures_util::future::join_all(callers).await {
            generations.push(caller.unwrap());
        }
        generations.dedup();
        assert_eq!(generations.len(), 1, "{}", shop.name);
        let more = ["refresh", "recover"].map(|deed| shop.vendors.deeds(shop.name, deed));
        let renewals: usize = more.iter().sum::<usize>() - deeds.iter().sum::<usize>();
        // Alipay's tokens do not die; its refresh token is due, which is seen to beside the answers.
        assert_eq!(renewals, 1, "{}", shop.name);
    });
}

#[test]
fn a_vendor_out_of_reach_costs_nothing() {
    each(async |shop| {
        shop.granted().await;
        shop.vendors.lose("refresh", Loss::NotSent);
        assert!(matches!(shop.renew().await, Err(VaultError::VendorUnreachable(_))), "{}", shop.name);
        assert_eq!(shop.works().await, 1, "{}", shop.name);
    });
}

/// Alipay's push of a grant, after a list that dated it so was read a minute later.
async fn sent_after_it_was_found(listed_at: Option<Timestamp>) {
    let shop = Shop::of(platform::named("alipay").unwrap()).await;
    let push = shop.vendors.twin(shop.name, |twin| twin.grant(MERCHANT, start())).push.unwrap();
    let Notice::Granted(sent) = shop.vendors.open(shop.name, &push).notice else { panic!() };
    shop.clock.advance(SignedDuration::from_secs(60));
    let granted_at = listed_at.unwrap_or(shop.clock.now());
    let found = Grant { code: None, tokens: None, permissions: Vec::new(), granted_at };
    shop.vault.granted(shop.name, Some(MERCHANT), &found).await.unwrap();
    assert!(!shop.vault.has_tokens(shop.name, MERCHANT, &sent), "an access token alone is not all that the push brings");
    assert!(shop.vault.has_tokens(shop.name, MERCHANT, &found));
    // Tokens of an earlier grant, which the vendor replaced by those of this one.
    let mut earlier = sent.clone();
    earlier.granted_at = start() - SignedDuration::from_secs(60);
    earlier.tokens.as_mut().unwrap().access.value = Secret::new("earlier");
    let kept = vec![MERCHANT.to_owned()];
    assert_eq!(shop.vault.granted(shop.name, Some(MERCHANT), &earlier).await.unwrap(), Exchanged::Already(kept.clone()));
    assert_eq!(shop.deliver(&push).await.unwrap(), Exchanged::Authorizers(kept.clone()), "{listed_at:?}");
    assert!(shop.vault.has_tokens(shop.name, MERCHANT, &sent));
    assert_eq!(shop.deliver(&push).await.unwrap(), Exchanged::Already(kept), "and that once");
    // What the merchant grants from now on is not held, whatever is.
    let later = shop.clock.now() + SignedDuration::from_secs(1);
    let mut newer = sent.clone();
    newer.granted_at = later;
    assert!(shop.vault.has_tokens(shop.name, MERCHANT, &newer), "the same, whatever the vendor's clock says");
    newer.tokens.as_mut().unwrap().access.value = Secret::new("newer");
    assert!(!shop.vault.has_tokens(shop.name, MERCHANT, &newer));
    newer.granted_at = start();
    assert!(shop.vault.has_tokens(shop.name, MERCHANT, &newer), "replaced before those came that are held");
    let mut with_code = Grant { tokens: None, ..sent.clone() };
    assert!(with_code.code.is_some() && shop.vault.has_tokens(shop.name, MERCHANT, &with_code));
    with_code.granted_at = later;
    assert!(!shop.vault.has_tokens(shop.name, MERCHANT, &with_code));
    shop.let_it_age().await;
    shop.renew().await.unwrap();
    assert_eq!((shop.vendors.deeds(shop.name, "refresh"), shop.vendors.deeds(shop.name, "recover")), (1, 1), "spent, not asked for");
    shop.works().await;
    let again = opened(&shop.vendors, &shop.shelf, &shop.clock).await;
    assert!(again.has_tokens(shop.name, MERCHANT, &sent), "after a start too");
}

#[tokio::test]
async fn the_push_of_a_grant_that_was_found_first_brings_the_refresh_token_that_is_not_held() {
    sent_after_it_was_found(Some(start())).await;
    // A list that does not say when.
    sent_after_it_was_found(None).await;
}

#[test]
fn every_family_has_tokens() {
    each(async |shop| {
        shop.granted().await;
        let components = shop.vendors.components();
        for family in components.named(shop.name).unwrap().families() {
            let key = TokenKey::Authorizer { app_id: MERCHANT.to_owned(), family: *family };
            let served = shop.vault.fresh(shop.name, &key, Want::default()).await;
            assert!(served.is_ok(), "{} {family:?}: {served:?}", shop.name);
        }
        shop.works().await;
    });
}

#[test]
fn a_merchant_from_before_our_time_is_taken_over() {
    each(async |shop| {
        shop.ticket().await;
        drop(shop.vendors.twin(shop.name, |twin| twin.grant(MERCHANT, shop.clock.now())));
        match shop.renew().await {
            Ok(_) => drop(shop.works().await),
            Err(error) => assert!(matches!(error, VaultError::NotAuthorized(_)), "{}: {error}", shop.name),
        }
    });
}

/// Alipay's list names an access token, no refresh token, and goes on naming it when it has died.
#[tokio::test]
async fn a_dead_token_that_the_vendor_goes_on_naming_is_no_answer_to_its_report() {
    let shop = Shop::of(platform::named("alipay").unwrap()).await;
    let lost = shop.vendors.twin(shop.name, |twin| twin.grant(MERCHANT, shop.clock.now()));
    drop(lost);
    shop.renew().await.unwrap();
    let generation = shop.works().await;
    shop.vendors.twin(shop.name, |twin| twin.expire_tokens(Some(MERCHANT)));
    for _ in 0..3 {
        shop.clock.advance(SignedDuration::from_secs(40));
        let told = shop.vault.report_invalid(shop.name, &token_of(MERCHANT), generation).await;
        let Err(VaultError::VendorRefused(error)) = told else { panic!("{told:?}") };
        assert_eq!((error.code.as_str(), error.advice.is_some()), ("unchanged", true));
        let served = shop.vault.fresh(shop.name, &token_of(MERCHANT), Want::default()).await.unwrap();
        assert_eq!(served.generation, generation, "nobody takes it for a newer one");
    }
    let push = shop.vendors.twin(shop.name, |twin| twin.grant(MERCHANT, shop.clock.now())).push.unwrap();
    shop.deliver(&push).await.unwrap();
    assert!(shop.works().await > generation);
    shop.clock.advance(SignedDuration::from_secs(40));
    shop.renew().await.unwrap();
    shop.works().await;
}

/// A kill before and after every commit and every call, on every platform: a token comes back without the merchant.
#[test]
fn killed_at_every_step() {
    for platform in platform::ALL {
        let mut kills = 0;
        for step in 1.. {
            let clock = Arc::new(ManualClock::starting_at(start()));
            let (vendors, shelf) = (Shop::vendors(&clock), Arc::new(MemoryShelf::default()));
            let shop = async || {
                let vault = opened(&vendors, &shelf, &clock).await;
                Shop { name: platform.name(), clock: Arc::clone(&clock), vendors: Arc::clone(&vendors), shelf: Arc::clone(&shelf), vault }
            };
            let push = vendors.twin(platform.name(), |twin| twin.grant(MERCHANT, clock.now())).push.unwrap();
            shelf.stops.set(step);
            let process = Builder::new_current_thread().enable_all().build().unwrap();
            let ended = process.block_on(async {
                let life = async {
                    let shop = shop().await;
                    shop.ticket().await;
                    shop.deliver(&push).await.unwrap();
                    shop.let_it_age().await;
                    shop.renew().await.unwrap();
                };
                tokio::select! {
                    biased;
                    () = shelf.stops.stopped() => false,
                    () = life => true,
                }
            });
            drop(process);
            if ended {
                break;
            }
            kills += 1;
            shelf.stops.clear();
            shelf.forget_leases();
            let process = Builder::new_current_thread().enable_all().build().unwrap();
            process.block_on(async {
                let shop = shop().await;
                shop.ticket().await;
                shop.deliver(&push).await.unwrap_or_else(|error| panic!("{} at {step}: {error}", shop.name));
                let before = shop.works().await;
                shop.clock.advance(SignedDuration::from_secs(60));
                shop.ticket().await;
                // Alipay names the token that it gave when its refresh token is spent, and no other.
                let is_renewed = match shop.renew().await {
                    Ok(_) => true,
                    Err(VaultError::VendorRefused(error)) if shop.name == "alipay" && error.code == "unchanged" => false,
                    Err(error) => panic!("{} at {step}: {error}", shop.name),
                };
                assert_eq!(shop.works().await > before, is_renewed, "{} at {step}", shop.name);
                assert_eq!(shop.shelf.names(yizhan::vault::shelf::Kind::Intent), Vec::<String>::new());
            });
        }
        assert!(kills > 8, "{}: {kills}", platform.name());
    }
}

#[tokio::test]
async fn a_recovery_that_brings_no_refresh_token_is_not_repeated_without_end() {
    let alipay = platform::ALL.iter().copied().find(|platform| platform.name() == "alipay").unwrap();
    let shop = Shop::of(alipay).await;
    shop.granted().await;
    shop.let_it_age().await;
    shop.vendors.lose("refresh", Loss::AnswerLost);
    let renewed = shop.renew().await;
    shop.clock.advance(SignedDuration::from_secs(40));
    assert!(shop.works().await >= 2, "{renewed:?}");
    // The refresh token that was spent and not answered is past its end now.
    shop.clock.advance(SignedDuration::from_hours(24 * 60));
    let worked = async |minutes: usize| {
        Worker::over(&shop.vault, &shop.clock, minutes, 60).await;
        shop.works().await
    };
    let generation = worked(20).await;
    assert_eq!(worked(100).await, generation);
}
