//! The document as a page for people.
//!
//! Holds: one file without scripts, which loads nothing from anywhere.
//! Other half: `openapi` for programs; both are made of the table.

use std::{fmt::Write as _, sync::LazyLock};

use serde_json::Value;

use crate::{
    BASE, DOCUMENT_PATH, openapi,
    problem::{Kind, TYPE_PREFIX},
    table::table,
};

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
h2 { border-bottom: 1px solid var(--line); margin-top: 2.5rem; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0; }
summary { cursor: pointer; padding: .5rem .75rem; }
details > div { padding: 0 .75rem .75rem; }
.method { display: inline-block; min-width: 4.5rem; font-weight: 700; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .25rem .5rem; border-top: 1px solid var(--line); }
pre { background: var(--soft); padding: .75rem; border-radius: 6px; overflow-x: auto; }
";

static HTML: LazyLock<String> = LazyLock::new(page);

/// The page.
pub fn html() -> &'static str {
    &HTML
}

fn page() -> String {
    let document = openapi::document();
    let mut html =
        String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    html.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    let _ = write!(
        html,
        "<title>Posthorn API</title><style>{STYLE}</style></head><body>"
    );
    let about = document
        .pointer("/info/description")
        .and_then(Value::as_str);
    let _ = write!(
        html,
        "<h1>Posthorn API</h1><p>{}</p><p>For programs: <a href=\"{DOCUMENT_PATH}\">{DOCUMENT_PATH}</a> (OpenAPI 3.1).</p>\
         <pre>curl -u name@example.org https://mail.example.org{BASE}/me</pre>",
        escaped(about.unwrap_or_default())
    );
    let mut tag = "";
    for route in table() {
        if route.tag != tag {
            tag = route.tag;
            let _ = write!(html, "<h2>{}</h2>", escaped(tag));
        }
        let pointer = format!(
            "/paths/{}/{}",
            route.path.replace('/', "~1"),
            route.method.as_str().to_ascii_lowercase()
        );
        let operation = document.pointer(&pointer).unwrap_or(&Value::Null);
        let _ = write!(
            html,
            "<details id=\"{}\"><summary><span class=\"method\">{}</span> <code>{BASE}{}</code> {}</summary><div>",
            route.id,
            route.method,
            escaped(route.path),
            escaped(route.summary)
        );
        if let Some(operation) = route.operation {
            let _ = write!(html, "<p>Operation: <code>{}</code></p>", operation.name());
        }
        parameters(&mut html, operation);
        if let Some(body) = operation
            .pointer("/requestBody/content")
            .and_then(Value::as_object)
        {
            for (content_type, content) in body {
                let _ = write!(html, "<p>Body, <code>{}</code>:</p>", escaped(content_type));
                schema(&mut html, &document, content.get("schema"));
            }
        }
        responses(&mut html, &document, operation);
        html.push_str("</div></details>");
    }
    problems(&mut html);
    html.push_str("</body></html>\n");
    html
}

fn parameters(html: &mut String, operation: &Value) {
    let parameters = operation.get("parameters").and_then(Value::as_array);
    let Some(parameters) = parameters.filter(|parameters| !parameters.is_empty()) else {
        return;
    };
    html.push_str("<table><tr><th>Parameter</th><th>in</th><th></th></tr>");
    for parameter in parameters {
        let text = |name: &str| {
            escaped(
                parameter
                    .get(name)
                    .and_then(Value::as_str)
                    .unwrap_or_default(),
            )
        };
        let _ = write!(
            html,
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
            text("name"),
            text("in"),
            text("description")
        );
    }
    html.push_str("</table>");
}

fn responses(html: &mut String, document: &Value, operation: &Value) {
    let Some(responses) = operation.get("responses").and_then(Value::as_object) else {
        return;
    };
    for (status, response) in responses {
        let about = response.get("description").and_then(Value::as_str);
        let _ = write!(
            html,
            "<p><b>{}</b> {}</p>",
            escaped(status),
            escaped(about.unwrap_or_default())
        );
        schema(
            html,
            document,
            response.pointer("/content/application~1json/schema"),
        );
    }
}

/// A schema, with that which it refers to.
fn schema(html: &mut String, document: &Value, schema: Option<&Value>) {
    let Some(schema) = schema else {
        return;
    };
    let reference = schema.get("$ref").and_then(Value::as_str);
    let found = reference.and_then(|of| document.pointer(of.trim_start_matches('#')));
    let text = serde_json::to_string_pretty(found.unwrap_or(schema)).unwrap_or_default();
    let _ = write!(html, "<pre>{}</pre>", escaped(&text));
}

fn problems(html: &mut String) {
    html.push_str("<h2>Problems</h2><table><tr><th>Type</th><th>Status</th><th></th></tr>");
    for kind in Kind::ALL {
        let _ = write!(
            html,
            "<tr id=\"{0}\"><td><code>{TYPE_PREFIX}{0}</code></td><td>{1}</td><td>{2}</td></tr>",
            kind.name(),
            kind.status().as_u16(),
            escaped(&kind.title())
        );
    }
    html.push_str("</table>");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_loaded_and_nothing_runs() {
        let html = html();
        for foreign in ["<script", "<link", "<img", "src=", "@import", "url("] {
            assert!(!html.contains(foreign), "{foreign}");
        }
        assert!(table().iter().all(|route| html.contains(route.id)));
    }
}
