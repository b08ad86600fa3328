//! What strangers can do on the merchant's way, where nobody needs a key: open the page, and come back with codes, as often as they like.

use serde_json::json;
use yizhan::clock::Clock;
use yizhan::envelope::digest;
use yizhan::vault::shelf::{Change, Clear, Kind, RecordKey, ShelfError, TokenShelf as _};
use yizhan::vault::{Asker, Exchanged};

use super::grants::{BACK, links_are_open, names, open_links, state_of};
use super::*;

impl World {
    /// The state of the link that somebody is given.
    async fn visited(&self) -> Result<String, VaultError> {
        self.vault.link(NAME, BACK, Asker::Visitor).await.map(|link| state_of(&link.url))
    }
}

#[tokio::test]
async fn visits_to_the_public_page_end_nobodys_link() {
    let world = World::new().await;
    world.ticket().await;
    let (promised, first) = (world.state().await, world.visited().await.unwrap());
    assert_eq!(first.len(), promised.len());
    // More than were ever kept.
    for _ in 0..15 {
        for _ in 0..700 {
            world.visited().await.unwrap();
        }
        world.advance(60);
        world.ticket().await;
    }
    assert_eq!(open_links(&world), 1, "a caller's; those of visits are kept nowhere");
    let world = world.restart().await;
    Worker::over(&world.vault, &world.clock, 3, 1).await;
    let newest = world.visited().await.unwrap();
    for (state, app) in [(first, "app1"), (promised, "app2"), (newest, "app3")] {
        let code = world.vendor.grant(app);
        assert_eq!(world.came_back(&code, &state).await.unwrap(), Exchanged::Authorizers(names(&[app])));
    }
}

#[tokio::test]
async fn a_visitors_link_is_good_once_and_for_a_day() {
    let world = World::new().await;
    world.ticket().await;
    let (used, late) = (world.visited().await.unwrap(), world.visited().await.unwrap());
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
    let (visited, promised) = (world.visited().await.unwrap(), world.state().await);
    let note = RecordKey::new(Kind::Note, "", "mark-key");
    world.shelf.commit(vec![Change::put(note, Clear::new(b"{}".to_vec()))]).await.unwrap();
    let world = world.restart().await;
    assert!(matches!(world.came_back(&world.vendor.grant("app1"), &visited).await, Err(VaultError::UnknownState)));
    assert!(world.came_back(&world.vendor.grant("app2"), &promised).await.is_ok());
    let visited = world.visited().await.unwrap();
    let world = world.restart().await;
    assert!(world.came_back(&world.vendor.grant("app3"), &visited).await.is_ok());
}
