//! A twin's pushes are opened as what they are, acknowledged in the vendor's words, and known again when repeated.

use yizhan::event_type::EventType;
use yizhan::platform::twin::Verdict;

use super::*;

#[test]
fn a_sample_makes_a_component_and_its_twin() {
    for stage in stages() {
        assert_eq!(stage.component.name(), "shop");
        assert_eq!(stage.component.platform().name(), stage.name);
        assert!(!stage.component.app_id().is_empty(), "{}", stage.name);
        assert!(platform::named(stage.name).is_some());
        assert!(!stage.platform.title().zh.is_empty() && !stage.platform.title().en.is_empty());
    }
    assert_eq!(platform::ALL.len(), 4);
    assert!(platform::named("nobody").is_none());
}

#[test]
fn a_sample_with_a_misspelt_or_a_missing_setting_is_refused() {
    for stage in stages() {
        let misspelt = format!("{}\nno_such_setting = 1\n", stage.sample());
        let problems = stage.platform.component("shop", settings(&misspelt)).err().expect("a problem");
        assert!(problems.iter().any(|problem| problem.at == "no_such_setting"), "{}: {problems:?}", stage.name);
        assert!(!stage.platform.component("shop", settings("")).err().expect("problems").is_empty(), "{}", stage.name);
        assert!(stage.platform.twin(settings("")).is_err(), "{}", stage.name);
    }
}

#[test]
fn a_ticket_is_a_ticket() {
    for mut stage in stages() {
        let ticket = stage.twin.ticket(now());
        assert_eq!(ticket.is_some(), stage.component.ticket_rule().is_some(), "{}", stage.name);
        let Some(ticket) = ticket else { continue };
        let push = stage.open(&ticket);
        let Notice::Ticket(ticket) = &push.notice else { panic!("{}: {push:?}", stage.name) };
        assert!(!push.vendor.to_string().contains(ticket.value.expose()), "{}", stage.name);
        assert_eq!(ticket.created_at.duration_since(now()).as_secs(), 0, "{}", stage.name);
        assert_eq!(push.authorizer, None, "{}", stage.name);
    }
}

#[test]
fn a_grant_brings_a_code_by_push_or_by_browser() {
    for mut stage in stages() {
        let story = stage.twin.grant(MERCHANT, now());
        if let Some(push) = story.push {
            let push = stage.open(&push);
            let Notice::Granted(grant) = &push.notice else { panic!("{}: {push:?}", stage.name) };
            assert!(grant.code.is_some() || grant.tokens.is_some(), "{}", stage.name);
            if let Some(code) = &grant.code {
                assert!(!push.vendor.to_string().contains(code.value.expose()), "{}", stage.name);
                assert!(code.expires_at > now(), "{}", stage.name);
            }
            if let Some(tokens) = &grant.tokens {
                assert!(!push.vendor.to_string().contains(tokens.access.value.expose()), "{}", stage.name);
            }
            assert!(push.authorizer.is_none_or(|authorizer| authorizer == MERCHANT), "{}", stage.name);
        }
        let returned = stage.component.returned(&format!("state=mark&{}", story.redirect_query), now()).unwrap();
        assert!(!returned.code.value.is_empty() && returned.code.expires_at > now(), "{}", stage.name);
        assert!(stage.component.returned("", now()).is_err(), "{}", stage.name);
    }
}

#[test]
fn a_withdrawal_is_told_with_its_time() {
    for mut stage in stages() {
        stage.twin.grant(MERCHANT, now());
        let push = stage.twin.revoke(MERCHANT, now()).unwrap_or_else(|| panic!("{}: nothing is pushed", stage.name));
        let push = stage.open(&push);
        let Notice::Revoked { at } = &push.notice else { panic!("{}: {push:?}", stage.name) };
        assert_eq!(at.duration_since(now()).as_secs(), 0, "{}", stage.name);
        assert_eq!(push.authorizer.as_deref(), Some(MERCHANT), "{}", stage.name);
    }
}

#[test]
fn an_audit_says_how_it_ended_for_which_version() {
    for mut stage in stages() {
        for (verdict, kind) in
            [(Verdict::Passed, EventType::AuditPassed), (Verdict::Failed(String::from("图标模糊")), EventType::AuditFailed)]
        {
            let push = stage.twin.audit(MERCHANT, "1.0.3", &verdict, now());
            let push = stage.open(&push);
            let Notice::Fact { kind: told, data } = &push.notice else { panic!("{}: {push:?}", stage.name) };
            assert_eq!(*told, kind, "{}", stage.name);
            assert_eq!(push.authorizer.as_deref(), Some(MERCHANT), "{}", stage.name);
            if let Verdict::Failed(reason) = &verdict {
                assert!(Value::from(data.clone()).to_string().contains(reason), "{}: {data:?}", stage.name);
            }
        }
    }
}

#[test]
fn what_nobody_knows_is_kept_whole() {
    for mut stage in stages() {
        for door in [Door::Authorization, Door::Message] {
            let push = stage.twin.say(door, &unheard_of(), now());
            let push = stage.open(&push);
            assert_eq!(push.notice.kind(), EventType::VendorOther, "{}", stage.name);
            assert_eq!(push.vendor_type, "yizhan.test.unheard.of", "{}", stage.name);
            assert_eq!(push.vendor["note"], "keep me", "{}", stage.name);
        }
    }
}

/// Vendors whose retries are the same to the letter: nothing in their envelope is random (Alipay 2.2).
const SAME_TO_THE_LETTER: [&str; 1] = ["alipay"];

#[test]
fn a_repeat_has_other_bytes_and_the_same_key_and_meaning() {
    for mut stage in stages() {
        for push in stage.every_push() {
            let first = stage.open(&push);
            for _ in 0..3 {
                let again = stage.twin.reseal(&push, now());
                assert_eq!(again.body == push.body, SAME_TO_THE_LETTER.contains(&stage.name), "{}", stage.name);
                let opened = stage.open(&again);
                assert_eq!(opened.dedupe_key, first.dedupe_key, "{}", stage.name);
                assert_eq!(opened.vendor_type, first.vendor_type, "{}", stage.name);
                assert_eq!(opened.authorizer, first.authorizer, "{}", stage.name);
                assert!(stage.twin.acknowledged(&again, opened.acknowledgement.status, &opened.acknowledgement.body), "{}", stage.name);
            }
        }
    }
}

#[test]
fn two_messages_never_share_a_key() {
    for mut stage in stages() {
        let mut keys: Vec<String> = Vec::new();
        for _ in 0..3 {
            for push in stage.every_push() {
                keys.push(stage.open(&push).dedupe_key);
            }
        }
        let all = keys.len();
        keys.sort();
        keys.dedup();
        // The same content said twice at the same moment may be one message where the vendor gives messages no id.
        assert!(keys.len() >= all / 3, "{}", stage.name);
        let later = now() + jiff::SignedDuration::from_secs(60);
        let (first, second) =
            (stage.twin.audit(MERCHANT, "1.0.3", &Verdict::Passed, now()), stage.twin.audit(MERCHANT, "1.0.4", &Verdict::Passed, later));
        assert_ne!(stage.open(&first).dedupe_key, stage.open(&second).dedupe_key, "{}", stage.name);
        if let (Some(first), Some(second)) = (stage.twin.ticket(now()), stage.twin.ticket(later)) {
            assert_ne!(stage.open(&first).dedupe_key, stage.open(&second).dedupe_key, "{}", stage.name);
        }
    }
}

#[test]
fn opening_twice_gives_the_same() {
    for mut stage in stages() {
        for push in stage.every_push() {
            let raw = arrived(&push);
            assert_eq!(essence(stage.component.open(&raw)), essence(stage.component.open(&raw)), "{}", stage.name);
        }
    }
}

#[test]
fn an_acknowledgement_is_taken_and_a_refusal_is_not() {
    for mut stage in stages() {
        for push in stage.every_push() {
            let answer = stage.open(&push).acknowledgement;
            assert!(stage.twin.acknowledged(&push, answer.status, &answer.body), "{}: {answer:?}", stage.name);
            for status in [400, 401, 413, 503] {
                assert!(!stage.twin.acknowledged(&push, status, b""), "{}", stage.name);
            }
            let raw = arrived(&push);
            for error in [
                PushError::Malformed(String::from("x")),
                PushError::BadSignature(String::from("x")),
                PushError::WrongAppId(String::from("x")),
                PushError::Undecipherable(String::from("x")),
            ] {
                if let Some(answer) = stage.component.refusal(&raw, &error) {
                    assert!(!stage.twin.acknowledged(&push, answer.status, &answer.body), "{}: {answer:?}", stage.name);
                }
            }
        }
    }
}

#[test]
fn what_opens_is_diagnosed_as_opening_and_what_does_not_as_not() {
    for mut stage in stages() {
        for push in stage.every_push() {
            let found = stage.component.diagnose(&arrived(&push));
            assert!(found.opens && found.proposal.is_empty() && found.content.is_some(), "{}: {found:?}", stage.name);
            stage.shown.push(serde_json::to_string(&found).unwrap());
            let forged = stage.twin.forge(&push);
            let found = stage.component.diagnose(&arrived(&forged));
            assert!(!found.opens && found.steps.iter().any(|step| !step.ok), "{}: {found:?}", stage.name);
        }
        stage.assert_nothing_shown();
    }
}
