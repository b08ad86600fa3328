//! What comes after which answer: files are uploaded first, some things are read before and after.

use serde_json::{Map, Value as Json, json};

use super::request::Question;
use super::{Task, read};
use crate::platform::call::{ApiError, Call, Class, Reply};
use crate::platform::douyin::errors;
use crate::platform::loose;
use crate::platform::operation::{Bearer, Caller, Next, Outcome};

/// Permission set not granted, in either generation.
const NOT_GRANTED: [&str; 2] = ["28001018", "40036"];
/// Nothing to do: the domains are there already.
const NOTHING_TO_DO: &str = "40026";

/// One exchange of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Upload of the n-th file for this use.
    Upload(u8, usize),
    /// A question.
    Ask(Question),
    /// The row's own call.
    Main,
}

/// How an operation is more than its own call.
pub(super) struct Procedure {
    /// The use under which files are uploaded first (5.10).
    material: Option<u8>,
    before: &'static [Question],
    after: &'static [Question],
    /// What tells whether it took place.
    pub(super) look_up: Option<Question>,
}

/// The procedure of an operation. What is read before is what the outcome of a lost call is told from, and where results name a version.
pub(super) fn procedure(name: &str) -> Procedure {
    use Question::*;
    let new = |material, before, look_up| Procedure { material, before, after: &[], look_up };
    match name {
        "profile.set_name" => new(Some(3), &[], Some(Profile)),
        "profile.set_intro" => new(None, &[], Some(Profile)),
        "profile.set_icon" => new(Some(1), &[Profile], Some(Profile)),
        "category.add" | "category.modify" => new(Some(2), &[], Some(Categories)),
        "category.delete" => new(None, &[], Some(Categories)),
        "category.publish" => new(None, &[], Some(Published)),
        "server_domain.delete" => new(None, &[], Some(ServerDomains)),
        "webview_domain.delete" => new(None, &[], Some(WebviewDomains)),
        "package.upload" | "audit.submit" | "audit.withdraw" | "package.release" | "package.rollback" => {
            new(None, &[Versions], Some(Versions))
        }
        // The landing page's use also for other capabilities: theirs is not documented.
        "capability.apply" => new(Some(4), &[], Some(Capability)),
        "live_component.apply" => new(None, &[], Some(Live)),
        "phone_number.apply" => new(Some(5), &[], Some(PhoneNumber)),
        "template.add" => Procedure { material: None, before: &[Drafts, Templates], after: &[Templates], look_up: Some(Templates) },
        "template.delete" => new(None, &[], Some(Templates)),
        // One read of each permission set; the first is the row's own call.
        "authorization.permissions" => Procedure { material: None, before: &[], after: &[Profile, ShortVideo], look_up: None },
        _ => new(None, &[], None),
    }
}

/// The steps of an operation, in order.
pub(super) fn plan(task: Task<'_>) -> Vec<Step> {
    let Procedure { material, before, after, .. } = procedure(task.operation.name);
    let uploads = material.into_iter().flat_map(|material| (0..task.params.files().len()).map(move |file| Step::Upload(material, file)));
    let asked = |questions: &'static [Question]| questions.iter().copied().map(Step::Ask);
    uploads.chain(asked(before)).chain([Step::Main]).chain(asked(after)).collect()
}

/// How far an operation is.
pub(super) struct Progress<'a> {
    /// One accepted answer for each step that is done: the reply and its data.
    pub answers: Vec<(&'a Reply, Map<String, Json>)>,
    /// Noes to the present step.
    refusals: Vec<ApiError>,
}

pub(super) fn progress<'a>(task: Task<'_>, replies: &'a [Reply]) -> Progress<'a> {
    let mut progress = Progress { answers: Vec::new(), refusals: Vec::new() };
    for reply in replies {
        match heard(task, reply) {
            Ok(data) => {
                progress.answers.push((reply, data));
                progress.refusals.clear();
            }
            Err(error) => progress.refusals.push(error),
        }
    }
    progress
}

/// The data of an answer. Two noes are answers to what was asked.
fn heard(task: Task<'_>, reply: &Reply) -> Result<Map<String, Json>, ApiError> {
    let error = match errors::read(reply) {
        Ok(data) => return Ok(data),
        Err(error) => error,
    };
    let marked = |name: &str| Ok(Map::from_iter([(name.to_owned(), Json::Bool(true))]));
    let name = task.operation.name;
    if name == "authorization.permissions" && NOT_GRANTED.contains(&error.code.as_str()) {
        return marked(read::NOT_GRANTED);
    }
    if error.code == NOTHING_TO_DO && (name.ends_with("_domain.add") || name.ends_with("_domain.set")) {
        return marked(read::UNCHANGED);
    }
    Err(match task.operation.bearer {
        Bearer::Authorizer(_) => errors::to_a_merchant(error),
        Bearer::Component(_) => error,
    })
}

impl Task<'_> {
    /// The call of a step.
    pub(super) fn take(&self, step: Step, progress: &Progress<'_>, caller: Caller<'_>) -> Call {
        match step {
            Step::Upload(material, file) => self.upload(material, file, caller),
            Step::Ask(question) => self.ask(question, caller),
            Step::Main => {
                let uploaded: Vec<_> = plan(*self)
                    .iter()
                    .zip(&progress.answers)
                    .filter(|(step, _)| matches!(step, Step::Upload(..)))
                    .map(|(_, (_, data))| loose::text_of(data, &["path"]).unwrap_or_default().into_owned())
                    .collect();
                self.main(&uploaded, caller)
            }
        }
    }
}

pub(super) fn next(task: Task<'_>, replies: &[Reply], caller: Caller<'_>) -> Next {
    let plan = plan(task);
    let progress = progress(task, replies);
    let Some(step) = plan.get(progress.answers.len()).copied() else { return done(task, &plan, &progress) };
    let Some(error) = progress.refusals.last() else {
        let call = Box::new(task.take(step, &progress, caller));
        return if step == Step::Main { Next::Call(call) } else { Next::Ask(call) };
    };
    // The desk repeats what may be repeated; only the check file has a second address.
    if task.operation.name == "webview_domain.check_file" && progress.refusals.len() == 1 && error.code.starts_with("http 4") {
        return Next::Ask(Box::new(task.misspelt(caller)));
    }
    Next::Refused(error.clone())
}

fn done(task: Task<'_>, plan: &[Step], progress: &Progress<'_>) -> Next {
    let complete = |reply: &Reply| serde_json::from_slice::<Json>(&reply.body).unwrap_or_default();
    let main = plan.iter().position(|step| *step == Step::Main).and_then(|main| progress.answers.get(main));
    let vendor = match task.operation.name {
        "authorization.permissions" => progress.answers.iter().map(|(reply, _)| complete(reply)).collect(),
        _ => main.map_or(json!({}), |(reply, _)| complete(reply)),
    };
    let Some((reply, data)) = main else { return Next::Done(Box::new(Outcome { result: json!({}), vendor, file: None })) };
    match read::result(task, data, progress) {
        Ok((result, file)) => Next::Done(Box::new(Outcome { result, vendor, file })),
        Err(read::Missing::Member(what)) => Next::Refused(ApiError::unreadable(reply, what)),
        Err(read::Missing::Package) => Next::Refused(ApiError::new(Class::Refuse, "not-found", "there is no such version")),
    }
}
