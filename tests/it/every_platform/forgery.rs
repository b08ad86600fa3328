//! Nothing is believed that the vendor did not seal: flipped bits, cut bodies, other applications' pushes, noise.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

pub fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

#[test]
fn a_forged_signature_is_a_bad_signature() {
    for mut stage in stages() {
        for push in stage.every_push() {
            let forged = stage.twin.forge(&push);
            let error = stage.component.open(&arrived(&forged)).unwrap_err();
            assert_eq!((error.reason(), error.status()), ("bad-signature", 401), "{}", stage.name);
        }
    }
}

/// A change that leaves the meaning as it was (the case of a hexadecimal digit, an insignificant bit of base64) may pass; no other may.
#[test]
fn no_flipped_bit_of_a_body_is_opened_as_something_else() {
    for mut stage in stages() {
        for push in stage.every_push() {
            let raw = arrived(&push);
            let meant = essence(stage.component.open(&raw)).unwrap();
            let bits = raw.body.len() * 8;
            let mut passed = 0;
            for bit in 0..bits {
                let changed = RawPush { body: flipped(&raw.body, bit).into(), ..raw.clone() };
                if let Some(read) = essence(stage.component.open(&changed)) {
                    assert_eq!(read, meant, "{}: bit {bit} of {:?}", stage.name, String::from_utf8_lossy(&raw.body));
                    passed += 1;
                }
            }
            assert!(passed * 20 < bits, "{}: {passed} of {bits} changes passed", stage.name);
        }
    }
}

#[test]
fn no_flipped_bit_of_a_header_is_opened_as_something_else() {
    for mut stage in stages() {
        for push in stage.every_push() {
            let raw = arrived(&push);
            let meant = essence(stage.component.open(&raw)).unwrap();
            for header in 0..raw.headers.len() {
                for bit in 0..raw.headers[header].1.len() * 8 {
                    let mut changed = raw.clone();
                    changed.headers[header].1 = flipped(&raw.headers[header].1, bit);
                    if let Some(read) = essence(stage.component.open(&changed)) {
                        assert_eq!(read, meant, "{}: bit {bit} of {}", stage.name, raw.headers[header].0);
                    }
                }
            }
        }
    }
}

#[test]
fn no_cut_or_lengthened_body_is_opened_as_something_else() {
    for mut stage in stages() {
        for push in stage.every_push() {
            let raw = arrived(&push);
            let meant = essence(stage.component.open(&raw)).unwrap();
            let cut = (0..raw.body.len()).map(|length| raw.body.slice(..length));
            let longer = [" ", "\n", "&", "&a=b", "{}", "\0"].map(|tail| Bytes::from([&raw.body, tail.as_bytes()].concat()));
            for body in cut.chain(longer) {
                if let Some(read) = essence(stage.component.open(&RawPush { body, ..raw.clone() })) {
                    assert_eq!(read, meant, "{}", stage.name);
                }
            }
        }
    }
}

#[test]
fn a_push_without_its_headers_or_with_anothers_is_never_another_push() {
    for mut stage in stages() {
        let pushes = stage.every_push();
        for push in &pushes {
            for other in &pushes {
                let raw = RawPush { headers: arrived(other).headers, ..arrived(push) };
                if let Some(read) = essence(stage.component.open(&raw)) {
                    assert_eq!(Some(read), essence(stage.component.open(&arrived(push))), "{}", stage.name);
                }
            }
        }
    }
}

#[test]
fn bodies_that_are_no_push_are_refused() {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(60_000), close.repeat(60_000)).into_bytes();
    let bodies: Vec<Vec<u8>> = vec![
        Vec::new(),
        b" ".to_vec(),
        b"{}".to_vec(),
        b"[]".to_vec(),
        b"null".to_vec(),
        b"\"text\"".to_vec(),
        b"=&=&=".to_vec(),
        b"sign=&sign=&charset=nonsense&biz_content=%".to_vec(),
        b"<xml>".to_vec(),
        vec![0xff; 1000],
        b"{\"a\":\"\xff\"}".to_vec(),
        "{\"Nonce\":\"\",\"TimeStamp\":\"\",\"Encrypt\":\"\",\"MsgSignature\":\"\"}".into(),
        "{\"encryptedMsg\":\"\",\"msgId\":\"\",\"componentAppId\":\"\",\"timestamp\":0}".into(),
        deep("[", "]"),
        deep("{\"a\":", "}"),
        vec![b'{'; 256 * 1024],
        vec![b'a'; 256 * 1024],
        "&a=1".repeat(60_000).into(),
        format!("{{\"Encrypt\":\"{}\"}}", "A".repeat(250_000)).into(),
    ];
    for mut stage in stages() {
        let headers = stage.every_push().first().map(|push| arrived(push).headers).unwrap_or_default();
        for body in &bodies {
            for door in [Door::Authorization, Door::Message] {
                for headers in [Vec::new(), headers.clone()] {
                    let raw = RawPush { door, is_get: false, headers, query: String::new(), body: body.clone().into(), received_at: now() };
                    let opened = stage.component.open(&raw);
                    let error = opened.err().unwrap_or_else(|| panic!("{}: {:?} was opened", stage.name, &body[..body.len().min(80)]));
                    assert!([400, 401].contains(&error.status()), "{}", stage.name);
                    stage.component.refusal(&raw, &error);
                    assert!(!stage.component.diagnose(&raw).opens, "{}", stage.name);
                }
            }
        }
    }
}

#[test]
fn another_applications_push_is_refused_by_its_id() {
    for mut stage in stages() {
        let ours = stage.component.app_id().to_owned();
        let last = ours.chars().last().unwrap();
        let theirs = format!("{}{}", &ours[..ours.len() - last.len_utf8()], if last == '7' { '8' } else { '7' });
        let other = component(stage.platform, &stage.sample().replace(&ours, &theirs));
        assert_eq!(other.app_id(), theirs, "{}", stage.name);
        for push in stage.every_push() {
            let error = other.open(&arrived(&push)).unwrap_err();
            assert_eq!(error.reason(), "wrong-app-id", "{}: {error}", stage.name);
        }
    }
}

#[test]
fn a_get_never_becomes_a_push_by_itself() {
    for mut stage in stages() {
        for push in stage.every_push() {
            for query in ["", "echostr=abc", "echostr=%ff", "timestamp=1&nonce=2&msg_signature=3&echostr=4", "=&=", "%"] {
                let raw = RawPush { is_get: true, query: query.to_owned(), body: Bytes::new(), ..arrived(&push) };
                match stage.component.open(&raw) {
                    Ok(Opened::Push(push)) => panic!("{}: {push:?}", stage.name),
                    Ok(Opened::Check(answer)) => assert!(answer.status < 300 && answer.body.len() < 1024, "{}", stage.name),
                    Err(error) => assert!([400, 401].contains(&error.status()), "{}", stage.name),
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn noise_is_refused(body in prop::collection::vec(any::<u8>(), 0..600), value in prop::collection::vec(any::<u8>(), 0..80), query in ".{0,40}", is_get: bool) {
        for mut stage in stages() {
            let names = stage.every_push().into_iter().flat_map(|push| push.headers).map(|(name, _)| name.to_lowercase());
            let headers = names.map(|name| (name, value.clone())).collect();
            let raw = RawPush { door: Door::Message, is_get, headers, query: query.clone(), body: body.clone().into(), received_at: now() };
            prop_assert!(!matches!(stage.component.open(&raw), Ok(Opened::Push(_))), "{}", stage.name);
            prop_assert!(is_get || !stage.component.diagnose(&raw).opens, "{}", stage.name);
            let _ = stage.component.returned(&query, now());
        }
    }

    #[test]
    fn whatever_the_vendor_says_is_read_or_refused(plain in anything()) {
        for mut stage in stages() {
            for door in [Door::Authorization, Door::Message] {
                let push = stage.twin.say(door, &plain.to_string(), now());
                let raw = arrived(&push);
                match stage.component.open(&raw) {
                    Ok(Opened::Push(opened)) => {
                        prop_assert!(stage.twin.acknowledged(&push, opened.acknowledgement.status, &opened.acknowledgement.body), "{}", stage.name);
                        prop_assert!(!opened.dedupe_key.is_empty() && opened.dedupe_key.len() <= 512, "{}", stage.name);
                    }
                    Ok(Opened::Check(_)) => {}
                    Err(error) => prop_assert!([400, 401].contains(&error.status()), "{}", stage.name),
                }
                let _ = stage.component.diagnose(&raw);
            }
        }
    }

    #[test]
    fn whatever_a_vendor_answers_is_read_or_refused(body in anything(), noise in prop::collection::vec(any::<u8>(), 0..200), status in 200_u16..600) {
        use yizhan::platform::token::LinkRequest;
        for stage in stages() {
            for body in [body.to_string().into_bytes(), noise.clone()] {
                let reply = Reply { status, content_type: String::from("application/json"), body: body.into() };
                let request = LinkRequest { redirect_uri: String::from("https://a.example.com/"), state: String::from("s") };
                for family in stage.component.families() {
                    let _ = stage.component.read_component_token(*family, &reply, now());
                    let _ = stage.component.read_tokens(*family, &reply, now());
                    let _ = stage.component.read_recovered(*family, MERCHANT, &reply, now());
                }
                let _ = stage.component.read_start_tickets(&reply);
                let _ = stage.component.read_identity(&reply);
                let _ = stage.component.link(&request, Some(&reply), now());
            }
        }
    }
}

/// Objects whose members have the vendors' names and values of every kind.
fn anything() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec![
        "event",
        "Event",
        "MsgType",
        "msg_method",
        "notify_type",
        "eventTime",
        "CreateTime",
        "utc_timestamp",
        "FromUserName",
        "ToUserName",
        "Ticket",
        "componentTicket",
        "ComponentTicket",
        "AuthorizationCode",
        "authorizationCode",
        "authorization_code",
        "app_id",
        "appId",
        "AppId",
        "auth_app_id",
        "biz_content",
        "content",
        "data",
        "EventContent",
        "AuditResults",
        "status",
        "result",
        "reason",
        "version",
        "expiresIn",
        "expires_in",
        "eventName",
        "errno",
        "err_no",
        "code",
        "token",
        "notify_id",
        "TpAppId",
        "tpAppId",
        "msgId",
        "ids",
    ]);
    let words = prop::sample::select(vec![
        "COMPONENT_TICKET",
        "PUSH",
        "TICKET",
        "AUTHORIZED",
        "UNAUTHORIZED",
        "UPDATE_AUTHORIZED",
        "PACKAGE_AUDIT",
        "PACKAGE_AUDIT_PASS",
        "ticket",
        "open_app_auth_notify",
        "alipay.open.mini.version.audit.passed",
        "APPLY_VIDEO_CAPABILITY",
        "{}",
        "[1]",
        "{\"a\":1}",
        "",
        "1",
        "2026-11-20 15:04:05",
        "-1",
        "99999999999999999999",
        "\u{0}",
        "中文",
        "%ff",
        "<xml>",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        words.prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(names.clone(), inner, 0..6)
                .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    });
    prop::collection::vec(
        (
            prop::sample::select(vec![
                "event",
                "Event",
                "MsgType",
                "msg_method",
                "eventTime",
                "data",
                "EventContent",
                "content",
                "biz_content",
                "appId",
                "Ticket",
            ]),
            value,
        ),
        0..8,
    )
    .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}
