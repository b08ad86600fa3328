//! The component's own things: drafts in template mini programs, templates, material (5.10, 5.11). There is one draft and one template to begin with.

use serde_json::{Value, json};

use super::desk::{No, Said};
use super::material::Material;
use crate::clock::Timestamp;
use crate::platform::twin::Request;

/// Templates of a component.
const MOST: usize = 200;
/// Larger than what a floating-point number holds exactly, as the vendor's are.
const FIRST_TEMPLATE: u64 = 9_133_504_853_504_530_001;
const DRAFT: u64 = 9_133_504_853_504_540_002;
const VERSION: &str = "2.0.1";
const DESCRIPTION: &str = "春季菜单";

/// A template: its id and when it was made (Unix seconds).
pub(super) struct Templates {
    templates: Vec<(u64, i64)>,
    next: u64,
    material: Material,
}

impl Default for Templates {
    fn default() -> Self {
        Self { templates: vec![(FIRST_TEMPLATE, 1_790_000_000)], next: FIRST_TEMPLATE + 1, material: Material::default() }
    }
}

impl Templates {
    pub fn ids(&self) -> Vec<u64> {
        self.templates.iter().map(|(id, _)| *id).collect()
    }

    pub fn list(&self) -> Value {
        let told = |(id, at): &(u64, i64)| json!({"template_id": id, "user_version": VERSION, "user_desc": DESCRIPTION, "create_time": at});
        json!({"template_list": self.templates.iter().map(told).collect::<Vec<_>>()})
    }

    pub fn drafts(&self) -> Value {
        json!({"tpl_app_list": [
            {"tpl_app_id": "tt00000000000000a1", "app_name": "Sample template", "draft_id": DRAFT, "nick_name": "developer",
             "user_version": VERSION, "user_desc": DESCRIPTION, "create_time": 1_790_000_000},
            {"tpl_app_id": "tt00000000000000a2", "app_name": "Nothing uploaded yet"},
        ]})
    }

    pub fn add(&mut self, draft: u64, now: Timestamp) -> Said {
        if draft != DRAFT {
            return Err(No(40_034, "draft not found"));
        }
        if self.templates.len() >= MOST {
            return Err(No(40_035, "more than 200 templates"));
        }
        self.templates.push((self.next, now.as_second()));
        self.next += 1;
        Ok(Value::Null)
    }

    pub fn delete(&mut self, id: u64) -> Said {
        if !self.ids().contains(&id) {
            return Err(No(40_029, "template not found"));
        }
        self.templates.retain(|(known, _)| *known != id);
        Ok(Value::Null)
    }

    pub fn upload(&mut self, request: &Request) -> Said {
        self.material.upload(request)
    }
}
