//! Clients that do too much of what nobody wants are sent away, by all protocols, for a while.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use e2e::{Home, PASSWORD, Server, http::Http, jmap::basic, reading::Connection};
use serde_json::Value;

const ALICE: &str = "alice@example.org";
const PATIENCE: Duration = Duration::from_secs(20);

/// A server behind a proxy on this machine, which says who its clients are.
fn behind_proxy() -> Home {
    let mut home = Home::with_people();
    let proxies = "proxies = [\"127.0.0.1/32\"]";
    for table in ["smtp", "imap", "pop3", "managesieve", "http", "imaps"] {
        home = home.set(table, proxies);
    }
    for table in ["imap", "pop3", "managesieve", "http"] {
        home = home.set(table, "plaintext-logins = \"anywhere\"");
    }
    home.set("bans", "failed-logins = \"3/10m\"")
        .set("bans", "unknown-recipients = \"3/10m\"")
        .set("bans", "bad-commands = \"1/10m\"")
        .set("bans", "handshakes = \"2/10m\"")
        .set("bans", "probing = \"3/10m\"")
        .set("authentication", "verify = false")
}

/// A connection that comes from `client`, as the proxy says.
fn connect(port: u16, client: &str) -> Connection {
    let mut connection = Connection::open(port).expect("no connection");
    let header = format!("PROXY TCP4 {client} 192.0.2.254 5000 {port}\r\n");
    connection.write(header.as_bytes()).expect("no header");
    connection
}

fn say(connection: &mut Connection, line: &str) -> io::Result<String> {
    connection.write(format!("{line}\r\n").as_bytes())?;
    connection.line()
}

/// Over HTTP, for the client of a proxy.
fn ask(server: &Server, client: &str, path: &str, authorization: Option<&str>) -> u16 {
    let mut fields = vec![("X-Forwarded-For", client)];
    fields.extend(authorization.map(|of| ("Authorization", of)));
    let mut http = Http::new(server.home.http);
    http.try_get(path, &fields).expect("no answer").status
}

/// What the four protocols with a greeting say to a client.
fn greetings(server: &Server, client: &str) -> [String; 4] {
    let home = &server.home;
    [home.smtp, home.imap, home.pop3, home.managesieve].map(|port| {
        let mut connection = connect(port, client);
        connection.line().unwrap_or_default()
    })
}

fn assert_banned(server: &Server, client: &str) {
    let end = Instant::now() + PATIENCE;
    while greetings(server, client)[1].starts_with("* OK") {
        assert!(Instant::now() < end, "{client} is let in");
        thread::sleep(Duration::from_millis(50));
    }
    let [smtp, imap, pop3, sieve] = greetings(server, client);
    assert_eq!(smtp, "421 4.7.1 Your address is banned for now");
    assert_eq!(imap, "* BYE [UNAVAILABLE] Your address is banned for now");
    assert_eq!(pop3, "-ERR [SYS/TEMP] Your address is banned for now");
    assert!(
        sieve.starts_with("BYE") && sieve.contains("banned"),
        "{sieve}"
    );
    assert_eq!(ask(server, client, "/.well-known/jmap", None), 403);
}

fn assert_let_in(server: &Server, client: &str) {
    let [smtp, imap, pop3, _] = greetings(server, client);
    assert!(smtp.starts_with("220"), "{client}: {smtp}");
    assert!(imap.starts_with("* OK"), "{client}: {imap}");
    assert!(pop3.starts_with("+OK"), "{client}: {pop3}");
    assert_eq!(ask(server, client, "/.well-known/jmap", None), 401);
}

fn bans(home: &Home) -> Vec<Value> {
    let text = home.cli(&["ban", "list", "--json"], "");
    serde_json::from_str(&text).expect("no JSON")
}

fn rule_of(home: &Home, client: &str) -> String {
    let all = bans(home);
    let network = format!("{client}/32");
    let found = all.iter().find(|ban| ban["network"] == network.as_str());
    let found = found.unwrap_or_else(|| panic!("no ban of {client}: {all:?}"));
    found["rule"].as_str().expect("no rule").to_owned()
}

/// A wrong login by IMAP.
fn wrong(server: &Server, client: &str, password: &str) {
    let mut imap = connect(server.home.imap, client);
    imap.line().expect("no greeting");
    let answer = say(&mut imap, &format!("a LOGIN {ALICE} \"{password}\""));
    assert!(answer.expect("no answer").starts_with("a NO"));
}

#[test]
fn each_rule_bans_over_all_protocols() {
    let server = Server::start_in(behind_proxy());
    let home = &server.home;

    // Logins that fail count together, whatever they are tried by; the same one counts once.
    let guesser = "198.51.100.1";
    for _ in 0..4 {
        wrong(&server, guesser, "always the same");
    }
    let mut pop3 = connect(home.pop3, guesser);
    pop3.line().expect("no greeting");
    say(&mut pop3, &format!("USER {ALICE}")).expect("no answer");
    say(&mut pop3, "PASS second guess").expect("no answer");
    assert_let_in(&server, guesser);
    let third = basic(ALICE, "third guess");
    assert_eq!(ask(&server, guesser, "/jmap/session", Some(&third)), 401);
    assert_banned(&server, guesser);
    assert_eq!(rule_of(home, guesser), "failed-logins");
    let good = basic(ALICE, PASSWORD);
    assert_eq!(ask(&server, guesser, "/jmap/session", Some(&good)), 403);

    let harvester = "198.51.100.2";
    let mut smtp = connect(home.smtp, harvester);
    smtp.line().expect("no greeting");
    say(&mut smtp, "HELO x").expect("no answer");
    say(&mut smtp, "MAIL FROM:<x@example.net>").expect("no answer");
    for n in 0..3 {
        let answer = say(&mut smtp, &format!("RCPT TO:<nobody{n}@example.org>"));
        assert!(answer.expect("no answer").starts_with("550"));
    }
    assert_banned(&server, harvester);
    assert_eq!(rule_of(home, harvester), "unknown-recipients");

    for (port, client) in [
        (home.smtp, "198.51.100.3"),
        (home.imap, "198.51.100.4"),
        (home.pop3, "198.51.100.5"),
        (home.managesieve, "198.51.100.6"),
    ] {
        let mut connection = connect(port, client);
        connection.line().expect("no greeting");
        let mut count = 0;
        while say(&mut connection, "GARBAGE x y z").is_ok() {
            count += 1;
            assert!(count < 1000, "it is put up with");
        }
        assert_banned(&server, client);
        assert_eq!(rule_of(home, client), "bad-commands");
    }

    let scanner = "198.51.100.7";
    for _ in 0..2 {
        let mut tls = connect(home.imaps, scanner);
        let _ = tls.write(b"GET / HTTP/1.0\r\n\r\n");
        let _ = tls.to_end();
    }
    assert_banned(&server, scanner);
    assert_eq!(rule_of(home, scanner), "handshakes");

    // No page of another site can have its visitors banned.
    let visitor = "198.51.100.9";
    for n in 0..5 {
        let fields = [
            ("X-Forwarded-For", visitor),
            ("Sec-Fetch-Site", "cross-site"),
        ];
        let mut http = Http::new(home.http);
        let answer = http.try_get(&format!("/{n}.php"), &fields);
        assert_eq!(answer.expect("no answer").status, 404);
    }
    assert_let_in(&server, visitor);

    let prober = "198.51.100.8";
    for path in [
        "/.well-known/nothing",
        "/favicon.ico",
        "/wp-login.php",
        "/.env",
    ] {
        assert_eq!(ask(&server, prober, path, None), 404, "{path}");
    }
    assert_let_in(&server, prober);
    assert_eq!(ask(&server, prober, "/.git/config", None), 404);
    assert_banned(&server, prober);
    assert_eq!(rule_of(home, prober), "probing");

    // Nobody else suffers, nor does whoever is on this machine.
    assert_let_in(&server, "198.51.100.99");
    let log = server.log();
    assert!(
        log.contains("the last as alice@example.org by jmap"),
        "{}",
        server.log_tail()
    );
    assert!(!log.contains("third guess"));
    let answer = Http::new(home.http).get("/metrics", &[]);
    let text = answer.text();
    assert!(text.contains("posthorn_bans_in_force 8"), "{text}");
    assert!(text.contains("reason=\"banned\""), "{text}");
}

#[test]
fn bans_outlive_a_killed_server_and_end() {
    let home = behind_proxy()
        .set("bans", "duration = \"4s\"")
        .set("bans", "longest = \"1h\"");
    let mut server = Server::start_in(home);
    let client = "198.51.100.1";
    let guess = |server: &Server, round: u32| {
        for n in 0..3 {
            wrong(server, client, &format!("guess {round} {n}"));
        }
        assert_banned(server, client);
    };
    guess(&server, 1);
    let wait_for_end = |server: &Server| {
        let end = Instant::now() + PATIENCE;
        while !greetings(server, client)[1].starts_with("* OK") {
            assert!(Instant::now() < end, "the ban doesn't end");
            thread::sleep(Duration::from_millis(200));
        }
    };
    wait_for_end(&server);
    // One by an administrator, which is meant to stay.
    server
        .home
        .cli(&["ban", "add", "203.0.113.0/24", "--reason", "spam"], "");
    assert_banned(&server, "203.0.113.9");
    // The second one is twice as long: 8 seconds, of which a start takes some.
    guess(&server, 2);
    let second = bans(&server.home);
    let second = second
        .iter()
        .find(|ban| ban["network"] == "198.51.100.1/32");
    let second = second.expect("no ban").clone();
    assert_eq!(second["times"], 2);
    assert_eq!(
        second["until"].as_i64().unwrap() - second["since"].as_i64().unwrap(),
        8
    );
    // It is in the store a moment after it counts.
    thread::sleep(Duration::from_millis(500));
    server.kill();
    let kept = bans(&server.home);
    assert!(kept.contains(&second) || kept.len() == 1, "{kept:?}");
    server.restart();
    assert_banned(&server, "203.0.113.9");
    wait_for_end(&server);
    server.home.cli(&["ban", "remove", "203.0.113.0/24"], "");
    assert_let_in(&server, "203.0.113.9");
    let audit = server.home.cli(&["audit", "--operation", "ban"], "");
    assert_eq!(audit.matches("ban.change").count(), 2, "{audit}");
    // What can't be banned is told.
    for network in ["127.0.0.1", "::1", "0.0.0.0/0", "nonsense"] {
        let output = server.home.try_cli(&["ban", "add", network], "");
        assert!(!output.status.success(), "{network}");
    }
    server.stop();
    server.home.check();
}

#[test]
fn an_office_is_not_locked_out_by_one_phone() {
    let server = Server::start_in(behind_proxy());
    let office = "198.51.100.1";
    for _ in 0..4 {
        wrong(&server, office, "last year's");
    }
    let mut imap = connect(server.home.imap, office);
    imap.line().expect("no greeting");
    let answer = say(
        &mut imap,
        &format!("a LOGIN bob@example.org \"{PASSWORD}\""),
    );
    assert!(answer.expect("no answer").starts_with("a OK"));
    // From where somebody has logged in, ten times as much is put up with.
    for n in 0..4 {
        wrong(&server, office, &format!("a try {n}"));
    }
    assert_let_in(&server, office);
    assert!(bans(&server.home).is_empty());
}

#[test]
fn rules_change_while_the_server_runs() {
    let server = Server::start_in(behind_proxy());
    let home = &server.home;
    home.cli(
        &["settings", "set", "bans.allow", "[\"198.51.100.0/24\"]"],
        "",
    );
    for n in 0..4 {
        wrong(&server, "198.51.100.1", &format!("guess {n}"));
    }
    assert_let_in(&server, "198.51.100.1");
    let refused = home.try_cli(&["ban", "add", "198.51.100.1"], "");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("bans.allow has it"), "{said}");
    let refused = home.try_cli(&["settings", "set", "bans.duration", "0s"], "");
    assert!(!refused.status.success());
}
