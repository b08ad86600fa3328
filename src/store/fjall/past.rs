//! Reading a whole keyspace, or what of it begins alike, past what damage made unreadable: for backups of a damaged log, and for a start on one.
//!
//! Where the engine meets a damaged block it tells an error, drops the record that it had in hand, and cannot be trusted to go on. So the stretch is read
//! from its other end as well, and what is left between is looked into further and further away from either end until something can be read again.
//! Only what lies in damaged blocks, and a record or two beside them, stays out. Events are numbered: of those, each is asked for by itself.

use std::io;
use std::ops::{Bound, Range};

use fjall::{Keyspace, Readable, Snapshot};

use super::is_damage;

/// A stretch is halved so often without anything being read in it, then it is given up.
const FRUITLESS: u8 = 6;
/// Places looked at, at most: where more is damaged, the keyspace is hardly worth more.
const LOOKED_AT: u32 = 200_000;
/// Numbers between two records that are asked for one by one.
const NUMBERS: u64 = 100_000;
/// Numbers beside a record that are, where nothing can be read at that end of the keyspace.
const BESIDE: u64 = 10_000;

/// Above all keys.
const LAST: [u8; 16] = [0xff; 16];
/// How often all keys are halved to find where they end: to a difference in their twentieth byte.
pub const HALVED: u8 = 160;

/// Keys between two, and how often it was halved since something was read.
struct Stretch {
    from: Bound<Vec<u8>>,
    to: Bound<Vec<u8>>,
    fruitless: u8,
}

/// Where reading stands.
struct Reader<'a> {
    snapshot: &'a Snapshot,
    keyspace: &'a Keyspace,
    /// Places looked at.
    looked_at: u32,
    /// Stretches left out.
    left_out: u64,
    /// Whether the last thing that was come by was left out: what stands beside it is left out as one with it.
    is_beside: bool,
}

/// Hands out every record of a keyspace that can be read, each once; in the order of keys where nothing is damaged. How many stretches were left out.
///
/// # Errors
/// Those of `take`, and of reading where a second try may mend it.
pub fn each(snapshot: &Snapshot, keyspace: &Keyspace, take: impl FnMut(&[u8], &[u8]) -> io::Result<()>) -> io::Result<u64> {
    all_of(snapshot, keyspace, Stretch { from: Bound::Unbounded, to: Bound::Unbounded, fruitless: 0 }, take)
}

/// The same of the records whose keys begin with `prefix`.
///
/// # Errors
/// As [`each`].
pub fn under(snapshot: &Snapshot, keyspace: &Keyspace, prefix: &[u8], take: impl FnMut(&[u8], &[u8]) -> io::Result<()>) -> io::Result<u64> {
    // No key of ours holds that byte: it is in no UTF-8.
    let end = [prefix, &[u8::MAX]].concat();
    all_of(snapshot, keyspace, Stretch { from: Bound::Included(prefix.to_vec()), to: Bound::Excluded(end), fruitless: 0 }, take)
}

fn all_of(
    snapshot: &Snapshot,
    keyspace: &Keyspace,
    whole: Stretch,
    mut take: impl FnMut(&[u8], &[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let mut reader = Reader { snapshot, keyspace, looked_at: 0, left_out: 0, is_beside: false };
    let mut stretches = vec![whole];
    while let Some(Stretch { mut from, mut to, fruitless }) = stretches.pop() {
        if reader.read(&mut from, &mut to, &mut take)? {
            continue;
        }
        if let Some(numbers) = numbers_between(&from, &to) {
            reader.ask(numbers, &mut take)?;
            continue;
        }
        // What was halved in vain was looked into from its ends before.
        let way_past = if fruitless == 0 { reader.way_past(&from, &to)? } else { None };
        if let Some(at) = way_past {
            stretches.push(Stretch { from: Bound::Included(at.clone()), to, fruitless: 0 });
            stretches.push(Stretch { from, to: Bound::Excluded(at), fruitless: 0 });
        } else if let Some(numbers) = numbers_beside(&from, &to) {
            reader.ask(numbers, &mut take)?;
        } else if let Some(middle) = middle(&from, &to).filter(|_| fruitless < FRUITLESS && reader.looked_at < LOOKED_AT) {
            stretches.push(Stretch { from: Bound::Included(middle.clone()), to, fruitless: fruitless + 1 });
            stretches.push(Stretch { from, to: Bound::Excluded(middle), fruitless: fruitless + 1 });
        } else {
            reader.leave_out();
        }
    }
    Ok(reader.left_out)
}

impl Reader<'_> {
    /// Reads a stretch from both its ends as far as that goes, and moves the ends there. Whether it was read to its end.
    fn read(
        &mut self,
        from: &mut Bound<Vec<u8>>,
        to: &mut Bound<Vec<u8>>,
        take: &mut impl FnMut(&[u8], &[u8]) -> io::Result<()>,
    ) -> io::Result<bool> {
        self.looked_at += 1;
        let (mut is_whole, mut last) = (true, None);
        for guard in self.snapshot.range(self.keyspace, (from.clone(), to.clone())) {
            let Some((key, value)) = readable(guard.into_inner())? else {
                is_whole = false;
                break;
            };
            take(&key, &value)?;
            last = Some(key);
        }
        self.is_beside &= last.is_none();
        if is_whole {
            return Ok(true);
        }
        if let Some(last) = last {
            *from = Bound::Excluded(last.to_vec());
        }
        let mut first = None;
        for guard in self.snapshot.range(self.keyspace, (from.clone(), to.clone())).rev() {
            let Some((key, value)) = readable(guard.into_inner())? else { break };
            take(&key, &value)?;
            first = Some(key);
        }
        self.is_beside &= first.is_none();
        if let Some(first) = first {
            *to = Bound::Excluded(first.to_vec());
        }
        Ok(false)
    }

    /// Asks for each of these numbers.
    fn ask(&mut self, numbers: Range<u64>, take: &mut impl FnMut(&[u8], &[u8]) -> io::Result<()>) -> io::Result<()> {
        for number in numbers {
            match readable(self.snapshot.get(self.keyspace, number.to_be_bytes()))? {
                Some(Some(value)) => {
                    take(&number.to_be_bytes(), &value)?;
                    self.is_beside = false;
                }
                Some(None) => {}
                None => self.leave_out(),
            }
        }
        Ok(())
    }

    /// A key between two ends at which a record can be read: above it, or below it.
    fn way_past(&mut self, from: &Bound<Vec<u8>>, to: &Bound<Vec<u8>>) -> io::Result<Option<Vec<u8>>> {
        let end;
        let (low, high) = match (key_of(from), key_of(to)) {
            (None, None) => {
                end = self.end()?;
                (None, Some(end.as_slice()))
            }
            known => known,
        };
        let bits = 8 * low.map_or(0, <[u8]>::len).max(high.map_or(0, <[u8]>::len));
        for at in low.into_iter().flat_map(|low| (0..bits).map_while(|bit| moved(low, bits / 8, bit, true))) {
            if high.is_some_and(|high| *at >= *high) || self.looked_at >= LOOKED_AT {
                break;
            }
            self.looked_at += 1;
            match self.snapshot.range(self.keyspace, (Bound::Included(at.clone()), to.clone())).next() {
                None => break,
                Some(guard) => {
                    if readable(guard.into_inner())?.is_some() {
                        return Ok(Some(at));
                    }
                }
            }
        }
        for at in high.into_iter().flat_map(|high| (0..bits).map_while(|bit| moved(high, bits / 8, bit, false))) {
            if low.is_some_and(|low| *at <= *low) || self.looked_at >= LOOKED_AT {
                break;
            }
            self.looked_at += 1;
            match self.snapshot.range(self.keyspace, (from.clone(), Bound::Excluded(at.clone()))).next_back() {
                None => break,
                Some(guard) => {
                    if readable(guard.into_inner())?.is_some() {
                        return Ok(Some(at));
                    }
                }
            }
        }
        Ok(None)
    }

    /// A key above all of them, and not far above: behind the last block the engine finds nothing, and no damage either.
    fn end(&mut self) -> io::Result<Vec<u8>> {
        let (mut low, mut high) = (Bound::Unbounded, LAST.to_vec());
        for _ in 0..HALVED {
            let Some(at) = middle(&low, &Bound::Excluded(high.clone())) else { break };
            self.looked_at += 1;
            match self.snapshot.range(self.keyspace, (Bound::Included(at.clone()), Bound::Unbounded)).next() {
                Some(guard) => {
                    readable(guard.into_inner())?;
                    low = Bound::Included(at);
                }
                None => high = at,
            }
        }
        Ok(high)
    }

    fn leave_out(&mut self) {
        self.left_out += u64::from(!self.is_beside);
        self.is_beside = true;
    }
}

/// What was read; `None` where it is damaged.
fn readable<T>(read: fjall::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if is_damage(&error) => Ok(None),
        Err(error) => Err(io::Error::other(error)),
    }
}

fn key_of(bound: &Bound<Vec<u8>>) -> Option<&[u8]> {
    match bound {
        Bound::Included(key) | Bound::Excluded(key) => Some(key),
        Bound::Unbounded => None,
    }
}

fn number_of(bound: &Bound<Vec<u8>>) -> Option<u64> {
    key_of(bound)?.try_into().map(u64::from_be_bytes).ok()
}

/// The first number within a lower end.
fn first_of(from: &Bound<Vec<u8>>) -> Option<u64> {
    Some(number_of(from)?.saturating_add(u64::from(matches!(from, Bound::Excluded(_)))))
}

/// Where both ends are numbers and few lie between them: those.
fn numbers_between(from: &Bound<Vec<u8>>, to: &Bound<Vec<u8>>) -> Option<Range<u64>> {
    let (from, to) = (first_of(from)?, number_of(to)?);
    (to.saturating_sub(from) <= NUMBERS).then_some(from..to)
}

/// Where one end is a number and the other is open: some beside it.
fn numbers_beside(from: &Bound<Vec<u8>>, to: &Bound<Vec<u8>>) -> Option<Range<u64>> {
    match (from, to) {
        (Bound::Unbounded, to) => number_of(to).map(|to| to.saturating_sub(BESIDE)..to),
        (from, Bound::Unbounded) => first_of(from).map(|from| from..from.saturating_add(BESIDE)),
        _ => None,
    }
}

/// A key as a number of that many bytes, with 2 to the power of `bit` added or taken away; `None`: it does not fit.
pub fn moved(key: &[u8], bytes: usize, bit: usize, up: bool) -> Option<Vec<u8>> {
    let mut moved = key.to_vec();
    moved.resize(bytes, 0);
    let mut carry = 1_u8 << (bit % 8);
    for digit in moved.iter_mut().rev().skip(bit / 8) {
        let (sum, overflows) = if up { digit.overflowing_add(carry) } else { digit.overflowing_sub(carry) };
        *digit = sum;
        carry = 1;
        if !overflows {
            return Some(moved);
        }
    }
    None
}

/// A key that lies in the middle between two ends, as if keys were fractions; `None` where there is none between.
pub fn middle(from: &Bound<Vec<u8>>, to: &Bound<Vec<u8>>) -> Option<Vec<u8>> {
    let (low, high) = (key_of(from).unwrap_or_default(), key_of(to).unwrap_or(&LAST));
    let length = low.len().max(high.len()) + 1;
    let digit = |key: &[u8], at: usize| u16::from(key.get(at).copied().unwrap_or_default());
    let mut sum = vec![0_u16; length];
    let mut carry = 0;
    for (at, place) in sum.iter_mut().enumerate().rev() {
        let added = digit(low, at) + digit(high, at) + carry;
        (*place, carry) = (added & 0xff, added >> 8);
    }
    let mut rest = carry;
    let half: Vec<u8> = sum
        .into_iter()
        .map(|digit| {
            let value = (rest << 8) | digit;
            rest = value & 1;
            u8::try_from(value >> 1).unwrap_or(u8::MAX)
        })
        .collect();
    (*half > *low && *half < *high).then_some(half)
}
