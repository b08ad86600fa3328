//! Whatever a vendor says, sealed with its own key: read or refused, the same each time, with its repeats known again and its secrets sealed.

use std::cell::RefCell;

use serde_json::Value;
use yizhan::platform::twin::{Outgoing, Twin};
use yizhan::platform::{self, Component, Door, Notice, Opened, RawPush};
use yizhan::settings::{Settings, Surroundings};

use super::corpus;
use super::push;

struct Stage {
    component: std::sync::Arc<dyn Component>,
    twin: Box<dyn Twin>,
}

thread_local! {
    static STAGES: RefCell<Vec<(&'static str, Stage)>> = const { RefCell::new(Vec::new()) };
}

fn stage(name: &'static str) -> Stage {
    let platform = platform::named(name).expect("a platform");
    let sample = platform.sample_settings("http://127.0.0.1:9/vendor");
    let twin =
        platform.twin(Settings::parse(&sample, Surroundings::default()).expect("TOML")).unwrap_or_else(|problems| panic!("{problems:?}"));
    Stage { component: corpus::component(platform, &sample).expect("a sample"), twin }
}

/// What that platform says.
pub fn said(platform: &'static str, input: &[u8]) {
    let Ok(plain) = std::str::from_utf8(input) else { return };
    STAGES.with_borrow_mut(|stages| {
        if !stages.iter().any(|(name, _)| *name == platform) {
            stages.push((platform, stage(platform)));
        }
        let stage = stages.iter_mut().find(|(name, _)| *name == platform).map(|(_, stage)| stage).expect("just made");
        let door = if input.len().is_multiple_of(2) { Door::Message } else { Door::Authorization };
        let said = stage.twin.say(door, plain, corpus::now());
        check(platform, stage, &said);
    });
}

fn arrived(push: &Outgoing) -> RawPush {
    let headers = push.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone().into_bytes())).collect();
    RawPush { door: push.door, is_get: false, headers, query: String::new(), body: push.body.clone(), received_at: corpus::now() }
}

fn check(platform: &str, stage: &mut Stage, said: &Outgoing) {
    let raw = arrived(said);
    let opened = stage.component.open(&raw);
    let meant = push::meaning(&opened);
    assert_eq!(meant, push::meaning(&stage.component.open(&raw)), "{platform}");
    let _ = stage.component.diagnose(&raw);
    let push = match &opened {
        Ok(Opened::Push(push)) => push,
        Ok(Opened::Check(answer)) => return assert!(answer.status == 200, "{platform}"),
        Err(error) => {
            return assert!(error.to_string().len() <= 400 && !error.to_string().chars().any(char::is_control), "{platform}: {error}");
        }
    };
    assert!((1..=512).contains(&push.dedupe_key.len()), "{platform}");
    assert!(stage.twin.acknowledged(said, push.acknowledgement.status, &push.acknowledgement.body), "{platform}");

    // The vendor's repeat is the same event.
    let again = stage.component.open(&arrived(&stage.twin.reseal(said, corpus::now())));
    let Ok(Opened::Push(again)) = again else { panic!("{platform}: a repeat is not opened: {again:?}") };
    assert_eq!(again.dedupe_key, push.dedupe_key, "{platform}: a repeat is another event");

    // Nothing shows what only the vault may hold.
    let secret = match &push.notice {
        Notice::Ticket(ticket) => Some(ticket.value.expose()),
        Notice::Granted(grant) | Notice::Updated(grant) => grant.code.as_ref().map(|code| code.value.expose()),
        Notice::Revoked { .. } | Notice::Fact { .. } => None,
    };
    no_ticket_in(platform, &push.vendor);
    if let Some(secret) = secret.filter(|secret| secret.len() >= 8) {
        let vendor = push.vendor.to_string();
        let shown = format!("{:?} {:?} {:?}", push.notice, push.vendor_type, push.acknowledgement);
        let elsewhere = vendor.contains(secret)
            || push.vendor_type.contains(secret)
            || push.authorizer.as_deref().is_some_and(|id| id.contains(secret));
        assert!(elsewhere || !shown.contains(secret), "{platform}: {shown}");
    }

    // One changed bit anywhere is never another push.
    let mut changed = raw.clone();
    let mut body = raw.body.to_vec();
    let bit =
        said.plain.iter().fold(said.plain.len(), |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte))) % (body.len() * 8);
    body[bit / 8] ^= 1 << (bit % 8);
    changed.body = body.into();
    let read = push::meaning(&stage.component.open(&changed));
    assert!(read.is_none() || read == meant, "{platform}: bit {bit} makes another push of {raw:?}");
}

/// Members that hold a ticket or a code read `[sealed]`, at any depth.
fn no_ticket_in(platform: &str, value: &Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let hidden = ["ticket", "authorizationcode", "authorization_code"].iter().any(|secret| name.eq_ignore_ascii_case(secret));
                let shows = match value {
                    Value::String(text) => text != "[sealed]" && !text.trim().is_empty(),
                    Value::Number(_) => true,
                    _ => false,
                };
                // Alipay has other names for its secrets, which its own tests know.
                assert!(platform == "alipay" || !hidden || !shows, "{platform}: `{name}` is shown");
                no_ticket_in(platform, value);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| no_ticket_in(platform, item)),
        _ => {}
    }
}
