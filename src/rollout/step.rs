//! One effect carried out for one authorizer: questions asked, a deed begun durably and then sent, and what came of it.
//!
//! Called by `worker`. The order that everything here keeps: look, save "begun", send, and never send again what was begun without looking.

use serde_json::Value;

use super::advance::{Effect, On};
use super::hands::{Given, Hands, Happened, failed, later};
use super::hold::Held;
use super::parameters::Filling;
use super::record::Spec;
use super::route::Route;
use super::settle::look_after;
use super::stage::Stage;
use super::whereabouts::{self, Place, Whereabouts, as_text};
use crate::clock::{Clock, Timestamp};
use crate::inbox::LogError;
use crate::operations::OperationError;
use crate::platform::Class;

const UPLOAD: &str = "package.upload";
const LIST: &str = "package.list";
const SUBMIT: &str = "audit.submit";
const RELEASE: &str = "package.release";
const ROLLBACK: &str = "package.rollback";

/// So long after a submission the platform may still call the version a development version.
const SUBMISSION_SHOWS_AFTER: i64 = 60;

/// Everything that carrying out needs besides the item.
pub(super) struct Step<'a> {
    pub hands: &'a dyn Hands,
    pub route: &'static Route,
    pub spec: &'a Spec,
    pub variables: &'a Given,
    pub description: &'a str,
    pub clock: &'a dyn Clock,
}

/// A question or deed that gave no result, told as what happened.
type Told<T> = Result<T, Happened>;

impl Step<'_> {
    /// Carries one effect out.
    ///
    /// # Errors
    /// The store's: then nothing was sent after it.
    pub async fn carry_out(&self, effect: Effect, held: &mut Held<'_>) -> Result<Happened, LogError> {
        match effect {
            Effect::Look => Ok(self.look(held).await.unwrap_or_else(|told| told)),
            Effect::LookBack => Ok(self.look_back(held).await.unwrap_or_else(|told| told)),
            Effect::Upload => self.upload(held, Before::Nothing).await,
            Effect::UploadAgain => self.upload(held, self.again(UPLOAD)).await,
            Effect::Submit => self.submit(held, Before::Nothing).await,
            Effect::SubmitAgain => self.submit(held, self.again(SUBMIT)).await,
            Effect::Ask => Ok(self.ask(held).await.unwrap_or_else(|told| told)),
            Effect::Release => self.release(held, Before::Nothing).await,
            Effect::ReleaseAgain => self.release(held, self.again(RELEASE)).await,
            Effect::Nothing | Effect::Wait | Effect::Onward => Ok(Happened::from(On::Resumed)),
        }
    }

    /// How a deed is sent that was begun before. Where the platform's own look-up cannot tell, we have looked ourselves, if there is a list to look
    /// at: it did not take place.
    fn again(&self, deed: &str) -> Before {
        let has_list = self.hands.takes(&self.spec.component, LIST).is_ok();
        if has_list && !self.route.looks_up.contains(&deed) { Before::Nothing } else { Before::MaybeSent }
    }

    fn filling<'f>(&'f self, held: &'f Held<'_>) -> Filling<'f> {
        Filling { spec: self.spec, route: self.route, item: &held.item, variables: self.variables, description: self.description }
    }

    fn takes(&self, operation: &str) -> Told<Vec<&'static str>> {
        self.hands.takes(&self.spec.component, operation).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &OperationError) -> Happened {
        failed(error, self.route, self.clock.now())
    }

    async fn question(&self, held: &Held<'_>, operation: &str, given: Given) -> Told<Value> {
        let answer = self.hands.carry_out(&self.spec.component, &held.item.authorizer, operation, given).await;
        answer.map_err(|error| self.failed(&error))
    }

    /// Where the version stands; `None` where there is no list to ask.
    async fn whereabouts(&self, held: &Held<'_>) -> Told<Option<Whereabouts>> {
        if self.hands.takes(&self.spec.component, LIST).is_err() {
            return Ok(None);
        }
        let list = self.question(held, LIST, Given::new()).await?;
        let found = whereabouts::find(&list, &self.spec.version, held.item.package_id.as_deref());
        // It may be listed before it is made (Alipay 5.2).
        let is_open = match found.place {
            Place::Nowhere => true,
            Place::Made => held.item.stage == Stage::Uploading,
            _ => false,
        };
        let Some(build) = self.route.build.filter(|_| is_open && held.item.uploads > 0) else { return Ok(Some(found)) };
        let given = self.filling(held).version(&self.takes(build)?);
        let answer = self.hands.carry_out(&self.spec.component, &held.item.authorizer, build, given).await;
        match answer {
            Ok(result) => {
                let built = whereabouts::built(&result);
                Ok(Some(if built.place == Place::Made && found.place == Place::Made { found } else { built }))
            }
            // There is no such build either.
            Err(OperationError::Refused(refusal)) if refusal.class == Class::Refuse => Ok(Some(found)),
            Err(error) => Err(self.failed(&error)),
        }
    }

    async fn look(&self, held: &Held<'_>) -> Told<Happened> {
        let Some(found) = self.whereabouts(held).await? else { return Ok(On::Absent.into()) };
        let ours = held.item.uploads > 0;
        Ok(match found.place {
            Place::Nowhere | Place::NotMade => On::Absent.into(),
            Place::Making if ours => On::TooSoon.into(),
            _ if ours => Happened::from(On::Stands).of_package(found.package_id),
            _ => Happened::from(On::Present).because(format!("already has version {}: {}", self.spec.version, found.word)),
        })
    }

    async fn look_back(&self, held: &Held<'_>) -> Told<Happened> {
        let item = &held.item;
        let Some(found) = self.whereabouts(held).await? else { return Ok(On::Missing.into()) };
        let stands = || Happened::from(On::Stands).of_package(found.package_id.clone());
        let version = &self.spec.version;
        let missing = || {
            let shows = item.begun.map(|begun| later(begun, self.route.shows_after));
            Happened::from(if shows.is_some_and(|shows| self.clock.now() < shows) { On::TooSoon } else { On::Missing })
        };
        // Where the platform's own look-up tells, it is asked before anything is sent, twice and after a while.
        let missing_unless_asked = |deed: &str| match self.again(deed) {
            Before::Nothing => missing(),
            Before::MaybeSent => On::Missing.into(),
        };
        Ok(match (item.stage, found.place) {
            (Stage::Uploading, Place::Nowhere) => missing(),
            (Stage::Uploading, Place::Making) => On::TooSoon.into(),
            (Stage::Uploading, Place::NotMade) => not_made(found.reason),
            (Stage::Uploading, _) => stands(),
            (Stage::Submitting, Place::Made | Place::Withdrawn) => missing_unless_asked(SUBMIT),
            (_, Place::Nowhere) => Happened::from(On::Refused).because(format!("the platform no longer lists version {version}")),
            (Stage::Submitting, _) => stands(),
            (_, Place::Released) => stands(),
            (_, Place::Approved) => missing_unless_asked(RELEASE),
            (_, Place::InAudit) => On::NotYet.into(),
            (_, Place::Rejected) => rejected(found.reason),
            _ => Happened::from(On::Refused).because(format!("version {version} is {} at the platform", found.word)),
        })
    }

    async fn upload(&self, held: &mut Held<'_>, before: Before) -> Result<Happened, LogError> {
        let given = match (self.takes(UPLOAD), self.takes(SUBMIT)) {
            (Ok(upload), submission) => self.filling(held).upload(&upload, &submission.unwrap_or_default()),
            (Err(told), _) => return Ok(told),
        };
        if let Err(told) = self.set_domains(held, UPLOAD).await {
            return Ok(told);
        }
        let result = match self.deed(held, UPLOAD, given, before).await? {
            Ok(result) => result,
            Err(told) => return Ok(told),
        };
        let package_id = result.get("package_id").and_then(as_text);
        let built = whereabouts::built(&result);
        Ok(match built.place {
            // It was accepted and is not finished: looked for until it is.
            Place::Making => {
                held.item.begun = Some(self.clock.now());
                Happened::from(On::TooSoon).because("the platform is making the package")
            }
            Place::NotMade => not_made(built.reason),
            _ => Happened::from(On::Uploaded).of_package(package_id),
        })
    }

    async fn submit(&self, held: &mut Held<'_>, before: Before) -> Result<Happened, LogError> {
        let given = match self.before_submission(held).await {
            Ok(Ready::Submit(given)) => given,
            Ok(Ready::Told(told)) | Err(told) => return Ok(told),
        };
        Ok(match self.deed(held, SUBMIT, given, before).await? {
            Ok(result) => Happened { audit_id: result.get("audit_id").and_then(as_text), ..Happened::from(On::Submitted) },
            Err(told) => told,
        })
    }

    /// Quota, the version that is newest, domains, hosts: whatever must be right before the auditors get it.
    async fn before_submission(&self, held: &Held<'_>) -> Told<Ready> {
        let takes = self.takes(SUBMIT)?;
        if let Some(quota) = self.route.quota.filter(|quota| self.hands.takes(&self.spec.component, quota).is_ok()) {
            let left = self.question(held, quota, Given::new()).await?;
            if left.get("remaining").and_then(Value::as_i64) == Some(0) && left.get("unlimited") != Some(&Value::Bool(true)) {
                let of = left.get("period").and_then(Value::as_str).map_or_else(String::new, |period| format!(" of this {period}"));
                return Ok(Ready::Told(Happened::from(On::QuotaExhausted).because(format!("the submissions{of} are used up"))));
            }
        }
        if self.route.acts_on_newest
            && let Some(found) = self.whereabouts(held).await?
        {
            match found.place {
                Place::Made | Place::Withdrawn => {}
                Place::InAudit | Place::Approved | Place::Rejected | Place::Released => return Ok(Ready::Told(On::Stands.into())),
                _ => {
                    let reason = format!("version {} is not the newest upload any more: {}", self.spec.version, found.word);
                    return Ok(Ready::Told(Happened::from(On::Refused).because(reason)));
                }
            }
        }
        let filling = self.filling(held);
        if let Some(scan) = self.route.scan.filter(|scan| self.hands.takes(&self.spec.component, scan).is_ok()) {
            let told = self.question(held, scan, filling.version(&self.takes(scan)?)).await?;
            match told.get("scan_result").and_then(Value::as_str) {
                Some("NAN") => return Ok(Ready::Told(Happened::from(On::TooSoon).because("the platform is scanning the package"))),
                Some("False") => {
                    let reason = format!("the platform's security scan turned version {} down", self.spec.version);
                    return Ok(Ready::Told(Happened::from(On::Refused).because(reason)));
                }
                _ => {}
            }
        }
        self.set_domains(held, SUBMIT).await?;
        let mut given = filling.submission(&takes);
        if let Some(hosts) = self.route.hosts.filter(|_| takes.contains(&"hosts") && !given.contains_key("hosts")) {
            let known = self.question(held, hosts, Given::new()).await?;
            given.insert(String::from("hosts"), known.get("hosts").cloned().unwrap_or_default());
        }
        Ok(Ready::Submit(given))
    }

    /// Sets the domains that must be there before that deed. They are set again where the deed is: that changes nothing.
    async fn set_domains(&self, held: &Held<'_>, deed: &str) -> Told<()> {
        for (operation, given) in self.filling(held).domains(deed) {
            self.question(held, operation, given).await?;
        }
        Ok(())
    }

    async fn ask(&self, held: &Held<'_>) -> Told<Happened> {
        let item = &held.item;
        // Without a list only events tell.
        let Some(found) = self.whereabouts(held).await? else { return Ok(On::NotYet.into()) };
        let shows = later(item.since, SUBMISSION_SHOWS_AFTER);
        Ok(match found.place {
            Place::InAudit | Place::Making | Place::Strange => On::NotYet.into(),
            Place::Approved => On::Passed.into(),
            Place::Rejected => rejected(match found.reason {
                Some(reason) => Some(reason),
                None => self.reason(held).await,
            }),
            Place::Released => On::Released.into(),
            _ if self.clock.now() < shows => On::NotYet.into(),
            _ => Happened::from(On::Withdrawn).because(format!("is no longer in audit: {}", found.word)),
        })
    }

    /// Why it was rejected, where the list does not say; a reason that cannot be had is not worth a retry.
    async fn reason(&self, held: &Held<'_>) -> Option<String> {
        let operation = self.route.reason?;
        let given = self.filling(held).version(&self.takes(operation).ok()?);
        let told = self.question(held, operation, given).await.ok()?;
        told.get("reason").and_then(as_text)
    }

    async fn release(&self, held: &mut Held<'_>, before: Before) -> Result<Happened, LogError> {
        // Never on an event alone: the platform confirms which version passed.
        match self.whereabouts(held).await {
            Ok(None) => {}
            Ok(Some(found)) => match found.place {
                Place::Approved => {}
                Place::Released => return Ok(On::Stands.into()),
                Place::InAudit => return Ok(On::NotYet.into()),
                Place::Rejected => return Ok(rejected(found.reason)),
                _ => {
                    let reason = format!("version {} is not approved any more: {}", self.spec.version, found.word);
                    return Ok(Happened::from(On::Withdrawn).because(reason));
                }
            },
            Err(told) => return Ok(told),
        }
        let given = match self.takes(RELEASE) {
            Ok(takes) => self.filling(held).version(&takes),
            Err(told) => return Ok(told),
        };
        Ok(match self.deed(held, RELEASE, given, before).await? {
            Ok(_) => On::Released.into(),
            Err(told) => told,
        })
    }

    /// Takes the release back: what is online must be what this rollout released.
    ///
    /// # Errors
    /// The store's.
    pub async fn take_back(&self, held: &mut Held<'_>, before: Before) -> Result<Told<()>, LogError> {
        let found = match self.whereabouts(held).await {
            Ok(found) => found.map_or(Place::Released, |found| found.place),
            Err(told) => return Ok(Err(told)),
        };
        let before = match (found, before) {
            (Place::Released, Before::Nothing) => Before::Nothing,
            (Place::Released, Before::MaybeSent) => match self.rollback_may_show(held) {
                Some(look_again) => {
                    let told = Happened::from(On::Doubtful).because("the rollback does not show yet").not_before(look_again);
                    return Ok(Err(told));
                }
                None => self.again(ROLLBACK),
            },
            (_, Before::MaybeSent) => return Ok(Ok(())),
            (_, Before::Nothing) => {
                let reason = format!("version {} is not what is online", self.spec.version);
                return Ok(Err(Happened::from(On::Refused).because(reason)));
            }
        };
        let given = match self.takes(ROLLBACK) {
            Ok(takes) => self.filling(held).version(&takes),
            Err(told) => return Ok(Err(told)),
        };
        Ok(self.deed(held, ROLLBACK, given, before).await?.map(drop))
    }

    /// When to look next for a rollback that was begun and does not show; `None`: it would by now.
    fn rollback_may_show(&self, held: &Held<'_>) -> Option<Timestamp> {
        let (now, begun) = (self.clock.now(), held.item.begun?);
        let shows = later(begun, self.route.rollback_shows_after);
        (now < shows).then(|| later(now, look_after(now.duration_since(begun))).min(shows))
    }

    /// A deed: "begun" is durable before it is sent. Afterwards it is as if it never began where nothing can have taken effect.
    async fn deed(&self, held: &mut Held<'_>, operation: &str, given: Given, before: Before) -> Result<Told<Value>, LogError> {
        let (component, authorizer) = (&self.spec.component, held.item.authorizer.clone());
        if let Err(error) = self.hands.check(component, &authorizer, operation, given.clone()) {
            return Ok(Err(self.failed(&error)));
        }
        if before == Before::Nothing {
            held.item.begun = Some(self.clock.now());
            held.item.uploads = held.item.uploads.saturating_add(u32::from(operation == UPLOAD));
            held.save().await?;
        }
        let result = match before {
            Before::Nothing => self.hands.carry_out(component, &authorizer, operation, given).await,
            Before::MaybeSent => {
                let since = held.item.begun.unwrap_or(self.clock.now());
                self.hands.resume(component, &authorizer, operation, given, since).await
            }
        };
        match result {
            Ok(result) => {
                held.item.begun = None;
                Ok(Ok(result))
            }
            Err(error) => {
                let told = self.failed(&error);
                // A vendor in trouble may say no to what it does all the same, and what was begun before this stays in doubt whatever came of
                // this: both are looked for before anything is sent again.
                if before == Before::Nothing && !error.is_in_doubt() {
                    held.item.begun = None;
                }
                // The list of versions may tell later what the desk could not learn at once. Asked a second time it is the last word.
                let is_first = before == Before::Nothing && told.on == On::Unknown;
                Ok(Err(if is_first { Happened { on: On::Doubtful, ..told } } else { told }))
            }
        }
    }
}

/// Whether a deed may have been sent before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// Certainly not, or a look at the platform showed that it did not take place.
    Nothing,
    /// By another process, or by this one without an answer.
    MaybeSent,
}

/// What stands before a submission.
enum Ready {
    /// Nothing: these are its parameters.
    Submit(Given),
    /// It need not or cannot be done.
    Told(Happened),
}

fn rejected(reason: Option<String>) -> Happened {
    Happened { reason: Some(reason.unwrap_or_else(|| String::from("the auditors gave no reason"))), ..Happened::from(On::Rejected) }
}

fn not_made(reason: Option<String>) -> Happened {
    Happened::from(On::Refused).because(reason.unwrap_or_else(|| String::from("the platform could not make the package")))
}
