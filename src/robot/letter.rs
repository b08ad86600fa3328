//! A message in the form of each robot, with its signature. Pure: the time is an argument.
//!
//! Sources: DingTalk, "自定义机器人安全设置" (open.dingtalk.com); Feishu, "自定义机器人使用指南" (open.feishu.cn, bot-v3/add-custom-bot);
//! WeCom, "群机器人配置说明" (developer.work.weixin.qq.com, 91770).

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::message::Message;
use super::{Kind, Language, Robot};
use crate::clock::Timestamp;
use crate::secret::Secret;

/// Bytes of the text at most. WeCom takes 4096 of markdown; DingTalk and Feishu about 20,000 of body, in which JSON and escapes need room.
const MOST_WECOM: usize = 4096;
const MOST_OTHERS: usize = 12_000;

/// What is posted.
#[derive(Debug)]
pub struct Letter {
    /// Where to.
    pub url: Secret,
    /// JSON.
    pub body: String,
}

/// The address in the configuration is none.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[error("its address is no URL")]
pub struct NoAddress;

/// Writes the letter for that robot.
///
/// # Errors
/// [`NoAddress`].
pub fn write(robot: &Robot, message: &Message, now: Timestamp) -> Result<Letter, NoAddress> {
    let (url, body) = match robot.kind {
        Kind::DingTalk => {
            let text = markdown(&format!("### {}\n\n", message.title), message, "- **", "**", MOST_OTHERS);
            let body = json!({"msgtype": "markdown", "markdown": {"title": message.title, "text": text}});
            (signed_address(robot, now)?, body)
        }
        Kind::WeCom => {
            let text = markdown(&format!("### {}\n", message.title), message, "> **", "**", MOST_WECOM);
            (robot.url.clone(), json!({"msgtype": "markdown", "markdown": {"content": text}}))
        }
        Kind::Feishu => (robot.url.clone(), feishu(robot, message, now)),
    };
    Ok(Letter { url, body: body.to_string() })
}

/// DingTalk: HMAC-SHA256 with the secret over the milliseconds, a line feed and the secret; in base64, as parameters of the address.
fn signed_address(robot: &Robot, now: Timestamp) -> Result<Secret, NoAddress> {
    let Some(secret) = &robot.secret else { return Ok(robot.url.clone()) };
    let mut url = url::Url::parse(robot.url.expose()).map_err(|_| NoAddress)?;
    let timestamp = now.as_millisecond().to_string();
    let sign = mac(secret.expose().as_bytes(), format!("{timestamp}\n{}", secret.expose()).as_bytes());
    url.query_pairs_mut().append_pair("timestamp", &timestamp).append_pair("sign", &sign);
    Ok(Secret::new(String::from(url)))
}

/// Feishu: HMAC-SHA256 over nothing, with the seconds, a line feed and the secret as the key; in base64, as members of the body.
/// The lines are plain text elements, so nothing in them is read as markup.
fn feishu(robot: &Robot, message: &Message, now: Timestamp) -> Value {
    let mut body = Map::new();
    if let Some(secret) = &robot.secret {
        let timestamp = now.as_second().to_string();
        let sign = mac(format!("{timestamp}\n{}", secret.expose()).as_bytes(), b"");
        body.insert(String::from("timestamp"), timestamp.into());
        body.insert(String::from("sign"), sign.into());
    }
    let colon = message.language.pick("：", ": ");
    let mut left = MOST_OTHERS;
    let mut content = Vec::new();
    for (label, value) in &message.lines {
        let line = if label.is_empty() { value.clone() } else { format!("{label}{colon}{value}") };
        let Some(line) = fitting(&line, &mut left) else { break };
        content.push(json!([{"tag": "text", "text": line}]));
    }
    let place = match message.language {
        Language::Chinese => "zh_cn",
        Language::English => "en_us",
    };
    body.insert(String::from("msg_type"), "post".into());
    body.insert(String::from("content"), json!({"post": {place: {"title": message.title, "content": content}}}));
    Value::Object(body)
}

fn mac(key: &[u8], data: &[u8]) -> String {
    STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data))
}

/// Head and lines as markdown. What came from outside is plain text in it.
fn markdown(head: &str, message: &Message, before: &str, after: &str, most: usize) -> String {
    let colon = message.language.pick("：", ": ");
    let mut left = most.saturating_sub(head.len());
    let mut text = head.to_owned();
    for (label, value) in &message.lines {
        let value = plain(value);
        let line = if label.is_empty() { format!("{value}\n") } else { format!("{before}{label}{after}{colon}{value}\n") };
        let Some(line) = fitting(&line, &mut left) else { break };
        text.push_str(&line);
    }
    text.trim_end().to_owned()
}

/// As much of the line as fits, with an ellipsis where it was cut; `None` where nothing does.
fn fitting(line: &str, left: &mut usize) -> Option<String> {
    const ELLIPSIS: &str = "…";
    if line.len() <= *left {
        *left -= line.len();
        return Some(line.to_owned());
    }
    let end = line.floor_char_boundary(left.saturating_sub(ELLIPSIS.len()));
    *left = 0;
    (end > 0).then(|| format!("{}{ELLIPSIS}", line.get(..end).unwrap_or_default()))
}

/// Text in which markdown finds nothing to read: no link, no mention (`<@all>`), no emphasis, no code.
fn plain(text: &str) -> String {
    let wide = |character: char| match character {
        '<' => '＜',
        '>' => '＞',
        '[' => '［',
        ']' => '］',
        '*' => '＊',
        '`' => '｀',
        '#' => '＃',
        '|' => '｜',
        '~' => '～',
        '\\' => '＼',
        other => other,
    };
    text.chars().map(wide).collect()
}
