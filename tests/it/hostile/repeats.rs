//! Old pushes, sent again by somebody who has seen them: known again while they are remembered, and harmless when they are forgotten.

use std::time::Duration;

use serde_json::json;
use yizhan::clock::Timestamp;
use yizhan::platform::twin::{Outgoing, Twin, Verdict};
use yizhan::platform::{self, Door, Platform};
use yizhan::settings::{Settings, Surroundings};

use crate::world::{Setting, World};

const MERCHANT: &str = "yz0123456789abcdef";

/// A vendor with the same keys as the world's, whose pushes we hold in our own hands.
fn twin(world: &World, platform: &'static dyn Platform) -> Box<dyn Twin> {
    let text = platform.sample_settings(&world.simulator.vendor_url(platform.name()));
    platform.twin(Settings::parse(&text, Surroundings::default()).unwrap()).unwrap_or_else(|problems| panic!("{problems:?}"))
}

async fn send(world: &World, platform: &str, push: &Outgoing) -> u16 {
    let door = if push.door == Door::Message { "message" } else { "authorization" };
    let mut request = world.client.post(format!("{}/callback/{platform}/{door}", world.base)).body(push.body.clone());
    for (name, value) in &push.headers {
        request = request.header(name, value);
    }
    request.send().await.unwrap().status().as_u16()
}

/// Events without the tickets, which the vendor goes on pushing by itself.
async fn events(world: &World, platform: &str) -> usize {
    let (_, list) = world.get(&format!("/v1/events?component={platform}&limit=500")).await;
    list["items"].as_array().unwrap().iter().filter(|event| event["type"] != "ticket.received").count()
}

fn now(world: &World) -> Timestamp {
    world.simulator.now()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_captured_push_is_one_event_however_often_and_wherever_it_is_sent() {
    let world = World::new().await;
    for platform in platform::ALL {
        let (name, mut twin) = (platform.name(), twin(&world, *platform));
        let push = twin.audit(MERCHANT, "1.0.3", &Verdict::Passed, now(&world));
        assert_eq!(send(&world, name, &push).await, 200, "{name}");
        assert_eq!(events(&world, name).await, 1, "{name}");
        for hours in [0, 1, 24, 24 * 5] {
            world.advance(Duration::from_secs(hours * 3600));
            assert_eq!(send(&world, name, &push).await, 200, "{name}: a platform that repeats is acknowledged");
            // The other address of the same component takes it for the same event.
            let elsewhere = Outgoing { door: Door::Authorization, ..push.clone() };
            send(&world, name, &elsewhere).await;
            // Another component refuses it.
            for other in platform::ALL.iter().map(|platform| platform.name()).filter(|other| *other != name) {
                let status = send(&world, other, &push).await;
                assert!([400, 401].contains(&status), "{name} at {other}: {status}");
            }
        }
        assert_eq!(events(&world, name).await, 1, "{name}: it was stored again");
    }
}

/// After the time for which pushes are remembered a repeat may be stored as an event, but it changes nothing that stands.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_ticket_or_withdrawal_that_is_sent_again_changes_nothing() {
    let world = World::new().await;
    for platform in platform::ALL {
        let (name, mut twin) = (platform.name(), twin(&world, *platform));
        let old_ticket = twin.ticket(now(&world));
        twin.grant(MERCHANT, now(&world));
        let old_withdrawal = twin.revoke(MERCHANT, now(&world));
        // Both are a month old by now, and were never seen here.
        world.advance(Duration::from_secs(31 * 24 * 3600));
        world.granted(name, MERCHANT).await;
        let newest = world.get(&format!("/v1/components/{name}/ticket")).await;
        for push in [old_ticket, old_withdrawal].iter().flatten() {
            assert_eq!(send(&world, name, push).await, 200, "{name}");
        }
        world.advance(Duration::from_secs(5));
        assert_eq!(world.get(&format!("/v1/components/{name}/ticket")).await.1["ticket"], newest.1["ticket"], "{name}: an old ticket won");
        let (status, token) = world.get(&format!("/v1/components/{name}/authorizers/{MERCHANT}/token")).await;
        assert_eq!(status, 200, "{name}: an old withdrawal withdrew a new grant: {token}");
    }
}

/// Kuaishou's envelope has a time of its own; whoever wants it held against the clock can.
#[tokio::test(flavor = "multi_thread")]
async fn where_a_window_is_set_older_pushes_are_refused() {
    let world = World::with(Setting::default()).await;
    let platform = platform::named("kuaishou").unwrap();
    let text = platform.sample_settings(&world.simulator.vendor_url("kuaishou"));
    let strict = format!("{text}\n[push]\nmax_age = \"10m\"\n");
    let component = platform
        .component("shop", Settings::parse(&strict, Surroundings::default()).unwrap())
        .unwrap_or_else(|problems| panic!("{problems:?}"));
    let mut twin = twin(&world, platform);
    let push = twin.say(Door::Message, &json!({"event": "X", "note": 1}).to_string(), now(&world));
    let arrived = |minutes: i64| platform::RawPush {
        door: push.door,
        is_get: false,
        headers: push.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone().into_bytes())).collect(),
        query: String::new(),
        body: push.body.clone(),
        received_at: now(&world).checked_add(jiff::SignedDuration::from_mins(minutes)).unwrap(),
    };
    assert!(component.open(&arrived(9)).is_ok());
    assert_eq!(component.open(&arrived(11)).unwrap_err().reason(), "bad-signature");
}
