//! What became of a call that must not be repeated and whose answer never came (6.5): the question, and what its answer tells.

use serde_json::{Map, Value, json};

use super::rows::{Asks, Sends};
use super::steps::{Errand, Learnt, Reached};
use super::{calls, categories, packages, read};
use crate::platform::call::{Call, Reply};
use crate::platform::loose;
use crate::platform::operation::{Caller, Earlier, LookedUp};

/// Value of `audit_…_status` (4.8).
const IN_AUDIT: i64 = 1;

impl Errand<'_> {
    pub(super) fn look_up(&self, caller: Caller<'_>) -> Option<Call> {
        let path = match self.plan.asks {
            Asks::Domains => return Some(self.asking(caller)),
            Asks::Info => calls::INFO,
            Asks::Packages => calls::PACKAGES,
            Asks::Phone => calls::PHONE,
            Asks::Templates => calls::TEMPLATES,
            Asks::Nothing => return None,
        };
        Some(self.reading(path, caller))
    }

    pub(super) fn looked_up(&self, replies: &[Reply], found: &Reply, earlier: Earlier) -> LookedUp {
        let Ok(Reached::Main(learnt, _)) = self.reached(replies) else { return LookedUp::Unknown };
        let (data, vendor) = match self.data(found) {
            Ok(told) => told,
            Err(error) => return LookedUp::refused(&error),
        };
        let told = match self.plan.asks {
            // Without a name the package is the one that waited when the list was read: another one, if the deed was done before that.
            Asks::Packages if earlier.is_maybe_sent() && !self.names_its_package() => None,
            Asks::Packages => return self.package_looked_up(&learnt, &data, vendor, earlier),
            Asks::Phone => match loose::integer(data.get("status").unwrap_or(&Value::Null)) {
                Some(1 | 3) => Some(true),
                Some(0 | 2) => Some(false),
                _ => None,
            },
            Asks::Info => {
                let told = self.info_tells(&learnt, &data);
                // An address that was made for this try, and a set that may hold the deed's own work, prove nothing by not being there.
                let is_proof = !earlier.is_maybe_sent() || (self.pictures().is_empty() && !self.compares_categories());
                told.filter(|is_done| *is_done || is_proof)
            }
            Asks::Domains => Some(self.domains_gone(&data)),
            // The new one may be among those that were read before.
            Asks::Templates if earlier.is_maybe_sent() && self.params.get("template_id").is_none() => None,
            Asks::Templates => return self.templates_tell(&learnt, &data, vendor),
            Asks::Nothing => None,
        };
        match told {
            Some(true) => LookedUp::Done(Box::new(self.outcome(&Value::Null, vendor, &learnt))),
            Some(false) => LookedUp::NotDone,
            None => LookedUp::Unknown,
        }
    }

    fn names_its_package(&self) -> bool {
        self.operation.name == "package.upload" || ["package_id", "version"].iter().any(|name| self.params.get(name).is_some())
    }

    fn compares_categories(&self) -> bool {
        matches!(self.plan.sends, Sends::AddCategories | Sends::ModifyCategories)
    }

    /// Whether `app/info` shows the change, in force or in audit. That an audit refused the same value does not tell: what was refused stays
    /// there until something else is handed in (4.8), and the same may be handed in again.
    fn info_tells(&self, learnt: &Learnt, info: &Value) -> Option<bool> {
        let audit = info.get("audit_info").unwrap_or(&Value::Null);
        // Addresses of pictures come as JSON text, so that a part of it is compared (4.8).
        let shows = |wanted: String, now: &str, audited: &str| {
            let holds = |value: Option<&Value>| {
                value
                    .and_then(loose::text)
                    .is_some_and(|text| text == wanted || text.replace("\\/", "/").contains(&wanted) && wanted.starts_with("http"))
            };
            let in_audit = || audit.get(format!("{audited}_status")).and_then(loose::integer) == Some(IN_AUDIT);
            match (holds(info.get(now)), holds(audit.get(audited))) {
                (true, _) => Some(true),
                (false, true) => in_audit().then_some(true),
                (false, false) => Some(false),
            }
        };
        let params = &learnt.params;
        let name = params.text("name").map(|name| shows(name, "app_name", "audit_app_name"));
        let intro = params.text("intro").map(|intro| shows(intro, "app_desc", "audit_app_desc"));
        let icon = params.text("icon").map(|icon| shows(icon, "photo_addr", "audit_photo_addr"));
        match self.operation.name {
            "profile.set_name" => name.flatten(),
            "profile.set_intro" => intro.flatten(),
            "profile.set_icon" => icon.flatten(),
            // Whether corrections show before their audit ends is nowhere stated.
            "profile.correct" => {
                let told: Vec<Option<bool>> = [name, intro, icon].into_iter().flatten().collect();
                (!told.is_empty() && told.iter().all(|seen| *seen == Some(true))).then_some(true)
            }
            _ => Some(categories::arrived(self.plan.sends, params, learnt.before.as_ref(), info)),
        }
    }

    fn domains_gone(&self, data: &Value) -> bool {
        let held = match data {
            Value::Object(_) => read::server_domains(data),
            _ => read::webview_domains(data),
        };
        let names = ["request", "socket", "upload", "download", "domains"];
        names.iter().all(|name| {
            let held: Vec<&str> = held.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
            self.params.texts(name).iter().all(|gone| !held.contains(&gone.as_str()))
        })
    }

    /// `template.delete` looks for the id; `template.add` for a template that was not there before.
    fn templates_tell(&self, learnt: &Learnt, data: &Value, vendor: Value) -> LookedUp {
        let listed = |list: &Value| -> Vec<(String, String)> {
            let entries = list.get("list").unwrap_or(&Value::Null);
            let text = |entry: &Map<String, Value>, name: &str| loose::text_of(entry, &[name]).unwrap_or_default().into_owned();
            packages::entries(entries).map(|entry| (text(entry, "template_id"), text(entry, "user_desc"))).collect()
        };
        let now = listed(data);
        if let Some(id) = self.params.text("template_id") {
            let gone = !now.iter().any(|(listed, _)| *listed == id);
            return if gone { LookedUp::Done(Box::new(self.outcome(&Value::Null, vendor, learnt))) } else { LookedUp::NotDone };
        }
        let (Some(before), Some(description)) = (&learnt.before, self.params.text("description")) else { return LookedUp::Unknown };
        let before = listed(before);
        match now.iter().find(|entry| entry.1 == description && !before.contains(entry)) {
            Some((id, _)) => LookedUp::Done(Box::new(self.outcome(&json!({"template_id": id}), vendor, learnt))),
            None => LookedUp::NotDone,
        }
    }
}
