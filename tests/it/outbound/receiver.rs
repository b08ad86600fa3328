//! A tiny HTTP server on loopback that does exactly what a test says, badly behaved if need be.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// What it does with a request.
#[derive(Debug, Clone)]
pub enum Manner {
    /// Writes these bytes and keeps the connection.
    Answer(String),
    /// Writes the head, then zeros until the other side has had enough.
    Endless(&'static str),
    /// Writes the head, then a byte every few milliseconds.
    Dripping(&'static str),
    /// Reads and says nothing.
    Hanging,
    /// Reads, then closes.
    Closing,
}

impl Manner {
    pub fn status(status: u16) -> Self {
        Self::headed(status, "", "")
    }

    pub fn headed(status: u16, headers: &str, body: &str) -> Self {
        Self::Answer(format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()))
    }
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub struct Receiver {
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    closed: mpsc::UnboundedReceiver<()>,
    seen: mpsc::UnboundedReceiver<Seen>,
}

impl Receiver {
    /// Treats every request alike.
    pub async fn start(manner: Manner) -> Self {
        Self::with(move |_| manner.clone()).await
    }

    pub async fn with(manner: impl Fn(&Seen) -> Manner + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let (tell, seen) = mpsc::unbounded_channel();
        let (tell_closed, closed) = mpsc::unbounded_channel();
        let count = Arc::clone(&accepted);
        let manner = Arc::new(manner);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let (tell, tell_closed, manner) = (tell.clone(), tell_closed.clone(), Arc::clone(&manner));
                tokio::spawn(async move {
                    serve(stream, &*manner, &tell).await;
                    let _ = tell_closed.send(());
                });
            }
        });
        Self { address, accepted, closed, seen }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// The next request.
    pub async fn next(&mut self) -> Seen {
        tokio::time::timeout(Duration::from_secs(20), self.seen.recv()).await.expect("a request comes").unwrap()
    }

    pub fn try_next(&mut self) -> Option<Seen> {
        self.seen.try_recv().ok()
    }

    /// Waits until a connection has ended.
    pub async fn closed(&mut self) {
        tokio::time::timeout(Duration::from_secs(20), self.closed.recv()).await.expect("a connection ends").unwrap();
    }
}

async fn serve(mut stream: TcpStream, manner: &(impl Fn(&Seen) -> Manner + Sync), tell: &mpsc::UnboundedSender<Seen>) {
    let mut buffer = Vec::new();
    while let Some(seen) = request(&mut stream, &mut buffer).await {
        let manner = manner(&seen);
        let _ = tell.send(seen);
        match manner {
            Manner::Answer(text) => {
                if stream.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
            Manner::Endless(head) => {
                let _ = stream.write_all(head.as_bytes()).await;
                while stream.write_all(&[b'0'; 4096]).await.is_ok() {}
                return;
            }
            Manner::Dripping(head) => {
                let _ = stream.write_all(head.as_bytes()).await;
                while stream.write_all(b"0").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                return;
            }
            Manner::Hanging => {
                let mut rest = [0u8; 64];
                while stream.read(&mut rest).await.is_ok_and(|count| count > 0) {}
                return;
            }
            Manner::Closing => return,
        }
    }
}

async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Seen> {
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(buffer[..head_end].to_vec()).ok()?;
    let mut lines = head.split("\r\n");
    let line = lines.next()?.to_owned();
    let headers: Vec<(String, String)> =
        lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    let length: usize = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, value)| value.parse().unwrap());
    while buffer.len() < head_end + 4 + length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = buffer[head_end + 4..head_end + 4 + length].to_vec();
    buffer.drain(..head_end + 4 + length);
    Some(Seen { line, headers, body })
}
