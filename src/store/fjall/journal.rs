//! Looks at fjall's journals without the engine. The engine cuts a journal at the first thing that it cannot read and says nothing, so damage
//! in the middle would drop every batch behind it without a word; and it refuses to open when the last batch, which a power cut left half
//! written and which nobody was promised, has a checksum that does not hold.
//!
//! Called before the log is opened, and by `check --store`. Cuts nothing but such a last batch, and keeps what it cuts.
//!
//! Form of a journal (fjall 3): batches `1 ‖ number of items 4 ‖ sequence 8`, the items, `3 ‖ XXH3 of the items 8 ‖ "FJL" 3`; an item is
//! `2 ‖ kind 1 ‖ compression 1 ‖ keyspace 8 ‖ key length 2 ‖ length 4 ‖ length as stored 4 ‖ key ‖ value` or `4 ‖ keyspace 8`. Numbers are
//! little-endian. A journal is made with 64 MiB of zeros, which batches replace from the front.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

/// Ends every batch.
const MAGIC: &[u8; 4] = b"FJL\x03";
/// Bytes from the tag of a batch's end to the magic.
const BEFORE_MAGIC: usize = 9;
/// What is compared with zeros at a time.
const ZEROS: [u8; 4096] = [0; 4096];

/// What a journal's end looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nothing but whole batches.
    Whole,
    /// The last batch was being written when the process or the machine stopped: nobody was promised it.
    Torn {
        /// Where it begins.
        at: u64,
        /// It looks complete, but its checksum does not hold: the engine refuses to open.
        refused: bool,
    },
    /// Something cannot be read although whole batches stand behind it.
    Damaged {
        /// Where it begins.
        at: u64,
        /// Whole batches behind it.
        behind: u64,
    },
}

/// One journal.
#[derive(Debug)]
pub struct Journal {
    /// Its file.
    pub path: PathBuf,
    /// Whole batches from its beginning.
    pub batches: u64,
    /// How it ends.
    pub end: End,
}

/// Reads every journal in the log's folder, oldest first. A log of another engine version has none that this could read.
pub fn scan(folder: &Path) -> io::Result<Vec<Journal>> {
    if fs::read(folder.join("version")).is_ok_and(|version| version != MAGIC) || !folder.exists() {
        return Ok(Vec::new());
    }
    let mut numbered = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".jnl")?.parse::<u64>().ok());
        numbered.extend(number.map(|number| (number, path)));
    }
    numbered.sort_unstable();
    numbered.into_iter().map(|(_, path)| look_through(path)).collect()
}

/// Cuts a last batch that the engine would refuse to open for, and keeps its bytes in a file beside the journal. Returns how many bytes.
pub fn cut(journal: &Journal, at: u64) -> io::Result<usize> {
    let bytes = fs::read(&journal.path)?;
    let torn = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
    let length = torn.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let kept = journal.path.with_extension("torn");
    fs::write(&kept, torn.get(..length).unwrap_or_default())?;
    File::open(&kept)?.sync_all()?;
    let file = File::options().write(true).open(&journal.path)?;
    file.set_len(at)?;
    file.sync_all()?;
    Ok(length)
}

fn look_through(path: PathBuf) -> io::Result<Journal> {
    let bytes = fs::read(&path)?;
    let (mut rest, mut batches, mut refused) = (bytes.as_slice(), 0, false);
    loop {
        match batch(rest) {
            Batch::Whole(behind) => {
                rest = behind;
                batches += 1;
            }
            Batch::Mismatch => {
                refused = true;
                break;
            }
            Batch::Broken => break,
        }
    }
    let at = u64::try_from(bytes.len() - rest.len()).unwrap_or(u64::MAX);
    let end = if rest.chunks(ZEROS.len()).all(|chunk| ZEROS.get(..chunk.len()) == Some(chunk)) {
        End::Whole
    } else {
        match batches_in(rest) {
            0 => End::Torn { at, refused },
            behind => End::Damaged { at, behind },
        }
    };
    Ok(Journal { path, batches, end })
}

/// Whole batches anywhere behind an end of a batch.
fn batches_in(mut bytes: &[u8]) -> u64 {
    let mut found = 0;
    while let Some(at) = bytes.windows(MAGIC.len()).position(|window| window == MAGIC) {
        let is_end = at.checked_sub(BEFORE_MAGIC).and_then(|tag| bytes.get(tag)) == Some(&3);
        bytes = bytes.get(at + MAGIC.len()..).unwrap_or_default();
        while is_end && let Batch::Whole(behind) = batch(bytes) {
            found += 1;
            bytes = behind;
        }
    }
    found
}

/// What stands at the beginning of some bytes.
enum Batch<'a> {
    /// A whole batch; with what is behind it.
    Whole(&'a [u8]),
    /// A batch whose checksum does not hold.
    Mismatch,
    /// No batch, or a part of one.
    Broken,
}

fn batch(bytes: &[u8]) -> Batch<'_> {
    let parsed = || {
        let mut rest = bytes;
        if take(&mut rest, 1)? != [1] {
            return None;
        }
        let items = number(&mut rest, 4)?;
        take(&mut rest, 8)?;
        let mut checksum = Xxh3::new();
        for _ in 0..items {
            let item = rest;
            match take(&mut rest, 1)? {
                [2] => {
                    take(&mut rest, 10)?;
                    let key = number(&mut rest, 2)?;
                    take(&mut rest, 4)?;
                    let value = number(&mut rest, 4)?;
                    take(&mut rest, key)?;
                    take(&mut rest, value)?;
                }
                [4] => drop(take(&mut rest, 8)?),
                _ => return None,
            }
            checksum.update(item.get(..item.len() - rest.len())?);
        }
        if take(&mut rest, 1)? != [3] {
            return None;
        }
        let expected = take(&mut rest, 8)?;
        if take(&mut rest, MAGIC.len())? != MAGIC {
            return None;
        }
        Some((expected == checksum.digest().to_le_bytes(), rest))
    };
    match parsed() {
        Some((true, rest)) => Batch::Whole(rest),
        Some((false, _)) => Batch::Mismatch,
        None => Batch::Broken,
    }
}

fn take<'a>(from: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(taken)
}

fn number(from: &mut &[u8], length: usize) -> Option<usize> {
    let bytes = take(from, length)?;
    bytes.iter().rev().try_fold(0_usize, |number, byte| number.checked_mul(256)?.checked_add(usize::from(*byte)))
}
