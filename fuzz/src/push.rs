//! The four platforms' push readers. Whoever has not the vendor's key cannot make anything that opens as a push, except by repeating, in
//! other bytes of the same meaning, what the vendor sealed.

use serde_json::{Map, Value, json};
use yizhan::envelope::{digest, rsa2};
use yizhan::platform::{Notice, Opened, Push, PushError, RawPush};

use super::corpus::{self, Subject, subjects};

/// What a stranger sends to that platform's callback address.
pub fn pushed(platform: &'static str, input: &[u8]) {
    let (subject, raw) = corpus::parsed(subjects(platform), input);
    check(platform, subject, &raw);
}

/// What holds for every request that a stranger sends.
pub fn check(platform: &str, subject: &Subject, raw: &RawPush) {
    let component = &subject.component;
    let opened = component.open(raw);
    assert_eq!(meaning(&opened), meaning(&component.open(raw)), "{platform}: opened twice, read in two ways");
    match &opened {
        Ok(Opened::Push(push)) => {
            assert!(!raw.is_get, "{platform}: a GET was opened");
            assert!(is_signed(platform, subject, raw), "{platform}: opened without a signature that holds: {raw:?}");
            let known = subject.pushes.iter().any(|(_, sealed)| match component.open(sealed) {
                Ok(Opened::Push(sealed)) => meaning_of(&sealed) == meaning_of(push),
                _ => false,
            });
            assert!(known, "{platform}: opened as something that the vendor never said: {raw:?}");
            assert!((1..=512).contains(&push.dedupe_key.len()));
        }
        Ok(Opened::Check(answer)) => {
            assert!(answer.status == 200 && answer.body.len() <= raw.body.len() + raw.query.len() + 1024, "{platform}")
        }
        Err(error) => refused(platform, subject, raw, error),
    }
    if !raw.is_get {
        let opens = matches!(opened, Ok(Opened::Push(_)));
        let found = component.diagnose(raw).opens;
        assert!(!opens || found, "{platform}: opens, and is diagnosed as not opening");
    }
}

fn refused(platform: &str, subject: &Subject, raw: &RawPush, error: &PushError) {
    let text = error.to_string();
    assert!([400, 401].contains(&error.status()), "{platform}");
    // It goes into a log line and into `/v1/rejected`.
    assert!(text.len() <= 400 && !text.chars().any(char::is_control), "{platform}: {text:?}");
    if let Some(answer) = subject.component.refusal(raw, error) {
        let body = String::from_utf8_lossy(&answer.body);
        let positive =
            body.trim() == "success" || serde_json::from_slice::<Value>(&answer.body).is_ok_and(|body| body["result"] == json!(1));
        assert!(!positive && !body.contains("<success>true"), "{platform}: {body}");
        assert!(answer.body.len() < 4096, "{platform}: an answer of {} bytes to a stranger", answer.body.len());
    }
}

/// All that a push was understood as, secrets too; `None` for what is none. What Alipay leaves out of its signature (`sign_type`, empty
/// fields of the envelope, the certificate's number) is no part of the meaning, because anybody may add it or take it off.
pub fn meaning(opened: &Result<Opened, PushError>) -> Option<Value> {
    let Ok(Opened::Push(push)) = opened else { return None };
    Some(meaning_of(push))
}

/// [`meaning`] of a push.
pub fn meaning_of(push: &Push) -> Value {
    let notice = match &push.notice {
        Notice::Ticket(ticket) => json!([ticket.value.expose(), ticket.created_at]),
        Notice::Granted(grant) | Notice::Updated(grant) => json!(grant),
        Notice::Revoked { at } => json!(at),
        Notice::Fact { data, .. } => json!(data),
    };
    let mut vendor = push.vendor.clone();
    if let Value::Object(members) = &mut vendor {
        members.retain(|name, value| !["sign", "sign_type", "alipay_cert_sn"].contains(&name.as_str()) && value != "");
    }
    json!({
        "kind": push.notice.kind(), "notice": notice, "vendor_type": push.vendor_type, "authorizer": push.authorizer,
        "time": push.time, "dedupe_key": push.dedupe_key, "vendor": vendor,
    })
}

/// Whether the signature holds, reckoned here once more from the vendor's rules and not with the reader under test.
fn is_signed(platform: &str, subject: &Subject, raw: &RawPush) -> bool {
    match platform {
        "kuaishou" => {
            let sent = raw.header("kwaisign").unwrap_or_default().trim().to_ascii_lowercase();
            sent == hex::encode(digest::sha1(&[&raw.body, subject.setting("token").as_bytes()]))
        }
        "alipay" => is_signed_by_alipay(subject, &raw.body),
        _ => {
            let fields = envelope(&raw.body);
            let field = |names: [&str; 2]| names.iter().find_map(|name| fields.get(*name)).map(text).unwrap_or_default();
            let encrypt = field(["Encrypt", "encrypt"]).replace(' ', "+");
            let mut parts = [subject.setting("token").to_owned(), field(["TimeStamp", "timeStamp"]), field(["Nonce", "nonce"]), encrypt];
            parts.sort_unstable();
            let sent = field(["MsgSignature", "msgSignature"]).trim().to_ascii_lowercase();
            sent == hex::encode(digest::sha1(&[parts.concat().as_bytes()]))
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn envelope(body: &[u8]) -> Map<String, Value> {
    if let Ok(Value::Object(object)) = serde_json::from_slice(body) {
        return object;
    }
    let mut fields = Map::new();
    for (name, value) in url::form_urlencoded::parse(body) {
        fields.entry(name.into_owned()).or_insert_with(|| Value::from(value.into_owned()));
    }
    fields
}

/// In certificate mode the key is inside of a chain that only the reader knows how to follow: there the known meanings have to do.
fn is_signed_by_alipay(subject: &Subject, body: &[u8]) -> bool {
    let Ok(key) = rsa2::PublicKey::read(subject.setting("alipay_public_key")) else { return true };
    let plus = |bytes: &[u8]| bytes.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect::<Vec<u8>>();
    let decoded = |part: &[u8]| percent_decoded(&plus(part));
    let pairs = body.split(|byte| *byte == b'&').filter_map(|piece| {
        let at = piece.iter().position(|byte| *byte == b'=')?;
        Some((decoded(&piece[..at]), decoded(&piece[at + 1..])))
    });
    let mut fields: Vec<(Vec<u8>, Vec<u8>)> = pairs.collect();
    fields.sort();
    let sign = fields
        .iter()
        .find(|(name, _)| name == b"sign")
        .map(|(_, value)| String::from_utf8_lossy(value).replace(' ', "+"))
        .unwrap_or_default();
    [false, true].into_iter().any(|with_type| {
        [false, true].into_iter().any(|with_empties| {
            let mut signed: Vec<(&[u8], &[u8])> = fields
                .iter()
                .map(|(name, value)| (name.as_slice(), value.as_slice()))
                .filter(|(name, value)| *name != b"sign" && (with_type || *name != b"sign_type") && (with_empties || !value.is_empty()))
                .collect();
            if with_type && !signed.iter().any(|(name, _)| *name == b"sign_type") {
                signed.push((b"sign_type", b"RSA2"));
                signed.sort();
            }
            let joined: Vec<Vec<u8>> = signed.iter().map(|(name, value)| [name, b"=".as_slice(), value].concat()).collect();
            key.verify(&joined.join(&b'&'), &sign)
        })
    })
}

fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = bytes.get(at + 1..at + 3).and_then(|pair| hex::decode(pair).ok()).filter(|_| bytes[at] == b'%');
        match pair {
            Some(byte) => {
                out.extend(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}
