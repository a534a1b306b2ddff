use super::*;
use crate::mail::Email;

fn map(json: &str) -> Map {
    Value::parse_json(json.to_owned().leak())
        .unwrap()
        .into_object()
        .unwrap()
}

fn check(what: &str, query: &str, expected: Option<MethodErrorKind>) {
    let json = format!("{{\"accountId\":\"a1\",{query}}}");
    let parsed = Query::<Email>::from_arguments(Arguments::new(map(&json)));
    assert_eq!(parsed.err().map(|error| error.kind), expected, "{what}");
    let json = format!("{{\"accountId\":\"a1\",\"sinceQueryState\":\"s\",{query}}}");
    let parsed = QueryChanges::<Email>::from_arguments(Arguments::new(map(&json)));
    assert_eq!(parsed.err().map(|error| error.kind), expected, "{what}");
}

/// Operators around one condition: as many levels as `depth`.
fn deep(depth: usize) -> String {
    let operators = depth - 1;
    format!(
        "\"filter\":{}{{}}{}",
        "{\"operator\":\"NOT\",\"conditions\":[".repeat(operators),
        "]}".repeat(operators)
    )
}

/// One operator and its conditions: as many of both as `count`.
fn wide(count: usize) -> String {
    let conditions = vec!["{}"; count - 1].join(",");
    format!("\"filter\":{{\"operator\":\"OR\",\"conditions\":[{conditions}]}}")
}

fn sorted_by(count: usize) -> String {
    let comparators = vec!["{\"property\":\"size\"}"; count].join(",");
    format!("\"sort\":[{comparators}]")
}

#[test]
fn one_past_the_limits_of_a_query() {
    let (filter, sort) = (
        Some(MethodErrorKind::UnsupportedFilter),
        Some(MethodErrorKind::UnsupportedSort),
    );
    check("levels", &deep(FILTER_DEPTH_MAX), None);
    check("one more level", &deep(FILTER_DEPTH_MAX + 1), filter);
    check("conditions", &wide(FILTER_CONDITIONS_MAX), None);
    check(
        "one more condition",
        &wide(FILTER_CONDITIONS_MAX + 1),
        filter,
    );
    check("comparators", &sorted_by(COMPARATORS_MAX), None);
    check("one more comparator", &sorted_by(COMPARATORS_MAX + 1), sort);
}
