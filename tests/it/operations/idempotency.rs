//! `Idempotency-Key`: what is remembered, what is released, and what a restart leaves.

use std::sync::Arc;

use jiff::SignedDuration;
use yizhan::operations::idempotency::{Answer, Begun, Idempotency, MOST_BODY_BYTES, Memory, Slot, Ticket, fingerprint};

use super::fake::Leaping;

fn answer(body: &str) -> Answer {
    Answer { status: 200, content_type: String::from("application/json"), file_name: None, body: Some(body.into()) }
}

async fn go(book: &Idempotency, key: &str, request: &str) -> Ticket {
    match book.begin(Slot::of("bot", key), request.into()).await.unwrap() {
        Begun::Go(ticket) => ticket,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_second_request_gets_the_first_ones_answer() {
    let book = Idempotency::new(Arc::new(Memory::default()), Leaping::new());
    let ticket = go(&book, "k", "r").await;
    assert!(matches!(book.begin(Slot::of("bot", "k"), "r".into()).await.unwrap(), Begun::Working));
    book.answered(ticket, answer("{}")).await.unwrap();
    let again = book.begin(Slot::of("bot", "k"), "r".into()).await.unwrap();
    assert!(matches!(again, Begun::Answered(given) if given == answer("{}")));
    assert!(matches!(book.begin(Slot::of("bot", "k"), "other".into()).await.unwrap(), Begun::Another));
    go(&book, "another key", "r").await;
    assert!(matches!(book.begin(Slot::of("other api key", "k"), "r".into()).await.unwrap(), Begun::Go(_)));
}

#[tokio::test]
async fn a_released_key_and_one_that_is_a_day_old_are_free_again() {
    let clock = Leaping::new();
    let book = Idempotency::new(Arc::new(Memory::default()), clock.clone());
    let ticket = go(&book, "k", "r").await;
    book.released(ticket).await.unwrap();
    let ticket = go(&book, "k", "other").await;
    book.answered(ticket, answer("{}")).await.unwrap();
    clock.leap(SignedDuration::from_hours(24) - SignedDuration::from_secs(1));
    assert!(matches!(book.begin(Slot::of("bot", "k"), "other".into()).await.unwrap(), Begun::Answered(_)));
    clock.leap(SignedDuration::from_secs(1));
    go(&book, "k", "r").await;
    clock.leap(SignedDuration::from_hours(25));
    assert_eq!(book.forget().await.unwrap(), 1);
}

#[tokio::test]
async fn what_a_former_process_was_at_is_known_as_interrupted() {
    let (shelf, clock) = (Arc::new(Memory::default()), Leaping::new());
    let before = Idempotency::new(shelf.clone(), clock.clone());
    go(&before, "k", "r").await;
    let after = Idempotency::new(shelf, clock);
    let Begun::Interrupted(ticket) = after.begin(Slot::of("bot", "k"), "r".into()).await.unwrap() else { panic!() };
    assert!(after.take_over(&ticket).await.unwrap());
    assert!(matches!(after.begin(Slot::of("bot", "k"), "r".into()).await.unwrap(), Begun::Working));
}

#[tokio::test]
async fn what_was_given_up_is_interrupted_since_it_first_came() {
    let clock = Leaping::new();
    let book = Idempotency::new(Arc::new(Memory::default()), clock.clone());
    let ticket = go(&book, "k", "r").await;
    let began = ticket.begun_at();
    clock.leap(SignedDuration::from_secs(60));
    book.interrupted(ticket).await.unwrap();
    let Begun::Interrupted(ticket) = book.begin(Slot::of("bot", "k"), "r".into()).await.unwrap() else { panic!() };
    assert_eq!(ticket.begun_at(), began);
    assert!(matches!(book.begin(Slot::of("bot", "k"), "other".into()).await.unwrap(), Begun::Another));
}

#[tokio::test]
async fn a_very_long_answer_is_remembered_without_its_body() {
    let book = Idempotency::new(Arc::new(Memory::default()), Leaping::new());
    let ticket = go(&book, "k", "r").await;
    book.answered(ticket, answer(&"x".repeat(MOST_BODY_BYTES + 1))).await.unwrap();
    let Begun::Answered(given) = book.begin(Slot::of("bot", "k"), "r".into()).await.unwrap() else { panic!() };
    assert_eq!((given.status, given.body), (200, None));
}

#[test]
fn a_fingerprint_tells_parts_from_their_sum() {
    assert_ne!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"a", b"bc"]));
    assert_ne!(Slot::of("a", "bc"), Slot::of("ab", "c"));
    assert_eq!(Slot::of("a", "b").as_str().len(), 64);
}
