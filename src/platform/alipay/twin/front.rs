//! What a merchant's mini program shows and who may touch it, at the pretended platform: base information, categories, domains, members,
//! codes, content (Alipay 5.7 to 5.9, 5.11 to 5.13).

use serde_json::{Map, Value, json};

use super::super::content::{number, text};
use super::mini_program::{Done, Given, Member, MiniProgram, Rule, units};
use crate::clock::{Timestamp, china_text};

/// Rules of ordinary QR codes.
const MOST_RULES: usize = 20;
const MOST_DOMAINS: usize = 30;
/// A word that no text may hold here.
const FORBIDDEN: &str = "违禁";

/// The one category of the catalogue, by its levels.
pub const CATEGORY: &str = "XS1007_XS2059_XS3062";

pub fn profile(program: &mut MiniProgram, _: &Given, _: Timestamp) -> Done {
    let mut members = program.profile.clone();
    members.insert(String::from("safe_domains"), json!(program.domains));
    members.insert(String::from("package_names"), json!(["基础功能"]));
    members.insert(String::from("registration_limit_release"), Value::Bool(false));
    Ok(Value::Object(members))
}

/// Texts that can be changed: their length, and what a wrong one is called.
const TEXTS: &[(&str, usize, usize, &str)] = &[
    ("app_name", 3, 40, "INVALID_MINI_APP_NAME_LENGTH"),
    ("app_english_name", 3, 30, "INVALID_MINI_APP_EN_NAME_LENGTH"),
    ("app_slogan", 10, 32, "INVALID_MINI_APP_SLOGAN_LENGTH"),
    ("app_desc", 20, 400, "INVALID_MINI_APP_DESC_LENGTH"),
    ("service_phone", 5, 30, "INVALID_MINI_APP_SERVICE_PHONE"),
    ("service_email", 3, 128, "INVALID_MINI_APP_SERVICE_EMAIL"),
];

pub fn modify(program: &mut MiniProgram, given: &Given, now: Timestamp) -> Done {
    let mut change = Map::new();
    for (name, least, most, wrong) in TEXTS {
        let Some(value) = text(given, name) else { continue };
        if !(*least..=*most).contains(&units(&value)) {
            return Err(wrong);
        }
        if value.contains(FORBIDDEN) {
            return Err("MINI_APP_DESC_SENSITIVE");
        }
        change.insert((*name).to_owned(), Value::from(value));
    }
    if let Some(groups) = text(given, "mini_category_ids") {
        if groups.split(';').count() > 4 {
            return Err("CATEGORY_NUM_IS_INVALID");
        }
        if groups.split(';').any(|group| group != CATEGORY) {
            return Err("INVALID_CATEGOTY");
        }
        change.insert(String::from("category_names"), Value::from("购物_便利店_小卖部;"));
    }
    if let Some(file) = text(given, "app_logo") {
        if ![".png", ".jpg", ".jpeg"].iter().any(|end| file.ends_with(end)) {
            return Err("INVALID_LOGO_EXT");
        }
        change.insert(String::from("app_logo"), Value::from(format!("https://example.com/{file}")));
    }
    match () {
        () if change.is_empty() => Err("MODIFY_PARAMS_ARE_BLANK"),
        () if program.pending.is_some() => Err("MINI_APP_INFO_AUDIT_CONTAINS"),
        () if program.is_online() && change.contains_key("app_name") => Err("CANNOT_MODIFY_NAME_AFTER_ONLINE"),
        () => Ok(json!({"modify_status": program.change(change, now)})),
    }
}

pub fn check_name(_: &mut MiniProgram, given: &Given, _: Timestamp) -> Done {
    let name = text(given, "app_name").ok_or("INVALID_PARAMETER")?;
    Ok(match name.contains(FORBIDDEN) {
        true => json!({"check_code": "REJECT", "check_memo": "名称含有不可用的词"}),
        false => json!({"check_code": "PASS", "check_memo": ""}),
    })
}

pub fn categories(_: &mut MiniProgram, _: &Given, _: Timestamp) -> Done {
    let entry = |id: &str, name: &str, parent: &str, has_child: &str| {
        json!({
            "category_id": id, "category_name": name, "parent_category_id": parent, "has_child": has_child,
            "need_license": "true", "need_out_door_pic": "false", "need_special_license": "false",
        })
    };
    let list =
        [entry("XS1007", "购物", "", "true"), entry("XS2059", "便利店", "XS1007", "true"), entry("XS3062", "小卖部", "XS2059", "false")];
    Ok(json!({"mini_category_list": list, "category_list": []}))
}

pub fn requirements(_: &mut MiniProgram, given: &Given, _: Timestamp) -> Done {
    let codes = given.get("category_code_list").and_then(Value::as_array).filter(|codes| !codes.is_empty()).ok_or("CATEGORY_IS_BLANK")?;
    if codes.iter().any(|code| code.as_str() != Some(CATEGORY)) {
        return Err("CATEGORY_ERROR");
    }
    let entry = |code: &Value| {
        json!({
            "category_code": code, "category_name": "小卖部", "category_requirements": "营业执照",
            "business_licence_required": true, "door_photo_required": false, "special_licence_required": false,
        })
    };
    Ok(json!({"category_require_info_list": codes.iter().map(entry).collect::<Vec<_>>()}))
}

pub fn add_domain(program: &mut MiniProgram, given: &Given, _: Timestamp) -> Done {
    let domain = text(given, "safe_domain").ok_or("SAFE_DOMAIN_IS_BLANK")?;
    match () {
        () if !domain.contains('.') => return Err("INVALID_SAFE_DOMAIN"),
        () if program.domains.contains(&domain) => return Err("SAFEDOMAIN_EXSIT"),
        () if program.domains.len() >= MOST_DOMAINS => return Err("SAFEDOMAIN_VOER_LIMIT"),
        () => program.domains.push(domain),
    }
    Ok(json!({}))
}

pub fn delete_domain(program: &mut MiniProgram, given: &Given, _: Timestamp) -> Done {
    let domain = text(given, "safe_domain").ok_or("SAFE_DOMAIN_IS_BLANK")?;
    program.domains.retain(|known| *known != domain);
    Ok(json!({}))
}

/// The role that is meant, and how many may have it.
fn role(given: &Given) -> Result<(String, usize), &'static str> {
    match text(given, "role").as_deref() {
        Some(role @ "DEVELOPER") => Ok((role.to_owned(), 30)),
        Some(role @ "EXPERIENCER") => Ok((role.to_owned(), 50)),
        _ => Err("INVALID_ROLE"),
    }
}

pub fn invite(program: &mut MiniProgram, given: &Given, now: Timestamp) -> Done {
    let account = text(given, "logon_id").ok_or("INVALID_LOGON_ID")?;
    let (role, most) = role(given)?;
    let is_mobile = account.len() == 11 && account.bytes().all(|b| b.is_ascii_digit());
    if !account.contains('@') && !is_mobile {
        return Err("USER_INFO_NOT_EXIST");
    }
    if program.members.iter().any(|member| member.account == account && member.role == role) {
        return Err(if role == "DEVELOPER" { "DEVELOPER_ALREADY_EXSIT" } else { "EXPERIENCER_ALREADY_EXIST" });
    }
    if program.members.iter().filter(|member| member.role == role).count() >= most {
        return Err("ROLE_OVER_LIMIT");
    }
    program.invited += 1;
    let user_id = format!("2088{:012}", program.invited + 1);
    program.members.push(Member { user_id, account, role, invited_at: now });
    Ok(json!({}))
}

pub fn remove(program: &mut MiniProgram, given: &Given, _: Timestamp) -> Done {
    let (role, _) = role(given)?;
    let user_id = text(given, "user_id").or_else(|| text(given, "open_id")).ok_or("USER_ID_IS_BLANK")?;
    let before = program.members.len();
    program.members.retain(|member| member.role != role || member.user_id != user_id);
    if program.members.len() == before { Err("ROLE_NOT_EXSIT") } else { Ok(json!({})) }
}

pub fn members(program: &mut MiniProgram, given: &Given, _: Timestamp) -> Done {
    let (role, _) = role(given)?;
    let entry = |member: &Member| {
        json!({
            "user_id": member.user_id, "nick_name": "过客", "status": "UNCONFIRMED", "gmt_invite": china_text(member.invited_at),
            "logon_id": member.account, "role": member.role,
        })
    };
    let list: Vec<Value> = program.members.iter().filter(|member| member.role == role).map(entry).collect();
    Ok(json!({"app_member_info_list": list}))
}

pub fn code(_: &mut MiniProgram, given: &Given, _: Timestamp) -> Done {
    let path = text(given, "url_param").ok_or("INVALID_PARAMETER")?;
    text(given, "query_param").ok_or("INVALID_PARAMETER")?;
    let words = text(given, "describe").ok_or("INVALID_PARAMETER")?;
    if words.contains(FORBIDDEN) {
        return Err("QRCODE_DESC_CHECK_INVALID");
    }
    if text(given, "color").is_some_and(|color| !color.starts_with("0x")) {
        return Err("HM_BG_COLOR_INVALID");
    }
    let url = |kind: &str| format!("https://example.com/code/{kind}/{path}.png");
    Ok(json!({"qr_code_url": url("square"), "qr_code_url_circle_blue": url("blue"), "qr_code_url_circle_white": url("white")}))
}

pub fn temporary_code(_: &mut MiniProgram, given: &Given, _: Timestamp) -> Done {
    let path = text(given, "url_param").ok_or("INVALID_PARAMETER")?;
    Ok(
        json!({"qr_code": format!("https://qr.example.com/{path}"), "qr_code_url": format!("https://example.com/code/temporary/{path}.png")}),
    )
}

pub fn bind(program: &mut MiniProgram, given: &Given, _: Timestamp) -> Done {
    let url = text(given, "route_url").ok_or("INVALID_PARAM")?;
    let mode = text(given, "mode").filter(|mode| ["EXACT", "FUZZY"].contains(&mode.as_str())).ok_or("INVALID_PARAM")?;
    text(given, "page_redirection").ok_or("INVALID_PARAM")?;
    match () {
        () if !["http://", "https://", "ftp://"].iter().any(|scheme| url.starts_with(scheme)) => return Err("QRCODE_ROUTE_URL_INVALID"),
        () if !program.is_online() => return Err("ONLINE_VERSION_NOT_EXIST"),
        () if program.rules.iter().any(|rule| rule.url == url) => return Err("ROUTE_RULE_CONFLICT"),
        () if program.rules.len() >= MOST_RULES => return Err("ROUTE_OVER_LIMIT"),
        () => {}
    }
    program.rules_made += 1;
    let id = format!("route-{}", program.rules_made);
    program.rules.push(Rule { id: id.clone(), url, mode });
    Ok(json!({"route_group": id}))
}

pub fn unbind(program: &mut MiniProgram, given: &Given, _: Timestamp) -> Done {
    let (group, url) = (text(given, "route_group"), text(given, "route_url"));
    if group.is_none() && url.is_none() {
        return Err("INVALID_PARAM");
    }
    let before = program.rules.len();
    program.rules.retain(|rule| match &group {
        Some(group) => rule.id != *group,
        None => Some(&rule.url) != url.as_ref(),
    });
    if program.rules.len() == before { Err("ROUTE_GROUP_NOT_EXIST") } else { Ok(json!({})) }
}

pub fn rules(program: &mut MiniProgram, given: &Given, _: Timestamp) -> Done {
    let (page, size) = number(given, "page_no").zip(number(given, "page_size")).ok_or("PAGE_PARAM_NULL_FAIL")?;
    if page < 1 || size < 1 {
        return Err("PAGE_PARAM_MIN_LIMIT_FAIL");
    }
    if size > 10 {
        return Err("PAGE_SIZE_OUT_LIMIT_FAIL");
    }
    let (page, size) = (usize::try_from(page).unwrap_or(1), usize::try_from(size).unwrap_or(1));
    let entry = |rule: &Rule| json!({"mode": rule.mode, "route_group": rule.id, "route_url": rule.url});
    let list: Vec<Value> = program.rules.iter().skip((page - 1).saturating_mul(size)).take(size).map(entry).collect();
    Ok(json!({"qr_code_route_groups": list, "total_items": program.rules.len()}))
}

pub fn pattern(program: &mut MiniProgram, given: &Given, _: Timestamp) -> Done {
    text(given, "invoke_type").zip(text(given, "pattern_url")).ok_or("INVALID_PARAM")?;
    program.rules_made += 1;
    Ok(json!({"route_group": format!("route-{}", program.rules_made)}))
}

pub fn check_text(_: &mut MiniProgram, given: &Given, _: Timestamp) -> Done {
    let content = text(given, "content").ok_or("INVALID_PARAMETER")?;
    Ok(match content.contains(FORBIDDEN) {
        true => json!({"action": "REJECTED", "keywords": [FORBIDDEN], "unique_id": "check-1"}),
        false => json!({"action": "PASSED", "keywords": [], "unique_id": "check-1"}),
    })
}

pub fn analyze(_: &mut MiniProgram, given: &Given, _: Timestamp) -> Done {
    let id = text(given, "app_scene_data_id").ok_or("INVALID_PARAMETER")?;
    Ok(json!({
        "result_action": "PASSED", "risk_labels": "", "hit_detect_items": [], "event_id": "event-1", "app_scene_data_id": id, "need_query": "need",
    }))
}

pub fn analysis(_: &mut MiniProgram, given: &Given, _: Timestamp) -> Done {
    text(given, "event_id").ok_or("INVALID_PARAMETER")?;
    Ok(json!({"result_action": "PASSED", "risk_labels": "", "hit_detect_items": []}))
}

pub fn check_by_contract(_: &mut MiniProgram, given: &Given, _: Timestamp) -> Done {
    given.get("data_list").and_then(Value::as_array).filter(|list| list.len() == 1).ok_or("INVALID_PARAMETER")?;
    let id = text(given, "request_id").unwrap_or_default();
    Ok(json!({"suggestion": "pass", "detect_check_labels": [], "result_code": "SUCCESS", "result_msg": "", "request_id": id}))
}
