//! Rollouts and merchants of them whose records cannot be read: damaged, or sealed under a master key that is gone. What is done about them is nothing, by
//! itself: nobody knows how far they came. They are shown as what they are, and keep nobody else from anything.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::record::{Choice, Item, Rollout, RolloutId, Spec, State};
use super::shelf::{Items, Kept};
use super::stage::{Goal, Stage};
use crate::clock::Timestamp;

/// Why a merchant failed whose record cannot be read.
const UNREAD: &str = "its record cannot be read: how far it came is not known; look at the platform";

/// What is said of a rollout some of whose merchants nobody can name.
pub(super) const NOT_WHOLE: &str =
    "the records of some of its merchants cannot be read, and nobody can tell whose they are; `resume` goes on with the others";

impl Rollout {
    /// One of which only the id is known, and why that is all.
    #[must_use]
    pub fn unread(id: RolloutId, why: &str) -> Self {
        let spec = Spec {
            component: String::new(),
            authorizers: Choice::These(Vec::new()),
            template_id: Value::Null,
            version: String::new(),
            description: String::new(),
            variables: Map::new(),
            // Whoever came less far may be on the way.
            until: Goal::Released,
            concurrency: 1,
            rate: None,
            canary: 0,
            batch: 0,
            stop_above_failed_percent: None,
            window: None,
        };
        Self {
            id,
            spec,
            state: State::Stopped,
            reason: Some(format!("its record cannot be read ({why}): it rests, and can only be cancelled")),
            rolling_back: false,
            forgiven: 0,
            goes_on_with: None,
            request: None,
            is_unread: true,
            created_at: id.made_at(),
            updated_at: id.made_at(),
        }
    }
}

impl Item {
    /// One of which only the app id is known. Whatever happened to it was since `made_at`.
    #[must_use]
    pub fn unread(authorizer: String, made_at: Timestamp) -> Self {
        let reason = Some(String::from(UNREAD));
        Self { stage: Stage::Failed, reason, is_unread: true, ..Self::queued(authorizer, 0, made_at) }
    }
}

/// The merchants of a rollout, with those whose records are nowhere although it names them; and whether these are all.
pub(super) fn complete(rollout: &Rollout, found: Items) -> (Vec<Kept<Item>>, bool) {
    let Items { mut items, mut is_whole } = found;
    if let Choice::These(named) = &rollout.spec.authorizers
        && !is_whole
        && !rollout.is_unread
    {
        let known: BTreeSet<_> = items.iter().map(|kept| kept.record.authorizer.clone()).collect();
        let lost: BTreeSet<_> = named.iter().filter(|authorizer| !known.contains(*authorizer)).cloned().collect();
        items.extend(lost.into_iter().map(|authorizer| Kept { version: 0, record: Item::unread(authorizer, rollout.created_at) }));
        is_whole = true;
    }
    // Places have no gaps: theirs are those that nobody else has.
    let taken: BTreeSet<_> = items.iter().filter(|kept| !kept.record.is_unread).map(|kept| kept.record.place).collect();
    let unread = items.iter_mut().filter(|kept| kept.record.is_unread);
    for (kept, place) in unread.zip((0..u32::MAX).filter(|place| !taken.contains(place))) {
        kept.record.place = place;
    }
    (items, is_whole)
}
