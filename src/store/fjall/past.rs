//! Reading a whole keyspace past what damage made unreadable: for backups of a damaged log.
//!
//! Where the engine meets a damaged block it tells an error, drops the record that it had in hand, and cannot be trusted to go on. So the stretch is read
//! from its other end as well, and what is left between is looked into at places in its middle. Only what lies in damaged blocks, and a record or two
//! beside them, stays out. Events are numbered: of those, each is asked for by itself.

use std::io;
use std::ops::Bound;

use fjall::{Keyspace, Readable, Snapshot};

use super::is_damage;

/// A stretch is halved so often without anything being read in it, then it is given up.
const FRUITLESS: u8 = 6;
/// Stretches looked into at most: where more is damaged, the keyspace is hardly worth more.
const LOOKED_INTO: u32 = 20_000;
/// Numbers between two records that are asked for one by one.
const NUMBERS: u64 = 100_000;

/// Keys between two, and how often it was halved since something was read.
struct Stretch {
    from: Bound<Vec<u8>>,
    to: Bound<Vec<u8>>,
    fruitless: u8,
}

/// Hands out every record of a keyspace that can be read, each once; in the order of keys where nothing is damaged. How many stretches were left out.
///
/// # Errors
/// Those of `take`, and of reading where a second try may mend it.
pub fn each(snapshot: &Snapshot, keyspace: &Keyspace, mut take: impl FnMut(&[u8], &[u8]) -> io::Result<()>) -> io::Result<u64> {
    let mut stretches = vec![Stretch { from: Bound::Unbounded, to: Bound::Unbounded, fruitless: 0 }];
    let (mut left_out, mut looked_into) = (0, 0);
    // Stretches beside one another are left out as one.
    let mut is_beside = false;
    while let Some(Stretch { mut from, mut to, fruitless }) = stretches.pop() {
        looked_into += 1;
        let mut found = false;
        let mut is_whole = true;
        for guard in snapshot.range(keyspace, (from.clone(), to.clone())) {
            match readable(guard.into_inner())? {
                Some((key, value)) => {
                    take(&key, &value)?;
                    (from, found) = (Bound::Excluded(key.to_vec()), true);
                }
                None => {
                    is_whole = false;
                    break;
                }
            }
        }
        if is_whole {
            is_beside &= !found;
            continue;
        }
        for guard in snapshot.range(keyspace, (from.clone(), to.clone())).rev() {
            let Some((key, value)) = readable(guard.into_inner())? else { break };
            take(&key, &value)?;
            (to, found) = (Bound::Excluded(key.to_vec()), true);
        }
        is_beside &= !found;
        if let Some(numbers) = numbers_between(&from, &to) {
            for number in numbers {
                match readable(snapshot.get(keyspace, number.to_be_bytes()))? {
                    Some(Some(value)) => {
                        take(&number.to_be_bytes(), &value)?;
                        is_beside = false;
                    }
                    Some(None) => {}
                    None => {
                        left_out += u64::from(!is_beside);
                        is_beside = true;
                    }
                }
            }
            continue;
        }
        let fruitless = if found { 0 } else { fruitless + 1 };
        let middle = middle(&from, &to).filter(|_| fruitless <= FRUITLESS && looked_into < LOOKED_INTO);
        match middle {
            Some(middle) => {
                stretches.push(Stretch { from: Bound::Included(middle.clone()), to, fruitless });
                stretches.push(Stretch { from, to: Bound::Excluded(middle), fruitless });
            }
            None => {
                left_out += u64::from(!is_beside);
                is_beside = true;
            }
        }
    }
    Ok(left_out)
}

/// What was read; `None` where it is damaged.
fn readable<T>(read: fjall::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if is_damage(&error) => Ok(None),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Where both ends are numbers and few lie between them: those.
fn numbers_between(from: &Bound<Vec<u8>>, to: &Bound<Vec<u8>>) -> Option<std::ops::Range<u64>> {
    let number = |key: &[u8]| key.try_into().map(u64::from_be_bytes).ok();
    let from = match from {
        Bound::Included(key) => number(key)?,
        Bound::Excluded(key) => number(key)?.saturating_add(1),
        Bound::Unbounded => return None,
    };
    let Bound::Excluded(to) = to else { return None };
    let to = number(to)?;
    (to.saturating_sub(from) <= NUMBERS).then_some(from..to)
}

/// A key that lies in the middle between two ends, as if keys were fractions; `None` where there is none between.
fn middle(from: &Bound<Vec<u8>>, to: &Bound<Vec<u8>>) -> Option<Vec<u8>> {
    const LAST: [u8; 16] = [0xff; 16];
    let key = |bound: &'_ Bound<Vec<u8>>, open: &[u8]| match bound {
        Bound::Included(key) | Bound::Excluded(key) => key.clone(),
        Bound::Unbounded => open.to_vec(),
    };
    let (low, high) = (key(from, &[]), key(to, &LAST));
    let length = low.len().max(high.len()) + 1;
    let digit = |key: &[u8], at: usize| u16::from(key.get(at).copied().unwrap_or_default());
    let mut sum = vec![0_u16; length];
    let mut carry = 0;
    for (at, place) in sum.iter_mut().enumerate().rev() {
        let added = digit(&low, at) + digit(&high, at) + carry;
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
    (half > low && half < high).then_some(half)
}
