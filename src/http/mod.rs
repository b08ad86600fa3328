//! Our face to machines and browsers: the callback addresses (contract 2), the service API (contract 3) and the operations room.
//!
//! A handler extracts, calls one concept, and turns what it gets into a body; every rule lives in the room that is called.
//! Started by `cli` with [`serve`]. It never opens a push itself, never speaks HTTP to others, and never logs a body, a query string or a key.

mod audit;
mod authorize;
mod authorizers;
mod body;
mod callback;
pub mod caller;
mod components;
mod deliveries;
mod events;
mod failures;
mod health;
pub mod list;
pub mod meter;
mod pages;
pub mod parameters;
mod passage;
pub mod problem;
mod rejected;
mod replays;
mod routes;
mod stream;
mod subscriptions;
mod tokens;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::middleware::from_fn;
use actix_web::{App as Site, HttpServer, dev, web};
use jiff::SignedDuration;

use crate::app::App;
use crate::platform::Component;
use crate::shutdown::Shutdown;
use caller::Keyring;
use meter::Meter;
use problem::Problem;

/// How long an idle connection is kept. Longer than the usual 60 s of reverse proxies, so that the proxy closes first.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long a connection that is being closed may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// Wrong keys of one address within a minute before it is answered 429.
const WRONG_KEYS_A_MINUTE: u32 = 20;

/// Authorization pages of one address within a minute: each of them asks the vendor for something, and nobody needs a key to open one.
const VISITS_A_MINUTE: u32 = 60;

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
}

impl Face {
    fn new(app: Arc<App>) -> Self {
        let minute = SignedDuration::from_mins(1);
        let keys = Keyring::new(&app.config.api_keys);
        Self { keys, wrong_keys: Meter::new(WRONG_KEYS_A_MINUTE, minute), visits: Meter::new(VISITS_A_MINUTE, minute), app }
    }

    /// The component of that name.
    ///
    /// # Errors
    /// `not-found`.
    fn component(&self, name: &str) -> Result<&Arc<dyn Component>, Problem> {
        self.app.config.components.named(name).ok_or_else(|| Problem::no_such("component", name))
    }

    /// Where merchants come back to.
    fn return_address(&self, component: &str) -> String {
        format!("{}/callback/{component}/authorized", self.app.config.server.public_url)
    }
}

/// The server, bound and not yet running.
pub struct Server {
    /// Where it listens; the free port it was given, where 0 was asked for.
    pub address: SocketAddr,
    running: dev::Server,
    shutdown: Shutdown,
}

impl Server {
    /// Serves until [`App::shutdown`] is requested: then accepts nothing more, lets open requests finish within the grace period, and returns.
    ///
    /// # Errors
    /// Those of the sockets.
    pub async fn run(self) -> io::Result<()> {
        let handle = self.running.handle();
        let mut running = self.running;
        tokio::select! {
            ended = &mut running => return ended,
            () = self.shutdown.requested() => {}
        }
        let ((), ended) = tokio::join!(handle.stop(true), running);
        ended
    }
}

/// Prepares the server on a bound listener (port 0 is possible). Must be called inside a tokio runtime; nothing is answered before [`Server::run`].
///
/// # Errors
/// Those of the sockets.
pub fn serve(app: Arc<App>, listener: TcpListener) -> io::Result<Server> {
    let address = listener.local_addr()?;
    let shutdown = app.shutdown.clone();
    let settings = app.config.server.clone();
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let face = web::Data::new(Face::new(app));
    let site = move || {
        Site::new()
            .app_data(face.clone())
            .wrap(from_fn(passage::pass))
            .configure(routes::configure)
            .default_service(web::to(async || Err::<actix_web::HttpResponse, _>(Problem::nowhere())))
    };
    let running = HttpServer::new(site)
        .workers(workers)
        .max_connections(settings.max_connections.div_ceil(workers).max(1))
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(settings.client_timeout)
        .client_disconnect_timeout(GOODBYE)
        .shutdown_timeout(settings.shutdown_grace.as_secs().max(1))
        .disable_signals()
        .listen(listener)?
        .run();
    Ok(Server { address, running, shutdown })
}
