//! What comes next for an operation, given the replies so far: pictures that were given as files, what must be read first, the main call,
//! and for an upload the waiting until its package is there.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::rows::{Before, Plan, Reads, Sends};
use super::{advice, calls, categories, packages, read};
use crate::platform::baidu::errors::{self, Bearer as Whose};
use crate::platform::call::{ApiError, Class, Reply};
use crate::platform::loose;
use crate::platform::operation::{Bearer, Caller, FileAnswer, Next, Operation, Outcome, Params};

/// One operation on its way.
#[derive(Clone, Copy)]
pub(super) struct Errand<'a> {
    pub base_url: &'a str,
    pub operation: &'a Operation,
    pub plan: &'a Plan,
    pub params: &'a Params,
}

/// What the replies before the main call gave.
pub(super) struct Learnt {
    /// The parameters with the addresses of uploaded pictures.
    pub params: Params,
    /// `data` of what was read first.
    pub before: Option<Value>,
    /// The package to act on, found in it.
    pub package: Option<Map<String, Value>>,
}

/// How far the replies lead.
pub(super) enum Reached<'r> {
    /// This picture must be uploaded first.
    Picture((String, Bytes)),
    /// This must be read first.
    Reading(&'static str),
    /// To the main call; the replies that follow it.
    Main(Box<Learnt>, &'r [Reply]),
}

/// `user_type` was the wrong one for this user (5.10).
const WRONG_USER_TYPE: &str = "30022";

impl Errand<'_> {
    pub(super) fn next(&self, replies: &[Reply], caller: Caller<'_>) -> Result<Next, ApiError> {
        let (learnt, rest) = match self.reached(replies)? {
            Reached::Picture(picture) => return Ok(Next::Ask(Box::new(self.picture(&picture, caller)))),
            Reached::Reading(path) => return Ok(Next::Ask(Box::new(self.reading(path, caller)))),
            Reached::Main(learnt, rest) => (learnt, rest),
        };
        let Some((answer, later)) = rest.split_first() else {
            return match self.more(&learnt, None, caller)? {
                Some(more) => Ok(Next::Call(Box::new(self.call(&learnt.params, more, caller)))),
                None => Ok(Next::Done(Box::new(self.unchanged(&learnt)))),
            };
        };
        match self.plan.sends {
            Sends::Upload => self.after_upload(answer, later, &learnt, caller),
            Sends::Message => self.after_message(answer, later, &learnt, caller),
            _ => self.finish(answer, &learnt).map(|outcome| Next::Done(Box::new(outcome))),
        }
    }

    pub(super) fn reached<'r>(&self, replies: &'r [Reply]) -> Result<Reached<'r>, ApiError> {
        let mut rest = replies;
        let mut urls = Vec::new();
        for picture in self.pictures() {
            let Some((reply, later)) = rest.split_first() else { return Ok(Reached::Picture(picture)) };
            let url = read::address(&data(reply, Whose::Component).map_err(|error| self.advised(error))?.0);
            urls.push(url.ok_or_else(|| ApiError::unreadable(reply, "address of the picture"))?);
            rest = later;
        }
        let mut before = None;
        if let Some(path) = self.reads_first() {
            let Some((reply, later)) = rest.split_first() else { return Ok(Reached::Reading(path)) };
            before = Some(self.data(reply)?.0);
            rest = later;
        }
        let params = if urls.is_empty() { self.params.clone() } else { self.params.with_uploaded(&urls) };
        let package = before.as_ref().and_then(|list| packages::choose(list, &params, self.plan.before)).cloned();
        Ok(Reached::Main(Box::new(Learnt { params, before, package }), rest))
    }

    pub(super) fn pictures(&self) -> Vec<(String, Bytes)> {
        match self.operation.name {
            "media.upload" => Vec::new(),
            _ => self.params.files(),
        }
    }

    fn reads_first(&self) -> Option<&'static str> {
        let given = |name| self.params.get(name).is_some();
        let list = match self.plan.before {
            Before::Nothing => return None,
            Before::Info => return Some(calls::INFO),
            Before::Templates => return Some(calls::TEMPLATES),
            Before::Packages => true,
            Before::Package([]) => !given("package_id") && given("version"),
            Before::Package(_) => !given("package_id") || (self.plan.sends == Sends::Submission && !given("description")),
            // The online version needs no id.
            Before::Stage => !given("package_id") && (given("version") || self.params.text("stage").as_deref() != Some("current")),
        };
        list.then_some(calls::PACKAGES)
    }

    /// The fields of the main call that no place says. `None`: there is nothing to change.
    fn more(&self, learnt: &Learnt, user_type: Option<&str>, caller: Caller<'_>) -> Result<Option<Vec<(&'static str, String)>>, ApiError> {
        let params = &learnt.params;
        let text = |name: &str| params.text(name);
        Ok(Some(match self.plan.sends {
            Sends::Plain => Vec::new(),
            Sends::Package => self.package_id(learnt)?.map(|id| ("package_id", id)).into_iter().collect(),
            Sends::Submission => {
                let id = self.package_id(learnt)?.unwrap_or_default();
                let described = learnt.package.as_ref().and_then(|package| loose::text_of(package, &["version_desc", "version"]));
                let content = text("description").or_else(|| described.map(|said| said.into_owned())).unwrap_or_else(|| id.clone());
                let remark = text("remark").unwrap_or_else(|| content.clone());
                vec![("package_id", id), ("content", content), ("remark", remark)]
            }
            Sends::Upload => {
                let app_id = caller.authorizer.map(|(app_id, _)| app_id).unwrap_or_default();
                let mut ext = params.get("ext").and_then(Value::as_object).cloned().unwrap_or_default();
                ext.entry("extEnable").or_insert(Value::Bool(true));
                // Never another merchant's app, whatever was given.
                ext.insert(String::from("extAppid"), Value::from(app_id));
                vec![("ext_json", Value::Object(ext).to_string())]
            }
            Sends::AddCategories | Sends::ModifyCategories | Sends::DeleteCategories => {
                match categories::wanted(self.plan.sends, params, learnt.before.as_ref()).map_err(|error| self.advised(error))? {
                    Some(set) => vec![("categorys", Value::Array(set).to_string())],
                    None => return Ok(None),
                }
            }
            Sends::Message => match text("user_type") {
                Some(_) => Vec::new(),
                None => vec![("user_type", user_type.unwrap_or("2").to_owned())],
            },
            Sends::Ids => match params.texts("id_list") {
                ids if ids.is_empty() => Vec::new(),
                ids => vec![("id_list", ids.join(","))],
            },
        }))
    }

    /// The package to act on: given, found, or, where the vendor then takes the online one, none.
    pub(super) fn package_id(&self, learnt: &Learnt) -> Result<Option<String>, ApiError> {
        if let Some(id) = learnt.params.text("package_id") {
            return Ok(Some(id));
        }
        match (self.reads_first(), learnt.package.as_ref().and_then(packages::id)) {
            (_, Some(id)) => Ok(Some(id)),
            (None, None) => Ok(None),
            (Some(_), None) => {
                Err(self.advised(ApiError::new(Class::Refuse, "69005", packages::missing(&learnt.params, self.plan.before))))
            }
        }
    }

    fn after_message(&self, answer: &Reply, later: &[Reply], learnt: &Learnt, caller: Caller<'_>) -> Result<Next, ApiError> {
        let done = |outcome| Next::Done(Box::new(outcome));
        match (self.finish(answer, learnt), later.first()) {
            (Err(error), second) if error.code == WRONG_USER_TYPE && self.params.get("user_type").is_none() => match second {
                Some(second) => self.finish(second, learnt).map(done),
                None => {
                    let more = self.more(learnt, Some("1"), caller)?.unwrap_or_default();
                    Ok(Next::Call(Box::new(self.call(&learnt.params, more, caller))))
                }
            },
            (told, _) => told.map(done),
        }
    }

    /// `data` and the whole answer.
    pub(super) fn data(&self, reply: &Reply) -> Result<(Value, Value), ApiError> {
        let whose = match self.operation.bearer {
            Bearer::Authorizer(_) => Whose::Authorizer,
            Bearer::Component(_) => Whose::Component,
        };
        data(reply, whose).map_err(|error| self.advised(error))
    }

    /// What the main call's answer means.
    fn finish(&self, reply: &Reply, learnt: &Learnt) -> Result<Outcome, ApiError> {
        if let Reads::File(name) = self.plan.reads {
            return self.file(reply, name);
        }
        match self.data(reply) {
            Ok((data, vendor)) => Ok(self.outcome(&data, vendor, learnt)),
            Err(error) if self.plan.already.iter().any(|code| code.to_string() == error.code) => {
                let vendor = loose::object(&reply.body).map(Value::Object).unwrap_or_default();
                Ok(self.outcome(&Value::Null, vendor, learnt))
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn outcome(&self, data: &Value, vendor: Value, learnt: &Learnt) -> Outcome {
        let result = match self.plan.reads {
            Reads::Data(read) => read(data),
            Reads::Package(state) => packages::acted_on(learnt, state),
            Reads::File(_) => json!({}),
        };
        Outcome { result, vendor, file: None }
    }

    /// Nothing had to be changed: what was read is the answer.
    fn unchanged(&self, learnt: &Learnt) -> Outcome {
        let vendor = json!({"data": learnt.before});
        Outcome { result: json!({"unchanged": true}), vendor, file: None }
    }

    /// Bytes, or JSON that says no (5.0).
    fn file(&self, reply: &Reply, name: &str) -> Result<Outcome, ApiError> {
        if reply.content_type.contains("json") || loose::object(&reply.body).is_some() {
            self.data(reply)?;
        }
        if reply.status >= 400
            || reply.body.is_empty()
            || !["image/", "application/octet-stream"].iter().any(|kind| reply.content_type.starts_with(kind))
        {
            return Err(ApiError::codeless(reply, "file"));
        }
        let result = json!({"file_name": name, "content_type": reply.content_type, "bytes": reply.body.len()});
        let file = FileAnswer { name: Some(name.to_owned()), content_type: reply.content_type.clone(), content: reply.body.clone() };
        Ok(Outcome { result, vendor: Value::Null, file: Some(file) })
    }

    pub(super) fn advised(&self, error: ApiError) -> ApiError {
        ApiError { advice: error.advice.or_else(|| advice::of(self.operation.name, &error.code)), ..error }
    }
}

/// `data` of an answer, `Null` where there is none, and the whole answer.
fn data(reply: &Reply, whose: Whose) -> Result<(Value, Value), ApiError> {
    let map = errors::read(reply, whose)?;
    let data = map.get("data").cloned().unwrap_or_default();
    Ok((data, Value::Object(map)))
}
