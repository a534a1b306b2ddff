//! The errors of requests and of methods, and result references (RFC 8620 §3.6, §3.7, §5).

use e2e::{
    Home, Server,
    jmap::{string, strings},
};
use serde_json::{Value, json};

use super::{mail, outcome};

const CORE: &str = "urn:ietf:params:jmap:core";
const MAIL: &str = "urn:ietf:params:jmap:mail";

fn with_small_limits() -> Server {
    let home = Home::with_people()
        .set("limits", "max-objects-in-get = 3")
        .set("limits", "max-objects-in-set = 3")
        .set("limits", "max-calls-in-request = 4")
        .set("limits", "max-size-request = \"20 KiB\"")
        .set("limits", "max-size-upload = \"20 KiB\"");
    Server::start_in(home)
}

#[test]
fn requests_that_are_refused() {
    let server = with_small_limits();
    let mut alice = server.jmap("alice");
    let calls = |count: usize| {
        let calls = vec![json!(["Core/echo", {}, "0"]); count];
        json!({"using": [CORE], "methodCalls": calls}).to_string()
    };
    let large =
        json!({"using": [CORE], "methodCalls": [["Core/echo", {"x": "y".repeat(30_000)}, "0"]]});
    let rows = [
        (calls(4), 200, "", ""),
        (calls(5), 400, "limit", "maxCallsInRequest"),
        (large.to_string(), 400, "limit", "maxSizeRequest"),
        ("{".to_owned(), 400, "notJSON", ""),
        (
            r#"{"using": [], "methodCalls": [], "using": []}"#.to_owned(),
            400,
            "notJSON",
            "",
        ),
        (r#"{"using": []}"#.to_owned(), 400, "notRequest", ""),
        (
            r#"{"using": "x", "methodCalls": []}"#.to_owned(),
            400,
            "notRequest",
            "",
        ),
        (
            r#"{"using": [], "methodCalls": [["Core/echo", {}]]}"#.to_owned(),
            400,
            "notRequest",
            "",
        ),
        (
            r#"{"using": [], "methodCalls": [["Core/echo", [], "0"]]}"#.to_owned(),
            400,
            "notRequest",
            "",
        ),
        (
            r#"{"using": ["urn:example:other"], "methodCalls": []}"#.to_owned(),
            400,
            "unknownCapability",
            "",
        ),
    ];
    for (body, status, kind, limit) in rows {
        let answer = alice.post_api(body.as_bytes());
        let shown: String = body.chars().take(80).collect();
        assert_eq!(answer.status, status, "{shown}: {}", answer.text());
        if status == 200 {
            continue;
        }
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
        let problem = answer.json();
        assert_eq!(
            problem["type"],
            format!("urn:ietf:params:jmap:error:{kind}"),
            "{shown}"
        );
        assert_eq!(problem["status"], json!(status));
        assert_eq!(
            problem["limit"].as_str().unwrap_or_default(),
            limit,
            "{shown}"
        );
    }
}

#[test]
fn every_error_of_a_method_by_its_name() {
    let server = with_small_limits();
    let mut alice = server.jmap("alice");
    let id = mail(&mut alice, "one");
    let four = json!(["e1", "e2", "e3", "e4"]);
    let since = |state: &str| json!({"sinceState": state});
    let rows = [
        ("Email/nothing", json!({}), "unknownMethod"),
        ("Nothing/get", json!({}), "unknownMethod"),
        ("Email/get", json!({"ids": "e1"}), "invalidArguments"),
        ("Email/get", json!({"ids": [1]}), "invalidArguments"),
        (
            "Email/get",
            json!({"ids": ["no id at all"]}),
            "invalidArguments",
        ),
        (
            "Email/get",
            json!({"ids": [], "unknown": 1}),
            "invalidArguments",
        ),
        // RFC 8620 §5.3, §1.2: what names an object is an Id.
        (
            "Mailbox/set",
            json!({"create": {"a b": {"name": "x"}}}),
            "invalidArguments",
        ),
        ("Email/set", json!({"create": {"": {}}}), "invalidArguments"),
        (
            "Email/set",
            json!({"update": {"a b": {}}}),
            "invalidArguments",
        ),
        ("Email/set", json!({"destroy": ["a b"]}), "invalidArguments"),
        (
            "Email/import",
            json!({"emails": {"é": {}}}),
            "invalidArguments",
        ),
        (
            "Blob/upload",
            json!({"create": {"k".repeat(256): {}}}),
            "invalidArguments",
        ),
        (
            "Email/get",
            json!({"ids": [], "properties": ["nonsense"]}),
            "invalidArguments",
        ),
        (
            "Email/get",
            json!({"ids": [], "accountId": 1}),
            "invalidArguments",
        ),
        (
            "Email/get",
            json!({"ids": [], "accountId": "a999"}),
            "accountNotFound",
        ),
        ("Email/set", json!({"accountId": "a999"}), "accountNotFound"),
        ("Email/get", json!({"ids": four}), "requestTooLarge"),
        ("Thread/get", json!({"ids": four}), "requestTooLarge"),
        ("Email/set", json!({"destroy": four}), "requestTooLarge"),
        (
            "Email/import",
            json!({"emails": {"a": {}, "b": {}, "c": {}, "d": {}}}),
            "requestTooLarge",
        ),
        ("Email/parse", json!({"blobIds": four}), "requestTooLarge"),
        (
            "Blob/copy",
            json!({"fromAccountId": alice.account, "blobIds": four}),
            "requestTooLarge",
        ),
        (
            "Blob/copy",
            json!({"fromAccountId": "a999", "blobIds": []}),
            "fromAccountNotFound",
        ),
        ("Email/set", json!({"ifInState": "s0"}), "stateMismatch"),
        (
            "Mailbox/set",
            json!({"ifInState": "nonsense"}),
            "stateMismatch",
        ),
        ("Email/changes", since("nonsense"), "cannotCalculateChanges"),
        (
            "Mailbox/changes",
            since("s999999"),
            "cannotCalculateChanges",
        ),
        ("Thread/changes", since(""), "cannotCalculateChanges"),
        (
            "Email/changes",
            json!({"sinceState": "s0", "maxChanges": 0}),
            "invalidArguments",
        ),
        ("Email/changes", json!({}), "invalidArguments"),
        ("Email/query", json!({"anchor": "e999"}), "anchorNotFound"),
        (
            "Email/query",
            json!({"sort": [{"property": "nonsense"}]}),
            "unsupportedSort",
        ),
        (
            "Email/query",
            json!({"sort": [{"property": "subject", "collation": "i;nonsense"}]}),
            "unsupportedSort",
        ),
        (
            "Email/query",
            json!({"filter": {"nonsense": 1}}),
            "unsupportedFilter",
        ),
        (
            "Email/query",
            json!({"filter": {"operator": "XOR", "conditions": []}}),
            "invalidArguments",
        ),
        (
            "Mailbox/query",
            json!({"filter": {"nonsense": 1}}),
            "unsupportedFilter",
        ),
        (
            "Mailbox/query",
            json!({"sort": [{"property": "nonsense"}]}),
            "unsupportedSort",
        ),
        (
            "EmailSubmission/query",
            json!({"filter": {"nonsense": 1}}),
            "unsupportedFilter",
        ),
        (
            "Blob/lookup",
            json!({"typeNames": ["Nonsense"], "ids": []}),
            "unknownDataType",
        ),
        (
            "PushSubscription/get",
            json!({"ids": null, "properties": ["url"]}),
            "forbidden",
        ),
    ];
    for (name, mut arguments, error) in rows {
        if name.starts_with("PushSubscription") {
            let responses = alice.request(json!([[name, arguments.take(), "0"]]));
            assert_eq!(responses[0][1]["type"], error, "{name}");
            continue;
        }
        assert_eq!(
            alice.error_of(name, arguments.clone()),
            error,
            "{name} {arguments}"
        );
    }
    assert_eq!(alice.query_all(Value::Null), [id]);
}

#[test]
fn a_method_whose_capability_is_not_used_is_unknown() {
    let server = Server::start();
    let mut alice = server.jmap("alice");
    let account = alice.account.clone();
    let rows = [
        (
            vec![CORE],
            "Email/get",
            json!({"accountId": account, "ids": []}),
            "unknownMethod",
        ),
        (
            vec![CORE, MAIL],
            "Email/get",
            json!({"accountId": account, "ids": []}),
            "",
        ),
        (vec![MAIL], "Core/echo", json!({}), "unknownMethod"),
        (
            vec![CORE, MAIL],
            "Identity/get",
            json!({"accountId": account, "ids": null}),
            "unknownMethod",
        ),
        (
            vec![CORE, MAIL],
            "Blob/get",
            json!({"accountId": account, "ids": []}),
            "unknownMethod",
        ),
    ];
    for (using, name, arguments, error) in rows {
        let request = json!({"using": using, "methodCalls": [[name, arguments, "0"]]});
        let response = alice.post_api(request.to_string().as_bytes()).json();
        let found = &response["methodResponses"][0];
        assert_eq!(
            found[1]["type"].as_str().unwrap_or_default(),
            error,
            "{using:?} {name}"
        );
    }
}

#[test]
fn every_error_of_an_item_by_its_name() {
    let server = with_small_limits();
    let mut alice = server.jmap("alice");
    let id = mail(&mut alice, "one");
    let inbox = alice.mailbox("inbox");
    let parent = alice.call("Mailbox/set", json!({"create": {"p": {"name": "Parent"}}}));
    let parent = string(&parent["created"]["p"]["id"]);
    alice.call(
        "Mailbox/set",
        json!({"create": {"c": {"name": "Child", "parentId": parent}}}),
    );
    let rows = [
        (
            "Email/set",
            json!({"update": {"e999": {"keywords/$seen": true}}}),
            "e999",
            "notFound",
        ),
        (
            "Email/set",
            json!({"destroy": ["e999"]}),
            "e999",
            "notFound",
        ),
        (
            "Email/set",
            json!({"update": {&id: {}}, "destroy": [id, "e998"]}),
            "e998",
            "notFound",
        ),
        (
            "Mailbox/set",
            json!({"update": {&parent: {"name": "x"}}, "destroy": [parent]}),
            &*parent,
            "willDestroy",
        ),
        (
            "Mailbox/set",
            json!({"destroy": [parent]}),
            &*parent,
            "mailboxHasChild",
        ),
        (
            "Mailbox/set",
            json!({"update": {&parent: {"name/x": 1}}}),
            &*parent,
            "invalidPatch",
        ),
        (
            "Mailbox/set",
            json!({"update": {&parent: {"name": 1}}}),
            &*parent,
            "invalidProperties",
        ),
        (
            "Mailbox/set",
            json!({"update": {&parent: {"totalEmails": 9}}}),
            &*parent,
            "invalidProperties",
        ),
        (
            "Mailbox/set",
            json!({"destroy": [inbox]}),
            &*inbox,
            "forbidden",
        ),
        (
            "Mailbox/set",
            json!({"create": {"x": {"name": "Parent"}}}),
            "x",
            "alreadyExists",
        ),
        (
            "Mailbox/set",
            json!({"create": {"x": {"name": "y", "parentId": "#nothing"}}}),
            "x",
            "invalidProperties",
        ),
        (
            "VacationResponse/set",
            json!({"update": {"singleton": {"isEnabled": false, "isEnabled/x": 1}}}),
            "singleton",
            "invalidPatch",
        ),
        (
            "VacationResponse/set",
            json!({"create": {"x": {}}}),
            "x",
            "singleton",
        ),
        (
            "VacationResponse/set",
            json!({"destroy": ["singleton"]}),
            "singleton",
            "singleton",
        ),
        (
            "Email/set",
            json!({"create": {"x": {"mailboxIds": {&inbox: true}, "attachments": [{"blobId": "nothing"}]}}}),
            "x",
            "blobNotFound",
        ),
        (
            "Email/set",
            json!({"create": {"x": {"subject": "x"}}}),
            "x",
            "invalidProperties",
        ),
    ];
    for (name, arguments, item, error) in rows {
        let response = alice.call(name, arguments.clone());
        assert_eq!(
            outcome(&response, item),
            error,
            "{name} {arguments} {response}"
        );
    }
}

#[test]
fn a_call_takes_from_the_results_of_earlier_ones() {
    let server = Server::start();
    let mut alice = server.jmap("alice");
    for n in 0..3 {
        mail(&mut alice, &format!("number {n}"));
    }
    let account = alice.account.clone();
    let reference =
        |of: &str, name: &str, path: &str| json!({"resultOf": of, "name": name, "path": path});
    let responses = alice.request(json!([
        ["Email/query", {"accountId": account, "sort": [{"property": "subject"}]}, "q"],
        ["Email/get", {"accountId": account, "#ids": reference("q", "Email/query", "/ids"), "properties": ["threadId", "subject"]}, "g"],
        ["Thread/get", {"accountId": account, "#ids": reference("g", "Email/get", "/list/*/threadId")}, "t"],
        ["Email/get", {"accountId": account, "#ids": reference("t", "Thread/get", "/list/*/emailIds"), "properties": ["subject"]}, "e"],
    ]));
    let subjects = |list: &Value| -> Vec<String> {
        list.as_array()
            .into_iter()
            .flatten()
            .map(|email| string(&email["subject"]))
            .collect()
    };
    assert_eq!(
        subjects(&responses[1][1]["list"]),
        ["number 0", "number 1", "number 2"]
    );
    assert_eq!(subjects(&responses[3][1]["list"]).len(), 3, "{responses:?}");
    let wrong = [
        reference("z", "Email/query", "/ids"),
        reference("q", "Email/get", "/ids"),
        reference("q", "Email/query", "/nothing"),
        reference("q", "Email/query", "ids"),
        reference("q", "Email/query", "/ids/7"),
        json!({"resultOf": "q"}),
        json!("q"),
    ];
    for reference in wrong {
        let query = json!(["Email/query", {"accountId": account}, "q"]);
        let get = json!(["Email/get", {"accountId": account, "#ids": reference}, "g"]);
        let responses = alice.request(json!([query, get]));
        assert_eq!(
            responses[1][1]["type"], "invalidResultReference",
            "{reference}"
        );
    }
    let both =
        json!({"accountId": account, "ids": [], "#ids": reference("q", "Email/query", "/ids")});
    let responses = alice
        .request(json!([["Email/query", {"accountId": account}, "q"], ["Email/get", both, "g"]]));
    assert_eq!(responses[1][1]["type"], "invalidArguments");
    assert_eq!(strings(&responses[0][1]["ids"]).len(), 3);
}

#[test]
fn creation_ids_are_good_for_the_rest_of_the_request() {
    let server = Server::start();
    let mut alice = server.jmap("alice");
    let account = alice.account.clone();
    let blob = alice.upload(b"Subject: x\r\n\r\ny\r\n", "message/rfc822");
    let responses = alice.request(json!([
        ["Mailbox/set", {"accountId": account, "create": {"p": {"name": "P"}, "c": {"name": "C", "parentId": "#p"}}}, "0"],
        ["Email/import", {"accountId": account, "emails": {"m": {"blobId": blob, "mailboxIds": {"#c": true}}}}, "1"],
        ["Email/set", {"accountId": account, "update": {"#m": {"keywords/$seen": true, "mailboxIds/#p": true}}}, "2"],
        ["Email/set", {"accountId": account, "destroy": ["#m", "#unknown"]}, "3"],
    ]));
    let email = string(&responses[1][1]["created"]["m"]["id"]);
    assert!(
        responses[2][1]["updated"].get(&email).is_some(),
        "{responses:?}"
    );
    assert_eq!(responses[3][1]["destroyed"], json!([email]));
    assert_eq!(outcome(&responses[3][1], "#unknown"), "notFound");
}
