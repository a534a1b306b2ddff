//! The document of the API (OpenAPI 3.1), made of the table of routes.
//!
//! Holds: the file in the repository is this text; a test compares, and `POSTHORN_UPDATE_OPENAPI=1` writes it anew.
//! Other half: `table`, which also serves.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::{
    BASE,
    describe::Schemas,
    live,
    problem::{Kind, PROBLEM_JSON, TYPE_PREFIX},
    request::IDEMPOTENCY_KEY_OCTETS_MAX,
    routes::PATH_PARAMETERS,
    sign_in,
    table::{Parameter, Route, table},
};

static TEXT: LazyLock<String> = LazyLock::new(|| {
    let mut text = serde_json::to_string_pretty(&document()).unwrap_or_default();
    text.push('\n');
    text
});

/// The document, as it is served.
pub fn text() -> &'static str {
    &TEXT
}

/// The document.
pub fn document() -> Value {
    let mut schemas = Schemas::default();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    let mut tags: Vec<&str> = Vec::new();
    for route in table() {
        let operation = operation(route, &mut schemas);
        let methods = paths.entry(route.path).or_default();
        methods.insert(route.method.as_str().to_ascii_lowercase(), operation);
        if !tags.contains(&route.tag) {
            tags.push(route.tag);
        }
    }
    let mut components: Map<String, Value> = schemas
        .0
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect();
    components.insert("Problem".into(), problem());
    let tags: Vec<Value> = tags.iter().map(|tag| json!({"name": tag})).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Posthorn",
            "summary": "The API for administrators of a mail server, and for its users' own accounts.",
            "description": "Log in with HTTP Basic (name and password, or an app password) or with a bearer token; a page may also log in by a passkey, to make itself a token. Each role may do what its operations allow; an object that the account may not see is answered as one that isn't there. Lists are paged by opaque cursors. An object has an ETag: a change that sends it as If-Match is refused with 412 if somebody else was faster. A POST with an Idempotency-Key is done once, however often it is sent within a day. Errors are problem details (RFC 9457).",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "AGPL-3.0-only", "identifier": "AGPL-3.0-only"},
        },
        "servers": [{"url": BASE}],
        "security": [{"basic": []}, {"bearer": []}, {"passkey": []}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer"},
                "passkey": {
                    "type": "http",
                    "scheme": sign_in::SCHEME.to_ascii_lowercase(),
                    "description": "What a browser has answered with a passkey, once, from a page of this server: see `beginSignIn`.",
                },
            },
        },
    })
}

fn problem() -> Value {
    let types: Vec<String> = Kind::ALL
        .iter()
        .map(|kind| format!("{TYPE_PREFIX}{}", kind.name()))
        .collect();
    json!({
        "type": "object",
        "description": "Problem details (RFC 9457).",
        "properties": {
            "type": {"type": "string", "enum": types},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
        },
        "required": ["type", "title", "status", "detail"],
    })
}

fn parameter(of: &Parameter, place: &str) -> Value {
    json!({
        "name": of.name,
        "in": place,
        "required": place == "path",
        "description": of.about,
        "schema": (of.schema)(),
    })
}

fn operation(route: &Route, schemas: &mut Schemas) -> Value {
    let mut parameters: Vec<Value> = Vec::new();
    for name in route.parameters() {
        let known = PATH_PARAMETERS.iter().find(|known| known.name == name);
        parameters.extend(known.map(|known| parameter(known, "path")));
    }
    parameters.extend(route.query.iter().map(|of| parameter(of, "query")));
    let header = |name: &str, about: &str, schema: Value| json!({"name": name, "in": "header", "required": false, "description": about, "schema": schema});
    let tags = "^(\\*|\"[0-9a-f]{32}\")$";
    if route.is_versioned {
        let (name, about) = match route.is_change() {
            true => (
                "If-Match",
                "The ETag of the object that the change is meant for.",
            ),
            false => (
                "If-None-Match",
                "The ETag of the object that is known already.",
            ),
        };
        parameters.push(header(
            name,
            about,
            json!({"type": "string", "pattern": tags}),
        ));
    }
    if route.is_once {
        let about = "A name that the client has chosen for this request: it is done once, however often it is sent within a day.";
        let schema = json!({
            "type": "string",
            "minLength": 1,
            "maxLength": IDEMPOTENCY_KEY_OCTETS_MAX,
            "pattern": "^[!-~]+$",
        });
        parameters.push(header("Idempotency-Key", about, schema));
    }
    let mut operation = json!({
        "operationId": route.id,
        "tags": [route.tag],
        "summary": route.summary,
        "parameters": parameters,
        "responses": responses(route, schemas),
    });
    if let (Some(members), Some(of)) = (operation.as_object_mut(), route.operation) {
        members.insert("x-operation".into(), json!(of.name()));
    }
    if let (Some(members), true) = (operation.as_object_mut(), route.is_open()) {
        members.insert("security".into(), json!([]));
    }
    if let (Some(members), Some(body)) = (operation.as_object_mut(), route.body) {
        let content_type = match route.method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        let body = json!({
            "required": true,
            "content": {content_type: {"schema": body(schemas)}},
        });
        members.insert("requestBody".into(), body);
    }
    operation
}

fn responses(route: &Route, schemas: &mut Schemas) -> Value {
    let mut responses = Map::new();
    let mut good = json!({"description": reason(route.status)});
    if let (Some(members), Some(answer)) = (good.as_object_mut(), route.answer) {
        let content_type = match route.is_live {
            true => live::CONTENT_TYPE,
            false => "application/json",
        };
        let content = json!({content_type: {"schema": answer(schemas)}});
        members.insert("content".into(), content);
    }
    let mut headers = Map::new();
    let text = json!({"schema": {"type": "string"}});
    if route.is_versioned && route.answer.is_some() {
        headers.insert("ETag".into(), text.clone());
    }
    if matches!(route.status, StatusCode::CREATED | StatusCode::ACCEPTED) {
        headers.insert("Location".into(), text.clone());
    }
    if let Some(members) = good.as_object_mut().filter(|_| !headers.is_empty()) {
        members.insert("headers".into(), Value::Object(headers));
    }
    responses.insert(route.status.as_str().to_owned(), good);
    if route.is_versioned && !route.is_change() {
        let known = json!({"description": reason(StatusCode::NOT_MODIFIED)});
        responses.insert("304".into(), known);
    }
    let problems = route.all_problems();
    let statuses: BTreeSet<u16> = problems.iter().map(|kind| kind.status().as_u16()).collect();
    for status in statuses {
        let kinds = problems
            .iter()
            .filter(|kind| kind.status().as_u16() == status);
        let texts: Vec<String> = kinds
            .map(|kind| format!("`{}`: {}", kind.name(), kind.title()))
            .collect();
        let mut response = json!({
            "description": texts.join(" "),
            "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        });
        if let (401, Some(members)) = (status, response.as_object_mut()) {
            members.insert("headers".into(), json!({"WWW-Authenticate": text}));
        }
        responses.insert(status.to_string(), response);
    }
    Value::Object(responses)
}

fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn the_file_is_what_is_served() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi/openapi.json");
        if std::env::var_os("POSTHORN_UPDATE_OPENAPI").is_some() {
            fs::write(&file, text()).unwrap();
        }
        let found = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            found == text(),
            "openapi/openapi.json is not what the routes say; POSTHORN_UPDATE_OPENAPI=1 writes it anew"
        );
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let mut waiting = vec![&document];
        let mut count = 0;
        while let Some(value) = waiting.pop() {
            match value {
                Value::Array(items) => waiting.extend(items),
                Value::Object(members) => {
                    if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                        let found = document.pointer(reference.trim_start_matches('#'));
                        assert!(found.is_some_and(Value::is_object), "{reference}");
                        count += 1;
                    }
                    waiting.extend(members.values());
                }
                _ => {}
            }
        }
        assert!(count > 50);
    }
}
