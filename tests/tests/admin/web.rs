//! What HTTP asks for: methods, types, sizes, other sites' pages, the document and its pages.

use e2e::http::Http;
use serde_json::{Value, json};

use crate::client::{Api, problem, staffed};

/// Method, path, fields and body of a request; status and problem of the answer.
type Row = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    Option<Value>,
    u16,
    &'static str,
);

#[test]
fn requests_that_are_not_what_the_address_takes() {
    let server = staffed();
    let mut root = Api::new(&server, "root");
    let rows: &[Row] = &[
        ("GET", "/nothing", &[], None, 404, "not-found"),
        ("GET", "/domains/", &[], None, 404, "not-found"),
        (
            "PUT",
            "/domains",
            &[],
            Some(json!({})),
            405,
            "method-not-allowed",
        ),
        ("GET", "/domains?x=1", &[], None, 400, "invalid-request"),
        (
            "GET",
            "/domains?limit=1&limit=2",
            &[],
            None,
            400,
            "invalid-request",
        ),
        ("GET", "/domains?limit=0", &[], None, 400, "invalid-request"),
        (
            "GET",
            "/domains?limit=201",
            &[],
            None,
            400,
            "invalid-request",
        ),
        (
            "GET",
            "/domains?limit=%FF",
            &[],
            None,
            400,
            "invalid-request",
        ),
        (
            "GET",
            "/domains?sort=size",
            &[],
            None,
            400,
            "invalid-request",
        ),
        ("GET", "/domains?cursor=x", &[], None, 400, "invalid-cursor"),
        (
            "GET",
            "/domains?cursor=W10",
            &[],
            None,
            400,
            "invalid-cursor",
        ),
        ("GET", "/domains/%FF", &[], None, 404, "not-found"),
        (
            "GET",
            "/accounts?domain=a..b",
            &[],
            None,
            422,
            "invalid-value",
        ),
        (
            "POST",
            "/domains",
            &[],
            Some(json!([])),
            400,
            "invalid-request",
        ),
        (
            "POST",
            "/domains",
            &[],
            Some(json!({})),
            400,
            "invalid-request",
        ),
        (
            "POST",
            "/domains",
            &[],
            Some(json!({"name": 1})),
            400,
            "invalid-request",
        ),
        (
            "POST",
            "/domains",
            &[],
            Some(json!({"name": "a.example", "more": 1})),
            400,
            "invalid-request",
        ),
        (
            "POST",
            "/domains",
            &[],
            Some(json!({"name": "a..b"})),
            422,
            "invalid-value",
        ),
        (
            "POST",
            "/domains",
            &[("Content-Type", "text/plain")],
            Some(json!({"name": "a.example"})),
            415,
            "unsupported-media-type",
        ),
        (
            "POST",
            "/domains",
            &[("Content-Encoding", "gzip")],
            Some(json!({"name": "a.example"})),
            415,
            "unsupported-media-type",
        ),
        (
            "POST",
            "/domains",
            &[("Idempotency-Key", "")],
            Some(json!({"name": "a.example"})),
            400,
            "invalid-request",
        ),
        (
            "POST",
            "/accounts",
            &[],
            Some(json!({"name": "w@example.org", "password": "w"})),
            422,
            "invalid-value",
        ),
    ];
    for (method, path, fields, body, status, name) in rows {
        let answer = root.ask(method, path, fields, body.clone());
        assert_eq!(answer.status, *status, "{method} {path}: {}", answer.text());
        assert_eq!(problem(&answer), *name, "{method} {path}");
    }
    let answer = root.put("/domains", Some(json!({})));
    assert_eq!(answer.header("allow"), Some("GET, POST, HEAD, OPTIONS"));
    let options = root.ask("OPTIONS", "/domains", &[], None);
    assert_eq!(options.status, 204);
    assert_eq!(options.header("access-control-allow-methods"), None);
}

#[test]
fn one_past_each_limit() {
    let server = staffed();
    let mut root = Api::new(&server, "root");
    let query = |octets: usize| format!("/domains?q={}", "x".repeat(octets));
    let used = "/api/v1/domains".len() + "q=".len();
    let longest = admin::URI_OCTETS_MAX - used;
    assert_eq!(root.get(&query(longest)).status, 200);
    assert_eq!(problem(&root.get(&query(longest + 1))), "address-too-long");
    let shell = json!({"name": ""}).to_string().len();
    let body = |octets: usize| json!({"name": "x".repeat(octets - shell)});
    let most = root.post("/domains", body(admin::BODY_OCTETS_MAX));
    assert_eq!(problem(&most), "invalid-value");
    let more = root.post("/domains", body(admin::BODY_OCTETS_MAX + 1));
    assert_eq!(problem(&more), "too-large");
    let key = |octets: usize| "k".repeat(octets);
    let ask = |root: &mut Api, octets: usize| {
        let name = format!("k{octets}.example");
        let key = key(octets);
        let fields = [("Idempotency-Key", &*key)];
        root.ask("POST", "/domains", &fields, Some(json!({"name": name})))
    };
    let most = admin::IDEMPOTENCY_KEY_OCTETS_MAX;
    assert_eq!(ask(&mut root, most).status, 201);
    assert_eq!(problem(&ask(&mut root, most + 1)), "invalid-request");
    let id = root.id_of("alice@example.org");
    let versions = |count: usize| vec!["\"00000000000000000000000000000000\""; count].join(",");
    for (count, want) in [
        (admin::VERSIONS_MAX, "changed"),
        (admin::VERSIONS_MAX + 1, "invalid-request"),
    ] {
        let field = versions(count);
        let fields = [("If-Match", &*field)];
        let path = format!("/accounts/{id}");
        let answer = root.ask("PATCH", &path, &fields, Some(json!({})));
        assert_eq!(problem(&answer), want);
    }
    let deep = format!("{{\"name\": {}1{}}}", "[".repeat(16), "]".repeat(16));
    let deep: Value = serde_json::from_str(&deep).expect("JSON");
    assert_eq!(problem(&root.post("/domains", deep)), "invalid-request");
}

#[test]
fn pages_of_other_sites_change_nothing() {
    let server = staffed();
    let mut root = Api::new(&server, "root");
    let own = format!("http://127.0.0.1:{}", server.home.http);
    let rows: &[(&[(&str, &str)], u16)] = &[
        (&[("Origin", "https://evil.example")], 403),
        (&[("Origin", "null")], 403),
        (&[("Sec-Fetch-Site", "cross-site")], 403),
        (&[("Sec-Fetch-Site", "same-site")], 403),
        (&[("Origin", &own), ("Sec-Fetch-Site", "same-origin")], 200),
        (&[("Sec-Fetch-Site", "none")], 200),
        (&[], 200),
    ];
    for (fields, status) in rows {
        let body = Some(json!({"catchAll": null}));
        let answer = root.ask("PATCH", "/domains/example.org", fields, body);
        assert_eq!(answer.status, *status, "{fields:?}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
        if *status == 403 {
            assert_eq!(problem(&answer), "cross-site");
        }
        assert_eq!(answer.header("set-cookie"), None);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let mut answer = |fields: &[(&str, &str)]| root.ask("GET", "/me", fields, None);
    let foreign = answer(&[("Origin", "https://evil.example")]);
    assert_eq!(foreign.header("access-control-allow-origin"), None);
}

#[test]
fn a_page_that_is_allowed_may() {
    let home = crate::client::staffed_home().set(
        "http",
        "admin-cors-origin = \"https://console.example.org\"",
    );
    let server = e2e::Server::start_in(home);
    let mut root = Api::new(&server, "root");
    let fields = [
        ("Origin", "https://console.example.org"),
        ("Sec-Fetch-Site", "cross-site"),
    ];
    let body = Some(json!({"catchAll": null}));
    let answer = root.ask("PATCH", "/domains/example.org", &fields, body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let allowed = answer.header("access-control-allow-origin");
    assert_eq!(allowed, Some("https://console.example.org"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    let preflight = Api::nobody(&server).ask("OPTIONS", "/domains/example.org", &fields, None);
    assert_eq!(preflight.status, 204);
    assert!(preflight.header("access-control-allow-headers").is_some());
}

#[test]
fn the_document_and_its_pages_are_for_everybody() {
    let server = staffed();
    let mut http = Http::new(server.home.http);
    let document = http.get("/api/openapi.json", &[]);
    assert_eq!(document.status, 200);
    assert_eq!(document.text(), admin::openapi::text());
    let page = http.get("/api/docs", &[]);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert!(page.text().contains("addDomain"));
    assert_eq!(http.get("/api/v2/me", &[]).status, 404);
    assert_eq!(http.get("/api", &[]).status, 404);
    assert_eq!(http.post("/api/docs", &[], b"").status, 405);
}
