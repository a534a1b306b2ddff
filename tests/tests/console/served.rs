//! How the console's files are served, and how large they are.

use e2e::{
    Home, Server,
    http::{Answer, Http},
};

/// What a browser fetches before it shows something.
const FIRST_LOAD_OCTETS_MAX: usize = 400_000;

/// The addresses that a text names, at the console's place for files.
fn named(text: &str) -> Vec<String> {
    let parts = text.split("/admin/assets/").skip(1);
    let mut names: Vec<String> = parts
        .map(|part| {
            part.chars()
                .take_while(|c| !matches!(c, '"' | '\''))
                .collect()
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn the_first_load_is_small_and_may_be_kept() {
    let server = Server::start_in(Home::new());
    let mut http = Http::new(server.home.http);
    let page = http.get("/admin/", &[("Accept-Encoding", "br")]);
    assert_eq!(
        page.status, 200,
        "the binary has no console: cargo xtask wasm"
    );
    assert_eq!(page.header("content-encoding"), Some("br"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let plain = http.get("/account/", &[]);
    assert_eq!(plain.header("content-encoding"), None);
    let files = named(&plain.text());
    assert!(files.len() >= 5, "{files:?}");
    let mut octets = page.body.len();
    for file in files {
        let path = format!("/admin/assets/{file}");
        let get = |http: &mut Http, fields: &[(&str, &str)]| -> Answer { http.get(&path, fields) };
        let answer = get(&mut http, &[("Accept-Encoding", "gzip, br")]);
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-encoding"), Some("br"), "{path}");
        let cache = answer.header("cache-control").unwrap_or_default();
        assert!(cache.contains("immutable"), "{path}: {cache}");
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"), "{path}");
        octets += answer.body.len();
        let tag = answer.header("etag").expect("a tag").to_owned();
        let known = get(
            &mut http,
            &[("Accept-Encoding", "br"), ("If-None-Match", &tag)],
        );
        assert_eq!((known.status, known.body.len()), (304, 0), "{path}");
        let gzip = get(&mut http, &[("Accept-Encoding", "gzip")]);
        assert_eq!(gzip.header("content-encoding"), Some("gzip"), "{path}");
        assert_ne!(gzip.header("etag"), Some(tag.as_str()), "{path}");
    }
    println!("first load: {octets} octets");
    assert!(octets <= FIRST_LOAD_OCTETS_MAX, "{octets} octets");
}

#[test]
fn pages_are_protected_and_browsers_find_them() {
    let server = Server::start_in(Home::new());
    let mut http = Http::new(server.home.http);
    let page = http.get("/admin/domains/example.org", &[]);
    assert_eq!(page.status, 200);
    for (name, part) in [
        (
            "content-security-policy",
            "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'",
        ),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        let value = page.header(name).unwrap_or_default();
        assert!(value.contains(part), "{name}: {value}");
    }
    // Nothing of the page is a script of its own.
    assert_eq!(page.text().matches("<script").count(), 1);
    assert!(
        page.text()
            .contains("<script type=\"module\" src=\"/admin/assets/")
    );
    let root = http.get("/", &[("Accept", "text/html")]);
    assert_eq!(
        (root.status, root.header("location")),
        (302, Some("/admin/"))
    );
    assert_eq!(http.get("/", &[]).status, 404);
    assert_eq!(http.get("/admin/assets/nothing.js", &[]).status, 404);
    assert_eq!(http.post("/admin/", &[], b"").status, 405);
    // What was at these listeners before still is.
    assert_eq!(http.get("/healthz", &[]).status, 200);
}
