//! What a robot says to a message. All three answer 200 whatever happened; a code in the body tells. Pure.

use std::time::Duration;

use serde_json::Value;

use super::Kind;
use crate::platform::loose;

/// Characters of the robot's own words that are kept.
const KEPT_CHARACTERS: usize = 200;

/// How it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It stands in the group.
    Said,
    /// Too much at once, or the robot's owner has trouble: again, after that time where it is known.
    Busy(String, Option<Duration>),
    /// Never; why, and what to do.
    Refused(String),
}

/// What a known code means.
enum Means {
    /// Again after so many seconds.
    Wait(u64),
    /// Again by the schedule.
    Again,
    /// Never; what a person can do.
    Mend(&'static str),
}

const KEYWORD: &str = "its security settings ask for a keyword, a signature or certain addresses that this message does not have: \
    titles begin with 驿站 (English: Yizhan), `secret` signs";
const TOKEN: &str = "the address does not name a robot (any more): copy it again from the group's settings";

/// Codes that are known: DingTalk's "错误码", Feishu's and WeCom's pages on robots. Every other code is a refusal with the robot's words.
/// Feishu's 9499 stands for a body that it cannot read and for too many requests, so it is tried again and ends as a dead letter.
const CODES: &[(Kind, i64, Means)] = &[
    // 20 messages a minute, then silence for 10 minutes.
    (Kind::DingTalk, 130_101, Means::Wait(600)),
    (Kind::DingTalk, 410_100, Means::Wait(600)),
    (Kind::DingTalk, -1, Means::Again),
    (Kind::DingTalk, 310_000, Means::Mend(KEYWORD)),
    (Kind::DingTalk, 300_001, Means::Mend(TOKEN)),
    (Kind::DingTalk, 400_101, Means::Mend(TOKEN)),
    (Kind::DingTalk, 400_102, Means::Mend("the robot is switched off in the group's settings")),
    (Kind::DingTalk, 400_106, Means::Mend(TOKEN)),
    // 100 messages a minute and 5 a second.
    (Kind::Feishu, 11_232, Means::Wait(60)),
    (Kind::Feishu, 9_499, Means::Wait(60)),
    (Kind::Feishu, 19_001, Means::Mend(TOKEN)),
    (Kind::Feishu, 19_021, Means::Mend("the signature does not match: check `secret` and this machine's clock")),
    (Kind::Feishu, 19_022, Means::Mend("the robot's security settings do not allow this machine's address")),
    (Kind::Feishu, 19_024, Means::Mend(KEYWORD)),
    // 20 messages a minute.
    (Kind::WeCom, 45_009, Means::Wait(60)),
    (Kind::WeCom, -1, Means::Again),
    (Kind::WeCom, 93_000, Means::Mend(TOKEN)),
];

/// Reads an answer.
#[must_use]
pub fn read(kind: Kind, status: u16, body: &[u8]) -> Heard {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let empty = serde_json::Map::new();
    let members = answer.as_object().unwrap_or(&empty);
    let (codes, words): (&[&str], &[&str]) = match kind {
        Kind::DingTalk | Kind::WeCom => (&["errcode"], &["errmsg"]),
        // `StatusCode` is what older robots of Feishu answer.
        Kind::Feishu => (&["code", "StatusCode"], &["msg", "StatusMessage"]),
    };
    let Some(code) = loose::integer_of(members, codes) else {
        return match status {
            401 | 403 | 404 | 410 => Heard::Refused(format!("HTTP {status}: {TOKEN}")),
            _ => Heard::Busy(format!("HTTP {status}, and no answer of a robot"), None),
        };
    };
    if code == 0 {
        return Heard::Said;
    }
    let words = loose::text_of(members, words).unwrap_or_default();
    let words: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(KEPT_CHARACTERS).collect();
    let told = format!("{code} {words}").trim_end().to_owned();
    let known = CODES.iter().find(|(whose, known, _)| *whose == kind && *known == code);
    match known.map(|(_, _, means)| means) {
        Some(Means::Wait(seconds)) => Heard::Busy(told, Some(Duration::from_secs(*seconds))),
        Some(Means::Again) => Heard::Busy(told, None),
        Some(Means::Mend(advice)) => Heard::Refused(format!("{told} ({advice})")),
        None if status == 429 || status >= 500 => Heard::Busy(told, None),
        None => Heard::Refused(told),
    }
}
