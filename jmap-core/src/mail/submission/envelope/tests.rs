use serde_json::{Value as Json, json};

use super::*;

/// `why`: a part of what is said of an envelope whose sender is this; empty when it is read.
fn check(what: &str, sender: Json, why: &str) {
    let envelope = json!({"mailFrom": sender, "rcptTo": []}).to_string();
    let value = Value::parse_json(envelope.leak()).unwrap();
    match read(value) {
        Ok(_) => assert!(why.is_empty(), "{what}"),
        Err(error) => {
            let said = error.description.unwrap_or_default();
            assert!(!why.is_empty() && said.contains(why), "{what}: {said}");
        }
    }
}

#[test]
fn one_past_the_limits_of_an_address() {
    // Domains of labels of one letter, but for the last.
    let address = |local: usize, octets: usize| {
        let domain = octets - local - 1;
        let last = if domain.is_multiple_of(2) { "xx" } else { "x" };
        let domain = "x.".repeat((domain - last.len()) / 2) + last;
        json!({"email": format!("{}@{domain}", "x".repeat(local))})
    };
    let (local, no) = (LOCAL_PART_OCTETS_MAX, "not a valid address");
    check("local part", address(local, local + 21), "");
    check("a longer one", address(local + 1, local + 22), no);
    // The longest address that there can be is shorter than what is read.
    let longest = local + 1 + names::DOMAIN_OCTETS_MAX;
    assert!(longest < ADDRESS_OCTETS_MAX);
    check("address", address(local, longest), "");
    check("a longer one", address(local, longest + 1), no);
}

#[test]
fn one_past_the_limits_of_parameters() {
    let of = |parameters: Json| json!({"email": "", "parameters": parameters});
    let many = |count: usize| {
        let names = (0..count).map(|n| (format!("X{n}"), Json::Null));
        of(Json::Object(names.collect()))
    };
    check("unknown", many(PARAMETERS_MAX), "doesn't know");
    check("too many", many(PARAMETERS_MAX + 1), "too many");
    let value = |octets: usize| of(json!({"ENVID": "x".repeat(octets)}));
    check("value", value(parameters::ENVID_OCTETS_MAX), "");
    check(
        "a longer one",
        value(parameters::ENVID_OCTETS_MAX + 1),
        "ENVID",
    );
    check("the longest", value(PARAMETER_OCTETS_MAX), "ENVID");
    check(
        "longer than any",
        value(PARAMETER_OCTETS_MAX + 1),
        "a String",
    );
}
