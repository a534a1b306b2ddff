use super::*;

fn check(text: &str, expected: Result<usize, &str>) {
    let parsed = json(text.as_bytes()).and_then(request);
    match (parsed, expected) {
        (Ok(request), Ok(calls)) => assert_eq!(request.calls.len(), calls, "{text}"),
        (Err(error), Err(kind)) => assert_eq!(
            error.urn(),
            format!("urn:ietf:params:jmap:error:{kind}"),
            "{text}"
        ),
        (parsed, expected) => panic!("{text}: {parsed:?}, not {expected:?}"),
    }
}

#[test]
fn requests() {
    check(r#"{"using":[],"methodCalls":[]}"#, Ok(0));
    check(
        r#"{"using":["a","a"],"methodCalls":[["x",{},"0"],["x",{},"0"]],"createdIds":{"k1":"a1"},"more":1}"#,
        Ok(2),
    );
    check("", Err("notJSON"));
    check("{", Err("notJSON"));
    check(
        r#"{"using":[],"using":[],"methodCalls":[]}"#,
        Err("notJSON"),
    );
    for wrong in [
        "[]",
        "null",
        "{}",
        r#"{"using":[]}"#,
        r#"{"methodCalls":[]}"#,
        r#"{"using":null,"methodCalls":[]}"#,
        r#"{"using":"a","methodCalls":[]}"#,
        r#"{"using":[1],"methodCalls":[]}"#,
        r#"{"using":[],"methodCalls":{}}"#,
        r#"{"using":[],"methodCalls":[[]]}"#,
        r#"{"using":[],"methodCalls":[["x",{}]]}"#,
        r#"{"using":[],"methodCalls":[["x",{},"0",1]]}"#,
        r#"{"using":[],"methodCalls":[["x",[],"0"]]}"#,
        r#"{"using":[],"methodCalls":[["x",{},0]]}"#,
        r#"{"using":[],"methodCalls":[[null,{},"0"]]}"#,
        r#"{"using":[],"methodCalls":[],"createdIds":null}"#,
        r#"{"using":[],"methodCalls":[],"createdIds":{"k":1}}"#,
        r#"{"using":[],"methodCalls":[],"createdIds":{"k k":"a1"}}"#,
        r#"{"using":[],"methodCalls":[],"createdIds":{"k":""}}"#,
    ] {
        check(wrong, Err("notRequest"));
    }
    let many = format!(
        "{{\"using\":[],\"methodCalls\":[{}0]}}",
        "0,".repeat(ijson::JSON_VALUES_MAX)
    );
    check(&many, Err("limit"));
}
