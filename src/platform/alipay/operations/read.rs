//! Answers in normal names, as a table: which member becomes which, and how.
//!
//! The platform writes flags and numbers as text here and there (Alipay 5.0), so they are read leniently. What an answer does not hold, the
//! result does not hold either.

use serde_json::{Map, Value, json};

use super::super::content::{number, seal_members, text};
use super::Node;
use super::steps::Build;
use crate::clock::china_rfc3339;
use crate::platform::loose;
use crate::platform::operation::{Operation, Outcome, Params};

/// How a member is read.
enum As {
    /// As it is.
    Same,
    /// True or false.
    Flag,
    /// A whole number.
    Number,
    /// A time as RFC 3339: from Beijing time, or from seconds or milliseconds, where the page does not say which it is (Alipay 4.6).
    Time,
    /// The state of a version.
    State,
    /// The state of the trial version.
    Trial,
    /// A list of texts that stands in one, with this between them.
    Split(char),
    /// A list of objects.
    Each(&'static [Member]),
}

/// Normal name, the vendor's, how.
type Member = (&'static str, &'static str, As);

/// What an operation's result is made of.
enum Reading {
    Members(&'static [Member]),
    /// The version that the parameters name and the state it has now, and these.
    Now(&'static str, &'static [Member]),
    /// A build.
    Build,
}

const DETAIL: &[Member] = &[
    ("version", "app_version", As::Same),
    ("status", "status", As::State),
    ("reason", "reject_reason", As::Same),
    ("description", "version_desc", As::Same),
    ("remark", "memo", As::Same),
    ("scan_result", "scan_result", As::Same),
    ("can_release", "can_release", As::Flag),
    ("gray_strategy", "gray_strategy", As::Same),
    ("base_audit", "base_audit", As::Same),
    ("promote_audit", "promote_audit", As::Same),
    ("name", "app_name", As::Same),
    ("english_name", "app_english_name", As::Same),
    ("icon", "app_logo", As::Same),
    ("slogan", "app_slogan", As::Same),
    ("intro", "app_desc", As::Same),
    ("phone", "service_phone", As::Same),
    ("email", "service_email", As::Same),
    ("created_at", "gmt_create", As::Time),
    ("submitted_at", "gmt_apply_audit", As::Time),
    ("audited_at", "gmt_audit_end", As::Time),
    ("released_at", "gmt_online", As::Time),
    ("offline_at", "gmt_offline", As::Time),
];

const REASON: &[Member] = &[
    ("version", "app_version", As::Same),
    ("status", "status", As::State),
    ("reason", "reject_reason", As::Same),
    ("base_audit", "base_audit", As::Same),
    ("base_audit_record", "base_audit_record", As::Same),
    ("promote_audit", "promote_audit", As::Same),
    ("promote_audit_record", "promote_audit_record", As::Same),
    ("can_release", "can_release", As::Flag),
    ("audited_at", "gmt_audit_end", As::Time),
];

const VERSIONS: &[Member] = &[(
    "items",
    "app_version_infos",
    As::Each(&[
        ("version", "app_version", As::Same),
        ("status", "version_status", As::State),
        ("description", "version_description", As::Same),
        ("created_at", "create_time", As::Time),
        ("can_release", "can_release", As::Flag),
        ("base_audit", "base_audit", As::Same),
        ("promote_audit", "promote_audit", As::Same),
        ("bundle_id", "bundle_id", As::Same),
    ]),
)];

const PROFILE: &[Member] = &[
    ("name", "app_name", As::Same),
    ("english_name", "app_english_name", As::Same),
    ("slogan", "app_slogan", As::Same),
    ("intro", "app_desc", As::Same),
    ("icon", "app_logo", As::Same),
    ("categories", "category_names", As::Split(';')),
    ("phone", "service_phone", As::Same),
    ("email", "service_email", As::Same),
    ("safe_domains", "safe_domains", As::Same),
    ("packages", "package_names", As::Same),
    ("registration_limit_release", "registration_limit_release", As::Flag),
];

const CATEGORIES: &[Member] = &[(
    "items",
    "mini_category_list",
    As::Each(&[
        ("category_id", "category_id", As::Same),
        ("name", "category_name", As::Same),
        ("parent_id", "parent_category_id", As::Same),
        ("has_child", "has_child", As::Flag),
        ("needs_license", "need_license", As::Flag),
        ("needs_out_door_pic", "need_out_door_pic", As::Flag),
        ("needs_special_license", "need_special_license", As::Flag),
    ]),
)];

const REQUIREMENTS: &[Member] = &[(
    "items",
    "category_require_info_list",
    As::Each(&[
        ("category_id", "category_code", As::Same),
        ("name", "category_name", As::Same),
        ("requirements", "category_requirements", As::Same),
        ("needs_license", "business_licence_required", As::Flag),
        ("needs_out_door_pic", "door_photo_required", As::Flag),
        ("needs_special_license", "special_licence_required", As::Flag),
    ]),
)];

const TRIAL: &[Member] =
    &[("status", "status", As::Trial), ("qrcode_url", "exp_qr_code_url", As::Same), ("schema_url", "exp_schema_url", As::Same)];

const MEMBERS: &[Member] = &[(
    "items",
    "app_member_info_list",
    As::Each(&[
        ("user_id", "user_id", As::Same),
        ("open_id", "open_id", As::Same),
        ("account", "logon_id", As::Same),
        ("name", "nick_name", As::Same),
        ("role", "role", As::Same),
        ("status", "status", As::Same),
        ("joined_on", "gmt_join", As::Same),
        ("invited_at", "gmt_invite", As::Time),
    ]),
)];

const RULES: &[Member] = &[(
    "items",
    "qr_code_route_groups",
    As::Each(&[("route_group", "route_group", As::Same), ("url", "route_url", As::Same), ("mode", "mode", As::Same)]),
)];

const TEMPLATES: &[Member] = &[(
    "items",
    "app_list",
    As::Each(&[
        ("template_id", "mini_app_id", As::Same),
        ("name", "app_name", As::Same),
        ("icon", "logo_url", As::Same),
        ("created_at", "date_create", As::Time),
        ("versions", "version_list", As::Each(&[("version", "template_version", As::Same), ("status", "version_status", As::State)])),
    ]),
)];

const USAGE: &[Member] =
    &[("items", "template_usage_info_list", As::Each(&[("app_id", "mini_app_id", As::Same), ("version", "app_version", As::Same)]))];

const INSTANCES: &[Member] = &[
    (
        "items",
        "instantiate_list",
        As::Each(&[
            ("app_id", "mini_app_id", As::Same),
            ("name", "app_name", As::Same),
            ("status", "status", As::Same),
            ("version", "latest_version", As::Same),
            ("version_status", "latest_version_status", As::State),
            ("template_id", "template_id", As::Same),
            ("template_version", "template_version", As::Same),
            ("qrcode_url", "qr_code_url", As::Same),
        ]),
    ),
    ("total", "total_items", As::Number),
];

const GRANTS: &[Member] = &[
    ("items", "app_auth_list", As::Each(&[("app_id", "auth_app_id", As::Same), ("granted_at", "auth_time", As::Time)])),
    ("total", "total_items", As::Number),
];

const PERMISSIONS: &[Member] = &[
    ("status", "status", As::Same),
    ("app_id", "auth_app_id", As::Same),
    ("user_id", "user_id", As::Same),
    ("permissions", "auth_methods", As::Same),
    ("begins_at", "auth_start", As::Time),
    ("ends_at", "auth_end", As::Time),
    ("is_by_app_auth", "is_by_app_auth", As::Flag),
];

const MERCHANT: &[Member] = &[
    ("app_id", "merchant_app_id", As::Same),
    ("app_name", "merchant_app_name", As::Same),
    ("merchant", "merchant_name", As::Same),
    ("account", "alipay_account", As::Same),
];

const ANALYSIS: &[Member] = &[
    ("action", "result_action", As::Same),
    ("labels", "risk_labels", As::Split(',')),
    ("hits", "hit_detect_items", As::Same),
    ("event_id", "event_id", As::Same),
    ("app_scene_data_id", "app_scene_data_id", As::Same),
    ("needs_query", "need_query", As::Same),
];

static READINGS: &[(&str, Reading)] = &[
    ("profile.get", Reading::Members(PROFILE)),
    ("profile.modify", Reading::Members(&[("status", "modify_status", As::Same)])),
    ("profile.set_name", Reading::Members(&[("status", "modify_status", As::Same)])),
    ("profile.set_icon", Reading::Members(&[("status", "modify_status", As::Same)])),
    ("profile.set_intro", Reading::Members(&[("status", "modify_status", As::Same)])),
    ("profile.check_name", Reading::Members(&[("check_code", "check_code", As::Same), ("reason", "check_memo", As::Same)])),
    ("category.catalogue", Reading::Members(CATEGORIES)),
    ("category.requirements", Reading::Members(REQUIREMENTS)),
    ("category.list", Reading::Members(&[("items", "category_names", As::Split(';'))])),
    ("category.modify", Reading::Members(&[("status", "modify_status", As::Same)])),
    ("safe_domain.get", Reading::Members(&[("items", "safe_domains", As::Same)])),
    ("package.upload", Reading::Build),
    ("package.build_status", Reading::Build),
    ("package.list", Reading::Members(VERSIONS)),
    ("package.get", Reading::Members(DETAIL)),
    ("package.delete", Reading::Now("deleted", &[])),
    ("audit.submit", Reading::Now("in_audit", &[("speed_up", "speed_up", As::Flag), ("speed_up_memo", "speed_up_memo", As::Same)])),
    ("audit.withdraw", Reading::Now("developing", &[])),
    ("audit.reason", Reading::Members(REASON)),
    ("package.back_to_development", Reading::Now("developing", &[])),
    ("package.release", Reading::Now("released", &[])),
    ("package.online", Reading::Now("released", &[])),
    ("package.offline", Reading::Now("offline", &[])),
    ("package.rollback", Reading::Now("offline", &[])),
    ("package.gray_online", Reading::Now("gray", &[])),
    ("package.gray_cancel", Reading::Now("approved", &[])),
    ("trial.qrcode", Reading::Members(TRIAL)),
    ("trial.create", Reading::Now("packaging", &[])),
    ("trial.cancel", Reading::Now("none", &[])),
    ("trial.status", Reading::Members(TRIAL)),
    ("member.list", Reading::Members(MEMBERS)),
    (
        "content.check",
        Reading::Members(&[("action", "action", As::Same), ("keywords", "keywords", As::Same), ("id", "unique_id", As::Same)]),
    ),
    ("content.analyze", Reading::Members(ANALYSIS)),
    ("content.result", Reading::Members(ANALYSIS)),
    (
        "content.sync_check",
        Reading::Members(&[
            ("action", "suggestion", As::Same),
            ("labels", "detect_check_labels", As::Same),
            ("request_id", "request_id", As::Same),
            ("code", "result_code", As::Same),
            ("message", "result_msg", As::Same),
        ]),
    ),
    (
        "qrcode.create",
        Reading::Members(&[
            ("url", "qr_code_url", As::Same),
            ("round_blue_url", "qr_code_url_circle_blue", As::Same),
            ("round_white_url", "qr_code_url_circle_white", As::Same),
        ]),
    ),
    ("qrcode.create_temporary", Reading::Members(&[("url", "qr_code_url", As::Same), ("content", "qr_code", As::Same)])),
    ("qrcode_rule.bind", Reading::Members(&[("route_group", "route_group", As::Same)])),
    ("qrcode_rule.list", Reading::Members(RULES)),
    ("qrcode_rule.create_pattern", Reading::Members(&[("route_group", "route_group", As::Same)])),
    ("template.list", Reading::Members(TEMPLATES)),
    ("template.usage", Reading::Members(USAGE)),
    ("template.instances", Reading::Members(INSTANCES)),
    ("authorization.permissions", Reading::Members(PERMISSIONS)),
    ("authorization.merchant", Reading::Members(MERCHANT)),
    ("authorization.list", Reading::Members(GRANTS)),
    ("authorization.invite", Reading::Members(&[("url", "task_page_url", As::Same)])),
];

/// The outcome of an operation whose answer is this node. Operations without a reading answer with an empty object.
pub fn outcome(operation: &Operation, params: &Params, node: Node) -> Outcome {
    let reading = READINGS.iter().find(|(name, _)| *name == operation.name).map(|(_, reading)| reading);
    let result = match reading {
        None => Map::new(),
        Some(Reading::Members(members)) => named(members, &node),
        Some(Reading::Now(state, members)) => now(state, params, named(members, &node)),
        Some(Reading::Build) => now(Build::of(&node).word(), params, Map::new()),
    };
    Outcome { result: Value::Object(result), vendor: sealed(node), file: None }
}

/// The vendor's node, without tokens and keys.
pub fn sealed(node: Node) -> Value {
    let mut vendor = Value::Object(node);
    seal_members(&mut vendor);
    vendor
}

fn now(state: &str, params: &Params, others: Map<String, Value>) -> Map<String, Value> {
    let mut result = Map::new();
    if let Some(version) = params.text("version") {
        result.insert(String::from("version"), Value::from(version));
    }
    result.insert(String::from("status"), Value::from(state));
    result.extend(others);
    result
}

fn named(members: &[Member], node: &Node) -> Map<String, Value> {
    let read = |(normal, vendor, how): &Member| Some(((*normal).to_owned(), read(how, vendor, node)?));
    members.iter().filter_map(read).collect()
}

fn read(how: &As, vendor: &str, node: &Node) -> Option<Value> {
    let value = node.get(vendor).filter(|value| !value.is_null());
    match how {
        As::Same => value.cloned(),
        As::Flag => flag(value).map(Value::from),
        As::Number => number(node, vendor).map(Value::from),
        // A time that cannot be read is better shown than hidden.
        As::Time => value.and_then(loose::moment).map(china_rfc3339).or_else(|| text(node, vendor)).map(Value::from),
        As::State => text(node, vendor).map(|state| Value::from(state_word(&state))),
        As::Trial => text(node, vendor).map(|state| Value::from(trial_word(&state))),
        As::Split(between) => {
            let texts = |text: String| text.split(*between).filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
            match value {
                Some(Value::Array(_)) => value.cloned(),
                _ => Some(json!(text(node, vendor).map(texts).unwrap_or_default())),
            }
        }
        As::Each(members) => {
            let entries = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            Some(entries.iter().filter_map(Value::as_object).map(|entry| Value::Object(named(members, entry))).collect())
        }
    }
}

/// A flag in any of the platform's spellings.
pub fn flag(value: Option<&Value>) -> Option<bool> {
    match value? {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "y" | "yes" | "1" => Some(true),
            "false" | "n" | "no" | "0" => Some(false),
            _ => None,
        },
        Value::Number(number) => Some(number.as_i64() != Some(0)),
        _ => None,
    }
}

/// The state of a version in a normal word (Alipay 5.1); one that nobody knows in the platform's own, in lower case.
fn state_word(state: &str) -> String {
    let word = match state {
        "INIT" => "developing",
        "AUDITING" => "in_audit",
        "AUDIT_REJECT" => "rejected",
        // What failed of a split audit is told beside it, in `promote_audit`.
        "WAIT_RELEASE" | "BASE_AUDIT_PASS" | "PROMOTE_AUDIT_REJECT" => "approved",
        "GRAY" => "gray",
        "RELEASE" => "released",
        "OFFLINE" => "offline",
        "AUDIT_OFFLINE" => "suspended",
        other => return other.to_ascii_lowercase(),
    };
    word.to_owned()
}

/// The state of a trial version; the first spelling is the official one (Alipay 5.6).
pub fn trial_word(state: &str) -> &'static str {
    match state {
        "expVersionPackged" | "expVersionPackaged" => "ready",
        "expVersionPackaging" => "packaging",
        "notExpVersion" => "none",
        _ => "unknown",
    }
}
