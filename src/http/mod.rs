//! Our face to machines and browsers: the callback addresses (contract 2), the service API (contract 3) and the operations room.
//!
//! A handler extracts, calls one concept, and turns what it gets into a body; every rule lives in the room that is called.
//! Started by `cli` with [`start`]. It never opens a push itself, never speaks HTTP to others, and never logs a body, a query string or a key.

mod attributes;
mod audit;
mod authorize;
mod authorizers;
mod backup;
pub mod bare;
mod body;
mod callback;
pub mod caller;
mod components;
pub mod connections;
mod deliveries;
pub mod events;
mod failures;
pub mod form_data;
mod health;
pub mod kind;
pub mod list;
pub mod meter;
pub mod openapi;
pub mod operations;
mod pages;
pub mod parameters;
mod passage;
pub mod places;
mod playbooks;
pub mod problem;
mod problems;
pub mod proxy;
mod reconcile;
mod rejected;
mod replays;
pub mod rollouts;
pub mod room;
pub mod routes;
mod runs;
mod shortcut;
mod stream;
mod strict;
mod subscriptions;
mod tokens;
mod unread;
mod wire;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix_http::{HttpService, Protocol};
use actix_service::{IntoServiceFactory as _, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::dev::{self, AppConfig};
use actix_web::middleware::from_fn;
use actix_web::rt::net::TcpStream;
use actix_web::{App as Site, HttpResponse, web};
use bytes::Bytes;
use jiff::SignedDuration;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::platform::Component;
use crate::platform::token::Link;
use crate::shutdown::Shutdown;
use crate::vault::Asker;
use caller::Keyring;
use connections::Connections;
use meter::Meter;
use places::{Place, Places};
use problem::{Kind, Problem};
use room::Room;
use shortcut::Shortcut;
use wire::Wire;

/// How long an idle connection is kept. Longer than the usual 60 s of reverse proxies, so that the proxy closes first.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long a connection that is being closed may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// How much longer than a client may take to send its request it may leave an answer waiting.
const TIMES_AS_PATIENT: u32 = 6;

/// Wrong keys of one address within a minute before it is answered 429.
const WRONG_KEYS_A_MINUTE: u32 = 20;

/// Authorization pages of one address within a minute: each of them asks the vendor for something, and nobody needs a key to open one.
const VISITS_A_MINUTE: u32 = 60;

/// Bytes of large pushes, and of large bodies of callers, that are held at a time.
const STRANGERS_BYTES: usize = 64 * 1024 * 1024;
const CALLERS_BYTES: usize = 256 * 1024 * 1024;

/// Connections that are given `/openapi.json` at a time: 400 KB each, for as long as it is not read.
const COPIES: usize = 64;

/// Requests that have all events or all merchants looked at, at a time, and how many of them may be one key's, so that no key keeps another out. How many
/// threads count events, and for whomever, is bounded by the store.
const COUNTING_REQUESTS: usize = 2;
const COUNTING_REQUESTS_OF_A_KEY: usize = 1;

/// How long one waits until it is its turn, and when to come back where that was too short.
const COUNTING_PATIENCE: Duration = Duration::from_secs(2);
const COUNTING_PAUSE: Duration = Duration::from_secs(5);

/// When to come back for a stream or a long poll where there are too many.
const LASTING_PAUSE: Duration = Duration::from_secs(10);

/// What every handler shares.
pub struct Face {
    /// The rooms.
    pub app: Arc<App>,
    /// Who may call.
    pub keys: Keyring,
    /// Wrong keys, counted by address.
    pub wrong_keys: Meter,
    /// Visits to pages that make us call a vendor, counted by address.
    pub visits: Meter,
    /// The wish that this server ends, which comes before [`App::shutdown`] where requests are to finish while everything else still works.
    pub closing: Shutdown,
    /// Room for what strangers send: nobody knows them before all of it has come.
    strangers: Room,
    /// Room for what callers send.
    callers: Room,
    /// Places of requests that last as long as their callers like: half the connections, so that the other half is left to pushes, and for one key half
    /// of that.
    pub lasting: Places,
    /// Turns of streams that read the log: half the cores, and one for each key, so that no key's streams hold up pushes or another's.
    reading: Places,
    /// Places of those that look at all events or merchants: one for each key, so that none keeps another out.
    pub counting: Places,
    /// Held by the backup that is being written.
    pub archiving: Arc<Semaphore>,
    /// `/openapi.json`, once somebody has asked for it.
    document: OnceLock<Bytes>,
    /// One for each connection that may be given it at a time.
    copies: Arc<Semaphore>,
}

impl Face {
    fn new(app: Arc<App>, closing: Shutdown) -> Self {
        let minute = SignedDuration::from_mins(1);
        let keys = Keyring::new(&app.config.api_keys);
        let (wrong_keys, visits) = (Meter::new(WRONG_KEYS_A_MINUTE, minute), Meter::new(VISITS_A_MINUTE, minute));
        let most = app.config.server.max_connections / 2;
        let (lasting, counting) = (Places::new(most, most / 2), Places::new(COUNTING_REQUESTS, COUNTING_REQUESTS_OF_A_KEY));
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            keys,
            wrong_keys,
            visits,
            closing,
            strangers: Room::of(STRANGERS_BYTES),
            callers: Room::of(CALLERS_BYTES),
            lasting,
            reading: Places::new(cores / 2, 1),
            counting,
            archiving: Arc::new(Semaphore::new(1)),
            document: OnceLock::new(),
            copies: Arc::new(Semaphore::new(COPIES)),
            app,
        }
    }

    /// The component of that name.
    ///
    /// # Errors
    /// `not-found`.
    fn component(&self, name: &str) -> Result<&Arc<dyn Component>, Problem> {
        self.app.config.components.named(name).ok_or_else(|| Problem::no_such("component", name))
    }

    /// A place for a request that lasts as long as its caller likes.
    ///
    /// # Errors
    /// `rate-limited`: none is free for that key.
    fn last(&self, key: &str) -> Result<Place, Problem> {
        self.lasting.take(key).ok_or_else(|| {
            Problem::new(Kind::RateLimited, "too many streams, long polls and passed-on answers are open, with this key or in all")
                .hint("end some that nobody reads: half of `server.max_connections` is for them, and for one key half of that")
                .retry_after(LASTING_PAUSE)
        })
    }

    /// What looks at all events or all merchants, once that key may: as long as its caller waits for that, and the service does not stop.
    ///
    /// # Errors
    /// `rate-limited`: others are at it. `unavailable`: the service stops. Those of `counting`.
    async fn counted<T>(&self, key: &str, counting: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
        let Some(_place) = self.counting.take_within(key, COUNTING_PATIENCE).await else {
            return Err(Problem::new(Kind::RateLimited, "another replay, dry run or check of playbooks is being counted")
                .hint("ask again when that one is answered; one key counts one at a time")
                .retry_after(COUNTING_PAUSE));
        };
        tokio::select! {
            counted = counting => counted,
            // Counting may take minutes, and a server that stops waits for every request.
            () = self.closing.requested() => Err(Problem::new(Kind::Unavailable, "the service is stopping").retry_after(COUNTING_PAUSE)),
        }
    }

    /// Has that done for a request, to its end whatever becomes of whoever asked, and not on this thread, which a stop may end first.
    async fn through<T, F>(&self, deed: impl FnOnce(Arc<App>) -> F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.app.tasks.through(deed(Arc::clone(&self.app))).await.map_err(Problem::internal)
    }

    /// A link for merchants.
    async fn link(&self, component: &str, asker: Asker) -> Result<Link, Problem> {
        let (component, address) = (component.to_owned(), self.return_address(component));
        Ok(self.through(|app| async move { app.vault.link(&component, &address, asker).await }).await??)
    }

    /// Where merchants come back to.
    fn return_address(&self, component: &str) -> String {
        format!("{}/callback/{component}/authorized", self.app.config.server.public_url)
    }

    /// The page that leads merchants to the platform.
    fn page_address(&self, component: &str) -> String {
        format!("{}/authorize/{component}", self.app.config.server.public_url)
    }
}

/// The running server.
pub struct Server {
    /// Where it listens; the free port it was given, where 0 was asked for.
    pub address: SocketAddr,
    closing: Shutdown,
    serving: JoinHandle<io::Result<()>>,
}

impl Server {
    /// Accepts nothing more, ends event streams and long polls, lets open requests finish within the grace period, and returns.
    pub async fn stop(self) {
        self.closing.request();
        if let Err(error) = self.ended().await {
            tracing::error!(%error, "the server did not end in good order");
        }
    }

    /// Returns once it has stopped, which [`App::shutdown`] asks for too.
    ///
    /// # Errors
    /// Those of the sockets.
    pub async fn ended(self) -> io::Result<()> {
        self.serving.await.unwrap_or_else(|panic| Err(io::Error::other(panic)))
    }
}

/// Serves on a bound listener (port 0 is possible) from now on. Must be called inside a tokio runtime.
///
/// # Errors
/// Those of the sockets.
pub fn start(app: Arc<App>, listener: TcpListener) -> io::Result<Server> {
    let address = listener.local_addr()?;
    let closing = Shutdown::default();
    let connections = Connections::of(app.config.server.max_connections);
    let server = server(Arc::clone(&app), closing.clone(), connections.clone(), listener)?;
    let serving = serve(server, app.shutdown.clone(), closing.clone());
    let serving = tokio::spawn(async move {
        tokio::select! {
            ended = serving => ended,
            () = connections.make_room() => Ok(()),
        }
    });
    Ok(Server { address, closing, serving })
}

async fn serve(mut server: dev::Server, shutdown: Shutdown, closing: Shutdown) -> io::Result<()> {
    let handle = server.handle();
    tokio::select! {
        ended = &mut server => return ended,
        () = shutdown.requested() => closing.request(),
        () = closing.requested() => {}
    }
    let ((), ended) = tokio::join!(handle.stop(true), server);
    ended
}

/// Lets the system close a connection whose other end takes nothing of what waits for it for so long. No bound of ours sees such a one: the server library
/// asks nobody for more of an answer until some of it was taken. Connections inherit this from where they were accepted (tcp(7), `TCP_USER_TIMEOUT`).
#[cfg(target_os = "linux")]
fn give_up_silent(listener: &TcpListener, patience: Duration) -> io::Result<()> {
    socket2::SockRef::from(listener).set_tcp_user_timeout(Some(patience))
}

#[cfg(not(target_os = "linux"))]
fn give_up_silent(_: &TcpListener, _: Duration) -> io::Result<()> {
    Ok(())
}

/// Threads that serve.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Connections of one of these threads, where there are so many in all.
fn of_worker(connections: usize) -> usize {
    connections.div_ceil(workers()).max(1)
}

fn server(app: Arc<App>, closing: Shutdown, connections: Connections, listener: TcpListener) -> io::Result<dev::Server> {
    let settings = app.config.server.clone();
    let address = listener.local_addr()?;
    let patience = settings.client_timeout.saturating_mul(TIMES_AS_PATIENT);
    give_up_silent(&listener, patience)?;
    let face = web::Data::new(Face::new(app, closing));
    let server = actix_server::Server::build()
        .workers(workers())
        .max_concurrent_connections(of_worker(settings.max_connections))
        .shutdown_timeout(settings.shutdown_grace.as_secs().max(1))
        .disable_signals();
    let ending = server.graceful_shutdown_signal();
    let served = move || {
        let site = Site::new()
            .app_data(face.clone())
            .wrap(from_fn(passage::pass))
            .configure(routes::configure)
            .default_service(web::to(async || Err::<HttpResponse, _>(Problem::nowhere())));
        let site = Shortcut::before(site, face.clone()).into_factory().map_err(|error| error.error_response());
        let (ending, connections) = (ending.clone(), connections.clone());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let ending = ending.clone();
                async move { ending.notified().await }
            })
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(settings.client_timeout)
            .client_disconnect_timeout(GOODBYE)
            .local_addr(address)
            .on_connect_ext(move |wire: &Wire, extensions| drop(extensions.insert(connections.opened(wire))))
            .finish(map_config(site, |()| AppConfig::default()));
        let room = face.strangers.clone();
        fn_service(move |stream: TcpStream| {
            let room = room.clone();
            async move {
                let remote = stream.peer_addr().ok();
                Ok((Wire::new(stream, room, settings.client_timeout, patience), Protocol::Http1, remote))
            }
        })
        .and_then(http)
    };
    Ok(server.listen("yizhan", listener, served)?.run())
}
