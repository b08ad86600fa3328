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
        let choice = u16::from_be_bytes([a, b]);
        let (a, b) = (usize::from(a), usize::from(b));
        match change % 17 {
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
            // Everything that has the same signed text, where fields are joined without an escape.
            14 => fields = read_anew(fields, choice),
            // A name stretches to a later equals sign.
            15 => {
                let (name, value) = &mut fields[a % count];
                let signs: Vec<usize> = value.iter().enumerate().filter(|(_, byte)| **byte == b'=').map(|(at, _)| at).collect();
                if !signs.is_empty() {
                    let rest = value.split_off(signs[b % signs.len()] + 1);
                    value.pop();
                    name.extend([b"=".as_slice(), value].concat());
                    *value = rest;
                }
            }
            // The certificate's number need not be signed.
            16 => {
                fields.retain(|(name, _)| name != b"alipay_cert_sn");
                fields.push((b"alipay_cert_sn".to_vec(), [b"".as_slice(), b"\xb0\xa1", b"1", b"\xff"][a % 4].to_vec()));
            }
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

/// Alipay's signed text cut anew: each of its pieces begins a field where a bit of `choice` says so and the names still ascend, and else belongs to
/// the field before. The first bit says whether `sign_type` is signed.
fn read_anew(fields: Vec<Field>, choice: u16) -> Vec<Field> {
    let bit = |at: usize| choice >> (at % 16) & 1 == 1;
    let is_apart = |name: &[u8]| name == b"sign" || (name == b"sign_type" && bit(0));
    let (apart, mut signed): (Vec<Field>, Vec<Field>) = fields.into_iter().partition(|(name, _)| is_apart(name));
    signed.sort();
    let text: Vec<Vec<u8>> = signed.into_iter().map(|(name, value)| [name, value].join(&b'=')).collect();
    let mut read: Vec<Field> = Vec::new();
    for (at, piece) in text.join(&b'&').split(|byte| *byte == b'&').enumerate() {
        let equals = piece.iter().position(|byte| *byte == b'=');
        match (read.last_mut(), equals) {
            (Some((before, value)), equals) if equals.is_none_or(|equals| piece[..equals] <= before[..] || !bit(at + 1)) => {
                value.extend([b"&".as_slice(), piece].concat());
            }
            (_, equals) => {
                let equals = equals.unwrap_or(piece.len());
                read.push((piece[..equals].to_vec(), piece.get(equals + 1..).unwrap_or_default().to_vec()));
            }
        }
    }
    read.extend(apart);
    read
}

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
