//! Grants by push and by redirect, links, withdrawals.

use serde_json::json;
use tokio::sync::Semaphore;
use yizhan::clock::Clock;
use yizhan::envelope::digest;
use yizhan::platform::push::Grant;
use yizhan::platform::token::{Permission, RefreshToken, Renewal};
use yizhan::platform::{AuthorizerTokens, Class, Family, Token, TokenKey};
use yizhan::vault::shelf::{Change, Clear, Kind, RecordKey, ShelfError, TokenShelf as _};
use yizhan::vault::{Asker, AuthorizerState, Exchanged, Found, Standing, Want};

use super::vendor::Fault;
use super::visits::from;
use super::worker::until;
use super::*;

pub const BACK: &str = "https://post.example.com/callback/fake/authorized";

pub fn state_of(url: &str) -> String {
    url.split_once("state=").unwrap().1.to_owned()
}

fn granted(code: yizhan::platform::AuthorizationCode, at: Timestamp) -> Grant {
    Grant { code: Some(code), tokens: None, permissions: Vec::new(), granted_at: at }
}

pub fn names(apps: &[&str]) -> Vec<String> {
    apps.iter().map(|app| (*app).to_owned()).collect()
}

impl World {
    pub async fn came_back(&self, code: &yizhan::platform::AuthorizationCode, state: &str) -> Result<Exchanged, VaultError> {
        self.vault.returned(NAME, &format!("code={}&state={state}", code.value.expose()), STRANGER).await
    }

    pub async fn state(&self) -> String {
        state_of(&self.vault.link(NAME, BACK, Asker::Caller).await.unwrap().url)
    }
}

#[tokio::test]
async fn a_link_holds_an_unguessable_state_that_is_good_once() {
    let world = World::new().await;
    world.ticket().await;
    let link = world.vault.link(NAME, BACK, Asker::Caller).await.unwrap();
    assert!(link.url.contains(BACK));
    let state = state_of(&link.url);
    assert!(state.len() >= 43);
    assert_ne!(state, world.state().await);
    let code = world.vendor.grant("app1");
    assert_eq!(world.came_back(&code, &state).await.unwrap(), Exchanged::Authorizers(names(&["app1"])));
    // The page loaded again.
    assert_eq!(world.came_back(&code, &state).await.unwrap(), Exchanged::Already(names(&["app1"])));
    // Somebody else's code with a used, a made-up, or no valid state.
    let other = world.vendor.grant("app2");
    assert!(matches!(world.came_back(&other, &state).await, Err(VaultError::UnknownState)));
    assert!(matches!(world.came_back(&other, "made-up").await, Err(VaultError::UnknownState)));
    assert!(matches!(world.came_back(&other, "").await, Err(VaultError::UnknownState)));
    assert!(matches!(world.vault.returned(NAME, "error=denied", STRANGER).await, Err(VaultError::VendorRefused(_))));
}

#[tokio::test]
async fn a_page_loaded_again_while_its_code_is_exchanged_shows_what_becomes_of_it() {
    let world = World::new().await;
    world.ticket().await;
    let (state, code) = (world.state().await, world.vendor.grant("app1"));
    world.vendor.close();
    let load = || {
        let (vault, query) = (Arc::clone(&world.vault), format!("code={}&state={state}", code.value.expose()));
        tokio::spawn(async move { vault.returned(NAME, &query, STRANGER).await })
    };
    let first = load();
    until("the exchange", || world.vendor.waiting() == 1).await;
    let second = load();
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert!(!second.is_finished(), "{:?}", second.await);
    world.vendor.open();
    for page in [first, second] {
        assert_eq!(page.await.unwrap().unwrap(), Exchanged::Authorizers(names(&["app1"])));
    }
    assert_eq!(world.vendor.deeds("exchange"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_a_browser_loads_many_times_at_once_is_one_return() {
    let world = World::new().await;
    world.ticket().await;
    for app in (0..20).map(|number| format!("app{number}")) {
        let (state, code) = (world.state().await, world.vendor.grant(&app));
        let loads = (0..8).map(|_| {
            let (vault, query) = (Arc::clone(&world.vault), format!("code={}&state={state}", code.value.expose()));
            tokio::spawn(async move { vault.returned(NAME, &query, STRANGER).await })
        });
        for page in futures_util::future::join_all(loads).await {
            let (Exchanged::Authorizers(shown) | Exchanged::Already(shown)) = page.unwrap().unwrap();
            assert_eq!(shown, names(&[&app]));
        }
    }
    assert_eq!(world.vendor.deeds("exchange"), 20);
}

#[tokio::test]
async fn a_page_loaded_again_while_its_code_waits_asks_for_no_other_state() {
    let world = World::new().await;
    world.ticket().await;
    let (state, code) = (world.state().await, world.vendor.grant("app1"));
    world.faults("exchange", &Fault::Says("busy"), 3);
    for _ in 0..2 {
        let came = world.came_back(&code, &state).await;
        assert!(matches!(&came, Err(VaultError::VendorRefused(error)) if error.class == Class::Retry), "{came:?}");
    }
    let world = world.restart().await;
    let came = world.came_back(&code, &state).await;
    assert!(matches!(&came, Err(VaultError::VendorRefused(error)) if error.class == Class::Retry), "{came:?}");
    assert!(matches!(world.came_back(&world.vendor.grant("app2"), &state).await, Err(VaultError::UnknownState)), "good once all the same");
    assert_eq!(world.came_back(&code, &state).await.unwrap(), Exchanged::Authorizers(names(&["app1"])));
}

#[tokio::test]
async fn a_state_whose_code_could_not_be_kept_is_good_once_more() {
    let world = World::new().await;
    world.ticket().await;
    let (state, code) = (world.state().await, world.vendor.grant("app1"));
    *world.shelf.broken.lock().unwrap() = Some(ShelfError::TooLarge(1));
    for _ in 0..2 {
        let came = world.came_back(&code, &state).await;
        assert!(matches!(came, Err(VaultError::Store(_))), "{came:?}");
    }
    *world.shelf.broken.lock().unwrap() = None;
    assert_eq!(world.came_back(&code, &state).await.unwrap(), Exchanged::Authorizers(names(&["app1"])));
    assert_eq!(open_links(&world), 0);
    assert!(matches!(world.came_back(&world.vendor.grant("app2"), &state).await, Err(VaultError::UnknownState)));
}

#[tokio::test]
async fn a_return_loaded_again_after_a_withdrawal_shows_no_grant() {
    let world = World::with(Habits { batch: &["app2"], ..Habits::default() }).await;
    world.ticket().await;
    let (state, code) = (world.state().await, world.vendor.grant("app1"));
    assert_eq!(world.came_back(&code, &state).await.unwrap(), Exchanged::Authorizers(names(&["app1", "app2"])));
    world.advance(60);
    world.vault.revoked(NAME, "app1", world.clock.now()).await.unwrap();
    assert_eq!(world.came_back(&code, &state).await.unwrap(), Exchanged::Already(names(&["app2"])), "who still grants");
    world.vault.revoked(NAME, "app2", world.clock.now()).await.unwrap();
    assert!(matches!(world.came_back(&code, &state).await, Err(VaultError::UnknownState)));
    // A push from before the withdrawal is settled without anybody's tokens.
    let late = world.vendor.another_code("app1");
    let push = granted(late.clone(), world.clock.now() - SignedDuration::from_secs(30));
    assert_eq!(world.vault.granted(NAME, Some("app1"), &push).await.unwrap(), Exchanged::Already(Vec::new()));
    assert!(matches!(world.vault.returned(NAME, &format!("code={}", late.value.expose()), STRANGER).await, Err(VaultError::UnknownState)));
    world.advance(60);
    world.grant("app1").await.unwrap();
    assert_eq!(world.came_back(&code, &state).await.unwrap(), Exchanged::Already(names(&["app1", "app2"])), "granted anew");
}

#[tokio::test]
async fn a_code_longer_than_any_is_refused_unseen() {
    let world = World::new().await;
    world.ticket().await;
    let endless = world.vault.returned(NAME, &format!("code={}", "c".repeat(1025)), STRANGER).await;
    assert!(matches!(&endless, Err(VaultError::VendorRefused(error)) if error.code == "overlong-code"), "{endless:?}");
    assert_eq!((world.vendor.calls("exchange"), world.shelf.names(Kind::Code).len()), (0, 0));
    let long = world.vault.returned(NAME, &format!("code={}", "c".repeat(1024)), STRANGER).await;
    assert!(matches!(&long, Err(VaultError::VendorRefused(error)) if error.class == Class::CodeInvalid), "{long:?}");
}

#[tokio::test]
async fn a_code_out_of_a_browser_that_a_gateway_turns_away_is_not_kept() {
    for (status, class, kept) in
        [(400, Class::Refuse, 0), (414, Class::Refuse, 0), (403, Class::Retry, 1), (408, Class::Retry, 1), (502, Class::Retry, 1)]
    {
        let world = World::new().await;
        world.ticket().await;
        world.vendor.fault("exchange", Fault::Gateway(status));
        let came = world.vault.returned(NAME, "code=made-up", STRANGER).await;
        assert!(matches!(&came, Err(VaultError::VendorRefused(error)) if error.class == class), "{status}: {came:?}");
        assert_eq!(world.shelf.names(Kind::Code).len(), kept, "{status}");
    }
    // Of a merchant whom the vendor itself told us of, nothing is given up for a gateway's sake.
    let world = World::new().await;
    world.ticket().await;
    world.vendor.fault("exchange", Fault::Gateway(414));
    assert!(world.grant("app1").await.is_err());
    assert_eq!(world.shelf.names(Kind::Code).len(), 1);
}

#[tokio::test]
async fn a_state_survives_a_restart_and_dies_after_a_day() {
    let world = World::new().await;
    world.ticket().await;
    let (one, two) = (world.state().await, world.state().await);
    let world = world.restart().await;
    world.advance(24 * 3600 - 1);
    world.ticket().await;
    let code = world.vendor.grant("app1");
    assert!(world.came_back(&code, &one).await.is_ok());
    world.advance(1);
    let code = world.vendor.grant("app2");
    assert!(matches!(world.came_back(&code, &two).await, Err(VaultError::UnknownState)));
}

/// Records of open links, as they were kept when that many had been asked for at that moment.
pub async fn links_are_open(world: &World, number: u32, asker: &str, at: Timestamp) {
    let record = |number: u32| {
        let whole = digest::sha256(&[asker.as_bytes(), &number.to_be_bytes()]);
        let name = hex::encode(whole.get(..16).unwrap());
        let body = json!({ "hash": hex::encode(whole), "created_at": at, "asker": asker });
        Change::put(RecordKey::new(Kind::State, NAME, name), Clear::new(body.to_string().into_bytes()))
    };
    world.shelf.commit((0..number).map(record).collect()).await.unwrap();
}

pub fn open_links(world: &World) -> usize {
    world.shelf.names(Kind::State).len()
}

#[tokio::test]
async fn a_caller_with_too_many_open_links_is_told_when_there_is_room_again() {
    let world = World::new().await;
    world.ticket().await;
    links_are_open(&world, 19_999, "caller", world.clock.now()).await;
    let world = world.restart().await;
    world.advance(3600);
    let last = world.state().await;
    let prepared = world.vendor.deeds("link");
    let refused = async |world: &World| match world.vault.link(NAME, BACK, Asker::Caller).await {
        Err(VaultError::Invited(wait)) => wait,
        other => panic!("{:?}", other.map(|link| link.url)),
    };
    assert_eq!(refused(&world).await, Duration::from_secs(23 * 3600));
    assert_eq!(world.vendor.deeds("link"), prepared, "the vendor was asked for nothing");
    assert!(world.vault.link(NAME, BACK, Asker::Visitor(STRANGER)).await.is_ok(), "the public page stays open");
    let code = world.vendor.grant("app1");
    assert!(world.came_back(&code, &last).await.is_ok());
    let last = world.state().await;
    refused(&world).await;
    // The oldest have ended, and no cleaning was needed for one more.
    world.advance(23 * 3600);
    world.ticket().await;
    assert!(world.vault.link(NAME, BACK, Asker::Caller).await.is_ok());
    assert_eq!(open_links(&world), 20_000);
    Worker::over(&world.vault, &world.clock, 3, 600).await;
    assert_eq!(open_links(&world), 2);
    let code = world.vendor.grant("app2");
    assert!(world.came_back(&code, &last).await.is_ok());
}

/// They noted only the hash and the time.
#[tokio::test]
async fn links_of_former_builds_are_good_for_their_day() {
    let world = World::new().await;
    world.ticket().await;
    let (one, two) = (world.state().await, world.state().await);
    let mut forgotten = Vec::new();
    for name in world.shelf.names(Kind::State) {
        let key = RecordKey::new(Kind::State, NAME, name);
        let record = world.shelf.get(&key).await.unwrap().unwrap();
        let mut body: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&record.body.unwrap()).unwrap();
        assert_eq!(body.remove("asker"), Some(json!("caller")));
        assert_eq!(body.len(), 2);
        forgotten.push(Change::put(key, Clear::new(serde_json::to_vec(&body).unwrap())));
    }
    world.shelf.commit(forgotten).await.unwrap();
    let world = world.restart().await;
    for asker in [Asker::Visitor(STRANGER), Asker::Caller] {
        world.vault.link(NAME, BACK, asker).await.unwrap();
    }
    Worker::over(&world.vault, &world.clock, 3, 600).await;
    let code = world.vendor.grant("app1");
    assert!(world.came_back(&code, &one).await.is_ok());
    world.advance(24 * 3600);
    let code = world.vendor.grant("app2");
    assert!(matches!(world.came_back(&code, &two).await, Err(VaultError::UnknownState)));
    Worker::over(&world.vault, &world.clock, 3, 600).await;
    assert_eq!(open_links(&world), 0);
}

#[tokio::test]
async fn a_link_that_could_not_be_kept_takes_no_room() {
    let world = World::new().await;
    world.ticket().await;
    world.vault.fresh(NAME, &COMPONENT, Want::default()).await.unwrap();
    links_are_open(&world, 19_999, "caller", world.clock.now()).await;
    let world = world.restart().await;
    *world.shelf.broken.lock().unwrap() = Some(ShelfError::TooLarge(1));
    assert!(matches!(world.vault.link(NAME, BACK, Asker::Caller).await, Err(VaultError::Store(_))));
    *world.shelf.broken.lock().unwrap() = None;
    assert!(world.vault.link(NAME, BACK, Asker::Caller).await.is_ok());
    assert!(matches!(world.vault.link(NAME, BACK, Asker::Caller).await, Err(VaultError::Invited(_))));
}

#[tokio::test]
async fn a_return_without_state_is_exchanged_where_the_platform_carries_none() {
    let world = World::with(Habits { has_state: false, anonymous: true, ..Habits::default() }).await;
    world.ticket().await;
    let code = world.vendor.grant("app1");
    let came = world.vault.returned(NAME, &format!("code={}", code.value.expose()), STRANGER).await.unwrap();
    assert_eq!(came, Exchanged::Authorizers(names(&["app1"])), "asked whose the token is");
    assert_eq!(world.vendor.deeds("identify"), 2);
}

#[tokio::test]
async fn a_link_renews_a_refused_component_token() {
    let world = World::granted().await;
    world.vendor.kill_passes();
    assert!(world.vault.link(NAME, BACK, Asker::Caller).await.is_ok());
}

#[tokio::test]
async fn push_and_redirect_with_the_same_code_exchange_it_once() {
    let world = World::new().await;
    world.ticket().await;
    let state = world.state().await;
    let code = world.vendor.grant("app1");
    let push = granted(code.clone(), world.clock.now());
    let (one, two) = tokio::join!(world.vault.granted(NAME, Some("app1"), &push), world.came_back(&code, &state));
    assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
    assert_eq!(world.vendor.deeds("exchange"), 1);
    let again = world.vault.granted(NAME, Some("app1"), &push).await.unwrap();
    assert_eq!(again, Exchanged::Already(names(&["app1"])));
}

#[tokio::test]
async fn push_and_redirect_with_different_codes_end_with_a_token_that_works() {
    for push_first in [true, false] {
        let world = World::new().await;
        world.ticket().await;
        let state = world.state().await;
        let (code, other) = (world.vendor.grant("app1"), world.vendor.another_code("app1"));
        let push = granted(code, world.clock.now());
        if push_first {
            world.vault.granted(NAME, Some("app1"), &push).await.unwrap();
            world.advance(2);
            world.came_back(&other, &state).await.unwrap();
        } else {
            world.came_back(&other, &state).await.unwrap();
            world.advance(2);
            let came = world.vault.granted(NAME, Some("app1"), &push).await.unwrap();
            assert_eq!(came, Exchanged::Already(names(&["app1"])), "the tokens held are younger than this grant");
        }
        assert!(world.vendor.accepts("app1", &world.fresh("app1").await.unwrap().token));
    }
}

#[tokio::test]
async fn push_and_redirect_at_the_same_moment_end_with_a_token_that_works() {
    for anonymous in [false, true] {
        let world = World::with(Habits { anonymous, ..Habits::default() }).await;
        world.ticket().await;
        let state = world.state().await;
        let (code, other) = (world.vendor.grant("app1"), world.vendor.another_code("app1"));
        let push = granted(code, world.clock.now());
        let (one, two) = tokio::join!(world.came_back(&other, &state), world.vault.granted(NAME, Some("app1"), &push));
        assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
        assert!(world.vendor.accepts("app1", &world.fresh("app1").await.unwrap().token));
    }
}

#[tokio::test]
async fn a_code_that_its_twin_used_up_is_fine_as_long_as_tokens_are_held() {
    let world = World::granted().await;
    // The vendor kills the second code of a grant with the first.
    let late = granted(code("dead", start() + SignedDuration::from_hours(1)), world.clock.now() + SignedDuration::from_secs(1));
    let came = world.vault.granted(NAME, Some("app1"), &late).await.unwrap();
    assert_eq!(came, Exchanged::Already(names(&["app1"])));
    assert_eq!(world.vendor.deeds("recover"), 0);
}

#[tokio::test]
async fn a_refused_code_without_tokens_is_won_back() {
    let world = World::new().await;
    world.ticket().await;
    drop(world.vendor.grant("app1"));
    let dead = granted(code("dead", start() + SignedDuration::from_hours(1)), world.clock.now());
    let came = world.vault.granted(NAME, Some("app1"), &dead).await.unwrap();
    assert_eq!(came, Exchanged::Authorizers(names(&["app1"])));
    assert_eq!(world.vendor.deeds("recover"), 1);
    assert!(world.vendor.accepts("app1", &world.fresh("app1").await.unwrap().token));
}

#[tokio::test]
async fn an_expired_code_is_won_back_without_being_sent() {
    let world = World::new().await;
    let push = world.pushed("app1");
    let error = world.vault.granted(NAME, Some("app1"), &push).await.unwrap_err();
    assert!(matches!(error, VaultError::NoTicket { .. }), "{error:?}");
    let pending = world.fresh("app1").await.unwrap_err();
    assert!(matches!(&pending, VaultError::NotAuthorized(words) if words.contains("tried again by itself")), "{pending}");
    let state = world.vault.component_state(NAME).unwrap();
    assert_eq!((state.authorizers, state.codes_waiting), ((1, 0, 0), 1));
    world.advance(2 * 3600);
    world.ticket().await;
    assert_eq!(world.vault.granted(NAME, Some("app1"), &push).await.unwrap(), Exchanged::Authorizers(names(&["app1"])));
    assert_eq!((world.vendor.deeds("recover"), world.vendor.deeds("exchange")), (1, 1));
}

#[tokio::test]
async fn a_grant_whose_code_was_given_up_says_how_its_token_is_had() {
    let world = World::new().await;
    let push = world.pushed("app1");
    assert!(matches!(world.vault.granted(NAME, Some("app1"), &push).await, Err(VaultError::NoTicket { .. })));
    let with_codes = || world.vault.with_codes(NAME).unwrap().iter().map(|app_id| app_id.to_string()).collect::<Vec<_>>();
    assert_eq!(with_codes(), ["app1"]);
    world.advance(26 * 3600);
    world.ticket().await;
    assert!(matches!(world.vault.granted(NAME, Some("app1"), &push).await, Err(VaultError::NotAuthorized(_))), "given up");
    assert_eq!(with_codes(), [""; 0]);
    let pending = world.fresh("app1").await.unwrap_err();
    assert!(matches!(&pending, VaultError::NotAuthorized(words) if words.contains("renew its token once by force")), "{pending}");
    let served = world.vault.refresh(NAME, &token_of("app1")).await.unwrap();
    assert!(world.vendor.accepts("app1", &served.token));
}

#[tokio::test]
async fn a_refused_code_of_nobody_is_an_error_and_forgotten() {
    let world = World::with(Habits { has_state: false, ..Habits::default() }).await;
    world.ticket().await;
    assert!(matches!(world.vault.returned(NAME, "code=guess", STRANGER).await, Err(VaultError::VendorRefused(_))));
    assert!(world.shelf.names(Kind::Code).is_empty());
}

#[tokio::test]
async fn the_echo_of_our_own_recovery_is_not_exchanged() {
    let world = World::granted_with(Habits { renews_by_recovery: true, ..Habits::default() }).await;
    world.advance(6000);
    world.ticket().await;
    world.vault.refresh(NAME, &token_of("app1")).await.unwrap();
    assert_eq!((world.vendor.deeds("recover"), world.vendor.deeds("refresh")), (1, 0));
    let exchanges = world.vendor.deeds("exchange");
    world.advance(300);
    let echo = granted(world.vendor.another_code("app1"), world.clock.now());
    let came = world.vault.granted(NAME, Some("app1"), &echo).await.unwrap();
    assert_eq!(came, Exchanged::Already(names(&["app1"])));
    let world = world.restart().await;
    let late = granted(world.vendor.another_code("app1"), world.clock.now());
    assert!(matches!(world.vault.granted(NAME, Some("app1"), &late).await, Ok(Exchanged::Already(_))), "known after a restart, too");
    assert_eq!(world.vendor.deeds("exchange"), exchanges);
    world.advance(600);
    let news = granted(world.vendor.another_code("app1"), world.clock.now());
    assert_eq!(world.vault.granted(NAME, Some("app1"), &news).await.unwrap(), Exchanged::Authorizers(names(&["app1"])));
}

#[tokio::test]
async fn an_echo_that_comes_while_we_recover_is_answered_at_once() {
    let world = World::granted_with(Habits { renews_by_recovery: true, ..Habits::default() }).await;
    world.vendor.close();
    let vault = Arc::clone(&world.vault);
    let renewal = tokio::spawn(async move { vault.refresh(NAME, &token_of("app1")).await });
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    let echo = granted(code("echo", start() + SignedDuration::from_hours(1)), world.clock.now());
    let came = world.vault.granted(NAME, Some("app1"), &echo).await.unwrap();
    assert_eq!(came, Exchanged::Already(names(&["app1"])));
    world.vendor.open();
    assert_eq!(renewal.await.unwrap().unwrap().generation, 2);
}

#[tokio::test]
async fn a_withdrawal_that_is_heard_after_the_next_grant_was_won_back_ends_nothing() {
    let world = World::granted().await;
    world.advance(100);
    let withdrawn_at = world.clock.now();
    world.vendor.revoke("app1");
    world.advance(100);
    let push = granted(world.vendor.grant("app1"), world.clock.now());
    world.vendor.fault("exchange", Fault::NotSent);
    world.vault.granted(NAME, Some("app1"), &push).await.unwrap_err();
    // Its code dies before the vendor can be reached again.
    world.advance(4000);
    world.ticket().await;
    Worker::over(&world.vault, &world.clock, 50, 1).await;
    assert_eq!(world.vendor.deeds("recover"), 1);
    let served = world.fresh("app1").await.unwrap();
    world.vault.revoked(NAME, "app1", withdrawn_at).await.unwrap();
    assert!(world.vendor.accepts("app1", &served.token) && world.fresh("app1").await.unwrap().token == served.token);
    let world = world.restart().await;
    world.vault.revoked(NAME, "app1", withdrawn_at).await.unwrap();
    world.fresh("app1").await.unwrap();
}

#[tokio::test]
async fn a_withdrawal_that_is_heard_after_a_grant_which_was_taken_for_an_echo_ends_nothing() {
    let world = World::granted_with(Habits { renews_by_recovery: true, ..Habits::default() }).await;
    world.advance(6000);
    world.ticket().await;
    world.vault.refresh(NAME, &token_of("app1")).await.unwrap();
    world.advance(100);
    let withdrawn_at = world.clock.now();
    world.vendor.revoke("app1");
    world.advance(100);
    let push = granted(world.vendor.grant("app1"), world.clock.now());
    assert_eq!(world.vault.granted(NAME, Some("app1"), &push).await.unwrap(), Exchanged::Already(names(&["app1"])));
    world.vault.revoked(NAME, "app1", withdrawn_at).await.unwrap();
    assert_eq!(world.vault.authorizer(NAME, "app1").await.unwrap().0.state, AuthorizerState::Granted);
    world.vault.revoked(NAME, "app1", world.clock.now()).await.unwrap();
    assert_eq!(world.vault.authorizer(NAME, "app1").await.unwrap().0.state, AuthorizerState::Revoked);
}

#[tokio::test]
async fn a_merchant_whom_nobody_told_of_is_news_when_a_person_asks_for_its_token() {
    let world = World::new().await;
    world.ticket().await;
    // Its push was lost.
    drop(world.vendor.grant("app1"));
    world.advance(600);
    let served = world.vault.refresh(NAME, &token_of("app1")).await.unwrap();
    assert!(world.vendor.accepts("app1", &served.token));
    let found = world.untold("app1").await.unwrap();
    assert_eq!((found.what, found.since), (Standing::Back, None));
    world.vault.told(NAME, "app1", &found).await.unwrap();
    assert_eq!(world.untold("app1").await, None);
}

/// The push of a code that we asked for may be written down before what we ask with it is, and be known in memory after that: by the record it is ours,
/// and its slot's renewal sees to it; by memory it is a push's. Such a code waited for ever, and whatever was found of the merchant was never told.
#[tokio::test]
async fn an_echo_that_came_in_the_very_moment_of_its_recovery_is_no_news_that_is_waited_for() {
    let world = World::granted_with(Habits { renews_by_recovery: true, ..Habits::default() }).await;
    world.advance(8000);
    world.ticket().await;
    world.vault.fresh(NAME, &COMPONENT, Want::default()).await.unwrap();
    world.vendor.close();
    let vault = Arc::clone(&world.vault);
    let renewal = tokio::spawn(async move { vault.refresh(NAME, &token_of("app1")).await });
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    let echo = granted(code("echo", start() + SignedDuration::from_hours(9)), world.clock.now());
    world.vault.granted(NAME, Some("app1"), &echo).await.unwrap();
    let key = RecordKey::new(Kind::Code, NAME, world.shelf.names(Kind::Code).remove(0));
    let kept = world.shelf.get(&key).await.unwrap().unwrap();
    let mut record: serde_json::Value = serde_json::from_slice(&kept.body.unwrap()).unwrap();
    // As the recovery leaves it whose exchange was not answered.
    (record["origin"], record["stage"], record["echo"]) = (json!("recovery"), json!({"sent": {"repeats": 0}}), json!(false));
    world.shelf.commit(vec![Change::put(key, serde_json::to_vec(&record).unwrap().into())]).await.unwrap();
    world.vendor.open();
    renewal.await.unwrap().unwrap();
    let asked = world.vendor.deeds("recover");
    Worker::over(&world.vault, &world.clock, 20, 1).await;
    assert_eq!(world.vendor.deeds("recover"), asked, "its slot has a token: nothing more is asked for");

    world.vendor.revoke("app1");
    world.advance(600);
    assert!(matches!(world.vault.refresh(NAME, &token_of("app1")).await, Err(VaultError::Revoked { .. })));
    assert_eq!(world.untold("app1").await.unwrap().what, Standing::Gone);
}

#[tokio::test]
async fn a_grant_that_comes_while_a_recovery_fails_is_exchanged_afterwards() {
    let world = World::new().await;
    world.ticket().await;
    world.fresh("app1").await.unwrap_err();
    // A person asks for a merchant that nobody knows here, and the vendor does not know it either.
    world.vault.fresh(NAME, &COMPONENT, Want::default()).await.unwrap();
    world.vendor.close();
    let vault = Arc::clone(&world.vault);
    let asked = tokio::spawn(async move { vault.refresh(NAME, &token_of("app1")).await });
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.vendor.waiting(), 1);
    world.vendor.fault("recover", Fault::NotSent);
    // At that moment its owner grants.
    world.grant("app1").await.unwrap();
    world.vendor.open();
    asked.await.unwrap().unwrap_err();
    Worker::over(&world.vault, &world.clock, 50, 1).await;
    assert_eq!(world.vendor.deeds("exchange"), 1);
    assert!(world.vendor.accepts("app1", &world.fresh("app1").await.unwrap().token));
}

impl World {
    pub fn faults(&self, deed: &str, fault: &Fault, times: usize) {
        (0..times).for_each(|_| self.vendor.fault(deed, fault.clone()));
    }

    /// The vendor pushes a code, and the vault's subscription tries a few times.
    async fn push(&self, code: &yizhan::platform::AuthorizationCode) -> Vec<Result<Exchanged, VaultError>> {
        let push = granted(code.clone(), self.clock.now());
        let mut came = Vec::new();
        for _ in 0..4 {
            came.push(self.vault.granted(NAME, Some("app1"), &push).await);
        }
        came
    }

    /// For every code that the vendor gave back it pushes that one and, as some might, another; until it has no more to push.
    async fn echo(&self) {
        for _ in 0..5 {
            for echo in self.vendor.echoes() {
                self.push(&echo).await;
                self.push(&self.vendor.another_code("app1")).await;
            }
        }
    }
}

#[tokio::test]
async fn the_push_of_a_recovery_that_came_to_nothing_causes_no_other() {
    for fault in [Fault::Says("code"), Fault::LostBefore, Fault::LostAfter, Fault::NotSent] {
        let world = World::granted_with(Habits { renews_by_recovery: true, ..Habits::default() }).await;
        world.advance(6000);
        world.ticket().await;
        world.vault.fresh(NAME, &COMPONENT, Want::default()).await.unwrap();
        world.faults("exchange", &fault, 2);
        world.vault.refresh(NAME, &token_of("app1")).await.unwrap_err();
        // Each fails in its turn, as the recovery's own code did.
        world.faults("exchange", &fault, 20);
        world.echo().await;
        assert_eq!(world.vendor.deeds("recover"), 1);
        let world = world.restart().await;
        world.echo().await;
        assert_eq!(world.vendor.deeds("recover"), 1);
        // Its own schedule goes on, and what it causes is known again.
        while world.vendor.remaining("exchange") > 0 {
            Worker::over(&world.vault, &world.clock, 1, 100).await;
            world.echo().await;
        }
        let (recoveries, minutes) = (world.vendor.deeds("recover"), world.clock.now().duration_since(start()).as_mins() - 100);
        assert!(i64::try_from(recoveries).unwrap() <= 4 + minutes / 5, "{recoveries} in {minutes} minutes");
        world.ticket().await;
        Worker::over(&world.vault, &world.clock, 4, 100).await;
        assert!(world.vendor.accepts("app1", &world.fresh("app1").await.unwrap().token));
        assert_eq!(world.shelf.names(Kind::Code), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_code_that_comes_soon_after_a_recovery_is_exchanged_once_and_leaves_no_other_asking() {
    let world = World::granted_with(Habits { renews_by_recovery: true, ..Habits::default() }).await;
    world.advance(6000);
    world.ticket().await;
    world.faults("exchange", &Fault::Says("code"), 2);
    world.vault.refresh(NAME, &token_of("app1")).await.unwrap_err();
    let code = world.vendor.another_code("app1");
    let came = world.push(&code).await;
    for came in &came {
        // Nothing for anybody to see to: the token's own schedule goes on.
        assert!(matches!(came, Ok(Exchanged::Already(apps)) if *apps == names(&["app1"])), "{came:?}");
    }
    assert_eq!((world.vendor.remaining("exchange"), world.vendor.deeds("recover")), (0, 1));
    assert_eq!(world.shelf.names(Kind::Code), Vec::<String>::new());
    // One that the vendor takes is as good as any.
    let came = world.push(&world.vendor.grant("app1")).await;
    assert!(matches!(&came[0], Ok(Exchanged::Authorizers(_))), "{came:?}");
    assert!(world.vendor.accepts("app1", &world.fresh("app1").await.unwrap().token));
}

#[tokio::test]
async fn a_grant_that_comes_soon_after_a_recovery_and_is_refused_is_won_back_when_no_echo_can_be_meant() {
    for fault in [Fault::Says("code"), Fault::LostAfter] {
        for its_own in [true, false] {
            let world = World::new().await;
            world.ticket().await;
            // A person asks for a merchant that nobody knows here, and what comes back is of no use.
            let code = world.vendor.grant("app1");
            world.vendor.fault("exchange", fault.clone());
            world.vault.refresh(NAME, &token_of("app1")).await.unwrap_err();
            assert_eq!(world.vendor.deeds("recover"), 1);
            let asked_at = world.clock.now();
            world.faults("exchange", &fault, 20);
            // Nobody else sees to this merchant.
            let code = if its_own { code } else { world.vendor.echoes().remove(0) };
            world.push(&code).await;
            world.echo().await;
            world.push(&world.vendor.another_code("app1")).await;
            assert_eq!(world.vault.component_state(NAME).unwrap().codes_waiting, 1, "others are not kept beside it");
            world.vendor.mend("exchange");
            while world.vendor.deeds("recover") == 1 {
                Worker::over(&world.vault, &world.clock, 1, 50).await;
                assert!(world.clock.now().duration_since(asked_at) < SignedDuration::from_mins(20));
            }
            assert!(world.clock.now().duration_since(asked_at) >= SignedDuration::from_mins(10));
            world.echo().await;
            assert_eq!(world.vendor.deeds("recover"), 2);
            assert!(world.vendor.accepts("app1", &world.fresh("app1").await.unwrap().token));
        }
    }
}

#[tokio::test]
async fn a_grant_whose_code_and_the_one_asked_for_in_its_place_are_refused_is_tried_again() {
    let world = World::new().await;
    world.ticket().await;
    let code = world.vendor.grant("app1");
    world.faults("exchange", &Fault::Says("code"), 2);
    let came = world.push(&code).await;
    assert!(matches!(came[0], Err(VaultError::NotAuthorized(_))), "its delivery is tried again: {came:?}");
    assert!(came[1..].iter().all(Result::is_ok), "{came:?}");
    assert_eq!((world.vendor.deeds("recover"), world.vendor.remaining("exchange")), (2, 0));
    assert!(world.vendor.accepts("app1", &world.fresh("app1").await.unwrap().token));
}

/// The push of the code that was asked for comes at its likeliest moment, and is all that is left when the asking comes to nothing.
#[tokio::test]
async fn a_code_that_was_asked_for_and_is_pushed_while_its_exchange_hangs_is_not_lost() {
    let world = World::new().await;
    world.ticket().await;
    world.vendor.grant("app1");
    let until = Arc::new(Semaphore::new(0));
    world.vendor.fault("exchange", Fault::Hangs(Arc::clone(&until)));
    let vault = Arc::clone(&world.vault);
    let asked = tokio::spawn(async move { vault.refresh(NAME, &token_of("app1")).await });
    while world.vendor.deeds("exchange") == 0 {
        tokio::task::yield_now().await;
    }
    let echo = world.vendor.echoes().remove(0);
    let came = world.push(&echo).await;
    assert!(came.iter().all(|came| matches!(came, Err(VaultError::NotAuthorized(_)))), "its delivery is tried again: {came:?}");
    until.close();
    asked.await.unwrap().unwrap_err();
    world.push(&echo).await;
    for _ in 0..20 {
        Worker::over(&world.vault, &world.clock, 1, 60).await;
    }
    assert!(world.vendor.accepts("app1", &world.fresh("app1").await.unwrap().token));
    assert_eq!(world.vendor.deeds("recover"), 2);
}

#[tokio::test]
async fn who_asks_while_the_code_is_exchanged_gets_the_token() {
    let world = World::new().await;
    world.ticket().await;
    world.vault.fresh(NAME, &COMPONENT, Want::default()).await.unwrap();
    world.vendor.close();
    let (vault, push) = (Arc::clone(&world.vault), world.pushed("app1"));
    let exchange = tokio::spawn(async move { vault.granted(NAME, Some("app1"), &push).await });
    while world.vendor.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    let vault = Arc::clone(&world.vault);
    let asked = tokio::spawn(async move { vault.fresh(NAME, &token_of("app1"), Want::default()).await });
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    world.vendor.open();
    assert_eq!(asked.await.unwrap().unwrap().generation, 1);
    exchange.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_second_grant_replaces_the_tokens_and_raises_the_generation() {
    let world = World::granted().await;
    world.advance(1);
    world.grant("app1").await.unwrap();
    let served = world.fresh("app1").await.unwrap();
    assert_eq!(served.generation, 2);
    assert!(world.vendor.accepts("app1", &served.token));
}

#[tokio::test]
async fn an_exchange_that_fails_keeps_the_code_and_tries_again_when_asked() {
    for fault in [Fault::NotSent, Fault::Says("busy"), Fault::Says("other")] {
        let world = World::new().await;
        world.ticket().await;
        world.vendor.fault("exchange", fault);
        let push = world.pushed("app1");
        assert!(world.vault.granted(NAME, Some("app1"), &push).await.is_err());
        assert_eq!(world.shelf.names(Kind::Code).len(), 1);
        let world = world.restart().await;
        assert_eq!(world.vault.component_state(NAME).unwrap().codes_waiting, 1);
        assert_eq!(world.vault.granted(NAME, Some("app1"), &push).await.unwrap(), Exchanged::Authorizers(names(&["app1"])));
        assert!(world.shelf.names(Kind::Code).is_empty());
    }
}

#[tokio::test]
async fn an_unanswered_exchange_ends_with_tokens_whether_or_not_it_took_place() {
    for fault in [Fault::LostBefore, Fault::LostAfter] {
        let world = World::new().await;
        world.ticket().await;
        world.vendor.fault("exchange", fault);
        world.grant("app1").await.unwrap();
        assert!(world.vendor.accepts("app1", &world.fresh("app1").await.unwrap().token));
        assert_eq!(world.vendor.deeds("recover"), 1);
    }
}

#[tokio::test]
async fn an_unanswered_exchange_of_an_unknown_authorizer_is_repeated() {
    let world = World::with(Habits { has_state: false, ..Habits::default() }).await;
    world.ticket().await;
    world.vendor.fault("exchange", Fault::LostBefore);
    let code = world.vendor.grant("app1");
    let came = world.vault.returned(NAME, &format!("code={}", code.value.expose()), STRANGER).await.unwrap();
    assert_eq!(came, Exchanged::Authorizers(names(&["app1"])));
}

#[tokio::test]
async fn an_answer_without_a_name_waits_until_the_vendor_tells_it() {
    let world = World::with(Habits { has_state: false, anonymous: true, ..Habits::default() }).await;
    world.ticket().await;
    world.vendor.fault("identify", Fault::NotSent);
    let code = world.vendor.grant("app1");
    let query = format!("code={}", code.value.expose());
    assert!(world.vault.returned(NAME, &query, STRANGER).await.is_err());
    let world = world.restart().await;
    assert_eq!(world.vault.returned(NAME, &query, STRANGER).await.unwrap(), Exchanged::Authorizers(names(&["app1"])));
    assert_eq!(world.vendor.deeds("exchange"), 1, "the stored answer was read again");
    assert!(world.vendor.accepts("app1", &world.fresh("app1").await.unwrap().token));
}

#[tokio::test]
async fn one_code_may_bring_the_tokens_of_several() {
    let world = World::with(Habits { has_state: false, batch: &["app2", "app3"], ..Habits::default() }).await;
    world.ticket().await;
    let code = world.vendor.grant("app1");
    let came = world.vault.returned(NAME, &format!("code={}", code.value.expose()), STRANGER).await.unwrap();
    assert_eq!(came, Exchanged::Authorizers(names(&["app1", "app2", "app3"])));
    for app in ["app1", "app2", "app3"] {
        assert!(world.vendor.accepts(app, &world.fresh(app).await.unwrap().token));
    }
}

fn sent(app_id: &str, token: &str, at: Timestamp) -> Grant {
    let refresh = Some(RefreshToken { value: Secret::new("r"), expires_at: Some(at + SignedDuration::from_hours(8760)) });
    let access = Token { value: Secret::new(token), expires_at: None };
    Grant {
        code: Some(code(&format!("code of {token}"), at + SignedDuration::from_hours(24))),
        tokens: Some(AuthorizerTokens { app_id: Some(app_id.to_owned()), access, refresh, permissions: None }),
        permissions: vec![Permission { id: String::from("7"), name: String::from("seven") }],
        granted_at: at,
    }
}

#[tokio::test]
async fn the_late_push_of_a_grant_that_was_found_to_be_gone_brings_nobody_back() {
    let habits = Habits { has_tickets: false, has_state: false, ..Habits::default() };
    let world = World::with(habits).await;
    drop(world.vendor.grant("app1"));
    let push = sent("app1", "first", world.clock.now());
    world.vault.granted(NAME, Some("app1"), &push).await.unwrap();
    world.advance(3000);
    world.vendor.revoke("app1");
    world.vault.refresh(NAME, &token_of("app1")).await.unwrap_err();
    assert!(matches!(world.fresh("app1").await, Err(VaultError::Revoked { .. })));
    let world = world.restart().await;
    assert_eq!(world.vault.granted(NAME, Some("app1"), &push).await.unwrap(), Exchanged::Already(names(&["app1"])));
    assert!(matches!(world.fresh("app1").await, Err(VaultError::Revoked { .. })));
    // The next grant does.
    world.advance(60);
    let next = sent("app1", "second", world.clock.now());
    assert_eq!(world.vault.granted(NAME, Some("app1"), &next).await.unwrap(), Exchanged::Authorizers(names(&["app1"])));
    assert_eq!(world.fresh("app1").await.unwrap().token.expose(), "second");
}

#[tokio::test]
async fn tokens_that_a_push_brings_are_kept_if_they_are_newer() {
    let habits = Habits {
        has_tickets: false,
        has_state: false,
        renewal: Renewal { ahead: Duration::from_secs(86400 * 30), overlap: Duration::from_secs(60), exercise: None },
        ..Habits::default()
    };
    let world = World::with(habits).await;
    let now = world.clock.now();
    let newer = sent("app1", "newer", now);
    assert_eq!(world.vault.granted(NAME, Some("app1"), &newer).await.unwrap(), Exchanged::Authorizers(names(&["app1"])));
    let older = sent("app1", "older", now - SignedDuration::from_secs(5));
    assert_eq!(world.vault.granted(NAME, None, &older).await.unwrap(), Exchanged::Already(names(&["app1"])));
    assert_eq!(world.vault.granted(NAME, None, &newer).await.unwrap(), Exchanged::Already(names(&["app1"])));
    let served = world.fresh("app1").await.unwrap();
    assert_eq!((served.token.expose(), served.generation), ("newer", 1));
    assert_eq!(world.vault.authorizer(NAME, "app1").await.unwrap().0.permissions[0].name, "seven");
    // The browser brings the code of the same grant.
    let came = world.vault.returned(NAME, "code=code+of+newer", STRANGER).await.unwrap();
    assert_eq!(came, Exchanged::Already(names(&["app1"])));
}

#[tokio::test]
async fn a_grant_without_code_or_tokens_changes_permissions() {
    let world = World::granted().await;
    world.advance(1);
    let permissions = vec![Permission { id: String::from("9"), name: String::from("nine") }];
    let update = Grant { code: None, tokens: None, permissions, granted_at: world.clock.now() };
    assert_eq!(world.vault.granted(NAME, Some("app1"), &update).await.unwrap(), Exchanged::Already(names(&["app1"])));
    assert_eq!(world.vault.authorizer(NAME, "app1").await.unwrap().0.permissions[0].name, "nine");
    drop(world.vendor.grant("app2"));
    assert_eq!(world.vault.granted(NAME, Some("app2"), &update).await.unwrap(), Exchanged::Authorizers(names(&["app2"])), "asked for");
    assert!(matches!(world.vault.granted(NAME, None, &update).await, Err(VaultError::NotAuthorized(_))));
    let long = "x".repeat(129);
    for bad in ["", "a\0b", &long] {
        assert!(matches!(world.vault.granted(NAME, Some(bad), &update).await, Err(VaultError::NotAuthorized(_))));
    }
}

#[tokio::test]
async fn a_withdrawal_takes_the_tokens_and_keeps_the_generation() {
    let world = World::granted().await;
    world.advance(10);
    world.vendor.revoke("app1");
    world.vault.revoked(NAME, "app1", world.clock.now()).await.unwrap();
    let error = world.fresh("app1").await.unwrap_err();
    assert!(matches!(error, VaultError::Revoked { at: Some(at) } if at == start() + SignedDuration::from_secs(10)), "{error:?}");
    assert!(matches!(world.vault.refresh(NAME, &token_of("app1")).await, Err(VaultError::Revoked { .. })));
    assert_eq!(world.vault.component_state(NAME).unwrap().authorizers, (0, 0, 1));
    let world = world.restart().await;
    assert!(matches!(world.fresh("app1").await, Err(VaultError::Revoked { .. })));
    assert!(world.vault.authorizer(NAME, "app1").await.unwrap().1.is_empty());
    world.advance(10);
    world.grant("app1").await.unwrap();
    let served = world.fresh("app1").await.unwrap();
    assert_eq!(served.generation, 2);
    assert!(world.vendor.accepts("app1", &served.token));
}

#[tokio::test]
async fn what_comes_late_does_not_undo_what_is_newer() {
    let world = World::granted().await;
    world.vault.revoked(NAME, "app1", start() - SignedDuration::from_secs(1)).await.unwrap();
    assert!(world.fresh("app1").await.is_ok(), "a withdrawal from before the grant");
    world.advance(100);
    let late = granted(world.vendor.another_code("app1"), start() + SignedDuration::from_secs(50));
    world.vault.revoked(NAME, "app1", world.clock.now()).await.unwrap();
    assert_eq!(world.vault.granted(NAME, Some("app1"), &late).await.unwrap(), Exchanged::Already(Vec::new()));
    assert!(matches!(world.fresh("app1").await, Err(VaultError::Revoked { .. })), "a grant from before the withdrawal");
    world.vault.revoked(NAME, "never seen", world.clock.now()).await.unwrap();
    assert!(matches!(world.fresh("never seen").await, Err(VaultError::Revoked { .. })));
}

#[tokio::test]
async fn a_grant_that_the_vendor_calls_gone_is_revoked() {
    let world = World::granted().await;
    world.vendor.revoke("app1");
    world.advance(600);
    assert!(matches!(world.vault.refresh(NAME, &token_of("app1")).await, Err(VaultError::Revoked { .. })));
    assert_eq!(world.vault.authorizer(NAME, "app1").await.unwrap().0.state, AuthorizerState::Revoked);
    // The time was ours, so a grant that looks older is heard.
    let again = granted(world.vendor.grant("app1"), start() - SignedDuration::from_secs(3));
    assert_eq!(world.vault.granted(NAME, Some("app1"), &again).await.unwrap(), Exchanged::Authorizers(names(&["app1"])));
}

impl World {
    /// The vendor's no was not believed yet.
    async fn to_be_tried_again(&self, answer: Result<(), VaultError>) {
        assert!(matches!(&answer, Err(VaultError::VendorRefused(error)) if error.class == Class::Retry), "{answer:?}");
        assert_eq!(self.untold("app1").await, None);
    }

    /// Who has something to tell, and what it is.
    async fn untold(&self, app_id: &str) -> Option<Found> {
        let found = self.vault.found(NAME, app_id).await.unwrap();
        let listed = self.vault.untold(NAME).unwrap().borrow().contains(app_id);
        assert!(listed || found.is_none(), "whoever waits for news of {app_id} hears of it");
        found
    }
}

#[tokio::test]
async fn a_withdrawal_that_was_found_is_news_until_it_was_told_over_restarts_too() {
    let world = World::granted().await;
    world.vendor.revoke("app1");
    world.advance(600);
    assert!(matches!(world.vault.refresh(NAME, &token_of("app1")).await, Err(VaultError::Revoked { .. })));
    let found = world.untold("app1").await.unwrap();
    assert_eq!((found.what, found.at, found.since), (Standing::Gone, world.clock.now(), Some(start())));
    assert_eq!(found.vendor["code"], "gone");
    let world = world.restart().await;
    assert_eq!(world.untold("app1").await, Some(found.clone()), "the process ended before it was told");
    world.vault.told(NAME, "app1", &found).await.unwrap();
    assert_eq!(world.untold("app1").await, None);
    let world = world.restart().await;
    assert_eq!(world.untold("app1").await, None);
    assert!(world.vault.untold(NAME).unwrap().borrow().is_empty());
    world.advance(100);
    assert!(matches!(world.vault.refresh(NAME, &token_of("app1")).await, Err(VaultError::Revoked { at: Some(at) }) if at == found.at));
    assert_eq!(world.untold("app1").await, None, "told before");
}

#[tokio::test]
async fn a_grant_that_comes_before_its_predecessors_end_was_told_leaves_nothing_to_tell() {
    let world = World::granted().await;
    world.vendor.revoke("app1");
    world.advance(600);
    let _ = world.vault.refresh(NAME, &token_of("app1")).await;
    let found = world.untold("app1").await.unwrap();
    // The vendor's clock is behind ours: its grant looks older than what we found.
    let again = granted(world.vendor.grant("app1"), start() + SignedDuration::from_secs(50));
    world.vault.granted(NAME, Some("app1"), &again).await.unwrap();
    assert_eq!(world.untold("app1").await, None);
    // The event was on its way all the same; it comes back to the vault like any other and ends no newer grant.
    world.vault.revoked(NAME, "app1", found.at).await.unwrap();
    assert!(world.fresh("app1").await.is_ok());
    world.vault.told(NAME, "app1", &found).await.unwrap();
    assert!(world.fresh("app1").await.is_ok());
    // A withdrawal that the vendor pushes is heard as ever.
    world.advance(10);
    world.vault.revoked(NAME, "app1", world.clock.now()).await.unwrap();
    assert!(matches!(world.fresh("app1").await, Err(VaultError::Revoked { .. })));
}

/// The wait for a push that tells of a browser's grant.
const WAIT: i64 = 60;

#[tokio::test]
async fn a_grant_that_a_browser_alone_brought_is_news_after_a_minute_until_it_was_told_over_restarts_too() {
    let world = World::with(Habits { batch: &["app2"], ..Habits::default() }).await;
    world.ticket().await;
    let code = world.vendor.grant("app1");
    world.came_back(&code, &world.state().await).await.unwrap();
    let came_at = world.clock.now();
    let world = world.restart().await;
    world.advance(WAIT - 1);
    assert_eq!(world.untold("app1").await, None, "its push may still come");
    // The merchant opens another link meanwhile.
    let another = world.vendor.another_code("app1");
    world.came_back(&another, &world.state().await).await.unwrap();
    world.advance(1);
    for app in ["app1", "app2"] {
        let found = world.untold(app).await.unwrap();
        assert_eq!((found.what, found.at), (Standing::Came, came_at), "{app}");
        // The event comes back to the vault like any other.
        let event = Grant { code: None, tokens: None, permissions: Vec::new(), granted_at: found.at };
        assert_eq!(world.vault.granted(NAME, Some(app), &event).await.unwrap(), Exchanged::Already(names(&[app])));
        assert_eq!(world.untold(app).await, Some(found.clone()), "the process ended before it was told");
        world.vault.told(NAME, app, &found).await.unwrap();
        assert_eq!(world.untold(app).await, None);
    }
    let world = world.restart().await;
    assert!(world.vault.untold(NAME).unwrap().borrow().is_empty());
    let again = world.vendor.another_code("app1");
    world.came_back(&again, &world.state().await).await.unwrap();
    world.advance(WAIT);
    assert_eq!(world.untold("app1").await, None, "the grant that stands was told");
}

/// A merchant that withdrew, and whose browser alone told ten seconds later that it granted again; when it withdrew.
async fn withdrawn_and_come_back_by_browser() -> (World, Timestamp) {
    let world = World::granted().await;
    world.advance(100);
    let withdrawn_at = world.clock.now();
    world.vendor.revoke("app1");
    world.vault.revoked(NAME, "app1", withdrawn_at).await.unwrap();
    world.advance(10);
    let code = world.vendor.grant("app1");
    world.came_back(&code, &world.state().await).await.unwrap();
    (world, withdrawn_at)
}

#[tokio::test]
async fn a_merchant_who_withdrew_and_came_back_by_browser_alone_is_news() {
    let (world, withdrawn_at) = withdrawn_and_come_back_by_browser().await;
    world.advance(WAIT);
    let found = world.untold("app1").await.unwrap();
    assert_eq!((found.what, found.since), (Standing::Came, Some(withdrawn_at)));
    // Who withdraws before it was told was never here, as far as anybody heard.
    world.vault.revoked(NAME, "app1", world.clock.now()).await.unwrap();
    assert_eq!(world.untold("app1").await, None);
}

#[tokio::test]
async fn a_grant_of_a_browser_is_news_once_its_predecessors_end_is_heard_late() {
    let world = World::granted().await;
    world.advance(100);
    let withdrawn_at = world.clock.now();
    world.vendor.revoke("app1");
    world.advance(50);
    let code = world.vendor.grant("app1");
    world.came_back(&code, &world.state().await).await.unwrap();
    let came_at = world.clock.now();
    world.advance(WAIT);
    assert_eq!(world.untold("app1").await, None, "as far as anybody heard, it stood all the time");
    // Its event is in the log by now, and says that the merchant is gone.
    world.vault.revoked(NAME, "app1", withdrawn_at).await.unwrap();
    assert!(world.vendor.accepts("app1", &world.fresh("app1").await.unwrap().token));
    let world = world.restart().await;
    let found = world.untold("app1").await.unwrap();
    assert_eq!((found.what, found.at, found.since), (Standing::Came, came_at, Some(withdrawn_at)));
    world.vault.told(NAME, "app1", &found).await.unwrap();
    world.vault.revoked(NAME, "app1", withdrawn_at).await.unwrap();
    world.vault.revoked(NAME, "app1", start() + SignedDuration::from_secs(10)).await.unwrap();
    assert_eq!(world.untold("app1").await, None, "a replay tells nothing");
    // Whoever withdraws now is gone.
    world.vault.revoked(NAME, "app1", world.clock.now()).await.unwrap();
    assert!(matches!(world.fresh("app1").await, Err(VaultError::Revoked { .. })));
    assert_eq!(world.untold("app1").await, None);
}

#[tokio::test]
async fn a_grant_that_is_to_be_told_again_stays_news_when_its_first_telling_is_noted() {
    let world = World::granted().await;
    world.advance(100);
    let first_end = world.clock.now();
    world.vendor.revoke("app1");
    world.vault.revoked(NAME, "app1", first_end).await.unwrap();
    world.advance(60);
    let second_end = world.clock.now();
    world.advance(60);
    let code = world.vendor.grant("app1");
    world.came_back(&code, &world.state().await).await.unwrap();
    world.advance(WAIT);
    let first = world.untold("app1").await.unwrap();
    assert_eq!((first.what, first.since), (Standing::Came, Some(first_end)));
    // Its event is in the log. A grant between the two was never heard of; its end is, before the event is noted as told.
    world.vault.revoked(NAME, "app1", second_end).await.unwrap();
    let again = world.untold("app1").await.unwrap();
    assert_eq!((again.at, again.since), (first.at, Some(second_end)));
    world.vault.told(NAME, "app1", &first).await.unwrap();
    assert_eq!(world.untold("app1").await, Some(again.clone()), "the last that handlers heard is that the merchant is gone");
    assert!(world.vault.untold(NAME).unwrap().borrow().contains("app1"));
    world.vault.told(NAME, "app1", &again).await.unwrap();
    assert_eq!(world.untold("app1").await, None);
}

#[tokio::test]
async fn the_late_end_of_the_grant_before_one_that_a_push_dated_is_no_news() {
    let world = World::granted().await;
    world.vault.revoked(NAME, "app1", start() - SignedDuration::from_secs(100)).await.unwrap();
    assert!(world.fresh("app1").await.is_ok());
    assert_eq!(world.untold("app1").await, None);
}

#[tokio::test]
async fn what_a_push_told_before_the_browser_came_is_no_news() {
    let world = World::new().await;
    world.ticket().await;
    world.vendor.fault("exchange", Fault::NotSent);
    let push = world.pushed("app1");
    assert!(world.vault.granted(NAME, Some("app1"), &push).await.is_err(), "kept, and tried again");
    // A browser that takes its time, and brings another code.
    world.advance(900);
    let code = world.vendor.another_code("app1");
    world.came_back(&code, &world.state().await).await.unwrap();
    assert!(world.fresh("app1").await.is_ok());
    world.vault.granted(NAME, Some("app1"), &push).await.unwrap();
    world.advance(WAIT);
    assert_eq!(world.untold("app1").await, None);
}

#[tokio::test]
async fn a_withdrawal_in_the_seconds_around_a_browsers_return_is_heard_and_older_ones_are_not() {
    for (dated, is_heard) in [(0, true), (-29, true), (-31, false)] {
        let world = World::with(Habits::default()).await;
        world.ticket().await;
        world.clock.advance(SignedDuration::from_millis(100_485));
        let code = world.vendor.grant("app1");
        world.came_back(&code, &world.state().await).await.unwrap();
        // The vendor's times are of seconds, and its clock need not be ours.
        let at = Timestamp::from_second(world.clock.now().as_second() + dated).unwrap();
        world.vault.revoked(NAME, "app1", at).await.unwrap();
        assert_eq!(world.fresh("app1").await.is_err(), is_heard, "{dated}");
    }
}

#[tokio::test]
async fn a_withdrawal_that_was_heard_and_is_replayed_ends_no_later_grant_of_a_browser() {
    let (world, withdrawn_at) = withdrawn_and_come_back_by_browser().await;
    world.vault.revoked(NAME, "app1", withdrawn_at).await.unwrap();
    assert!(world.vendor.accepts("app1", &world.fresh("app1").await.unwrap().token));
}

#[tokio::test]
async fn a_withdrawal_in_the_second_of_a_pushed_grant_is_heard_and_the_second_before_is_not() {
    let world = World::new().await;
    world.ticket().await;
    // Alipay dates grants to the millisecond.
    world.clock.advance(SignedDuration::from_millis(485));
    world.grant("app1").await.unwrap();
    world.vault.revoked(NAME, "app1", start() - SignedDuration::from_secs(1)).await.unwrap();
    assert!(world.fresh("app1").await.is_ok());
    world.vault.revoked(NAME, "app1", start()).await.unwrap();
    assert!(matches!(world.fresh("app1").await, Err(VaultError::Revoked { .. })));
}

#[tokio::test]
async fn a_merchant_that_is_taken_over_has_its_name() {
    let world = World::new().await;
    world.ticket().await;
    drop(world.vendor.grant("app1"));
    world.vault.refresh(NAME, &token_of("app1")).await.unwrap();
    assert_eq!(world.vault.authorizer(NAME, "app1").await.unwrap().0.name.as_deref(), Some("shop app1"));
    world.advance(7000);
    world.ticket().await;
    world.vault.refresh(NAME, &token_of("app1")).await.unwrap();
    assert_eq!(world.vendor.deeds("identify"), 1, "asked once");
}

#[tokio::test]
async fn where_recoveries_are_not_pushed_a_push_soon_after_one_is_news() {
    let world = World::granted_with(Habits { renews_by_recovery: true, echoes: false, ..Habits::default() }).await;
    world.advance(6000);
    world.ticket().await;
    world.vault.refresh(NAME, &token_of("app1")).await.unwrap();
    assert_eq!(world.vendor.deeds("recover"), 1);
    world.advance(300);
    let changed = granted(world.vendor.another_code("app1"), world.clock.now());
    assert_eq!(world.vault.granted(NAME, Some("app1"), &changed).await.unwrap(), Exchanged::Authorizers(names(&["app1"])));
    // Its code is refused: that is won back at once, too.
    world.advance(1);
    world.vendor.fault("exchange", Fault::Says("code"));
    let refused = granted(world.vendor.another_code("app1"), world.clock.now());
    world.vault.granted(NAME, Some("app1"), &refused).await.unwrap();
    assert!(world.vendor.accepts("app1", &world.fresh("app1").await.unwrap().token));
}

#[tokio::test]
async fn nothing_is_told_of_the_end_of_a_grant_while_a_newer_one_is_exchanged() {
    let world = World::granted().await;
    world.vendor.revoke("app1");
    world.advance(100);
    let newer = world.pushed("app1");
    world.vendor.fault("exchange", Fault::NotSent);
    assert!(world.vault.granted(NAME, Some("app1"), &newer).await.is_err(), "kept, and tried again");
    world.advance(600);
    world.vendor.fault("refresh", Fault::Says("gone"));
    assert!(matches!(world.vault.refresh(NAME, &token_of("app1")).await, Err(VaultError::Revoked { .. })));
    assert_eq!(world.untold("app1").await, None);
    // The newer one is gone too: that is told, as its own end.
    world.vendor.fault("exchange", Fault::Says("gone"));
    assert!(matches!(world.vault.granted(NAME, Some("app1"), &newer).await, Err(VaultError::Revoked { .. })));
    let found = world.untold("app1").await.unwrap();
    assert_eq!((found.what, found.since), (Standing::Gone, Some(newer.granted_at)));
}

#[tokio::test]
async fn who_insists_on_the_token_of_a_grant_given_up_has_the_vendor_asked() {
    let world = World::granted().await;
    world.advance(600);
    world.vendor.fault("refresh", Fault::Says("gone"));
    assert!(matches!(world.vault.refresh(NAME, &token_of("app1")).await, Err(VaultError::Revoked { .. })));
    let gone = world.untold("app1").await.unwrap();
    world.vault.told(NAME, "app1", &gone).await.unwrap();
    assert!(matches!(world.fresh("app1").await, Err(VaultError::Revoked { .. })), "nobody insists");
    world.advance(100);
    // It was a mistake of the vendor.
    assert_eq!(world.vault.refresh(NAME, &token_of("app1")).await.unwrap().generation, 2);
    let back = world.untold("app1").await.unwrap();
    assert_eq!((back.what, back.at, back.since), (Standing::Back, world.clock.now(), Some(gone.at)));
    world.vault.told(NAME, "app1", &back).await.unwrap();
    // Where the platform gives no code back, there is nobody to ask.
    let world = World::granted_with(Habits { can_recover: false, ..Habits::default() }).await;
    world.vault.revoked(NAME, "app1", world.clock.now()).await.unwrap();
    assert!(matches!(world.vault.refresh(NAME, &token_of("app1")).await, Err(VaultError::Revoked { .. })));
}

#[tokio::test]
async fn a_grant_of_these_minutes_that_the_vendor_does_not_know_yet_is_not_given_up() {
    let world = World::granted().await;
    // The vendor has given tokens for this one: it knows it, and is believed.
    world.advance(100);
    world.vendor.fault("refresh", Fault::Says("gone"));
    assert!(matches!(world.vault.refresh(NAME, &token_of("app1")).await, Err(VaultError::Revoked { .. })));
    // A new grant of the same merchant: its own code is said to be of a grant that is gone.
    world.advance(100);
    let again = world.pushed("app1");
    world.vendor.fault("exchange", Fault::Says("gone"));
    world.to_be_tried_again(world.vault.granted(NAME, Some("app1"), &again).await.map(drop)).await;
    assert_eq!(world.vault.granted(NAME, Some("app1"), &again).await.unwrap(), Exchanged::Authorizers(names(&["app1"])), "it was kept");
    // Its code is lost on the way, and the vendor's list lacks it still.
    world.advance(1000);
    let third = world.pushed("app1");
    world.vendor.fault("exchange", Fault::LostAfter);
    for _ in 0..2 {
        world.vendor.fault("recover", Fault::Says("gone"));
        world.to_be_tried_again(world.vault.granted(NAME, Some("app1"), &third).await.map(drop)).await;
    }
    assert_eq!(world.vault.granted(NAME, Some("app1"), &third).await.unwrap(), Exchanged::Authorizers(names(&["app1"])));
    assert!(world.vendor.accepts("app1", &world.fresh("app1").await.unwrap().token));
}

#[tokio::test]
async fn a_young_grant_that_came_without_a_code_is_not_given_up() {
    let world = World::new().await;
    world.ticket().await;
    drop(world.vendor.grant("app1"));
    let grant = Grant { code: None, tokens: None, permissions: Vec::new(), granted_at: world.clock.now() };
    // The vendor's answers lag behind its list, or its push; a person's asking does not end it either.
    world.faults("recover", &Fault::Says("gone"), 3);
    world.to_be_tried_again(world.vault.granted(NAME, Some("app1"), &grant).await.map(drop)).await;
    world.to_be_tried_again(world.vault.refresh(NAME, &token_of("app1")).await.map(drop)).await;
    let world = world.restart().await;
    world.advance(300);
    world.to_be_tried_again(world.vault.granted(NAME, Some("app1"), &grant).await.map(drop)).await;
    assert_eq!(world.vault.granted(NAME, Some("app1"), &grant).await.unwrap(), Exchanged::Authorizers(names(&["app1"])));
    assert!(world.vendor.accepts("app1", &world.fresh("app1").await.unwrap().token));
    // After that time the vendor is believed.
    drop(world.vendor.grant("app2"));
    let grant = Grant { granted_at: world.clock.now(), ..grant };
    world.faults("recover", &Fault::Says("gone"), 2);
    assert!(matches!(world.vault.granted(NAME, Some("app2"), &grant).await, Err(VaultError::VendorRefused(_))));
    world.advance(600);
    assert!(matches!(world.vault.granted(NAME, Some("app2"), &grant).await, Err(VaultError::Revoked { .. })));
    let found = world.untold("app2").await.unwrap();
    assert_eq!((found.what, found.since), (Standing::Gone, Some(grant.granted_at)));
}

#[tokio::test]
async fn a_withdrawal_is_dated_when_the_vendor_was_asked() {
    let world = World::granted().await;
    world.advance(700);
    let asked_at = world.clock.now();
    world.vendor.fault("refresh", Fault::Says("gone"));
    world.vendor.close();
    let vault = Arc::clone(&world.vault);
    let renewal = tokio::spawn(async move { vault.refresh(NAME, &token_of("app1")).await });
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    // A merchant may grant again now: that would be the later word.
    world.advance(5);
    world.vendor.open();
    assert!(matches!(renewal.await.unwrap(), Err(VaultError::Revoked { at }) if at == Some(asked_at)));
    assert_eq!(world.untold("app1").await.unwrap().at, asked_at);
}

#[tokio::test]
async fn a_grant_that_is_back_before_the_vault_knows_its_end_told_is_told_and_not_ended_by_that() {
    let world = World::granted().await;
    world.advance(700);
    world.vendor.fault("refresh", Fault::Says("gone"));
    assert!(matches!(world.vault.refresh(NAME, &token_of("app1")).await, Err(VaultError::Revoked { .. })));
    let gone = world.untold("app1").await.unwrap();
    world.advance(100);
    // Its event is in the log by now, and the vault was not told so.
    world.vault.refresh(NAME, &token_of("app1")).await.unwrap();
    let back = world.untold("app1").await.unwrap();
    assert_eq!((back.what, back.since), (Standing::Back, Some(gone.at)));
    world.vault.told(NAME, "app1", &gone).await.unwrap();
    assert_eq!(world.untold("app1").await, Some(back));
    world.vault.revoked(NAME, "app1", gone.at).await.unwrap();
    assert!(world.fresh("app1").await.is_ok(), "the event of the end comes late and ends nothing newer");
}

#[tokio::test]
async fn a_withdrawal_during_a_renewal_wins() {
    let world = World::granted().await;
    world.vendor.close();
    let vault = Arc::clone(&world.vault);
    let renewal = tokio::spawn(async move { vault.refresh(NAME, &token_of("app1")).await });
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    world.advance(1);
    let (vault, now) = (Arc::clone(&world.vault), world.clock.now());
    let withdrawal = tokio::spawn(async move { vault.revoked(NAME, "app1", now).await });
    world.vendor.open();
    withdrawal.await.unwrap().unwrap();
    let _ = renewal.await.unwrap();
    assert!(matches!(world.fresh("app1").await, Err(VaultError::Revoked { .. })));
}

#[tokio::test]
async fn authorizers_come_in_pages() {
    let world = World::new().await;
    world.ticket().await;
    for app in ["c", "a", "e", "b", "d"] {
        world.grant(app).await.unwrap();
    }
    let first = world.vault.authorizers(NAME, None, 2).await.unwrap();
    assert_eq!(first.items.iter().map(|one| one.app_id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let second = world.vault.authorizers(NAME, first.next.as_ref(), 2).await.unwrap();
    assert_eq!(second.items.iter().map(|one| one.app_id.as_str()).collect::<Vec<_>>(), ["c", "d"]);
    let third = world.vault.authorizers(NAME, second.next.as_ref(), 2).await.unwrap();
    assert_eq!((third.items.len(), third.next), (1, None));
}

#[tokio::test]
async fn nothing_secret_is_printed() {
    let world = World::granted().await;
    let served = world.fresh("app1").await.unwrap();
    let key = TokenKey::Authorizer { app_id: String::from("app1"), family: Family::Current };
    let all = format!("{served:?} {:?} {:?}", world.vault.ticket(NAME).unwrap(), world.vault.fresh(NAME, &key, Want::default()).await);
    for word in ["access-", "ticket-", "refresh-", "pass-"] {
        assert!(!all.contains(word), "{all}");
    }
}

/// Lets the vault work while so many hours pass; tickets go on coming.
pub async fn hours(world: &World, hours: usize) {
    for _ in 0..hours {
        world.ticket().await;
        Worker::over(&world.vault, &world.clock, 4, 900).await;
    }
}

#[tokio::test]
async fn a_code_out_of_a_browser_that_the_vendor_refuses_for_good_is_not_tried_again() {
    let world = World::with(Habits { has_state: false, ..Habits::default() }).await;
    world.ticket().await;
    for _ in 0..2 {
        world.vendor.fault("exchange", Fault::Says("other"));
    }
    assert!(matches!(world.vault.returned(NAME, "code=made-up", STRANGER).await, Err(VaultError::VendorRefused(_))));
    hours(&world, 2).await;
    assert_eq!(world.vendor.remaining("exchange"), 1);
}

#[tokio::test]
async fn a_code_of_nobody_known_is_given_up_an_hour_after_its_end() {
    let world = World::with(Habits { has_state: false, ..Habits::default() }).await;
    world.ticket().await;
    for _ in 0..1000 {
        world.vendor.fault("exchange", Fault::Says("busy"));
    }
    let code = world.vendor.grant("app1");
    world.vault.returned(NAME, &format!("code={}", code.value.expose()), STRANGER).await.unwrap_err();
    hours(&world, 2).await;
    let left = world.vendor.remaining("exchange");
    assert!(left < 998, "{left}: it is tried as long as it may be of use");
    hours(&world, 1).await;
    let left = world.vendor.remaining("exchange");
    hours(&world, 3).await;
    assert_eq!(world.vendor.remaining("exchange"), left);
}

#[tokio::test]
async fn tokens_whose_owner_the_vendor_never_tells_are_given_up_a_day_after_their_codes_end() {
    let world = World::with(Habits { has_state: false, anonymous: true, ..Habits::default() }).await;
    world.ticket().await;
    world.faults("identify", &Fault::Says("busy"), 1000);
    let code = world.vendor.grant("app1");
    world.vault.returned(NAME, &format!("code={}", code.value.expose()), STRANGER).await.unwrap_err();
    hours(&world, 20).await;
    assert_eq!(world.vault.component_state(NAME).unwrap().codes_waiting, 1, "kept as long as it may be of use");
    hours(&world, 10).await;
    let state = world.vault.component_state(NAME).unwrap();
    assert_eq!(state.codes_waiting, 0);
    assert!(!state.warnings.iter().any(|line| line.contains("code")), "{:?}", state.warnings);
    assert_eq!(world.shelf.names(Kind::Code), Vec::<String>::new());
    assert_eq!(world.vendor.deeds("exchange"), 1);
}

/// Turned away, or let in and to be exchanged later.
pub fn is_turned_away(came: &Result<Exchanged, VaultError>) -> bool {
    match came {
        Err(VaultError::VendorRefused(error)) if error.class == Class::Retry => false,
        Err(error) if error.to_string() == "too many authorizations wait to be completed" => true,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn codes_that_strangers_make_up_wait_in_a_room_that_is_soon_full() {
    let world = World::new().await;
    world.ticket().await;
    let (state, later_state) = (world.state().await, world.state().await);
    world.faults("exchange", &Fault::Says("busy"), 1000);
    let made_up: Vec<String> = (0..100).map(|number| format!("code=made-up-{number}")).collect();
    let all = made_up.iter().zip(0..).map(|(query, number)| world.vault.returned(NAME, query, from(number)));
    let turned_away = futures_util::future::join_all(all).await.iter().filter(|came| is_turned_away(came)).count();
    assert_eq!((turned_away, world.shelf.names(Kind::Code).len()), (36, 64));
    assert!(!is_turned_away(&world.vault.returned(NAME, &made_up[0], STRANGER).await), "it waits already");
    // A merchant whom a caller sent has a room of his own, and so has one of whom the vendor tells.
    let code = world.vendor.grant("app1");
    assert!(!is_turned_away(&world.came_back(&code, &state).await));
    assert!(!is_turned_away(&world.grant("app2").await));
    let world = world.restart().await;
    assert!(is_turned_away(&world.vault.returned(NAME, "code=made-up-too", STRANGER).await));
    assert!(!is_turned_away(&world.came_back(&world.vendor.grant("app3"), &later_state).await));
    world.vendor.mend("exchange");
    Worker::over(&world.vault, &world.clock, 70, 1).await;
    for app in ["app1", "app2", "app3"] {
        assert!(world.vendor.accepts(app, &world.fresh(app).await.unwrap().token));
    }
    let room = world.vault.returned(NAME, "code=made-up-again", STRANGER).await;
    assert!(matches!(&room, Err(VaultError::VendorRefused(error)) if error.class == Class::CodeInvalid), "{room:?}");
    assert_eq!(world.shelf.names(Kind::Code), Vec::<String>::new());
}

#[tokio::test]
async fn who_finds_the_room_full_comes_back_with_the_same_state() {
    let world = World::new().await;
    world.ticket().await;
    let mut states = Vec::new();
    for _ in 0..257 {
        states.push(world.state().await);
    }
    world.faults("exchange", &Fault::Says("busy"), 1000);
    let last = states.pop().unwrap();
    for (number, state) in states.iter().enumerate() {
        let came = world.vault.returned(NAME, &format!("code=made-up-{number}&state={state}"), STRANGER).await;
        assert!(!is_turned_away(&came), "{number}");
    }
    let code = world.vendor.grant("app1");
    assert!(is_turned_away(&world.came_back(&code, &last).await));
    world.vendor.mend("exchange");
    Worker::over(&world.vault, &world.clock, 50, 1).await;
    assert_eq!(world.came_back(&code, &last).await.unwrap(), Exchanged::Authorizers(names(&["app1"])));
}
