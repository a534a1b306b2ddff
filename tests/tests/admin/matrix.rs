//! Every route for every role, and for nobody.
//!
//! Holds: what is expected is written down here, by hand, and by the name of the route.
//! Other half: `running` has the routes of what goes on in a server, `sessions` those of who is connected, `login` those of how to log in,
//! `watching` those of what is told to others.

mod login;
mod running;
mod sessions;
mod watching;

use std::collections::BTreeMap;

use e2e::http::Answer;
use serde_json::{Value, json};

use crate::client::{Api, OTHER, problem, staffed};

/// What a role comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum May {
    Yes,
    /// 403
    No,
    /// 404: for them there is no such thing.
    Hidden,
}

use May::{Hidden, No, Yes};

/// What is asked for, and who may: an administrator; who looks after the domain; who looks after another domain alone; a help desk;
/// the user that it is about; another user.
struct Row {
    route: &'static str,
    path: String,
    body: Option<Value>,
    may: [May; 6],
}

const ROLES: [&str; 6] = [
    "root",
    "carol@example.org",
    "dan@example.net",
    "help",
    "alice@example.org",
    "bob@example.org",
];

/// For the server's administrators alone.
const SERVER: [May; 6] = [Yes, No, No, No, No, No];
/// For who looks after the domain, too.
const DOMAIN: [May; 6] = [Yes, Yes, Hidden, No, No, No];
/// A list, of which everybody gets what is theirs.
const LISTED: [May; 6] = [Yes, Yes, Yes, No, No, No];
const LISTED_TO_HELP: [May; 6] = [Yes, Yes, Yes, Yes, No, No];
/// For whoever it belongs to, too.
const SEEN: [May; 6] = [Yes, Yes, Hidden, Yes, Yes, No];
const OWN: [May; 6] = [Yes, Yes, Hidden, No, Yes, No];
/// What the help desk sees, and of which nobody is the owner.
const SEEN_THING: [May; 6] = [Yes, Yes, Hidden, Yes, No, No];

fn row(route: &'static str, path: impl Into<String>, body: Option<Value>, may: [May; 6]) -> Row {
    Row {
        route,
        path: path.into(),
        body,
        may,
    }
}

/// What the rows are about.
struct Ids {
    alice: String,
    group: String,
    alias: String,
    list: String,
}

/// Those that change nothing when they are asked twice come with values that stay; what is removed comes last.
fn rows(of: &Ids) -> Vec<Row> {
    let Ids {
        alice,
        group,
        alias,
        list,
    } = of;
    let account = format!("/accounts/{alice}");
    let group = format!("/groups/{group}");
    let (alias, list) = (format!("/aliases/{alias}"), format!("/lists/{list}"));
    let domain = "/domains/example.org".to_owned();
    let empty = || Some(json!({}));
    let mut rows = vec![
        row("getMe", "/me", None, [Yes; 6]),
        row("listDomains", "/domains", None, LISTED),
        row(
            "addDomain",
            "/domains",
            Some(json!({"name": "new.example"})),
            SERVER,
        ),
        row("getDomain", &domain, None, DOMAIN),
        row("changeDomain", &domain, empty(), DOMAIN),
        // It has addresses: who may is told so.
        row("removeDomain", &domain, None, SERVER),
        row("listAccounts", "/accounts", None, LISTED_TO_HELP),
        row(
            "addAccount",
            "/accounts",
            Some(json!({"name": "new@example.org"})),
            DOMAIN,
        ),
        row("getAccount", &account, None, SEEN),
        row("changeAccount", &account, empty(), DOMAIN),
        row("getQuota", format!("{account}/quota"), None, SEEN),
        row("setQuota", format!("{account}/quota"), empty(), DOMAIN),
        row(
            "addAddress",
            format!("{account}/addresses/more@example.org"),
            None,
            DOMAIN,
        ),
        row(
            "removeAddress",
            format!("{account}/addresses/more@example.org"),
            None,
            DOMAIN,
        ),
        row(
            "setPassword",
            format!("{account}/password"),
            Some(json!({"password": e2e::PASSWORD})),
            [Yes, Yes, Hidden, Yes, Yes, No],
        ),
        row(
            "setForwarding",
            format!("{account}/forwarding"),
            Some(json!({"to": ["away@elsewhere.example"], "keepsCopy": true})),
            OWN,
        ),
        row(
            "removeForwarding",
            format!("{account}/forwarding"),
            None,
            OWN,
        ),
        row(
            "listCredentials",
            format!("{account}/credentials"),
            None,
            OWN,
        ),
        row(
            "issueCredential",
            format!("{account}/credentials"),
            Some(json!({"kind": "token"})),
            OWN,
        ),
        row(
            "revokeCredential",
            format!("{account}/credentials/99"),
            None,
            OWN,
        ),
        row("listGroups", "/groups", None, LISTED_TO_HELP),
        row(
            "addGroup",
            "/groups",
            Some(json!({"name": "newgroup@example.org"})),
            DOMAIN,
        ),
        row("getGroup", &group, None, SEEN_THING),
        row("changeGroup", &group, empty(), DOMAIN),
        row("listMembers", format!("{group}/members"), None, SEEN_THING),
        row(
            "addMember",
            format!("{group}/members/{alice}"),
            None,
            DOMAIN,
        ),
        row(
            "removeMember",
            format!("{group}/members/{alice}"),
            None,
            DOMAIN,
        ),
        row("listAliases", "/aliases", None, LISTED_TO_HELP),
        row(
            "addAlias",
            "/aliases",
            Some(json!({"address": "newalias@example.org", "to": ["alice@example.org"]})),
            DOMAIN,
        ),
        row("getAlias", &alias, None, SEEN_THING),
        row("changeAlias", &alias, empty(), DOMAIN),
        row("listLists", "/lists", None, LISTED_TO_HELP),
        row(
            "addList",
            "/lists",
            Some(
                json!({"address": "newlist@example.org", "owner": "alice@example.org", "members": []}),
            ),
            DOMAIN,
        ),
        row("getList", &list, None, SEEN_THING),
        row("changeList", &list, empty(), DOMAIN),
        row("listAudit", "/audit", None, LISTED),
    ];
    rows.extend(running::rows(alice));
    rows.extend(sessions::rows(alice));
    rows.extend(login::rows());
    rows.extend(watching::rows());
    rows.extend([
        row("removeList", &list, None, DOMAIN),
        row("removeAlias", &alias, None, DOMAIN),
        row("removeGroup", &group, None, DOMAIN),
        row("removeAccount", &account, None, DOMAIN),
    ]);
    rows
}

/// Routes whose object isn't there, of which who may is told.
const NOT_THERE: [&[&str]; 4] = [
    running::NOT_THERE,
    sessions::NOT_THERE,
    login::NOT_THERE,
    watching::NOT_THERE,
];

/// What was answered, as far as it is about access.
fn outcome(row: &Row, answer: &Answer, expected: May, is_first: bool) -> May {
    let name = || problem(answer);
    match answer.status {
        403 => {
            assert_eq!(name(), "forbidden");
            No
        }
        404 => {
            assert_eq!(name(), "not-found");
            // Who may is told the same of what is gone by then, or never was.
            let is_gone = !is_first || NOT_THERE.iter().any(|of| of.contains(&row.route));
            if expected == Yes && is_gone {
                Yes
            } else {
                Hidden
            }
        }
        200 | 201 | 202 | 204 | 409 => Yes,
        // What was asked for can't be; who may not is told nothing of that.
        400 | 422 => Yes,
        other => panic!("{} answered {other}: {}", row.route, answer.text()),
    }
}

#[test]
fn every_route_for_every_role() {
    let server = staffed();
    let mut root = Api::new(&server, "root");
    let dan = json!({"name": "dan@example.net", "password": e2e::PASSWORD, "role": "domain-administrator", "administers": [OTHER]});
    root.made("/accounts", dan);
    let id = |made: &Value| made["id"].as_str().expect("an id").to_owned();
    let ids = Ids {
        alice: root.id_of("alice@example.org"),
        group: id(&root.made("/groups", json!({"name": "group@example.org"}))),
        alias: id(&root.made(
            "/aliases",
            json!({"address": "alias@example.org", "to": ["bob@example.org"]}),
        )),
        list: id(&root.made(
            "/lists",
            json!({"address": "list@example.org", "owner": "bob@example.org", "members": []}),
        )),
    };
    let rows = rows(&ids);
    let known: BTreeMap<&str, usize> = rows.iter().map(|row| (row.route, 1)).collect();
    for (method, path, id) in admin::routes() {
        assert!(known.contains_key(id), "{id} ({method} {path}) has no row");
    }
    assert_eq!(
        rows.len(),
        admin::routes().count(),
        "there are rows of no route"
    );
    let mut apis: Vec<Api> = ROLES.iter().map(|name| Api::new(&server, name)).collect();
    let mut nobody = Api::nobody(&server);
    let mut wrong = Api::with(&server, "root", "wrong");
    let mut differences = Vec::new();
    for row in &rows {
        let (method, ..) = admin::routes()
            .find(|(_, _, id)| *id == row.route)
            .expect("a route");
        let ask = |api: &mut Api| api.ask(method, &row.path, &[], row.body.clone());
        // Last who may most, so that what is removed is there for the others.
        let mut is_there = true;
        for at in [5, 3, 2, 4, 1, 0] {
            if row.route == "removeAccount" && at == 4 {
                // Who removes it can't be who it was.
                assert_eq!(row.may[at], No);
            }
            let answer = ask(&mut apis[at]);
            let got = outcome(row, &answer, row.may[at], is_there);
            if got != row.may[at] {
                differences.push(format!(
                    "{} for {}: {got:?}, not {:?}: {}",
                    row.route,
                    ROLES[at],
                    row.may[at],
                    answer.text()
                ));
            }
            if method == "DELETE" && answer.status == 204 {
                is_there = false;
            }
        }
        for (who, api) in [("nobody", &mut nobody), ("a wrong password", &mut wrong)] {
            // One wrong password is enough to know.
            if who != "nobody" && row.route != "getMe" {
                continue;
            }
            let answer = ask(api);
            if admin::open_routes().any(|open| open == row.route) {
                assert_eq!(row.route, "beginSignIn", "it is open to everybody");
                assert_eq!(answer.status, 200, "{} for {who}", row.route);
                continue;
            }
            assert_eq!(answer.status, 401, "{} for {who}", row.route);
            assert_eq!(problem(&answer), "unauthorized");
            assert!(answer.header("www-authenticate").is_some());
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// No credential, whatever kind it is, has more than its account.
#[test]
fn a_token_may_what_its_account_may() {
    let server = staffed();
    let mut root = Api::new(&server, "root");
    for (name, status) in [("root", 200), ("alice@example.org", 403)] {
        let id = root.id_of(name);
        for kind in ["token", "app-password"] {
            let made = root.made(
                &format!("/accounts/{id}/credentials"),
                json!({"kind": kind, "description": "a test"}),
            );
            let secret = made["secret"].as_str().expect("a secret");
            let mut api = match kind {
                "token" => Api::bearer(&server, secret),
                _ => Api::with(&server, name, secret),
            };
            assert_eq!(api.get("/domains").status, status, "{name} {kind}");
            let number = &made["credential"]["number"];
            let path = format!("/accounts/{id}/credentials/{number}");
            assert_eq!(root.delete(&path).status, 204);
            assert_eq!(api.get("/me").status, 401, "{name} {kind}");
        }
    }
}

/// Staff may do what they may, and no more, with accounts that aren't plain users'.
#[test]
fn nobody_raises_themselves() {
    let server = staffed();
    let mut root = Api::new(&server, "root");
    let boss = root.id_of("root");
    let desk = root.id_of("help");
    let carols = root.id_of("carol@example.org");
    let mut carol = Api::new(&server, "carol@example.org");
    let mut help = Api::new(&server, "help");
    let password = || Some(json!({"password": "another horse 77"}));
    for (id, of_carol, of_help) in [(&boss, 404, 403), (&desk, 404, 204), (&carols, 204, 403)] {
        let path = format!("/accounts/{id}/password");
        assert_eq!(help.put(&path, password()).status, of_help, "{id}");
        if of_help == 204 {
            help = Api::with(&server, "help", "another horse 77");
        }
        assert_eq!(carol.put(&path, password()).status, of_carol, "{id}");
    }
    let mut carol = Api::with(&server, "carol@example.org", "another horse 77");
    for body in [
        json!({"role": "administrator"}),
        json!({"administers": ["example.org", "example.net"]}),
        json!({"role": "user"}),
    ] {
        let answer = carol.patch(&format!("/accounts/{carols}"), body);
        assert_eq!(problem(&answer), "forbidden");
    }
    let new = json!({"name": "sub@example.org", "role": "help-desk"});
    assert_eq!(problem(&carol.post("/accounts", new)), "forbidden");
    // A member of the staff keeps the last administrator from being locked out by themselves.
    let answer = root.patch(&format!("/accounts/{boss}"), json!({"role": "user"}));
    assert_eq!(problem(&answer), "in-use");
    let answer = root.delete(&format!("/accounts/{boss}"));
    assert_eq!(problem(&answer), "in-use");
}
