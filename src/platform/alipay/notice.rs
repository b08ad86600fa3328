//! What a verified push means: a row of the catalogue turned into a [`Notice`] (Alipay 3).
//!
//! Called by `push`. Decides nothing about tokens: it hands them on.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::{Map, Value};

use super::catalogue::{self, Copied, Meaning};
use super::content::{number, text};
use super::push::Verified;
use crate::clock::Timestamp;
use crate::event_type::EventType;
use crate::platform::loose::text_of;
use crate::platform::push::{Grant, Notice};
use crate::platform::token::{AuthorizationCode, AuthorizerTokens, RefreshToken, Token};
use crate::secret::Secret;

/// How long a code can be exchanged (Alipay 2.8).
pub const CODE_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// The notice, the authorizer it is about, and the vendor's time of the event.
pub fn read(push: &Verified, app_id: &str) -> (Notice, Option<String>, Timestamp) {
    let meaning = catalogue::row(push.named_by, &push.name).map_or(Meaning::Other(&[]), |row| row.meaning);
    let about = authorizer(push, app_id);
    match (meaning, about) {
        (Meaning::Grant, about) => match grant(push, app_id) {
            Some((grant, authorizer)) => {
                let at = grant.granted_at;
                (Notice::Granted(grant), Some(authorizer), at)
            }
            None => (fact(EventType::VendorOther, Map::new()), about, push.sent_at),
        },
        (Meaning::Revocation, Some(about)) => {
            let at = milliseconds(push.content(), "cancel_time").unwrap_or(push.sent_at);
            (Notice::Revoked { at }, Some(about), at)
        }
        // Nobody is named, so nobody can be revoked.
        (Meaning::Revocation, None) => (fact(EventType::VendorOther, Map::new()), None, push.sent_at),
        (Meaning::AuditPassed, about) => (fact(EventType::AuditPassed, audit(push)), about, push.sent_at),
        (Meaning::AuditRejected, about) => (fact(EventType::AuditFailed, audit(push)), about, push.sent_at),
        (Meaning::Other(fields), about) => (fact(EventType::VendorOther, copied(push, fields)), about, push.sent_at),
    }
}

fn fact(kind: EventType, data: Map<String, Value>) -> Notice {
    Notice::Fact { kind, data }
}

/// The mini program a push is about (Alipay 3.3 names the order of places). Our own id stands in some of them and is nobody's.
fn authorizer(push: &Verified, app_id: &str) -> Option<String> {
    let detail = push.content().get("detail").and_then(Value::as_object);
    let content = push.content();
    let inside = ["auth_app_id", "mini_app_id", "consumer_miniAppId"].into_iter().filter_map(|name| text_of(content, &[name]));
    let outside = ["msg_app_id", "auth_app_id", "consumer_miniAppId"].into_iter().filter_map(|name| text_of(&push.fields, &[name]));
    let detailed = detail.and_then(|detail| text_of(detail, &["auth_app_id"]));
    detailed.into_iter().chain(inside).chain(outside).find(|candidate| *candidate != app_id).map(Cow::into_owned)
}

fn milliseconds(members: &Map<String, Value>, name: &str) -> Option<Timestamp> {
    number(members, name).and_then(|ms| Timestamp::from_millisecond(ms).ok())
}

/// Tokens and code of `open_app_auth_notify` (Alipay 3.2). `None` for anything else that comes under this name: another status, or a
/// grant to a plugin, whose tokens are not the mini program's and would displace them.
fn grant(push: &Verified, app_id: &str) -> Option<(Grant, String)> {
    if text(&push.fields, "status").is_some_and(|status| status != "execute_auth") {
        return None;
    }
    let detail = push.content().get("detail")?.as_object()?;
    if text(detail, "app_id").is_some_and(|to| to != app_id) {
        return None;
    }
    let authorizer = text(detail, "auth_app_id").or_else(|| text(&push.fields, "auth_app_id"))?;
    let granted_at = milliseconds(detail, "auth_time").unwrap_or(push.sent_at);
    let code = text(detail, "app_auth_code")
        .and_then(|code| Some(AuthorizationCode { value: Secret::new(code), expires_at: granted_at.checked_add(CODE_LIFETIME).ok()? }));
    let tokens = tokens(detail, granted_at).map(|tokens| AuthorizerTokens { app_id: Some(authorizer.clone()), ..tokens });
    if code.is_none() && tokens.is_none() {
        return None;
    }
    Some((Grant { code, tokens, permissions: Vec::new(), granted_at }, authorizer))
}

/// The tokens of one authorization, as pushes and `alipay.open.auth.token.app` write them. The access token does not expire: its
/// `expires_in` is obsolete by the vendor's own word (Alipay 4.4). The refresh token's life counts from `since`.
pub fn tokens(members: &Map<String, Value>, since: Timestamp) -> Option<AuthorizerTokens> {
    let access = text(members, "app_auth_token")?;
    let life = number(members, "re_expires_in").filter(|seconds| *seconds > 0);
    let expires_at = life.and_then(|seconds| since.checked_add(jiff::SignedDuration::from_secs(seconds)).ok());
    Some(AuthorizerTokens {
        app_id: text(members, "auth_app_id"),
        access: Token { value: Secret::new(access), expires_at: None },
        refresh: text(members, "app_refresh_token").map(|refresh| RefreshToken { value: Secret::new(refresh), expires_at }),
        permissions: None,
    })
}

/// Version and reason of an audit (Alipay 3.4, 3.5). With `audit_rule=BASE_PROMOTE` each part has its own memos, and a pass may carry
/// the refusal of the promotion.
fn audit(push: &Verified) -> Map<String, Value> {
    let mut data = Map::new();
    if let Some(version) = text(push.content(), "mini_app_version") {
        data.insert(String::from("version"), Value::String(version));
    }
    let memos: Vec<String> =
        ["base_audit_reason", "promote_audit_reason"].into_iter().flat_map(|part| memos(push.content().get(part))).collect();
    let reason = text(push.content(), "audit_reason").or_else(|| (!memos.is_empty()).then(|| memos.join("\n")));
    if let Some(reason) = reason {
        data.insert(String::from("reason"), Value::String(reason));
    }
    data
}

fn memos(part: Option<&Value>) -> Vec<String> {
    let memos = part.and_then(|part| part.get("memos")).and_then(Value::as_array);
    memos.into_iter().flatten().filter_map(|memo| memo.get("memo").and_then(Value::as_str)).map(str::to_owned).collect()
}

fn copied(push: &Verified, fields: &[Copied]) -> Map<String, Value> {
    let found = |field: &Copied| {
        let value = field.from.iter().find_map(|from| text(push.content(), from).or_else(|| text(&push.fields, from)))?;
        Some((field.name.to_owned(), Value::String(value)))
    };
    fields.iter().filter_map(found).collect()
}
