//! Robots of chat groups: DingTalk (钉钉), Feishu (飞书) and WeCom (企业微信). A playbook tells people through them what needs a person.
//!
//! Called by `playbook`. [`message`] writes what is said, [`letter`] seals it in the robot's own form and signature, [`answer`] reads what the
//! robot says to it; all three are pure. The address of a robot is a secret: whoever has it can write into the group. It is never logged,
//! shown or stored.

pub mod answer;
pub mod letter;
pub mod message;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::fanout::schedule;
use crate::outbound::Webhooks;
use crate::outbound::webhooks::{Post, PostError};
use crate::secret::Secret;
use answer::Heard;
use message::Message;

/// Whose robot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 钉钉
    DingTalk,
    /// 飞书
    Feishu,
    /// 企业微信
    WeCom,
}

impl Kind {
    /// Its name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DingTalk => "dingtalk",
            Self::Feishu => "feishu",
            Self::WeCom => "wecom",
        }
    }
}

/// In which language a robot speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// Chinese.
    #[default]
    Chinese,
    /// English.
    English,
}

impl Language {
    /// The text in this language.
    #[must_use]
    pub const fn pick(self, zh: &'static str, en: &'static str) -> &'static str {
        match self {
            Self::Chinese => zh,
            Self::English => en,
        }
    }
}

/// One robot.
#[derive(Debug, Clone)]
pub struct Robot {
    /// Its name, by which playbooks call it.
    pub name: String,
    /// Whose it is.
    pub kind: Kind,
    /// Its whole address, with the token or key in it.
    pub url: Secret,
    /// Signs messages, where the robot's security settings ask for it (DingTalk and Feishu).
    pub secret: Option<Secret>,
    /// What it speaks.
    pub language: Language,
}

/// Why nobody was told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untold {
    /// The robot will never say this one.
    #[error("{0}")]
    Refused(String),
    /// Later it may; not before that time, where one is known.
    #[error("{0}")]
    Later(String, Option<Timestamp>),
}

/// All robots of this deployment.
pub struct Robots {
    robots: BTreeMap<String, Robot>,
    client: Webhooks,
    timeout: Duration,
    clock: Arc<dyn Clock>,
}

impl Robots {
    /// These robots, spoken to through that client; `timeout` is the total time of one message.
    #[must_use]
    pub fn new(robots: impl IntoIterator<Item = Robot>, client: Webhooks, timeout: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { robots: robots.into_iter().map(|robot| (robot.name.clone(), robot)).collect(), client, timeout, clock }
    }

    /// Their names.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.robots.keys().cloned().collect()
    }

    /// What that robot speaks.
    #[must_use]
    pub fn language(&self, name: &str) -> Language {
        self.robots.get(name).map(|robot| robot.language).unwrap_or_default()
    }

    /// Has that robot say it once. An answer that never came is `Later`: people would rather hear something twice than not at all.
    ///
    /// # Errors
    /// See [`Untold`].
    pub async fn tell(&self, name: &str, message: &Message) -> Result<(), Untold> {
        let robot = self.robots.get(name).ok_or_else(|| Untold::Refused(format!("there is no robot `{name}` in the configuration")))?;
        let says = |words: String| format!("robot `{name}` ({}): {words}", robot.kind.as_str());
        let now = self.clock.now();
        let letter = letter::write(robot, message, now).map_err(|why| Untold::Refused(says(why.to_string())))?;
        let destination =
            self.client.destination(letter.url.expose()).map_err(|why| Untold::Refused(says(PostError::from(why).to_string())))?;
        let post = Post {
            to: &destination,
            content_type: "application/json; charset=utf-8",
            headers: &[],
            body: letter.body.into(),
            timeout: self.timeout,
        };
        let reply = match self.client.post(post).await {
            Ok(reply) => reply,
            Err(error @ PostError::Forbidden(_)) => return Err(Untold::Refused(says(error.to_string()))),
            Err(error) => return Err(Untold::Later(says(error.to_string()), None)),
        };
        let asked = reply.retry_after.as_deref().and_then(|text| schedule::retry_after(text, now));
        match answer::read(robot.kind, reply.status, &reply.head) {
            Heard::Said => Ok(()),
            Heard::Busy(words, wait) => Err(Untold::Later(says(words), asked.max(wait.map(|wait| schedule::later(now, wait))))),
            Heard::Refused(words) => Err(Untold::Refused(says(words))),
        }
    }
}
