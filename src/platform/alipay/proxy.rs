//! Which of Alipay's methods are passed on: the path is the method's name, and the call is signed here (1.5).
//!
//! A JSON body becomes `biz_content`; form fields and query parameters become parameters of their own. Answers are passed on as they are:
//! whoever asks for them verifies their signature, or calls an operation, where that is done.

use super::gateway::Request as Signed;
use super::settings::Application;
use crate::platform::call::{Class, Fields, Reply, Value};
use crate::platform::operation::Caller;
use crate::platform::proxy::{Carrier, Dressed, Lane, NotProxied, Proxied, Request};
use crate::platform::token::Family;

/// Common parameters, which the gateway fills in.
const OURS: &[&str] = &[
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
    "encrypt_type",
];

impl Proxied for Application {
    fn lanes(&self) -> Vec<Lane<'_>> {
        let base = self.gateway.url();
        vec![Lane { prefix: "/alipay.", base, family: Family::Current, authorizer: Carrier::Own, component: Carrier::Own, id: None }]
    }

    fn closed(&self) -> &'static [&'static str] {
        &["/alipay.open.auth.token.", "/alipay.open.mini.appauth."]
    }

    fn reads_body(&self) -> bool {
        true
    }

    fn dress(&self, request: Request<'_>, caller: Caller<'_>) -> Result<Dressed, NotProxied> {
        self.lane(request.path)?;
        let method = method(request.path);
        let mut fields: Fields = request.query.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
        let body = request.body.unwrap_or_default();
        let unfit = |reason: &str| NotProxied::Parameter { name: String::from("body"), reason: reason.to_owned() };
        match request.content_type {
            _ if body.is_empty() => {}
            "application/json" => {
                let text = std::str::from_utf8(body).map_err(|_| unfit("is not UTF-8"))?;
                serde_json::from_str::<serde_json::Map<_, _>>(text).map_err(|_| unfit("is no JSON object"))?;
                fields.push((String::from("biz_content"), Value::from(text)));
            }
            "application/x-www-form-urlencoded" => {
                let pairs = url::form_urlencoded::parse(body);
                fields.extend(pairs.map(|(name, value)| (name.into_owned(), Value::from(value.into_owned()))));
            }
            _ => return Err(unfit("must be JSON (it becomes biz_content) or a form; files are sent by operations")),
        }
        if let Some((name, _)) = fields.iter().find(|(name, _)| OURS.contains(&name.as_str())) {
            return Err(NotProxied::Parameter { name: name.clone(), reason: String::from("is filled in here") });
        }
        let signed = Signed::fields(method, fields);
        let signed = match caller.authorizer {
            Some((_, token)) => signed.on_behalf_of(token),
            None => signed,
        };
        let call = self.gateway.call(signed, caller.now);
        Ok(Dressed { url: call.url, query: call.query, headers: call.headers, body: Some(call.body) })
    }

    fn rejects_token(&self, path: &str, reply: &Reply) -> Option<Class> {
        let class = self.gateway.read(method(path), reply).err()?.class;
        matches!(class, Class::RenewAuthorizerToken | Class::GrantGone).then_some(class)
    }
}

fn method(path: &str) -> &str {
    path.trim_matches('/')
}
