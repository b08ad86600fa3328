//! OpenAPI 3.1 of everything we answer, written from the list of routes and the platforms' rows: `/openapi.json` and `yizhan openapi`.
//!
//! An operation of a vendor has a path of its own here beside the general one, so that generated clients know its parameters; each platform
//! that has it gives a schema and an example.

mod parameters;

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};

use super::operations::OperationBody;
use super::problem::{Kind, Problem};
use super::routes::{self, Gives, Words};
use super::{Face, connections};
use crate::operations::sheet::{self, Sheet};
use crate::platform::operation::{Answers, Bearer, Operation};

/// Bodies that are not made from rows.
const SCHEMAS: &str = include_str!("schemas.json");

/// The two general paths that every operation has one below.
const OF_COMPONENT: &str = "/v1/components/{component}/operations/{operation}";
const OF_AUTHORIZER: &str = "/v1/components/{component}/authorizers/{authorizer}/operations/{operation}";

/// When to come back where too many are being given the document.
const PAUSE: Duration = Duration::from_secs(5);

/// `GET /openapi.json`. Anybody may ask for it, so it is made once: making it takes long enough to hold up everybody else. It is large, and the server
/// library copies what it sends, so few connections are given it at a time, and each is closed afterwards.
pub async fn serve(face: web::Data<Face>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let Ok(copy) = Arc::clone(&face.copies).try_acquire_owned() else {
        return Err(Problem::new(Kind::Unavailable, "too many are being given this document")
            .hint("come back later; `yizhan openapi` writes it too, without the service")
            .retry_after(PAUSE));
    };
    connections::keep(&request, copy);
    let document = face.document.get_or_init(|| document().to_string().into()).clone();
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .force_close()
        .body(document))
}

/// The document. The same wherever it is asked for: it depends on this build, not on anybody's configuration.
#[must_use]
pub fn document() -> Value {
    let sheets = sheet::all();
    let mut paths = Map::new();
    routes::every(&mut |path, entries| {
        let path = plain(path);
        let mut item = Map::new();
        for entry in &entries {
            // `HEAD` goes with `GET` and is not worth a description of its own.
            for method in entry.methods.iter().filter(|method| **method != Method::HEAD) {
                item.insert(method.as_str().to_ascii_lowercase(), operation(&path, method, &entry.words));
            }
        }
        paths.insert(path, Value::Object(item));
    });
    for (general, for_authorizer) in [(OF_COMPONENT, false), (OF_AUTHORIZER, true)] {
        if let Some(Value::Object(item)) = paths.get(general).cloned() {
            paths.extend(specific(&sheets, general, for_authorizer, &item));
        }
    }
    let mut schemas: Map<String, Value> = serde_json::from_str(SCHEMAS).unwrap_or_default();
    for sheet in &sheets {
        schemas.extend(sheet.rows.iter().map(|row| (schema_name(sheet, row), row.schema())));
    }
    let kinds: Map<String, Value> =
        Kind::ALL.iter().map(|kind| (kind.slug().to_owned(), json!({"status": kind.status().as_u16(), "title": kind.title()}))).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Yizhan",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Webhook receiver, ticket and token service, and follow-up calls for third-party mini program platforms.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "paths": paths,
        "x-kinds": kinds,
        "components": {
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key, `yzk_…`; `yizhan keys new` makes one."},
            },
            "schemas": schemas,
            "responses": {
                "Problem": {
                    "description": "What is wrong, and what to do next",
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                },
            },
        },
    })
}

/// A path without the patterns of the router.
fn plain(path: &str) -> String {
    path.replace(":.*}", "}")
}

/// Names of the variable parts of a path.
fn variables(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

fn operation(path: &str, method: &Method, words: &Words) -> Value {
    let mut all: Vec<Value> = variables(path).map(parameters::path).collect();
    all.extend(words.query.iter().filter_map(|name| parameters::query(name)));
    if matches!(words.gives, Gives::File(_)) || words.takes == Some("NewRollout") {
        all.push(parameters::idempotency_key());
    }
    let mut described = json!({
        "operationId": format!("{}_{}", method.as_str().to_ascii_lowercase(), identifier(path)),
        "tags": [tag(path)],
        "summary": format!("{} · {}", words.en, words.zh),
        "parameters": all,
        "responses": responses(words),
    });
    let body = match (words.takes, words.gives) {
        (Some(schema), gives) => {
            let schema = json!({"schema": reference(schema)});
            let mut content = json!({"application/json": schema});
            if let (Gives::File(_), Some(content)) = (gives, content.as_object_mut()) {
                content.insert(String::from("multipart/form-data"), schema);
            }
            Some(json!({"required": false, "content": content}))
        }
        (None, Gives::Vendor) if *method != Method::GET => Some(json!({"required": false, "content": {"*/*": {}}})),
        _ => None,
    };
    if let Some(described) = described.as_object_mut() {
        described.extend(body.map(|body| (String::from("requestBody"), body)));
        described.insert(String::from("security"), words.scope.map_or_else(|| json!([]), |_| json!([{"key": []}])));
        described.extend(words.scope.map(|scope| (String::from("x-scope"), Value::from(scope.as_str()))));
    }
    described
}

fn identifier(path: &str) -> String {
    path.trim_matches('/').replace(['/', '-', '.'], "_").replace(['{', '}'], "")
}

fn tag(path: &str) -> &str {
    let mut segments = path.trim_matches('/').split('/');
    match (segments.next(), segments.next()) {
        (Some("v1"), Some(room)) => {
            let mut inner = ["operations", "proxy", "authorizers", "authorizations"].into_iter();
            inner.find(|name| segments.clone().any(|segment| segment == *name)).unwrap_or(room)
        }
        (Some("callback" | "authorize"), _) => "platforms",
        _ => "service",
    }
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

/// What may be answered: by status when all is well, and otherwise a problem, or what the vendor says of it.
fn responses(words: &Words) -> Value {
    let well = [(words.status, words.gives)].into_iter().chain(words.also.iter().copied());
    let mut responses: Map<String, Value> = well.map(|(status, gives)| (status.to_string(), success(gives))).collect();
    let otherwise = match words.gives {
        Gives::Vendor => json!({
            "description": "What is wrong, and what to do next; or whatever the vendor answers, with its status",
            "content": {"application/problem+json": {"schema": reference("Problem")}, "*/*": {}},
        }),
        _ => json!({"$ref": "#/components/responses/Problem"}),
    };
    responses.insert(String::from("default"), otherwise);
    Value::Object(responses)
}

fn success(gives: Gives) -> Value {
    let json_of = |schema: Value| json!({"application/json": {"schema": schema}});
    let content = match gives {
        Gives::Json(schema) => json_of(reference(schema)),
        Gives::Page(schema) => json_of(json!({
            "type": "object",
            "required": ["items"],
            "properties": {"items": {"type": "array", "items": reference(schema)}, "next_cursor": {"type": "string", "description": "There may be more. A page may end before it is full"}},
        })),
        Gives::File(schema) => json!({"application/json": {"schema": reference(schema)}, "*/*": {}}),
        Gives::Text(kind) => json!({kind: {"schema": {"type": "string"}}}),
        Gives::Bytes(kind) => json!({kind: {}}),
        Gives::Events => json!({"text/event-stream": {"schema": {"type": "string"}}}),
        Gives::Vendor => json!({"*/*": {}}),
        Gives::Empty => return json!({"description": "Done"}),
    };
    let description = match gives {
        Gives::Vendor => "Whatever the vendor answers, with its status",
        Gives::File(_) => {
            "What came of it. An operation that gives a file answers with the file itself and its content type, unless `Accept` names \
             nothing but JSON: then it stands in `file`, in base64"
        }
        _ => "Done",
    };
    json!({"description": description, "content": content})
}

fn schema_name(sheet: &Sheet, row: &Operation) -> String {
    format!("{}.{}", sheet.platform.name(), row.name)
}

/// A path for each operation below a general one, with the platforms' schemas and examples.
fn specific(sheets: &[Sheet], general: &str, for_authorizer: bool, item: &Map<String, Value>) -> Vec<(String, Value)> {
    let fits = |row: &&Operation| matches!(row.bearer, Bearer::Authorizer(_)) == for_authorizer;
    let mut paths: Vec<(String, Value)> = Vec::new();
    for name in sheets.iter().flat_map(|sheet| sheet.rows.iter().filter(fits)).map(|row| row.name) {
        let path = general.replace("{operation}", name);
        if paths.iter().any(|(known, _)| *known == path) {
            continue;
        }
        let rows: Vec<(&Sheet, &Operation)> = sheets
            .iter()
            .flat_map(|sheet| sheet.rows.iter().filter(fits).map(move |row| (sheet, row)))
            .filter(|(_, row)| row.name == name)
            .collect();
        let described = item.get("post").map(|post| one_operation(post, &path, &rows)).unwrap_or_default();
        paths.push((path, json!({"post": described})));
    }
    paths
}

fn one_operation(general: &Value, path: &str, rows: &[(&Sheet, &Operation)]) -> Value {
    let mut described = general.as_object().cloned().unwrap_or_default();
    let schemas: Vec<Value> = rows.iter().map(|(sheet, row)| reference(&schema_name(sheet, row))).collect();
    let examples: Map<String, Value> = rows
        .iter()
        .map(|(sheet, row)| (sheet.platform.name().to_owned(), json!({"summary": sheet.platform.title().en, "value": row.example()})))
        .collect();
    let schema = json!({"anyOf": schemas});
    let parameters: Vec<Value> = variables(path).map(parameters::path).chain([parameters::idempotency_key()]).collect();
    let title = rows.first().map(|(_, row)| format!("{} · {}", row.title.en, row.title.zh)).unwrap_or_default();
    let facts: Map<String, Value> = rows
        .iter()
        .map(|(sheet, row)| {
            let mut facts = json!(OperationBody::new(sheet.platform, row));
            if let Some(facts) = facts.as_object_mut() {
                facts.retain(|name, _| {
                    matches!(name.as_str(), "method" | "path" | "effect" | "answers" | "reference" | "enabled" | "settings")
                });
            }
            (sheet.platform.name().to_owned(), facts)
        })
        .collect();
    let is_file = rows.iter().any(|(_, row)| row.answers == Answers::File);
    let required = rows.iter().all(|(_, row)| row.params.iter().any(|param| param.required));
    described.insert(String::from("operationId"), Value::from(format!("post_{}", identifier(path))));
    described.insert(String::from("summary"), Value::from(title));
    described.insert(String::from("parameters"), Value::from(parameters));
    described.insert(String::from("x-platforms"), Value::Object(facts));
    described.insert(
        String::from("requestBody"),
        json!({
            "required": required,
            "content": {
                "application/json": {"schema": schema, "examples": examples},
                "multipart/form-data": {"schema": reference("Parameters")},
            },
        }),
    );
    if !is_file {
        let responses = json!({"200": success(Gives::Json("Outcome")), "default": {"$ref": "#/components/responses/Problem"}});
        described.insert(String::from("responses"), responses);
    }
    Value::Object(described)
}
