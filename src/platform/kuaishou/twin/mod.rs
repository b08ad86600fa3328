//! Kuaishou, pretended: issues tickets, seals pushes and answers calls with the vendor's shapes, lifetimes and codes (appendix B).
//!
//! Hosted by `simulator` and talked to by tests. What the vendor has not published follows the same predictions as the component's side.
//! It holds no time and no randomness: names are digests of a counter, the moment and the made-up secret.

mod calls;
mod operations;

use std::collections::{BTreeMap, VecDeque};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde_json::{Value, json};

use super::push::SIGNATURE_HEADER;
use super::tokens::CODE_SECONDS;
use super::{Application, later, number, seal};
use crate::clock::Timestamp;
use crate::envelope::digest;
use crate::platform::call::Reply;
use crate::platform::push::Door;
use crate::platform::quota::{AuditMeter, AuditQuota};
use crate::platform::twin::{Answer, GrantStory, Outgoing, Request, Submission, Twin, Verdict};

/// Tickets that are still taken (appendix B).
const TICKETS_TAKEN: usize = 3;
/// The vendor's side of one application.
pub(super) struct Vendor {
    /// The same settings that the component has.
    application: Application,
    /// Everything made so far, for names that never repeat.
    made: u64,
    /// Tickets still taken, newest last.
    tickets: VecDeque<String>,
    /// Component tokens; `None` for those killed before their time.
    component_tokens: BTreeMap<String, Option<Timestamp>>,
    /// Pre-authorization codes.
    pre_auth_codes: BTreeMap<String, Timestamp>,
    /// Authorization codes that were not exchanged yet.
    codes: BTreeMap<String, Code>,
    /// Merchants' mini programs by app id.
    merchants: BTreeMap<String, Merchant>,
    /// Templates and drafts.
    library: operations::Library,
    /// What all merchants together may submit.
    audits: AuditMeter,
}

struct Code {
    app_id: String,
    expires_at: Timestamp,
}

#[derive(Default)]
struct Merchant {
    /// Whether the grant stands.
    granted: bool,
    /// Access tokens; `None` for those killed before their time.
    access: BTreeMap<String, Option<Timestamp>>,
    /// The one refresh token that works.
    refresh: Option<(String, Timestamp)>,
    /// Server domains by kind, and webview domains.
    domains: BTreeMap<&'static str, Vec<String>>,
    /// Its versions.
    versions: operations::Versions,
    /// Numbers of the capabilities that were applied for.
    capabilities: BTreeMap<&'static str, i64>,
}

impl Vendor {
    pub(super) fn new(application: Application) -> Self {
        Self {
            application,
            made: 0,
            tickets: VecDeque::new(),
            component_tokens: BTreeMap::new(),
            pre_auth_codes: BTreeMap::new(),
            codes: BTreeMap::new(),
            merchants: BTreeMap::new(),
            library: operations::Library::default(),
            audits: AuditMeter::default(),
        }
    }

    /// 32 bytes that were not made before, also not by an earlier run.
    fn fresh(&mut self, now: Timestamp) -> [u8; 32] {
        self.made += 1;
        let secret = self.application.app_secret.expose().as_bytes();
        digest::sha256(&[secret, &self.made.to_be_bytes(), &now.as_nanosecond().to_be_bytes()])
    }

    /// A code or ticket.
    fn word(&mut self, now: Timestamp) -> String {
        hex::encode(self.fresh(now)).chars().take(40).collect()
    }

    /// A token as the vendor's look (1.3): base64url of a name and noise, more than 200 characters.
    fn token(&mut self, name: &str, now: Timestamp) -> String {
        let mut bytes = vec![0x0a, 0x16];
        bytes.extend_from_slice(name.as_bytes());
        for _ in 0..4 {
            bytes.extend(self.fresh(now));
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn new_ticket(&mut self, now: Timestamp) -> Outgoing {
        let ticket = self.word(now);
        self.tickets.push_back(ticket.clone());
        while self.tickets.len() > TICKETS_TAKEN {
            self.tickets.pop_front();
        }
        let members = json!({ "componentTicket": ticket, "expiresIn": 2400 });
        self.event(Door::Authorization, "COMPONENT_TICKET", members, now)
    }

    fn new_code(&mut self, app_id: &str, now: Timestamp) -> String {
        let code = self.word(now);
        self.codes.insert(code.clone(), Code { app_id: app_id.to_owned(), expires_at: later(now, CODE_SECONDS) });
        code
    }

    /// An authorization event with a code (3.1.2, 3.1.4).
    fn code_event(&mut self, event: &str, app_id: &str, code: &str, now: Timestamp) -> Outgoing {
        let members = json!({ "appId": app_id, "authorizationCode": code, "authorizationCodeExpiresIn": CODE_SECONDS });
        self.event(Door::Authorization, event, members, now)
    }

    fn event(&mut self, door: Door, event: &str, members: Value, now: Timestamp) -> Outgoing {
        let mut plain = json!({ "componentAppId": self.application.app_id, "event": event, "eventTime": now.as_millisecond() });
        if let (Value::Object(plain), Value::Object(members)) = (&mut plain, members) {
            plain.extend(members);
        }
        self.say(door, &plain.to_string(), now)
    }

    /// Seals `plain`. Retries look different each time: padding, alphabet and spacing vary with `self.made`, all of which 2.3 tolerates.
    fn sealed(&mut self, door: Door, plain: Bytes, message_id: String, now: Timestamp) -> Outgoing {
        let nonce = self.fresh(now);
        let nonce: [u8; 16] = std::array::from_fn(|at| nonce.get(at).copied().unwrap_or_default());
        let style = self.made;
        let rules = &self.application.push;
        let pad_to = if style.is_multiple_of(2) && rules.variant.max_padding == 32 { 32 } else { 16 };
        let sealed =
            self.application.keys.first().map(|key| seal::seal(key, rules.variant, &plain, &self.application.app_id, &nonce, pad_to));
        // The settings were read, so there is a key of a length that fits.
        let cipher = sealed.and_then(Result::ok).unwrap_or_default();
        let encrypted = if style.is_multiple_of(4) { URL_SAFE_NO_PAD.encode(cipher) } else { STANDARD.encode(cipher) };
        let envelope = json!({
            "encryptedMsg": encrypted,
            "msgId": message_id,
            "componentAppId": self.application.app_id,
            "timestamp": now.as_millisecond(),
        });
        let body = if style.is_multiple_of(3) { format!("{envelope:#}") } else { envelope.to_string() };
        self.signed(door, body.into(), plain, Some(message_id))
    }

    fn signed(&self, door: Door, body: Bytes, plain: Bytes, message_id: Option<String>) -> Outgoing {
        let Application { token, app_secret, push, .. } = &self.application;
        let signature = push.recipes.first().map(|recipe| hex::encode(recipe.digest(&body, token, app_secret))).unwrap_or_default();
        let headers = [("content-type", String::from("application/json; charset=utf-8")), (SIGNATURE_HEADER, signature)];
        Outgoing { door, headers: headers.map(|(name, value)| (name.to_owned(), value)).to_vec(), body, plain, message_id }
    }
}

impl Twin for Vendor {
    fn ticket(&mut self, now: Timestamp) -> Option<Outgoing> {
        Some(self.new_ticket(now))
    }

    fn grant(&mut self, app_id: &str, now: Timestamp) -> GrantStory {
        self.merchants.entry(app_id.to_owned()).or_default().granted = true;
        let code = self.new_code(app_id, now);
        let push = self.code_event("AUTHORIZED", app_id, &code, now);
        GrantStory { push: Some(push), redirect_query: format!("authorization_code={code}&expires_in={CODE_SECONDS}") }
    }

    fn revoke(&mut self, app_id: &str, now: Timestamp) -> Option<Outgoing> {
        let merchant = self.merchants.get_mut(app_id)?;
        merchant.granted = false;
        merchant.access.clear();
        merchant.refresh = None;
        self.codes.retain(|_, code| code.app_id != app_id);
        Some(self.event(Door::Authorization, "UNAUTHORIZED", json!({ "appId": app_id }), now))
    }

    fn audit(&mut self, app_id: &str, version: &str, verdict: &Verdict, now: Timestamp) -> Outgoing {
        if let Some(merchant) = self.merchants.get_mut(app_id) {
            merchant.versions.judge(version, verdict);
        }
        let members = match verdict {
            Verdict::Passed => json!({ "appId": app_id, "version": version, "status": 1 }),
            Verdict::Failed(reason) => json!({ "appId": app_id, "version": version, "status": 2, "reason": reason }),
        };
        self.event(Door::Message, "PACKAGE_AUDIT", members, now)
    }

    fn in_audit(&mut self, _now: Timestamp) -> Vec<Submission> {
        let waiting = |(app_id, merchant): (&String, &Merchant)| {
            let (version, since) = merchant.versions.in_audit()?;
            Some(Submission { app_id: app_id.clone(), version: version.to_owned(), since })
        };
        self.merchants.iter().filter_map(waiting).collect()
    }

    /// The same event as a verdict, with the state of one that is not there yet (3.2.1).
    fn delay(&mut self, app_id: &str, version: &str, now: Timestamp) -> Option<Outgoing> {
        let members = json!({ "appId": app_id, "version": version, "status": 0 });
        Some(self.event(Door::Message, "PACKAGE_AUDIT", members, now))
    }

    fn limit_audits(&mut self, quota: AuditQuota, now: Timestamp) {
        self.audits.set(quota, now);
    }

    fn say(&mut self, door: Door, plain: &str, now: Timestamp) -> Outgoing {
        let id = self.fresh(now);
        let message_id: [u8; 16] = std::array::from_fn(|at| id.get(at).copied().unwrap_or_default());
        let message_id = uuid::Builder::from_random_bytes(message_id).into_uuid().to_string();
        self.sealed(door, Bytes::copy_from_slice(plain.as_bytes()), message_id, now)
    }

    fn reseal(&mut self, push: &Outgoing, now: Timestamp) -> Outgoing {
        let message_id = push.message_id.clone().unwrap_or_default();
        loop {
            // Six styles follow one another, so one that differs comes soon.
            let again = self.sealed(push.door, push.plain.clone(), message_id.clone(), now);
            if again.body != push.body {
                return again;
            }
        }
    }

    fn forge(&mut self, push: &Outgoing) -> Outgoing {
        let mut forged = push.clone();
        for (_, value) in forged.headers.iter_mut().filter(|(name, _)| name == SIGNATURE_HEADER) {
            // Every digit becomes another one.
            *value = value.chars().map(|c| if c == '0' { '1' } else { '0' }).collect();
        }
        forged
    }

    fn acknowledged(&self, push: &Outgoing, status: u16, body: &[u8]) -> bool {
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let id = push.message_id.as_deref();
        status == 200 && answer.get("result").and_then(number) == Some(1) && answer.get("message_id").and_then(Value::as_str) == id
    }

    fn answer(&mut self, request: &Request, now: Timestamp) -> Answer {
        self.answered(request, now)
    }

    fn in_trouble(&self, request: &Request) -> Reply {
        calls::refusal(request, calls::INTERNAL)
    }

    fn expire_tokens(&mut self, app_id: Option<&str>) {
        let tokens = match app_id {
            None => Some(&mut self.component_tokens),
            Some(app_id) => self.merchants.get_mut(app_id).map(|merchant| &mut merchant.access),
        };
        tokens.into_iter().flat_map(BTreeMap::values_mut).for_each(|expires_at| *expires_at = None);
    }

    fn accepts(&self, app_id: Option<&str>, token: &str, now: Timestamp) -> bool {
        let tokens = match app_id {
            None => Some(&self.component_tokens),
            Some(app_id) => self.merchants.get(app_id).filter(|merchant| merchant.granted).map(|merchant| &merchant.access),
        };
        tokens.and_then(|tokens| tokens.get(token)).is_some_and(|expires_at| expires_at.is_some_and(|at| now < at))
    }
}
