//! The desk: what is repeated, what is looked up, and what is never done twice.

use serde_json::{Map, Value, json};
use yizhan::operations::OperationError;
use yizhan::platform::TokenKey;
use yizhan::platform::call::Class;
use yizhan::platform::operation::Outcome;
use yizhan::vault::VaultError;

use super::fake::{Fate, MERCHANT, SHOP, World};

fn given(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[tokio::test]
async fn a_call_that_is_answered_is_made_once() {
    let world = World::new(&[]);
    let outcome = world.ask("thing.do").await.unwrap();
    assert_eq!((outcome.result, outcome.vendor), (json!({"ok": true}), json!({"replies": 1})));
    assert_eq!((world.vendor.deeds(), world.vendor.calls()), (1, vec![String::from("/deed")]));
}

#[tokio::test]
async fn nothing_is_sent_that_does_not_fit_its_row() {
    let world = World::new(&[]);
    let ask = async |component: &str, authorizer: Option<&str>, name: &str, params: Value| {
        world.desk.carry_out(component, authorizer, name, given(params)).await.unwrap_err()
    };
    let error = ask(SHOP, Some(MERCHANT), "thing.do", json!({"count": 9, "cuont": 1})).await;
    let OperationError::Invalid(bad) = error else { panic!("{error:?}") };
    assert_eq!(bad.iter().map(|bad| bad.name.as_str()).collect::<Vec<_>>(), ["cuont", "count"], "all of them, named");
    assert!(matches!(ask("nowhere", None, "thing.do", json!({})).await, OperationError::UnknownComponent));
    assert!(matches!(ask(SHOP, None, "thing.fly", json!({})).await, OperationError::UnknownOperation { .. }));
    assert!(matches!(ask(SHOP, None, "thing.do", json!({})).await, OperationError::WrongAddress(_)));
    assert!(matches!(ask(SHOP, Some(MERCHANT), "own.get", json!({})).await, OperationError::WrongAddress(_)));
    let error = ask(SHOP, Some(MERCHANT), "thing.off", json!({})).await;
    assert!(matches!(&error, OperationError::NotConfigured(settings) if settings.contains("enabled = true")), "{error:?}");
    let error = ask(SHOP, Some("stranger"), "thing.do", json!({})).await;
    assert!(matches!(error, OperationError::Vault(VaultError::NotAuthorized(_))));
    assert_eq!(world.vendor.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn a_read_is_repeated_whatever_was_lost() {
    let world = World::new(&[Fate::LostAfter, Fate::NotSent]);
    world.ask("thing.get").await.unwrap();
    assert_eq!(world.vendor.calls(), ["/read", "/read", "/read"]);
    let world = World::new(&[Fate::LostBefore; 5]);
    assert!(matches!(world.ask("thing.get").await, Err(OperationError::Unreachable(_))));
    assert_eq!(world.vendor.calls().len(), 3, "but not for ever");
}

#[tokio::test]
async fn what_may_be_repeated_is_repeated_without_a_question() {
    let world = World::new(&[Fate::LostAfter]);
    world.ask("thing.set").await.unwrap();
    assert_eq!(world.vendor.calls(), ["/deed", "/deed"]);
}

#[tokio::test]
async fn a_deed_whose_answer_was_lost_is_found_and_not_done_again() {
    let world = World::new(&[Fate::LostAfter]);
    let outcome = world.ask("thing.do").await.unwrap();
    assert_eq!(outcome.vendor, json!({"looked_up": true}));
    assert_eq!((world.vendor.deeds(), world.vendor.calls()), (1, vec![String::from("/deed"), String::from("/record")]));
}

#[tokio::test]
async fn a_deed_that_did_not_take_place_is_done_after_two_looks() {
    let world = World::new(&[Fate::LostBefore]);
    world.ask("thing.do").await.unwrap();
    assert_eq!(world.vendor.calls(), ["/deed", "/record", "/record", "/deed"]);
    assert_eq!(world.vendor.deeds(), 1);
    assert!(world.seconds() >= 4, "the vendor had time to finish what it was at");
}

#[tokio::test]
async fn a_deed_that_never_gets_through_ends_as_unreachable() {
    for fate in [Fate::LostBefore, Fate::NotSent] {
        let world = World::new(&[fate; 5]);
        let error = world.ask("thing.do").await.unwrap_err();
        assert!(matches!(error, OperationError::Unreachable(_)), "{error:?}");
        assert_eq!(world.vendor.deeds(), 0);
        assert_eq!(world.vendor.calls().iter().filter(|path| *path == "/deed").count(), 3);
    }
}

#[tokio::test]
async fn a_deed_that_was_certainly_not_sent_needs_no_question() {
    let world = World::new(&[Fate::NotSent]);
    world.ask("thing.do").await.unwrap();
    assert_eq!(world.vendor.calls(), ["/deed", "/deed"]);
}

#[tokio::test]
async fn an_outcome_that_cannot_be_learnt_is_told_and_nothing_is_repeated() {
    for fate in [Fate::LostAfter, Fate::LostBefore, Fate::Gateway(true)] {
        let world = World::new(&[fate]);
        world.vendor.silence_record();
        let error = world.ask("thing.do").await.unwrap_err();
        let OperationError::OutcomeUnknown { sent, looked_up, .. } = error else { panic!("{error:?}") };
        assert_eq!(sent, "vendor.example/deed");
        assert!(looked_up.contains("vendor.example/record"), "{looked_up}");
        assert_eq!(world.vendor.calls(), ["/deed", "/record", "/record", "/record", "/record"]);
    }
    let world = World::new(&[Fate::LostAfter]);
    let error = world.ask("thing.blind").await.unwrap_err();
    assert!(matches!(&error, OperationError::OutcomeUnknown { looked_up, .. } if looked_up.contains("no way")), "{error:?}");
    assert_eq!(world.vendor.calls(), ["/deed"]);
}

#[tokio::test]
async fn a_gateway_that_answers_instead_of_the_vendor_does_not_make_a_deed_happen_twice() {
    let world = World::new(&[Fate::Gateway(true)]);
    assert_eq!(world.ask("thing.do").await.unwrap().vendor, json!({"looked_up": true}));
    assert_eq!(world.vendor.deeds(), 1);
    let world = World::new(&[Fate::Gateway(false)]);
    world.ask("thing.do").await.unwrap();
    assert_eq!(world.vendor.deeds(), 1);
    let world = World::new(&[Fate::Gateway(true)]);
    assert!(matches!(world.ask("thing.blind").await, Err(OperationError::OutcomeUnknown { .. })));
}

#[tokio::test]
async fn a_trouble_that_may_pass_is_waited_out_and_a_no_is_not() {
    let world = World::new(&[Fate::Refuses(2), Fate::Refuses(2)]);
    world.ask("thing.get").await.unwrap();
    assert_eq!(world.vendor.calls().len(), 3);
    let world = World::new(&[Fate::Refuses(2); 9]);
    assert!(matches!(world.ask("thing.get").await, Err(OperationError::Refused(_))));
    assert_eq!(world.vendor.calls().len(), 3);
    // Of a deed the vendor's record says that it was not done; where there is none, nobody knows.
    assert!(matches!(World::new(&[Fate::Refuses(2); 9]).ask("thing.do").await, Err(OperationError::Refused(_))));
    assert!(matches!(World::new(&[Fate::Refuses(2); 9]).ask("thing.blind").await, Err(OperationError::Doubted { .. })));
    let world = World::new(&[Fate::Refuses(3)]);
    assert!(matches!(world.ask("thing.do").await, Err(OperationError::Refused(_))));
    assert_eq!(world.vendor.calls(), ["/deed"]);
}

#[tokio::test]
async fn a_rejected_token_is_reported_and_the_call_repeated_once() {
    let world = World::new(&[Fate::Refuses(1)]);
    world.ask("thing.do").await.unwrap();
    assert_eq!(world.vendor.tokens(), ["authorizer-1", "authorizer-2"]);
    let key = TokenKey::Authorizer { app_id: MERCHANT.into(), family: yizhan::platform::Family::Current };
    assert_eq!(*world.tokens.reports.lock().unwrap(), [(key, 1)]);

    let world = World::new(&[Fate::Refuses(1); 9]);
    assert!(matches!(world.ask("thing.do").await, Err(OperationError::Refused(_))));
    assert_eq!((world.vendor.calls().len(), world.tokens.reports.lock().unwrap().len()), (2, 1));
}

#[tokio::test]
async fn both_tokens_of_a_call_may_be_rejected_once_each() {
    let world = World::with(&[Fate::Refuses(4), Fate::Refuses(1)], true);
    world.ask("thing.do").await.unwrap();
    assert_eq!(world.tokens.reports.lock().unwrap().len(), 2);
    assert_eq!(world.vendor.calls().len(), 3);
    // A platform without component tokens cannot renew one.
    let world = World::new(&[Fate::Refuses(4)]);
    assert!(matches!(world.ask("thing.do").await, Err(OperationError::Refused(_))));
}

#[tokio::test]
async fn what_follows_a_deed_goes_on_and_is_repeated_freely() {
    let world = World::new(&[Fate::Says(0), Fate::Says(5), Fate::LostBefore, Fate::Says(0)]);
    world.ask("thing.build").await.unwrap();
    assert_eq!(world.vendor.calls(), ["/deed", "/poll", "/poll", "/poll"]);
    // The lost answer of the deed is stood in for by what was found, and the polling goes on.
    let world = World::new(&[Fate::LostAfter]);
    world.ask("thing.build").await.unwrap();
    assert_eq!((world.vendor.calls(), world.vendor.deeds()), (vec!["/deed".into(), "/record".into(), "/poll".into()], 1));
}

#[tokio::test]
async fn once_a_deed_was_accepted_no_failure_says_that_it_may_be_tried_again() {
    for fates in [
        [Fate::Says(0), Fate::LostBefore, Fate::LostBefore, Fate::LostBefore],
        [Fate::Says(0), Fate::Refuses(2), Fate::Refuses(2), Fate::Refuses(2)],
    ] {
        let world = World::new(&fates);
        let error = world.ask("thing.build").await.unwrap_err();
        assert!(matches!(error, OperationError::OutcomeUnknown { .. }), "{error:?}");
        assert_eq!(world.vendor.deeds(), 1);
    }
    // A plain no about what follows is the vendor's answer.
    let world = World::new(&[Fate::Says(0), Fate::Refuses(3)]);
    assert!(matches!(world.ask("thing.build").await, Err(OperationError::Refused(_))));
}

#[tokio::test]
async fn a_vendor_that_never_finishes_is_not_polled_for_ever() {
    let world = World::new(&[Fate::Says(5); 500]);
    let error = world.ask("thing.build").await.unwrap_err();
    assert!(matches!(error, OperationError::OutcomeUnknown { .. }), "{error:?}");
    assert!(world.vendor.calls().len() <= 60 && world.seconds() <= 301);
    assert_eq!(world.vendor.deeds(), 1);
}

async fn resumed(world: &World, name: &str) -> Result<Outcome, OperationError> {
    let checked = world.desk.check(SHOP, Some(MERCHANT), name, Map::new()).unwrap();
    world.desk.resume(checked, yizhan::clock::Timestamp::UNIX_EPOCH).await
}

#[tokio::test]
async fn a_deed_that_an_earlier_process_did_is_found_and_not_sent_again() {
    let world = World::new(&[]);
    world.ask("thing.do").await.unwrap();
    let outcome = resumed(&world, "thing.do").await.unwrap();
    assert_eq!(outcome.vendor, json!({"looked_up": true}));
    assert_eq!((world.vendor.deeds(), world.vendor.calls()), (1, vec![String::from("/deed"), String::from("/record")]));
    // What follows the deed is done, from where it was.
    let world = World::new(&[]);
    world.ask("thing.do").await.unwrap();
    resumed(&world, "thing.build").await.unwrap();
    assert_eq!((world.vendor.deeds(), world.vendor.calls()), (1, vec!["/deed".into(), "/record".into(), "/poll".into()]));
}

#[tokio::test]
async fn a_deed_that_an_earlier_process_did_not_get_to_is_sent_once() {
    let world = World::new(&[]);
    resumed(&world, "thing.do").await.unwrap();
    assert_eq!(world.vendor.calls(), ["/record", "/record", "/deed"], "asked twice: the request may be on its way still");
    assert!(world.seconds() >= 4);
    // And when its own answer is lost then, it is looked up as ever.
    let world = World::new(&[Fate::LostAfter]);
    resumed(&world, "thing.do").await.unwrap();
    assert_eq!((world.vendor.deeds(), world.vendor.calls().len()), (1, 4));
}

#[tokio::test]
async fn what_cannot_be_looked_up_is_not_sent_when_it_may_have_been() {
    let world = World::new(&[]);
    let error = resumed(&world, "thing.blind").await.unwrap_err();
    assert!(matches!(&error, OperationError::OutcomeUnknown { looked_up, .. } if looked_up.contains("no way")), "{error:?}");
    assert_eq!(world.vendor.calls(), Vec::<String>::new());
    let world = World::new(&[]);
    world.vendor.silence_record();
    let error = resumed(&world, "thing.do").await.unwrap_err();
    assert!(matches!(error, OperationError::OutcomeUnknown { .. }), "{error:?}");
    assert_eq!((world.vendor.deeds(), world.vendor.calls()), (0, vec![String::from("/record"); 4]));
}

#[tokio::test]
async fn what_may_be_repeated_is_taken_up_without_a_question() {
    for (name, path) in [("thing.get", "/read"), ("thing.set", "/deed")] {
        let world = World::new(&[]);
        resumed(&world, name).await.unwrap();
        assert_eq!(world.vendor.calls(), [path]);
    }
}

#[tokio::test]
async fn a_call_that_says_the_grant_is_gone_has_the_vault_find_out() {
    // It is not: the new token works.
    let world = World::new(&[Fate::Refuses(6)]);
    world.ask("thing.do").await.unwrap();
    assert_eq!(world.vendor.tokens(), ["authorizer-1", "authorizer-2"]);
    // It is: whoever asked hears it from the vault, which tells everybody else.
    let world = World::new(&[Fate::Refuses(6)]);
    *world.tokens.ended.lock().unwrap() = Some(VaultError::Revoked { at: None });
    assert!(matches!(world.ask("thing.do").await, Err(OperationError::Vault(VaultError::Revoked { .. }))));
    // Nobody knows: then the vendor's word is all there is.
    for unknown in [VaultError::RateLimited(std::time::Duration::from_secs(9)), VaultError::Store(String::from("busy"))] {
        let world = World::new(&[Fate::Refuses(6)]);
        *world.tokens.ended.lock().unwrap() = Some(unknown);
        let error = world.ask("thing.do").await.unwrap_err();
        assert!(matches!(&error, OperationError::Refused(refusal) if refusal.class == Class::GrantGone), "{error:?}");
    }
    let world = World::new(&[Fate::Refuses(6); 9]);
    assert!(matches!(world.ask("thing.do").await, Err(OperationError::Refused(_))), "asked once, and no more");
    assert_eq!(world.tokens.reports.lock().unwrap().len(), 1);
}
