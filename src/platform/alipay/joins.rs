//! Alipay signs names and values joined without any escape (2.3), so a signed text tells less than the form it was made of. This room takes
//! a form only where its text can be read in one way.
//!
//! Called by `rules` once a signature holds. Knows nothing of keys, and of a field's meaning only whether it decides something.
//!
//! Whoever has seen a push knows a text and its signature, and can send every form that has this text. Those are: cut the text at any choice of
//! its ampersands, so that each piece begins with `name=` and the names ascend; write the pieces in any order and with any escapes; leave out or
//! add what is not signed. So a field can be *joined* to the one before it (`a=1&b=2` as the value of `a`), a value that holds `&name=` can be
//! *cut* there, a name can stretch over fields up to a later `=` (base64 ends with some), and all of these together: a cut whose new field takes
//! in the rest. Four rules leave one of all those forms:
//!
//! 1. A name is made of ASCII letters, digits, `_`, `.` and `-`, that of an empty field too. So a piece's name ends at its first `=`.
//! 2. A field that decides something holds no ampersand. None of their values has one.
//! 3. Any other field holds no `&name=` whose name stands behind its own in the order of names. Where two forms differ first, one of them has a
//!    field there that the other one takes for a part of the field before: that one is refused.
//! 4. `biz_content` that begins as JSON, or as the XML of a `service`, may hold anything, and `push` reads it only if it is whole: cut or prolonged
//!    it is not.
//!
//! A fifth is for texts that a merchant wrote and Alipay signed, a contact's name for instance. What Alipay sent is refused by the third rule if
//! such a text holds fields; but cut apart, with a last field of the merchant's making that takes in the real ones, it would have passed. So the
//! name of a field that decides something stands in no value at all, whatever the order.
//!
//! What is left nobody could tell: a text of a merchant's that holds a single field whose name fits between that of its own field and the next.
//! A merchant who can also read the platform's pushes may so lend the notice of an order of his own a field that it lacks, `item_code` for instance.
//!
//! Other values lose something by this: an address with a query (`&z=`) in a field of which nobody knows more than its name is refused.
//! The push is kept with the reason, as all that were refused. The other way round, everybody could change such a field.

use super::catalogue::{CATALOGUE, Meaning};
use super::content::SECRET_MEMBERS;
use super::form::Form;

/// The field with a text of its own.
const CONTENT: &str = "biz_content";
/// Characters of a name that are told.
const LONGEST_SHOWN: usize = 40;

/// Fields that decide what a push is and whom it is about: ids, names, numbers and times, none of which has an ampersand.
const DECISIVE: &[&str] = &[
    "app_id",
    "auth_app_id",
    "cancel_time",
    "charset",
    "consumer_miniAppId",
    "encrypt_type",
    "method",
    "mini_app_id",
    "mini_app_version",
    "msg_app_id",
    "msg_method",
    "msg_type",
    "msg_uid",
    "notify_id",
    "notify_time",
    "notify_type",
    "service",
    "sign_type",
    "status",
    "utc_timestamp",
    "version",
];

/// Fields of which the catalogue copies ids and words into events. A title is free text.
fn copied() -> impl Iterator<Item = &'static str> {
    let rows = CATALOGUE.iter().filter_map(|row| match row.meaning {
        Meaning::Other(fields) => Some(fields),
        _ => None,
    });
    rows.flatten().flat_map(|field| field.from).copied().filter(|name| *name != "title")
}

fn decides(name: &[u8]) -> bool {
    DECISIVE.iter().copied().chain(copied()).any(|decisive| decisive.as_bytes() == name)
}

/// Whether it must not stand in another field's value.
fn is_kept_apart(name: &[u8]) -> bool {
    decides(name) || name == CONTENT.as_bytes() || SECRET_MEMBERS.iter().any(|secret| secret.as_bytes() == name)
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// Whether the content begins as JSON, or as the XML of a `service`: then it is taken whole or not at all.
#[must_use]
pub fn begins_as_document(form: &Form) -> bool {
    match form.get(CONTENT).and_then(|content| content.trim_ascii_start().first()) {
        Some(b'{' | b'[' | b'"') => true,
        Some(b'<') => form.get("service").is_some(),
        _ => false,
    }
}

/// What lets a form be read in another way, in words; `None`: nothing. `signed`: its fields of which the signature holds.
#[must_use]
pub fn two_ways<'a>(form: &'a Form, mut signed: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Option<String> {
    if !form.fields().all(|(name, _)| is_name(name)) {
        return Some(String::from("a name has other characters than letters, digits, `_`, `.` and `-`"));
    }
    let is_document = begins_as_document(form);
    signed.find_map(|(name, value)| {
        // Few values have one, and only those can hold a field.
        if !value.contains(&b'&') {
            return None;
        }
        // A stranger may have chosen it, and it goes into a log line.
        let shown: String = String::from_utf8_lossy(name).chars().take(LONGEST_SHOWN).collect();
        if decides(name) {
            return Some(format!("`{shown}` holds an ampersand"));
        }
        if name == CONTENT.as_bytes() && is_document {
            return None;
        }
        // What stands behind each ampersand, as far as it could be a field.
        let inner = value.split(|byte| *byte == b'&').skip(1).filter_map(|piece| piece.get(..piece.iter().position(|byte| *byte == b'=')?));
        // `sign` itself is never signed, so no piece of the text is one.
        let mut fields = inner.filter(|inner| is_name(inner) && *inner != b"sign");
        fields.any(|inner| inner > name || is_kept_apart(inner)).then(|| format!("`{shown}` holds what could be another field"))
    })
}
