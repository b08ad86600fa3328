//! `GET /v1/backup`: the whole store as one archive, written while the service runs. Secrets stay sealed under the master key.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::stream;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, error::SendTimeoutError};

use super::Face;
use super::caller::{Caller, StoreBackup};
use super::problem::{Kind, Problem};

/// Bytes in one piece.
const PIECE: usize = 64 * 1024;
/// Pieces that wait for a slow reader; the archive is written no faster than it is read.
const PIECES: usize = 16;
/// Longest time that a reader may leave pieces waiting, beyond what it has for each of them: as long as an archive is written, the disk keeps all of the
/// log that it shows, also what retention drops, and memory what is changed in the vault.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a reader has for each piece that it takes: who reads 64 KiB in a second may go on to the end, and that comes.
const EACH: Duration = Duration::from_secs(1);

/// `GET /v1/backup`. An archive that breaks off lacks its end, which `yizhan backup` and `yizhan restore` notice.
pub async fn archive(caller: Caller<StoreBackup>, face: web::Data<Face>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    caller.must_reach(None)?;
    tracing::info!(key = caller.name(), remote = %caller.remote, "backup asked for");
    if request.method() == actix_web::http::Method::HEAD {
        return Ok(HttpResponse::Ok().content_type("application/octet-stream").finish());
    }
    let (pieces, written) = mpsc::channel(PIECES);
    let Ok(alone) = Arc::clone(&face.archiving).try_acquire_owned() else {
        return Err(Problem::new(Kind::Conflict, "another backup is being written")
            .hint("wait for its end; one that nobody reads is broken off within a minute"));
    };
    let finished = Arc::new(AtomicBool::new(false));
    let is_whole = Arc::clone(&finished);
    let (app, runtime) = (Arc::clone(&face.app), face.app.tasks.runtime().clone());
    runtime.clone().spawn_blocking(move || {
        let _alone = alone;
        let mut to = Pieces { pieces, piece: Vec::with_capacity(PIECE), runtime, patience: PATIENCE };
        match app.backup(&mut to).and_then(|records| to.flush().map(|()| records)) {
            Ok(records) => {
                finished.store(true, Ordering::Release);
                tracing::info!(records, "backup written");
            }
            Err(error) => tracing::warn!(%error, "backup broken off"),
        }
    });
    let body = stream::unfold((written, is_whole), |(mut written, is_whole)| async move {
        match written.recv().await {
            Some(piece) => Some((Ok(piece), (written, is_whole))),
            None if is_whole.load(Ordering::Acquire) => None,
            // The reader must not take what it has for the whole.
            None => {
                is_whole.store(true, Ordering::Release);
                Some((Err(io::Error::other("the backup broke off")), (written, is_whole)))
            }
        }
    });
    Ok(HttpResponse::Ok().content_type("application/octet-stream").streaming(body))
}

/// Collects what is written into pieces for the response.
struct Pieces {
    pieces: mpsc::Sender<Bytes>,
    piece: Vec<u8>,
    runtime: Handle,
    /// How long the reader may leave the next one waiting.
    patience: Duration,
}

impl Pieces {
    fn hand_over(&mut self, piece: Bytes) -> io::Result<()> {
        let begun = Instant::now();
        let handed = self.runtime.block_on(self.pieces.send_timeout(piece, self.patience));
        self.patience = (self.patience + EACH).saturating_sub(begun.elapsed()).min(PATIENCE);
        handed.map_err(|why| match why {
            SendTimeoutError::Closed(_) => io::Error::new(io::ErrorKind::BrokenPipe, "the reader went away"),
            SendTimeoutError::Timeout(_) => io::Error::new(io::ErrorKind::TimedOut, "the reader takes less than 64 KiB a second"),
        })
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.hand_over(piece.into())
    }
}
