//! What went wrong, as the API says it (RFC 9457).

use serde_json::Value;

/// A problem, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Problem {
    /// HTTP's; 0: there was no answer.
    pub status: u16,
    /// The last part of the problem's type.
    pub kind: String,
    /// A sentence.
    pub detail: String,
    /// Which fields are wrong: JSON Pointers into what was sent, and why.
    pub fields: Vec<(String, String)>,
}

impl Problem {
    pub fn of(status: u16, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            ..Self::default()
        }
    }

    /// Reads a problem document. A body that is none gives a sentence all the same.
    pub fn parse(status: u16, body: &str, otherwise: &str) -> Self {
        let document: Value = serde_json::from_str(body).unwrap_or_default();
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        let kind = text("type").unwrap_or_default();
        let kind = kind.rsplit(['/', ':', '#']).next().unwrap_or_default();
        let fields = document.get("errors").and_then(Value::as_array);
        let fields = fields.into_iter().flatten().filter_map(|error| {
            let text = |name: &str| error.get(name).and_then(Value::as_str);
            let pointer = text("pointer")?;
            let pointer = pointer.strip_prefix('#').unwrap_or(pointer);
            Some((pointer.to_owned(), text("detail")?.to_owned()))
        });
        let fields = fields.collect();
        let detail = text("detail").or_else(|| text("title"));
        Self {
            status,
            kind: kind.to_owned(),
            detail: detail.unwrap_or(otherwise).to_owned(),
            fields,
        }
    }

    /// Why a field is wrong. `pointer`: such as `/name`; what is wrong below it counts as well.
    pub fn of_field(&self, pointer: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(at, _)| {
            at.strip_prefix(pointer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        found.map(|(_, detail)| detail.as_str())
    }

    /// Whether the password is right, and a code is needed beside it.
    pub fn wants_code(&self) -> bool {
        self.kind == "second-factor"
    }

    /// Whether somebody else has changed it meanwhile.
    pub fn is_conflict(&self) -> bool {
        self.status == 412
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read() {
        let body = r##"{"type": "urn:posthorn:problem:invalid", "title": "Not valid", "detail": "A field is wrong.",
            "errors": [{"pointer": "#/name", "detail": "There is one already."}, {"pointer": "/targets/1", "detail": "No address."}]}"##;
        let problem = Problem::parse(422, body, "?");
        assert_eq!(problem.kind, "invalid");
        assert_eq!(problem.detail, "A field is wrong.");
        assert_eq!(problem.of_field("/name"), Some("There is one already."));
        assert_eq!(problem.of_field("/targets"), Some("No address."));
        assert_eq!(problem.of_field("/nam"), None);
    }

    #[test]
    fn what_is_no_document_has_a_sentence() {
        assert_eq!(
            Problem::parse(502, "<html>", "The server failed."),
            Problem::of(502, "The server failed.")
        );
        assert_eq!(
            Problem::parse(404, r#"{"title": "Not found"}"#, "?").detail,
            "Not found"
        );
    }
}
