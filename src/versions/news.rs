//! What was heard of a version, and what follows from it. Pure: same versions, same news, same answer.
//!
//! News may be late, come twice, or name the version incompletely: a package by its id only, an audit by nothing at all. What is older than
//! what we know, and what is about another version than the one that stands there, changes nothing.

use jiff::SignedDuration;

use super::{VersionNote, Versions};
use crate::clock::Timestamp;

/// So much may a vendor's clock be behind ours before its news counts as late.
const SKEW: SignedDuration = SignedDuration::from_mins(10);

/// Where a vendor's list says that a version stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Uploaded, not submitted.
    Uploaded,
    /// Submitted.
    InAudit,
    /// Passed, not released.
    Approved,
    /// Users get it.
    Released,
    /// Rejected, offline, or what we do not know.
    Elsewhere,
}

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// A package was uploaded.
    Uploaded(VersionNote),
    /// A package could not be built, or was deleted.
    Discarded(VersionNote),
    /// A version was submitted for audit.
    Submitted(VersionNote),
    /// It was taken back before its release.
    Withdrawn(VersionNote),
    /// It passed.
    Passed(VersionNote),
    /// It failed.
    Failed(VersionNote),
    /// It was released.
    Released(VersionNote),
    /// The released version was taken back; to which one, where that was told.
    RolledBack(Timestamp, Option<VersionNote>),
    /// The released version was taken offline.
    Offline(VersionNote),
    /// The vendor showed one version.
    Seen(Standing, VersionNote),
    /// The vendor listed all that there are.
    Listed(Vec<(Standing, VersionNote)>),
}

impl VersionNote {
    fn is_named(&self) -> bool {
        self.version.is_some() || self.package_id.is_some()
    }

    /// Whether both name the same version for certain.
    fn names(&self, other: &Self) -> bool {
        match (&self.package_id, &other.package_id) {
            (Some(one), Some(two)) => one == two,
            _ => self.version.is_some() && self.version == other.version,
        }
    }

    /// Whether both may be the same version: nothing that both tell differs.
    fn may_be(&self, other: &Self) -> bool {
        let differ = |one: &Option<String>, two: &Option<String>| one.is_some() && two.is_some() && one != two;
        match (&self.package_id, &other.package_id) {
            (Some(one), Some(two)) => one == two,
            _ => !differ(&self.version, &other.version),
        }
    }

    /// The same, with what it lacks taken from another note of the same version.
    fn completed(mut self, from: &Self) -> Self {
        self.version = self.version.or_else(|| from.version.clone());
        self.package_id = self.package_id.or_else(|| from.package_id.clone());
        self.audit_id = self.audit_id.or_else(|| from.audit_id.clone());
        self
    }

    /// Whether news of that time is too old to say anything about it.
    fn outdates(&self, at: Timestamp) -> bool {
        at.checked_add(SKEW).is_ok_and(|at| at < self.at)
    }
}

type Slot = Option<VersionNote>;

/// Empties the slot when the note is about what stands there.
fn take(slot: &mut Slot, note: &VersionNote) -> Slot {
    slot.take_if(|held| held.may_be(note) && !held.outdates(note.at))
}

fn outdated(slot: &Slot, at: Timestamp) -> bool {
    slot.as_ref().is_some_and(|held| held.outdates(at))
}

impl Versions {
    /// The versions after that.
    #[must_use]
    pub fn learn(mut self, news: &News) -> Self {
        match news {
            News::Uploaded(note) if !outdated(&self.uploaded, note.at) => self.uploaded = Some(note.clone()),
            News::Uploaded(_) => {}
            News::Discarded(note) => drop(take(&mut self.uploaded, note)),
            News::Submitted(note) => self.submitted(note),
            News::Withdrawn(note) => {
                take(&mut self.in_audit, note);
                take(&mut self.approved, note);
            }
            News::Passed(note) => self.passed(note),
            News::Failed(note) => drop(take(&mut self.in_audit, note)),
            News::Released(note) => self.release(note),
            News::RolledBack(at, to) => self.rolled_back(*at, to.as_ref()),
            News::Offline(note) => drop(take(&mut self.released, note)),
            News::Seen(standing, note) => self.seen(*standing, note),
            News::Listed(all) => self.listed(all),
        }
        self
    }

    /// The versions after an event that was received at that time, by the clock by which our own operations are noted.
    #[must_use]
    pub fn hear(self, news: &News, received_at: Timestamp) -> Self {
        let was_submitted_later = self.in_audit.as_ref().is_some_and(|held| held.at > received_at);
        match news {
            // Which version it is about, it does not say: an earlier one, when this one was submitted only after it had been received.
            News::Passed(note) | News::Failed(note) if was_submitted_later && !note.is_named() => self,
            news => self.learn(news),
        }
    }

    fn slots(&self) -> impl Iterator<Item = &VersionNote> {
        [&self.in_audit, &self.approved, &self.uploaded, &self.released, &self.previous].into_iter().flatten()
    }

    /// The note with what we know of that version already.
    fn known(&self, note: &VersionNote) -> VersionNote {
        let same = self.slots().filter(|held| held.names(note));
        same.fold(note.clone(), VersionNote::completed)
    }

    fn submitted(&mut self, note: &VersionNote) {
        if outdated(&self.in_audit, note.at) {
            return;
        }
        let note = match (&self.uploaded, note.is_named()) {
            (Some(uploaded), false) => note.clone().completed(uploaded),
            // The id of an earlier audit of the same version is not this one's.
            _ => VersionNote { audit_id: note.audit_id.clone(), ..self.known(note) },
        };
        self.in_audit = Some(note);
    }

    fn passed(&mut self, note: &VersionNote) {
        if self.released.as_ref().is_some_and(|released| released.names(note) && released.at >= note.at) {
            return;
        }
        if self.in_audit.as_ref().is_some_and(|held| held.may_be(note) && held.outdates(note.at)) {
            return;
        }
        match take(&mut self.in_audit, note) {
            Some(held) => self.approved = Some(note.clone().completed(&held)),
            None if note.is_named() && !outdated(&self.approved, note.at) => self.approved = Some(self.known(note)),
            None => {}
        }
    }

    fn release(&mut self, note: &VersionNote) {
        if outdated(&self.released, note.at) {
            return;
        }
        let note = match self.approved.as_ref().or(self.in_audit.as_ref()) {
            Some(waiting) if !note.is_named() => note.clone().completed(waiting),
            _ => self.known(note),
        };
        for slot in [&mut self.approved, &mut self.in_audit] {
            slot.take_if(|held| held.names(&note));
        }
        match self.released.take() {
            Some(before) if before.names(&note) => self.released = Some(VersionNote { at: before.at, ..note }),
            before => {
                self.previous = before.or(self.previous.take());
                self.released = Some(note);
            }
        }
    }

    fn rolled_back(&mut self, at: Timestamp, to: Option<&VersionNote>) {
        if outdated(&self.released, at) {
            return;
        }
        let to = to.map(|to| self.known(to)).or_else(|| self.previous.take().map(|previous| VersionNote { at, ..previous }));
        self.previous = None;
        self.released = to;
    }

    /// The vendor's own word about one version, now.
    fn seen(&mut self, standing: Standing, note: &VersionNote) {
        let note = self.known(note);
        for (slot, its) in
            [(&mut self.released, Standing::Released), (&mut self.approved, Standing::Approved), (&mut self.in_audit, Standing::InAudit)]
        {
            match slot {
                Some(held) if held.names(&note) && its == standing => *held = VersionNote { at: held.at, ..note.clone() },
                Some(held) if held.names(&note) => *slot = None,
                _ if its == standing => *slot = Some(note.clone()),
                _ => {}
            }
        }
        if standing == Standing::Uploaded && self.uploaded.is_none() {
            self.uploaded = Some(note);
        }
    }

    fn listed(&mut self, all: &[(Standing, VersionNote)]) {
        // A list of nothing is rather one that could not be read.
        if all.is_empty() {
            return;
        }
        let newest = |standing| newest(all.iter().filter(|(its, _)| *its == standing).map(|(_, note)| note));
        let was = self.clone();
        for (slot, standing) in
            [(&mut self.released, Standing::Released), (&mut self.approved, Standing::Approved), (&mut self.in_audit, Standing::InAudit)]
        {
            let held = slot.take();
            *slot = newest(standing).map(|note| match held {
                Some(held) if held.names(note) => VersionNote { at: held.at, ..note.clone().completed(&held) },
                _ => was.known(note),
            });
        }
        if self.uploaded.is_none() {
            self.uploaded = newest(Standing::Uploaded).cloned();
        }
    }
}

/// The one with the highest package id; of packages without ids the first: vendors list the newest first.
fn newest<'n>(notes: impl Iterator<Item = &'n VersionNote>) -> Option<&'n VersionNote> {
    let number = |note: &VersionNote| note.package_id.as_ref().and_then(|id| id.parse::<u64>().ok());
    notes.reduce(|best, note| if number(note) > number(best) { note } else { best })
}
