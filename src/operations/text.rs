//! Parameters written as text, as on a command line or in a form: read by the row's JSON Schema.
//!
//! Called by `cli` (with the schema that the service gave) and `http` (for `multipart/form-data`). Never refuses: what does not fit is passed
//! on as text, and the check of the row names it.

use serde_json::{Map, Value};

/// The value that `text` stands for, by the schema of its parameter. Lists may be written as JSON or separated by commas, objects as JSON.
#[must_use]
pub fn value(schema: &Value, text: &str) -> Value {
    let as_is = || Value::from(text);
    let json = |fits: fn(&Value) -> bool| serde_json::from_str(text).ok().filter(fits);
    match schema.get("type").and_then(Value::as_str) {
        Some("boolean") => json(Value::is_boolean).unwrap_or_else(as_is),
        Some("integer") => json(Value::is_number).unwrap_or_else(as_is),
        Some("object") => json(Value::is_object).unwrap_or_else(as_is),
        Some("array") => json(Value::is_array).unwrap_or_else(|| list(schema, text)),
        _ => as_is(),
    }
}

/// A list that is not written as JSON: texts between commas; of objects, one of them.
fn list(schema: &Value, text: &str) -> Value {
    let of_objects = schema.pointer("/items/type").and_then(Value::as_str) == Some("object");
    if of_objects {
        let object = serde_json::from_str::<Map<String, Value>>(text);
        return object.map_or_else(|_| Value::from(text), |object| Value::Array(vec![Value::Object(object)]));
    }
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect()
}

/// Whether a parameter can only be a file, by its schema. A picture may also be the text that an upload gave.
#[must_use]
pub fn is_file(schema: &Value) -> bool {
    schema.pointer("/properties/content_base64").is_some()
}

/// A file as parameters hold it.
#[must_use]
pub fn file(name: &str, content: &[u8]) -> Value {
    use base64::Engine;
    serde_json::json!({"file_name": name, "content_base64": base64::engine::general_purpose::STANDARD.encode(content)})
}
