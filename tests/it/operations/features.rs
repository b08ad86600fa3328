//! Every feature of the providers' guides has its row, on the platform whose guide names it.
//!
//! A feature is written as the rows that carry it: `operation`, `operation:parameter`, or `operation:parameter=value` where several
//! features share a row. That each row makes the right call and is answered by its twin is told in each platform's `rows.rs`.

use std::collections::BTreeSet;
use std::path::Path;

use yizhan::operations::sheet::{self, Sheet};
use yizhan::platform::operation::{Kind, Operation};

/// (feature, rows that carry it)
type Feature = (&'static str, &'static [&'static str]);

const BAIDU: [Feature; 17] = [
    ("basic data of the merchant", &["profile.get"]),
    ("authorization", &["authorization.permissions"]),
    ("name with check, icon, introduction", &["profile.check_name", "profile.set_name", "profile.set_icon", "profile.set_intro"]),
    ("service status", &["service.pause", "service.resume"]),
    (
        "categories with qualifications",
        &["category.catalogue", "category.list", "category.add", "category.modify", "category.delete", "media.upload"],
    ),
    ("server domains", &["server_domain.get", "server_domain.add", "server_domain.set", "server_domain.delete"]),
    (
        "webview domains and their file",
        &["webview_domain.get", "webview_domain.add", "webview_domain.set", "webview_domain.delete", "webview_domain.check_file"],
    ),
    (
        "server domains of the platform application",
        &["component_server_domain.get", "component_server_domain.add", "component_server_domain.set", "component_server_domain.delete"],
    ),
    (
        "webview domains of the platform application",
        &[
            "component_webview_domain.get",
            "component_webview_domain.add",
            "component_webview_domain.set",
            "component_webview_domain.delete",
        ],
    ),
    ("phone number", &["phone_number.apply", "phone_number.cancel", "phone_number.status"]),
    ("templates and drafts", &["template.list", "template.drafts", "template.add", "template.delete"]),
    ("upload, versions, detail", &["package.upload", "package.list", "package.get"]),
    ("audit", &["audit.submit", "audit.withdraw", "audit.quota"]),
    ("trial, release, rollback", &["trial.qrcode", "package.release", "package.rollback"]),
    ("traffic", &["traffic.pause", "traffic.resume", "traffic.appeal"]),
    ("correction after a forced offline", &["profile.correct"]),
    ("customer message, missed pushes", &["message.send", "pushes.missed"]),
];

const DOUYIN: [Feature; 18] = [
    ("authorization", &["authorization.permissions", "authorization.list"]),
    ("name", &["profile.check_name", "profile.set_name"]),
    ("icon and introduction", &["profile.set_icon", "profile.set_intro"]),
    ("categories available", &["category.catalogue", "category.list"]),
    ("categories changed and published", &["category.add", "category.delete", "category.modify", "category.publish", "category.published"]),
    ("material", &["media.upload"]),
    ("server domains", &["server_domain.get", "server_domain.add", "server_domain.set", "server_domain.delete"]),
    ("webview domains", &["webview_domain.get", "webview_domain.add", "webview_domain.set", "webview_domain.delete"]),
    ("quality rating", &["quality.rating"]),
    ("credit score", &["quality.credit_score"]),
    ("upload and audit", &["package.upload", "audit.hosts", "audit.submit:hosts", "audit.withdraw"]),
    (
        "QR code of each stage, mini program code",
        &["trial.qrcode:stage=latest", "trial.qrcode:stage=audit", "trial.qrcode:stage=current", "qrcode.create"],
    ),
    ("versions, release, rollback", &["package.list", "package.get", "package.release", "package.rollback"]),
    ("short video mount and other capabilities", &["capability.apply:capability", "capability.status:capability", "capability.list"]),
    ("live component", &["live_component.apply", "live_component.status"]),
    ("phone number", &["phone_number.apply", "phone_number.status"]),
    ("templates and drafts", &["template.list", "template.drafts", "template.add", "template.delete"]),
    ("check file", &["webview_domain.check_file"]),
];

const KUAISHOU: [Feature; 14] = [
    ("server domains", &["server_domain.get", "server_domain.add", "server_domain.set", "server_domain.delete"]),
    ("webview domains", &["webview_domain.get", "webview_domain.add", "webview_domain.set", "webview_domain.delete"]),
    ("upload", &["package.upload"]),
    ("submit", &["audit.submit"]),
    ("withdraw", &["audit.withdraw"]),
    ("trial QR code", &["trial.qrcode"]),
    ("versions", &["package.list"]),
    ("release", &["package.release"]),
    ("rollback", &["package.rollback"]),
    ("short video mount", &["capability.apply:capability=short_video", "capability.status:capability=short_video"]),
    ("live mount", &["capability.apply:capability=live", "capability.status:capability=live"]),
    ("publish to Kuaishou", &["capability.apply:capability=publish", "capability.status:capability=publish"]),
    ("phone number", &["phone_number.apply", "phone_number.status"]),
    ("templates", &["template.list", "template.drafts", "template.add", "template.delete"]),
];

const ALIPAY: [Feature; 14] = [
    ("authorization", &["authorization.permissions", "authorization.list", "authorization.merchant", "authorization.invite"]),
    (
        "base information",
        &[
            "profile.get",
            "profile.check_name",
            "profile.modify:name",
            "profile.modify:english_name",
            "profile.modify:category",
            "profile.modify:slogan",
            "profile.modify:intro",
            "profile.modify:icon",
            "profile.modify:phone",
            "profile.modify:email",
        ],
    ),
    ("version upload, build, list, detail", &["package.upload", "package.build_status", "package.list", "package.get"]),
    ("audit", &["audit.submit", "audit.withdraw", "audit.reason"]),
    ("back to development, delete", &["package.back_to_development", "package.delete"]),
    ("trial", &["trial.create", "trial.cancel", "trial.status"]),
    ("online, offline, rollback", &["package.online", "package.release", "package.offline", "package.rollback"]),
    ("members", &["member.add:role=DEVELOPER", "member.add:role=EXPERIENCER", "member.remove", "member.list"]),
    ("QR code", &["qrcode.create"]),
    ("ordinary QR codes", &["qrcode_rule.bind", "qrcode_rule.unbind", "qrcode_rule.list"]),
    ("safe domains", &["safe_domain.get", "safe_domain.add", "safe_domain.delete"]),
    ("categories", &["category.catalogue", "category.list", "category.modify"]),
    ("templates", &["template.list", "template.usage", "template.instances"]),
    ("content security", &["content.check", "content.analyze", "content.result", "content.sync_check"]),
];

/// What is wrong with one line, if anything.
fn trouble(rows: &[Operation], carrier: &str) -> Option<String> {
    let (name, rest) = carrier.split_once(':').map_or((carrier, None), |(name, rest)| (name, Some(rest)));
    let Some(row) = rows.iter().find(|row| row.name == name) else { return Some(format!("no row `{name}`")) };
    let (param, word) = rest?.split_once('=').map_or((rest?, None), |(param, word)| (param, Some(word)));
    let Some(found) = row.param(param) else { return Some(format!("`{name}` has no parameter `{param}`")) };
    match (word, found.kind) {
        (Some(word), Kind::Word(words)) if !words.contains(&word) => Some(format!("`{param}` of `{name}` does not allow `{word}`")),
        (Some(_), kind) if !matches!(kind, Kind::Word(_)) => Some(format!("`{param}` of `{name}` lists no words")),
        _ => None,
    }
}

#[test]
fn every_feature_of_the_guides_has_its_row() {
    let sheets = sheet::all();
    let of = |name: &str| sheets.iter().find(|sheet| sheet.platform.name() == name).unwrap();
    let guides: [(&Sheet, &[Feature]); 4] =
        [(of("baidu"), &BAIDU), (of("douyin"), &DOUYIN), (of("kuaishou"), &KUAISHOU), (of("alipay"), &ALIPAY)];
    let mut troubles = Vec::new();
    for (sheet, features) in guides {
        for (feature, carriers) in features {
            let found = carriers.iter().filter_map(|carrier| trouble(&sheet.rows, carrier));
            troubles.extend(found.map(|trouble| format!("{}, {feature}: {trouble}", sheet.platform.name())));
        }
    }
    assert!(troubles.is_empty(), "{troubles:#?}");
}

#[test]
fn every_row_has_a_snapshot_of_its_call_and_every_snapshot_a_row() {
    for sheet in sheet::all() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/operations/snapshots").join(sheet.platform.name());
        let entries = std::fs::read_dir(&folder).unwrap();
        let kept: BTreeSet<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let wanted: BTreeSet<String> = sheet.rows.iter().map(|row| format!("{}.txt", row.name)).collect();
        let odd: Vec<_> = kept.symmetric_difference(&wanted).collect();
        assert!(odd.is_empty(), "{}: {odd:?}", sheet.platform.name());
    }
}

#[test]
fn what_ships_switched_off_says_what_to_write_and_only_kuaishou_has_such_rows() {
    for sheet in sheet::all() {
        for row in sheet.rows.iter().filter(|row| row.disabled.is_some()) {
            let settings = row.disabled.as_deref().unwrap();
            assert_eq!(sheet.platform.name(), "kuaishou", "{}", row.name);
            assert!(settings.contains("enabled") && settings.contains("path"), "{}: {settings}", row.name);
        }
    }
}
