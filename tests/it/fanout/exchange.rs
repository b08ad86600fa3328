//! The vault as a subscriber of grants.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use yizhan::clock::{ManualClock, Timestamp};
use yizhan::event_type::EventType;
use yizhan::fanout::delivery::Claimed;
use yizhan::fanout::sink::exchange::{Exchange, Grants};
use yizhan::fanout::sink::{Outcome, Sink};
use yizhan::fanout::{Subscription, schedule};
use yizhan::outbound::SendError;
use yizhan::platform::call::{ApiError, Class};
use yizhan::platform::push::Grant;
use yizhan::platform::token::AuthorizationCode;
use yizhan::secret::Secret;
use yizhan::vault::{Exchanged, VaultError};

use super::world::{Memory, start_of_time};

type Answer = Box<dyn Fn() -> Result<(), VaultError> + Send + Sync>;

struct Pretended {
    answer: Answer,
    told: Mutex<Vec<String>>,
}

#[async_trait]
impl Grants for Pretended {
    async fn granted(&self, component: &str, app_id: Option<&str>, grant: &Grant) -> Result<Exchanged, VaultError> {
        let code = grant.code.as_ref().map(|code| code.value.expose().to_owned());
        self.told.lock().unwrap().push(format!("granted {component} {app_id:?} {code:?}"));
        (self.answer)().map(|()| Exchanged::Authorizers(Vec::new()))
    }

    async fn revoked(&self, component: &str, app_id: &str, at: Timestamp) -> Result<(), VaultError> {
        self.told.lock().unwrap().push(format!("revoked {component} {app_id} {at}"));
        (self.answer)()
    }
}

fn claimed(kind: EventType, sealed: Option<String>) -> Claimed {
    let memory = Memory::default();
    let event = memory.event("douyin", "tt1", kind, start_of_time());
    memory.put(&event, "yizhan-vault", start_of_time(), 0);
    let row = memory.rows.lock().unwrap()[0].clone();
    Claimed { delivery: row.delivery, event, sealed: sealed.map(Secret::new) }
}

fn grant() -> String {
    let code = AuthorizationCode { value: Secret::new("code-1"), expires_at: start_of_time() };
    let grant = Grant { code: Some(code), tokens: None, permissions: Vec::new(), granted_at: start_of_time() };
    serde_json::to_string(&grant).unwrap()
}

async fn hand_over(claimed: &Claimed, answer: impl Fn() -> Result<(), VaultError> + Send + Sync + 'static) -> (Outcome, Vec<String>) {
    let vault = Arc::new(Pretended { answer: Box::new(answer), told: Mutex::default() });
    let clock = Arc::new(ManualClock::starting_at(start_of_time()));
    let outcome = Exchange::new(vault.clone(), clock).deliver(&Subscription::vault(start_of_time()), claimed).await;
    let told = vault.told.lock().unwrap().clone();
    (outcome, told)
}

#[tokio::test]
async fn a_grants_code_is_handed_to_the_vault() {
    for kind in [EventType::AuthorizationGranted, EventType::AuthorizationUpdated] {
        let (outcome, told) = hand_over(&claimed(kind, Some(grant())), || Ok(())).await;
        assert!(matches!(outcome, Outcome::Delivered(_)));
        assert_eq!(told, ["granted douyin Some(\"tt1\") Some(\"code-1\")"]);
    }
}

#[tokio::test]
async fn a_withdrawal_is_told_with_the_vendors_time() {
    let (outcome, told) = hand_over(&claimed(EventType::AuthorizationRevoked, None), || Ok(())).await;
    assert!(matches!(outcome, Outcome::Delivered(_)));
    assert_eq!(told, [format!("revoked douyin tt1 {}", start_of_time())]);
    let mut nobodys = claimed(EventType::AuthorizationRevoked, None);
    nobodys.event.authorizer = None;
    let (outcome, told) = hand_over(&nobodys, || Ok(())).await;
    assert!(matches!(outcome, Outcome::Refused(_)) && told.is_empty());
}

#[tokio::test]
async fn a_change_that_brings_nothing_is_done() {
    let (outcome, told) = hand_over(&claimed(EventType::AuthorizationUpdated, None), || Ok(())).await;
    assert!(matches!(outcome, Outcome::Delivered(_)) && told.is_empty());
}

#[tokio::test]
async fn what_cannot_be_read_is_dead_and_never_quoted() {
    let (outcome, _) = hand_over(&claimed(EventType::AuthorizationGranted, Some("\"hush-hush\"".into())), || Ok(())).await;
    let Outcome::Refused(attempt) = outcome else { panic!("{outcome:?}") };
    assert_eq!(attempt.error.as_deref(), Some("the sealed part of the event cannot be read"));
}

#[tokio::test]
async fn what_time_can_mend_is_tried_again() {
    let mendable: Vec<fn() -> VaultError> = vec![
        || VaultError::VendorUnreachable(SendError::NotSent { target: "a".into(), cause: "b".into() }),
        || VaultError::NoTicket { detail: "none".into(), hint: String::new() },
        || VaultError::Store("full".into()),
        || VaultError::NotAuthorized("not yet".into()),
        || VaultError::VendorRefused(ApiError::new(Class::Retry, "1", "busy")),
        || VaultError::VendorRefused(ApiError::new(Class::TicketInvalid, "2", "ticket")),
        || VaultError::VendorRefused(ApiError::new(Class::Configuration, "3", "IP list")),
    ];
    for error in mendable {
        let (outcome, _) = hand_over(&claimed(EventType::AuthorizationGranted, Some(grant())), move || Err(error())).await;
        assert!(matches!(&outcome, Outcome::Failed(attempt, None) if attempt.error.is_some()), "{outcome:?}");
    }
    let wait = Duration::from_secs(30);
    let (outcome, _) =
        hand_over(&claimed(EventType::AuthorizationGranted, Some(grant())), move || Err(VaultError::RateLimited(wait))).await;
    assert!(matches!(outcome, Outcome::Failed(_, Some(at)) if at == schedule::later(start_of_time(), wait)));
}

#[tokio::test]
async fn what_is_refused_for_good_is_dead_and_a_newer_withdrawal_is_no_trouble() {
    let definite: Vec<fn() -> VaultError> = vec![
        || VaultError::VendorRefused(ApiError::new(Class::CodeInvalid, "40014", "code used")),
        || VaultError::VendorRefused(ApiError::new(Class::GrantGone, "40022", "gone")),
        || VaultError::UnknownComponent,
    ];
    for error in definite {
        let (outcome, _) = hand_over(&claimed(EventType::AuthorizationGranted, Some(grant())), move || Err(error())).await;
        assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    }
    let revoked = || Err(VaultError::Revoked { at: None });
    let (outcome, _) = hand_over(&claimed(EventType::AuthorizationGranted, Some(grant())), revoked).await;
    assert!(matches!(outcome, Outcome::Delivered(_)));
}

#[test]
fn the_vaults_retries_are_dense_while_a_code_lives() {
    let table = Subscription::vault(start_of_time()).retry.unwrap();
    let within_a_minute = table.iter().scan(0, |sum, wait| {
        *sum += wait.as_secs();
        Some(*sum)
    });
    assert!(within_a_minute.filter(|at| *at <= 60).count() >= 5);
    assert!(table.iter().sum::<Duration>() > Duration::from_secs(80_000));
}
