//! Refused pushes, sealed, bounded in number and time. Written by the committing thread like everything else, but nobody waits for it.

use std::collections::{HashMap, VecDeque};
use std::sync::PoisonError;

use bytes::Bytes;
use fjall::Readable;
use tokio::sync::oneshot;

use super::writer::{Job, Put};
use super::{FjallLog, Store, aside, damaged, malformed, record, survived};
use crate::clock::Timestamp;
use crate::inbox::log::Rejected;
use crate::inbox::{LogError, Page, Position, Rejections};
use crate::platform::RawPush;
use crate::store::at_rest::AtRestError;

/// `id` → what people see.
const SHOWN: u8 = b'm';
/// `id` → the push, sealed.
const RAW: u8 = b'b';
/// Kind of record under which a refused push is sealed.
const SEALED: &str = "rejected";
/// Refused pushes looked at for one page.
const LOOKED_AT: usize = 20_000;

fn key(kind: u8, id: &str) -> Vec<u8> {
    [&[kind], id.as_bytes()].concat()
}

/// One as people see it; `None`: it is damaged, which is named and keeps back none of the others.
fn shown(guard: fjall::Guard) -> Result<Option<Rejected>, LogError> {
    let (key, value) = guard.into_inner().map_err(damaged)?;
    let rejected = serde_json::from_slice(&value);
    if rejected.is_err() {
        let id = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
        tracing::error!(rejected.id = id, "damage: a refused push does not have its form and is passed over");
    }
    Ok(rejected.ok())
}

/// Whether that is the key of a sealed push.
pub fn is_sealed(key: &[u8]) -> bool {
    key.first() == Some(&RAW)
}

/// First key of the sealed pushes.
pub fn sealed_from() -> Vec<u8> {
    vec![RAW]
}

/// Behind the last key of the sealed pushes.
pub fn sealed_end() -> Vec<u8> {
    vec![RAW + 1]
}

/// One that gives way.
struct Gone {
    component: String,
    id: String,
    received_at: Timestamp,
}

/// Which are kept, by component and oldest first: so that what goes is found without looking for it. The room is shared, and whoever takes most of
/// it gives way: a flood at one component pushes nobody else's out.
#[derive(Default)]
pub struct Kept(HashMap<String, VecDeque<(String, Timestamp)>>);

impl Kept {
    /// Reads which are kept.
    pub fn open(store: &Store) -> fjall::Result<Self> {
        let mut kept = Self::default();
        for guard in store.rejected.prefix([SHOWN]) {
            let Some(value) = survived(guard.value(), "refused pushes")? else { break };
            if let Ok(rejected) = serde_json::from_slice::<Rejected>(&value) {
                kept.add(rejected);
            }
        }
        Ok(kept)
    }

    fn add(&mut self, rejected: Rejected) {
        self.0.entry(rejected.component).or_default().push_back((rejected.id, rejected.received_at));
    }

    /// Makes it be as before that one came, and before these went for it.
    fn take_back(&mut self, component: &str, gone: Vec<Gone>) {
        for Gone { component, id, received_at } in gone.into_iter().rev() {
            self.0.entry(component).or_default().push_front((id, received_at));
        }
        if let Some(kept) = self.0.get_mut(component) {
            kept.pop_back();
        }
    }

    fn remove(&mut self, id: &str) {
        self.0.values_mut().for_each(|kept| kept.retain(|(known, _)| known != id));
    }

    /// Takes out what is too many or too old, the oldest of a component first.
    fn surplus(&mut self, keep: usize, before: Timestamp) -> Vec<Gone> {
        let mut gone = Vec::new();
        for (component, kept) in &mut self.0 {
            while let Some((id, received_at)) = kept.pop_front_if(|(_, received_at)| *received_at < before) {
                gone.push(Gone { component: component.clone(), id, received_at });
            }
        }
        self.0.retain(|_, kept| !kept.is_empty());
        let mut over = self.0.values().map(VecDeque::len).sum::<usize>().saturating_sub(keep);
        while over > 0 {
            // Of several that have as many, the one whose oldest is older.
            let most =
                self.0.iter().max_by(|(_, one), (_, other)| one.len().cmp(&other.len()).then_with(|| other.front().cmp(&one.front())));
            let Some(most) = most.map(|(component, _)| component.clone()) else { break };
            let Some((id, received_at)) = self.0.get_mut(&most).and_then(VecDeque::pop_front) else { break };
            gone.push(Gone { component: most, id, received_at });
            over -= 1;
        }
        gone
    }
}

#[async_trait::async_trait]
impl Rejections for FjallLog {
    async fn keep(&self, rejected: Rejected, raw: Option<RawPush>) -> Result<(), LogError> {
        // Times and texts: writing them as JSON cannot fail.
        let shown = serde_json::to_vec(&rejected).unwrap_or_default();
        let mut puts: Vec<Put> = vec![(self.store.rejected.clone(), key(SHOWN, &rejected.id), Some(shown.into()))];
        if let Some(raw) = raw {
            let sealed = self
                .store
                .at_rest
                .seal(SEALED, rejected.id.as_bytes(), &record::write_push(&raw))
                .map_err(|error| LogError::Failed(format!("a refused push: {error}")))?;
            puts.push((self.store.rejected.clone(), key(RAW, &rejected.id), Some(Bytes::from(sealed))));
        }
        let bytes = puts.iter().filter_map(|(_, _, value)| value.as_ref()).map(Bytes::len).sum();
        let (answer, answered) = oneshot::channel();
        {
            // Until it is known whether the queue takes it: what is remembered and not written, or written and not remembered, would be removed by nobody.
            let mut kept = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
            let component = rejected.component.clone();
            kept.add(rejected);
            let gone = kept.surplus(self.store.options.rejected_keep, self.rejected_before());
            puts.extend(gone.iter().flat_map(|gone| self.removal(&gone.id)));
            if let Err(error) = self.committer.put(Job::Put(puts, answer)) {
                kept.take_back(&component, gone);
                return Err(error);
            }
        }
        self.committer.answer(answered).await?;
        self.tidy_rejected(bytes).await;
        Ok(())
    }

    async fn page(&self, component: Option<&str>, after: Option<&Position>, limit: usize) -> Result<Page<Rejected>, LogError> {
        let (component, below) = (component.map(str::to_owned), after.map(|position| position.0.clone()));
        aside(&self.store, move |store| store.rejected_page(component.as_deref(), below.as_deref(), limit.max(1))).await
    }

    async fn open(&self, id: &str) -> Result<Option<(Rejected, RawPush)>, LogError> {
        let read = |kind| self.store.rejected.get(key(kind, id)).map_err(damaged);
        let (Some(shown), Some(sealed)) = (read(SHOWN)?, read(RAW)?) else { return Ok(None) };
        let rejected = serde_json::from_slice(&shown).map_err(|_| malformed("a refused push"))?;
        let opened = self.store.at_rest.open(SEALED, id.as_bytes(), &sealed);
        let opened = opened.map_err(|error| LogError::Damaged(format!("a refused push: {error}")))?;
        Ok(Some((rejected, record::read_push(&opened).ok_or_else(|| malformed("a refused push"))?)))
    }

    async fn ids(&self, component: Option<&str>) -> Result<Vec<String>, LogError> {
        let component = component.map(str::to_owned);
        aside(&self.store, move |store| {
            let mut ids = Vec::new();
            for guard in store.db.snapshot().prefix(&store.rejected, [SHOWN]) {
                let Some(rejected) = shown(guard)? else { continue };
                if component.as_ref().is_none_or(|component| *component == rejected.component) {
                    ids.push(rejected.id);
                }
            }
            Ok(ids)
        })
        .await
    }

    async fn remove(&self, id: &str) -> Result<(), LogError> {
        let puts = self.removal(id).into();
        self.committer.ask(|answer| Job::Put(puts, answer)).await?;
        // Not before: whoever asked may go away while the queue is full, and it is still there then.
        self.rejected.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        Ok(())
    }
}

impl FjallLog {
    fn removal(&self, id: &str) -> [Put; 2] {
        [SHOWN, RAW].map(|kind| (self.store.rejected.clone(), key(kind, id), None))
    }

    fn rejected_before(&self) -> Timestamp {
        self.store.clock.believed().checked_sub(self.store.options.rejected_retention).unwrap_or(Timestamp::MIN)
    }

    /// Removes refused pushes that have been kept long enough.
    pub(super) async fn expunge_rejected(&self) -> Result<(), LogError> {
        let gone = {
            let mut kept = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
            kept.surplus(self.store.options.rejected_keep, self.rejected_before())
        };
        let puts: Vec<Put> = gone.iter().flat_map(|gone| self.removal(&gone.id)).collect();
        if puts.is_empty() {
            return Ok(());
        }
        self.committer.ask(|answer| Job::Put(puts, answer)).await
    }
}

impl Store {
    /// Seals a refused push under the present master key.
    pub fn reseal_rejected(&self, key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, AtRestError> {
        let id = key.get(1..).unwrap_or_default();
        self.at_rest.seal(SEALED, id, &self.at_rest.open(SEALED, id, sealed)?)
    }

    fn rejected_page(&self, component: Option<&str>, below: Option<&str>, limit: usize) -> Result<Page<Rejected>, LogError> {
        let (mut items, mut next): (Vec<Rejected>, _) = (Vec::new(), None);
        // A page goes on below its position, so it is that of the last one that was looked at.
        let mut last = None;
        let end = below.map_or_else(|| vec![SHOWN + 1], |id| key(SHOWN, id));
        for (looked_at, guard) in self.db.snapshot().range(&self.rejected, vec![SHOWN]..end).rev().enumerate() {
            let Some(rejected) = shown(guard)? else { continue };
            if looked_at >= LOOKED_AT.max(limit) && last.is_some() {
                next = last.map(Position);
                break;
            }
            last = Some(rejected.id.clone());
            if component.is_none_or(|component| component == rejected.component) {
                if items.len() >= limit {
                    next = items.last().map(|last: &Rejected| Position(last.id.clone()));
                    break;
                }
                items.push(rejected);
            }
        }
        Ok(Page { items, next })
    }
}
