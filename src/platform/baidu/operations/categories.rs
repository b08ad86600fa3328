//! Categories are set as a whole (5.4.2): what the set must be after an addition, a change of materials, a deletion.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::rows::Sends;
use crate::platform::call::{ApiError, Class};
use crate::platform::loose;
use crate::platform::operation::Params;

/// Ids with all their digits, of a list of objects.
fn ids<'v>(list: Option<&'v Value>, names: &'v [&str]) -> Vec<Cow<'v, str>> {
    let items = list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
    items.filter_map(|item| loose::text_of(item, names)).collect()
}

/// Ids that `app/info` names.
pub(super) fn current(info: Option<&Value>) -> Vec<Cow<'_, str>> {
    ids(info.and_then(|info| info.get("category")), &["category_id"])
}

fn given(params: &Params) -> Vec<Cow<'_, str>> {
    ids(params.get("categories"), &["sub_category_id"])
}

/// A whole set for `categorys`; `None` when it is so already.
///
/// # Errors
/// A category is to be changed that the app does not have.
pub(super) fn wanted(sends: Sends, params: &Params, info: Option<&Value>) -> Result<Option<Vec<Value>>, ApiError> {
    let (current, given) = (current(info), given(params));
    let objects: Vec<&Map<String, Value>> =
        params.get("categories").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object).collect();
    let brings_materials = objects.iter().any(|category| category.contains_key("qualis"));
    // Approved materials need not be sent again.
    let kept = current.iter().filter(|id| !given.contains(id)).map(|id| json!({"sub_category_id": number(id)}));
    match sends {
        Sends::DeleteCategories => Ok(current.iter().any(|id| given.contains(id)).then(|| kept.collect())),
        Sends::AddCategories if !brings_materials && given.iter().all(|id| current.contains(id)) => Ok(None),
        Sends::ModifyCategories if given.iter().any(|id| !current.contains(id)) => {
            Err(ApiError::new(Class::Refuse, "50061", "a category to be changed is not among those of the app"))
        }
        _ => Ok(Some(kept.chain(objects.into_iter().map(normal)).collect())),
    }
}

/// Whether the set that `info` shows is the one that a lost call wanted, and its materials arrived.
pub(super) fn arrived(sends: Sends, params: &Params, before: Option<&Value>, after: &Value) -> bool {
    let (was, now, given) = (current(before), current(Some(after)), given(params));
    let in_audit = |info: Option<&Value>| {
        let listed = info.and_then(|info| info.get("category")).and_then(Value::as_array).into_iter().flatten();
        listed.filter_map(Value::as_object).filter(|entry| loose::integer_of(entry, &["audit_status"]) == Some(1)).count()
    };
    match sends {
        Sends::DeleteCategories => !now.iter().any(|id| given.contains(id)),
        _ => {
            given.iter().all(|id| now.contains(id))
                && (given.iter().any(|id| !was.contains(id)) || in_audit(Some(after)) > in_audit(before))
        }
    }
}

/// Ids go out as numbers, as in the vendor's samples.
fn number(id: &str) -> Value {
    id.parse::<u64>().map_or_else(|_| Value::from(id), Value::from)
}

fn normal(category: &Map<String, Value>) -> Value {
    let mut category = category.clone();
    if let Some(id) = loose::text_of(&category, &["sub_category_id"]).map(|id| number(&id)) {
        category.insert(String::from("sub_category_id"), id);
    }
    Value::Object(category)
}
