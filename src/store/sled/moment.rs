//! The vault as it was at one moment, read at any speed while it goes on being written. Sled's own reading is of no one moment: of a commit that came
//! meanwhile it shows some records new and others old.
//!
//! The committing thread puts aside what a record was before it writes it, unless the reader is past it already; the reader takes that instead of what
//! it finds. So a reader who stands still costs the memory of the records that change behind its back, once each, and holds up nobody.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use sled::{IVec, Tree};

/// By key what a record was, `None` where there was none.
type Values = BTreeMap<Vec<u8>, Option<IVec>>;

/// What was put aside.
#[derive(Default)]
struct Former {
    /// The key that the reader took last: whatever stands before it is of no use any more.
    passed: Option<Vec<u8>>,
    values: Values,
    /// Why something could not be put aside: nobody can tell that moment any more.
    broken: Option<sled::Error>,
}

/// Everything as it was when [`Moment::of`] was called, for one reader.
pub(super) struct Moment {
    tree: Tree,
    former: Arc<Mutex<Former>>,
}

/// The committing thread's side of it.
pub(super) struct Watched(Weak<Mutex<Former>>);

impl Moment {
    /// This moment. To be called where nobody writes, by who will show every later write to [`Watched::changes`] before it is made.
    pub fn of(tree: &Tree) -> (Self, Watched) {
        let former = Arc::default();
        let watched = Watched(Arc::downgrade(&former));
        (Self { tree: tree.clone(), former }, watched)
    }

    /// Hands out every record in the order of the keys. Nothing is held locked while `take` is at work.
    ///
    /// # Errors
    /// Of reading, and those of `take`.
    pub fn each(self, mut take: impl FnMut(&[u8], &[u8]) -> std::io::Result<()>) -> std::io::Result<()> {
        for entry in self.tree.iter() {
            let (key, found) = entry.map_err(std::io::Error::other)?;
            let (before, former) = self.up_to(&key)?;
            for (key, value) in present(before) {
                take(&key, &value)?;
            }
            match former {
                Some(Some(former)) => take(&key, &former)?,
                // It came later.
                Some(None) => {}
                None => take(&key, &found)?,
            }
        }
        let rest = {
            let mut former = locked(&self.former);
            former.unbroken()?;
            std::mem::take(&mut former.values)
        };
        for (key, value) in present(rest) {
            take(&key, &value)?;
        }
        Ok(())
    }

    /// What was put aside before that key and not met in the tree, so what was removed; and what was put aside of the key itself. Asked after the tree was read: what was written since then is here,
    /// and what is not here was not written before the tree was read.
    fn up_to(&self, key: &[u8]) -> std::io::Result<(Values, Option<Option<IVec>>)> {
        let mut former = locked(&self.former);
        former.unbroken()?;
        let mut later = former.values.split_off(key);
        let here = later.remove(key);
        let before = std::mem::replace(&mut former.values, later);
        former.passed = Some(key.to_vec());
        Ok((before, here))
    }
}

impl Watched {
    /// These are about to be written: puts aside what they are. `false` when the reader is gone.
    pub fn changes<'a>(&self, tree: &Tree, keys: impl Iterator<Item = &'a [u8]>) -> bool {
        let Some(former) = self.0.upgrade() else { return false };
        let mut former = locked(&former);
        for key in keys {
            if former.passed.as_deref().is_some_and(|passed| key <= passed) || former.values.contains_key(key) {
                continue;
            }
            match tree.get(key) {
                Ok(value) => drop(former.values.insert(key.to_vec(), value)),
                // The write itself goes on: it is the backup that fails.
                Err(error) => former.broken = Some(error),
            }
        }
        true
    }
}

impl Former {
    fn unbroken(&self) -> std::io::Result<()> {
        self.broken.as_ref().map_or(Ok(()), |error| Err(std::io::Error::other(error.to_string())))
    }
}

fn present(values: Values) -> impl Iterator<Item = (Vec<u8>, IVec)> {
    values.into_iter().filter_map(|(key, value)| value.map(|value| (key, value)))
}

/// The lock: nothing is left half changed by whoever panicked.
fn locked(former: &Mutex<Former>) -> MutexGuard<'_, Former> {
    former.lock().unwrap_or_else(PoisonError::into_inner)
}
