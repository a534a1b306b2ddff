//! People of a directory: OpenLDAP's server says who they are.

use std::{thread, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use e2e::{
    Home, PASSWORD as OWN, Server, corpus::message, http::Http, jmap::basic, reading::Connection,
};

use crate::slapd::{BASE, BIND_DN, BIND_PASSWORD, PASSWORD, Slapd};

const CAROL: &str = "carol@example.org";

/// A server that asks, with these lines in the directory's table.
fn home(slapd: &Slapd, lines: &[String]) -> Home {
    let file = slapd.file("bind-password");
    std::fs::write(&file, format!("{BIND_PASSWORD}\n")).expect("no file");
    let mut home = Home::with_people();
    let mut all = vec![
        "name = \"corp\"".to_owned(),
        "kind = \"ldap\"".to_owned(),
        "domains = [\"example.org\"]".to_owned(),
        "timeout = \"3s\"".to_owned(),
        format!("bind-dn = \"{BIND_DN}\""),
        format!("bind-password-file = \"{}\"", file.display()),
        "name-attribute = \"cn\"".to_owned(),
        "quota-attribute = \"employeeNumber\"".to_owned(),
        "group-attribute = \"businessCategory\"".to_owned(),
        "roles = { \"cn=mail-admins,dc=example,dc=org\" = \"administrator\" }".to_owned(),
    ];
    all.extend_from_slice(lines);
    for line in all {
        home = home.set("[login.directory]", &line);
    }
    home
}

fn searching(slapd: &Slapd) -> Vec<String> {
    vec![
        format!("url = \"ldap://127.0.0.1:{}\"", slapd.port),
        format!("base = \"{BASE}\""),
        "filter = \"(&(objectClass=inetOrgPerson)(mail={address}))\"".to_owned(),
    ]
}

/// What IMAP answers to a login.
fn login(server: &Server, user: &str, password: &str) -> String {
    let mut imap = Connection::open(server.home.imap).expect("no connection");
    imap.line().expect("no greeting");
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let line = format!("a LOGIN \"{}\" \"{}\"\r\n", quoted(user), quoted(password));
    imap.write(line.as_bytes()).expect("it can't be said");
    imap.line().expect("no answer")
}

fn is_in(server: &Server, user: &str, password: &str) -> bool {
    let answer = login(server, user, password);
    assert!(
        answer.starts_with("a OK") || answer.starts_with("a NO"),
        "{answer}"
    );
    answer.starts_with("a OK")
}

/// What port 25 answers to a recipient.
fn recipient(server: &Server, address: &str) -> u16 {
    let mut smtp = server.smtp();
    smtp.command("MAIL FROM:<x@example.net>")
        .expect("no answer");
    let answer = smtp.command(&format!("RCPT TO:<{address}>"));
    answer.expect("no answer").code
}

fn status(server: &Server, path: &str, user: &str, password: &str) -> u16 {
    let authorization = basic(user, password);
    let fields = [("Authorization", authorization.as_str())];
    let mut http = Http::new(server.home.http);
    http.try_get(path, &fields).expect("no answer").status
}

#[test]
fn people_log_in_and_get_mail() {
    let slapd = Slapd::start();
    let server = Server::start_in(home(&slapd, &searching(&slapd)));
    // Who has an address here isn't who has it there.
    server.home.cli(
        &[
            "account",
            "alias",
            "add",
            "bob@example.org",
            "frank@example.org",
        ],
        "",
    );
    // Mail comes before the first login.
    for (address, code) in [
        (CAROL, 250),
        ("carol+lists@example.org", 250),
        ("C.Miller@Example.org", 250),
        ("nobody@example.org", 550),
        ("*@example.org", 550),
        ("twin@example.org", 550),
        ("gina@example.org", 550),
        ("x@elsewhere.example", 550),
        ("alice@example.org", 250),
    ] {
        assert_eq!(recipient(&server, address), code, "{address}");
    }
    let mail = message("1@example.net", "A letter", "Dear Carol");
    let reply = server
        .smtp()
        .send("x@example.net", "c.miller@example.org", &mail);
    assert_eq!(reply.expect("no answer").code, 250);
    let mut jmap = e2e::Jmap::login(server.home.http, CAROL, PASSWORD);
    assert_eq!(
        jmap.query_all(serde_json::json!({"subject": "A letter"}))
            .len(),
        1
    );

    let shown = server.home.cli(&["account", "show", CAROL, "--json"], "");
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("no JSON");
    assert_eq!(shown["description"], "Carol Miller");
    assert_eq!(shown["quotaOctets"], 123_456_789);
    assert_eq!(shown["role"], "user");

    for (user, password, want) in [
        (CAROL, PASSWORD, true),
        ("CAROL@example.org", PASSWORD, true),
        ("c.miller@example.org", PASSWORD, true),
        (CAROL, "wrong", false),
        (CAROL, "", false),
        ("nobody@example.org", PASSWORD, false),
        ("twin@example.org", PASSWORD, false),
        ("gina@example.org", PASSWORD, false),
        ("frank@example.org", PASSWORD, false),
        // What would be something else in a filter is a name that nobody has.
        ("*@example.org", PASSWORD, false),
        ("carol@example.org)(uid=*", PASSWORD, false),
        ("car*@example.org", PASSWORD, false),
        // Those who have a password here have it here.
        ("alice@example.org", OWN, true),
        ("alice@example.org", PASSWORD, false),
    ] {
        assert_eq!(is_in(&server, user, password), want, "{user} {password:?}");
    }
    assert_eq!(status(&server, "/api/v1/domains", CAROL, PASSWORD), 403);
    // A group makes an administrator.
    assert_eq!(
        status(&server, "/api/v1/domains", "dave@example.org", PASSWORD),
        200
    );
    server.home.check();
}

#[test]
fn while_the_directory_is_away_nothing_is_refused() {
    let mut slapd = Slapd::start();
    let mut server = Server::start_in(home(&slapd, &searching(&slapd)));
    assert!(is_in(&server, CAROL, PASSWORD));
    let issued = server
        .home
        .cli(&["credential", "app-password", CAROL, "--json"], "");
    let issued: serde_json::Value = serde_json::from_str(&issued).expect("no JSON");
    let app_password = issued["secret"].as_str().expect("no secret").to_owned();
    slapd.stop();
    // Who has no account yet may have one.
    let code = recipient(&server, "erin@example.org");
    assert!((400..500).contains(&code), "{code}");
    assert_eq!(recipient(&server, "x@elsewhere.example"), 550);
    // Who has one gets mail, and logs in with what was made here.
    assert_eq!(recipient(&server, CAROL), 250);
    assert!(is_in(&server, CAROL, &app_password));
    assert!(is_in(&server, "alice@example.org", OWN));
    let answer = login(&server, "frank@example.org", PASSWORD);
    assert!(answer.starts_with("a NO [UNAVAILABLE]"), "{answer}");
    assert_eq!(
        status(&server, "/jmap/session", "frank@example.org", PASSWORD),
        503
    );
    let mut sieve = Connection::open(server.home.managesieve).expect("no connection");
    while !sieve.line().expect("no greeting").starts_with("OK") {}
    let response = BASE64_STANDARD.encode(format!("\0frank@example.org\0{PASSWORD}"));
    sieve
        .write(format!("AUTHENTICATE \"PLAIN\" \"{response}\"\r\n").as_bytes())
        .expect("it can't be said");
    let answer = sieve.line().expect("no answer");
    assert!(answer.starts_with("NO (TRYLATER)"), "{answer}");
    // A start needs no directory.
    server.stop();
    server.restart();
    assert!(is_in(&server, CAROL, &app_password));
    slapd.start_again();
    assert_eq!(recipient(&server, "erin@example.org"), 250);
    assert!(is_in(&server, "frank@example.org", PASSWORD));
    // Nothing of it counts as a login that failed.
    assert!(is_in(&server, CAROL, PASSWORD));
}

#[test]
fn over_tls_and_by_name() {
    let slapd = Slapd::start();
    let ca = |name: &str| format!("ca-file = \"{}\"", slapd.file(name).display());
    let by_name = format!("user-dn = \"uid={{user}},{BASE}\"");
    let tls_url = format!("url = \"ldaps://127.0.0.1:{}\"", slapd.tls_port);
    let ways: [(Vec<String>, bool); 4] = [
        (vec![tls_url.clone(), ca("ca.pem"), by_name.clone()], true),
        (
            vec![
                format!("url = \"ldap://127.0.0.1:{}\"", slapd.port),
                "start-tls = true".to_owned(),
                ca("ca.pem"),
                by_name.clone(),
            ],
            true,
        ),
        // A certificate that isn't trusted is a directory that is away.
        (vec![tls_url, ca("other-ca.pem"), by_name.clone()], false),
        (
            vec![
                format!("url = \"ldap://localhost:{}\"", slapd.port),
                by_name,
            ],
            true,
        ),
    ];
    for (lines, is_trusted) in ways {
        let server = Server::start_in(home(&slapd, &lines));
        let answer = login(&server, CAROL, PASSWORD);
        let want = if is_trusted {
            "a OK"
        } else {
            "a NO [UNAVAILABLE]"
        };
        assert!(answer.starts_with(want), "{lines:?}: {answer}");
        if !is_trusted {
            continue;
        }
        for (user, password) in [
            (CAROL, "wrong"),
            ("nobody@example.org", PASSWORD),
            ("carol,ou=x@example.org", PASSWORD),
        ] {
            assert!(!is_in(&server, user, password), "{lines:?}: {user}");
        }
        assert_eq!(recipient(&server, "erin@example.org"), 250);
        assert_eq!(recipient(&server, "nobody@example.org"), 550);
        let shown = server.home.cli(&["account", "show", CAROL], "");
        assert!(shown.contains("Carol Miller"), "{shown}");
    }
}

/// A login of a directory's is a session like all others.
#[test]
fn sessions_of_the_directory_go_on() {
    let slapd = Slapd::start();
    let server = Server::start_in(home(&slapd, &searching(&slapd)));
    let mut imap = Connection::open(server.home.imap).expect("no connection");
    imap.line().expect("no greeting");
    let mut say = |line: &str| {
        imap.write(format!("{line}\r\n").as_bytes())
            .expect("it can't be said");
        imap.line().expect("no answer")
    };
    let answer = say(&format!("a LOGIN {CAROL} \"{PASSWORD}\""));
    assert!(answer.starts_with("a OK"), "{answer}");
    server
        .home
        .cli(&["account", "alias", "add", CAROL, "cm@example.org"], "");
    thread::sleep(Duration::from_secs(3));
    assert!(say("b NOOP").starts_with("b OK"));
    server.home.cli(&["account", "disable", CAROL], "");
    let bye = imap.line().expect("no line");
    assert!(bye.starts_with("* BYE"), "{bye}");
}
