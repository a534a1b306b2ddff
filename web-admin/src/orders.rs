//! Certificates that are to be ordered, as the setting `tls.acme.certificate` has them.

use serde_json::Value;

/// The setting with one more certificate, for these names. Values are TOML; a JSON array of texts is that as well.
pub fn with(before: &str, names: &[String]) -> String {
    let names: Vec<Value> = names.iter().cloned().map(Value::from).collect();
    let one = format!("{{ names = {} }}", Value::from(names));
    let others = before.trim().strip_suffix(']').unwrap_or_default();
    match others.trim_end().trim_end_matches(',') {
        "" | "[" => format!("[{one}]"),
        others => format!("{others}, {one}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_are_ordered_stay() {
        let names = ["a.example".to_owned(), "b.example".to_owned()];
        let one = r#"{ names = ["a.example","b.example"] }"#;
        for before in ["", "[]", " [ ] "] {
            assert_eq!(with(before, &names), format!("[{one}]"), "{before}");
        }
        let other = r#"[{ names = ["c.example"], challenge = "dns-01" }]"#;
        let want = format!(r#"[{{ names = ["c.example"], challenge = "dns-01" }}, {one}]"#);
        assert_eq!(with(other, &names), want);
        let odd = r#"[{ names = ["c.example"], challenge = "dns-01" }, ]"#;
        assert_eq!(with(odd, &names), want);
    }
}
