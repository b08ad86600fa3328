//! Pushes as the four platforms send them: sealed by their twins, each with content of its own, ready to be sent.

use std::sync::Arc;

use anyhow::anyhow;
use bytes::Bytes;

use super::load;
use crate::clock::{Clock, SystemClock};
use crate::platform::twin::{Outgoing, Verdict};
use crate::platform::{self, Door, Twin};
use crate::settings::{Settings, Surroundings};

/// Where pushes of a platform come from.
struct Source {
    name: &'static str,
    twin: Box<dyn Twin>,
}

/// Makes pushes.
pub struct Pushes {
    sources: Vec<Source>,
    made: usize,
    authorizers: usize,
}

impl Pushes {
    /// Of these platforms in turn, about so many merchants in turn. `vendor` is the base address that stands in the service's configuration.
    pub fn of(platforms: &[&str], vendor: &dyn Fn(&str) -> String, authorizers: usize) -> anyhow::Result<Self> {
        let mut sources = Vec::new();
        for platform in platform::ALL.iter().filter(|platform| platforms.contains(&platform.name())) {
            let name = platform.name();
            let settings = Settings::parse(&platform.sample_settings(&vendor(name)), Surroundings::default());
            let twin = settings.map_err(|problem| vec![problem]).and_then(|settings| platform.twin(settings));
            let twin = twin.map_err(|problems| anyhow!("the twin of {name} refuses its settings: {problems:?}"))?;
            sources.push(Source { name, twin });
        }
        Ok(Self { sources, made: 0, authorizers: authorizers.max(1) })
    }

    /// The same, as if so many had been made before.
    #[must_use]
    pub fn beginning_at(self, made: usize) -> Self {
        Self { made, ..self }
    }

    /// Requests that push `count` results of audits, no two alike.
    pub fn requests(&mut self, count: usize) -> Arc<[Bytes]> {
        (0..count).filter_map(|_| self.next()).collect()
    }

    fn next(&mut self) -> Option<Bytes> {
        let made = self.made;
        self.made += 1;
        let platforms = self.sources.len().max(1);
        let source = self.sources.get_mut(made % platforms)?;
        let app_id = app_id(source.name, busy(made / platforms, self.authorizers));
        // A failed audit with the auditor's words is what such pushes mostly look like; the number makes it one of its kind.
        let words = format!(
            "小程序内容与所选类目不符，请修改后重新提交；页面 pages/index/index 无法正常打开 (the category does not fit the content), no. {made}"
        );
        let push = source.twin.audit(&app_id, &format!("1.0.{made}"), &Verdict::Failed(words), SystemClock.now());
        Some(request(source.name, &push))
    }
}

/// Which merchant is next: every other push is about one of the busiest hundredth, as some shops are busier than others.
fn busy(made: usize, authorizers: usize) -> usize {
    let (turn, is_busy) = (made / 2, made % 2 == 1);
    if is_busy { turn % busiest(authorizers) } else { turn % authorizers }
}

/// How many merchants of a platform have most of the events.
pub fn busiest(authorizers: usize) -> usize {
    (authorizers / 100).max(1)
}

/// The request that carries a push to the component of that name.
fn request(component: &str, push: &Outgoing) -> Bytes {
    let door = match push.door {
        Door::Authorization => "authorization",
        Door::Message => "message",
    };
    let headers: Vec<(&str, &str)> = push.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    load::request("POST", &format!("/callback/{component}/{door}"), &headers, &push.body)
}

/// The app id of a merchant as that platform writes them.
pub fn app_id(platform: &str, number: usize) -> String {
    match platform {
        "baidu" => format!("{}", 1_000_000 + number),
        "douyin" => format!("tt{number:016x}"),
        "kuaishou" => format!("ks7{number:017}"),
        _ => format!("2021{number:012}"),
    }
}
