//! Rollouts made, shown and steered by people: create, pause, resume, cancel, retry, roll back.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::advance::{On, advance};
use super::hands::Happened;
use super::hold::{Entry, Held, Visit, locked};
use super::record::{Item, Rollback, Rollout, RolloutId, Spec, State};
use super::shelf::Kept;
use super::stage::Stage;
use super::unread::{self, NOT_WHOLE};
use super::{RolloutError, Rollouts, new_id};
use crate::clock::Timestamp;
use crate::inbox::LogError;

/// Words, and how many authorizers they stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The words.
    pub reason: String,
    /// The stage of those authorizers.
    pub stage: Stage,
    /// How many.
    pub count: u32,
    /// One of them.
    pub example: String,
    /// When the first of them goes on, where they wait.
    pub until: Option<Timestamp>,
}

/// A request that may come again and makes one rollout.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Under what it is remembered, see [`Rollout::request`].
    pub name: String,
    /// When it first came: an older rollout of that name was made for another one, whose time was over.
    pub since: Timestamp,
}

/// A rollout with how far it has come.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The rollout.
    pub rollout: Rollout,
    /// Authorizers by stage, in the order of [`Stage::ALL`].
    pub counts: [u32; Stage::ALL.len()],
    /// Why some failed, were rejected or could not be taken back, most frequent first.
    pub reasons: Vec<Group>,
    /// Why some take no part.
    pub skips: Vec<Group>,
    /// What some wait for.
    pub waits: Vec<Group>,
    /// Of those released, how many were taken back.
    pub rolled_back: u32,
    /// Of those released, how many could not be taken back.
    pub rollback_failed: u32,
    /// All authorizers, those skipped among them.
    pub total: u32,
}

impl Progress {
    fn of(rollout: Rollout, items: &[Item]) -> Self {
        let mut counts = [0; Stage::ALL.len()];
        for (stage, count) in Stage::ALL.iter().zip(&mut counts) {
            *count = number(items.iter().filter(|item| item.stage == *stage).count());
        }
        let until = rollout.spec.until;
        Self {
            counts,
            reasons: grouped(items, |item| item.stage.is_failure() || item.rollback == Some(Rollback::Failed)),
            skips: grouped(items, |item| item.stage == Stage::Skipped),
            waits: grouped(items, |item| !until.is_over(item.stage)),
            rolled_back: those(items, Rollback::Done),
            rollback_failed: those(items, Rollback::Failed),
            total: number(items.len()),
            rollout,
        }
    }
}

/// Whether a person may do that to a rollout that stands where it does.
fn stands_in(rollout: &Rollout, states: &[State], how: &str) -> Result<(), RolloutError> {
    match states.contains(&rollout.state) {
        true => Ok(()),
        false => Err(RolloutError::Conflict(format!("a rollout that is {} cannot be {how}", rollout.state.as_str()))),
    }
}

/// One that goes on while it takes back would release further merchants, and take them back at once.
fn takes_nothing_back(rollout: &Rollout) -> Result<(), RolloutError> {
    match rollout.rolling_back {
        true => Err(RolloutError::Conflict(String::from("what it released is being taken back; wait until `rolling_back` is false"))),
        false => Ok(()),
    }
}

/// Of one that cannot be read nobody knows what was asked for.
fn is_known(rollout: &Rollout) -> Result<(), RolloutError> {
    match rollout.is_unread {
        true => Err(RolloutError::Conflict(String::from("its record cannot be read: it can only be cancelled"))),
        false => Ok(()),
    }
}

/// How many stand so with their rollback.
fn those(items: &[Item], rollback: Rollback) -> u32 {
    number(items.iter().filter(|item| item.rollback == Some(rollback)).count())
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn grouped(items: &[Item], which: impl Fn(&Item) -> bool) -> Vec<Group> {
    let mut groups: BTreeMap<(Stage, &str), Group> = BTreeMap::new();
    for item in items.iter().filter(|item| which(item)) {
        let Some(reason) = item.reason.as_deref() else { continue };
        let group = groups.entry((item.stage, reason)).or_insert_with(|| Group {
            reason: reason.to_owned(),
            stage: item.stage,
            count: 0,
            example: item.authorizer.clone(),
            until: item.wake_at,
        });
        group.count = group.count.saturating_add(1);
        group.until = match (group.until, item.wake_at) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}

impl Rollouts {
    /// Makes a rollout and begins it; gives the one that was made for that request already, if one was.
    ///
    /// # Errors
    /// What is wrong with it, or the store's: then it may have been made all the same, which the request tells when it comes again.
    pub async fn create(&self, spec: Spec, request: Option<Asked>) -> Result<Rollout, RolloutError> {
        let alone = self.changing.lock().await;
        if let Some(asked) = &request
            && let Some(made) = self.made_for(asked).await?
        {
            // What failed then may have kept it from being taken in hand.
            self.take_in_hand(made.id).await?;
            drop(alone);
            return self.begin(made).await;
        }
        let planned = self.plan(&spec).await?;
        let now = self.clock.now();
        let items: Vec<Item> = (0_u32..)
            .zip(planned)
            .map(|(place, planned)| match planned.skip {
                None => Item::queued(planned.authorizer, place, now),
                Some(reason) => Item::skipped(planned.authorizer, place, reason, now),
            })
            .collect();
        let rollout = Rollout {
            id: new_id(now),
            spec,
            state: State::Running,
            reason: None,
            rolling_back: false,
            forgiven: 0,
            goes_on_with: None,
            request: request.map(|asked| asked.name),
            is_unread: false,
            created_at: now,
            updated_at: now,
        };
        self.log.create(&rollout, &items).await?;
        self.take_up(Kept { version: 1, record: rollout.clone() }).await?;
        drop(alone);
        tracing::info!(rollout = %rollout.id, component = rollout.spec.component, authorizers = items.len(), "a rollout begins");
        self.begin(rollout).await
    }

    /// Has those go to work on it who do; as it is then.
    async fn begin(&self, rollout: Rollout) -> Result<Rollout, RolloutError> {
        self.review(rollout.id).await?;
        self.bell.notify_one();
        Ok(self.find(rollout.id).await?.unwrap_or(rollout))
    }

    async fn made_for(&self, asked: &Asked) -> Result<Option<Rollout>, RolloutError> {
        let is_made_for = |rollout: &Rollout| rollout.request.as_ref() == Some(&asked.name) && rollout.created_at >= asked.since;
        Ok(self.log.rollouts().await?.into_iter().map(|kept| kept.record).find(is_made_for))
    }

    /// All of them, newest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn all(&self) -> Result<Vec<Rollout>, RolloutError> {
        let mut all: Vec<Rollout> = self.log.rollouts().await?.into_iter().map(|kept| kept.record).collect();
        all.reverse();
        Ok(all)
    }

    /// One of them.
    ///
    /// # Errors
    /// The store's.
    pub async fn find(&self, id: RolloutId) -> Result<Option<Rollout>, RolloutError> {
        if let Some(active) = locked(&self.floor).active.get(&id) {
            return Ok(Some(active.rollout.clone()));
        }
        Ok(self.log.rollout(id).await?.map(|kept| kept.record))
    }

    /// How far one has come.
    ///
    /// # Errors
    /// Unknown, or the store's.
    pub async fn progress(&self, id: RolloutId) -> Result<Progress, RolloutError> {
        let mut rollout = self.find(id).await?.ok_or(RolloutError::Unknown)?;
        let (items, is_whole) = self.items_of(&rollout).await?;
        if !is_whole {
            rollout.reason.get_or_insert_with(|| String::from(NOT_WHOLE));
        }
        Ok(Progress::of(rollout, &items))
    }

    /// Its items by app id.
    ///
    /// # Errors
    /// The store's.
    pub async fn items(&self, id: RolloutId) -> Result<Vec<Item>, RolloutError> {
        let rollout = self.find(id).await?;
        match rollout {
            Some(rollout) => Ok(self.items_of(&rollout).await?.0),
            None => Ok(Vec::new()),
        }
    }

    /// The same of that rollout, and whether these are all of them.
    async fn items_of(&self, rollout: &Rollout) -> Result<(Vec<Item>, bool), LogError> {
        if let Some(active) = locked(&self.floor).active.get(&rollout.id) {
            return Ok((active.items().cloned().collect(), active.is_whole));
        }
        let (items, is_whole) = unread::complete(rollout, self.log.items(rollout.id).await?);
        Ok((items.into_iter().map(|kept| kept.record).collect(), is_whole))
    }

    /// Nothing more is begun; what is under way is written down.
    ///
    /// # Errors
    /// It does not run.
    pub async fn pause(&self, id: RolloutId) -> Result<(), RolloutError> {
        self.turn(id, |rollout| stands_in(rollout, &[State::Running], "paused"), |rollout| rollout.state = State::Paused).await
    }

    /// Goes on. Failures so far are forgiven: it stops again only after more of them.
    ///
    /// # Errors
    /// It is not paused, nor stopped, or what it released is being taken back.
    pub async fn resume(&self, id: RolloutId) -> Result<(), RolloutError> {
        let may = |rollout: &Rollout| {
            is_known(rollout)?;
            stands_in(rollout, &[State::Paused, State::Stopped], "resumed")?;
            takes_nothing_back(rollout)
        };
        let goes_on = |rollout: &mut Rollout| {
            rollout.state = State::Running;
            rollout.forgiven = self.count(id, |item| item.stage.is_failure());
            rollout.goes_on_with = self.known_part(id);
        };
        self.turn(id, may, goes_on).await?;
        self.bell.notify_one();
        Ok(())
    }

    /// Ends it: whoever has not arrived stays as the platform has it now. Nothing is withdrawn or taken back.
    ///
    /// # Errors
    /// It has ended already.
    pub async fn cancel(&self, id: RolloutId) -> Result<(), RolloutError> {
        let open = [State::Running, State::Paused, State::Stopped];
        self.turn(id, |rollout| stands_in(rollout, &open, "cancelled"), |rollout| rollout.state = State::Paused).await?;
        let until = self.find(id).await?.ok_or(RolloutError::Unknown)?.spec.until;
        self.tell(id, |item| !until.is_over(item.stage), &On::Cancelled.into()).await?;
        self.set(id, |rollout| rollout.state = State::Cancelled).await?;
        Ok(self.review(id).await?)
    }

    /// Those that failed go on where they stopped. Those that were rejected stay so, and so do those who have gone on without this rollout
    /// since, which their reason says: both are forgiven. How many go on.
    ///
    /// # Errors
    /// It was cancelled, or what it released is being taken back.
    pub async fn retry(&self, id: RolloutId) -> Result<u32, RolloutError> {
        let visit = self.activate(id).await?;
        let may = |rollout: &Rollout| {
            is_known(rollout)?;
            stands_in(rollout, &[State::Running, State::Paused, State::Stopped, State::Done], "tried again")?;
            takes_nothing_back(rollout)
        };
        let again = async {
            // Between the two those that failed would stop it once more.
            let _unseen = self.reviewing.lock().await;
            // No other rollout begins with one of them between the look at them and their going on.
            let _alone = self.changing.lock().await;
            let rollout = self.find(id).await?.ok_or(RolloutError::Unknown)?;
            may(&rollout)?;
            let left_out = self.gone_on(&rollout).await?;
            let stays = |item: &Item| item.stage == Stage::Rejected || left_out.contains_key(&item.authorizer);
            let goes_on = |rollout: &mut Rollout| {
                rollout.state = State::Running;
                rollout.forgiven = self.count(id, stays);
                rollout.goes_on_with = self.known_part(id);
            };
            self.turned(id, goes_on).await?;
            self.leave_out(id, &left_out).await?;
            let is_tried = |item: &Item| item.stage == Stage::Failed && !left_out.contains_key(&item.authorizer);
            Ok(self.tell(id, is_tried, &On::Retried.into()).await?)
        };
        let again: Result<u32, RolloutError> = again.await;
        drop(visit);
        self.review(id).await?;
        self.bell.notify_one();
        again
    }

    /// Of those that failed, who must not be tried again, and why.
    async fn gone_on(&self, rollout: &Rollout) -> Result<BTreeMap<String, String>, RolloutError> {
        let mut gone_on = BTreeMap::new();
        for item in self.items(rollout.id).await?.into_iter().filter(|item| item.stage == Stage::Failed) {
            let why = match item.is_unread {
                // How far it came is a matter of guessing, and whether it took part at all.
                true => item.reason.clone(),
                false => self.objection_to_another_try(&rollout.spec, &item).await?,
            };
            if let Some(why) = why {
                gone_on.insert(item.authorizer, why);
            }
        }
        Ok(gone_on)
    }

    /// Says of those why they are left out.
    async fn leave_out(&self, id: RolloutId, left_out: &BTreeMap<String, String>) -> Result<(), LogError> {
        let is_meant = |item: &Item| item.stage == Stage::Failed && !item.is_unread;
        let why = |item: &Item| left_out.get(&item.authorizer).filter(|_| is_meant(item)).cloned();
        let now = self.clock.now();
        let saves = self.seize(id, |item| why(item).is_some()).into_iter().map(async |mut held| {
            (held.item.reason, held.item.updated_at) = (why(&held.item), now);
            self.saved(held).await
        });
        join_all(saves).await.into_iter().collect::<Result<Vec<()>, _>>().map(drop)
    }

    /// Removes those that ended before that. How many.
    ///
    /// # Errors
    /// The store's.
    pub async fn expunge(&self, before: Timestamp) -> Result<u32, LogError> {
        let mut gone = 0;
        for kept in self.log.rollouts().await? {
            let rollout = &kept.record;
            let is_over = matches!(rollout.state, State::Done | State::Cancelled) && !rollout.rolling_back;
            if !(is_over || rollout.is_unread) || rollout.updated_at >= before {
                continue;
            }
            if !is_over && !self.is_past(rollout, before).await? {
                continue;
            }
            // Nobody takes it up again meanwhile.
            let _alone = self.changing.lock().await;
            if !locked(&self.floor).active.contains_key(&rollout.id) && self.log.remove(rollout.id, kept.version).await? {
                gone += 1;
            }
        }
        Ok(gone)
    }

    /// Whether all merchants of one that cannot be read ended before that.
    async fn is_past(&self, rollout: &Rollout, before: Timestamp) -> Result<bool, LogError> {
        let (items, is_whole) = self.items_of(rollout).await?;
        let is_over = |item: &Item| rollout.spec.until.is_over(item.stage) && !item.is_unread && item.updated_at < before;
        Ok(is_whole && items.iter().all(is_over))
    }

    /// What it released is taken back; it pauses, so that it releases no more meanwhile. How many.
    ///
    /// # Errors
    /// The store's.
    pub async fn roll_back(&self, id: RolloutId) -> Result<u32, RolloutError> {
        is_known(&self.find(id).await?.ok_or(RolloutError::Unknown)?)?;
        let visit = self.activate(id).await?;
        let halt = |rollout: &mut Rollout| {
            if rollout.state == State::Running {
                rollout.state = State::Paused;
                rollout.reason = Some(String::from("what it released is being rolled back"));
            }
        };
        self.set(id, halt).await?;
        // Nothing is taken back before the rollout says so: then every item that was released is durably among those wanted back.
        let mut count = self.want_back(id, |rollback| !matches!(rollback, Some(Rollback::Done | Rollback::Begun))).await?;
        let begin = |rollout: &mut Rollout| {
            // Somebody may have resumed it before it said so.
            halt(rollout);
            rollout.rolling_back = true;
        };
        self.set(id, begin).await?;
        // Those that came to their release meanwhile.
        count = count.saturating_add(self.want_back(id, |rollback| rollback.is_none()).await?);
        tracing::info!(rollout = %id, authorizers = count, "what a rollout released is taken back");
        drop(visit);
        self.review(id).await?;
        self.bell.notify_one();
        Ok(count)
    }

    /// Marks those that were released and are in that state of being taken back, and that nobody is at work on. How many.
    pub(super) async fn want_back(&self, id: RolloutId, which: impl Fn(Option<Rollback>) -> bool) -> Result<u32, LogError> {
        let now = self.clock.now();
        let held = self.seize(id, |item| item.stage == Stage::Released && which(item.rollback));
        let count = number(held.len());
        let saves = held.into_iter().map(async |mut held| {
            // One that failed without a last word is looked for before it is sent again.
            let in_doubt = held.item.rollback == Some(Rollback::Failed) && held.item.begun.is_some();
            held.item.rollback = Some(if in_doubt { Rollback::Begun } else { Rollback::Wanted });
            (held.item.reason, held.item.wake_at, held.item.updated_at) = (None, None, now);
            self.saved(held).await
        });
        join_all(saves).await.into_iter().collect::<Result<Vec<()>, _>>()?;
        Ok(count)
    }

    /// Takes up again those whose release was in doubt when they were cancelled: what came of it is looked for before the rollback ends.
    pub(super) async fn seek(&self, id: RolloutId) -> Result<(), LogError> {
        self.settled(self.seize(id, Item::is_lost_sight_of), &On::Sought.into()).await
    }

    /// Brings one that has ended back into memory, and keeps it there until the visit is over.
    async fn activate(&self, id: RolloutId) -> Result<Visit<'_>, RolloutError> {
        let _alone = self.changing.lock().await;
        loop {
            if let Some(active) = locked(&self.floor).active.get_mut(&id) {
                active.visits = active.visits.saturating_add(1);
                return Ok(Visit { floor: &self.floor, id });
            }
            self.take_in_hand(id).await?;
        }
    }

    /// Brings one into memory that is only on the disk, for who holds `changing`.
    async fn take_in_hand(&self, id: RolloutId) -> Result<(), RolloutError> {
        if !locked(&self.floor).active.contains_key(&id) {
            self.take_up(self.log.rollout(id).await?.ok_or(RolloutError::Unknown)?).await?;
        }
        Ok(())
    }

    /// Turns it, if that may be done to it: nothing happens between the look and the change, and the change is one.
    async fn turn(
        &self,
        id: RolloutId,
        may: impl FnOnce(&Rollout) -> Result<(), RolloutError>,
        change: impl FnOnce(&mut Rollout),
    ) -> Result<(), RolloutError> {
        let _alone = self.changing.lock().await;
        may(&self.find(id).await?.ok_or(RolloutError::Unknown)?)?;
        self.turned(id, change).await
    }

    /// Turns it, for who holds `changing` and has looked whether that may be done.
    async fn turned(&self, id: RolloutId, change: impl FnOnce(&mut Rollout)) -> Result<(), RolloutError> {
        // The store may have been in trouble when it was made.
        self.take_in_hand(id).await?;
        let mut to = "";
        self.change(id, |rollout| {
            change(rollout);
            if !rollout.is_unread {
                rollout.reason = None;
            }
            to = rollout.state.as_str();
        })
        .await?;
        tracing::info!(rollout = %id, to, "a rollout was steered");
        Ok(())
    }

    /// How many items are so, of a rollout that is in memory.
    fn count(&self, id: RolloutId, which: impl Fn(&Item) -> bool) -> u32 {
        let floor = locked(&self.floor);
        number(floor.active.get(&id).map_or(0, |active| active.items().filter(|item| which(item)).count()))
    }

    /// How many merchants are known of one in memory of which damage hides others; `None`: it is whole.
    fn known_part(&self, id: RolloutId) -> Option<u32> {
        let floor = locked(&self.floor);
        floor.active.get(&id).filter(|active| !active.is_whole).map(|active| number(active.entries.len()))
    }

    /// Changes what is kept of a rollout, durably.
    pub(super) async fn set(&self, id: RolloutId, change: impl FnOnce(&mut Rollout)) -> Result<(), LogError> {
        let _alone = self.changing.lock().await;
        self.change(id, change).await
    }

    /// The same for who holds `changing`.
    async fn change(&self, id: RolloutId, change: impl FnOnce(&mut Rollout)) -> Result<(), LogError> {
        let found = locked(&self.floor).active.get(&id).map(|active| (active.rollout.clone(), active.version));
        let Some((mut rollout, version)) = found else { return Ok(()) };
        change(&mut rollout);
        rollout.updated_at = self.clock.now();
        if !self.log.save_rollout(&rollout, version).await? {
            return Err(LogError::Damaged(String::from("a rollout was written by somebody else")));
        }
        if let Some(active) = locked(&self.floor).active.get_mut(&id) {
            active.rollout = rollout;
            active.version = version.saturating_add(1);
        }
        Ok(())
    }

    /// Takes those items in hand that nobody is at work on.
    fn seize(&self, id: RolloutId, which: impl Fn(&Item) -> bool) -> Vec<Held<'_>> {
        self.seize_or(id, which, |_| {})
    }

    /// The same, and does that to the others: in one moment, so that none is missed that is let go of just then.
    fn seize_or(&self, id: RolloutId, which: impl Fn(&Item) -> bool, mut busy: impl FnMut(&mut Entry)) -> Vec<Held<'_>> {
        let mut floor = locked(&self.floor);
        let Some(active) = floor.active.get_mut(&id) else { return Vec::new() };
        let (mut running, mut held) = (active.running, Vec::new());
        for entry in active.entries.values_mut().filter(|entry| which(&entry.item)) {
            if entry.is_busy {
                busy(entry);
                continue;
            }
            entry.is_busy = true;
            running = running.saturating_add(1);
            let (item, version) = (entry.item.clone(), entry.version);
            held.push(Held { floor: &self.floor, log: &*self.log, clock: &*self.clock, id, item, version });
        }
        active.running = running;
        held
    }

    async fn saved(&self, mut held: Held<'_>) -> Result<(), LogError> {
        let saved = held.save().await;
        self.let_go(held.id, &held.item.authorizer, None);
        saved
    }

    /// Tells items of something, durably where nobody is at work on them, else by mail. How many.
    async fn tell(&self, id: RolloutId, which: impl Fn(&Item) -> bool, happened: &Happened) -> Result<u32, LogError> {
        let mut mailed = 0;
        let held = self.seize_or(id, which, |entry| {
            entry.mail.push(happened.clone());
            mailed += 1;
        });
        let count = held.len().saturating_add(mailed);
        self.settled(held, happened).await?;
        Ok(number(count))
    }

    /// Cancels those items that nobody is at work on, durably.
    pub(super) async fn end(&self, id: RolloutId, which: impl Fn(&Item) -> bool) -> Result<(), LogError> {
        self.settled(self.seize(id, which), &On::Cancelled.into()).await
    }

    async fn settled(&self, held: Vec<Held<'_>>, happened: &Happened) -> Result<(), LogError> {
        let (now, waits) = (self.clock.now(), self.options.waits);
        let saves = held.into_iter().map(async |mut held| {
            if let Some((to, then)) = advance(held.item.stage, happened.on, held.item.stopped_at) {
                super::settle::settle(&mut held.item, happened, to, then, now, waits);
            }
            self.saved(held).await
        });
        join_all(saves).await.into_iter().collect::<Result<Vec<()>, _>>().map(drop)
    }
}
