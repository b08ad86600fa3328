//! A row and its parameters become a request of the gateway: `biz_content`, or parameters at the top level with files (Alipay 1.5).

use serde_json::{Value as Json, json};

use super::super::gateway::Request;
use super::Task;
use super::rows::versions::STATES;
use crate::platform::call::{Call, Part, Value};
use crate::platform::operation::{Bearer, Caller, Place, Placed};
use crate::secret::Secret;

/// Rules of one page, the most that are given at a time.
pub const RULES_OF_A_PAGE: usize = 10;

/// How long a call with files may take: five pictures of four mebibytes over a slow line.
const TIMEOUT_WITH_FILES: std::time::Duration = std::time::Duration::from_secs(60);

/// Parameters that nobody may read in a log.
const UNSHOWN: &[&str] = &["test_accout", "test_password"];

/// The main call of a row.
pub fn call(task: Task<'_>, caller: Caller<'_>) -> Call {
    let mut placed = Placed::of(task.operation, task.params);
    let mut token_inside = None;
    match task.operation.name {
        "package.upload" => ext(task, &mut placed),
        "package.list" => {
            let wanted = task.params.texts("version_status");
            let states = if wanted.is_empty() { STATES.join(",") } else { wanted.join(",") };
            placed.json.insert(String::from("version_status"), Json::from(states));
        }
        "category.modify" => placed.parts.push((String::from("mini_category_ids"), task.params.texts("categories").join(";"))),
        // The one method that wants the token inside (Alipay 8, conflict 12), and the two that subscribe in its name.
        "authorization.permissions" => token_inside = Some("app_auth_token"),
        "message_topic.subscribe" | "message_topic.unsubscribe" => {
            placed.json.insert(String::from("auth_type"), Json::from("app_auth"));
            token_inside = Some("auth_token");
        }
        _ => {}
    }
    let token = caller.authorizer.map(|(_, token)| token);
    if let (Some(name), Some(token)) = (token_inside, token) {
        placed.json.insert(name.to_owned(), Json::from(token.expose()));
        let request = biz(task, &task.operation.path, &placed.json.into(), Secrecy::Secret);
        return task.application.gateway.call(request, caller.now);
    }
    let request = match is_flat(task, &placed) {
        true => flat(&task.operation.path, placed),
        false if task.operation.params.is_empty() && placed.json.is_empty() => Request::fields(&task.operation.path, Vec::new()),
        false => biz(task, &task.operation.path, &placed.json.into(), Secrecy::Plain),
    };
    sent(task, request, caller)
}

/// Another method than the row's, with the row's token.
pub fn other(task: Task<'_>, method: &str, content: &Json, caller: Caller<'_>) -> Call {
    let request = match content.is_null() {
        true => Request::fields(method, Vec::new()),
        false => biz(task, method, content, Secrecy::Plain),
    };
    sent(task, request, caller)
}

/// One page of the rules, from 1.
pub fn rules(task: Task<'_>, page: usize, caller: Caller<'_>) -> Call {
    other(task, "alipay.open.mini.qrcode.query", &json!({"page_no": page, "page_size": RULES_OF_A_PAGE}), caller)
}

/// A question about the version that the parameters name.
pub fn about_version(task: Task<'_>, method: &str, caller: Caller<'_>) -> Call {
    other(task, method, &of_client(task, json!({"app_version": task.params.text("version")})), caller)
}

/// The versions in these states, of the client that the parameters name.
pub fn versions(task: Task<'_>, states: &[&str], caller: Caller<'_>) -> Call {
    other(task, "alipay.open.mini.version.list.query", &of_client(task, json!({"version_status": states.join(",")})), caller)
}

/// The same question about the client that the parameters name.
fn of_client(task: Task<'_>, mut content: Json) -> Json {
    if let (Some(members), Some(client)) = (content.as_object_mut(), task.params.get("bundle_id")) {
        members.insert(String::from("bundle_id"), client.clone());
    }
    content
}

enum Secrecy {
    Plain,
    Secret,
}

fn biz(task: Task<'_>, method: &str, content: &Json, secrecy: Secrecy) -> Request {
    let content = content.to_string();
    match (task.application.gateway.content_key().filter(|_| task.application.encrypt_calls), secrecy) {
        (Some(key), _) => Request::sealed_biz(method, &content, key),
        (None, Secrecy::Plain) => Request::biz(method, content),
        (None, Secrecy::Secret) => Request::biz(method, Value::Secret(Secret::new(content))),
    }
}

fn is_flat(task: Task<'_>, placed: &Placed) -> bool {
    !placed.parts.is_empty() || task.operation.params.iter().any(|param| matches!(param.place, Place::Part(_)))
}

fn flat(method: &str, placed: Placed) -> Request {
    let field = |(name, value): (String, String)| {
        let value = if UNSHOWN.contains(&name.as_str()) { Value::Secret(Secret::new(value)) } else { Value::Plain(value) };
        (name, value)
    };
    let fields = placed.parts.into_iter().map(field).collect();
    placed.files.into_iter().fold(Request::fields(method, fields), |request, (name, file_name, content)| {
        let content_type = Some(content_type(&file_name).to_owned());
        request.file(Part { name, file_name: Some(file_name), content_type, content })
    })
}

fn sent(task: Task<'_>, request: Request, caller: Caller<'_>) -> Call {
    let request = match (task.operation.bearer, caller.authorizer) {
        (Bearer::Authorizer(_), Some((_, token))) => request.on_behalf_of(token),
        _ => request,
    };
    let mut call = task.application.gateway.call(request, caller.now);
    if matches!(call.body, crate::platform::Body::Multipart(_)) {
        call.timeout = TIMEOUT_WITH_FILES;
    }
    call
}

fn ext(task: Task<'_>, placed: &mut Placed) {
    if let Some(Json::Object(ext)) = task.params.get("ext") {
        let mut ext = ext.clone();
        // Without it the platform ignores all the rest (Alipay 5.2).
        ext.entry("extEnable").or_insert(Json::Bool(true));
        placed.json.insert(String::from("ext"), Json::from(Json::Object(ext).to_string()));
    }
}

fn content_type(file_name: &str) -> &'static str {
    match file_name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "zip" => "application/zip",
        _ => "application/octet-stream",
    }
}
