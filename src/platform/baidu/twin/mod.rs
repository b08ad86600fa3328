//! Baidu, pretended: issues tickets, keeps tokens and codes with Baidu's lifetimes and single use, says no in Baidu's three shapes, and
//! remembers what became of mini programs, packages, domains, templates and pushes.
//!
//! `tokens` and `desk` answer calls, `program` and `library` are what is remembered, `heed` lets said events take effect.
//! Where Baidu leaves something open (8.2), the twin does what is hardest for a provider: a new token ends the former one at once.

mod desk;
mod domains;
mod heed;
mod library;
mod no;
mod packages;
mod pictures;
mod profile;
mod program;
mod tokens;

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use self::library::Library;
use self::no::{No, gateway, oauth, platform};
use self::program::Program;
use super::Own;
use crate::clock::{Timestamp, local_text};
use crate::platform::call::{Method, Reply};
use crate::platform::issued::{Issued, State};
use crate::platform::loose::after;
use crate::platform::push::Door;
use crate::platform::quota::{AuditMeter, AuditQuota};
use crate::platform::sorted_envelope::{self, Sealing};
use crate::platform::twin::{Answer, GrantStory, Outgoing, Request, Submission, Twin, Verdict};

/// Baidu pads to this many bytes (2.4).
const PAD_TO: u8 = 32;

/// Baidu's side of one TP.
pub(super) struct BaiduTwin {
    of: Own,
    tickets: Issued<()>,
    /// TP tokens.
    tokens: Issued<()>,
    token: Option<String>,
    pre_auth_codes: Issued<()>,
    /// Authorization codes with the app they are for.
    codes: Issued<String>,
    access: Issued<String>,
    refresh: Issued<String>,
    apps: HashMap<String, App>,
    /// Mini programs live on when a grant ends.
    programs: HashMap<String, Program>,
    library: Library,
    /// What all merchants together may submit; each has a number of its own besides.
    audits: AuditMeter,
}

/// A merchant's mini program with a standing grant, and its newest tokens.
#[derive(Default)]
struct App {
    access: Option<String>,
    refresh: Option<String>,
}

fn text() -> String {
    Uuid::new_v4().simple().to_string()
}

/// An app id as Baidu writes it: a number where it is one.
fn app_number(app_id: &str) -> Value {
    app_id.parse::<i64>().map_or_else(|_| Value::from(app_id), Value::from)
}

impl BaiduTwin {
    pub(super) fn new(of: Own) -> Self {
        Self {
            of,
            tickets: Issued::default(),
            tokens: Issued::default(),
            token: None,
            pre_auth_codes: Issued::default(),
            codes: Issued::default(),
            access: Issued::default(),
            refresh: Issued::default(),
            apps: HashMap::new(),
            programs: HashMap::new(),
            library: Library::new(),
            audits: AuditMeter::default(),
        }
    }

    fn code(&mut self, app_id: &str, seconds: i64, now: Timestamp) -> String {
        let code = text();
        self.codes.issue(code.clone(), app_id.to_owned(), after(now, seconds), now);
        code
    }

    /// A platform event about an app, with these members more.
    fn event(&mut self, door: Door, app_id: &str, event: &str, more: Value, now: Timestamp) -> Outgoing {
        let tp_id = app_number(&self.of.tp_id);
        let mut body =
            json!({"appId": app_number(app_id), "tpAppId": tp_id, "eventTime": local_text(now, self.of.event_zone), "event": event});
        if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
            body.extend(more);
        }
        self.say(door, &body.to_string(), now)
    }

    fn program(&mut self, app_id: &str) -> &mut Program {
        self.programs.entry(app_id.to_owned()).or_insert_with(|| Program::new(app_id))
    }

    fn forget_tokens(&mut self, app_id: &str) {
        if let Some(app) = self.apps.get_mut(app_id) {
            app.access.take().inspect(|token| self.access.withdraw(token));
            app.refresh.take().inspect(|token| self.refresh.withdraw(token));
        }
    }
}

impl Twin for BaiduTwin {
    fn ticket(&mut self, now: Timestamp) -> Option<Outgoing> {
        let ticket = text();
        let lifetime = i64::try_from(self.of.ticket_lifetime.max(Duration::from_mins(10)).as_secs()).unwrap_or(i64::MAX);
        self.tickets.issue(ticket.clone(), (), after(now, lifetime), now);
        let body = json!({
            "Ticket": ticket, "FromUserName": "SmartAPP", "CreateTime": now.as_second(), "MsgType": "ticket", "Event": "push",
        });
        Some(self.say(Door::Authorization, &body.to_string(), now))
    }

    fn grant(&mut self, app_id: &str, now: Timestamp) -> GrantStory {
        let event = if self.apps.contains_key(app_id) { "UPDATE_AUTHORIZED" } else { "AUTHORIZED" };
        self.apps.entry(app_id.to_owned()).or_default();
        self.program(app_id);
        let pushed = self.code(app_id, 60, now);
        let returned = self.code(app_id, 3600, now);
        let more = json!({"authorizationCode": pushed, "authorizationCodeExpiresIn": 60});
        let push = self.event(Door::Authorization, app_id, event, more, now);
        GrantStory { push: Some(push), redirect_query: format!("authorization_code={returned}&expires_in=3600") }
    }

    fn revoke(&mut self, app_id: &str, now: Timestamp) -> Option<Outgoing> {
        self.forget_tokens(app_id);
        self.codes.withdraw_all(|of| of == app_id);
        self.apps.remove(app_id)?;
        Some(self.event(Door::Authorization, app_id, "UNAUTHORIZED", json!({}), now))
    }

    fn audit(&mut self, app_id: &str, version: &str, verdict: &Verdict, now: Timestamp) -> Outgoing {
        let id = self.program(app_id).judge(version, verdict).unwrap_or_else(|| self.library.number());
        let (event, package) = match verdict {
            Verdict::Passed => ("PACKAGE_AUDIT_PASS", json!({"packageId": id, "packageVersion": version})),
            Verdict::Failed(reason) => ("PACKAGE_AUDIT_FAIL", json!({"packageId": id, "packageVersion": version, "reason": reason})),
        };
        self.event(Door::Message, app_id, event, package, now)
    }

    fn in_audit(&mut self, now: Timestamp) -> Vec<Submission> {
        let mut waiting: Vec<_> = self.programs.values_mut().flat_map(|program| program.in_audit(now)).collect();
        waiting.sort_by(|one, other| one.app_id.cmp(&other.app_id));
        waiting
    }

    fn limit_audits(&mut self, quota: AuditQuota, now: Timestamp) {
        self.audits.set(quota, now);
    }

    fn say(&mut self, door: Door, plain: &str, now: Timestamp) -> Outgoing {
        self.heed(plain);
        let push = self.of.sealing.seal(door, plain, &self.of.tp_id, PAD_TO, now);
        self.library.sent(&push, now);
        push
    }

    fn reseal(&mut self, push: &Outgoing, now: Timestamp) -> Outgoing {
        self.of.sealing.seal(push.door, &String::from_utf8_lossy(&push.plain), &self.of.tp_id, PAD_TO, now)
    }

    fn forge(&mut self, push: &Outgoing) -> Outgoing {
        Sealing::forge(push)
    }

    fn acknowledged(&self, push: &Outgoing, status: u16, body: &[u8]) -> bool {
        let acknowledged = sorted_envelope::acknowledged(status, body);
        if acknowledged {
            self.library.acknowledged(push);
        }
        acknowledged
    }

    fn answer(&mut self, request: &Request, now: Timestamp) -> Answer {
        let grant_type = request.query_value("grant_type");
        let (deed, result) = match (request.method, request.path.trim_end_matches('/'), grant_type.as_deref()) {
            (Method::Get, "/public/2.0/smartapp/auth/tp/token", _) => ("component_token", self.component_token(request, now)),
            (Method::Get, "/rest/2.0/smartapp/tp/createpreauthcode", _) => ("link", self.pre_auth_code(request, now)),
            (Method::Get, "/rest/2.0/oauth/token", Some("app_to_tp_authorization_code")) => ("exchange", self.exchange(request, now)),
            (Method::Get, "/rest/2.0/oauth/token", Some("app_to_tp_refresh_token")) => ("refresh", self.refresh(request, now)),
            (Method::Get, "/rest/2.0/oauth/token", _) => ("other", Err(oauth("unsupported_grant_type", "unknown grant_type"))),
            (Method::Post, "/rest/2.0/smartapp/auth/retrieve/authorizationcode", _) => ("recover", self.retrieve(request, now)),
            (Method::Get, "/rest/2.0/smartapp/app/info", _) => ("info", self.info(request, now)),
            (Method::Get, "/mappconsole/tp/authorization", _) => ("other", self.page(request, now)),
            _ => return self.operation(request, now),
        };
        match result {
            Ok(body) => Answer::json(deed, true, 200, &body),
            Err(No(status, body)) => Answer::json(deed, false, status, &body),
        }
    }

    fn rate_limited(&mut self, _request: &Request, _now: Timestamp) -> Answer {
        let No(status, body) = gateway(4, "Open api request limit reached");
        Answer::json("other", false, status, &body)
    }

    fn in_trouble(&self, request: &Request) -> Reply {
        let No(status, body) = match request.path.starts_with("/rest/2.0/oauth/") {
            true => gateway(2, "Service temporarily unavailable"),
            false => platform(500, "network busy"),
        };
        Answer::json("other", false, status, &body).reply
    }

    fn expire_tokens(&mut self, app_id: Option<&str>) {
        match app_id {
            None => {
                self.token.take().inspect(|token| self.tokens.withdraw(token));
            }
            Some(app_id) => {
                let token = self.apps.get_mut(app_id).and_then(|app| app.access.take());
                token.inspect(|token| self.access.withdraw(token));
            }
        }
    }

    fn accepts(&self, app_id: Option<&str>, token: &str, now: Timestamp) -> bool {
        match app_id {
            None => self.tokens.state(token, now) == State::Good,
            Some(app_id) => self.access.good(token, now).is_ok_and(|of| of == app_id),
        }
    }
}
