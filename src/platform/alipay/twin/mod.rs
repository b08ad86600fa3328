//! Alipay, pretended: signs with a key pair of its own as the platform does, keeps merchants' authorizations, answers the OpenAPI.
//!
//! Hosted by `simulator`, talked to by tests. `book` remembers grants, `mini_program` the merchants' mini programs; `office` checks and answers
//! calls, `counter` says which method does what, `versions`, `front` and `shelf` do it, `multipart` reads files; this file pushes.
//! A merchant's grant comes both ways at once (of one by a link the browser alone may tell, 3.1: the simulator then sends no push), as a signed notice with tokens and as a browser with a code: the code is that of the
//! same authorization, and exchanging it gives the same tokens. Timestamps of calls are read but not held against a window, whose
//! width is undocumented.

mod book;
mod counter;
mod front;
mod mini_program;
mod multipart;
mod office;
mod shelf;
mod versions;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::content::text;
use super::form::{self, Form};
use super::rules::{self, CertificateNumber, Empties, Rule, Variant};
use super::settings::Application;
use super::{check, gateway::Gateway};
use crate::clock::{Timestamp, china_text};
use crate::envelope::rsa2::PrivateKey;
use crate::platform::call::Reply;
use crate::platform::push::Door;
use crate::platform::quota::{AuditMeter, AuditQuota};
use crate::platform::twin::{Answer, GrantStory, Outgoing, Request, Submission, Twin, Verdict};
use book::Book;
use mini_program::MiniProgram;

/// The vendor.
pub struct AlipayTwin {
    application: Application,
    key: PrivateKey,
    book: Book,
    /// Mini programs by their ids, from the first call in their name on.
    programs: BTreeMap<String, MiniProgram>,
    messages: u64,
    /// What all merchants together may submit.
    audits: AuditMeter,
}

/// The merchant's account; one stands for all.
const MERCHANT: &str = "2088000000000001";

impl AlipayTwin {
    /// A platform that knows this application and signs with `key`.
    pub fn new(application: Application, key: PrivateKey) -> Self {
        Self { application, key, book: Book::default(), programs: BTreeMap::new(), messages: 0, audits: AuditMeter::default() }
    }

    fn gateway(&self) -> &Gateway {
        &self.application.gateway
    }

    /// The next id of a message: digits that begin with the day, as Alipay's do.
    fn next_notify_id(&mut self, now: Timestamp) -> String {
        self.messages += 1;
        let day = china_text(now).chars().take(10).filter(char::is_ascii_digit).collect::<String>();
        format!("{day}00262{:021}", self.messages)
    }

    /// Fills in what an envelope has, where the content does not say it.
    fn completed(&mut self, mut fields: Map<String, Value>, now: Timestamp) -> Map<String, Value> {
        let is_message = fields.contains_key("msg_method");
        let is_service = fields.contains_key("service");
        let mut add = |name: &str, value: String| {
            fields.entry(name).or_insert(Value::String(value));
        };
        add("charset", String::from(if is_service { "GBK" } else { "UTF-8" }));
        add("sign_type", String::from("RSA2"));
        if is_service {
            return fields;
        }
        add("app_id", self.gateway().app_id().to_owned());
        add("version", String::from(if is_message { "1.1" } else { "1.0" }));
        match is_message {
            true => add("utc_timestamp", now.as_millisecond().to_string()),
            false => add("notify_time", china_text(now)),
        }
        if !fields.contains_key("notify_id") {
            let id = self.next_notify_id(now);
            fields.insert(String::from("notify_id"), Value::String(id));
        }
        fields
    }

    /// Signs the fields and makes the request of them. The order notice is signed by the other rule, as a real one was (2.3).
    fn posted(&self, door: Door, fields: &Map<String, Value>) -> Outgoing {
        let charset = form::charset(text(fields, "charset").as_deref()).unwrap_or(encoding_rs::UTF_8);
        let is_sealed = fields.contains_key("encrypt_type");
        let shown: Vec<(String, String)> = fields
            .iter()
            .map(|(name, value)| {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                match self.gateway().content_key().filter(|_| is_sealed && name == "biz_content") {
                    Some(key) => (name.clone(), key.seal(&charset.encode(&value).0)),
                    None => (name.clone(), value),
                }
            })
            .collect();
        let mut form = Form::of(&shown, charset);
        let by_v2 = fields.contains_key("service") || text(fields, "notify_type").as_deref() == Some("servicemarket_order_notify");
        let rule = if by_v2 { Rule::V2 } else { Rule::V1 };
        rules::sign(&mut form, Variant { rule, empties: Empties::Kept, certificate_number: CertificateNumber::Kept }, &self.key);
        Outgoing {
            door,
            headers: vec![
                (String::from("content-type"), format!("application/x-www-form-urlencoded; charset={}", charset.name())),
                (String::from("user-agent"), String::from("Mozilla/4.0")),
            ],
            body: Bytes::from(form.encode()),
            plain: Bytes::from(Value::Object(fields.clone()).to_string()),
            message_id: text(fields, "notify_id"),
        }
    }

    fn message(&mut self, fields: Value, now: Timestamp) -> Outgoing {
        self.say(Door::Message, &fields.to_string(), now)
    }
}

impl Twin for AlipayTwin {
    fn ticket(&mut self, _now: Timestamp) -> Option<Outgoing> {
        None
    }

    fn grant(&mut self, app_id: &str, now: Timestamp) -> GrantStory {
        let isv = self.gateway().app_id().to_owned();
        let (pair, code) = self.book.grant(app_id, now);
        let content = json!({
            "notify_context": {"trigger": "appstore"},
            "detail": {
                "app_auth_token": pair.access, "user_id": MERCHANT, "re_expires_in": book::REFRESH_LIFETIME_SECONDS,
                "auth_time": now.as_millisecond(), "app_refresh_token": pair.refresh, "auth_app_id": app_id, "app_id": isv,
                "expires_in": book::OBSOLETE_LIFETIME_SECONDS, "app_auth_code": code,
            },
            "error": {},
        });
        let push = self.message(
            json!({"notify_type": "open_app_auth_notify", "status": "execute_auth", "auth_app_id": app_id, "biz_content": content}),
            now,
        );
        let redirect_query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("app_id", &isv)
            .append_pair("source", "alipay_app_auth")
            .append_pair("app_auth_code", &code)
            .finish();
        GrantStory { push: Some(push), redirect_query }
    }

    fn revoke(&mut self, app_id: &str, now: Timestamp) -> Option<Outgoing> {
        let isv = self.gateway().app_id().to_owned();
        self.book.revoke(app_id);
        let content = json!({"auth_app_id": app_id, "app_id": isv, "user_id": MERCHANT, "cancel_time": now.as_millisecond()});
        let fields =
            json!({"msg_method": "alipay.open.auth.appauth.cancelled", "msg_type": "app", "msg_app_id": app_id, "biz_content": content});
        Some(self.message(fields, now))
    }

    fn audit(&mut self, app_id: &str, version: &str, verdict: &Verdict, now: Timestamp) -> Outgoing {
        if let Some(program) = self.programs.get_mut(app_id) {
            versions::judge(program, version, verdict, now);
        }
        let mut content = json!({"mini_app_id": app_id, "mini_app_version": version, "bundle_id": "com.alipay.alipaywallet"});
        let method = match verdict {
            Verdict::Passed => "alipay.open.mini.version.audit.passed",
            Verdict::Failed(words) => {
                if let Value::Object(members) = &mut content {
                    members.insert(String::from("audit_reason"), Value::from(words.as_str()));
                }
                "alipay.open.mini.version.audit.rejected"
            }
        };
        let fields = json!({"msg_method": method, "msg_type": "app", "msg_app_id": app_id, "msg_uid": MERCHANT, "biz_content": content});
        self.message(fields, now)
    }

    fn in_audit(&mut self, _now: Timestamp) -> Vec<Submission> {
        self.programs.iter().flat_map(|(app_id, program)| versions::in_audit(app_id, program)).collect()
    }

    fn domains_online(&self, app_id: &str) -> Option<Vec<String>> {
        self.programs.get(app_id).map(versions::domains_online)
    }

    fn limit_audits(&mut self, quota: AuditQuota, now: Timestamp) {
        self.audits.set(quota, now);
    }

    /// `plain` is a JSON object of the form's fields; members that are not text are written as JSON text, what an envelope has is
    /// filled in, `charset` says how the bytes are written, and `encrypt_type` has `biz_content` encrypted.
    fn say(&mut self, door: Door, plain: &str, now: Timestamp) -> Outgoing {
        let fields = match serde_json::from_str(plain) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::from_iter([(String::from("biz_content"), Value::from(plain))]),
        };
        let fields = self.completed(fields, now);
        self.posted(door, &fields)
    }

    /// Alipay's retry is the same message to the letter (2.2).
    fn reseal(&mut self, push: &Outgoing, _now: Timestamp) -> Outgoing {
        push.clone()
    }

    fn forge(&mut self, push: &Outgoing) -> Outgoing {
        let Ok(mut form) = Form::decode(&push.body) else { return push.clone() };
        // Still base64 of a signature's length, of which no bit need be right.
        let sign: String = form.ascii("sign").unwrap_or_default().chars().rev().skip_while(|c| *c == '=').collect();
        form.set("sign", &format!("{sign}=="));
        Outgoing { body: Bytes::from(form.encode()), ..push.clone() }
    }

    fn acknowledged(&self, push: &Outgoing, status: u16, body: &[u8]) -> bool {
        let fields: Map<String, Value> = serde_json::from_slice(&push.plain).unwrap_or_default();
        if status != 200 {
            return false;
        }
        if text(&fields, "service").as_deref() == Some(check::SERVICE) {
            return self.confirms_check(&String::from_utf8_lossy(body));
        }
        body == b"success"
    }

    fn answer(&mut self, request: &Request, now: Timestamp) -> Answer {
        self.answer_call(request, now)
    }

    fn rate_limited(&mut self, request: &Request, _now: Timestamp) -> Answer {
        self.refuse_call(request, "40005", "Call Limited", "isv.app-call-limited")
    }

    fn in_trouble(&self, request: &Request) -> Reply {
        self.refuse_call(request, "20000", "Service Currently Unavailable", "isp.unknow-error").reply
    }

    fn expire_tokens(&mut self, app_id: Option<&str>) {
        if let Some(app_id) = app_id {
            self.book.expire(app_id);
        }
    }

    fn accepts(&self, app_id: Option<&str>, token: &str, now: Timestamp) -> bool {
        app_id.is_some_and(|app_id| self.book.holder(token, now) == Some(app_id))
    }
}

impl AlipayTwin {
    /// Whether the answer to a check is signed by the application over the text between the tags (2.6).
    fn confirms_check(&self, answer: &str) -> bool {
        let between = |open: &str, close: &str| answer.split_once(open)?.1.split_once(close).map(|(inside, _)| inside);
        let (Some(response), Some(sign)) = (between("<response>", "</response>"), between("<sign>", "</sign>")) else { return false };
        let public = self.gateway().key().public();
        response.starts_with("<success>true</success>")
            && response.contains(&public.to_base64())
            && public.verify(response.as_bytes(), sign)
    }
}
