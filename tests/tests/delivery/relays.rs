//! Mail by way of a relay that wants a login: Postfix, with Cyrus SASL and its own store of passwords.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use e2e::{Home, Server};

use crate::{
    names,
    postfix::{Options, Postfix},
    site::{self, expect, trust},
};

const PASSWORD: &str = "a relay's, with spaces";

/// A relay that takes mail from those alone who log in, by one of these mechanisms.
fn relay(mechanisms: &str, is_implicit_tls: bool) -> Postfix {
    let main = "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = cyrus\nsmtpd_sasl_path = relay\n\
        smtpd_sasl_security_options = noanonymous\nsmtpd_tls_auth_only = yes\n\
        smtpd_sasl_authenticated_header = yes\nsmtpd_recipient_restrictions = permit_sasl_authenticated, reject\n";
    let mechanisms = mechanisms.to_owned();
    Postfix::start_with(Options {
        main: main.to_owned(),
        is_implicit_tls,
        prepare: Some(Box::new(move |folder| prepare(folder, &mechanisms))),
    })
}

fn prepare(folder: &Path, mechanisms: &str) {
    // Where Debian's Postfix looks.
    let sasl = folder.join("etc/sasl");
    fs::create_dir(&sasl).expect("no folder");
    let passwords = sasl.join("sasldb2");
    let config = format!(
        "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {}\nmech_list: {mechanisms}\n",
        passwords.display()
    );
    fs::write(sasl.join("relay.conf"), config).expect("not written");
    let mut child = Command::new("saslpasswd2")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .args(["-p", "-c", "-u", "mail.b.test", "-f"])
        .arg(&passwords)
        .arg("posthorn")
        .stdin(Stdio::piped())
        .spawn()
        .expect("saslpasswd2 can't be run; it is in the Debian package sasl2-bin");
    let mut stdin = child.stdin.take().expect("no input");
    stdin.write_all(PASSWORD.as_bytes()).expect("not written");
    drop(stdin);
    assert!(child.wait().expect("no end").success());
    let owned = Command::new("chown")
        .arg("postfix:")
        .arg(&passwords)
        .status();
    assert!(owned.is_ok_and(|status| status.success()));
}

/// One route a row: domain, what `tls` is, the password. All to the same relay.
fn routes(home: Home, port: u16, rows: &[(&str, &str, &str)]) -> Home {
    let routes: Vec<String> = rows
        .iter()
        .map(|(domain, tls, password)| {
            let file = home.path().join(format!("password-for-{domain}"));
            fs::write(&file, format!("{password}\n")).expect("not written");
            format!(
                "{{domains = [\"{domain}\"], host = \"mail.b.test\", port = {port}, tls = \"{tls}\", user = \"posthorn\", password-file = \"{}\"}}",
                file.display()
            )
        })
        .collect();
    home.set("delivery", &format!("route = [{}]", routes.join(", ")))
}

fn names() -> names::NameServer {
    names::start("mail.b.test. A 127.0.0.1\n", &[])
}

#[test]
fn a_relay_over_starttls_takes_a_login_by_scram() {
    if !e2e::home::is_root_for("Postfix") {
        return;
    }
    let relay = relay("SCRAM-SHA-256", false);
    let names = names();
    let rows = [
        ("b.test", "required", PASSWORD),
        ("wrong.test", "required", "another"),
        ("plain.test", "none", PASSWORD),
    ];
    // No port of exchangers: whatever comes has come by a route.
    let home = routes(site::home(&names, 1), relay.port, &rows);
    let mut server = Server::start_in(trust(home, &relay.authority));
    // Not after the others: a session of this user would be used again.
    let rows = [
        ("bob@wrong.test", "451 4.7.0 The login"),
        // It shows its mechanisms over TLS alone.
        ("bob@plain.test", "451 4.7.0 The login"),
        ("bob@b.test", "250 2.0.0 Ok"),
    ];
    expect(&server, &rows);
    let arrived = relay.arrived(1);
    assert!(
        arrived[0].contains("(Authenticated sender: posthorn)"),
        "{}",
        arrived[0]
    );
    assert!(arrived[0].contains("with ESMTPSA"), "{}", arrived[0]);
    let log = relay.log();
    assert!(
        log.contains("sasl_method=SCRAM-SHA-256, sasl_username=posthorn"),
        "{log}"
    );
    assert!(
        log.contains("SASL SCRAM-SHA-256 authentication failed"),
        "{log}"
    );
    // Nobody's password is in the log.
    assert!(!server.log().contains(PASSWORD), "{}", server.log_tail());
    server.stop();

    // A relay whose certificate nobody trusts is told nothing.
    let logins = relay.log().matches("sasl_method").count();
    let stranger = crate::peer::Certificates::new().authority_pem();
    fs::write(server.home.path().join("authorities.pem"), stranger).expect("not written");
    server.restart();
    expect(&server, &[("carol@b.test", "451 4.7.5")]);
    assert_eq!(relay.log().matches("sasl_method").count(), logins);
    assert_eq!(relay.arrived(1).len(), 1);
}

#[test]
fn a_relay_with_tls_from_the_first_octet_takes_a_login() {
    if !e2e::home::is_root_for("Postfix") {
        return;
    }
    for mechanism in ["SCRAM-SHA-256", "PLAIN", "LOGIN"] {
        let relay = relay(mechanism, true);
        let names = names();
        let rows = [
            ("b.test", "implicit", PASSWORD),
            ("wrong.test", "implicit", "another"),
        ];
        let home = routes(site::home(&names, 1), relay.port, &rows);
        let server = Server::start_in(trust(home, &relay.authority));
        let rows = [
            ("bob@wrong.test", "451 4.7.0 The login"),
            ("bob@b.test", "250 2.0.0 Ok"),
        ];
        expect(&server, &rows);
        let arrived = relay.arrived(1);
        assert!(arrived[0].contains("with ESMTPSA"), "{}", arrived[0]);
        let log = relay.log();
        assert!(
            log.contains(&format!("sasl_method={mechanism}, sasl_username=posthorn")),
            "{log}"
        );
    }
}
