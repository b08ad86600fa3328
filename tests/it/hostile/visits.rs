//! The merchant's way, where nobody needs a key, over the network. How much of it strangers can use up: `vault::visits`.

use reqwest::Method;

use crate::http::merchants::way_back;
use crate::http::{Answer, send};
use crate::world::World;

async fn open(world: &World, method: Method, path: &str) -> Answer {
    send(world.client.request(method, format!("{}{path}", world.base)).header("accept-language", "en")).await
}

/// How often the platform was asked for a link.
fn links(world: &World, name: &str) -> u64 {
    world.simulator.counts(name).unwrap().deeds.get("link").copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_of_one_component_is_none_of_another_and_a_scanner_asks_no_vendor() {
    let world = World::new().await;
    for name in ["douyin", "kuaishou"] {
        world.simulator.ticket(name).await.unwrap();
    }
    assert_eq!(open(&world, Method::HEAD, "/authorize/douyin").await.status, 405);
    assert_eq!(links(&world, "douyin"), 0);
    let page = open(&world, Method::GET, "/authorize/douyin").await;
    let link = page.text.split("class=\"button\" href=\"").nth(1).unwrap().split('"').next().unwrap().replace("&#38;", "&");
    let back = url::Url::parse(&way_back(&link)).unwrap();
    let state = back.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let elsewhere = open(&world, Method::GET, &format!("/callback/kuaishou/authorized/{state}?code=made-up")).await;
    assert_eq!(elsewhere.status, 409, "{}", elsewhere.text);
    assert_eq!(world.simulator.counts("kuaishou").unwrap().refusals.get("exchange"), None, "its vendor was asked nothing");
    assert_eq!(
        open(&world, Method::HEAD, &format!("/callback/douyin/authorized?authorization_code=made-up&state={state}")).await.status,
        405
    );
    let (query, _) = world.simulator.grant("douyin", "tt0123456789abcdef").await.unwrap();
    assert_eq!(open(&world, Method::GET, &format!("/callback/douyin/authorized?state={state}&{query}")).await.status, 200);
}
