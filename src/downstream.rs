//! A sample handler: what a provider's own service does with deliveries. Verifies every signature, notes each event once,
//! and can be told to be out of order. The demo and tests receive with it.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::fanout::signature;
use crate::secret::Secret;
use crate::shutdown::Shutdown;

/// One delivery that arrived with a signature that holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// `webhook-id`: the event's id.
    pub id: String,
    /// The event.
    pub event: serde_json::Value,
    /// `yizhan-attempt`.
    pub attempt: u32,
    /// What it was answered.
    pub status: u16,
}

/// A running handler.
pub struct Handler {
    address: SocketAddr,
    secret: Secret,
    clock: Arc<dyn Clock>,
    failing: Mutex<HashMap<String, u32>>,
    received: watch::Sender<Vec<Received>>,
    unverified: watch::Sender<u64>,
    shutdown: Shutdown,
}

impl Handler {
    /// Listens on a free port of the loopback address. `secret` is the subscription's `whsec_…`.
    ///
    /// # Errors
    /// No port is free.
    pub fn start(secret: Secret, clock: Arc<dyn Clock>) -> std::io::Result<Arc<Self>> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let handler = Arc::new(Self {
            address: listener.local_addr()?,
            secret,
            clock,
            failing: Mutex::new(HashMap::new()),
            received: watch::Sender::new(Vec::new()),
            unverified: watch::Sender::new(0),
            shutdown: Shutdown::default(),
        });
        let data = web::Data::from(Arc::clone(&handler));
        let server = HttpServer::new(move || App::new().app_data(data.clone()).default_service(web::to(receive)))
            .workers(1)
            .disable_signals()
            .shutdown_timeout(1)
            .listen(listener)?
            .run();
        let stop = server.handle();
        tokio::spawn(server);
        let asked = handler.shutdown.clone();
        tokio::spawn(async move {
            asked.requested().await;
            stop.stop(false).await;
        });
        Ok(handler)
    }

    /// Where events are posted.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/events", self.address)
    }

    /// The next `times` deliveries of that platform's events are answered 503.
    pub fn fail(&self, platform: &str, times: u32) {
        lock(&self.failing).insert(platform.to_owned(), times);
    }

    /// Everything received with a good signature so far, refused ones among them.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.received.borrow().clone()
    }

    /// Deliveries whose signature did not hold.
    #[must_use]
    pub fn unverified(&self) -> u64 {
        *self.unverified.borrow()
    }

    /// Waits until what was received satisfies `enough`; gives what it finds.
    pub async fn wait_for<T>(&self, mut enough: impl FnMut(&[Received]) -> Option<T>) -> Option<T> {
        let mut received = self.received.subscribe();
        loop {
            if let Some(found) = enough(&received.borrow_and_update()) {
                return Some(found);
            }
            received.changed().await.ok()?;
        }
    }

    /// Stops listening.
    pub fn stop(&self) {
        self.shutdown.request();
    }

    fn status_for(&self, platform: &str) -> u16 {
        match lock(&self.failing).get_mut(platform) {
            Some(left) if *left > 0 => {
                *left -= 1;
                503
            }
            _ => 204,
        }
    }
}

async fn receive(handler: web::Data<Handler>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let headers = request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let verified = signature::Headers::pick(headers)
        .and_then(|sent| signature::verify(std::slice::from_ref(&handler.secret), sent, &body, handler.clock.now()));
    if verified.is_err() {
        handler.unverified.send_modify(|count| *count += 1);
        return HttpResponse::Unauthorized().finish();
    }
    let event: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let platform = event.get("platform").and_then(serde_json::Value::as_str).unwrap_or_default();
    let status = handler.status_for(platform);
    let received =
        Received { id: header("webhook-id").to_owned(), attempt: header("yizhan-attempt").parse().unwrap_or_default(), status, event };
    handler.received.send_modify(|all| all.push(received));
    HttpResponse::build(actix_web::http::StatusCode::from_u16(status).unwrap_or(actix_web::http::StatusCode::NO_CONTENT)).finish()
}

/// A lock whose holder panicked is taken all the same.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
