//! Who looks after a domain sees that domain: in lists, numbers, cursors, errors and times.

use serde_json::{Value, json};

use crate::client::{Api, problem, staffed};

/// Makes things of both domains.
fn fill(root: &mut Api) {
    for domain in ["example.org", "example.net"] {
        for n in 0..7 {
            root.made(
                "/accounts",
                json!({"name": format!("p{n}@{domain}"), "description": domain}),
            );
            root.made("/groups", json!({"name": format!("g{n}@{domain}")}));
            root.made(
                "/aliases",
                json!({"address": format!("a{n}@{domain}"), "to": [format!("p{n}@{domain}")]}),
            );
            root.made(
                "/lists",
                json!({"address": format!("l{n}@{domain}"), "owner": format!("p0@{domain}"), "members": [format!("p0@{domain}")]}),
            );
        }
    }
}

#[test]
fn lists_have_what_is_ones_own() {
    let server = staffed();
    let mut root = Api::new(&server, "root");
    fill(&mut root);
    let mut carol = Api::new(&server, "carol@example.org");
    for (path, name, count) in [
        ("/accounts", "name", 10),
        ("/groups", "name", 7),
        ("/aliases", "address", 7),
        ("/lists", "address", 7),
    ] {
        for sort in ["name", "-name", "created", "-created"] {
            let all = carol.all(&format!("{path}?sort={sort}"));
            assert_eq!(all.len(), count, "{path} {sort}");
            for item in &all {
                let name = item[name].as_str().expect("a name");
                assert!(name.ends_with("@example.org"), "{name}");
            }
        }
        let total = &carol.shown(path)["total"];
        assert_eq!(*total, json!(count), "{path}");
        let elsewhere = carol.shown(&format!("{path}?domain=example.net"));
        assert_eq!(elsewhere, json!({"items": [], "next": null, "total": 0}));
        let elsewhere = carol.shown(&format!("{path}?q=example.net"));
        assert_eq!(elsewhere["total"], json!(0));
    }
    let domains = carol.shown("/domains");
    assert_eq!(domains["total"], json!(1));
    // A cursor of somebody else's list shows nothing of it.
    let page = root.shown("/accounts?limit=1&sort=name");
    let cursor = page["next"].as_str().expect("a cursor");
    let behind = carol.shown(&format!("/accounts?limit=1&sort=name&cursor={cursor}"));
    let name = behind["items"][0]["name"].as_str().expect("a name");
    assert!(name.ends_with("@example.org"));
    // Nothing of the whole answer tells of the other domain.
    for path in [
        "/accounts",
        "/groups",
        "/aliases",
        "/lists",
        "/domains",
        "/audit?limit=200",
    ] {
        let text = carol.get(path).text();
        assert!(!text.contains("example.net"), "{path}: {text}");
    }
}

#[test]
fn what_is_others_is_answered_as_what_is_not_there() {
    let server = staffed();
    let mut root = Api::new(&server, "root");
    fill(&mut root);
    let mut carol = Api::new(&server, "carol@example.org");
    let eve = root.id_of("eve@example.net");
    let boss = root.id_of("root");
    let item = |root: &mut Api, path: &str| -> String {
        let page = root.shown(&format!("{path}?domain=example.net"));
        page["items"][0]["id"].as_str().expect("an id").to_owned()
    };
    let group = item(&mut root, "/groups");
    let alias = item(&mut root, "/aliases");
    let list = item(&mut root, "/lists");
    let own_group = root.shown("/groups?domain=example.org")["items"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let pairs: [(&str, String, String, Option<Value>); 14] = [
        (
            "GET",
            format!("/accounts/{eve}"),
            "/accounts/zzzz".into(),
            None,
        ),
        (
            "GET",
            format!("/accounts/{boss}"),
            "/accounts/zzzz".into(),
            None,
        ),
        (
            "GET",
            format!("/groups/{group}"),
            "/groups/zzzz".into(),
            None,
        ),
        (
            "GET",
            format!("/aliases/{alias}"),
            "/aliases/zzzz".into(),
            None,
        ),
        ("GET", format!("/lists/{list}"), "/lists/zzzz".into(), None),
        (
            "GET",
            "/domains/example.net".into(),
            "/domains/example.com".into(),
            None,
        ),
        (
            "PATCH",
            format!("/accounts/{eve}"),
            "/accounts/zzzz".into(),
            Some(json!({})),
        ),
        (
            "DELETE",
            format!("/accounts/{eve}"),
            "/accounts/zzzz".into(),
            None,
        ),
        (
            "DELETE",
            format!("/lists/{list}"),
            "/lists/zzzz".into(),
            None,
        ),
        (
            "GET",
            format!("/accounts/{eve}/quota"),
            "/accounts/zzzz/quota".into(),
            None,
        ),
        (
            "GET",
            format!("/accounts/{eve}/credentials"),
            "/accounts/zzzz/credentials".into(),
            None,
        ),
        (
            "PUT",
            format!("/accounts/{eve}/password"),
            "/accounts/zzzz/password".into(),
            Some(json!({"password": "another horse 77"})),
        ),
        (
            "PUT",
            format!("/groups/{own_group}/members/{eve}"),
            format!("/groups/{own_group}/members/zzzz"),
            None,
        ),
        (
            "GET",
            format!("/groups/{group}/members"),
            "/groups/zzzz/members".into(),
            None,
        ),
    ];
    for (method, hidden, missing, body) in pairs {
        let hidden_answer = carol.ask(method, &hidden, &[], body.clone());
        let missing_answer = carol.ask(method, &missing, &[], body);
        assert_eq!(problem(&hidden_answer), "not-found", "{method} {hidden}");
        assert_eq!(
            hidden_answer.status, missing_answer.status,
            "{method} {hidden}"
        );
        // The sentences say the same, but for the id that was asked for.
        let masked = |text: String, id: &str| text.replace(id, "ID");
        let asked = |path: &str| {
            path.rsplit('/')
                .find(|part| {
                    part.len() < 12
                        && !["quota", "credentials", "password", "members"].contains(part)
                })
                .unwrap_or_default()
                .to_owned()
        };
        let (one, two) = (
            masked(hidden_answer.text(), &asked(&hidden)),
            masked(missing_answer.text(), &asked(&missing)),
        );
        let generic = |text: &str| text.contains("There is no such thing");
        assert!(
            one == two || generic(&two) && !one.contains("example.net"),
            "{one}\n{two}"
        );
    }
    // Names that a body has are none of their business either.
    let rows = [
        ("/accounts", json!({"name": "new@example.net"})),
        ("/accounts", json!({"name": "eve@example.net"})),
        ("/accounts", json!({"name": "eve@example.com"})),
        (
            "/aliases",
            json!({"address": "eve@example.net", "to": ["a@b.example"]}),
        ),
        (
            "/lists",
            json!({"address": "l@example.org", "owner": "eve@example.net", "members": []}),
        ),
        (
            "/lists",
            json!({"address": "l@example.org", "owner": "nobody@example.net", "members": []}),
        ),
    ];
    for (path, body) in rows {
        assert_eq!(
            problem(&carol.post(path, body.clone())),
            "not-found",
            "{body}"
        );
    }
    // Where mail goes on to, nobody is told whether somebody is there.
    for name in ["there", "not-there"] {
        let to = match name {
            "there" => "eve@example.net",
            _ => "nobody@example.net",
        };
        carol.made(
            "/aliases",
            json!({"address": format!("{name}@example.org"), "to": [to]}),
        );
    }
    let domain = carol.patch(
        "/domains/example.org",
        json!({"catchAll": "eve@example.net"}),
    );
    assert_eq!(problem(&domain), "not-found");
}
