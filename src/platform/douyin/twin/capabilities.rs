//! Capabilities of one mini program, with the vendor's three numberings of their states (5.7, 5.8).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::desk::{No, PARAMETER, Said};
use super::material::Material;
use super::merchant::Asked;

/// How one stands. Never applied for: not in the list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Applying,
    Granted,
    Rejected,
    Closed,
}

/// By key; the two old ones as `live` and `phone_number`, the mount as `short_video`.
#[derive(Default)]
pub(super) struct Capabilities {
    states: BTreeMap<String, State>,
}

impl Capabilities {
    fn ask_for(&mut self, key: &str) -> Said {
        match self.states.get(key) {
            Some(State::Applying | State::Granted) => Err(No(28_005_032, "already applied")),
            _ => {
                self.states.insert(key.to_owned(), State::Applying);
                Ok(Value::Null)
            }
        }
    }

    pub fn short_video(&mut self, asked: &Asked<'_>, material: &Material) -> Said {
        let (Some(intro), Some(anchor), Some(path)) = (asked.text("intro"), asked.text("anchor_text"), asked.text("image_path")) else {
            return Err(PARAMETER);
        };
        if intro.chars().count() > 200 || anchor.chars().count() > 200 || asked.text("component_appid") != Some(asked.component_appid) {
            return Err(PARAMETER);
        }
        if !material.has(path, 4) {
            return Err(No(40_033, "material path not found"));
        }
        self.ask_for("short_video")
    }

    pub fn short_video_status(&self, asked: &Asked<'_>) -> Said {
        if asked.text("component_appid") != Some(asked.component_appid) {
            return Err(PARAMETER);
        }
        Ok(self.told("short_video", [1, 2, 3, 4, 5]))
    }

    pub fn apply(&mut self, asked: &Asked<'_>) -> Said {
        let key = asked.text("capacity_key").ok_or(No(28_001_007, "parameter illegal"))?;
        if asked.text("apply_reason").is_none() || !asked.body.get("apply_info").is_some_and(Value::is_object) {
            return Err(No(28_001_007, "parameter illegal"));
        }
        self.ask_for(key)
    }

    pub fn status(&self, asked: &Asked<'_>) -> Said {
        let key = asked.request.query_value("capacity_key").ok_or(No(28_001_007, "parameter illegal"))?;
        Ok(self.told(&key, [1, 2, 3, 4, 6]))
    }

    pub fn list(&self) -> Value {
        let keys = self.states.iter().filter(|(_, state)| **state == State::Granted).map(|(key, _)| json!({"capacity_key": key}));
        json!({"app_capacity_info_list": keys.collect::<Vec<_>>()})
    }

    pub fn live(&mut self, asked: &Asked<'_>) -> Said {
        let number = |name: &str| asked.body.get(name).and_then(Value::as_i64);
        let budget = match number("hasAdBudget") {
            Some(0) => true,
            Some(1) => number("adBudgetAmount").is_some() && asked.text("adPersonName").is_some(),
            _ => false,
        };
        if asked.text("intro").is_none() || number("firstLiveTime").is_none() || number("liveFrequency").is_none() || !budget {
            return Err(PARAMETER);
        }
        self.ask_for("live")
    }

    pub fn phone_number(&mut self, asked: &Asked<'_>, material: &Material) -> Said {
        let number = |name: &str| asked.body.get(name).and_then(Value::as_i64);
        let described = asked.text("description").is_some_and(|text| (10..=200).contains(&text.chars().count()));
        if !matches!(number("reason"), Some(1 | 2)) || !matches!(number("scene"), Some(1..=7)) || !described {
            return Err(PARAMETER);
        }
        match asked.texts("imagePaths").as_deref() {
            Some([path]) if material.has(path, 5) => self.ask_for("phone_number"),
            Some([_]) => Err(No(40_033, "material path not found")),
            _ => Err(PARAMETER),
        }
    }

    pub fn first_generation(&self, key: &str) -> Value {
        self.told(key, [3, 4, 5, 6, 1])
    }

    /// The state in a numbering: applying, granted, rejected, closed, can apply.
    fn told(&self, key: &str, [applying, granted, rejected, closed, possible]: [i64; 5]) -> Value {
        let (status, reason) = match self.states.get(key) {
            Some(State::Applying) => (applying, ""),
            Some(State::Granted) => (granted, ""),
            Some(State::Rejected) => (rejected, "not enough content"),
            Some(State::Closed) => (closed, "closed"),
            None => (possible, ""),
        };
        json!({"status": status, "reason": reason})
    }

    /// 0 rejected, 1 passed, 2 closed, as events say it.
    pub fn decided(&mut self, key: &str, status: Option<i64>) {
        if let Some(state) = self.states.get_mut(key) {
            *state = match status {
                Some(1) => State::Granted,
                Some(2) => State::Closed,
                _ => State::Rejected,
            };
        }
    }
}
