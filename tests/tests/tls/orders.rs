//! Orders that are fulfilled: from nothing to a certificate by each challenge, and the next one in time.

use std::{fs, time::Duration};

use e2e::{Home, Server};

use crate::{
    look::{shown, wait_up_to, ways},
    pebble::{ACCOUNT, Options, Site},
};

/// How long an order may take on a busy machine.
pub const ORDER_WAIT: Duration = Duration::from_secs(90);
pub const NAME: &str = "mail.example.org";

/// How often something was ordered.
pub fn orders(server: &Server) -> usize {
    server.log().matches("a certificate is ordered").count()
}

/// From a self-signed certificate to one for `names` by a pebble with these options, over all protocols.
fn from_nothing(site: &Site, options: impl Fn(&Home) -> Options, home: Home, names: &[&str]) {
    let options = options(&home);
    let pebble = site.pebble(&options);
    let server = Server::start_in(home);
    let trusts = |name: &str| pebble.is_trusted(server.home.imaps, None, name);
    wait_up_to(ORDER_WAIT, "a certificate", || trusts(names[0]));
    for name in names {
        // A wildcard is for any name.
        let name = name.replace('*', "any");
        for (way, port, starttls) in ways(&server) {
            assert!(pebble.is_trusted(port, starttls, &name), "{way} {name}");
        }
    }
    assert_eq!(orders(&server), 1, "{}", server.log_tail());
    let listed = server.home.cli(&["tls", "list"], "");
    assert!(listed.contains("ordered  good until"), "{listed}");
    assert!(!listed.contains("signed by itself"), "{listed}");
    // Nothing of the order is left.
    for name in [
        "_acme-challenge.example.org",
        "_acme-challenge.mail.example.org",
    ] {
        assert_eq!(site.texts(name), Vec::<String>::new());
    }
    for file in ["*.key", "PRIVATE KEY", "c2V2ZW4"] {
        assert!(!server.log().contains(file), "a secret is in the log");
    }
    server.home.check();
}

#[test]
fn by_http_01_with_an_account_that_was_given() {
    let site = Site::start();
    let home = site.orders(Home::with_people(), &[NAME, "imap.example.org"], "http-01");
    let key = site.key_file().display().to_string();
    let given = format!("external-account = \"{ACCOUNT}\"\nexternal-account-key-file = \"{key}\"");
    let home = home.set("tls.acme", &given);
    let options = |home: &Home| Options {
        is_closed: true,
        ..Options::for_home(home)
    };
    from_nothing(&site, options, home, &[NAME, "imap.example.org"]);
}

#[test]
fn by_tls_alpn_01_at_https() {
    let site = Site::start();
    let home = site.orders(
        Home::with_people(),
        &[NAME, "imap.example.org"],
        "tls-alpn-01",
    );
    from_nothing(&site, Options::for_home, home, &[NAME, "imap.example.org"]);
}

#[test]
fn by_tls_alpn_01_at_imaps() {
    let site = Site::start();
    let home = site.orders(Home::with_people(), &[NAME], "tls-alpn-01");
    let options = |home: &Home| Options {
        tls: home.imaps,
        ..Options::for_home(home)
    };
    from_nothing(&site, options, home, &[NAME]);
}

#[test]
fn by_dns_01_with_a_wildcard() {
    let site = Site::start();
    // Both have their answer at the same name.
    let names = ["example.org", "*.example.org", "*.example.net"];
    let home = site.orders(Home::with_people(), &names, "dns-01");
    from_nothing(&site, Options::for_home, home, &names);
}

#[test]
fn by_dns_01_at_an_alias() {
    let site = Site::start();
    let home = site.orders(Home::with_people(), &["elsewhere.example.org"], "dns-01");
    from_nothing(&site, Options::for_home, home, &["elsewhere.example.org"]);
    assert_eq!(site.texts("answers.example.org"), Vec::<String>::new());
}

#[test]
fn the_next_one_comes_in_time_with_the_same_key_also_after_the_authority_was_away() {
    let site = Site::start();
    let home = site.orders(Home::with_people(), &[NAME], "http-01");
    let options = Options {
        lifetime: 60,
        ..Options::for_home(&home)
    };
    let pebble = site.pebble(&options);
    let server = Server::start_in(home);
    let now = || shown(server.home.imaps, None, Some(NAME));
    wait_up_to(ORDER_WAIT, "a certificate", || {
        pebble.is_trusted(server.home.imaps, None, NAME)
    });
    let tlsa = || {
        let listed = server.home.cli(&["tls", "list"], "");
        let line = listed.lines().find(|line| line.contains("TLSA"));
        line.expect("no TLSA record").to_owned()
    };
    let (first, key) = (now(), tlsa());
    wait_up_to(ORDER_WAIT, "the next one", || now() != first);
    assert_eq!(tlsa(), key, "the key was to stay");

    // The authority goes. What there is goes on to be shown, and orders wait longer each time.
    drop(pebble);
    let second = now();
    server.home.cli(&["tls", "renew", NAME], "");
    wait_up_to(ORDER_WAIT, "the complaint", || {
        server
            .home
            .cli(&["tls", "list"], "")
            .contains("! the ACME server")
    });
    assert_eq!(now(), second);
    // It comes back, and knows nobody any more.
    let pebble = site.pebble(&options);
    wait_up_to(ORDER_WAIT, "one by the new authority", || {
        pebble.is_trusted(server.home.imaps, None, NAME)
    });
    let listed = server.home.cli(&["tls", "list"], "");
    assert!(!listed.contains('!'), "{listed}");
    assert_eq!(tlsa(), key);
}

#[test]
fn a_restart_orders_nothing_again() {
    let site = Site::start();
    let home = site.orders(Home::with_people(), &[NAME], "http-01");
    let pebble = site.pebble(&Options::for_home(&home));
    let mut server = Server::start_in(home);
    wait_up_to(ORDER_WAIT, "a certificate", || {
        pebble.is_trusted(server.home.imaps, None, NAME)
    });
    server.stop();
    server.restart();
    assert!(pebble.is_trusted(server.home.imaps, None, NAME));
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(orders(&server), 1);
    // Another name is wanted.
    server.stop();
    let more = fs::read_to_string(server.home.config_file()).expect("not read");
    let (before, after) = more.split_once("names = [").expect("no names");
    let more = format!("{before}names = [\"smtp.example.org\", {after}");
    let name = format!("[\"{NAME}\"]");
    assert!(!more.contains(&name), "{more}");
    server.home.replace("tls.acme", &acme_of(&more));
    server.restart();
    wait_up_to(ORDER_WAIT, "one for both names", || {
        pebble.is_trusted(server.home.imaps, None, "smtp.example.org")
    });
}

/// The lines of `[tls.acme]`.
fn acme_of(config: &str) -> String {
    let (_, acme) = config.split_once("[tls.acme]\n").expect("no section");
    acme.split("\n[").next().unwrap_or_default().to_owned()
}
