//! The webhook sink against real handlers on loopback.

use std::sync::Arc;
use std::time::Duration;

use yizhan::clock::{Clock, ManualClock};
use yizhan::event_type::EventType;
use yizhan::fanout::Subscription;
use yizhan::fanout::delivery::{Attempt, Claimed};
use yizhan::fanout::signature::{self, Headers};
use yizhan::fanout::sink::webhook::Webhook;
use yizhan::fanout::sink::{Outcome, Sink};
use yizhan::fanout::subscription::SigningKey;
use yizhan::outbound::{Guard, Webhooks};
use yizhan::secret::Secret;

use super::world::{Memory, SECRET, start_of_time, subscription};
use crate::outbound::receiver::{Manner, Receiver, Seen};

/// A sink that may go nowhere.
pub fn nowhere(clock: &Arc<ManualClock>) -> Webhook {
    Webhook::new(Webhooks::new(Guard::default()).unwrap(), clock.clone(), Duration::from_secs(15))
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::starting_at(start_of_time()))
}

fn sink(clock: &Arc<ManualClock>) -> Webhook {
    let guard = Guard::allowing(&["127.0.0.0/8".parse().unwrap()]);
    Webhook::new(Webhooks::new(guard).unwrap(), clock.clone(), Duration::from_secs(15))
}

fn claimed(failed: usize) -> Claimed {
    let memory = Memory::default();
    let event = memory.event("douyin", "tt1", EventType::AuditPassed, start_of_time());
    memory.put(&event, "bot", start_of_time(), failed);
    let row = memory.rows.lock().unwrap()[0].clone();
    Claimed { delivery: row.delivery, event, sealed: Some(Secret::new("a code that no webhook sees")) }
}

fn to(receiver: &Receiver) -> Subscription {
    Subscription { url: receiver.url("/hook?team=1"), ..subscription("bot") }
}

fn sent(seen: &Seen) -> Headers<'_> {
    Headers::pick(seen.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))).unwrap()
}

async fn outcome_of(manner: Manner) -> Outcome {
    let handler = Receiver::start(manner).await;
    sink(&clock()).deliver(&to(&handler), &claimed(0)).await
}

#[tokio::test]
async fn a_delivery_carries_the_exact_event_and_a_signature_that_holds() {
    let mut handler = Receiver::start(Manner::headed(200, "", "thanks")).await;
    let clock = clock();
    let claimed = claimed(2);
    let outcome = sink(&clock).deliver(&to(&handler), &claimed).await;
    let Outcome::Delivered(Attempt { status, answer, error, at, .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!((status, answer.as_deref(), error, at), (Some(200), Some("thanks"), None, start_of_time()));
    let seen = handler.next().await;
    assert_eq!(seen.line, "POST /hook?team=1 HTTP/1.1");
    assert_eq!(seen.body, claimed.event.body);
    let version = concat!("yizhan/", env!("CARGO_PKG_VERSION"));
    let expected = [
        ("content-type", "application/cloudevents+json"),
        ("webhook-id", &*claimed.event.id.to_string()),
        ("webhook-timestamp", &*start_of_time().as_second().to_string()),
        ("yizhan-attempt", "3"),
        ("yizhan-subscription", "bot"),
        ("user-agent", version),
    ];
    for (name, value) in expected {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    assert_eq!(signature::verify(&[Secret::new(SECRET)], sent(&seen), &seen.body, start_of_time()), Ok(()));
}

#[tokio::test]
async fn every_attempt_is_signed_anew_under_the_same_id() {
    let mut handler = Receiver::start(Manner::status(500)).await;
    let (clock, claimed) = (clock(), claimed(0));
    let sink = sink(&clock);
    sink.deliver(&to(&handler), &claimed).await;
    clock.advance(jiff::SignedDuration::from_secs(3600));
    sink.deliver(&to(&handler), &claimed).await;
    let (first, second) = (handler.next().await, handler.next().await);
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert_ne!(first.header("webhook-signature"), second.header("webhook-signature"));
    assert_eq!(signature::verify(&[Secret::new(SECRET)], sent(&second), &second.body, clock.now()), Ok(()));
}

/// A subscription whose secret was changed: for a day the old one is good as well. Then the old secret, and the new one.
fn rotating(handler: &Receiver) -> (Subscription, Secret, Secret) {
    let (old, new) = (Secret::new(SECRET), signature::generate().unwrap());
    let until = start_of_time() + jiff::SignedDuration::from_hours(24);
    let keys = vec![SigningKey { secret: new.clone(), until: None }, SigningKey { secret: old.clone(), until: Some(until) }];
    (Subscription { keys, ..to(handler) }, old, new)
}

#[tokio::test]
async fn while_a_rotation_lasts_either_secret_verifies() {
    let mut handler = Receiver::start(Manner::status(204)).await;
    let (rotating, old, new) = rotating(&handler);
    let clock = clock();
    sink(&clock).deliver(&rotating, &claimed(0)).await;
    let seen = handler.next().await;
    assert_eq!(seen.header("webhook-signature").unwrap().split(' ').count(), 2);
    for secret in [&old, &new] {
        assert_eq!(signature::verify(std::slice::from_ref(secret), sent(&seen), &seen.body, clock.now()), Ok(()));
    }
    clock.advance(jiff::SignedDuration::from_hours(25));
    sink(&clock).deliver(&rotating, &claimed(0)).await;
    let seen = handler.next().await;
    assert!(signature::verify(&[old], sent(&seen), &seen.body, clock.now()).is_err());
    assert_eq!(signature::verify(&[new], sent(&seen), &seen.body, clock.now()), Ok(()));
}

#[tokio::test]
async fn a_sink_made_ready_for_a_subscription_does_the_same_and_knows_when_a_key_ends() {
    let mut handler = Receiver::start(Manner::status(204)).await;
    let (rotating, _, new) = rotating(&handler);
    let clock = clock();
    let ready = sink(&clock).made_ready(&rotating).unwrap();
    for signatures in [2, 1] {
        assert!(matches!(ready.deliver(&rotating, &claimed(0)).await, Outcome::Delivered(_)));
        let seen = handler.next().await;
        assert_eq!(seen.header("webhook-signature").unwrap().split(' ').count(), signatures);
        assert_eq!(signature::verify(std::slice::from_ref(&new), sent(&seen), &seen.body, clock.now()), Ok(()));
        clock.advance(jiff::SignedDuration::from_hours(24));
    }
    let inward = Subscription { url: String::from("http://127.0.0.1:1/"), ..subscription("bot") };
    let Outcome::Failed(attempt, None) = nowhere(&clock).made_ready(&inward).unwrap().deliver(&inward, &claimed(0)).await else { panic!() };
    assert!(attempt.error.unwrap().contains("loopback"));
}

#[tokio::test]
async fn only_2xx_is_delivered() {
    for status in [200, 201, 202, 204, 299] {
        assert!(matches!(outcome_of(Manner::status(status)).await, Outcome::Delivered(_)), "{status}");
    }
    for status in [300, 301, 302, 304, 400, 401, 404, 408, 429, 500, 502, 503, 504] {
        let outcome = outcome_of(Manner::headed(status, "Location: /elsewhere\r\n", "")).await;
        assert!(matches!(&outcome, Outcome::Failed(attempt, None) if attempt.status == Some(status)), "{status}: {outcome:?}");
    }
    assert!(matches!(outcome_of(Manner::status(410)).await, Outcome::Gone(_)));
}

#[tokio::test]
async fn retry_after_is_read_in_both_forms() {
    let at = |seconds| Some(start_of_time() + jiff::SignedDuration::from_secs(seconds));
    let wish = |outcome| match outcome {
        Outcome::Failed(_, wish) => wish,
        other => panic!("{other:?}"),
    };
    assert_eq!(wish(outcome_of(Manner::headed(429, "Retry-After: 90\r\n", "")).await), at(90));
    assert_eq!(wish(outcome_of(Manner::headed(503, "Retry-After: Fri, 20 Nov 2026 08:01:00 GMT\r\n", "")).await), at(60));
    assert_eq!(wish(outcome_of(Manner::headed(503, "Retry-After: whenever\r\n", "")).await), None);
}

#[tokio::test]
async fn the_beginning_of_an_answer_is_kept_without_control_characters() {
    let body = format!("\u{1b}[31mno\r\n{}", "错".repeat(400));
    let Outcome::Failed(attempt, _) = outcome_of(Manner::headed(500, "", &body)).await else { panic!() };
    let answer = attempt.answer.unwrap();
    assert!(answer.starts_with("[31mno  错"));
    assert!(answer.chars().count() <= 256);
    let Outcome::Delivered(attempt) = outcome_of(Manner::Endless("HTTP/1.1 200 OK\r\n\r\n")).await else { panic!() };
    assert_eq!(attempt.answer.unwrap().len(), 256);
}

#[tokio::test]
async fn the_subscriptions_own_deadline_ends_a_try() {
    for manner in [Manner::Hanging, Manner::Dripping("HTTP/1.1 200 OK\r\n\r\n")] {
        let handler = Receiver::start(manner).await;
        let impatient = Subscription { timeout: Some(Duration::from_millis(100)), ..to(&handler) };
        let outcome = sink(&clock()).deliver(&impatient, &claimed(0)).await;
        let Outcome::Failed(attempt, None) = outcome else { panic!("{outcome:?}") };
        assert_eq!(attempt.error.as_deref(), Some("no whole answer within 100ms"));
        assert!((100..10_000).contains(&attempt.duration_ms));
    }
}

#[tokio::test]
async fn a_private_address_is_a_failed_try_that_says_so() {
    let handler = Receiver::start(Manner::status(200)).await;
    let port = handler.address.port();
    for host in ["127.0.0.1", "2130706433", "[::ffff:127.0.0.1]", "localhost"] {
        let subscription = Subscription { url: format!("http://{host}:{port}/"), ..subscription("bot") };
        let Outcome::Failed(attempt, None) = nowhere(&clock()).deliver(&subscription, &claimed(0)).await else { panic!() };
        let error = attempt.error.unwrap();
        assert!(error.contains("loopback") && error.contains("allow_private"), "{error}");
    }
    assert_eq!(handler.accepted(), 0);
}

#[tokio::test]
async fn nothing_is_sent_unsigned() {
    let handler = Receiver::start(Manner::status(200)).await;
    let unsigned = Subscription { keys: Vec::new(), ..to(&handler) };
    assert!(matches!(sink(&clock()).deliver(&unsigned, &claimed(0)).await, Outcome::Failed(_, None)));
    assert_eq!(handler.accepted(), 0);
}

#[tokio::test]
async fn an_asymmetric_secret_signs_for_its_public_key() {
    let mut handler = Receiver::start(Manner::status(200)).await;
    let secret = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg==";
    let public = Secret::new("whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
    let signed = Subscription { keys: vec![SigningKey { secret: Secret::new(secret), until: None }], ..to(&handler) };
    sink(&clock()).deliver(&signed, &claimed(0)).await;
    let seen = handler.next().await;
    assert!(seen.header("webhook-signature").unwrap().starts_with("v1a,"));
    assert_eq!(signature::verify(&[public], sent(&seen), &seen.body, start_of_time()), Ok(()));
}
