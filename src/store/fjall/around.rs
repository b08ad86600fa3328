//! Coming by the records between two keys in their order, or against it, past what damage made unreadable: for what waits, and for lists.
//!
//! The engine tells an error where it meets a damaged block, drops what it had in hand, and cannot be trusted to go on. So the place behind the block is
//! looked for by halving, and reading begins anew there; what stands between the last record that was read and the block is read as well. What another table
//! has between the first and the last key of the block stays out with it. Events, which are numbered, have [`super::passing`]; whole keyspaces [`super::past`].

use std::ops::Bound;

use fjall::{Guard, Iter, Keyspace, Readable, Snapshot, UserKey, UserValue};

use super::past::{middle, moved};
use super::{is_damage, survived};

type Record = (UserKey, UserValue);

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Lowest key first.
    Forwards,
    /// Highest key first.
    Backwards,
}

/// Records of a keyspace from one key to another, both of them and all between of one length.
pub struct Around<'a> {
    snapshot: &'a Snapshot,
    keyspace: &'a Keyspace,
    order: Order,
    /// What is left: from that key to that one.
    left: (Vec<u8>, Vec<u8>),
    /// The engine's own iteration over it, until it tells an error.
    ahead: Option<Iter>,
    /// The last one that it handed out.
    reached: Option<UserKey>,
    /// Records on this side of damage, the next one last.
    beside: Vec<Record>,
}

/// What is come by.
pub enum Found {
    /// A record.
    Record(Record),
    /// Damage from one key to the other.
    Damage { from: Vec<u8>, to: Vec<u8>, error: fjall::Error },
}

impl<'a> Around<'a> {
    pub fn over(snapshot: &'a Snapshot, keyspace: &'a Keyspace, from: Vec<u8>, to: Vec<u8>, order: Order) -> Self {
        Self { snapshot, keyspace, order, left: (from, to), ahead: None, reached: None, beside: Vec::new() }
    }

    /// Every record that can be read. Damage is named in the log as `what` says of the keys that it lies between; an error is one that a second try may mend,
    /// and the last item.
    pub fn readable(self, what: impl Fn(&[u8], &[u8]) -> String) -> impl Iterator<Item = fjall::Result<Record>> {
        self.filter_map(move |found| match found {
            Ok(Found::Record(record)) => Some(Ok(record)),
            Ok(Found::Damage { from, to, error }) => survived(Err(error), what(&from, &to)).transpose(),
            Err(error) => Some(Err(error)),
        })
    }

    fn range(&self, from: &[u8], to: &[u8]) -> Option<Iter> {
        (from <= to).then(|| self.snapshot.range(self.keyspace, from..=to))
    }

    /// The next one of those, in our order.
    fn first(&self, ahead: &mut Iter) -> Option<Guard> {
        match self.order {
            Order::Forwards => ahead.next(),
            Order::Backwards => ahead.next_back(),
        }
    }

    /// Whether reading goes on at that key, on the far side of damage.
    fn goes_on(&self, at: &[u8]) -> fjall::Result<bool> {
        let rest = match self.order {
            Order::Forwards => self.range(at, &self.left.1),
            Order::Backwards => self.range(&self.left.0, at),
        };
        match rest.and_then(|mut rest| self.first(&mut rest)).map(Guard::into_inner) {
            None | Some(Ok(_)) => Ok(true),
            Some(Err(error)) if is_damage(&error) => Ok(false),
            Some(Err(error)) => Err(error),
        }
    }

    /// All between where we are and that key; `None` where some of it is damaged.
    fn until(&self, at: &[u8]) -> fjall::Result<Option<Vec<Record>>> {
        let near = match self.order {
            Order::Forwards => self.range(&self.left.0, at),
            Order::Backwards => self.range(at, &self.left.1),
        };
        let mut records = Vec::new();
        for guard in near.into_iter().flatten() {
            match guard.into_inner() {
                Ok(record) => records.push(record),
                Err(error) if is_damage(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        if self.order == Order::Forwards {
            records.reverse();
        }
        Ok(Some(records))
    }

    /// Finds the way past the damage ahead and goes there, with what can be read before it in hand. From which key to which one it goes.
    fn leap(&mut self) -> fjall::Result<(Vec<u8>, Vec<u8>)> {
        let is_forwards = self.order == Order::Forwards;
        let (near, end) = if is_forwards { (&self.left.0, &self.left.1) } else { (&self.left.1, &self.left.0) };
        let is_inside = |at: &Vec<u8>| self.left.0 <= *at && *at <= self.left.1;
        // From nearby to far away; the last place at which nothing could be read, and the first at which something could.
        let (mut damaged, mut far) = (near.clone(), None);
        for bit in 0..8 * near.len() {
            let Some(at) = stepped(near, bit, is_forwards).filter(is_inside) else { break };
            if self.goes_on(&at)? {
                far = Some(at);
                break;
            }
            damaged = at;
        }
        let far = match far {
            None if self.goes_on(end)? => Some(end.clone()),
            far => far,
        };
        let far = far.map(|far| halved(far, &damaged, |at| self.goes_on(at))).transpose()?;
        // The last key on this side of that place.
        let edge = far.as_ref().and_then(|far| stepped(far, 0, !is_forwards)).unwrap_or_else(|| end.clone());
        let before = if self.until(&edge)?.is_some() {
            Some(edge.clone())
        } else if self.until(near)?.is_some() {
            Some(halved(near.clone(), &edge, |at| Ok(self.until(at)?.is_some()))?)
        } else {
            None
        };
        let mut next = near.clone();
        if let Some(before) = before {
            self.beside = self.until(&before)?.unwrap_or_default();
            next = stepped(&before, 0, is_forwards).unwrap_or(before);
        }
        let (mut from, to) = if is_forwards { (next, edge) } else { (edge, next) };
        match far {
            Some(far) if is_forwards => self.left.0 = far,
            Some(far) => self.left.1 = far,
            None => self.end(),
        }
        // To end with the last record of a block the engine reads the next one too, but asked for by itself that one is there.
        let by_itself = if from <= to { self.snapshot.get(self.keyspace, &from) } else { Ok(None) };
        match by_itself {
            Ok(Some(value)) => {
                let behind = stepped(&from, 0, true).unwrap_or_else(|| from.clone());
                self.beside.insert(0, (std::mem::replace(&mut from, behind).into(), value));
            }
            Err(error) if !is_damage(&error) => return Err(error),
            Ok(None) | Err(_) => {}
        }
        Ok((from, to))
    }

    /// Nothing is left.
    fn end(&mut self) {
        self.left = (vec![1], Vec::new());
    }
}

/// That key as a number, and 2 to the power of `bit` more or less.
fn stepped(key: &[u8], bit: usize, up: bool) -> Option<Vec<u8>> {
    moved(key, key.len(), bit, up)
}

/// The last key for which that holds before one for which it does not.
fn halved(mut holds: Vec<u8>, not: &[u8], mut check: impl FnMut(&[u8]) -> fjall::Result<bool>) -> fjall::Result<Vec<u8>> {
    let mut not = not.to_vec();
    loop {
        let (low, high) = if holds < not { (&holds, &not) } else { (&not, &holds) };
        let Some(mut at) = middle(&Bound::Included(low.clone()), &Bound::Excluded(high.clone())) else { break };
        at.truncate(low.len());
        if at == *low {
            break;
        }
        if check(&at)? {
            holds = at;
        } else {
            not = at;
        }
    }
    Ok(holds)
}

impl Iterator for Around<'_> {
    type Item = fjall::Result<Found>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(record) = self.beside.pop() {
            return Some(Ok(Found::Record(record)));
        }
        let mut ahead = match self.ahead.take() {
            Some(ahead) => ahead,
            None => self.range(&self.left.0, &self.left.1)?,
        };
        let guard = self.first(&mut ahead)?;
        let error = match guard.into_inner() {
            Ok(record) => {
                self.reached = Some(record.0.clone());
                self.ahead = Some(ahead);
                return Some(Ok(Found::Record(record)));
            }
            Err(error) => error,
        };
        if let Some(reached) = self.reached.take() {
            let next = stepped(&reached, 0, self.order == Order::Forwards)?;
            match self.order {
                Order::Forwards => self.left.0 = next,
                Order::Backwards => self.left.1 = next,
            }
        }
        let found = if is_damage(&error) { self.leap().map(|(from, to)| Found::Damage { from, to, error }) } else { Err(error) };
        if found.is_err() {
            self.end();
        }
        Some(found)
    }
}
