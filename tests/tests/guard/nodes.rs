//! Two servers over one PostgreSQL: what is decided at one counts at the other.

use std::{
    thread,
    time::{Duration, Instant},
};

use e2e::{Home, PASSWORD, Server, databases::TestStore, reading::Connection};

const ALICE: &str = "alice@example.org";
const PATIENCE: Duration = Duration::from_secs(20);

fn connect(server: &Server, client: &str) -> Connection {
    let port = server.home.imap;
    let mut imap = Connection::open(port).expect("no connection");
    let header = format!("PROXY TCP4 {client} 192.0.2.254 5000 {port}\r\n");
    imap.write(header.as_bytes()).expect("no header");
    imap
}

#[test]
fn sessions_end_and_bans_count_at_all_of_them() {
    let behind_proxy = |home: Home| {
        home.set("imap", "proxies = [\"127.0.0.1/32\"]")
            .set("imap", "plaintext-logins = \"anywhere\"")
    };
    let first = behind_proxy(Home::with_people_on(TestStore::Postgres));
    let second = behind_proxy(first.beside());
    let (first, second) = (Server::start_in(first), Server::start_in(second));

    let mut imap = connect(&second, "198.51.100.1");
    imap.line().expect("no greeting");
    imap.write(format!("a LOGIN {ALICE} \"{PASSWORD}\"\r\n").as_bytes())
        .expect("it can't be said");
    assert!(imap.line().expect("no answer").starts_with("a OK"));
    let changed = Instant::now();
    let verb = ["account", "password", ALICE, "--password-stdin"];
    first.home.cli(&verb, "another horse 77");
    let bye = imap.line().expect("no line");
    assert!(bye.starts_with("* BYE [AUTHORIZATIONFAILED]"), "{bye}");
    assert!(changed.elapsed() < PATIENCE, "{:?}", changed.elapsed());

    let is_let_in = |server: &Server| {
        let greeting = connect(server, "198.51.100.1").line();
        greeting.unwrap_or_default().starts_with("* OK")
    };
    let until = |wanted: bool| {
        let end = Instant::now() + PATIENCE;
        while is_let_in(&second) != wanted {
            assert!(Instant::now() < end, "{wanted}");
            thread::sleep(Duration::from_millis(100));
        }
    };
    until(true);
    first.home.cli(&["ban", "add", "198.51.100.0/24"], "");
    assert!(!is_let_in(&first));
    until(false);
    second.home.cli(&["ban", "remove", "198.51.100.0/24"], "");
    until(true);
    first.home.check();
}
