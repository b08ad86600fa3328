//! One kind of domains of a mini program, each kind with its lists (5.3). Every host but those below `.invalid` is one of the component's.

use serde_json::{Map, Value, json};

use super::desk::{No, PARAMETER, Said};
use super::merchant::Asked;

/// Domains of one list.
const MOST: usize = 20;

/// Lists by the vendor's names.
pub(super) struct Domains {
    lists: Vec<(&'static str, Vec<String>)>,
}

impl Domains {
    pub fn new(names: &[&'static str]) -> Self {
        Self { lists: names.iter().map(|name| (*name, Vec::new())).collect() }
    }

    pub fn modify(&mut self, asked: &Asked<'_>) -> Said {
        let action = asked.text("action").ok_or(PARAMETER)?;
        if action == "get" {
            return Ok(self.lists.iter().map(|(name, hosts)| ((*name).to_owned(), json!(hosts))).collect::<Map<_, _>>().into());
        }
        let mut changed = Vec::new();
        for (name, held) in &self.lists {
            let given = asked.texts(name).unwrap_or_default();
            if given.iter().any(|host| host.contains([':', '/']) || !host.contains('.')) {
                return Err(No(40_027, "form"));
            }
            if given.iter().any(|host| host.ends_with(".invalid")) {
                return Err(No(40_023, "not a component domain"));
            }
            let mut hosts = match action {
                "add" => [held.clone(), given].concat(),
                "set" if asked.body.get(*name).is_some() => given,
                "set" => held.clone(),
                "delete" if given.iter().any(|host| !held.contains(host)) => return Err(No(40_028, "cannot delete what is not there")),
                "delete" => held.iter().filter(|host| !given.contains(host)).cloned().collect(),
                _ => return Err(PARAMETER),
            };
            hosts.sort();
            hosts.dedup();
            if hosts.len() > MOST {
                return Err(No(40_024, "more than 20"));
            }
            changed.push((*name, hosts));
        }
        if changed == self.lists {
            return Err(No(40_026, "nothing to do"));
        }
        self.lists = changed;
        Ok(Value::Null)
    }
}
