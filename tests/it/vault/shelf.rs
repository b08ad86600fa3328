//! What every shelf must do: run on the one in memory and on sled.

use std::collections::HashSet;
use std::path::Path;

use futures_util::future::join_all;
use uuid::Uuid;
use yizhan::store::at_rest::AtRest;
use yizhan::store::sled::SledVault;
use yizhan::vault::shelf::{Change, Clear, Kind, LARGEST_BODY, RecordKey, ShelfError, TokenShelf};

use super::*;

pub fn at_rest() -> Arc<AtRest> {
    Arc::new(AtRest::new(&Secret::new("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="), &[]).unwrap())
}

pub async fn sled(folder: &Path) -> Arc<SledVault> {
    SledVault::open(folder, at_rest()).await.unwrap()
}

pub fn body(text: &str) -> Clear {
    Clear::new(text.as_bytes().to_vec())
}

pub fn key(kind: Kind, component: &str, name: &str) -> RecordKey {
    RecordKey::new(kind, component, name)
}

async fn text(shelf: &dyn TokenShelf, key: &RecordKey) -> Option<(u64, String)> {
    let record = shelf.get(key).await.unwrap()?;
    Some((record.version, String::from_utf8(record.body.unwrap().to_vec()).unwrap()))
}

async fn holds_the_contract(shelf: Arc<dyn TokenShelf>) {
    versions_count_changes(&*shelf).await;
    a_commit_is_all_or_nothing(&*shelf).await;
    names_are_paged_in_order(&*shelf).await;
    one_of_many_wins(Arc::clone(&shelf)).await;
    sizes_are_bounded(&*shelf).await;
    its_own_lease_can_be_prolonged(&*shelf).await;
}

async fn versions_count_changes(shelf: &dyn TokenShelf) {
    let one = key(Kind::Ticket, "versions", "");
    assert_eq!(text(shelf, &one).await, None);
    shelf.commit(vec![Change::put_if(one.clone(), 0, body("a"))]).await.unwrap();
    assert_eq!(text(shelf, &one).await, Some((1, String::from("a"))));
    shelf.commit(vec![Change::put(one.clone(), body("b"))]).await.unwrap();
    shelf.commit(vec![Change::put_if(one.clone(), 2, body("c"))]).await.unwrap();
    assert_eq!(text(shelf, &one).await, Some((3, String::from("c"))));
    for wrong in [0, 2, 4] {
        let change = Change::put_if(one.clone(), wrong, body("x"));
        assert_eq!(shelf.commit(vec![change]).await, Err(ShelfError::Conflict));
    }
    shelf.commit(vec![Change::remove(one.clone())]).await.unwrap();
    assert_eq!(text(shelf, &one).await, None);
    shelf.commit(vec![Change::remove(one.clone())]).await.unwrap();
    shelf.commit(vec![Change::put_if(one.clone(), 0, body("d"))]).await.unwrap();
    assert_eq!(text(shelf, &one).await, Some((1, String::from("d"))), "a removed record starts again");
    shelf.commit(vec![]).await.unwrap();
}

async fn a_commit_is_all_or_nothing(shelf: &dyn TokenShelf) {
    let (one, two) = (key(Kind::Token, "all", "1"), key(Kind::Token, "all", "2"));
    let changes = vec![Change::put(one.clone(), body("a")), Change::put_if(two.clone(), 7, body("b"))];
    assert_eq!(shelf.commit(changes).await, Err(ShelfError::Conflict));
    assert_eq!((text(shelf, &one).await, text(shelf, &two).await), (None, None));
    let changes = vec![Change::put(one.clone(), body("a")), Change::put_if(one.clone(), 1, body("b")), Change::put(two.clone(), body("c"))];
    shelf.commit(changes).await.unwrap();
    assert_eq!(text(shelf, &one).await, Some((2, String::from("b"))), "later changes of a commit see earlier ones");
    assert_eq!(text(shelf, &two).await, Some((1, String::from("c"))));
}

async fn names_are_paged_in_order(shelf: &dyn TokenShelf) {
    let names = ["a", "a/b", "b", "c", "ä", "微"];
    let mut changes: Vec<Change> = names.iter().rev().map(|name| Change::put(key(Kind::Authorizer, "pages", name), body(name))).collect();
    changes.push(Change::put(key(Kind::Authorizer, "pages2", "b"), body("other component")));
    changes.push(Change::put(key(Kind::Token, "pages", "b"), body("other kind")));
    shelf.commit(changes).await.unwrap();
    let mut seen = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = shelf.page(Kind::Authorizer, "pages", after.as_deref(), 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(last.name.clone());
        seen.extend(page.into_iter().map(|record| (record.name, String::from_utf8(record.body.unwrap().to_vec()).unwrap())));
    }
    assert_eq!(seen, names.map(|name| (name.to_owned(), name.to_owned())));
    let after_gone = shelf.page(Kind::Authorizer, "pages", Some("aa"), 10).await.unwrap();
    assert_eq!(after_gone[0].name, "b", "a position stays valid when its record is gone");
    assert!(shelf.page(Kind::Authorizer, "nobody", None, 10).await.unwrap().is_empty());
}

async fn one_of_many_wins(shelf: Arc<dyn TokenShelf>) {
    let one = key(Kind::Note, "race", "n");
    for round in 0..5_u64 {
        let tries = (0..32).map(|index| {
            let (shelf, one) = (Arc::clone(&shelf), one.clone());
            tokio::spawn(async move { shelf.commit(vec![Change::put_if(one, round, body(&index.to_string()))]).await })
        });
        let results: Vec<_> = join_all(tries).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        assert!(results.iter().all(|result| matches!(result, Ok(()) | Err(ShelfError::Conflict))));
    }
    let many = (0..200).map(|index| {
        let shelf = Arc::clone(&shelf);
        tokio::spawn(async move { shelf.commit(vec![Change::put(key(Kind::Note, "race", &format!("m{index}")), body("x"))]).await })
    });
    assert!(join_all(many).await.into_iter().all(|result| result.unwrap().is_ok()));
    let names: HashSet<String> =
        shelf.page(Kind::Note, "race", Some("m"), 1000).await.unwrap().into_iter().map(|record| record.name).collect();
    assert_eq!(names.iter().filter(|name| name.starts_with('m')).count(), 200);
}

async fn sizes_are_bounded(shelf: &dyn TokenShelf) {
    let one = key(Kind::Intent, "sizes", "x");
    let largest = Clear::new(vec![b'x'; LARGEST_BODY]);
    shelf.commit(vec![Change::put(one.clone(), largest.clone())]).await.unwrap();
    assert_eq!(shelf.get(&one).await.unwrap().unwrap().body.unwrap(), largest);
    let larger = Clear::new(vec![b'x'; LARGEST_BODY + 1]);
    let error = shelf.commit(vec![Change::put(one.clone(), larger), Change::put(key(Kind::Intent, "sizes", "y"), body("y"))]).await;
    assert_eq!(error, Err(ShelfError::TooLarge(LARGEST_BODY + 1)));
    assert!(shelf.get(&key(Kind::Intent, "sizes", "y")).await.unwrap().is_none());
}

async fn its_own_lease_can_be_prolonged(shelf: &dyn TokenShelf) {
    let (now, holder) = (start(), Uuid::new_v4());
    let later = |seconds| now + SignedDuration::from_secs(seconds);
    assert_eq!(shelf.lease("a", holder, now, later(60)).await, Ok(None));
    assert_eq!(shelf.lease("a", holder, later(30), later(90)).await, Ok(None));
    assert_eq!(shelf.lease("a", holder, later(40), later(40)).await, Ok(None), "given back");
}

#[tokio::test]
async fn the_shelf_in_memory_holds_the_contract() {
    holds_the_contract(Arc::new(MemoryShelf::default())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shelf_on_sled_holds_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    holds_the_contract(sled(folder.path()).await).await;
}

#[tokio::test]
async fn a_lease_keeps_others_out_until_it_ends() {
    let shelf = MemoryShelf::default();
    let (now, one, two) = (start(), Uuid::new_v4(), Uuid::new_v4());
    let until = now + SignedDuration::from_secs(60);
    assert_eq!(shelf.lease("a", one, now, until).await, Ok(None));
    assert_eq!(shelf.lease("a", two, now, until).await, Ok(Some(until)));
    assert_eq!(shelf.lease("b", two, now, until).await, Ok(None));
    assert_eq!(shelf.lease("a", two, until, until + SignedDuration::from_secs(1)).await, Ok(None));
}
