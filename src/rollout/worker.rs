//! The dull loop: picks whose turn it is, lets one task at a time carry out an item's effects, writes down what came of them, and sleeps.
//!
//! Everything that is decided stands elsewhere: what follows in `advance`, who may begin in `waves`, what an item remembers in `settle`.
//! It may be killed at any line: what was begun is durable before it is sent, and is looked for when it is taken up again.

use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::Map;
use tokio::task::JoinSet;

use super::advance::{Effect, On, advance};
use super::hands::{Happened, later};
use super::hold::{Active, Entry, Held, Outage, locked};
use super::record::{Item, Rollback, Rollout, RolloutId, State};
use super::settle::{counted, settle};
use super::stage::Stage;
use super::step::{Before, Step};
use super::waves::{self, Verdict};
use super::window::Window;
use super::{Rollouts, Words, route};
use crate::clock::Timestamp;
use crate::fanout::schedule;
use crate::inbox::LogError;
use crate::shutdown::Shutdown;

/// Longest sleep.
const NAP: SignedDuration = SignedDuration::from_secs(60);
/// Pause after the store refused, in seconds.
const STORE_PAUSE: i64 = 5;
/// The first pause of a component whose vendor does not answer, in seconds; doubled each time, up to the longest of all.
const OUTAGE_PAUSE: i64 = 5;

/// What a task is to do with an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Job {
    /// Go on from this.
    Advance(On),
    /// Read its mail.
    Mail,
    /// Take its release back.
    TakeBack,
}

/// Whose turn it is.
struct Picked {
    id: RolloutId,
    authorizer: String,
    job: Job,
}

impl Rollouts {
    /// Works until shutdown, then lets what is under way finish, within the grace period.
    pub async fn run(self: Arc<Self>, shutdown: Shutdown) {
        // The last process may have ended after the last item did and before the rollout was told so.
        let left: Vec<RolloutId> = locked(&self.floor).active.keys().copied().collect();
        for id in left {
            if let Err(error) = self.review(id).await {
                tracing::error!(rollout = %id, %error, "the state of a rollout could not be written down");
            }
        }
        let mut tasks = JoinSet::new();
        while !shutdown.is_requested() {
            let heard = self.bell.notified();
            let (picked, next) = self.pick(self.clock.now());
            for picked in picked {
                tasks.spawn(Arc::clone(&self).attend(picked, shutdown.clone()));
            }
            self.measure();
            let nap = self.clock.now().checked_add(NAP).unwrap_or(Timestamp::MAX);
            tokio::select! {
                () = shutdown.requested() => {}
                () = heard => {}
                Some(ended) = tasks.join_next() => if let Err(error) = ended {
                    tracing::error!(%error, "a task of a rollout broke");
                },
                () = self.clock.sleep_until(next.map_or(nap, |next| next.min(nap))) => {}
            }
        }
        self.finish(tasks).await;
    }

    /// Waits for steps under way. What does not end within the grace period is left as a crash would leave it: the next start asks the vendor what
    /// came of it.
    async fn finish(&self, mut tasks: JoinSet<()>) {
        let until = schedule::later(self.clock.now(), self.options.grace);
        tokio::select! {
            () = async { while tasks.join_next().await.is_some() {} } => return,
            () = self.clock.sleep_until(until) => {}
        }
        tracing::warn!(steps = tasks.len(), "steps of rollouts did not end within the grace period; the next start goes on with them");
        tasks.shutdown().await;
    }

    /// Marks those whose turn it is as busy, and says when the next turn comes.
    fn pick(&self, now: Timestamp) -> (Vec<Picked>, Option<Timestamp>) {
        let mut floor = locked(&self.floor);
        let floor = &mut *floor;
        let (mut picked, mut next) = (Vec::new(), None::<Timestamp>);
        // What a clock that was ahead put off is due.
        let furthest = self.options.waits.furthest(now);
        let waits = |until: Timestamp| until > now && until <= furthest;
        let mut at = |time: Timestamp| next = Some(next.map_or(time, |next| next.min(time)));
        let ids: Vec<RolloutId> = floor.active.keys().copied().collect();
        for id in ids {
            let Some(component) = floor.active.get(&id).map(|active| active.rollout.spec.component.clone()) else { continue };
            let mut room = self.options.most.saturating_sub(floor.running(&component));
            let outage = floor.outages.get(&component).copied();
            if let Some(outage) = outage
                && (waits(outage.until) || outage.is_probed)
            {
                if waits(outage.until) {
                    at(outage.until);
                }
                room = 0;
            }
            let Some(active) = floor.active.get_mut(&id) else { continue };
            let mut due = due(active, now, &waits, &mut at);
            due.sort_by_key(|(_, rank, place, _)| (*rank, *place));
            for (authorizer, _, _, job) in due {
                // Mail changes no vendor's mind: it waits for nothing.
                if job != Job::Mail {
                    if room == 0 || active.running >= active.rollout.spec.concurrency {
                        continue;
                    }
                    let after = |rate: f64| now.checked_add(SignedDuration::from_secs_f64(1.0 / rate)).unwrap_or(now);
                    let paced = |next: Timestamp, rate: Option<f64>| if rate.is_none_or(|rate| next > after(rate)) { now } else { next };
                    let of_component = floor.next_steps.get(&component).copied().unwrap_or(now);
                    let of_component = paced(of_component, self.options.rate.map(f64::from));
                    let may_begin = paced(active.next_step, active.rollout.spec.rate).max(of_component);
                    if may_begin > now {
                        at(may_begin);
                        continue;
                    }
                    if let Some(rate) = active.rollout.spec.rate {
                        active.next_step = after(rate);
                    }
                    if let Some(rate) = self.options.rate {
                        floor.next_steps.insert(component.clone(), after(f64::from(rate)));
                    }
                    room = if outage.is_some() { 0 } else { room.saturating_sub(1) };
                }
                let Some(entry) = active.entries.get_mut(&authorizer) else { continue };
                entry.is_busy = true;
                active.running = active.running.saturating_add(1);
                if outage.is_some() && job != Job::Mail {
                    floor.outages.entry(component.clone()).and_modify(|outage| outage.is_probed = true);
                }
                picked.push(Picked { id, authorizer, job });
            }
        }
        (picked, next)
    }

    async fn attend(self: Arc<Self>, picked: Picked, shutdown: Shutdown) {
        let Picked { id, authorizer, job } = picked;
        let found = {
            let mut floor = locked(&self.floor);
            floor.entry(id, &authorizer).map(|entry| (entry.item.clone(), entry.version))
        };
        if let Some((item, version)) = found {
            let mut item = item;
            item.date(self.clock.now());
            let mut held = Held { floor: &self.floor, log: &*self.log, clock: &*self.clock, id, item, version };
            let ended = match job {
                Job::Advance(on) => self.advance(&mut held, on.into(), &shutdown).await,
                Job::Mail => match held.mail() {
                    Some(mail) => self.advance(&mut held, mail, &shutdown).await,
                    None => Ok(()),
                },
                Job::TakeBack => self.take_back(&mut held).await,
            };
            if let Err(error) = &ended {
                tracing::error!(rollout = %id, authorizer, %error, "a step of a rollout could not be written down");
            }
            let hold = ended.is_err().then(|| later(self.clock.now(), STORE_PAUSE));
            self.let_go(id, &authorizer, hold);
        }
        if let Err(error) = self.review(id).await {
            tracing::error!(rollout = %id, %error, "the state of a rollout could not be written down");
        }
        self.bell.notify_one();
    }

    pub(super) fn let_go(&self, id: RolloutId, authorizer: &str, hold: Option<Timestamp>) {
        let mut floor = locked(&self.floor);
        if let Some(active) = floor.active.get_mut(&id) {
            active.running = active.running.saturating_sub(1);
            let component = active.rollout.spec.component.clone();
            if let Some(entry) = active.entries.get_mut(authorizer) {
                entry.is_busy = false;
                entry.hold = hold;
            }
            floor.outages.entry(component).and_modify(|outage| outage.is_probed = false);
        }
    }

    /// Effect after effect, each transition durable before the next effect.
    async fn advance(&self, held: &mut Held<'_>, first: Happened, shutdown: &Shutdown) -> Result<(), LogError> {
        let mut happened = first;
        let mut pending = None;
        loop {
            match advance(held.item.stage, happened.on, held.item.stopped_at) {
                None => {}
                Some((to, then)) => {
                    self.write_down(held, &happened, to, then).await?;
                    pending = Some(then);
                    if then == Effect::ReleaseAgain && self.is_rolled_back(held.id) {
                        // It is not online, and is not to be: there is nothing left to look for.
                        held.item.begun = None;
                        held.save().await?;
                    } else if then == Effect::ReleaseAgain
                        && let Some((opens, why)) = self.waits_for_its_hours(held.id)
                    {
                        // It stays begun: the platform may show it later than it should, and is asked again before it is sent.
                        let now = self.clock.now();
                        let item = &mut held.item;
                        (item.wake_at, item.reason) = (Some(self.options.waits.at_most(now, opens)), Some(why));
                        held.save().await?;
                        pending = Some(Effect::Wait);
                    }
                }
            }
            if let Some(mail) = held.mail() {
                happened = mail;
                continue;
            }
            let Some(effect) = pending.take() else { return Ok(()) };
            if matches!(effect, Effect::Nothing | Effect::Wait | Effect::Onward)
                || shutdown.is_requested()
                || !self.may_act(held.id, effect)
            {
                return Ok(());
            }
            let told = self.carry_out(effect, held).await?;
            happened = counted(&mut held.item, told);
            self.weather(held, &happened);
        }
    }

    async fn write_down(&self, held: &mut Held<'_>, happened: &Happened, to: Stage, then: Effect) -> Result<(), LogError> {
        let from = held.item.stage;
        settle(&mut held.item, happened, to, then, self.clock.now(), self.options.waits);
        // What is asked again after a crash anyway need not be on the disk.
        if to == from && matches!(then, Effect::Look | Effect::LookBack | Effect::Ask | Effect::Upload | Effect::Submit | Effect::Release) {
            return Ok(());
        }
        held.save().await?;
        let item = &held.item;
        let (rollout, authorizer, reason) = (held.id, &item.authorizer, item.reason.as_deref());
        match to {
            Stage::Failed | Stage::Rejected if to != from => {
                tracing::warn!(%rollout, authorizer, stage = to.as_str(), reason, "an authorizer of a rollout ended early");
            }
            _ if to != from => tracing::info!(%rollout, authorizer, stage = to.as_str(), "an authorizer of a rollout went on"),
            _ => {}
        }
        if happened.on == On::Blocked {
            let why = happened.reason.clone().unwrap_or_else(|| String::from("the configuration must be mended"));
            self.set(held.id, |rollout| {
                if rollout.state == State::Running {
                    (rollout.state, rollout.reason) = (State::Stopped, Some(why));
                }
            })
            .await?;
        }
        Ok(())
    }

    async fn carry_out(&self, effect: Effect, held: &mut Held<'_>) -> Result<Happened, LogError> {
        let Some(rollout) = locked(&self.floor).active.get(&held.id).map(|active| active.rollout.clone()) else {
            return Ok(Happened::from(On::Resumed));
        };
        let spec = &rollout.spec;
        let Some(route) = self.hands.platform(&spec.component).and_then(route::of) else {
            return Ok(Happened::from(On::Refused).because("the component is no longer configured"));
        };
        // What only asks or releases says nothing in the merchant's words: a variable taken away since the submission ends nothing.
        let words = match effect.says_words() {
            false => Words { variables: Map::new(), description: spec.description.clone() },
            true => match self.words(spec, Some(held.id), &held.item.authorizer).await? {
                Ok(words) => words,
                Err(reason) => return Ok(Happened::from(On::Refused).because(reason)),
            },
        };
        let step =
            Step { hands: &*self.hands, route, spec, variables: &words.variables, description: &words.description, clock: &*self.clock };
        step.carry_out(effect, held).await
    }

    /// Notes whether the vendor answers at all.
    fn weather(&self, held: &Held<'_>, happened: &Happened) {
        let now = self.clock.now();
        let mut floor = locked(&self.floor);
        let Some(component) = floor.active.get(&held.id).map(|active| active.rollout.spec.component.clone()) else { return };
        if !happened.of_component {
            if let Some(outage) = floor.outages.remove(&component) {
                tracing::info!(component, failures = outage.failures, "the vendor answers rollouts again");
            }
            return;
        }
        let outage = floor.outages.entry(component.clone()).or_insert(Outage { failures: 0, until: now, is_probed: false });
        // Tasks that were under way together fail together: that is one failure. A wait that a clock which was ahead began is none.
        if outage.until <= now || outage.until > self.options.waits.furthest(now) {
            outage.failures = outage.failures.saturating_add(1);
            outage.until = self.options.waits.again(now, OUTAGE_PAUSE, outage.failures);
            tracing::warn!(component, until = %outage.until, reason = happened.reason, "the vendor does not answer: its rollouts wait");
        }
    }

    fn is_rolled_back(&self, id: RolloutId) -> bool {
        let is_it = |rollout: &Rollout| rollout.rolling_back && rollout.state != State::Running;
        locked(&self.floor).active.get(&id).is_some_and(|active| is_it(&active.rollout))
    }

    /// When a rollout may release next and why not now, where it may not.
    fn waits_for_its_hours(&self, id: RolloutId) -> Option<(Timestamp, String)> {
        let window = locked(&self.floor).active.get(&id)?.rollout.spec.window?;
        let opens = opens(window, self.clock.now())?;
        Some((opens, format!("the release that was begun does not show, and is sent again only within {window}")))
    }

    /// One that runs may do anything; one that is rolled back may ask whether it released what is in doubt.
    fn may_act(&self, id: RolloutId, effect: Effect) -> bool {
        let may = |rollout: &Rollout| rollout.state == State::Running || (rollout.rolling_back && effect == Effect::LookBack);
        locked(&self.floor).active.get(&id).is_some_and(|active| may(&active.rollout))
    }

    /// Takes back what was released.
    async fn take_back(&self, held: &mut Held<'_>) -> Result<(), LogError> {
        let Some(rollout) = locked(&self.floor).active.get(&held.id).map(|active| active.rollout.clone()) else { return Ok(()) };
        let spec = &rollout.spec;
        let Some(route) = self.hands.platform(&spec.component).and_then(route::of) else {
            let item = &mut held.item;
            (item.rollback, item.updated_at, item.wake_at) = (Some(Rollback::Failed), self.clock.now(), None);
            item.reason = Some(String::from("the component is no longer configured"));
            return held.save().await;
        };
        let nothing = Map::new();
        let (hands, clock) = (&*self.hands, &*self.clock);
        let step = Step { hands, route, spec, variables: &nothing, description: &spec.description, clock };
        let before = match held.item.rollback {
            Some(Rollback::Begun) if held.item.begun.is_some() => Before::MaybeSent,
            _ => Before::Nothing,
        };
        held.item.rollback = Some(Rollback::Begun);
        let told = step.take_back(held, before).await?;
        let now = self.clock.now();
        let item = &mut held.item;
        (item.updated_at, item.wake_at) = (now, None);
        match told {
            Ok(()) => {
                (item.rollback, item.begun, item.failures, item.token_refusals) = (Some(Rollback::Done), None, 0, 0);
                item.reason = Some(String::from("rolled back"));
                // The vendor answers again: the others need not wait for one another.
                self.weather(held, &On::Stands.into());
            }
            Err(happened) => {
                let happened = counted(item, happened);
                let passes = matches!(happened.on, On::Unreachable | On::Doubtful | On::RateLimited | On::Blocked);
                item.reason.clone_from(&happened.reason);
                if passes {
                    item.failures = item.failures.saturating_add(1);
                    let waits = self.options.waits;
                    let again = waits.again(now, OUTAGE_PAUSE, item.failures);
                    item.wake_at = Some(happened.until.map_or(again, |until| waits.at_most(now, until)));
                } else {
                    (item.rollback, item.begun, item.token_refusals) = (Some(Rollback::Failed), None, 0);
                }
                self.weather(held, &happened);
            }
        }
        held.save().await
    }

    /// Stops a rollout of which too many failed; ends one of which nothing is left to do.
    pub(super) async fn review(&self, id: RolloutId) -> Result<(), LogError> {
        let _alone = self.reviewing.lock().await;
        let how = |active: &Active| (active.rollout.rolling_back, active.rollout.state, active.rollout.spec.until);
        // One that cannot be read is judged by nobody: it would be written over.
        let is_judged = |active: &&Active| !active.rollout.is_unread || active.rollout.state == State::Cancelled;
        let Some((rolling_back, state, until)) = locked(&self.floor).active.get(&id).filter(is_judged).map(how) else { return Ok(()) };
        if rolling_back {
            // They were on their way when a person wanted back what was released; the process that put them there may be gone.
            self.want_back(id, |rollback| rollback.is_none()).await?;
            self.seek(id).await?;
        }
        if state == State::Cancelled {
            // The process that was at work on them when a person ended it may be gone too. What may be online and is wanted back is looked
            // for first.
            let is_sought = |item: &Item| rolling_back && item.stage == Stage::Releasing && item.begun.is_some();
            self.end(id, |item| !until.is_over(item.stage) && !is_sought(item)).await?;
        }
        let found = {
            let floor = locked(&self.floor);
            let Some(active) = floor.active.get(&id) else { return Ok(()) };
            let is_left = |entry: &Entry| {
                wants_back(&entry.item) || may_be_released(entry) || is_unmarked(&entry.item) || entry.item.is_lost_sight_of()
            };
            let is_taken_back = !active.entries.values().any(is_left);
            let is_idle = active.entries.values().all(|entry| !entry.is_busy);
            (waves::review(&active.rollout, active.items()), active.rollout.clone(), is_taken_back, is_idle)
        };
        let (verdict, rollout, is_taken_back, is_idle) = found;
        if rollout.rolling_back && is_taken_back {
            self.set(id, |rollout| rollout.rolling_back = false).await?;
        }
        match verdict {
            Verdict::Stop(reason) if rollout.state == State::Running => {
                tracing::warn!(rollout = %id, reason, "a rollout stopped itself");
                self.set(id, |rollout| {
                    rollout.state = State::Stopped;
                    rollout.reason = Some(reason);
                })
                .await?;
            }
            Verdict::Done if matches!(rollout.state, State::Running | State::Stopped | State::Paused) && is_idle => {
                tracing::info!(rollout = %id, "a rollout is done");
                self.set(id, |rollout| rollout.state = State::Done).await?;
            }
            _ => {}
        }
        let mut floor = locked(&self.floor);
        let is_over = |active: &Active| {
            matches!(active.rollout.state, State::Done | State::Cancelled)
                && !active.rollout.rolling_back
                && active.visits == 0
                && active.entries.values().all(|entry| !entry.is_busy && entry.mail.is_empty())
        };
        if floor.active.get(&id).is_some_and(is_over) {
            floor.active.remove(&id);
        }
        Ok(())
    }

    /// Tells the metrics how many authorizers stand where.
    fn measure(&self) {
        let mut floor = locked(&self.floor);
        let known = floor.active.values().filter(|active| !active.rollout.is_unread);
        let mut components: Vec<String> = known.map(|active| active.rollout.spec.component.clone()).collect();
        components.append(&mut floor.measured);
        components.sort();
        components.dedup();
        for component in &components {
            let of_component = floor.active.values().filter(|active| active.rollout.spec.component == *component);
            let mut counts = [0_u32; Stage::ALL.len()];
            for item in of_component.flat_map(Active::items) {
                let place = Stage::ALL.iter().position(|stage| *stage == item.stage);
                if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
                    *count = count.saturating_add(1);
                }
            }
            for (stage, count) in Stage::ALL.iter().zip(counts) {
                metrics::gauge!("yizhan_rollout_items", "component" => component.clone(), "stage" => stage.as_str()).set(f64::from(count));
            }
        }
        floor.measured = components;
    }
}

/// When a window that is closed opens.
fn opens(window: Window, now: Timestamp) -> Option<Timestamp> {
    (!window.is_open(now)).then(|| window.opens(now))
}

fn wants_back(item: &Item) -> bool {
    matches!(item.rollback, Some(Rollback::Wanted | Rollback::Begun))
}

/// Whether its release is under way, or was sent and nobody knows what came of it.
fn may_be_released(entry: &Entry) -> bool {
    entry.item.stage == Stage::Releasing && (entry.is_busy || entry.item.begun.is_some())
}

/// Whether it is released, and nobody has marked it since a person wanted back what was.
fn is_unmarked(item: &Item) -> bool {
    item.stage == Stage::Released && item.rollback.is_none()
}

/// Items that could be worked on now: with their rank (those furthest in their life first), their place, and what to do.
fn due(
    active: &Active,
    now: Timestamp,
    waits: &impl Fn(Timestamp) -> bool,
    at: &mut impl FnMut(Timestamp),
) -> Vec<(String, usize, u32, Job)> {
    let rollout = &active.rollout;
    let is_running = rollout.state == State::Running;
    let shut = rollout.spec.window.and_then(|window| opens(window, now));
    let mut below = None;
    let mut found = Vec::new();
    for (authorizer, entry) in &active.entries {
        let item = &entry.item;
        if entry.is_busy {
            continue;
        }
        if let Some(until) = entry.hold.filter(|until| waits(*until)) {
            at(until);
            continue;
        }
        let mut push = |rank: usize, job: Job| found.push((authorizer.clone(), rank, item.place, job));
        if !entry.mail.is_empty() {
            push(0, Job::Mail);
            continue;
        }
        let wakes = item.wake_at.filter(|wake_at| waits(*wake_at));
        if rollout.rolling_back && wants_back(item) {
            match wakes {
                Some(wake_at) => at(wake_at),
                None => push(0, Job::TakeBack),
            }
            continue;
        }
        if rollout.rolling_back && !is_running && may_be_released(entry) {
            // What may be online is wanted back too: it is looked for, and not sent again.
            match wakes {
                Some(wake_at) => at(wake_at),
                None => push(0, Job::Advance(On::Interrupted)),
            }
            continue;
        }
        if !is_running || rollout.spec.until.is_over(item.stage) {
            continue;
        }
        if let Some(wake_at) = wakes {
            at(wake_at);
            continue;
        }
        match item.stage {
            Stage::Queued => {
                let below = *below.get_or_insert_with(|| waves::begins_below(rollout, active.items()));
                if item.place < below {
                    push(5, Job::Advance(On::Started));
                }
            }
            Stage::Approved => match shut {
                Some(opens) => at(opens),
                None => push(2, Job::Advance(On::Started)),
            },
            // Its turn came and nothing was sent, or nothing that took effect: its hours may have passed since.
            Stage::Releasing if item.begun.is_none() => match shut {
                Some(opens) => at(opens),
                None => push(1, Job::Advance(On::Resumed)),
            },
            Stage::InAudit => push(4, Job::Advance(On::Started)),
            Stage::Uploaded => push(3, Job::Advance(On::Started)),
            _ if item.begun.is_some() => push(1, Job::Advance(On::Interrupted)),
            _ => push(1, Job::Advance(On::Resumed)),
        }
    }
    found
}

impl Entry {
    /// One that nobody is at work on.
    pub(super) fn new(item: Item, version: u64) -> Self {
        Self { item, version, is_busy: false, mail: Vec::new(), hold: None }
    }
}
