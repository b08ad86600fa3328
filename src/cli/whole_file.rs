//! A file that appears whole or not at all: written beside its place, synced, then renamed.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::failure::Failure;

/// Links that lead on to links, at most; the system's own limit.
const LONGEST_CHAIN: usize = 40;

/// A file being written. Dropped before [`WholeFile::keep`], it leaves nothing behind.
#[derive(Debug)]
pub struct WholeFile {
    place: PathBuf,
    temporary: BufWriter<tempfile::NamedTempFile>,
}

impl WholeFile {
    /// Begins a file that will appear at `place`, or where a link there leads. Only its owner may read it. `instead` is what to do where something
    /// stands that is no file: the rename would put a file in the place of a device, a pipe or a folder for good.
    pub fn create(place: &Path, instead: &str) -> Result<Self, Failure> {
        let failed = || format!("{} cannot be written", place.display());
        let place = match fs::metadata(place) {
            Ok(there) if !there.is_file() => return Err(Failure::usage(format!("{} is not a file", place.display()), instead)),
            Ok(_) if place.is_symlink() => fs::canonicalize(place).with_context(failed)?,
            Ok(_) => place.to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => end_of(place).with_context(failed)?,
            Err(error) => return Err(anyhow::Error::from(error).context(failed()).into()),
        };
        let temporary = tempfile::Builder::new().prefix(".yizhan-").tempfile_in(folder_of(&place)).with_context(failed)?;
        Ok(Self { place, temporary: BufWriter::new(temporary) })
    }

    /// Where the bytes are until then, flushed, so that they can be looked through before they are kept.
    pub fn flushed(&mut self) -> io::Result<&Path> {
        self.temporary.flush()?;
        Ok(self.temporary.get_ref().path())
    }

    /// Makes it durable and puts it in its place, over a file that is there.
    pub fn keep(self) -> anyhow::Result<()> {
        self.put(|file, place| file.persist(place)).map(drop)
    }

    /// The same where no file is. `false`: there is one, and it is left as it is.
    pub fn keep_new(self) -> anyhow::Result<bool> {
        self.put(|file, place| file.persist_noclobber(place))
    }

    fn put(self, persist: impl FnOnce(tempfile::NamedTempFile, &Path) -> Result<File, tempfile::PersistError>) -> anyhow::Result<bool> {
        let Self { place, temporary } = self;
        let failed = || format!("{} cannot be written", place.display());
        let file = temporary.into_inner().map_err(io::IntoInnerError::into_error).with_context(failed)?;
        file.as_file().sync_all().with_context(failed)?;
        match persist(file, &place) {
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            persisted => persisted.map_err(|error| error.error).with_context(failed)?,
        };
        // The rename is durable once the folder is.
        File::open(folder_of(&place)).and_then(|folder| folder.sync_all()).with_context(failed)?;
        Ok(true)
    }
}

/// Where links lead at whose end nothing is yet.
fn end_of(place: &Path) -> io::Result<PathBuf> {
    let mut end = place.to_owned();
    for _ in 0..LONGEST_CHAIN {
        match fs::symlink_metadata(&end) {
            Ok(there) if there.is_symlink() => end = folder_of(&end).join(fs::read_link(&end)?),
            _ => return Ok(end),
        }
    }
    Err(io::Error::other("too many links"))
}

/// The folder that something is in.
pub fn folder_of(place: &Path) -> &Path {
    place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.temporary.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temporary.flush()
    }
}
