//! The pretended gateway: checks a call as Alipay does, does what it asks, and signs the answer over the raw node (1.5, 1.6).
//!
//! Part of the twin. What fails before a method is reached is an unsigned `error_response`, everything else is signed.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::super::content::{number, text};
use super::super::form::{self, Form};
use super::super::{reply, tokens};
use super::counter::Nothing;
use super::{AlipayTwin, MERCHANT, book, multipart};
use crate::clock::{Timestamp, china_text, china_time};
use crate::platform::call::Reply;
use crate::platform::twin::{About, Answer, Request};

/// The query of a token.
const TOKEN_QUERY: &str = "alipay.open.auth.token.app.query";

/// A refusal: `code`, `msg`, `sub_code`.
type No = (&'static str, &'static str, &'static str);

const fn invalid(sub_code: &'static str) -> No {
    ("40002", "Invalid Arguments", sub_code)
}

const fn missing(sub_code: &'static str) -> No {
    ("40001", "Missing Required Arguments", sub_code)
}

const fn business(sub_code: &'static str) -> No {
    ("40004", "Business Failed", sub_code)
}

/// A call that was checked.
struct Checked {
    method: String,
    /// The members of `biz_content`, or the parameters at the top level with the names of files.
    content: Map<String, Value>,
    is_sealed: bool,
    /// The mini program in whose name it comes.
    holder: Option<String>,
}

/// Parameters that belong to the gateway (Alipay 1.5).
const COMMON: &[&str] = &[
    "app_id",
    "method",
    "format",
    "charset",
    "sign_type",
    "sign",
    "timestamp",
    "version",
    "app_auth_token",
    "app_cert_sn",
    "alipay_root_cert_sn",
    "biz_content",
    "encrypt_type",
];

impl AlipayTwin {
    pub(super) fn answer_call(&mut self, request: &Request, now: Timestamp) -> Answer {
        if !request.path.ends_with("/gateway.do") {
            let reply = Reply { status: 404, content_type: String::from("text/html"), body: Bytes::from_static(b"no such page") };
            return Answer { reply, pushes: Vec::new(), deed: "other", accepted: false, about: None };
        }
        let checked = match self.checked(request, now) {
            Ok(checked) => checked,
            Err(no) => return unsigned(no),
        };
        let (deed, outcome) = match checked.method.as_str() {
            tokens::TOKEN => self.token(&checked.content, now),
            tokens::AUTHORIZATIONS => ("recover", Ok(self.authorizations(&checked.content))),
            TOKEN_QUERY => ("authorization.permissions", self.inspect(&checked.content, now)),
            method => match self.serve(method, &checked.content, checked.holder.as_deref(), now) {
                (_, Err(Nothing::NoMethod)) => return unsigned(invalid("isv.invalid-method")),
                (deed, Err(Nothing::NoMerchant)) => (deed, Err(("40006", "Insufficient Permissions", "isv.self-invoke-forbidden"))),
                (deed, Err(Nothing::Refused(sub_code))) => (deed, Err(business(sub_code))),
                (deed, Ok(members)) => (deed, Ok(members)),
            },
        };
        let accepted = outcome.is_ok();
        let about = checked.holder.filter(|_| accepted).map(|app_id| About { app_id, version: text(&checked.content, "app_version") });
        let node = match outcome {
            Ok(mut members) => {
                members.insert(String::from("code"), Value::from("10000"));
                members.insert(String::from("msg"), Value::from("Success"));
                Value::Object(members)
            }
            Err(no) => refusal(no),
        };
        Answer { reply: self.signed(&checked.method, &node, checked.is_sealed), pushes: Vec::new(), deed, accepted, about }
    }

    /// Refuses a call in the gateway's own way, without looking at its signature.
    pub(super) fn refuse_call(&self, request: &Request, code: &'static str, msg: &'static str, sub_code: &'static str) -> Answer {
        let method = request.query_value("method").or_else(|| request.form_value("method")).unwrap_or_default();
        let reply = self.signed(&method, &refusal((code, msg, sub_code)), false);
        Answer { reply, pushes: Vec::new(), deed: "other", accepted: false, about: None }
    }

    /// The checks of the gateway, in its order as far as it is known.
    fn checked(&self, request: &Request, now: Timestamp) -> Result<Checked, No> {
        let (form, files) = parameters(request).ok_or(invalid("isv.invalid-content-type"))?;
        let given = |name: &str| form.ascii(name).map(str::to_owned);
        let method = given("method").ok_or(missing("isv.missing-method"))?;
        let app_id = given("app_id").ok_or(missing("isv.missing-app-id"))?;
        if app_id != self.gateway().app_id() {
            return Err(invalid("isv.invalid-app-id"));
        }
        if given("sign_type").ok_or(missing("isv.missing-signature-type"))? != "RSA2" {
            return Err(invalid("isv.invalid-signature-type"));
        }
        if form::charset(given("charset").as_deref()) != Some(encoding_rs::UTF_8) {
            return Err(invalid("isv.invalid-charset"));
        }
        given("version").ok_or(missing("isv.missing-version"))?;
        let timestamp = given("timestamp").ok_or(missing("isv.missing-timestamp"))?;
        china_time(&timestamp).ok_or(invalid("isv.invalid-timestamp"))?;
        let sign = given("sign").ok_or(missing("isv.missing-signature"))?;
        let fields = form.fields().filter(|(name, value)| *name != b"sign" && !value.is_empty());
        let string = form::sign_string(fields);
        if !self.gateway().key().public().verify(&string, &sign) {
            return Err(invalid("isv.invalid-signature"));
        }
        if let Some(own) = self.gateway().trust().own()
            && (given("app_cert_sn").as_ref() != Some(&own.app_cert_sn) || given("alipay_root_cert_sn").as_ref() != Some(&own.root_cert_sn))
        {
            return Err(invalid("isv.missing-signature-config"));
        }
        let rejected = ("20001", "Insufficient Token Permissions", "aop.invalid-app-auth-token");
        let holder = match given("app_auth_token") {
            Some(token) => Some(self.book.holder(&token, now).ok_or(rejected)?.to_owned()),
            None => None,
        };
        let is_sealed = given("encrypt_type").is_some();
        let content = form.get("biz_content").unwrap_or_default();
        let content = match is_sealed {
            false => content.to_vec(),
            true => {
                let key = self.gateway().content_key().ok_or(missing("isv.missing-encrypt-key"))?;
                let opened = std::str::from_utf8(content).ok().and_then(|sealed| key.open(sealed));
                opened.ok_or(invalid("isv.decryption-error-not-valid-encrypt-key"))?
            }
        };
        let content = match form.get("biz_content") {
            Some(_) => serde_json::from_slice(&content).unwrap_or_default(),
            None => top_level(&form, files),
        };
        Ok(Checked { method, content, is_sealed, holder })
    }

    fn token(&mut self, content: &Map<String, Value>, now: Timestamp) -> (&'static str, Result<Map<String, Value>, No>) {
        let given = |name: &str| text(content, name).unwrap_or_default();
        let (deed, outcome) = match given("grant_type").as_str() {
            "authorization_code" => ("exchange", self.book.exchange(&given("code"), now)),
            "refresh_token" => ("refresh", self.book.refresh(&given("refresh_token"), now)),
            _ => ("other", Err("GRANT_TYPE_INVALID")),
        };
        let members = outcome.map_err(business).map(|(app_id, pair)| {
            let entry = json!({
                "app_auth_token": pair.access, "app_refresh_token": pair.refresh, "auth_app_id": app_id, "user_id": MERCHANT,
                "expires_in": book::OBSOLETE_LIFETIME_SECONDS, "re_expires_in": book::REFRESH_LIFETIME_SECONDS,
            });
            Map::from_iter([(String::from("tokens"), Value::Array(vec![entry]))])
        });
        (deed, members)
    }

    fn authorizations(&self, content: &Map<String, Value>) -> Map<String, Value> {
        let wanted = text(content, "auth_app_id");
        let isv = self.gateway().app_id();
        let entry = |(app_id, at, token): (&str, Timestamp, &str)| json!({"auth_app_id": app_id, "auth_time": china_text(at), "isv_app_id": isv, "mini_app_token": token});
        let asked = |name: &str, otherwise: i64| number(content, name).filter(|asked| *asked >= 1).unwrap_or(otherwise);
        let (page, size) = (asked("page_no", 1), asked("page_size", 20));
        let (skipped, taken) = (usize::try_from((page - 1).saturating_mul(size)), usize::try_from(size));
        let total = self.book.list(wanted.as_deref()).count();
        let of_page = self.book.list(wanted.as_deref()).skip(skipped.unwrap_or(usize::MAX)).take(taken.unwrap_or(usize::MAX));
        let list: Vec<Value> = of_page.map(entry).collect();
        Map::from_iter([
            (String::from("app_auth_list"), Value::Array(list)),
            (String::from("page_no"), Value::from(page)),
            (String::from("page_size"), Value::from(size)),
            (String::from("total_items"), Value::from(total)),
        ])
    }

    fn inspect(&self, content: &Map<String, Value>, now: Timestamp) -> Result<Map<String, Value>, No> {
        let token = text(content, "app_auth_token").ok_or(business("ILLEGAL_PARAM"))?;
        let app_id = self.book.holder(&token, now).ok_or(business("AUTH_TOKEN_NOT_EXISTED"))?;
        let answer = json!({
            "user_id": MERCHANT, "auth_app_id": app_id, "expires_in": book::OBSOLETE_LIFETIME_SECONDS, "status": "valid",
            "auth_methods": ["alipay.open.mini.version.upload", "alipay.open.mini.version.audit.passed"],
        });
        Ok(answer.as_object().cloned().unwrap_or_default())
    }

    /// The answer with its signature over the raw text of the node; encrypted, the quotes belong to that text.
    fn signed(&self, method: &str, node: &Value, is_sealed: bool) -> Reply {
        let raw = match self.gateway().content_key().filter(|_| is_sealed) {
            Some(key) => format!("\"{}\"", key.seal(node.to_string().as_bytes())),
            None => node.to_string(),
        };
        let number = self.gateway().trust().keys().first().and_then(|key| key.sn.as_deref());
        let number = number.map(|sn| format!(",\"alipay_cert_sn\":\"{sn}\"")).unwrap_or_default();
        let sign = self.key.sign(raw.as_bytes());
        json_reply(format!("{{\"{}\":{raw}{number},\"sign\":\"{sign}\"}}", reply::root_node(method)))
    }
}

/// Query and body together, and the files by their fields; `None` for a body of another kind.
fn parameters(request: &Request) -> Option<(Form, Vec<(String, String)>)> {
    let kind = request.header("content-type").unwrap_or("application/x-www-form-urlencoded");
    if kind.starts_with("multipart/form-data") {
        let parts = multipart::parts(kind, &request.body)?;
        let mut form = Form::decode(request.query.as_bytes()).ok()?;
        for (name, value) in &parts.texts {
            // A second one could be signed and the first be used.
            if form.get(name).is_some() {
                return None;
            }
            form.set(name, value);
        }
        return Some((form, parts.files));
    }
    let mut joined = request.query.clone().into_bytes();
    if !request.body.is_empty() {
        if !kind.starts_with("application/x-www-form-urlencoded") {
            return None;
        }
        if !joined.is_empty() {
            joined.push(b'&');
        }
        joined.extend_from_slice(&request.body);
    }
    Form::decode(&joined).ok().map(|form| (form, Vec::new()))
}

fn top_level(form: &Form, files: Vec<(String, String)>) -> Map<String, Value> {
    let texts = form.texts(encoding_rs::UTF_8).unwrap_or_default();
    let own = texts.into_iter().filter(|(name, _)| !COMMON.contains(&name.as_str()));
    own.chain(files).map(|(name, value)| (name, Value::from(value))).collect()
}

fn refusal((code, msg, sub_code): No) -> Value {
    json!({"code": code, "msg": msg, "sub_code": sub_code, "sub_msg": sub_code})
}

fn unsigned(no: No) -> Answer {
    let reply = json_reply(json!({"error_response": refusal(no)}).to_string());
    Answer { reply, pushes: Vec::new(), deed: "other", accepted: false, about: None }
}

fn json_reply(body: String) -> Reply {
    Reply { status: 200, content_type: String::from("application/json"), body: Bytes::from(body) }
}
