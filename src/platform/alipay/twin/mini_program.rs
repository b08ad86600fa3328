//! One merchant's mini program as the pretended platform knows it: its base information, members, rules, domains and versions.
//!
//! Kept by the twin. What can be done with versions is in `versions`, all else in `front`.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::clock::Timestamp;

/// What a method is given: the members of `biz_content`, or fields and file names at the top level.
pub type Given = Map<String, Value>;

/// What a method answers, or its `sub_code`.
pub type Done = Result<Value, &'static str>;

/// How long the security scan of a version takes here, from the end of its build.
const SCAN: Duration = Duration::from_secs(5);

/// How long the audit of a changed base information takes here.
const PROFILE_AUDIT: Duration = Duration::from_secs(600);

/// A mini program.
pub struct MiniProgram {
    /// Members as `baseinfo.query` names them.
    pub profile: Map<String, Value>,
    /// A change of those that waits for an audit, and when that ends.
    pub pending: Option<(Timestamp, Map<String, Value>)>,
    pub domains: Vec<String>,
    pub members: Vec<Member>,
    /// Members that ever were: the next one's number.
    pub invited: u64,
    pub rules: Vec<Rule>,
    pub rules_made: u64,
    pub versions: Vec<Version>,
    /// The experience version, and how often somebody asked whether it is ready.
    pub trial: Option<(String, u32)>,
    /// Whether the last release was a rollback: two in a row are refused.
    pub is_rolled_back: bool,
    pub topics: Vec<String>,
}

pub struct Member {
    pub user_id: String,
    pub account: String,
    pub role: String,
    pub invited_at: Timestamp,
}

pub struct Rule {
    pub id: String,
    pub url: String,
    pub mode: String,
}

pub struct Version {
    pub number: String,
    pub state: &'static str,
    /// When the build was finished. The first question after it finishes it.
    pub built_at: Option<Timestamp>,
    pub template_version: String,
    /// Safe domains that were there when it was built: it never has others (Alipay 5.12).
    pub domains: Vec<String>,
    pub description: String,
    pub remark: String,
    pub releases_itself: bool,
    pub gray_strategy: String,
    pub reason: String,
    pub created_at: Timestamp,
    pub submitted_at: Option<Timestamp>,
    pub audited_at: Option<Timestamp>,
    pub released_at: Option<Timestamp>,
    pub offline_at: Option<Timestamp>,
}

impl Version {
    /// Whether the security scan that follows the build has ended; here it always ends well.
    pub fn is_scanned(&self, now: Timestamp) -> bool {
        self.built_at.is_some_and(|built_at| built_at + SCAN <= now)
    }
}

impl MiniProgram {
    /// A mini program whose merchant filled in everything before it authorized.
    pub fn new() -> Self {
        let profile = [
            ("app_name", "沿途小店"),
            ("app_english_name", "Wayside"),
            ("app_slogan", "一盏灯，一碗热汤"),
            ("app_desc", "沿途小店卖干粮、热汤和马料，天黑点灯，天亮收摊。"),
            ("app_logo", "https://example.com/wayside.png"),
            ("category_names", "购物_便利店;"),
            ("service_phone", "010-00000000"),
            ("service_email", "wayside@example.com"),
        ];
        Self {
            profile: profile.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect(),
            pending: None,
            domains: Vec::new(),
            members: Vec::new(),
            invited: 0,
            rules: Vec::new(),
            rules_made: 0,
            versions: Vec::new(),
            trial: None,
            is_rolled_back: false,
            topics: Vec::new(),
        }
    }

    /// Takes over a change of the base information whose audit has ended.
    pub fn settle(&mut self, now: Timestamp) {
        if let Some((_, change)) = self.pending.take_if(|(until, _)| *until <= now) {
            self.profile.extend(change);
        }
    }

    /// Changes the base information, after an audit where something is online.
    pub fn change(&mut self, change: Map<String, Value>, now: Timestamp) -> &'static str {
        if self.is_online() {
            self.pending = Some((now.checked_add(PROFILE_AUDIT).unwrap_or(Timestamp::MAX), change));
            return "AUDITING";
        }
        self.profile.extend(change);
        "SUCCESS"
    }

    /// Whether a version is online.
    pub fn is_online(&self) -> bool {
        self.versions.iter().any(|version| version.state == "RELEASE")
    }

    /// The version of that number.
    pub fn version(&mut self, number: &str) -> Option<&mut Version> {
        self.versions.iter_mut().find(|version| version.number == number)
    }
}

/// Length as the platform counts it: a Chinese character is two (Alipay 5.0).
pub fn units(text: &str) -> usize {
    text.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum()
}
