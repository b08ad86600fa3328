//! What the twin keeps for the platform application itself: domains, templates, drafts, categories there are, pushes it sent.

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::{Value, json};

use super::no::{No, platform, success};
use crate::clock::Timestamp;
use crate::platform::twin::{Outgoing, Request};

/// Templates of one platform application.
const MOST_TEMPLATES: usize = 50;
/// Pushes that are remembered.
const MOST_PUSHES: usize = 2000;
const DAY: i64 = 86_400;

/// Categories there are: id, name, whether materials are needed. The parent's id is the hundred of it.
pub(super) const CATEGORIES: [(u64, &str, bool); 8] = [
    (6, "生活缴费", false),
    (197, "餐饮服务", true),
    (301, "工具", false),
    (302, "信息查询", false),
    (303, "办公", false),
    (304, "天气", false),
    (305, "日历", false),
    (306, "图书", true),
];

pub(super) struct Library {
    pub server: [Vec<String>; 4],
    pub webview: Vec<String>,
    templates: Vec<Template>,
    drafts: Vec<Template>,
    /// Packages and audits are numbered alike.
    numbers: u64,
    /// Interior: an acknowledgement is noted where the twin is only looked at.
    pushes: RefCell<VecDeque<Sent>>,
    pushed: u64,
}

struct Template {
    id: u64,
    version: &'static str,
    description: String,
    created: i64,
}

/// A push that was sent.
struct Sent {
    id: u64,
    content: String,
    plain: Bytes,
    at: Timestamp,
    acknowledged: bool,
}

impl Library {
    pub(super) fn new() -> Self {
        let of = |scheme: &str| ["example.com", "api.example.com"].map(|host| format!("{scheme}://{host}")).to_vec();
        let template =
            |id, version, description: &str| Template { id, version, description: description.to_owned(), created: 1_535_551_395 };
        Self {
            server: [of("https"), of("wss"), of("https"), of("https")],
            webview: of("https"),
            templates: vec![template(12, "1.0.3", "shop"), template(13, "2.0.0", "booking")],
            drafts: vec![template(501, "1.1.0", "shop, next"), template(502, "2.1.0", "booking, next")],
            numbers: 745_000,
            pushes: RefCell::default(),
            pushed: 9000,
        }
    }

    /// A number that was not given before.
    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn has_template(&self, id: &str) -> bool {
        self.templates.iter().any(|template| template.id.to_string() == id)
    }

    pub(super) fn templates(&self, request: &Request) -> Value {
        page(&self.templates, "template_id", request)
    }

    pub(super) fn drafts(&self, request: &Request) -> Value {
        page(&self.drafts, "draft_id", request)
    }

    pub(super) fn add_template(&mut self, request: &Request, now: Timestamp) -> Result<Value, No> {
        let draft = request.form_value("draft_id").unwrap_or_default();
        let version = self.drafts.iter().find(|known| known.id.to_string() == draft).map(|draft| draft.version);
        let version = version.ok_or_else(|| platform(40001, "param error: draft_id"))?;
        let description = request.form_value("user_desc").filter(|text| (1..=30).contains(&text.chars().count()));
        let description = description.ok_or_else(|| platform(40016, "template description is illegal"))?;
        if self.templates.len() >= MOST_TEMPLATES {
            return Err(platform(2003, "template limit reached"));
        }
        let id = self.templates.iter().map(|template| template.id).max().unwrap_or_default().max(13) + 1;
        self.templates.push(Template { id, version, description, created: now.as_second() });
        Ok(success(json!({"template_id": id})))
    }

    pub(super) fn delete_template(&mut self, request: &Request) -> Result<Value, No> {
        let id = request.form_value("template_id").unwrap_or_default();
        if !self.has_template(&id) {
            return Err(platform(40001, "param error: template_id"));
        }
        self.templates.retain(|template| template.id.to_string() != id);
        Ok(success(json!({"result": 1})))
    }

    /// The dictionary (5.4.1).
    pub(super) fn catalogue(&self, request: &Request) -> Result<Value, No> {
        let kind = request.query_value("category_type").filter(|kind| matches!(kind.as_str(), "1" | "2"));
        let kind: i64 = kind.and_then(|kind| kind.parse().ok()).ok_or_else(|| platform(40001, "param error: category_type"))?;
        let parents = [0, 1, 3].map(|parent| {
            let children = CATEGORIES.iter().filter(|(id, _, needs)| id / 100 == parent && (kind == 2 || !needs)).map(|(id, name, needs)| {
                let asked = json!({"desc": "", "list": [[{"id": 1, "must": 1, "name": "许可证", "desc": ""}]]}).to_string();
                let asked = if *needs { asked } else { String::new() };
                let child = json!({
                    "id": id.to_string(), "category_name": name, "category_type": 2, "need_quali": i64::from(*needs), "category_quali": asked,
                });
                (id.to_string(), child)
            });
            let children: serde_json::Map<_, _> = children.collect();
            json!({"id": parent + 1, "category_name": format!("Parent {}", parent + 1), "category_type": kind, "sub_items": children})
        });
        Ok(success(json!(parents)))
    }

    pub(super) fn sent(&mut self, push: &Outgoing, now: Timestamp) {
        let envelope: Value = serde_json::from_slice(&push.body).unwrap_or_default();
        let content = envelope.get("Encrypt").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.pushed += 1;
        let pushes = self.pushes.get_mut();
        pushes.push_back(Sent { id: self.pushed, content, plain: push.plain.clone(), at: now, acknowledged: false });
        if pushes.len() > MOST_PUSHES {
            pushes.pop_front();
        }
    }

    pub(super) fn acknowledged(&self, push: &Outgoing) {
        for sent in self.pushes.borrow_mut().iter_mut().filter(|sent| sent.plain == push.plain) {
            sent.acknowledged = true;
        }
    }

    /// `pushmsg/getmsg` (5.9). What was not acknowledged counts as failed.
    pub(super) fn missed(&self, request: &Request, now: Timestamp) -> Result<Value, No> {
        let number = |name: &str, default: i64| match request.query_value(name) {
            Some(text) => text.parse::<i64>().map_err(|_| platform(41000, "parameter type error")),
            None => Ok(default),
        };
        let now = now.as_second();
        let (start, end) = (number("start", now - DAY)?, number("end", now)?);
        let (kind, offset, count) = (number("push_type", 1)?, number("offset", 0)?, number("count", 100)?);
        let ids: Option<Vec<String>> = request.query_value("id_list").map(|list| list.split(',').map(str::to_owned).collect());
        if ids.is_none() && (end - start > 7 * DAY || end < start || start < now - 31 * DAY || !(1..=100).contains(&count)) {
            return Err(platform(40001, "param error"));
        }
        let pushes = self.pushes.borrow();
        let wanted: Vec<&Sent> = pushes
            .iter()
            .filter(|sent| match &ids {
                Some(ids) => ids.contains(&sent.id.to_string()),
                None => (start..=end).contains(&sent.at.as_second()) && (kind == 1 || !sent.acknowledged),
            })
            .collect();
        let (skip, take) = (usize::try_from(offset).unwrap_or_default(), usize::try_from(count).unwrap_or_default());
        let entry = |sent: &&Sent| json!({"id": sent.id, "content": sent.content, "status": if sent.acknowledged { 1 } else { 2 }});
        let list: Vec<Value> = wanted.iter().skip(skip).take(take).map(entry).collect();
        Ok(success(json!({"page": 1, "pageSize": count, "count": wanted.len(), "list": list})))
    }
}

fn page(entries: &[Template], id: &str, request: &Request) -> Value {
    let number = |name: &str, default: usize| request.query_value(name).and_then(|text| text.parse().ok()).unwrap_or(default).max(1);
    let (page, size) = (number("page", 1), number("page_size", 10));
    let entry = |template: &Template| {
        json!({
            (id): template.id, "user_version": template.version, "user_desc": template.description,
            "create_time": template.created, "web_status": false,
        })
    };
    let list: Vec<Value> = entries.iter().skip((page - 1).saturating_mul(size)).take(size).map(entry).collect();
    success(json!({"count": entries.len(), "list": list}))
}
