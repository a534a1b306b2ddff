use super::*;
use crate::{
    blob::{BlobGet, BlobLookup, BlobUpload},
    email::Import,
    mail::{Email, EmailSubmission},
    mdn::MdnSend,
    push::PushSubscriptionSet,
};

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

/// A call with one argument more, which has an id: is it taken?
fn check_id<C: MethodCall>(others: &str, argument: &str, id: &str, is_taken: bool) {
    let json = format!("{{{others}{}}}", argument.replace('@', id));
    let parsed = C::from_arguments(Arguments::new(map(&json)));
    let refused = (!is_taken).then_some(MethodErrorKind::InvalidArguments);
    assert_eq!(parsed.err().map(|error| error.kind), refused, "{json}");
}

/// RFC 8620 §5.3: creation ids are Ids; a reference to one has a `#` before it.
#[test]
fn what_names_an_object_is_an_id() {
    type Check = fn(&str, &str, &str, bool);
    let account = r#""accountId":"a1","#;
    let send = r#""accountId":"a1","identityId":"i1","send":{},"#;
    let (to, types) = (
        r#""fromAccountId":"a2","accountId":"a1","#,
        r#""accountId":"a1","typeNames":[],"#,
    );
    let creations: [(Check, &str, &str); 6] = [
        (check_id::<Set<Email>>, account, r#""create":{"@":{}}"#),
        (check_id::<Copy<Email>>, to, r#""create":{"@":{}}"#),
        (check_id::<Import>, account, r#""emails":{"@":{}}"#),
        (check_id::<BlobUpload>, account, r#""create":{"@":{}}"#),
        (check_id::<PushSubscriptionSet>, "", r#""create":{"@":{}}"#),
        (
            check_id::<MdnSend>,
            r#""accountId":"a1","identityId":"i1","#,
            r#""send":{"@":{}}"#,
        ),
    ];
    let references: [(Check, &str, &str); 9] = [
        (check_id::<Set<Email>>, account, r#""update":{"@":{}}"#),
        (check_id::<Set<Email>>, account, r#""destroy":["@"]"#),
        (check_id::<PushSubscriptionSet>, "", r#""update":{"@":{}}"#),
        (check_id::<PushSubscriptionSet>, "", r#""destroy":["@"]"#),
        (
            check_id::<Set<EmailSubmission>>,
            account,
            r#""onSuccessUpdateEmail":{"@":{}}"#,
        ),
        (
            check_id::<Set<EmailSubmission>>,
            account,
            r#""onSuccessDestroyEmail":["@"]"#,
        ),
        (
            check_id::<MdnSend>,
            send,
            r#""onSuccessUpdateEmail":{"@":{}}"#,
        ),
        (check_id::<BlobGet>, account, r#""ids":["@"]"#),
        (check_id::<BlobLookup>, types, r#""ids":["@"]"#),
    ];
    for wrong in ["", "a b", "é", "##k", &"k".repeat(256)] {
        for (check, others, argument) in creations.iter().chain(&references) {
            check(others, argument, wrong, false);
        }
    }
    for (check, others, argument) in creations {
        check(others, argument, "k-1", true);
        check(others, argument, "#k-1", false);
    }
    for (check, others, argument) in references {
        check(others, argument, "k-1", true);
        check(others, argument, "#k-1", true);
    }
}
