//! Name, introduction and icon with what is in audit of each (5.1), and mini program codes (5.5).

use base64::Engine;
use serde_json::{Value, json};

use super::desk::{No, PARAMETER, Said};
use super::material::Material;
use super::merchant::Asked;

/// Changes of each in a month.
const CHANGES: i64 = 5;
/// The smallest PNG.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// One of the three.
struct Entry {
    value: String,
    /// What was asked for last, with its state: 1 in audit, 2 passed, 3 rejected.
    change: Option<(String, i64)>,
    left: i64,
}

impl Entry {
    fn new(value: impl Into<String>) -> Self {
        Self { value: value.into(), change: None, left: CHANGES }
    }

    fn change(&mut self, value: &str, in_audit: No) -> Said {
        if self.change.as_ref().is_some_and(|(_, state)| *state == 1) {
            return Err(in_audit);
        }
        if self.left == 0 {
            return Err(No(20_105, "no changes left"));
        }
        self.left -= 1;
        self.change = Some((value.to_owned(), 1));
        Ok(Value::Null)
    }

    fn told(&self, name: &str) -> Value {
        let Some((value, state)) = &self.change else { return Value::Null };
        json!({name: value, format!("{name}_audit_state"): state, "remaining_times": self.left, "reason": "", "advice": ""})
    }
}

/// Basic information.
pub(super) struct Profile {
    name: Entry,
    intro: Entry,
    icon: Entry,
}

impl Profile {
    pub fn new(app_id: &str) -> Self {
        let icon = Entry::new("https://icon.example.com/0.png");
        Self { name: Entry::new(format!("Sample app {app_id}")), intro: Entry::new("A sample"), icon }
    }

    pub fn info(&self, asked: &Asked<'_>, app_state: i64) -> Said {
        Ok(json!({
            "app_id": asked.app_id, "app_name": self.name.value, "app_intro": self.intro.value, "app_icon": self.icon.value,
            "app_state": app_state,
            "new_name_audit_info": self.name.told("new_name"),
            "new_intro_audit_info": self.intro.told("new_intro"),
            "new_icon_audit_info": self.icon.told("new_icon"),
            "app_categories_audit_info": null,
            "subject_audit_info": {"subject_name": "Sample company", "subject_type": 1},
        }))
    }

    pub fn check_name(&self, asked: &Asked<'_>) -> Said {
        check(&asked.request.query_value("app_name").ok_or(PARAMETER)?, false)
    }

    pub fn set_name(&mut self, asked: &Asked<'_>, material: &Material) -> Said {
        let name = asked.text("new_name").ok_or(PARAMETER)?;
        let proof = asked.text("material_file_path");
        if proof.is_some_and(|path| !material.has(path, 3)) {
            return Err(No(40_033, "material path not found"));
        }
        check(name, proof.is_some())?;
        self.name.change(name, No(21_004, "change already in audit"))
    }

    pub fn set_intro(&mut self, asked: &Asked<'_>) -> Said {
        let intro = asked.text("new_intro").ok_or(PARAMETER)?;
        if !(10..=60).contains(&intro.chars().count()) {
            return Err(No(21_201, "length"));
        }
        self.intro.change(intro, No(21_202, "change already in audit"))
    }

    pub fn set_icon(&mut self, asked: &Asked<'_>, material: &Material) -> Said {
        let path = asked.text("new_icon_path").ok_or(PARAMETER)?;
        if !material.has(path, 1) {
            return Err(No(21_101, "path unusable"));
        }
        self.icon.change(&format!("https://icon.example.com/{path}.png"), No(21_102, "change already in audit"))
    }

    /// 0 rejected, 1 passed, as events say it.
    pub fn decided(&mut self, field: &str, status: Option<i64>) {
        let entry = match field {
            "name" => &mut self.name,
            "intro" => &mut self.intro,
            _ => &mut self.icon,
        };
        if let Some((value, state)) = entry.change.as_mut().filter(|(_, state)| *state == 1) {
            *state = if status == Some(1) { 2 } else { 3 };
            if status == Some(1) {
                entry.value.clone_from(value);
            }
        }
    }
}

/// Names with `taken` are taken, those with `brand` need proof.
fn check(name: &str, proven: bool) -> Said {
    let length: usize = name.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum();
    if !(4..=20).contains(&length) {
        return Err(No(21_001, "length"));
    }
    if name.contains("taken") {
        return Err(No(21_003, "name taken"));
    }
    if name.contains("brand") && !proven {
        return Err(No(21_006, "brand or trademark"));
    }
    Ok(Value::Null)
}

/// A mini program code.
pub(super) fn code(asked: &Asked<'_>) -> Said {
    let width = asked.body.get("width").map_or(Some(430), Value::as_i64);
    if asked.text("appid") != Some(asked.app_id) || !width.is_some_and(|width| (280..=1280).contains(&width)) {
        return Err(No(28_005_001, "parameter error"));
    }
    Ok(json!({"img": base64::engine::general_purpose::STANDARD.encode(PNG)}))
}
