//! Certificates in files: the one that a client asks for, over every protocol, and what happens when files change.

use std::{fs, path::Path};

use e2e::{Home, Imap, PASSWORD, Server, http::Http, server::start_that_fails};
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};

use crate::look::{Pair, s_client, shown, wait_for, ways};

/// A home with these pairs, in their order.
fn home(pairs: &[&Pair]) -> Home {
    let tables: Vec<String> = pairs
        .iter()
        .map(|pair| format!("[[tls.certificate]]\n{}", pair.line()))
        .collect();
    // The last tables of the file: nothing else may follow them.
    Home::with_people().set("tls", &tables.join("\n"))
}

#[test]
fn each_name_gets_its_certificate_over_every_protocol() {
    let folder = tempfile::tempdir().unwrap();
    let make = |file, names: &[&str], kind| Pair::make(folder.path(), file, names, kind);
    let rsa = make("rsa", &["mail.example.org"], &PKCS_RSA_SHA256);
    let wild = make("wild", &["*.example.net"], &PKCS_ECDSA_P384_SHA384);
    let exact = make("exact", &["imap.example.net"], &PKCS_ECDSA_P256_SHA256);
    let ed25519 = make("ed25519", &["mail.example.com"], &PKCS_ED25519);
    let server = Server::start_in(home(&[&exact, &wild, &rsa, &ed25519]));
    let rows = [
        // What has the server's own name is for everybody else.
        (None, &rsa),
        (Some("unknown.example"), &rsa),
        (Some("mail.example.org"), &rsa),
        (Some("smtp.example.net"), &wild),
        (Some("imap.example.net"), &exact),
        (Some("MAIL.example.com"), &ed25519),
    ];
    for (way, port, starttls) in ways(&server) {
        for (name, pair) in &rows {
            let found = shown(port, starttls, *name);
            assert_eq!(found, pair.certificate(), "{way} {name:?}");
        }
    }
    let listed = server.home.cli(&["tls", "list"], "");
    for name in ["imap.example.net", "*.example.net", "mail.example.com"] {
        assert!(listed.contains(name), "{listed}");
    }
    assert_eq!(listed.matches("TLSA 3 1 1 ").count(), 4, "{listed}");
    let metrics = Http::new(server.home.http).get("/metrics", &[]).text();
    let row =
        "posthorn_certificate_expiry_time_seconds{certificate=\"imap.example.net\"} 67090118400";
    assert!(metrics.contains(row), "{metrics}");
}

#[test]
fn old_versions_and_weak_suites_are_refused() {
    let server = Server::start_in(Home::with_people());
    let try_with =
        |more: &[&str]| s_client(server.home.imaps, None, Some("mail.example.org"), more);
    let is_refused = |output: &str| output.contains("Cipher is (NONE)");
    // OpenSSL itself speaks the old versions only at level 0.
    for old in ["-tls1", "-tls1_1"] {
        let output = try_with(&[old, "-cipher", "ALL:@SECLEVEL=0"]);
        assert!(is_refused(&output), "{old}: {output}");
    }
    for weak in ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256"] {
        let output = try_with(&["-tls1_2", "-cipher", weak]);
        assert!(is_refused(&output), "{weak}: {output}");
    }
    let output = try_with(&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"]);
    assert!(
        output.contains("Cipher is ECDHE-ECDSA-AES128-GCM-SHA256"),
        "{output}"
    );
    assert!(try_with(&["-tls1_3"]).contains("TLSv1.3"));
}

#[test]
fn changed_files_are_shown_and_nobody_is_disturbed() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["mail.example.org"];
    let own = Pair::make(folder.path(), "own", &names, &PKCS_ECDSA_P256_SHA256);
    let (first, later) = (own.certificate(), folder.path().join("later"));
    fs::create_dir(&later).unwrap();
    let server = Server::start_in(home(&[&own]));
    let now = || shown(server.home.imap, Some("imap"), None);
    assert_eq!(now(), first);
    let mut open = Imap::login(server.home.imap, "alice@example.org", PASSWORD);
    open.ok("SELECT INBOX");

    // Half of it: nothing changes but the complaint.
    let other = Pair::make(&later, "other", &names, &PKCS_ED25519);
    replace(&other.chain, &own.chain);
    let complaint = "does not belong to the first certificate";
    wait_for("the complaint in the log", || {
        server.log().contains(complaint)
    });
    assert_eq!(now(), first);
    let listed = server.home.cli(&["tls", "list"], "");
    assert!(listed.contains(complaint), "{listed}");
    replace(&other.key, &own.key);
    wait_for("the other certificate", || now() == other.certificate());
    assert!(!server.home.cli(&["tls", "list"], "").contains(complaint));

    fs::write(&own.chain, "nonsense").unwrap();
    wait_for("the second complaint", || {
        server.log().contains("no CERTIFICATE section")
    });
    assert_eq!(now(), other.certificate());

    // SIGHUP doesn't end the server, and is not waited for.
    let third = Pair::make(&later, "third", &names, &PKCS_RSA_SHA256);
    replace(&third.key, &own.key);
    replace(&third.chain, &own.chain);
    server.signal("HUP");
    wait_for("the third certificate", || now() == third.certificate());
    assert!(server.log().contains("SIGHUP"));
    open.ok("NOOP");
}

/// As tools do it: another file takes the name.
fn replace(from: &Path, to: &Path) {
    let new = to.with_extension("new");
    fs::copy(from, &new).unwrap();
    fs::rename(&new, to).unwrap();
}

#[test]
fn a_server_does_not_start_with_a_pair_that_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let make = |file| Pair::make(folder.path(), file, &["a.example"], &PKCS_ECDSA_P256_SHA256);
    let (one, other) = (make("one"), make("other"));
    let mixed = Pair {
        chain: one.chain.clone(),
        key: other.key,
    };
    let home = home(&[&one, &mixed]);
    home.write_config();
    let failed = start_that_fails(&home);
    assert_eq!(failed.code, 1, "{}", failed.output);
    assert!(
        failed.output.contains("does not belong to"),
        "{}",
        failed.output
    );
}
