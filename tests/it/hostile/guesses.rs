//! Guessing keys: damped by the address that guesses, and that address is not the guesser's own word.

use super::lines::Written;
use crate::world::{KEY, Setting, World};

async fn guess(world: &World, key: &str, forwarded: Option<&str>) -> u16 {
    let mut request = world.client.get(format!("{}/v1/events", world.base)).bearer_auth(key);
    if let Some(forwarded) = forwarded {
        request = request.header("x-forwarded-for", forwarded);
    }
    request.send().await.unwrap().status().as_u16()
}

/// How many of sixty guesses were looked at, each with another made-up address in front.
async fn looked_at(world: &World, forwarded: impl Fn(u32) -> String) -> usize {
    let mut looked_at = 0;
    for number in 0..60 {
        match guess(world, &format!("yzk_{:064x}", number + 0x1000), Some(&forwarded(number))).await {
            401 => looked_at += 1,
            other => assert_eq!(other, 429),
        }
    }
    looked_at
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_trusted_proxy_nobody_chooses_the_address_that_is_counted() {
    let world = World::with(Setting { server: String::from("trusted_proxies = []"), ..Setting::default() }).await;
    assert_eq!(looked_at(&world, |number| format!("203.0.113.{number}")).await, 20);
    assert_eq!(guess(&world, KEY, None).await, 200, "a right key is let in all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_trusted_proxy_only_what_the_proxy_added_counts() {
    let world = World::new().await;
    // The proxy is 127.0.0.1 and appends whom it saw; what stands before that came with the request.
    assert_eq!(looked_at(&world, |number| format!("203.0.113.{number}, 198.51.100.7")).await, 20);
    assert_eq!(guess(&world, "yzk_other", Some("198.51.100.8")).await, 401, "somebody else is not damped");
    assert_eq!(guess(&world, KEY, Some("198.51.100.7")).await, 200);
}

/// A line of which the caller wrote a part that is no text still ends in the proxy's own word.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_hide_nobody_behind_a_proxy() {
    let world = World::new().await;
    let guess = async |forwarded: &[u8]| {
        let forwarded = reqwest::header::HeaderValue::from_bytes(forwarded).unwrap();
        let request = world.client.get(format!("{}/v1/events", world.base)).bearer_auth("yzk_wrong").header("x-forwarded-for", forwarded);
        request.send().await.unwrap().status().as_u16()
    };
    for _ in 0..20 {
        assert_eq!(guess(b"\xff, 198.51.100.7").await, 401);
    }
    assert_eq!(guess(b"198.51.100.7").await, 429, "it was counted under the address that the proxy saw");
    assert_eq!(guess(b"198.51.100.8").await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_are_counted_for_whoever_watches() {
    let world = World::with(Setting { server: String::from("trusted_proxies = []"), ..Setting::default() }).await;
    looked_at(&world, |_| String::new()).await;
    let metrics = world.client.get(format!("{}/metrics", world.base)).send().await.unwrap().text().await.unwrap();
    for status in ["401", "429"] {
        assert!(metrics.contains(&format!("yizhan_http_requests_total{{route=\"/v1/events\",status=\"{status}\"}}")), "{status}");
    }
}

/// A firewall can only be told about who is named.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_names_the_address_that_guesses_and_not_the_key() {
    let log = Written::default();
    // In a process of its own this is the log of everything; where another test was first, its log is that test's.
    if tracing::subscriber::set_global_default(log.subscriber("info")).is_err() {
        return;
    }
    let world = World::new().await;
    looked_at(&world, |_| String::from("192.0.2.1, 198.51.100.7")).await;
    let text = log.text();
    let refused: Vec<&str> = text.lines().filter(|line| line.contains("request refused")).collect();
    assert_eq!(refused.len(), 60, "{text}");
    for line in refused {
        assert!(line.contains("remote=\"198.51.100.7\"") && !line.contains("192.0.2.1") && !line.contains("yzk_"), "{line}");
    }
}
