//! How many connections are open, and who gives way once most of the room is taken.
//!
//! While there is room, an answered connection is kept for the next request, and whoever has begun one has `client_timeout` for it. Whoever asks for
//! `/healthz` once a minute, or begins a request and stops, on as many connections as there may be, would keep everybody else out, platforms' pushes among
//! them; so would whoever asks for something and takes nothing of the answer. So once three quarters are taken, each is closed after its answer, and whoever
//! has not sent a whole request within two seconds, or not taken its answer, gives way, the oldest first. Callers whose key we know do not.
//!
//! Whoever has sent a large request, or was given a large answer, has its connection closed afterwards, crowd or not: the server library keeps up to
//! 128 KiB of each for as long as it is open. With a key, large answers may come over one connection until a quarter of all are open.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use actix_web::body::BodySize;
use actix_web::dev::RequestHead;
use socket2::{SockRef, Socket};
use tokio::sync::OwnedSemaphorePermit;

use super::room::SMALL;
use super::wire::{Course, Wire};

/// How long somebody may take to send a request, or to take an answer, where others wait.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often those are looked for who have taken longer.
const LOOKED_FOR: Duration = Duration::from_millis(250);

/// All connections of the server. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Connections(Arc<Counted>);

struct Counted {
    open: AtomicUsize,
    /// More than so many may become a crowd: of those it is remembered whom we wait for.
    quarter: usize,
    /// More than so many are one.
    room: usize,
    silent: Mutex<Silent>,
}

/// Connections over which no whole request has come since they were opened or answered, oldest first.
#[derive(Default)]
struct Silent {
    given: u64,
    sockets: BTreeMap<u64, (Instant, Arc<Socket>)>,
}

/// One that is open, as long as this lives. The server library keeps it with the connection.
pub struct Open {
    connections: Connections,
    /// How far its wire is.
    course: Rc<Course>,
    /// Another handle of its socket, where it may have to give way.
    socket: Option<Arc<Socket>>,
    /// Its number among the silent ones.
    silent: Cell<Option<u64>>,
    /// What it keeps from others until it is closed.
    taken: Cell<Option<OwnedSemaphorePermit>>,
}

impl Connections {
    /// Of a server that has so many at most.
    #[must_use]
    pub fn of(most: usize) -> Self {
        let (open, silent) = (AtomicUsize::new(0), Mutex::default());
        Self(Arc::new(Counted { open, quarter: most / 4, room: most - most / 4, silent }))
    }

    /// That one was opened.
    #[must_use]
    pub(super) fn opened(&self, wire: &Wire) -> Open {
        let before = self.0.open.fetch_add(1, Ordering::Relaxed);
        let is_remembered = before >= self.0.quarter;
        // Where there is no file for another handle, this one cannot be asked to give way.
        let socket = is_remembered.then(|| SockRef::from(wire.stream()).try_clone().ok()).flatten();
        let open = Open {
            connections: self.clone(),
            course: wire.course(),
            socket: socket.map(Arc::new),
            silent: Cell::default(),
            taken: Cell::default(),
        };
        open.falls_silent();
        open
    }

    /// Whether an answered one is closed now.
    #[must_use]
    fn is_crowded(&self) -> bool {
        self.0.open.load(Ordering::Relaxed) > self.0.room
    }

    /// Whether they may become a crowd.
    fn are_many(&self) -> bool {
        self.0.open.load(Ordering::Relaxed) > self.0.quarter
    }

    /// Has those give way who must, for as long as it is polled.
    pub async fn make_room(self) {
        let mut ticks = tokio::time::interval(LOOKED_FOR);
        loop {
            ticks.tick().await;
            let over = self.0.open.load(Ordering::Relaxed).saturating_sub(self.0.room);
            let given_way = (0..over).map_while(|_| self.oldest()).inspect(|socket| drop(socket.shutdown(Shutdown::Both))).count();
            if given_way > 0 {
                tracing::debug!(connections = given_way, "connections that were slow to send a request gave way to others");
            }
        }
    }

    /// The one that has been silent longest, if it has been for long enough.
    fn oldest(&self) -> Option<Arc<Socket>> {
        let mut silent = self.silent();
        let first = silent.sockets.first_entry().filter(|first| first.get().0.elapsed() >= PATIENCE)?;
        Some(first.remove().1)
    }

    fn silent(&self) -> MutexGuard<'_, Silent> {
        self.0.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// That request has come over it, or its head has.
    pub fn asks(&self, request: &RequestHead, is_without_body: bool) {
        self.course.asked(request, is_without_body);
        if is_without_body {
            self.has_spoken();
        }
    }

    /// Whether more came with its request than is kept for each connection.
    pub fn has_grown(&self) -> bool {
        self.course.taken() > SMALL
    }

    /// Its request is answered. From those whom we do not know, we wait for the next one, and for them to take the answer.
    pub fn is_answered(&self, is_known: bool) {
        self.course.answered();
        if !is_known {
            self.falls_silent();
        }
    }

    /// A whole request has come, or one of somebody whom we know.
    pub fn has_spoken(&self) {
        if let Some(number) = self.silent.take() {
            self.connections.silent().sockets.remove(&number);
        }
    }

    /// From now on we wait for it.
    fn falls_silent(&self) {
        self.has_spoken();
        let Some(socket) = &self.socket else { return };
        let mut silent = self.connections.silent();
        silent.given += 1;
        let number = silent.given;
        silent.sockets.insert(number, (Instant::now(), Arc::clone(socket)));
        self.silent.set(Some(number));
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.has_spoken();
        self.connections.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The same for the connection on which that request came.
pub fn has_spoken(request: &HttpRequest) {
    if let Some(open) = request.conn_data::<Open>() {
        open.has_spoken();
    }
}

/// Whether the connection of that request is closed after an answer of that size to somebody whom we know or not: in a crowd, and where the server
/// library would keep the memory of a large request or answer for as long as the connection is open. Those whom we know may have many answers over
/// one connection, large ones too, until a quarter of all connections are open.
pub fn ends_with(request: &HttpRequest, answer: BodySize, is_known: bool) -> bool {
    let is_large = matches!(answer, BodySize::Sized(bytes) if usize::try_from(bytes).map_or(true, |bytes| bytes > SMALL));
    let ends = |open: &Open| open.connections.is_crowded() || open.has_grown() || is_large && (!is_known || open.connections.are_many());
    request.conn_data::<Open>().is_some_and(ends)
}

/// That request is answered, of somebody whom we know or not.
pub fn is_answered(request: &HttpRequest, is_known: bool) {
    if let Some(open) = request.conn_data::<Open>() {
        open.is_answered(is_known);
    }
}

/// Keeps what that request was given one of from others until its connection is closed: an answer that nobody reads lies there as long.
pub fn keep(request: &HttpRequest, taken: OwnedSemaphorePermit) {
    if let Some(open) = request.conn_data::<Open>() {
        open.taken.set(Some(taken));
    }
}
