use serde_json::{Value as Json, json};

use super::*;

/// A subscription with one more property: is it read?
fn check(what: &str, property: &str, value: Json, is_read: bool) {
    let mut asked = json!({"deviceClientId": "x", "url": "https://push.test/x"});
    asked[property] = value;
    let map = Value::parse_json(asked.to_string().leak()).unwrap();
    match Asked::read(map.into_object().unwrap()) {
        Ok(_) => assert!(is_read, "{what}"),
        Err(error) => {
            assert!(!is_read, "{what}");
            assert_eq!(error.kind, jmap_types::SetErrorKind::InvalidProperties);

            assert_eq!(error.properties, [property], "{what}");
        }
    }
}

#[test]
fn one_past_the_limits_of_a_subscription() {
    let text = |octets: usize| json!("x".repeat(octets));
    let id = DEVICE_CLIENT_ID_OCTETS_MAX;
    check("no id", "deviceClientId", text(0), false);
    check("id", "deviceClientId", text(id), true);
    check("a longer id", "deviceClientId", text(id + 1), false);
    let types = |count: usize| Json::from(vec!["Email"; count]);
    check("types", "types", types(TYPES_MAX), true);
    check("more types", "types", types(TYPES_MAX + 1), false);
    let name = |octets: usize| json!([text(octets)]);
    check("name", "types", name(TYPE_NAME_OCTETS_MAX), true);
    check(
        "a longer name",
        "types",
        name(TYPE_NAME_OCTETS_MAX + 1),
        false,
    );
}
