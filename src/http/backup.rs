//! `GET /v1/backup`: the whole store as one archive, written while the service runs. Secrets stay sealed under the master key.

use std::io::{self, Write};

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::mpsc;

use super::Face;
use super::caller::{Caller, StoreBackup};
use super::problem::Problem;

/// Bytes in one piece.
const PIECE: usize = 64 * 1024;
/// Pieces that wait for a slow reader; the archive is written no faster than it is read.
const PIECES: usize = 16;

/// `GET /v1/backup`. An archive that breaks off lacks its end, which `yizhan backup` and `yizhan restore` notice.
pub async fn archive(caller: Caller<StoreBackup>, face: web::Data<Face>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    caller.must_reach(None)?;
    tracing::info!(key = caller.name(), remote = %caller.remote, "backup asked for");
    if request.method() == actix_web::http::Method::HEAD {
        return Ok(HttpResponse::Ok().content_type("application/octet-stream").finish());
    }
    let (pieces, written) = mpsc::channel(PIECES);
    let app = face.app.clone();
    tokio::task::spawn_blocking(move || {
        let mut to = Pieces { pieces, piece: Vec::with_capacity(PIECE) };
        match app.backup(&mut to).and_then(|records| to.flush().map(|()| records)) {
            Ok(records) => tracing::info!(records, "backup written"),
            Err(error) => {
                tracing::warn!(%error, "backup broken off");
                // The reader must not take what it has for the whole.
                let _ = to.pieces.blocking_send(Err(error));
            }
        }
    });
    let body = stream::unfold(written, |mut written| async { written.recv().await.map(|piece| (piece, written)) });
    Ok(HttpResponse::Ok().content_type("application/octet-stream").streaming(body))
}

/// Collects what is written into pieces for the response.
struct Pieces {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
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
        self.pieces.blocking_send(Ok(piece.into())).map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the reader went away"))
    }
}
