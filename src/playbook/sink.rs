//! Carries out a playbook's steps as the sink of its subscription: one try brings the run as far as it comes.
//!
//! The order of writes is what the promise rests on: before an operation that must not be done twice is sent, the run says durably that it is
//! begun; afterwards it says what came of it. Where it says "begun" and no more, an earlier process may have sent it, and it is taken up with
//! a look at the vendor's record first.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::run::{Run, RunLog, State};
use super::{Deed, Operation, Playbook, Step, Tell, check, fill, written};
use crate::attributes::{AttributeShelf, Attributes};
use crate::clock::{Clock, Timestamp};
use crate::fanout::delivery::{Attempt, Claimed};
use crate::fanout::schedule::later;
use crate::fanout::sink::{Outcome, Sink};
use crate::fanout::subscription::Subscription;
use crate::inbox::{Event, LogError};
use crate::operations::{Checked, Desk, OperationError};
use crate::placeholder::{self, Unfilled};
use crate::platform::Class;
use crate::platform::operation::Effect;
use crate::robot::message::Message;
use crate::robot::{Robots, Untold};
use crate::vault::VaultError;

/// How often it is looked whether somebody has approved; an approval also rings at once.
const LOOK_FOR_APPROVAL: Duration = Duration::from_secs(600);
/// Wait when the same run is under way already.
const BUSY: Duration = Duration::from_secs(30);
/// The variable that holds what people call a merchant.
const SHOP: &str = "shop_name";
/// A step's result is kept up to so many bytes of JSON; a larger one is left out.
const MOST_RESULT_BYTES: usize = 256 * 1024;

/// Which operation, on whose behalf.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Component name.
    pub component: &'a str,
    /// Whom the event is about, where it is about one.
    pub authorizer: Option<&'a str>,
    /// Normal name.
    pub operation: &'a str,
}

/// Who carries operations out.
#[async_trait::async_trait]
pub trait Hands: Send + Sync {
    /// Holds parameters against their row; what a repetition of that operation does.
    ///
    /// # Errors
    /// What is wrong with them.
    fn check(&self, call: Call<'_>, with: &Map<String, Value>) -> Result<Effect, OperationError>;

    /// Whether that operation cannot do without a parameter.
    fn needs(&self, call: Call<'_>, parameter: &str) -> bool;

    /// Carries one out. `maybe_sent`: an earlier process may have sent it, then or later.
    ///
    /// # Errors
    /// See [`OperationError`].
    async fn carry_out(&self, call: Call<'_>, with: Map<String, Value>, maybe_sent: Option<Timestamp>) -> Result<Value, OperationError>;
}

/// A playbook does not say for whom: a step of its is for the component where its operation is one of the component's.
fn checked<'a>(desk: &'a Desk, call: Call<'_>, with: Map<String, Value>) -> Result<Checked<'a>, OperationError> {
    let (_, row) = desk.row(call.component, call.operation)?;
    let authorizer = call.authorizer.filter(|_| check::for_authorizer(row));
    desk.check(call.component, authorizer, call.operation, with)
}

#[async_trait::async_trait]
impl Hands for Desk {
    fn check(&self, call: Call<'_>, with: &Map<String, Value>) -> Result<Effect, OperationError> {
        Ok(checked(self, call, with.clone())?.operation().effect)
    }

    fn needs(&self, call: Call<'_>, parameter: &str) -> bool {
        let row = self.row(call.component, call.operation);
        row.is_ok_and(|(_, row)| row.param(parameter).is_some_and(|parameter| parameter.required))
    }

    async fn carry_out(&self, call: Call<'_>, with: Map<String, Value>, maybe_sent: Option<Timestamp>) -> Result<Value, OperationError> {
        let checked = checked(self, call, with)?;
        let outcome = match maybe_sent {
            Some(since) => self.resume(checked, since).await?,
            None => self.carry_out_checked(checked).await?,
        };
        Ok(outcome.result)
    }
}

/// The sink of all playbooks.
pub struct Steps {
    playbooks: RwLock<HashMap<String, Arc<Playbook>>>,
    hands: Arc<dyn Hands>,
    robots: Arc<Robots>,
    runs: Arc<dyn RunLog>,
    attributes: Arc<dyn AttributeShelf>,
    clock: Arc<dyn Clock>,
    /// Ids of runs under way: a retry by hand must not begin one a second time beside itself.
    under_way: Mutex<BTreeSet<String>>,
}

/// Why a run stops here.
enum Stop {
    /// Too early.
    Wait(State, Timestamp, String),
    /// Time may mend it; not before then, where that is known.
    Again(String, Option<Timestamp>),
    /// Only a person can.
    Never(String),
}

impl From<LogError> for Stop {
    fn from(error: LogError) -> Self {
        Self::Again(error.to_string(), None)
    }
}

/// What a run is about, and what its parameters are made from.
struct Occasion<'a> {
    event: &'a Event,
    cloud_event: &'a Value,
    variables: Value,
}

/// A run with the version it was written as.
struct Held {
    version: u64,
    run: Run,
}

impl Steps {
    /// A sink for those playbooks.
    #[must_use]
    pub fn new(
        playbooks: impl IntoIterator<Item = Playbook>,
        hands: Arc<dyn Hands>,
        robots: Arc<Robots>,
        runs: Arc<dyn RunLog>,
        attributes: Arc<dyn AttributeShelf>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let playbooks = playbooks.into_iter().map(|one| (one.name.clone(), Arc::new(one))).collect();
        Self { playbooks: RwLock::new(playbooks), hands, robots, runs, attributes, clock, under_way: Mutex::default() }
    }

    /// Takes in one more, or one that was changed.
    pub fn put(&self, playbook: Playbook) {
        self.playbooks.write().unwrap_or_else(PoisonError::into_inner).insert(playbook.name.clone(), Arc::new(playbook));
    }

    /// Lets one go.
    pub fn remove(&self, name: &str) {
        self.playbooks.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    fn playbook(&self, name: &str) -> Option<Arc<Playbook>> {
        self.playbooks.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    async fn save(&self, held: &mut Held, state: State, reason: Option<String>) -> Result<(), Stop> {
        (held.run.state, held.run.reason, held.run.updated_at) = (state, reason, self.clock.now());
        if self.runs.save_run(held.version, &held.run).await? {
            held.version += 1;
            return Ok(());
        }
        Err(Stop::Again(String::from("somebody else changed this run meanwhile"), None))
    }

    /// Nobody else is at work on that run as long as this lives; `None`: somebody is.
    fn take_up(&self, id: String) -> Option<UnderWay<'_>> {
        let is_free = self.under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        is_free.then(|| UnderWay(self, id))
    }

    /// Writes a run down as failed that would be tried again otherwise.
    async fn end(&self, id: &str, why: Option<&str>) -> Result<(), LogError> {
        let Some((version, mut run)) = self.runs.run(id).await?.filter(|(_, run)| run.state == State::Running) else { return Ok(()) };
        run.give_up(why, self.clock.now());
        // Whoever changed it meanwhile knows better.
        self.runs.save_run(version, &run).await.map(drop)
    }

    /// Brings the run as far as it comes; says so where there was nothing to do.
    async fn go(
        &self,
        subscription: &Subscription,
        playbook: &Playbook,
        event: &Event,
        cloud_event: &Value,
    ) -> Result<Option<&'static str>, Stop> {
        let id = super::run::id(&playbook.name, event.id);
        let mut held = match self.runs.run(&id).await? {
            Some((version, run)) => Held { version, run },
            // A replay may name any subscription for any event: a run begins only where the playbook itself wants it to.
            None if !subscription.wants(&event.component, event.kind) => return Ok(Some("it is not for such events")),
            // One that is under way was wanted when it began, whatever the playbook has come to ask for since.
            None if !playbook.concerns(cloud_event) => return Ok(Some("its conditions do not hold of this event")),
            None => Held { version: 0, run: Run::new(playbook, event, self.clock.now()) },
        };
        if matches!(held.run.state, State::Done | State::Cancelled) {
            return Ok(None);
        }
        let ended = self.steps(playbook, event, cloud_event, &mut held).await;
        match &ended {
            Ok(()) => self.save(&mut held, State::Done, None).await?,
            Err(Stop::Wait(state, _, why)) => {
                if held.run.state != *state {
                    self.save(&mut held, *state, Some(why.clone())).await?;
                }
            }
            Err(Stop::Again(why, _)) => self.save(&mut held, State::Running, Some(why.clone())).await?,
            Err(Stop::Never(why)) => self.save(&mut held, State::Failed, Some(why.clone())).await?,
        }
        ended.map(|()| None)
    }

    /// The playbook that a run goes by: the one that it began with, or the present one where it is not bound.
    fn bound(present: &Playbook, run: &mut Run) -> Result<Playbook, Stop> {
        let then = written::reread(&run.playbook_then).ok().filter(|then| !then.steps.is_empty());
        match then {
            Some(then) if run.is_bound() => Ok(then),
            _ if run.take_over(present) => Ok(present.clone()),
            Some(then) => Ok(then),
            None => Err(Stop::Never(String::from("the playbook was changed while this run was under way"))),
        }
    }

    async fn steps(&self, present: &Playbook, event: &Event, cloud_event: &Value, held: &mut Held) -> Result<(), Stop> {
        let playbook = Self::bound(present, &mut held.run)?;
        let attributes = match event.authorizer.as_deref() {
            Some(authorizer) => self.attributes.get(&event.component, authorizer).await?,
            None => Attributes::default(),
        };
        let occasion = Occasion { event, cloud_event, variables: Value::Object(attributes.variables) };
        let known = |name: &str| occasion.value_of(name, &[]);
        // What only a step that is done needed may have been taken away since.
        let finished = held.run.next_step().unwrap_or(playbook.steps.len());
        let unknown: BTreeSet<&str> = playbook
            .steps
            .iter()
            .skip(finished)
            .flat_map(Step::names)
            .filter(|name| placeholder::split(name).0 != "steps" && known(name).is_none())
            .collect();
        if !unknown.is_empty() {
            let names: Vec<_> = unknown.into_iter().collect();
            let sent = if held.run.may_have_sent() { "nothing more was sent" } else { "nothing was sent" };
            return Err(Stop::Never(format!("{sent}: there is no value for {}", names.join(", "))));
        }
        while let Some(index) = held.run.next_step() {
            let Some(step) = playbook.steps.get(index) else { break };
            self.step(index, step, &occasion, held).await?;
        }
        Ok(())
    }

    async fn step(&self, index: usize, step: &Step, occasion: &Occasion<'_>, held: &mut Held) -> Result<(), Stop> {
        let called = format!("step {} ({})", index + 1, step.name());
        let now = self.clock.now();
        let Some(record) = held.run.steps.get(index).cloned() else { return Ok(()) };
        let maybe_sent = record.begun_at.is_some();
        // What was begun already is brought to its end, whatever the time of day.
        if !maybe_sent {
            if step.approval && record.approved_by.is_none() {
                let why = format!("{called} waits for approval");
                return Err(Stop::Wait(State::WaitingForApproval, later(now, LOOK_FOR_APPROVAL), why));
            }
            if let Some(opens) = step.window.and_then(|window| window.opens(now)) {
                return Err(Stop::Wait(State::WaitingForWindow, opens, format!("{called} waits until {opens}")));
            }
        }
        let results: Vec<Value> = held.run.steps.iter().take(index).map(|step| step.result.clone()).collect();
        let result = match &step.deed {
            Deed::Operation(operation) => self.carry_out(index, operation, occasion, &results, held).await,
            Deed::Tell(tell) => self.tell(tell, occasion, &results).await,
        };
        let result = result.map_err(|stop| match stop {
            Stop::Again(why, until) => Stop::Again(format!("{called}: {why}"), until),
            Stop::Never(why) => Stop::Never(format!("{called}: {why}")),
            wait @ Stop::Wait(..) => wait,
        })?;
        if let Some(record) = held.run.steps.get_mut(index) {
            record.done_at = Some(self.clock.now());
            record.result = if result.to_string().len() > MOST_RESULT_BYTES { Value::Null } else { result };
        }
        self.save(held, State::Running, None).await
    }

    async fn carry_out(
        &self,
        index: usize,
        operation: &Operation,
        occasion: &Occasion<'_>,
        results: &[Value],
        held: &mut Held,
    ) -> Result<Value, Stop> {
        let value = |name: &str| occasion.value_of(name, results);
        let mut with = fill(&operation.with, &value).map_err(unfilled)?;
        let wanted = fill(&operation.find, &value).map_err(unfilled)?;
        let event = occasion.event;
        let call = Call { component: &event.component, authorizer: event.authorizer.as_deref(), operation: &operation.name };
        // What the playbook was allowed to leave out.
        if let Some((parameter, place)) = check::told(&operation.name)
            && !with.contains_key(parameter)
            && self.hands.needs(call, parameter)
            && let Some(told) = value(place)
        {
            with.insert(parameter.to_owned(), told);
        }
        let effect = self.hands.check(call, &with).map_err(|error| Stop::Never(words(&error)))?;
        let maybe_sent = held.run.steps.get(index).and_then(|record| record.begun_at);
        if effect == Effect::Once && maybe_sent.is_none() {
            if let Some(record) = held.run.steps.get_mut(index) {
                record.begun_at = Some(self.clock.now());
            }
            self.save(held, State::Running, None).await?;
        }
        let done = self.hands.carry_out(call, with, maybe_sent).await;
        let result = match done {
            Ok(result) => result,
            Err(error) => {
                let why = words(&error);
                // It stays begun, and is looked up when it is tried again: by itself where that may tell, else when somebody asks for it. Nobody repeats it blindly.
                if let OperationError::OutcomeUnknown { may_show, .. } = error {
                    return Err(if may_show { Stop::Again(why, None) } else { Stop::Never(why) });
                }
                // What was begun before this stays in doubt whatever came of this, and a vendor in trouble may say no to what it does all the same.
                let in_doubt = maybe_sent.is_some() || error.is_in_doubt();
                if let Some(record) = held.run.steps.get_mut(index).filter(|_| !in_doubt) {
                    record.begun_at = None;
                }
                return Err(if may_pass(&error) { Stop::Again(why, None) } else { Stop::Never(why) });
            }
        };
        let result = if wanted.is_empty() { Some(result) } else { found(&result, &wanted) };
        result.ok_or_else(|| Stop::Again(format!("the platform shows no item with {}", Value::Object(wanted)), None))
    }

    /// Told again where nobody knows whether it was: people would rather hear something twice than not at all.
    async fn tell(&self, tell: &Tell, occasion: &Occasion<'_>, results: &[Value]) -> Result<Value, Stop> {
        let text = tell.text.as_ref().map(|text| text.fill(&|name| occasion.value_of(name, results))).transpose().map_err(unfilled)?;
        let text = text.map(|text| text.as_str().map_or_else(|| text.to_string(), str::to_owned));
        let shop = occasion.variables.get(SHOP).and_then(Value::as_str);
        let message = Message::of_event(occasion.cloud_event, shop, text.as_deref(), self.robots.language(&tell.robot));
        self.robots.tell(&tell.robot, &message).await.map_err(|untold| match untold {
            Untold::Later(why, until) => Stop::Again(why, until),
            Untold::Refused(why) => Stop::Never(why),
        })?;
        Ok(Value::Null)
    }
}

fn unfilled(why: Unfilled) -> Stop {
    Stop::Never(why.to_string())
}

/// The item that holds all of that; a list says which values will do.
fn found(result: &Value, wanted: &Map<String, Value>) -> Option<Value> {
    let fits = |item: &&Value| {
        wanted.iter().all(|(name, wanted)| {
            let held = placeholder::at(item, name);
            held.is_some_and(|held| held == *wanted || wanted.as_array().is_some_and(|values| values.contains(&held)))
        })
    };
    result.get("items")?.as_array()?.iter().find(fits).cloned()
}

impl Occasion<'_> {
    /// What a name stands for, with the results of the steps before.
    fn value_of(&self, name: &str, results: &[Value]) -> Option<Value> {
        let (root, rest) = placeholder::split(name);
        match root {
            "event" => placeholder::at(self.cloud_event, rest),
            "variables" => placeholder::at(&self.variables, rest),
            "authorizer" => self.event.authorizer.as_deref().map(Value::from),
            "component" => Some(Value::from(self.event.component.as_str())),
            "steps" => {
                let (number, path) = placeholder::split(rest);
                let result = results.get(number.parse::<usize>().ok()?.checked_sub(1)?)?;
                if path.is_empty() { Some(result.clone()) } else { placeholder::at(result, path) }
            }
            _ => None,
        }
    }
}

/// An error with everything that people need.
fn words(error: &OperationError) -> String {
    match error {
        OperationError::Invalid(bad) => {
            let bad: Vec<String> = bad.iter().map(|bad| format!("{} {}", bad.name, bad.reason)).collect();
            bad.join("; ")
        }
        error => error.to_string(),
    }
}

/// Whether the same may succeed later by itself.
fn may_pass(error: &OperationError) -> bool {
    match error {
        OperationError::Unreachable(_) => true,
        OperationError::Refused(refusal) | OperationError::Doubted { refusal, .. } => {
            // A token that is refused although the desk has just renewed it: another try would renew it again, and be refused again.
            !matches!(refusal.class, Class::Refuse | Class::GrantGone | Class::CodeInvalid | Class::RenewAuthorizerToken)
        }
        OperationError::Vault(error) => {
            !matches!(error, VaultError::Revoked { .. } | VaultError::UnknownComponent | VaultError::NotApplicable(_))
        }
        _ => false,
    }
}

/// Says that a run is under way as long as it lives.
struct UnderWay<'a>(&'a Steps, String);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

#[async_trait::async_trait]
impl Sink for Steps {
    async fn deliver(&self, subscription: &Subscription, claimed: &Claimed) -> Outcome {
        let (at, begun) = (self.clock.now(), Instant::now());
        let attempt = |answer: Option<&str>, error: Option<String>| Attempt {
            at,
            status: None,
            duration_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            error,
            answer: answer.map(str::to_owned),
        };
        let Some(playbook) = self.playbook(&subscription.name) else {
            return Outcome::Refused(attempt(None, Some(String::from("there is no playbook of that name any more"))));
        };
        let Ok(cloud_event) = serde_json::from_slice::<Value>(&claimed.event.body) else {
            return Outcome::Refused(attempt(None, Some(String::from("the event cannot be read"))));
        };
        let Some(_under_way) = self.take_up(super::run::id(&playbook.name, claimed.event.id)) else {
            return Outcome::Deferred(attempt(Some("this run is under way already"), None), later(at, BUSY));
        };
        match self.go(subscription, &playbook, &claimed.event, &cloud_event).await {
            Ok(remark) => Outcome::Delivered(attempt(remark, None)),
            Err(Stop::Wait(_, until, why)) => Outcome::Deferred(attempt(Some(&why), None), until),
            Err(Stop::Again(why, until)) => Outcome::Failed(attempt(None, Some(why)), until),
            Err(Stop::Never(why)) => Outcome::Refused(attempt(None, Some(why))),
        }
    }

    /// What was between two tries has failed: there is no next one.
    async fn gave_up(&self, claimed: &Claimed, attempt: &Attempt) {
        let id = super::run::id(&claimed.delivery.subscription, claimed.event.id);
        // Another delivery of the same event carries it on.
        let Some(_under_way) = self.take_up(id.clone()) else { return };
        if let Err(error) = self.end(&id, attempt.error.as_deref()).await {
            tracing::error!(run = id, %error, "a run that is not tried any more could not be written down as failed");
        }
    }
}
