//! The twin's domains (5.5): an app may only have what the platform application has, or sub-domains of it.

use serde_json::{Value, json};

use super::library::Library;
use super::no::{No, platform, success};
use super::program::Program;
use crate::platform::twin::Request;

/// Domains of one kind.
const MOST: usize = 20;
/// Field names in the order of the lists.
const FIELDS: [&str; 4] = ["request_domain", "socket_domain", "upload_domain", "download_domain"];

/// How one owner's errors differ from another's.
struct Ways<'a> {
    /// An app's domains must be among these.
    within: Option<&'a [String]>,
    not_set: i64,
    too_many: i64,
}

fn listed(joined: &str, scheme: &str) -> Result<Vec<String>, No> {
    let domains: Vec<String> = joined.split(',').map(str::trim).filter(|domain| !domain.is_empty()).map(str::to_owned).collect();
    if domains.is_empty() {
        return Err(platform(470_015, "domain is empty"));
    }
    let right = |domain: &String| domain.strip_prefix(scheme).is_some_and(|host| !host.is_empty() && !host.contains(['/', ':']));
    if domains.iter().all(right) { Ok(domains) } else { Err(platform(470_014, "domain must begin with http, https or wss")) }
}

fn host(domain: &str) -> &str {
    domain.split_once("://").map_or(domain, |(_, host)| host)
}

/// Carries an action out on one list.
fn change(list: &mut Vec<String>, action: &str, domains: Vec<String>, ways: &Ways<'_>) -> Result<(), No> {
    if action == "delete" {
        if domains.iter().any(|domain| !list.contains(domain)) {
            return Err(platform(ways.not_set, "domain to delete is not set"));
        }
        list.retain(|domain| !domains.contains(domain));
        return Ok(());
    }
    if let Some(within) = ways.within {
        let inside = |domain: &String| {
            within.iter().any(|of| host(domain) == host(of) || host(domain).strip_suffix(host(of)).is_some_and(|sub| sub.ends_with('.')))
        };
        if !domains.iter().all(inside) {
            return Err(platform(470_016, "domain is not one of the third party platform"));
        }
    }
    let mut wanted = if action == "set" { Vec::new() } else { list.clone() };
    wanted.extend(domains.into_iter().filter(|domain| action == "set" || !list.contains(domain)));
    if wanted.len() > MOST {
        return Err(platform(ways.too_many, "too many domains"));
    }
    *list = wanted;
    Ok(())
}

/// `modifydomain` with an action other than `get`.
fn change_servers(lists: &mut [Vec<String>; 4], action: &str, request: &Request, ways: &Ways<'_>) -> Result<Value, No> {
    let mut changed = lists.clone();
    let mut any = false;
    for (list, field) in changed.iter_mut().zip(FIELDS) {
        let Some(joined) = request.form_value(field) else { continue };
        let scheme = if field == "socket_domain" { "wss://" } else { "https://" };
        change(list, action, listed(&joined, scheme)?, ways)?;
        any = true;
    }
    if !any {
        return Err(platform(470_013, "no domain type given"));
    }
    *lists = changed;
    Ok(success(json!({})))
}

fn change_webviews(list: &mut Vec<String>, action: &str, request: &Request, ways: &Ways<'_>) -> Result<Value, No> {
    let joined = request.form_value("web_view_domain").ok_or_else(|| platform(470_013, "no domain type given"))?;
    change(list, action, listed(&joined, "https://")?, ways)?;
    Ok(success(json!({})))
}

impl Program {
    pub(super) fn server_domains(&mut self, request: &Request, library: &Library) -> Result<Value, No> {
        match request.form_value("action").as_deref() {
            Some("get") => {
                let names = FIELDS.iter().zip(&self.server).map(|(field, list)| ((*field).to_owned(), Value::from(list.join(","))));
                Ok(success(Value::Object(names.collect())))
            }
            None => {
                self.server = library.server.clone();
                Ok(success(json!({})))
            }
            Some(action) => {
                let within: Vec<String> = library.server.iter().flatten().cloned().collect();
                change_servers(&mut self.server, action, request, &Ways { within: Some(&within), not_set: 470_017, too_many: 50046 })
            }
        }
    }

    pub(super) fn webview_domains(&mut self, request: &Request, library: &Library) -> Result<Value, No> {
        match request.form_value("action").as_deref() {
            Some("get") => Ok(success(Value::from(self.webview.join(",")))),
            None => {
                self.webview = library.webview.clone();
                Ok(success(json!({})))
            }
            Some(action) => {
                let ways = Ways { within: Some(&library.webview), not_set: 470_017, too_many: 50045 };
                change_webviews(&mut self.webview, action, request, &ways)
            }
        }
    }
}

impl Library {
    pub(super) fn server_domains(&mut self, request: &Request) -> Result<Value, No> {
        match request.form_value("action").as_deref() {
            Some("get") => {
                let names = FIELDS.iter().zip(&self.server).map(|(field, list)| ((*field).to_owned(), json!(list)));
                Ok(success(Value::Object(names.collect())))
            }
            Some(action) => change_servers(&mut self.server, action, request, &Ways { within: None, not_set: 50040, too_many: 50046 }),
            None => Err(platform(40001, "param error")),
        }
    }

    pub(super) fn webview_domains(&mut self, request: &Request) -> Result<Value, No> {
        match request.form_value("action").as_deref() {
            Some("get") => Ok(success(json!(self.webview))),
            Some(action) => change_webviews(&mut self.webview, action, request, &Ways { within: None, not_set: 50040, too_many: 50045 }),
            None => Err(platform(40001, "param error")),
        }
    }
}
