//! The description of the service API: complete, and right in itself.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use yizhan::http::routes::{self, Gives};
use yizhan::operations::sheet;
use yizhan::platform::operation::{Bearer, Params};

fn document() -> Value {
    yizhan::http::openapi::document()
}

/// Every value in the document with where it stands.
fn walk<'a>(at: &str, value: &'a Value, see: &mut dyn FnMut(&str, &'a Value)) {
    see(at, value);
    match value {
        Value::Object(members) => members.iter().for_each(|(name, inner)| walk(&format!("{at}/{name}"), inner, see)),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, inner)| walk(&format!("{at}/{index}"), inner, see)),
        _ => {}
    }
}

/// Whether a path of the document stands for that path.
fn stands_for(described: &str, path: &str) -> bool {
    let mut parts = path.trim_matches('/').split('/');
    for segment in described.trim_matches('/').split('/') {
        match segment {
            // The rest of it.
            "{path}" | "{anything}" => return parts.next().is_some(),
            _ => match parts.next() {
                Some(part) if segment.starts_with('{') || segment == part => {}
                _ => return false,
            },
        }
    }
    parts.next().is_none()
}

/// An answer that all is well has its status in the document, wherever the document knows the path.
pub fn assert_described(method: &Method, path: &str, status: StatusCode) {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(document);
    let method = if method == Method::HEAD { Method::GET } else { method.clone() }.as_str().to_ascii_lowercase();
    let fitting = DOCUMENT["paths"].as_object().unwrap().iter().filter(|(described, _)| stands_for(described, path));
    // Of several, the one with the fewest variables answers.
    let Some((described, item)) = fitting.min_by_key(|(described, _)| described.matches('{').count()) else { return };
    let responses = &item[&method]["responses"];
    let is_known = status.as_u16() >= 400 || !responses.is_object() || responses.get(status.as_str()).is_some();
    assert!(is_known, "{method} {described} was answered {status}, which its description does not know: {responses}");
}

#[test]
fn every_route_is_described_and_everything_described_is_a_route() {
    let document = document();
    let mut known = BTreeSet::new();
    routes::every(&mut |path, entries| {
        let path = path.replace(":.*}", "}");
        for method in entries.iter().flat_map(|entry| entry.methods).filter(|method| method.as_str() != "HEAD") {
            known.insert(format!("{} {path}", method.as_str().to_ascii_lowercase()));
        }
    });
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let general = match path.rsplit_once("/operations/") {
            Some((before, _)) => format!("{before}/operations/{{operation}}"),
            None => path.clone(),
        };
        described.extend(item.as_object().unwrap().keys().map(|method| format!("{method} {general}")));
    }
    assert_eq!(described, known);
    assert!(known.len() > 50);
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let document = document();
    let mut used = BTreeSet::new();
    walk("", &document, &mut |at, value| {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{at}: {reference}");
            used.insert(reference.to_owned());
        }
    });
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(used.contains(&format!("#/components/schemas/{name}")), "{name} is used nowhere");
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)), "{name}");
    }
}

#[test]
fn operations_have_unique_ids_their_path_parameters_and_answers() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let at = format!("{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{at}");
            assert!(operation["summary"].as_str().unwrap().contains(" · "), "{at}: both languages");
            assert!(operation["responses"].as_object().unwrap().keys().any(|status| status.starts_with('2')), "{at}");
            let of = |place: &str| -> BTreeSet<&str> {
                let all = operation["parameters"].as_array().unwrap().iter();
                all.filter(|parameter| parameter["in"] == place).map(|parameter| parameter["name"].as_str().unwrap()).collect()
            };
            let variables: BTreeSet<&str> = path.split(['{', '}']).skip(1).step_by(2).collect();
            assert_eq!(of("path"), variables, "{at}");
            assert_eq!(operation["x-scope"].is_string(), operation["security"].as_array().is_some_and(|keys| !keys.is_empty()), "{at}");
            assert_eq!(path.starts_with("/v1/"), operation["x-scope"].is_string(), "{at}: /v1 needs a key, nothing else does");
        }
    }
    assert_eq!(document["openapi"], "3.1.0");
}

#[test]
fn every_query_parameter_of_a_route_is_described() {
    let document = document();
    routes::every(&mut |path, entries| {
        for entry in &entries {
            let item = &document["paths"][path.replace(":.*}", "}")][entry.methods[0].as_str().to_ascii_lowercase()];
            let described = item["parameters"].as_array().unwrap().iter().filter(|parameter| parameter["in"] == "query").count();
            assert_eq!(described, entry.words.query.len(), "{path}");
            if let Gives::Json(schema) | Gives::Page(schema) | Gives::File(schema) = entry.words.gives {
                assert!(document["components"]["schemas"].get(schema).is_some(), "{path}: {schema}");
            }
        }
    });
}

/// A handler takes its permission in its signature; the list must say the same.
#[test]
fn the_scope_of_every_route_is_the_one_that_its_handler_asks_for() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
    routes::every(&mut |path, entries| {
        for entry in &entries {
            let [.., module, function] = entry.handler.split("::").collect::<Vec<_>>()[..] else { panic!("{}", entry.handler) };
            let file = [format!("{module}.rs"), format!("{module}/mod.rs")].iter().map(|file| folder.join(file)).find(|file| file.exists());
            let text = std::fs::read_to_string(file.unwrap()).unwrap();
            let at = text.find(&format!("pub async fn {function}(")).unwrap_or_else(|| panic!("{}", entry.handler));
            let signature = &text[at..at + text[at..].find(") ->").unwrap()];
            let asked = signature.split_once("Caller<").map(|(_, rest)| rest.split_once('>').unwrap().0);
            let said = entry.words.scope.map(|scope| format!("{scope:?}"));
            assert_eq!(asked, said.as_deref(), "{path}: {}", entry.handler);
        }
    });
}

#[test]
fn every_operation_of_every_platform_has_its_path_with_an_example_that_fits() {
    let document = document();
    for sheet in sheet::all() {
        for row in &sheet.rows {
            let whose = if matches!(row.bearer, Bearer::Authorizer(_)) { "/authorizers/{authorizer}" } else { "" };
            let post = &document["paths"][format!("/v1/components/{{component}}{whose}/operations/{}", row.name)]["post"];
            let body = &post["requestBody"]["content"]["application/json"];
            let platform = sheet.platform.name();
            let example = body["examples"][platform]["value"].as_object().unwrap_or_else(|| panic!("{platform} {}", row.name));
            Params::check(row, example.clone()).unwrap_or_else(|bad| panic!("{platform} {}: {bad:?}", row.name));
            let schema = format!("#/components/schemas/{platform}.{}", row.name);
            assert!(body["schema"]["anyOf"].as_array().unwrap().iter().any(|one| one["$ref"] == schema.as_str()), "{schema}");
        }
    }
}

#[test]
fn the_page_about_operations_is_the_one_in_the_tree() {
    let page = yizhan::operations::page::markdown(&sheet::all());
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &page).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == page, "docs/operations.md is not what the rows say: run this test with UPDATE_DOCS=1");
}
