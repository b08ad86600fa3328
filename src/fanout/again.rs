//! What is sent again because somebody asks for it: a delivery retried, stored events sent to a subscription. The one door to both, so that nothing
//! comes to wait for a subscription that is not there. And what is not sent any more.
//!
//! Called by `http` and [`super::replays`]. Whom a caller may send to is its own question, and so is for [`Fanout::send`] [what that one
//! wants](Fanout::wants): a run that is approved goes on though its playbook has changed.

use super::Fanout;
use super::delivery::{Delivery, DeliveryFilter, DeliveryId, Status};
use super::subscription::Origin;
use crate::event_type::EventType;
use crate::inbox::log::{Audience, LogError};
use crate::inbox::{Event, EventId};

/// Why a delivery is not tried again.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    /// Its subscription was deleted.
    #[error("the subscription `{0}` of this delivery is not there any more")]
    NoSubscription(String),
    /// Its subscription has come to want other events.
    #[error("the subscription `{subscription}` wants no `{}` of component `{component}`", .kind.as_str())]
    Unwanted {
        /// The subscription.
        subscription: String,
        /// The event's type.
        kind: EventType,
        /// The event's component.
        component: String,
    },
    /// Its event is no longer kept.
    #[error("the event of delivery `{0}` is no longer kept")]
    Gone(DeliveryId),
    /// The store does not answer.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Fanout {
    /// Makes a delivery of that event due now, whatever its status, with a fresh schedule.
    ///
    /// # Errors
    /// Its subscription or its event is gone, or the one does not want the other any more.
    pub async fn retry(&self, delivery: &Delivery, event: &Event) -> Result<Delivery, RetryError> {
        let roster = self.roster();
        // The vault's too, which is not shown: only whoever asks for it can bring a dead grant to it again.
        let entry = roster.entry(&delivery.subscription).ok_or_else(|| RetryError::NoSubscription(delivery.subscription.clone()))?;
        // A playbook begins no run that it does not want, and carries on one that it began, whatever it has come to ask for since: its sink knows which.
        let asks_itself = entry.subscription.origin == Origin::Playbook;
        if !asks_itself && !entry.subscription.wants(&event.component, event.kind) {
            let (subscription, component) = (delivery.subscription.clone(), event.component.clone());
            return Err(RetryError::Unwanted { subscription, kind: event.kind, component });
        }
        let retried = self.outbox.retry(delivery.id, self.clock.now()).await?.ok_or(RetryError::Gone(delivery.id))?;
        self.nudge(std::slice::from_ref(&retried.subscription));
        Ok(retried)
    }

    /// Whether that subscription wants that event. No key that may send again is a key to what a handler may hear of: only its subscription says that.
    #[must_use]
    pub fn wants(&self, subscription: &str, event: &Event) -> bool {
        self.subscription(subscription).is_some_and(|one| one.wants(&event.component, event.kind))
    }

    /// Sends stored events to a subscription, those that are still kept; a delivery of the same event that still waits is replaced. `replay` is the job
    /// that asks for it. `None`: there is no such subscription.
    ///
    /// # Errors
    /// The store's.
    pub async fn send(&self, events: &[EventId], subscription: &str, replay: Option<&str>) -> Result<Option<Vec<DeliveryId>>, LogError> {
        if self.subscription(subscription).is_none() {
            return Ok(None);
        }
        let enqueued = self.outbox.enqueue(events, subscription, replay, self.clock.now()).await?;
        self.nudge(&[subscription.to_owned()]);
        Ok(Some(enqueued))
    }

    /// Cancels what still waits of an event for a subscription.
    ///
    /// # Errors
    /// The store's.
    pub async fn withdraw(&self, event: EventId, subscription: &str) -> Result<(), LogError> {
        let filter = DeliveryFilter {
            status: Some(Status::Pending),
            subscription: Some(subscription.to_owned()),
            event: Some(event.to_string()),
            ..DeliveryFilter::default()
        };
        // One waits at most: whatever is enqueued takes the place of what waited.
        for delivery in self.outbox.deliveries(&filter, None, 1).await?.items {
            self.outbox.withdraw(&delivery).await?;
        }
        Ok(())
    }
}
