//! Douyin, pretended, in both generations: issues tickets, pushes grants and results, and keeps what its [`ledger`] has handed out.

mod calls;
mod capabilities;
mod categories;
mod desk;
mod domains;
mod ledger;
mod material;
mod merchant;
mod packages;
mod profile;
mod templates;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Own;
use crate::clock::{Timestamp, china_text};
use crate::platform::call::Reply;
use crate::platform::push::Door;
use crate::platform::quota::{AuditMeter, AuditQuota};
use crate::platform::sorted_envelope::{self, Sealing};
use crate::platform::twin::{Answer, GrantStory, Outgoing, Request, Submission, Twin, Verdict};
use desk::No;
use ledger::Ledger;
use merchant::Merchant;
use templates::Templates;

/// Production pads to one AES block (2.4).
const PAD_TO: u8 = 16;

/// Douyin's side of one component.
pub(super) struct DouyinTwin {
    of: Own,
    ledger: Ledger,
    /// What the component itself keeps at the vendor.
    templates: Templates,
    /// What each merchant's mini program has become.
    merchants: BTreeMap<String, Merchant>,
    audits: AuditMeter,
}

impl DouyinTwin {
    pub(super) fn new(of: Own) -> Self {
        Self { of, ledger: Ledger::default(), templates: Templates::default(), merchants: BTreeMap::new(), audits: AuditMeter::default() }
    }

    /// An event about an authorizer, with these members more; keys in alphabetical order, as in production (3).
    fn event(&mut self, door: Door, app_id: &str, event: &str, more: Value, now: Timestamp) -> Outgoing {
        let mut body = json!({"AppId": app_id, "Event": event, "EventTime": china_text(now), "TpAppId": self.of.component_appid});
        if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
            body.extend(more);
            body.sort_keys();
        }
        self.say(door, &body.to_string(), now)
    }

    fn code_event(&mut self, app_id: &str, event: &str, code: &str, now: Timestamp) -> Outgoing {
        let more = json!({"AuthorizationCode": code, "AuthorizationCodeExpiresIn": ledger::CODE_SECONDS});
        self.event(Door::Authorization, app_id, event, more, now)
    }
}

impl Twin for DouyinTwin {
    fn ticket(&mut self, now: Timestamp) -> Option<Outgoing> {
        let body = json!({
            "CreateTime": china_text(now), "Event": "PUSH", "FromUserName": "ByteDanceMicroApp", "MsgType": "Ticket",
            "Ticket": self.ledger.ticket(now),
        });
        Some(self.say(Door::Authorization, &body.to_string(), now))
    }

    /// The redirect and the push carry the same code (4.3).
    fn grant(&mut self, app_id: &str, now: Timestamp) -> GrantStory {
        let event = if self.ledger.stands(app_id) { "UPDATE_AUTHORIZED" } else { "AUTHORIZED" };
        self.ledger.grant(app_id, now);
        let code = self.ledger.code(app_id, None, now);
        let push = self.code_event(app_id, event, &code, now);
        let redirect_query = format!("authorization_code={code}&expires_in={}", ledger::CODE_SECONDS);
        GrantStory { push: Some(push), redirect_query }
    }

    fn revoke(&mut self, app_id: &str, now: Timestamp) -> Option<Outgoing> {
        if !self.ledger.revoke(app_id) {
            return None;
        }
        Some(self.event(Door::Authorization, app_id, "UNAUTHORIZED", json!({}), now))
    }

    fn audit(&mut self, app_id: &str, _version: &str, verdict: &Verdict, now: Timestamp) -> Outgoing {
        // The event names no version (3.2).
        let hosts = self.merchants.get(app_id).and_then(|merchant| merchant.packages.audited_by());
        let results: Vec<Value> = hosts
            .unwrap_or_else(|| vec![String::from("douyin"), String::from("toutiao")])
            .iter()
            .map(|host| match verdict {
                Verdict::Passed => json!({"hostName": host, "status": 1, "reason": null, "auditDetail": null}),
                Verdict::Failed(reason) => json!({
                    "hostName": host, "status": 0, "reason": [reason], "auditDetail": [{"reason": reason, "modifyGuide": null}],
                }),
            })
            .collect();
        self.event(Door::Message, app_id, "PACKAGE_AUDIT", json!({"AuditResults": results}), now)
    }

    fn in_audit(&mut self, _now: Timestamp) -> Vec<Submission> {
        let waiting = |(app_id, merchant): (&String, &Merchant)| {
            let (version, since) = merchant.packages.in_audit()?;
            Some(Submission { app_id: app_id.clone(), version: version.to_owned(), since })
        };
        self.merchants.iter().filter_map(waiting).collect()
    }

    fn limit_audits(&mut self, quota: AuditQuota, now: Timestamp) {
        self.audits.set(quota, now);
    }

    /// A result that the vendor says is one that it has come to.
    fn say(&mut self, door: Door, plain: &str, now: Timestamp) -> Outgoing {
        let said: Value = serde_json::from_str(plain).unwrap_or_default();
        if let Some(merchant) = said.get("AppId").and_then(Value::as_str).and_then(|app_id| self.merchants.get_mut(app_id)) {
            merchant.decided(&said);
        }
        self.of.sealing.seal(door, plain, &self.of.component_appid, PAD_TO, now)
    }

    fn reseal(&mut self, push: &Outgoing, now: Timestamp) -> Outgoing {
        self.of.sealing.seal(push.door, &String::from_utf8_lossy(&push.plain), &self.of.component_appid, PAD_TO, now)
    }

    fn forge(&mut self, push: &Outgoing) -> Outgoing {
        Sealing::forge(push)
    }

    fn acknowledged(&self, _push: &Outgoing, status: u16, body: &[u8]) -> bool {
        sorted_envelope::acknowledged(status, body)
    }

    fn answer(&mut self, request: &Request, now: Timestamp) -> Answer {
        self.serve(request, now)
    }

    fn rate_limited(&mut self, request: &Request, _now: Timestamp) -> Answer {
        refusal(request, desk::USED_UP)
    }

    fn in_trouble(&self, request: &Request) -> Reply {
        let no = match request.path.starts_with("/openapi/") {
            true => No(40_000, "system error"),
            false => No(28_001_005, "internal error"),
        };
        refusal(request, no).reply
    }

    fn expire_tokens(&mut self, app_id: Option<&str>) {
        self.ledger.expire_tokens(app_id);
    }

    fn accepts(&self, app_id: Option<&str>, token: &str, now: Timestamp) -> bool {
        self.ledger.accepts(app_id, token, now)
    }
}

/// A no of the generation that was asked.
fn refusal(request: &Request, No(code, words): No) -> Answer {
    let body = match request.path.starts_with("/openapi/") {
        true => json!({"errno": code, "message": words}),
        false => json!({"err_no": code, "err_msg": words}),
    };
    Answer::json("other", false, 200, &body)
}
