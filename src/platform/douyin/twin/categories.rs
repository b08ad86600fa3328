//! Service categories of one mini program: set, audited, published (5.2).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::desk::{No, PARAMETER, Said};
use super::material::Material;
use super::merchant::Asked;

/// Categories of a mini program, and changes of them in a month.
const MOST: usize = 5;
const CHANGES: i64 = 5;

const IN_AUDIT: i64 = 1;
const PASSED: i64 = 2;
const REJECTED: i64 = 3;

/// What can be chosen: ids of three levels, name, and the proof that is needed.
const CATALOGUE: &[(&str, &str, Option<&str>)] =
    &[("1,2,3", "餐饮-茶饮-奶茶", None), ("158,159,259", "社交类-社交-直播", Some("16")), ("188,189,190", "工具-实用工具-记账", Some("5"))];

struct Entry {
    category: String,
    certificates: Value,
    state: i64,
}

/// Set and published ones.
pub(super) struct Categories {
    set: Vec<Entry>,
    left: i64,
    online: Vec<String>,
    /// What is on its way to publication, with its state.
    publication: Option<(Vec<String>, i64)>,
}

impl Default for Categories {
    fn default() -> Self {
        let first = String::from("1,2,3");
        let entry = Entry { category: first.clone(), certificates: Value::Null, state: PASSED };
        Self { set: vec![entry], left: CHANGES, online: vec![first], publication: None }
    }
}

/// A category of a body, with its certificates.
fn given<'a>(asked: &'a Asked<'_>, material: &Material) -> Result<Vec<(&'a str, Value)>, No> {
    let list = asked.body.get("category_info").and_then(Value::as_array).filter(|list| !list.is_empty()).ok_or(PARAMETER)?;
    list.iter().map(|item| checked(item, material)).collect()
}

fn checked<'a>(item: &'a Value, material: &Material) -> Result<(&'a str, Value), No> {
    let category = item.get("category").and_then(Value::as_str).ok_or(No(21_300, "invalid category"))?;
    let (_, _, proof) = CATALOGUE.iter().find(|(known, ..)| *known == category).ok_or(No(21_301, "unknown category"))?;
    let certificates = item.get("category_cert").cloned().unwrap_or_default();
    match (proof, certificates.as_array()) {
        (None, None) => {}
        (None, Some(_)) => return Err(No(21_315, "proof not allowed")),
        (Some(proof), list) => {
            let list = list.ok_or(No(21_302, "invalid proof"))?;
            if !list.iter().any(|one| one.get("id").and_then(Value::as_str) == Some(*proof)) {
                return Err(No(21_302, "invalid proof"));
            }
            let mut paths = list.iter().flat_map(|one| one.get("path_list").and_then(Value::as_array).into_iter().flatten());
            if !paths.all(|path| path.as_str().is_some_and(|path| material.has(path, 2))) {
                return Err(No(28_005_105, "material not found"));
            }
        }
    }
    Ok((category, certificates))
}

impl Categories {
    pub fn list(&self) -> Said {
        let told = |entry: &Entry| {
            json!({
                "category": entry.category, "category_name": name(&entry.category), "category_cert": entry.certificates,
                "category_cert_ids": "", "category_audit_state": entry.state, "reason": "",
            })
        };
        Ok(json!({
            "app_category_audit_info": self.set.iter().map(told).collect::<Vec<_>>(),
            "remaining_times": self.left, "category_change_limit": CHANGES, "category_limit": MOST,
        }))
    }

    pub fn add(&mut self, asked: &Asked<'_>, material: &Material) -> Said {
        let given = given(asked, material)?;
        if given.iter().any(|(category, _)| self.set.iter().any(|entry| entry.category == *category)) {
            return Err(No(21_306, "duplicate"));
        }
        if self.set.len() + given.len() > MOST {
            return Err(No(21_304, "more than 5"));
        }
        self.spend()?;
        let entry = |(category, certificates): (&str, Value)| Entry { category: category.to_owned(), certificates, state: IN_AUDIT };
        self.set.extend(given.into_iter().map(entry));
        Ok(Value::Null)
    }

    pub fn supply(&mut self, asked: &Asked<'_>, material: &Material) -> Said {
        let given = given(asked, material)?;
        for (category, certificates) in &given {
            let entry = self.set.iter().find(|entry| entry.category == *category).ok_or(No(21_308, "category differs"))?;
            if entry.state != REJECTED {
                return Err(No(21_310, "not in a state to be supplemented"));
            }
            if proofs(certificates) != proofs(&entry.certificates) {
                return Err(No(21_309, "proofs differ"));
            }
        }
        // It costs no change, and wants one all the same.
        self.has_one_left()?;
        for (category, certificates) in given {
            if let Some(entry) = self.set.iter_mut().find(|entry| entry.category == category) {
                entry.certificates = certificates;
                entry.state = IN_AUDIT;
            }
        }
        Ok(Value::Null)
    }

    pub fn delete(&mut self, asked: &Asked<'_>) -> Said {
        let given = asked.texts("categories").filter(|given| !given.is_empty()).ok_or(No(20_002, "parameter"))?;
        for category in &given {
            let entry = self.set.iter().find(|entry| entry.category == *category).ok_or(No(20_002, "parameter"))?;
            if entry.state == IN_AUDIT {
                return Err(No(21_305, "in audit"));
            }
        }
        if !self.set.iter().any(|entry| entry.state == PASSED && !given.contains(&entry.category)) {
            return Err(No(21_307, "only one passed category left"));
        }
        self.set.retain(|entry| !given.contains(&entry.category));
        Ok(Value::Null)
    }

    pub fn publish(&mut self) -> Said {
        if self.set.iter().any(|entry| entry.state != PASSED) || self.publication.as_ref().is_some_and(|(_, state)| *state == IN_AUDIT) {
            return Err(No(21_408, "conditions not met"));
        }
        self.publication = Some((self.set.iter().map(|entry| entry.category.clone()).collect(), IN_AUDIT));
        Ok(Value::Null)
    }

    pub fn published(&self) -> Said {
        let pairs = |ids: &[String]| {
            ids.iter().map(|id| json!({"category_id": id, "category_name": name(id), "category_type": 1})).collect::<Vec<_>>()
        };
        let audit =
            self.publication.as_ref().map(|(ids, state)| json!({"audit_categories": pairs(ids), "audit_state": state, "audit_reason": ""}));
        Ok(json!({"online_categories": pairs(&self.online), "online_audit_info": audit}))
    }

    pub fn decided(&mut self, results: Option<&Value>) {
        for result in results.and_then(Value::as_array).into_iter().flatten() {
            let category = result.get("category").and_then(Value::as_str);
            let passed = result.get("status").and_then(Value::as_i64) == Some(1);
            if let Some(entry) = self.set.iter_mut().find(|entry| Some(entry.category.as_str()) == category) {
                entry.state = if passed { PASSED } else { REJECTED };
            }
        }
    }

    pub fn publication_decided(&mut self, state: Option<&Value>) {
        if let (Some((ids, held)), Some(state)) = (self.publication.as_mut(), state.and_then(Value::as_i64)) {
            *held = state;
            if state == PASSED {
                self.online.clone_from(ids);
            }
        }
    }

    fn has_one_left(&self) -> Result<(), No> {
        if self.left == 0 { Err(No(21_303, "no changes left this month")) } else { Ok(()) }
    }

    fn spend(&mut self) -> Result<(), No> {
        self.has_one_left()?;
        self.left -= 1;
        Ok(())
    }
}

/// Ids of the proofs that came with a category.
fn proofs(certificates: &Value) -> BTreeSet<&str> {
    certificates.as_array().into_iter().flatten().filter_map(|one| one.get("id")?.as_str()).collect()
}

fn name(category: &str) -> &'static str {
    CATALOGUE.iter().find(|(known, ..)| *known == category).map_or("", |(_, name, _)| name)
}

/// What can be chosen.
pub(super) fn catalogue() -> Said {
    let told = |(ids, name, proof): &(&str, &str, Option<&str>)| {
        let mut levels = ids.split(',').map(|id| id.parse::<u64>().unwrap_or_default());
        let (first, second, third) = (levels.next(), levels.next(), levels.next());
        let list: Vec<_> = proof.iter().map(|proof| json!({"id": proof, "name": "证明"})).collect();
        json!({
            "id": third, "name": name.rsplit('-').next(), "level": 3, "fpid": first, "spid": second,
            "certification": {"relation": proof.map(|proof| vec![proof]), "list": list, "explanation": ""},
        })
    };
    Ok(json!({"category_list": CATALOGUE.iter().map(told).collect::<Vec<_>>()}))
}
