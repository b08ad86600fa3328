//! A stop while something is under way: the server's threads end first, and nothing that a request began ends with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use yizhan::outbound::vendors::HttpVendors;
use yizhan::outbound::{SendError, Vendors};
use yizhan::platform::{Call, Reply};

use crate::world::{KEY, SECRET, Setting, World};

/// Between the service and the vendors: answers of calls with that word in their path wait until they are let through.
struct Gate {
    vendors: HttpVendors,
    word: &'static str,
    shut: AtomicBool,
    came: AtomicUsize,
    opened: Semaphore,
}

impl Gate {
    fn over(word: &'static str) -> Arc<Self> {
        let (shut, came, opened) = (AtomicBool::new(false), AtomicUsize::new(0), Semaphore::new(0));
        Arc::new(Self { vendors: HttpVendors::new().unwrap(), word, shut, came, opened })
    }

    fn open(&self) {
        self.shut.store(false, Ordering::SeqCst);
        self.opened.add_permits(100);
    }
}

#[async_trait::async_trait]
impl Vendors for Gate {
    async fn send(&self, call: &Call) -> Result<Reply, SendError> {
        let reply = self.vendors.send(call).await;
        if call.target().contains(self.word) {
            self.came.fetch_add(1, Ordering::SeqCst);
            if self.shut.load(Ordering::SeqCst) {
                self.opened.acquire().await.unwrap().forget();
            }
        }
        reply
    }
}

#[tokio::test]
async fn what_a_request_began_is_carried_through_a_stop_though_nobody_waits_for_it() {
    let gate = Gate::over("modify_app_intro");
    let mut world = World::with(Setting { vendors: Some(gate.clone()), ..Setting::default() }).await;
    world.granted("douyin", "tt1").await;
    gate.shut.store(true, Ordering::SeqCst);
    let (path, body) =
        ("/v1/components/douyin/authorizers/tt1/operations/profile.set_intro", json!({"intro": "a fine introduction to noodles"}));
    let address = world.base.strip_prefix("http://").unwrap();
    let mut caller = TcpStream::connect(address).await.unwrap();
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {KEY}\r\nidempotency-key: once\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    caller.write_all(request.as_bytes()).await.unwrap();
    world.until("the call", async || (gate.came.load(Ordering::SeqCst) == 1).then_some(())).await;
    // Reset, so that the server knows at once that nobody waits.
    caller.set_zero_linger().unwrap();
    drop(caller);
    let (client, base) = (world.client.clone(), world.base.clone());
    world
        .without_server(async |app| {
            assert!(client.get(format!("{base}/healthz")).send().await.is_err(), "the server has stopped");
            gate.open();
            app.tasks.finished().await;
        })
        .await;
    let again = world.client.post(format!("{}{path}", world.base)).bearer_auth(KEY).header("idempotency-key", "once");
    let again = again.header("content-type", "application/json").body(body).send().await.unwrap();
    assert_eq!((again.status().as_u16(), gate.came.load(Ordering::SeqCst)), (200, 1), "{}", again.text().await.unwrap());
    world.down().await;
}

/// Answers posts on one connection: the first at once, the next when it is let.
async fn handler(listener: TcpListener, came: Arc<Semaphore>, let_through: Arc<Semaphore>) -> usize {
    let (mut connection, _) = listener.accept().await.unwrap();
    let mut answered = 0;
    while answered < 2 {
        let mut seen = Vec::new();
        let body_at = loop {
            let mut some = [0; 4096];
            let count = connection.read(&mut some).await.unwrap();
            if count == 0 {
                return answered;
            }
            seen.extend_from_slice(&some[..count]);
            if let Some(at) = seen.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let head = String::from_utf8_lossy(&seen[..body_at]).to_lowercase();
        let length: usize = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
        let mut rest = vec![0; length - (seen.len() - body_at)];
        connection.read_exact(&mut rest).await.unwrap();
        came.add_permits(1);
        if answered > 0 {
            let_through.acquire().await.unwrap().forget();
        }
        if connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
            return answered;
        }
        answered += 1;
    }
    answered
}

#[tokio::test]
async fn a_connection_that_a_request_opened_outlives_the_server_for_the_deliveries_on_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let subscriptions =
        format!("[[subscriptions]]\nname = \"handler\"\nurl = \"{url}\"\nsecret = \"{SECRET}\"\nevents = [\"authorization.*\"]\n");
    let mut world = World::with(Setting { subscriptions: Some(subscriptions), ..Setting::default() }).await;
    let (came, let_through) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let serving = tokio::spawn(handler(listener, came.clone(), let_through.clone()));
    assert_eq!(world.post("/v1/subscriptions/handler/test", json!({})).await.0, 200);
    came.acquire().await.unwrap().forget();
    world.simulator.ticket("douyin").await.unwrap();
    world.simulator.grant("douyin", "tt1").await.unwrap();
    came.acquire().await.unwrap().forget();
    world
        .without_server(async |_| {
            let_through.add_permits(1);
            assert_eq!(serving.await.unwrap(), 2, "the delivery came on the connection of the test");
        })
        .await;
    let delivery = world
        .until("the delivery", async || {
            let (_, body) = world.get("/v1/deliveries?subscription=handler&status=delivered").await;
            body["items"].get(0).cloned()
        })
        .await;
    assert_eq!(delivery["attempts"], 1, "{delivery}");
    world.down().await;
}
