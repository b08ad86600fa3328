//! Pushes that a vendor sealed, changed on purpose by somebody who knows the envelope: fields moved, split, joined, repeated, dropped,
//! spelt in another way. Plain mutation of bytes seldom gets that far.

use serde_json::{Map, Value};
use yizhan::platform::{Door, RawPush};

use super::corpus::{Subject, subjects};
use super::push;

const PLATFORMS: [&str; 4] = ["baidu", "douyin", "kuaishou", "alipay"];

/// The first two bytes choose the push, the others are a programme of changes.
pub fn tamper(input: &[u8]) {
    let [platform, which, programme @ ..] = input else { return };
    let platform = PLATFORMS[usize::from(*platform) % PLATFORMS.len()];
    let pushes: Vec<(&Subject, &RawPush)> =
        subjects(platform).iter().flat_map(|subject| subject.pushes.iter().map(move |(_, raw)| (subject, raw))).collect();
    let (subject, sealed) = pushes[usize::from(*which) % pushes.len()];
    let mut raw = sealed.clone();
    let is_json = raw.body.trim_ascii_start().starts_with(b"{");
    let mut fields = if is_json { members(&raw.body) } else { pairs(&raw.body) };
    let mut escape = Escape::Usual;
    let mut steps = programme.iter().copied();
    for _ in 0..12 {
        let (Some(change), Some(a), Some(b)) = (steps.next(), steps.next(), steps.next()) else { break };
        let count = fields.len();
        if count == 0 {
            break;
        }
        let (a, b) = (usize::from(a), usize::from(b));
        match change % 14 {
            // Characters wander from the end of one value to the beginning of another: a signature over joined values may not see it.
            0 => {
                let (from, to) = (a % count, b % count);
                let mut value = fields[from].1.clone();
                let moved = value.split_off(value.len() - (a / count).min(value.len()));
                fields[from].1 = value;
                fields[to].1 = [moved, fields[to].1.clone()].concat();
            }
            // The same from the beginning to the end.
            1 => {
                let (from, to) = (a % count, b % count);
                let value = &mut fields[from].1;
                let rest = value.split_off((b / count).min(value.len()));
                let moved = std::mem::replace(&mut fields[from].1, rest);
                fields[to].1.extend(moved);
            }
            2 => fields.swap(a % count, b % count),
            3 => drop(fields.remove(a % count)),
            4 => {
                let copy = fields[a % count].clone();
                fields.insert(b % (count + 1), copy);
            }
            // One field swallows the next: `a=1&b=2` as the value of one.
            5 if count > 1 => {
                fields.sort();
                let at = a % (count - 1);
                let (name, value) = fields.remove(at + 1);
                fields[at].1.extend([b"&".as_slice(), &name, b"=", &value].concat());
            }
            // A value that holds `&name=` becomes two fields.
            6 => {
                let at = a % count;
                let value = fields[at].1.clone();
                if let Some(cut) = value.iter().position(|byte| *byte == b'&')
                    && let Some(equals) = value[cut..].iter().position(|byte| *byte == b'=')
                {
                    fields[at].1.truncate(cut);
                    fields.push((value[cut + 1..cut + equals].to_vec(), value[cut + equals + 1..].to_vec()));
                }
            }
            7 => fields.push((b"yizhan_added".to_vec(), vec![b'x'; b % 8])),
            // Empty fields of the envelope, which some clients leave out of what is signed.
            8 => fields.push((
                [b"version".as_slice(), b"charset", b"app_auth_token", b"notify_id", b"encrypt_type", b"sign_type"][a % 6].to_vec(),
                Vec::new(),
            )),
            9 => {
                let at = a % count;
                fields[at].1 = if b % 2 == 0 { fields[at].1.to_ascii_uppercase() } else { fields[at].1.to_ascii_lowercase() };
            }
            10 => {
                let at = a % count;
                let value = &mut fields[at].1;
                let place = b % (value.len() + 1);
                value.insert(place, [b' ', b'\n', b'\t', b'=', 0, b'+'][(a / count) % 6]);
            }
            11 => escape = [Escape::Usual, Escape::All, Escape::Lower][a % 3],
            12 => raw.door = if a % 2 == 0 { Door::Message } else { Door::Authorization },
            _ => {
                if let Some(header) = raw.headers.get_mut(a % 3) {
                    header.1 = if b % 2 == 0 { header.1.to_ascii_uppercase() } else { [b" ".as_slice(), &header.1, b" "].concat() };
                }
            }
        }
    }
    raw.body = if is_json { json(&fields, escape) } else { form(&fields, escape) }.into();
    push::check(platform, subject, &raw);
}

type Field = (Vec<u8>, Vec<u8>);

#[derive(Clone, Copy, PartialEq)]
enum Escape {
    Usual,
    All,
    Lower,
}

fn members(body: &[u8]) -> Vec<Field> {
    let object: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    object.iter().map(|(name, value)| (name.clone().into_bytes(), text(value).into_bytes())).collect()
}

fn pairs(body: &[u8]) -> Vec<Field> {
    let part = |bytes: &[u8]| {
        let mut out = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            match bytes.get(at + 1..at + 3).and_then(|pair| hex::decode(pair).ok()).filter(|_| bytes[at] == b'%') {
                Some(byte) => {
                    out.extend(byte);
                    at += 3;
                }
                None => {
                    out.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
                    at += 1;
                }
            }
        }
        out
    };
    let split = |piece: &[u8]| {
        let at = piece.iter().position(|byte| *byte == b'=').unwrap_or(piece.len());
        (part(&piece[..at]), part(piece.get(at + 1..).unwrap_or_default()))
    };
    body.split(|byte| *byte == b'&').map(split).collect()
}

fn json(fields: &[Field], escape: Escape) -> Vec<u8> {
    let quoted = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        match escape {
            Escape::Usual => Value::from(text).to_string(),
            _ => {
                let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
                format!("\"{}\"", if escape == Escape::Lower { units } else { units.to_uppercase().replace("\\U", "\\u") })
            }
        }
    };
    let members: Vec<String> = fields.iter().map(|(name, value)| format!("{}:{}", quoted(name), quoted(value))).collect();
    format!("{{{}}}", members.join(",")).into_bytes()
}

fn form(fields: &[Field], escape: Escape) -> Vec<u8> {
    let escaped = |bytes: &[u8]| match escape {
        Escape::Usual => url::form_urlencoded::byte_serialize(bytes).collect::<String>(),
        Escape::All => bytes.iter().map(|byte| format!("%{byte:02X}")).collect(),
        Escape::Lower => bytes.iter().map(|byte| format!("%{byte:02x}")).collect(),
    };
    let pieces: Vec<String> = fields.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
    pieces.join("&").into_bytes()
}
