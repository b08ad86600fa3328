//! Handlers that hang, drip, reset and answer without end, beside one that is well: it waits for none of them, and none of them costs memory.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::station::Station;
use super::times;
use crate::world::SECRET;

#[derive(Clone, Copy)]
enum Manner {
    /// Reads and says nothing.
    Hangs,
    /// A byte of its answer now and then.
    Drips,
    /// Closes at once, unread.
    Resets,
    /// A well-formed answer that has no end.
    NeverEnds,
    /// Headers without end.
    NeverBegins,
}

async fn serve(mut stream: TcpStream, manner: Manner) -> std::io::Result<()> {
    let mut head = [0; 1024];
    if matches!(manner, Manner::Resets) {
        // What was sent and not read makes the system answer with a reset.
        tokio::time::sleep(Duration::from_millis(5)).await;
        return Ok(());
    }
    if stream.read(&mut head).await? == 0 {
        return Ok(());
    }
    match manner {
        Manner::Resets => Ok(()),
        Manner::Hangs => loop {
            if stream.read(&mut head).await? == 0 {
                return Ok(());
            }
        },
        Manner::Drips => {
            for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n".iter().chain(std::iter::repeat(&b'x')) {
                stream.write_all(&[*byte]).await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        }
        Manner::NeverEnds => {
            stream.write_all(b"HTTP/1.1 500 X\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            let chunk = [b"8000\r\n".as_slice(), &[b'x'; 0x8000], b"\r\n"].concat();
            loop {
                stream.write_all(&chunk).await?;
            }
        }
        Manner::NeverBegins => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            loop {
                stream.write_all(b"x-more: and more and more and more and more and more\r\n").await?;
            }
        }
    }
}

async fn receiver(manner: Manner) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, manner));
        }
    });
    url
}

/// Whether one of its deliveries was tried, the newest of which are tried last; none may have been delivered.
async fn was_tried(station: &Station, name: &str) -> bool {
    let (mut tried, mut cursor) = (false, String::new());
    loop {
        let (status, page) = station.get(&format!("/v1/deliveries?subscription={name}&limit=500{cursor}")).await;
        assert_eq!(status, 200, "{page}");
        let items = page["items"].as_array().unwrap();
        assert!(items.iter().all(|item| item["status"] != "delivered"), "{name} never took one whole");
        tried |= items.iter().any(|item| item["attempts"].as_u64() >= Some(1));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return tried,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_out_of_their_minds_delay_nobody_and_cost_no_memory() {
    let mut station = Station::at(None).await;
    let mut text = std::fs::read_to_string(&station.file).unwrap();
    let manners = [
        ("hangs", Manner::Hangs),
        ("drips", Manner::Drips),
        ("resets", Manner::Resets),
        ("never-ends", Manner::NeverEnds),
        ("never-begins", Manner::NeverBegins),
    ];
    for (name, manner) in manners {
        let url = receiver(manner).await;
        text.push_str(&format!("\n[[subscriptions]]\nname = \"{name}\"\nurl = \"{url}\"\nsecret = \"{SECRET}\"\nevents = [\"*\"]\ntimeout = \"1s\"\nretry = [\"100ms\", \"1h\"]\n"));
    }
    std::fs::write(&station.file, text).unwrap();
    station.start().await;
    let before = station.resident();
    let load = station.load(4);
    tokio::time::sleep(Duration::from_millis(times(1500, 10_000))).await;
    load.stop().await;
    let began = Instant::now();
    station.all_delivered().await;
    println!("{} events, the healthy handler had all {:?} after the last", station.ledger.count(), began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(15), "the others delayed it: {:?}", began.elapsed());

    for (name, _) in manners {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !was_tried(&station, name).await {
            assert!(Instant::now() < deadline, "{name} was never tried");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let after = station.resident();
    println!("resident: {before} KiB before, {after} KiB after");
    assert!(after < before + 96 * 1024, "{before} KiB, then {after} KiB");
    station.account().await.settle("beside mad handlers");
    let began = Instant::now();
    station.stop().await;
    println!("stopped in {:?}", began.elapsed());
}
