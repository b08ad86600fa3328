//! What strangers can do on the merchant's way, where nobody needs a key: open the page, and come back with codes, as often as they like.

use serde_json::json;
use yizhan::clock::Clock;
use yizhan::envelope::digest;
use yizhan::vault::shelf::{Change, Clear, Kind, RecordKey, ShelfError, TokenShelf as _};
use yizhan::vault::{Asker, Exchanged};

use super::grants::{BACK, hours, is_turned_away, links_are_open, names, open_links, state_of};
use super::vendor::Fault;
use super::worker::until;
use super::*;

/// An address in the network of that number.
pub fn from(number: u16) -> IpAddr {
    let [high, low] = (number + 0x0b00).to_be_bytes();
    Ipv4Addr::new(high, low, 1, 1).into()
}

impl World {
    /// The state of the link that somebody from there is given.
    async fn visited(&self, address: IpAddr) -> Result<String, VaultError> {
        self.vault.link(NAME, BACK, Asker::Visitor(address)).await.map(|link| state_of(&link.url))
    }
}

#[tokio::test]
async fn visits_to_the_public_page_end_nobodys_link() {
    let world = World::new().await;
    world.ticket().await;
    let (promised, first) = (world.state().await, world.visited(STRANGER).await.unwrap());
    assert_eq!(first.len(), promised.len());
    // More than were ever kept.
    for _ in 0..15 {
        for number in 0..700 {
            world.visited(from(number)).await.unwrap();
        }
        world.advance(60);
        world.ticket().await;
    }
    assert_eq!(open_links(&world), 1, "a caller's; those of visits are kept nowhere");
    let world = world.restart().await;
    Worker::over(&world.vault, &world.clock, 3, 1).await;
    let newest = world.visited(STRANGER).await.unwrap();
    for (state, app) in [(first, "app1"), (promised, "app2"), (newest, "app3")] {
        let code = world.vendor.grant(app);
        assert_eq!(world.came_back(&code, &state).await.unwrap(), Exchanged::Authorizers(names(&[app])));
    }
}

#[tokio::test]
async fn a_visitors_link_is_good_once_and_for_a_day() {
    let world = World::new().await;
    world.ticket().await;
    let (used, late) = (world.visited(STRANGER).await.unwrap(), world.visited(STRANGER).await.unwrap());
    let code = world.vendor.grant("app1");
    // What could not be kept was not used.
    *world.shelf.broken.lock().unwrap() = Some(ShelfError::TooLarge(1));
    assert!(matches!(world.came_back(&code, &used).await, Err(VaultError::Store(_))));
    *world.shelf.broken.lock().unwrap() = None;
    assert_eq!(world.came_back(&code, &used).await.unwrap(), Exchanged::Authorizers(names(&["app1"])));
    assert_eq!(world.came_back(&code, &used).await.unwrap(), Exchanged::Already(names(&["app1"])), "the page loaded again");
    let unknown = async |world: &World, state: &str| {
        let came = world.came_back(&world.vendor.grant("app2"), state).await;
        assert!(matches!(came, Err(VaultError::UnknownState)), "{state}: {came:?}");
    };
    unknown(&world, &used).await;
    let world = world.restart().await;
    unknown(&world, &used).await;
    // One letter changed, everywhere.
    for place in 0..late.len() {
        let mut letters = late.clone().into_bytes();
        letters[place] = if letters[place] == b'A' { b'B' } else { b'A' };
        unknown(&world, std::str::from_utf8(&letters).unwrap()).await;
    }
    unknown(&world, &format!("{late}=")).await;
    world.advance(24 * 3600);
    world.ticket().await;
    unknown(&world, &late).await;
    unknown(&world, &used).await;
    Worker::over(&world.vault, &world.clock, 3, 600).await;
    assert_eq!(open_links(&world), 0, "nothing is remembered of either");
}

/// They kept them.
#[tokio::test]
async fn visitors_links_of_former_builds_are_good_for_their_day() {
    let world = World::new().await;
    world.ticket().await;
    links_are_open(&world, 3, "visitor", world.clock.now()).await;
    let state = "of-a-former-build";
    let name = hex::encode(&digest::sha256(&[NAME.as_bytes(), &[0], state.as_bytes()])[..16]);
    let body = json!({ "hash": hex::encode(digest::sha256(&[state.as_bytes()])), "created_at": world.clock.now(), "asker": "visitor" });
    let record = Change::put(RecordKey::new(Kind::State, NAME, name), Clear::new(body.to_string().into_bytes()));
    world.shelf.commit(vec![record]).await.unwrap();
    let world = world.restart().await;
    world.advance(24 * 3600 - 1);
    world.ticket().await;
    assert!(world.came_back(&world.vendor.grant("app1"), state).await.is_ok());
    assert!(matches!(world.came_back(&world.vendor.grant("app2"), state).await, Err(VaultError::UnknownState)));
    world.advance(1);
    Worker::over(&world.vault, &world.clock, 3, 600).await;
    assert_eq!(open_links(&world), 0);
}

#[tokio::test]
async fn a_key_of_marks_that_cannot_be_read_gives_way_to_a_new_one() {
    let world = World::new().await;
    world.ticket().await;
    let (visited, promised) = (world.visited(STRANGER).await.unwrap(), world.state().await);
    let note = RecordKey::new(Kind::Note, "", "mark-key");
    world.shelf.commit(vec![Change::put(note, Clear::new(b"{}".to_vec()))]).await.unwrap();
    let world = world.restart().await;
    assert!(matches!(world.came_back(&world.vendor.grant("app1"), &visited).await, Err(VaultError::UnknownState)));
    assert!(world.came_back(&world.vendor.grant("app2"), &promised).await.is_ok());
    let visited = world.visited(STRANGER).await.unwrap();
    let world = world.restart().await;
    assert!(world.came_back(&world.vendor.grant("app3"), &visited).await.is_ok());
}

#[tokio::test]
async fn strangers_have_the_vendor_asked_for_so_much_in_a_minute_and_each_network_for_a_part_of_what_is_left() {
    let world = World::new().await;
    world.ticket().await;
    let mut of_one = 0;
    while world.visited(STRANGER).await.is_ok() {
        of_one += 1;
    }
    assert_eq!(of_one, 66);
    let there: [IpAddr; 2] = ["2001:db8:1::1".parse().unwrap(), "2001:db8:ffff::2".parse().unwrap()];
    let mut of_another = 0;
    while world.visited(there[of_another % 2]).await.is_ok() {
        of_another += 1;
    }
    assert_eq!(of_another, 60, "one network of IPv6, however many addresses it has");
    for number in 0..2000 {
        let _ = world.visited(from(number % 1000)).await;
    }
    assert_eq!(world.vendor.calls("link"), 720);
    let busy = world.visited(from(2000)).await;
    assert!(matches!(busy, Err(VaultError::Overrun(wait)) if wait == Duration::from_secs(60)), "{busy:?}");
    let promised = world.state().await;
    // Codes that they make up, without a mark of ours.
    for number in 0..2000 {
        assert!(world.vault.returned(NAME, &format!("code=made-up-{number}"), from(number % 1000)).await.is_err());
    }
    assert_eq!(world.vendor.calls("exchange"), 720);
    assert!(world.came_back(&world.vendor.grant("app1"), &promised).await.is_ok(), "whom a caller sent is no stranger");
    assert!(world.grant("app2").await.is_ok());
    world.advance(60);
    let state = world.visited(STRANGER).await.unwrap();
    assert!(world.came_back(&world.vendor.grant("app3"), &state).await.is_ok());
}

#[tokio::test]
async fn codes_that_no_gateway_lets_through_leave_room_for_those_from_elsewhere() {
    let world = World::new().await;
    world.ticket().await;
    world.faults("exchange", &Fault::Gateway(403), 10_000);
    let come = async |number: u32, address: IpAddr, state: &str| {
        is_turned_away(&world.vault.returned(NAME, &format!("code=made-up-{number}{state}"), address).await)
    };
    let mut waiting = 0;
    while !come(waiting, STRANGER, "").await {
        waiting += 1;
    }
    assert_eq!(waiting, 6);
    assert!(!come(1000, from(1), "").await);
    // With marks that a visit each has cost, and as many networks as one likes.
    for number in 0..300_u16 {
        let state = world.visited(from(number)).await.unwrap();
        let away = come(2000 + u32::from(number), from(number), &format!("&state={state}")).await;
        assert_eq!(away, number >= 256, "{number}");
    }
    let promised = world.state().await;
    assert!(!come(3000, STRANGER, &format!("&state={promised}")).await, "callers' merchants have a room of their own");
    hours(&world, 3).await;
    let state = world.visited(STRANGER).await.unwrap();
    assert!(!come(4000, STRANGER, &format!("&state={state}")).await, "they are given up soon");
    assert!(!come(4001, STRANGER, "").await);
}

#[tokio::test]
async fn however_many_codes_of_strangers_wait_a_renewal_waits_for_one_of_them() {
    let world = World::granted().await;
    let before = world.vendor.calls("exchange");
    world.vendor.close();
    let come = |number: u16| {
        let vault = Arc::clone(&world.vault);
        tokio::spawn(async move { vault.returned(NAME, &format!("code=made-up-{number}"), from(number)).await })
    };
    let strangers: Vec<_> = (0..20).map(come).collect();
    until("they wait", || world.vendor.waiting() == 1 && world.shelf.names(Kind::Code).len() == 20).await;
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    let (vault, vendor) = (Arc::clone(&world.vault), Arc::clone(&world.vendor));
    let renewal = tokio::spawn(async move { vault.refresh(NAME, &token_of("app1")).await.map(|_| vendor.calls("exchange")) });
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    world.vendor.open();
    // One was under way, and others go on while the renewal's end is told.
    let exchanged = renewal.await.unwrap().unwrap() - before;
    assert!(exchanged < 10, "{exchanged}");
    for stranger in strangers {
        assert!(stranger.await.unwrap().is_err());
    }
}
