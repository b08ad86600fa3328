//! The load generator: prepared requests over a number of connections, each sending its next one as soon as it has the answer to the last.
//!
//! One thread, plain sockets and no HTTP library, so that as much of the machine as possible is left to whoever is measured.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::figures::Timed;

/// A slice ends with an error after this, whoever is to blame.
const LONGEST: Duration = Duration::from_secs(120);

/// Largest answer that is read.
const LARGEST_ANSWER: usize = 4 * 1024 * 1024;

/// What is to be sent: `requests` one after the other, from the beginning again until `count` were sent.
#[derive(Clone)]
pub struct Errand {
    /// Where to.
    pub address: SocketAddr,
    /// The bytes of each request, head and body.
    pub requests: Arc<[Bytes]>,
    /// How many are sent.
    pub count: usize,
    /// How many are under way at a time.
    pub connections: usize,
}

/// A request of that method to that path, with these headers and this body.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Bytes {
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if method != "GET" {
        request.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    let mut request = request.into_bytes();
    request.extend_from_slice(body);
    Bytes::from(request)
}

/// Sends them all, on a thread of its own. Every answer must be 200.
///
/// # Errors
/// No connection, a broken one, or another answer.
pub async fn run(errand: Errand) -> anyhow::Result<Timed> {
    let sent = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let tasks = tokio::task::LocalSet::new();
        runtime.block_on(tasks.run_until(async { tokio::time::timeout(LONGEST, send(&errand)).await.context("the slice took too long")? }))
    });
    sent.await?
}

async fn send(errand: &Errand) -> anyhow::Result<Timed> {
    let mut connections = Vec::with_capacity(errand.connections);
    for _ in 0..errand.connections.max(1) {
        connections.push(Connection::open(errand.address).await?);
    }
    let next = Rc::new(Cell::new(0));
    let latencies = Rc::new(RefCell::new(Vec::with_capacity(errand.count)));
    let began = Instant::now();
    let tasks: Vec<_> = connections
        .into_iter()
        .map(|mut connection| {
            let (errand, next, latencies) = (errand.clone(), Rc::clone(&next), Rc::clone(&latencies));
            tokio::task::spawn_local(async move {
                loop {
                    let at = next.replace(next.get() + 1);
                    if at >= errand.count {
                        return Ok::<_, anyhow::Error>(());
                    }
                    let request = errand.requests.get(at % errand.requests.len().max(1)).context("nothing to send")?;
                    let asked = Instant::now();
                    let status = connection.exchange(request).await?.0;
                    latencies.borrow_mut().push(asked.elapsed());
                    ensure!(status == 200, "answered {status}: {}", connection.text());
                }
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    let took = began.elapsed();
    let latencies = latencies.take();
    Ok(Timed { took, latencies })
}

/// One connection.
pub struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Vec::with_capacity(8192) })
    }

    /// Sends a request and reads the whole answer: its status and where its body begins.
    pub async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<(u16, usize)> {
        self.stream.write_all(request).await?;
        self.answer.clear();
        let mut head = None;
        loop {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                bail!("the connection was closed before the answer was whole");
            }
            ensure!(self.answer.len() <= LARGEST_ANSWER, "the answer is too large");
            if head.is_none() {
                head = read_head(&self.answer)?;
            }
            if let Some(Head { status, begins, length }) = head
                && self.answer.len() >= begins + length
            {
                return Ok((status, begins));
            }
        }
    }

    /// The last answer as text, for messages.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.answer).chars().take(600).collect()
    }

    /// The body of the last answer, which begins there.
    pub fn body(&self, begins: usize) -> &[u8] {
        self.answer.get(begins..).unwrap_or_default()
    }

    /// The head of the last answer, whose body begins there.
    pub fn head(&self, begins: usize) -> &[u8] {
        self.answer.get(..begins).unwrap_or_default()
    }
}

#[derive(Clone, Copy)]
struct Head {
    status: u16,
    /// Where the body begins.
    begins: usize,
    length: usize,
}

/// The head of an answer, once it is whole.
fn read_head(answer: &[u8]) -> anyhow::Result<Option<Head>> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = answer.get(..end).and_then(|head| std::str::from_utf8(head).ok()).context("the head of an answer is not text")?;
    let status = head.get(9..12).and_then(|digits| digits.parse().ok()).context("an answer without a status")?;
    let length = head
        .split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(Ok(0), |(_, value)| value.trim().parse())
        .context("an answer with a strange length")?;
    Ok(Some(Head { status, begins: end + 4, length }))
}
