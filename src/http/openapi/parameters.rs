//! What stands in paths, queries and headers, by name.

use serde_json::{Value, json};

/// A parameter of a query.
#[must_use]
pub fn query(name: &str) -> Option<Value> {
    let (schema, description) = match name {
        "limit" => (json!({"type": "integer", "minimum": 1, "maximum": 500, "default": 50}), "items of a page; more than 500 is 500"),
        "cursor" => (json!({"type": "string"}), "`next_cursor` of the page before; carries the filters it was made with"),
        "component" => (json!({"type": "string"}), "component name; where lists are filtered, a pattern with *"),
        "platform" => (json!({"type": "string", "examples": ["douyin"]}), "platform name"),
        "authorizer" => (json!({"type": "string"}), "app id of an authorizer, or a pattern with *"),
        "type" => (json!({"type": "string", "examples": ["audit.*"]}), "type of event, or a pattern with *"),
        "since" => (json!({"type": "string", "format": "date-time"}), "not before"),
        "until" => (json!({"type": "string", "format": "date-time"}), "before"),
        "status" => (json!({"$ref": "#/components/schemas/Status"}), "of its deliveries"),
        "stage" => (json!({"$ref": "#/components/schemas/RolloutStage"}), "only authorizers in this stage"),
        "q" => (json!({"type": "string"}), "text that the event holds"),
        "playbook" => (json!({"type": "string"}), "name of a playbook"),
        "state" => (
            json!({"type": "string", "enum": ["running", "waiting_for_window", "waiting_for_approval", "done", "failed", "cancelled"]}),
            "where the run stands",
        ),
        "tag" => (json!({"type": "string"}), "only authorizers with this tag"),
        "subscription" => (json!({"type": "string"}), "subscription name"),
        "event" => (json!({"type": "string"}), "event id"),
        "family" => (json!({"type": "string", "enum": ["current", "v1"], "default": "current"}), "which family of tokens (Douyin has two)"),
        "min_ttl" => (json!({"type": "integer", "minimum": 0}), "seconds that must be left; renewed first if needed"),
        "after_generation" => (json!({"type": "integer"}), "only a generation above this"),
        "wait" => (json!({"type": "integer", "minimum": 0, "maximum": 60}), "seconds to wait for it"),
        _ => return None,
    };
    Some(json!({"name": name, "in": "query", "required": false, "schema": schema, "description": description}))
}

/// A part of a path.
#[must_use]
pub fn path(name: &str) -> Value {
    let description = match name {
        "component" => "component name",
        "authorizer" => "app id of an authorizer",
        "operation" => "normal name, as in package.upload",
        "path" => "path at the vendor, slashes as they are; letters, digits, `-`, `_`, `.` and `/` only",
        "name" => "name of the subscription or playbook",
        "state" => "our mark",
        "slug" => "name of a kind of problem, as in no-ticket",
        "anything" => "whatever the platform appends",
        _ => "id",
    };
    json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}, "description": description})
}

/// `Idempotency-Key`.
#[must_use]
pub fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key", "in": "header", "required": false, "schema": {"type": "string", "minLength": 1, "maxLength": 200},
        "description": "A request that comes again under the same key within 24 hours gets the first one's answer (with \
            `Idempotency-Replayed: true`). While that one is being carried out: 409 with Retry-After. Another request under the same key: 422. \
            An answer that says that nothing was done leaves the key free."
    })
}
