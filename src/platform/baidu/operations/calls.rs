//! The calls themselves (5.0): token in the query, `GET` parameters beside it, `POST` parameters as a form, files as multipart.

use std::time::Duration;

use bytes::Bytes;

use super::steps::Errand;
use crate::platform::call::{Body, Call, Fields, Method, Part, Value};
use crate::platform::operation::{Bearer, Caller, Params, Placed};
use crate::secret::Secret;

/// Where pictures are uploaded (5.3.1).
pub(super) const PICTURES: &str = "/file/2.0/smartapp/upload/image";
pub(super) const INFO: &str = "app/info";
pub(super) const PACKAGES: &str = "package/get";
pub(super) const PHONE: &str = "app/get/mobileauthstatus";
pub(super) const TEMPLATES: &str = "template/gettemplatelist";

/// Packages are made from a template, pictures travel: both take longer than an ordinary call (5.0).
const UPLOAD_TIMEOUT: Duration = Duration::from_mins(1);

impl Errand<'_> {
    /// The main call, with these fields besides the placed ones.
    pub(super) fn call(&self, params: &Params, more: Vec<(&str, String)>, caller: Caller<'_>) -> Call {
        let placed = Placed::of(self.operation, params);
        let mut call = Call::new(self.operation.method, format!("{}{}", self.base_url, self.operation.path));
        call = call.query("access_token", bearer(self.operation.bearer, caller));
        let fixed = self.plan.fixed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let more = more.into_iter().map(|(name, value)| (name.to_owned(), value));
        let fields: Fields = fixed.chain(placed.query).chain(placed.form).chain(more).map(|(name, value)| field(name, value)).collect();
        if self.operation.method == Method::Get {
            call.query.extend(fields);
            return call;
        }
        if !placed.files.is_empty() {
            let texts = placed.parts.into_iter().map(|(name, text)| part(name, None, text.into()));
            let files = placed.files.into_iter().map(|(name, file, content)| part(name, Some(file), content));
            call.timeout = UPLOAD_TIMEOUT;
            return call.body(Body::Multipart(files.chain(texts).collect()));
        }
        if self.plan.sends == super::rows::Sends::Upload {
            call.timeout = UPLOAD_TIMEOUT;
        }
        if fields.is_empty() { call } else { call.body(Body::Form(fields)) }
    }

    /// The upload of a picture that was given as a file. It takes the platform application's token (conflict 22).
    pub(super) fn picture(&self, (name, content): &(String, Bytes), caller: Caller<'_>) -> Call {
        let file = part(String::from("multipartFile"), Some(name.clone()), content.clone());
        let kind = part(String::from("type"), None, self.plan.picture.into());
        let mut call = Call::post(format!("{}{PICTURES}", self.base_url)).query("access_token", token(caller.component_token));
        call.timeout = UPLOAD_TIMEOUT;
        call.body(Body::Multipart(vec![file, kind]))
    }

    /// A reading call with the row's token.
    pub(super) fn reading(&self, path: &str, caller: Caller<'_>) -> Call {
        let call = Call::get(format!("{}/rest/2.0/smartapp/{path}", self.base_url));
        let call = call.query("access_token", bearer(self.operation.bearer, caller));
        // The library holds at most fifty templates (1.5): one page of them.
        if path == TEMPLATES { call.query("page", "1").query("page_size", "200") } else { call }
    }

    /// The row's own address, asked what it holds.
    pub(super) fn asking(&self, caller: Caller<'_>) -> Call {
        let call = Call::post(format!("{}{}", self.base_url, self.operation.path));
        let call = call.query("access_token", bearer(self.operation.bearer, caller));
        call.body(Body::Form(vec![field(String::from("action"), String::from("get"))]))
    }
}

fn bearer(bearer: Bearer, caller: Caller<'_>) -> Value {
    match bearer {
        Bearer::Authorizer(_) => token(caller.authorizer.map(|(_, token)| token)),
        Bearer::Component(_) => token(caller.component_token),
    }
}

/// Without a token the vendor refuses the call.
fn token(held: Option<&Secret>) -> Value {
    Value::Secret(held.cloned().unwrap_or_default())
}

fn field(name: String, value: String) -> (String, Value) {
    let value = if name == "test_password" { Value::Secret(Secret::new(value)) } else { Value::Plain(value) };
    (name, value)
}

fn part(name: String, file_name: Option<String>, content: Bytes) -> Part {
    let ending = file_name.as_deref().and_then(|name| name.rsplit_once('.')).map(|(_, ending)| ending.to_ascii_lowercase());
    let kind = match ending.as_deref() {
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("bmp") => "image/bmp",
        _ => "application/octet-stream",
    };
    let content_type = file_name.is_some().then(|| kind.to_owned());
    Part { name, file_name, content_type, content }
}
