//! What the file says and what was stored, brought together at start.

use std::collections::HashMap;
use std::fmt;

use super::OpenError;
use super::delivery::Outbox;
use super::subscription::{Origin, SigningKey, State, Subscription, SubscriptionBook};
use crate::clock::Timestamp;

/// A name of the configuration under which something else is stored. Events wait under a name, and settings are stored under it: whoever took it over
/// would be sent what was meant for another, which would count as delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedName {
    /// The name.
    pub name: String,
    /// Who claims it: [`Origin::File`] or [`Origin::Playbook`].
    pub by: Origin,
    /// Whose it is: another than `by`.
    pub of: Origin,
}

impl ClaimedName {
    /// What to do about one that [is refused](Self::is_refused).
    pub const HINT: &str = "give this one another name; or take it out of the configuration, start the service, delete the one made by API (DELETE /v1/subscriptions/NAME, which cancels what waits for it), and put this one back";

    /// Those among the stored ones whose names are claimed by what is none of their kind.
    #[must_use]
    pub fn among<'a>(stored: &[Subscription], claims: impl IntoIterator<Item = (&'a str, Origin)>) -> Vec<Self> {
        let of = |name: &str| stored.iter().find(|known| known.name == name).map(|known| known.origin);
        let claims = claims.into_iter().filter_map(|(name, by)| Some(Self { name: name.to_owned(), by, of: of(name)? }));
        claims.filter(|one| one.of != one.by && one.of != Origin::Internal).collect()
    }

    /// Whether nothing starts with it: the address and the secret of one made by API are stored nowhere else. A subscription of the file is taken out there,
    /// and a playbook made by API is kept elsewhere and stands back: of those only what waits ends.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.of == Origin::Api
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        if self.is_refused() {
            Self::HINT
        } else {
            "give this one another name where what waits is still to be worked off, or do that first"
        }
    }

    /// Where the configuration says it, as in `subscriptions.later`.
    #[must_use]
    pub fn place(&self) -> String {
        let table = if self.by == Origin::Playbook { "playbooks" } else { "subscriptions" };
        format!("{table}.{}", self.name)
    }
}

impl fmt::Display for ClaimedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.of {
            Origin::Playbook => "has the name of a playbook: the start cancels what waits for that one",
            Origin::File => "has the name that a subscription of the configuration had: the start cancels what waits for that one",
            Origin::Api | Origin::Internal => "has the name of a subscription that was made by API",
        })
    }
}

/// Our own subscribers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ours<'a> {
    /// Those that have a sink.
    pub standing: &'a [Subscription],
    /// Names of stored ones that have none, because what they do cannot be read.
    pub held: &'a [String],
}

/// The subscriptions that stand from now on, with book and outbox brought to where they are.
pub(super) async fn standing(
    book: &dyn SubscriptionBook,
    outbox: &dyn Outbox,
    stored: Vec<Subscription>,
    file: &[Subscription],
    ours: Ours<'_>,
    now: Timestamp,
) -> Result<Vec<Subscription>, OpenError> {
    let mut stored = without_deleted(book, outbox, stored).await?;
    let shown = ours.standing.iter().filter(|our| our.origin != Origin::Internal);
    let claimed = ClaimedName::among(&stored, file.iter().chain(shown).map(|one| (one.name.as_str(), one.origin)));
    let (refused, succeeded): (Vec<_>, Vec<_>) = claimed.into_iter().partition(ClaimedName::is_refused);
    if !refused.is_empty() {
        return Err(OpenError::Claimed(refused));
    }
    let made: HashMap<String, Timestamp> = stored.iter().map(|one| (one.name.clone(), one.created_at)).collect();
    let forget = async |name: &str| -> Result<u64, OpenError> {
        // Never before it was made, though the clock was set back: the next start would take it for one that was made since.
        outbox.retire(name, made.get(name).map_or(now, |made| now.max(*made))).await?;
        book.remove(name).await?;
        Ok(cancel(outbox, name).await)
    };
    for one in &succeeded {
        let cancelled = forget(&one.name).await?;
        stored.retain(|known| known.name != one.name);
        tracing::warn!(
            subscription = one.name,
            cancelled,
            "a playbook became a subscription of that name, or the other way round: what waited for the former one is cancelled, and never handed to this one"
        );
    }
    let merged = merge(file, ours, stored, now);
    for name in &merged.gone {
        let cancelled = forget(name).await?;
        if cancelled == 0 {
            tracing::warn!(subscription = name, cancelled, "subscription is no longer in the file: forgotten");
            continue;
        }
        tracing::warn!(
            subscription = name,
            cancelled,
            "subscription is no longer in the file: forgotten, what waited for it is cancelled; if it has another name now, or comes back, that one \
             is sent it with: yizhan events replay --status cancelled --subscription NAME (--dry-run only counts)"
        );
    }
    for name in &merged.outdated {
        tracing::warn!(
            subscription = name,
            "its secret was rotated and the one in the file signs nothing any more: write the newest there, so that whoever sets up a handler from the \
             file checks signatures with the right one"
        );
    }
    for one in &merged.standing {
        outbox.reinstate(&one.name).await?;
    }
    for one in &merged.to_store {
        book.put(one).await?;
    }
    for known in outbox.names().await? {
        if known.pending > 0 && merged.standing.iter().all(|one| one.name != known.subscription) {
            tracing::warn!(
                subscription = known.subscription,
                deliveries = known.pending,
                "deliveries wait for a subscription that is not there: make it again to have them delivered, or delete it by its name to cancel them"
            );
        }
    }
    Ok(merged.standing)
}

/// What is stored once every deletion that a crash interrupted is complete. One that was made after its name had been retired stands: the log was
/// put back to an earlier state.
async fn without_deleted(
    book: &dyn SubscriptionBook,
    outbox: &dyn Outbox,
    mut stored: Vec<Subscription>,
) -> Result<Vec<Subscription>, OpenError> {
    for known in outbox.names().await? {
        let (name, Some(retired_at)) = (known.subscription, known.retired_at) else { continue };
        let cancelled = if known.pending > 0 { cancel(outbox, &name).await } else { 0 };
        let is_deleted = |one: &Subscription| one.name == name && one.created_at <= retired_at;
        if stored.iter().any(is_deleted) {
            book.remove(&name).await?;
            stored.retain(|one| !is_deleted(one));
            tracing::info!(subscription = name, cancelled, "the deletion of a subscription was interrupted, and is complete now");
        }
    }
    Ok(stored)
}

/// Subscriptions to start with, and what must happen in the book for that.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Merged {
    /// Those that stand.
    pub standing: Vec<Subscription>,
    /// New to the book, or changed there.
    pub to_store: Vec<Subscription>,
    /// Names that the file no longer has: to be forgotten, and what waits for them cancelled.
    pub gone: Vec<String>,
    /// Of the file's, those whose secret there signs nothing any more: it was rotated.
    pub outdated: Vec<String>,
}

/// Cancels what waits under a retired name. Damage there is no reason not to start: nobody is sent it, and the next start tries again.
async fn cancel(outbox: &dyn Outbox, name: &str) -> u64 {
    outbox.cancel_all(name).await.unwrap_or_else(|error| {
        tracing::error!(subscription = name, %error, "what waits for a deleted subscription cannot be cancelled, and keeps its events");
        0
    })
}

/// The file's settings hold; state, age and rotated keys come from the book. What was made by API stands as it was stored. `ours` stand as they are given; of
/// those that are shown, state and age come from the book too; of those that are held everything does, but none of them is active. None of `stored` is of another kind than who bears its name now ([`ClaimedName`]).
pub(super) fn merge(file: &[Subscription], ours: Ours<'_>, stored: Vec<Subscription>, now: Timestamp) -> Merged {
    let mut merged = Merged::default();
    for of_file in file {
        let known = stored.iter().find(|known| known.name == of_file.name);
        let one = Subscription {
            origin: Origin::File,
            state: known.map(|known| known.state).unwrap_or_default(),
            created_at: known.map_or(now, |known| known.created_at),
            keys: keys(&of_file.keys, known.map(|known| known.keys.as_slice())),
            ..of_file.clone()
        };
        if !one.signing(now).any(|secret| of_file.keys.iter().any(|key| key.secret == *secret)) {
            merged.outdated.push(one.name.clone());
        }
        if known != Some(&one) {
            merged.to_store.push(one.clone());
        }
        merged.standing.push(one);
    }
    let Ours { standing: ours, held } = ours;
    for our in ours {
        let known = stored.iter().find(|known| known.name == our.name && our.origin != Origin::Internal);
        let one = remembering(our.clone(), known);
        if our.origin != Origin::Internal && known != Some(&one) {
            merged.to_store.push(one.clone());
        }
        merged.standing.push(one);
    }
    for known in stored {
        if file.iter().chain(ours).any(|taken| taken.name == known.name) {
            continue;
        }
        match known.origin {
            Origin::Api => merged.standing.push(known),
            Origin::Playbook if held.contains(&known.name) => merged.standing.push(holding(known)),
            Origin::File | Origin::Playbook => merged.gone.push(known.name),
            Origin::Internal => {}
        }
    }
    merged
}

/// One that nobody carries: it holds what comes, and says so. What is stored of its state stays as it is.
fn holding(known: Subscription) -> Subscription {
    let state = if known.state == State::Active { State::Disabled } else { known.state };
    Subscription { state, ..known }
}

/// One of ours with the state and the age that were stored.
pub(super) fn remembering(our: Subscription, known: Option<&Subscription>) -> Subscription {
    match known {
        Some(known) => Subscription { state: known.state, created_at: known.created_at, ..our },
        None => our,
    }
}

/// A rotation holds as long as the file names a secret that took part in it; another secret in the file means that somebody changed
/// it there, and then it alone signs.
fn keys(file: &[SigningKey], stored: Option<&[SigningKey]>) -> Vec<SigningKey> {
    match stored {
        Some(stored) if file.iter().all(|key| stored.iter().any(|known| known.secret == key.secret)) => stored.to_vec(),
        _ => file.to_vec(),
    }
}
