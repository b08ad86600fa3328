//! All subscriptions at one moment, with the answer to "who wants this event?" worked out beforehand: every push asks it.
//! A change makes a new roster; readers keep the one they hold.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::sync::Notify;

use super::subscription::{Origin, Subscription};
use crate::event_type::EventType;

/// The bell of one subscription's worker. It stays the same over changes of the subscription; a subscription that is deleted and made
/// again under the same name has another.
#[derive(Debug, Default)]
pub(super) struct Bell(pub Notify);

/// One subscription and its worker's bell.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub subscription: Arc<Subscription>,
    pub bell: Arc<Bell>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Roster {
    entries: BTreeMap<String, Entry>,
    /// Names by component and type.
    audience: HashMap<String, HashMap<EventType, Vec<String>>>,
}

impl Roster {
    pub fn new(subscriptions: impl IntoIterator<Item = Subscription>, components: &[String]) -> Self {
        let entry = |subscription| Entry { subscription: Arc::new(subscription), bell: Arc::default() };
        Self::of(subscriptions.into_iter().map(|one| (one.name.clone(), entry(one))).collect(), components)
    }

    fn of(entries: BTreeMap<String, Entry>, components: &[String]) -> Self {
        let mut roster = Self { entries, audience: HashMap::new() };
        for component in components {
            let by_type = EventType::ALL.iter().map(|kind| (*kind, roster.matching(component, *kind))).collect();
            roster.audience.insert(component.clone(), by_type);
        }
        roster
    }

    /// The same with one more or changed.
    pub fn with(&self, subscription: Subscription, components: &[String]) -> Self {
        let mut entries = self.entries.clone();
        let bell = entries.get(&subscription.name).map(|entry| Arc::clone(&entry.bell)).unwrap_or_default();
        entries.insert(subscription.name.clone(), Entry { subscription: Arc::new(subscription), bell });
        Self::of(entries, components)
    }

    /// The same without that one.
    pub fn without(&self, name: &str, components: &[String]) -> Self {
        let mut entries = self.entries.clone();
        entries.remove(name);
        Self::of(entries, components)
    }

    fn matching(&self, component: &str, kind: EventType) -> Vec<String> {
        self.entries
            .values()
            .filter(|entry| entry.subscription.wants(component, kind))
            .map(|entry| entry.subscription.name.clone())
            .collect()
    }

    /// Names of all that want it, ours too.
    pub fn subscribers(&self, component: &str, kind: EventType) -> Vec<String> {
        match self.audience.get(component).and_then(|by_type| by_type.get(&kind)) {
            Some(names) => names.clone(),
            None => self.matching(component, kind),
        }
    }

    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// One of file or API; ours are not shown.
    pub fn shown(&self, name: &str) -> Option<&Arc<Subscription>> {
        self.entry(name).map(|entry| &entry.subscription).filter(|one| one.origin != Origin::Internal)
    }
}
