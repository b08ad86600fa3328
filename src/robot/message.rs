//! What is said: a title, and lines of label and text, made from an event in Chinese or English.
//!
//! A merchant, its version and the reasons stand there in the platform's own words. Nothing is said that the event does not hold.

use serde_json::Value;

use super::Language;
use crate::placeholder;
use crate::platform;

/// Characters of one text at most: a robot's message is a pointer, the event holds everything.
const MOST_CHARACTERS: usize = 600;
/// Hosts that are told apart at most.
const MOST_HOSTS: usize = 12;

/// A message, in no robot's form yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// First line.
    pub title: String,
    /// Label and text; an empty label stands for a text of its own. Texts hold no line feed.
    pub lines: Vec<(&'static str, String)>,
    /// In which language the labels are.
    pub language: Language,
}

/// What each type of event is called in a title: type, Chinese, English.
const TITLES: &[(&str, &str, &str)] = &[
    ("authorization.granted", "商家已授权", "Authorization granted"),
    ("authorization.updated", "商家变更授权", "Authorization changed"),
    ("authorization.revoked", "商家取消授权", "Authorization revoked"),
    ("audit.passed", "代码审核通过", "Audit passed"),
    ("audit.failed", "代码审核未通过", "Audit failed"),
    ("audit.delayed", "代码审核延期", "Audit delayed"),
    ("build.succeeded", "构建成功", "Build succeeded"),
    ("build.failed", "构建失败", "Build failed"),
    ("release.changed", "线上版本变化", "Release changed"),
    ("profile.passed", "资料审核通过", "Profile audit passed"),
    ("profile.failed", "资料审核未通过", "Profile audit failed"),
    ("category.passed", "类目审核通过", "Category audit passed"),
    ("category.failed", "类目审核未通过", "Category audit failed"),
    ("capability.granted", "能力申请通过", "Capability granted"),
    ("capability.rejected", "能力申请未通过", "Capability rejected"),
    ("capability.revoked", "能力被收回", "Capability revoked"),
    ("service.paused", "服务已暂停", "Service paused"),
    ("service.resumed", "服务已恢复", "Service resumed"),
    ("service.suspended", "服务被平台停用", "Service suspended"),
    ("service.warned", "平台警告", "Warning from the platform"),
    ("certification.changed", "主体认证变化", "Certification changed"),
];

/// Members of `data` that are said, with their labels; the reason comes last, because it may be long.
const MEMBERS: &[(&str, &str, &str)] = &[
    ("version", "版本", "Version"),
    ("package_id", "代码包", "Package"),
    ("state", "状态", "State"),
    ("field", "资料项", "Field"),
    ("category", "类目", "Category"),
    ("capability", "能力", "Capability"),
    ("advice", "建议", "Advice"),
    ("reason", "原因", "Reason"),
];

impl Message {
    /// Of an event, given as its CloudEvent. `shop` is what people call the merchant, where that is noted; `text` replaces what would be said of
    /// the event's data.
    #[must_use]
    pub fn of_event(event: &Value, shop: Option<&str>, text: Option<&str>, language: Language) -> Self {
        let member = |path: &str| placeholder::at(event, path).map(|value| words(&value));
        let kind = member("type").unwrap_or_default();
        let known = TITLES.iter().find(|(name, ..)| *name == kind);
        let title = known.map_or_else(|| kind.clone(), |(_, zh, en)| language.pick(zh, en).to_owned());
        let mut lines = Vec::new();
        let mut say = |label: &'static str, text: String| {
            if !text.is_empty() {
                lines.push((label, text));
            }
        };
        let subject = member("subject").unwrap_or_default();
        let merchant = match shop.map(words_of).filter(|shop| !shop.is_empty()) {
            Some(shop) if subject.is_empty() => shop,
            Some(shop) => format!("{shop} ({subject})"),
            None => subject,
        };
        say(language.pick("商家", "Merchant"), merchant);
        let name = member("platform").unwrap_or_default();
        let platform = platform::named(&name).map_or(name, |one| language.pick(one.title().zh, one.title().en).to_owned());
        let component = member("source").unwrap_or_default().trim_start_matches("/components/").to_owned();
        say(language.pick("平台", "Platform"), if component.is_empty() { platform } else { format!("{platform} ({component})") });
        say(language.pick("时间", "Time"), member("time").unwrap_or_default());
        say(language.pick("事件", "Event"), member("id").unwrap_or_default());
        match text {
            Some(text) => text.lines().for_each(|line| say("", words_of(line))),
            None => {
                for (name, zh, en) in MEMBERS {
                    say(language.pick(zh, en), member(&format!("data.{name}")).unwrap_or_default());
                }
                let hosts = placeholder::at(event, "data.hosts").unwrap_or_default();
                for host in hosts.as_array().into_iter().flatten().take(MOST_HOSTS) {
                    let of = |name: &str| placeholder::at(host, name).map(|value| words(&value)).unwrap_or_default();
                    let told = [of("host"), of("status"), of("reason")];
                    let told: Vec<String> = told.into_iter().filter(|part| !part.is_empty()).collect();
                    say(language.pick("宿主端", "Host"), told.join(" · "));
                }
            }
        }
        Self { title: format!("{} · {title}", language.pick("驿站", "Yizhan")), lines, language }
    }
}

/// A value as words on one line.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => words_of(text),
        Value::Array(items) => words_of(&items.iter().map(words).collect::<Vec<_>>().join("; ")),
        Value::Null => String::new(),
        other => words_of(&other.to_string()),
    }
}

fn words_of(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = line.trim();
    if line.chars().count() <= MOST_CHARACTERS {
        return line.to_owned();
    }
    line.chars().take(MOST_CHARACTERS).chain(['…']).collect()
}
