//! How a host's name becomes addresses: the system's resolver, bounded, and for subscribers with forbidden answers left out.
//!
//! Used by the HTTP clients of this room, each with a resolver of its own: subscribers whose names cannot be looked up never keep a vendor's
//! name waiting. The system is asked on threads that block, which it takes from the pool that the stores read with too; an answer may be half a
//! minute in coming, and nobody can call the question back. So a name is asked for once at a time, however many wait for it, and only
//! so many names are asked for together.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::Guard;

/// Names that one client asks the system for at a time. The pool that they take their threads from has 512.
pub const LOOKUPS: usize = 32;

/// The usual patience. Less than connecting may take, so that whoever waits learns what it was that kept them.
const PATIENCE: Duration = Duration::from_secs(3);

/// Who knows the addresses of a name.
#[async_trait::async_trait]
pub trait Lookup: Send + Sync {
    /// All of them, in the order in which they are to be tried.
    ///
    /// # Errors
    /// There is no such name, or nobody to ask.
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// Asks for one name and blocks until there is an answer.
type Ask = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// The addresses of a name, or why there are none.
type Answer = Result<Arc<[IpAddr]>, (io::ErrorKind, Arc<str>)>;

/// Names that are asked for, and where their answers will be.
type UnderWay = HashMap<String, watch::Receiver<Option<Answer>>>;

/// The system's resolver.
pub struct System {
    ask: Arc<Ask>,
    under_way: Arc<Mutex<UnderWay>>,
    room: Arc<Semaphore>,
    /// How long a name waits for its turn.
    patience: Duration,
}

impl System {
    /// The system's.
    #[must_use]
    pub fn new() -> Self {
        // Port 0 stands for none.
        Self::asking(|name| Ok((name, 0).to_socket_addrs()?.map(|found| found.ip()).collect()), PATIENCE)
    }

    /// One that asks somebody else, bounded like the system's.
    pub fn asking(ask: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static, patience: Duration) -> Self {
        Self { ask: Arc::new(ask), under_way: Arc::default(), room: Arc::new(Semaphore::new(LOOKUPS)), patience }
    }

    /// Asks for a name on a thread of its own, which keeps its place until it has an answer, whoever still waits for that; or joins those who
    /// wait for the same.
    fn begin(&self, name: &str, place: OwnedSemaphorePermit) -> watch::Receiver<Option<Answer>> {
        let mut names = locked(&self.under_way);
        if let Some(answered) = joined(&names, name) {
            return answered;
        }
        let (answer, answered) = watch::channel(None);
        names.insert(name.to_owned(), answered.clone());
        let (name, ask, under_way) = (name.to_owned(), Arc::clone(&self.ask), Arc::clone(&self.under_way));
        tokio::task::spawn_blocking(move || {
            let found = ask(&name).map(Arc::from).map_err(|error| (error.kind(), Arc::from(error.to_string())));
            locked(&under_way).remove(&name);
            answer.send_replace(Some(found));
            drop(place);
        });
        answered
    }
}

impl Default for System {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait::async_trait]
impl Lookup for System {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let under_way = joined(&locked(&self.under_way), name);
        let mut answered = match under_way {
            Some(answered) => answered,
            None => {
                let place = tokio::time::timeout(self.patience, Arc::clone(&self.room).acquire_owned()).await;
                // Never closed: only the time can be over.
                let Ok(Ok(place)) = place else { return Err(busy()) };
                self.begin(name, place)
            }
        };
        let answer = answered.wait_for(Option::is_some).await.map_err(|_| io::Error::other("the look-up was broken off"))?.clone();
        match answer {
            Some(Ok(found)) => Ok(found.to_vec()),
            Some(Err((kind, words))) => Err(io::Error::new(kind, words.to_string())),
            None => Err(io::Error::other("the look-up was broken off")),
        }
    }
}

/// The question for that name that is under way. One that broke off, with its runtime, will not be answered any more.
fn joined(names: &UnderWay, name: &str) -> Option<watch::Receiver<Option<Answer>>> {
    names.get(name).filter(|answer| answer.has_changed().is_ok()).cloned()
}

fn busy() -> io::Error {
    let words = format!("the name was not looked up: {LOOKUPS} other names wait for this machine's resolver; check its DNS servers");
    io::Error::new(io::ErrorKind::ResourceBusy, words)
}

fn locked(under_way: &Mutex<UnderWay>) -> MutexGuard<'_, UnderWay> {
    under_way.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a client resolves names with. With a guard, forbidden answers are left out. The client connects to exactly what it gave: nobody is
/// asked a second time in between.
pub(super) struct Resolver {
    pub guard: Option<Guard>,
    pub lookup: Arc<dyn Lookup>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, lookup) = (self.guard.clone(), Arc::clone(&self.lookup));
        Box::pin(async move {
            let mut permitted = Vec::new();
            let mut forbidden = None;
            for found in lookup.addresses(name.as_str()).await? {
                match guard.as_ref().map_or(Ok(()), |guard| guard.address(found)) {
                    // Port 0 stands for the URL's own.
                    Ok(()) => permitted.push(SocketAddr::new(found, 0)),
                    Err(why) => forbidden = Some(why),
                }
            }
            match forbidden {
                Some(why) if permitted.is_empty() => Err(why.into()),
                _ => {
                    let addresses: Addrs = Box::new(permitted.into_iter());
                    Ok(addresses)
                }
            }
        })
    }
}
