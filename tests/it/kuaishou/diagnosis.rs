//! Captured pushes, diagnosed.

use super::*;

#[test]
fn what_opens_needs_no_proposal_and_shows_no_secret() {
    let found = component("").diagnose(&arrived(&twin("").ticket(now()).unwrap()));
    assert!(found.opens && found.proposal.is_empty(), "{found:?}");
    assert!(found.steps.iter().all(|step| step.ok));
    assert_eq!(found.content.unwrap()["componentTicket"], "[sealed]");
}

#[test]
fn whatever_variant_the_vendor_uses_is_found_and_its_proposal_opens_the_push() {
    let modes = ["md5_body_token", "sha1_body_secret", "md5_body_secret", "sha256_token_body", "md5_secret_body"];
    for mode in modes {
        for iv in ["key_prefix", "zero", "cipher_prefix"] {
            for layout in ["raw_json", "framed"] {
                let theirs = format!("push.signature_mode = \"{mode}\"\npush.iv_mode = \"{iv}\"\npush.plaintext_layout = \"{layout}\"");
                let push = twin(&theirs).ticket(now()).unwrap();
                for ours in [
                    "",
                    "push.plaintext_layout = \"raw_json\"\npush.max_padding = 16",
                    "push.plaintext_layout = \"framed\"\npush.signature_mode = \"any\"",
                ] {
                    let found = component(ours).diagnose(&arrived(&push));
                    assert!(found.opens, "{theirs} {found:?}");
                    let kept: Vec<&str> = ours
                        .lines()
                        .filter(|line| !found.proposal.iter().any(|new| new.split(' ').next() == line.split(' ').next()))
                        .collect();
                    open(&*component(&format!("{}\n{}", kept.join("\n"), found.proposal.join("\n"))), &push);
                }
            }
        }
    }
}

#[test]
fn a_key_in_plain_characters_is_found() {
    let text =
        kuaishou().sample_settings(VENDOR).replace("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "0123456789abcdef0123456789abcdef");
    let push = kuaishou().twin(settings(&format!("{text}push.key_form = \"raw\""))).unwrap().ticket(now()).unwrap();
    let found = kuaishou().component("kuaishou", settings(&text)).unwrap().diagnose(&arrived(&push));
    assert_eq!((found.opens, found.proposal), (true, vec![String::from("push.key_form = \"raw\"")]));
}

#[test]
fn a_wrong_key_and_a_wrong_token_are_told_apart() {
    let push = arrived(&twin("").ticket(now()).unwrap());
    let other =
        |from: &str, to: &str| kuaishou().component("kuaishou", settings(&kuaishou().sample_settings(VENDOR).replace(from, to))).unwrap();
    let failed = |component: Arc<dyn Component>| {
        let found = component.diagnose(&push);
        assert!(!found.opens && found.proposal.is_empty());
        found.steps.last().unwrap().clone()
    };
    let wrong_key = failed(other("abcdefghijklm", "mlkjihgfedcba"));
    assert_eq!((wrong_key.step.as_str(), wrong_key.ok), ("decrypt", false));
    let wrong_token = other("made_up_kuaishou_token", "another").diagnose(&push);
    assert!(!wrong_token.opens && wrong_token.content.is_some());
    assert!(wrong_token.steps.iter().any(|step| step.step == "signature" && !step.ok));
    let wrong_id = other("ks600000000000000001", "ks600000000000000002").diagnose(&push);
    assert_eq!((wrong_id.opens, wrong_id.proposal), (true, vec![String::from("component_app_id = \"ks600000000000000001\"")]));
}

#[test]
fn a_line_break_appended_by_an_editor_is_noticed() {
    let mut push = arrived(&twin("").ticket(now()).unwrap());
    push.body = [&push.body, b"\n".as_slice()].concat().into();
    assert!(component("").open(&push).is_err());
    let found = component("").diagnose(&push);
    assert!(found.opens && found.steps.iter().any(|step| step.ok && step.step.contains("without the white space")));
}

#[test]
fn nothing_that_is_captured_makes_it_panic() {
    for (body, header) in
        [("", None), ("", Some("")), ("{}", Some("zz")), ("{\"encryptedMsg\":\"*\",\"msgId\":\"1\",\"componentAppId\":\"x\"}", Some("ab"))]
    {
        let headers = header.map(|value: &str| (String::from("kwaisign"), value.as_bytes().to_vec())).into_iter().collect();
        let raw =
            RawPush { door: Door::Message, is_get: false, headers, query: String::new(), body: body.to_owned().into(), received_at: now() };
        assert!(!component("").diagnose(&raw).opens);
    }
}
