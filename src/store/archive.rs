//! The form of a backup: named sections of keys and values in one stream, checksummed so that damage and truncation are noticed
//! before a record is handed out.
//!
//! Written by the vault's and the log's backup and read by `restore`; knows nothing of what the records mean. Sealed records stay sealed:
//! a backup is opened with the same master key as the store it was made of.
//!
//! Layout: the magic `yizhan-archive\n`, a version byte, then blocks `tag 1 ‖ length 4 ‖ payload ‖ digest 32`. The digest is SHA-256 over
//! the digest before it, the tag and the payload, so blocks can neither be changed, nor left out, nor change places. Tags: `S` begins a
//! section (payload: its name), `R` holds records (`key length 4 ‖ key ‖ value length 4 ‖ value`, again and again), `E` ends the archive
//! (payload: number of records 8). All numbers are big-endian.

use std::io::{Read, Write};

use crate::envelope::digest;

const MAGIC: &[u8; 15] = b"yizhan-archive\n";
const VERSION: u8 = 1;
/// Records are gathered to blocks of about this many bytes.
const BLOCK_BYTES: usize = 64 * 1024;
/// A longer block is damage, not data: no record of ours comes near it.
const LONGEST_BLOCK: usize = 256 * 1024 * 1024;

/// Why an archive could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Not an archive at all.
    #[error("this is not a backup of yizhan")]
    Foreign,
    /// Made by a version that this one does not know.
    #[error("this backup has version {0}, which this build does not know")]
    Version(u8),
    /// It ends too early.
    #[error("the backup is truncated after {0} records")]
    Truncated(u64),
    /// A checksum does not match, or the form is broken.
    #[error("the backup is damaged after {0} records")]
    Damaged(u64),
    /// The source could not be read.
    #[error("the backup could not be read: {0}")]
    Io(#[from] std::io::Error),
}

/// Writes an archive. Nothing of it can be restored before [`ArchiveWriter::finish`].
pub struct ArchiveWriter<W: Write> {
    to: W,
    chain: [u8; 32],
    block: Vec<u8>,
    records: u64,
}

impl<W: Write> ArchiveWriter<W> {
    /// Begins an archive.
    ///
    /// # Errors
    /// Of writing.
    pub fn new(mut to: W) -> std::io::Result<Self> {
        to.write_all(MAGIC)?;
        to.write_all(&[VERSION])?;
        Ok(Self { to, chain: digest::sha256(&[MAGIC, &[VERSION]]), block: Vec::with_capacity(BLOCK_BYTES), records: 0 })
    }

    /// Begins a section, such as `log/event.20500`; records that follow belong to it.
    ///
    /// # Errors
    /// Of writing.
    pub fn section(&mut self, name: &str) -> std::io::Result<()> {
        self.flush()?;
        self.put(b'S', name.as_bytes())
    }

    /// Adds a record to the section begun last.
    ///
    /// # Errors
    /// Of writing; a record of more than 256 MiB is refused.
    pub fn record(&mut self, key: &[u8], value: &[u8]) -> std::io::Result<()> {
        for part in [key, value] {
            let length = u32::try_from(part.len()).map_err(std::io::Error::other)?;
            self.block.extend_from_slice(&length.to_be_bytes());
            self.block.extend_from_slice(part);
        }
        self.records += 1;
        if self.block.len() >= BLOCK_BYTES { self.flush() } else { Ok(()) }
    }

    /// Ends the archive and returns how many records it holds. The caller syncs the file.
    ///
    /// # Errors
    /// Of writing.
    pub fn finish(mut self) -> std::io::Result<u64> {
        self.flush()?;
        self.put(b'E', &self.records.to_be_bytes())?;
        self.to.flush()?;
        Ok(self.records)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let mut block = std::mem::take(&mut self.block);
        self.put(b'R', &block)?;
        block.clear();
        self.block = block;
        Ok(())
    }

    fn put(&mut self, tag: u8, payload: &[u8]) -> std::io::Result<()> {
        if payload.len() > LONGEST_BLOCK {
            return Err(std::io::Error::other("a record is too long for a backup"));
        }
        let length = u32::try_from(payload.len()).map_err(std::io::Error::other)?;
        self.chain = digest::sha256(&[&self.chain, &[tag], payload]);
        self.to.write_all(&[tag])?;
        self.to.write_all(&length.to_be_bytes())?;
        self.to.write_all(payload)?;
        self.to.write_all(&self.chain)
    }
}

/// One record of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The section it belongs to; empty when none was begun.
    pub section: std::sync::Arc<str>,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// Reads an archive, record by record.
pub struct ArchiveReader<R: Read> {
    from: R,
    chain: [u8; 32],
    section: std::sync::Arc<str>,
    block: Vec<u8>,
    at: usize,
    records: u64,
    ended: bool,
}

impl<R: Read> ArchiveReader<R> {
    /// Begins to read. `from` is best buffered.
    ///
    /// # Errors
    /// [`ArchiveError::Foreign`] or [`ArchiveError::Version`].
    pub fn new(mut from: R) -> Result<Self, ArchiveError> {
        let mut head = [0u8; MAGIC.len() + 1];
        match from.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Err(ArchiveError::Foreign),
            Err(error) => return Err(error.into()),
        }
        match head.split_last() {
            Some((&VERSION, magic)) if magic == MAGIC => {}
            Some((&version, magic)) if magic == MAGIC => return Err(ArchiveError::Version(version)),
            _ => return Err(ArchiveError::Foreign),
        }
        let chain = digest::sha256(&[MAGIC, &[VERSION]]);
        Ok(Self { from, chain, section: "".into(), block: Vec::new(), at: 0, records: 0, ended: false })
    }

    /// The next record; `None` once the archive ended as it should.
    ///
    /// # Errors
    /// Truncated or damaged; records handed out before were whole.
    #[expect(clippy::should_implement_trait, reason = "an iterator of results would go on after an error")]
    pub fn next(&mut self) -> Result<Option<Record>, ArchiveError> {
        while self.at >= self.block.len() {
            if self.ended {
                return Ok(None);
            }
            self.read_block()?;
        }
        let (Some(key), Some(value)) = (self.part(), self.part()) else { return Err(ArchiveError::Damaged(self.records)) };
        self.records += 1;
        Ok(Some(Record { section: self.section.clone(), key, value }))
    }

    fn part(&mut self) -> Option<Vec<u8>> {
        let start = self.at.checked_add(4)?;
        let length: [u8; 4] = self.block.get(self.at..start)?.try_into().ok()?;
        let end = start.checked_add(usize::try_from(u32::from_be_bytes(length)).ok()?)?;
        let part = self.block.get(start..end)?.to_vec();
        self.at = end;
        Some(part)
    }

    fn read_block(&mut self) -> Result<(), ArchiveError> {
        let mut head = [0u8; 5];
        self.fill(&mut head)?;
        let [tag, length @ ..] = head;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > LONGEST_BLOCK {
            return Err(ArchiveError::Damaged(self.records));
        }
        // Read through `take`, so that a damaged length claims no memory that the source cannot fill.
        let mut payload = Vec::new();
        let wanted = u64::try_from(length).unwrap_or(u64::MAX);
        if (&mut self.from).take(wanted).read_to_end(&mut payload)? < length {
            return Err(ArchiveError::Truncated(self.records));
        }
        let mut told = [0u8; 32];
        self.fill(&mut told)?;
        self.chain = digest::sha256(&[&self.chain, &[tag], &payload]);
        if self.chain != told {
            return Err(ArchiveError::Damaged(self.records));
        }
        match tag {
            b'R' => (self.block, self.at) = (payload, 0),
            b'S' => self.section = String::from_utf8(payload).map_err(|_| ArchiveError::Damaged(self.records))?.into(),
            b'E' if payload == self.records.to_be_bytes() => self.ended = true,
            _ => return Err(ArchiveError::Damaged(self.records)),
        }
        Ok(())
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), ArchiveError> {
        self.from.read_exact(buffer).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => ArchiveError::Truncated(self.records),
            _ => ArchiveError::Io(error),
        })
    }
}
