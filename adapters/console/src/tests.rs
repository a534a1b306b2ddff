use expect_test::{Expect, expect};
use http::{HeaderMap, HeaderValue, Method, Response, header};

use super::*;

/// What the page needs before it shows something, compressed.
const FIRST_LOAD_OCTETS_MAX: usize = 400_000;

const FILES: &[Asset] = &[
    Asset {
        name: "app-0123.wasm",
        plain: b"module",
        gzip: b"module, with gzip",
        brotli: b"module, with brotli",
    },
    Asset {
        name: PAGE,
        plain: b"<page>",
        gzip: b"page, with gzip",
        brotli: b"page, with brotli",
    },
];

fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(*name, HeaderValue::from_static(value));
    }
    map
}

/// Status, the fields that tell one answer from another, and the body.
fn text(response: &Response<Bytes>) -> String {
    let mut text = response.status().as_u16().to_string();
    for name in [
        header::CACHE_CONTROL,
        header::CONTENT_ENCODING,
        header::CONTENT_TYPE,
        header::ETAG,
        header::LOCATION,
        header::ALLOW,
        header::VARY,
    ] {
        if let Some(value) = response.headers().get(&name) {
            text.push_str(&format!("\n{name}: {}", value.to_str().unwrap()));
        }
    }
    text.push_str(&format!("\n{}\n", String::from_utf8_lossy(response.body())));
    text
}

fn check(response: Option<Response<Bytes>>, want: Expect) {
    want.assert_eq(&response.as_ref().map_or_else(|| "another's".into(), text));
}

fn at(method: Method, path: &str, of: &[(&'static str, &'static str)]) -> Option<Response<Bytes>> {
    let fields = fields(of);
    answer(Request {
        method: &method,
        path,
        fields: &fields,
    })
}

#[test]
fn files_are_kept_for_ever_in_the_coding_that_was_asked_for() {
    let get = |of: &[(&'static str, &'static str)]| Some(file(FILES, "app-0123.wasm", &fields(of)));
    check(
        get(&[]),
        expect![[r#"
        200
        cache-control: public, max-age=31536000, immutable
        content-type: application/wasm
        etag: "app-0123.wasm"
        vary: Accept-Encoding
        module
    "#]],
    );
    check(
        get(&[("accept-encoding", "gzip, deflate, br, zstd")]),
        expect![[r#"
            200
            cache-control: public, max-age=31536000, immutable
            content-encoding: br
            content-type: application/wasm
            etag: "app-0123.wasm.br"
            vary: Accept-Encoding
            module, with brotli
        "#]],
    );
    check(
        get(&[("accept-encoding", "gzip;q=0.5, br;q=0")]),
        expect![[r#"
            200
            cache-control: public, max-age=31536000, immutable
            content-encoding: gzip
            content-type: application/wasm
            etag: "app-0123.wasm.gz"
            vary: Accept-Encoding
            module, with gzip
        "#]],
    );
    check(
        get(&[("accept-encoding", "brotli, GZIP")]),
        expect![[r#"
        200
        cache-control: public, max-age=31536000, immutable
        content-encoding: gzip
        content-type: application/wasm
        etag: "app-0123.wasm.gz"
        vary: Accept-Encoding
        module, with gzip
    "#]],
    );
}

#[test]
fn a_file_that_is_known_is_not_sent_again() {
    let get = |tag: &'static str| {
        let of = [("accept-encoding", "br"), ("if-none-match", tag)];
        file(FILES, "app-0123.wasm", &fields(&of)).status().as_u16()
    };
    assert_eq!(get("\"app-0123.wasm.br\""), 304);
    assert_eq!(get("\"other\", W/\"app-0123.wasm.br\""), 304);
    assert_eq!(get("*"), 304);
    // The same file in another coding is other octets.
    assert_eq!(get("\"app-0123.wasm\""), 200);
}

#[test]
fn the_page_is_never_kept() {
    check(
        Some(page(FILES, &fields(&[("accept-encoding", "br")]))),
        expect![[r#"
            200
            cache-control: no-store
            content-encoding: br
            content-type: text/html; charset=utf-8
            vary: Accept-Encoding
            page, with brotli
        "#]],
    );
    check(
        Some(file(FILES, PAGE, &fields(&[]))),
        expect![[r#"
        404

    "#]],
    );
    check(
        Some(file(FILES, "app-9999.wasm", &fields(&[]))),
        expect![[r#"
        404

    "#]],
    );
}

#[test]
fn without_the_console_the_page_says_how_to_build_it() {
    let page = page(&[], &fields(&[]));
    assert_eq!(page.status(), 404);
    assert!(text(&page).contains("cargo xtask wasm"));
}

#[test]
fn browsers_are_sent_to_the_console() {
    let html = [("accept", "text/html,application/xhtml+xml")];
    check(
        at(Method::GET, "/", &html),
        expect![[r#"
        302
        cache-control: no-store
        location: /admin/

    "#]],
    );
    check(
        at(Method::GET, "/", &[("accept", "*/*")]),
        expect!["another's"],
    );
    check(
        at(Method::GET, "/admin", &[]),
        expect![[r#"
        302
        cache-control: no-store
        location: /admin/

    "#]],
    );
    check(
        at(Method::GET, "/account", &[]),
        expect![[r#"
        302
        cache-control: no-store
        location: /account/

    "#]],
    );
    check(
        at(Method::GET, "/administrators", &[]),
        expect!["another's"],
    );
    check(
        at(Method::POST, "/admin/", &[]),
        expect![[r#"
        405
        allow: GET, HEAD

    "#]],
    );
    check(
        at(Method::GET, "/admin/assets/../index.html", &[]),
        expect![[r#"
        404

    "#]],
    );
}

#[test]
fn every_answer_says_what_a_page_may_do() {
    for (path, of) in [
        ("/admin/", &[][..]),
        ("/account/", &[]),
        ("/admin/domains/example.org", &[]),
        ("/admin/assets/nothing", &[]),
        ("/", &[("accept", "text/html")]),
    ] {
        let response = at(Method::GET, path, of).unwrap();
        let value = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        let policy = value("content-security-policy");
        assert!(policy.starts_with("default-src 'none';"), "{path}");
        assert!(!policy.contains("unsafe-inline"), "{path}");
        assert!(!policy.contains("'unsafe-eval'"), "{path}");
        assert!(!policy.contains("http"), "{path}");
        assert_eq!(value("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(value("referrer-policy"), "no-referrer", "{path}");
    }
}

#[test]
fn what_is_in_the_binary_is_whole_and_small() {
    let sum: usize = ASSETS.iter().map(|asset| asset.brotli.len()).sum();
    assert!(sum <= FIRST_LOAD_OCTETS_MAX, "{sum} octets");
    let Some(page) = ASSETS.iter().find(|asset| asset.name == PAGE) else {
        assert!(ASSETS.is_empty(), "files without a page that names them");
        return;
    };
    let page = std::str::from_utf8(page.plain).unwrap();
    assert!(page.contains(ASSETS_PATH));
    for asset in ASSETS {
        let mut plain = Vec::new();
        let mut gzip = flate2::read::GzDecoder::new(asset.gzip);
        std::io::Read::read_to_end(&mut gzip, &mut plain).unwrap();
        assert_eq!(plain, asset.plain, "{}", asset.name);
    }
}
