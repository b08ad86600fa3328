//! A row and its parameters become a call: the id and the token in the query, the rest where the rule carries it (5.0).

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::rows::KINDS;
use super::rules::{Carriage, Rule};
use super::{Members, Task, read};
use crate::platform::call::{ApiError, Body, Call, Class, Fields, Method, Value as Field};
use crate::platform::operation::{Bearer, Caller, Kind};

/// Time for what makes the vendor build or hand on a version (5.0).
const LONG_TIMEOUT: Duration = Duration::from_secs(30);
const LONG: &[&str] = &["package.upload", "audit.submit", "package.release"];

/// The main call of an operation. `before` is what was read first, where something is.
pub fn call(task: Task<'_>, before: Option<&Members>, caller: Caller<'_>) -> Result<Call, ApiError> {
    let content = match task.operation.name.split_once('.') {
        Some(("server_domain", "get") | ("webview_domain", "get")) => action("get"),
        Some(("server_domain", verb)) => server_domains(task, verb, before)?,
        Some(("webview_domain", verb)) => webview_domains(task, verb)?,
        _ => content(task, caller),
    };
    let mut call = send(task, task.rule, task.operation.bearer, content, caller);
    if LONG.contains(&task.operation.name) {
        call.timeout = LONG_TIMEOUT;
    }
    Ok(call)
}

/// A call by `rule` with that content.
pub fn send(task: Task<'_>, rule: &Rule, bearer: Bearer, mut content: Members, caller: Caller<'_>) -> Call {
    for (name, value) in &rule.extra {
        content.insert(name.clone(), value.clone());
    }
    let mut call = Call::new(rule.method, format!("{}{}", task.application.base_url, rule.path));
    call = call.query("component_app_id", task.application.app_id.as_str());
    call = match (bearer, caller.authorizer, caller.component_token) {
        (Bearer::Authorizer(_), Some((_, token)), _) => call.query("authorizer_access_token", token),
        (Bearer::Component(_), _, Some(token)) => call.query("component_access_token", token),
        _ => call,
    };
    match rule.carriage {
        Carriage::Json => call.json(&Value::Object(content)),
        Carriage::Form => call.body(Body::Form(fields(content))),
        Carriage::Query => {
            call.query.extend(fields(content));
            if rule.method == Method::Post { call.header("content-type", "application/json") } else { call }
        }
    }
}

fn fields(content: Members) -> Fields {
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    content.into_iter().map(|(name, value)| (name, Field::Plain(text(value)))).collect()
}

pub fn action(verb: &str) -> Members {
    Map::from_iter([(String::from("action"), Value::from(verb))])
}

/// The members that the parameters become.
fn content(task: Task<'_>, caller: Caller<'_>) -> Members {
    let rule = task.rule;
    let mut content = Members::new();
    for param in &task.operation.params {
        let Some(value) = task.params.get(param.name) else { continue };
        let value = match (param.name, param.kind) {
            ("capability" | "materials" | "ext", _) => continue,
            (_, Kind::Digits) => id(rule, value),
            _ => value.clone(),
        };
        content.insert(rule.field(param.name).to_owned(), value);
    }
    match task.operation.name {
        "package.upload" => {
            content.insert(rule.field("ext").to_owned(), ext(task, caller).into());
        }
        "trial.qrcode" => {
            content.entry(rule.field("stage")).or_insert_with(|| Value::from("latest"));
        }
        _ => {}
    }
    // What the caller wrote by the vendor's names stands.
    if let Some(Value::Object(materials)) = task.params.get("materials") {
        content.extend(materials.clone());
    }
    content
}

/// An id as the rule wants it; one that is no number of 64 bits stays text.
fn id(rule: &Rule, value: &Value) -> Value {
    match (value, rule.ids_as_text) {
        (Value::Number(number), true) => Value::from(number.to_string()),
        (Value::String(digits), false) => digits.parse::<u64>().map_or_else(|_| value.clone(), Value::from),
        _ => value.clone(),
    }
}

/// `ext_json`, a text (5.3.1): what the row knows, and over it what the caller gave; but never another merchant's app.
fn ext(task: Task<'_>, caller: Caller<'_>) -> String {
    let mut ext = Members::from_iter([(String::from("extEnable"), Value::Bool(true))]);
    if let Some((app_id, _)) = caller.authorizer {
        ext.insert(String::from("extAppid"), app_id.into());
    }
    if let Some(Value::Object(given)) = task.params.get("ext") {
        ext.extend(given.iter().filter(|(name, _)| *name != "extAppid").map(|(name, value)| (name.clone(), value.clone())));
    }
    Value::Object(ext).to_string()
}

fn server_domains(task: Task<'_>, verb: &str, before: Option<&Members>) -> Result<Members, ApiError> {
    if KINDS.iter().all(|kind| task.params.get(kind).is_none()) {
        return Err(ApiError::new(Class::Refuse, "no-domains", format!("give at least one of: {}", KINDS.join(", "))));
    }
    let mut content = action(verb);
    for kind in KINDS {
        let field = task.rule.field(kind);
        // Every list must be sent (5.1). To `set`, an empty one would clear what the caller did not speak of.
        let domains = match (task.params.get(kind), before) {
            (None, Some(before)) => json!(read::domains(task, before, kind)),
            _ => json!(bare(task, kind)?),
        };
        content.insert(field.to_owned(), domains);
    }
    Ok(content)
}

fn webview_domains(task: Task<'_>, verb: &str) -> Result<Members, ApiError> {
    let mut content = action(verb);
    let field = task.rule.list_field.as_deref().unwrap_or("webview");
    content.insert(field.to_owned(), json!(bare(task, "domains")?));
    Ok(content)
}

/// The domains of a list as the vendor wants them: without scheme, user, port, path and trailing dot (5.1).
pub fn bare(task: Task<'_>, list: &str) -> Result<Vec<String>, ApiError> {
    let domains = task.params.texts(list);
    if !task.rule.normalize {
        return Ok(domains);
    }
    let host = |text: &String| {
        let rest = text.split_once("://").map_or(text.as_str(), |(_, rest)| rest).trim();
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = host.rsplit('@').next().unwrap_or_default();
        let host = host.split(':').next().unwrap_or_default().trim_end_matches('.');
        match host.is_empty() || host.contains(char::is_whitespace) {
            true => Err(ApiError::new(Class::Refuse, "no-domain", format!("`{list}` holds something without a domain: `{text}`"))),
            false => Ok(host.to_owned()),
        }
    };
    let mut hosts = Vec::with_capacity(domains.len());
    for host in domains.iter().map(host) {
        let host = host?;
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    Ok(hosts)
}
