//! Certificates that are brought into the store by the command line.

use e2e::{Home, Server};
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};

use crate::look::{Pair, shown, wait_for};

#[test]
fn import_and_remove_while_the_server_runs_and_while_it_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let make = |file, names: &[&str], kind| Pair::make(folder.path(), file, names, kind);
    let one = make("one", &["mail.example.org"], &PKCS_ECDSA_P256_SHA256);
    let other = make("other", &["www.example.net"], &PKCS_RSA_SHA256);
    let args = |pair: &Pair| {
        [
            pair.chain.display().to_string(),
            pair.key.display().to_string(),
        ]
    };
    let import = |home: &Home, pair: &Pair| {
        let [chain, key] = args(pair);
        home.cli(&["tls", "import", &chain, &key], "")
    };
    let home = Home::with_people();
    let said = import(&home, &one);
    assert!(said.contains("mail.example.org"), "{said}");
    let mut server = Server::start_in(home);
    let now = |server: &Server, name: &str| shown(server.home.imaps, None, Some(name));
    assert_eq!(now(&server, "mail.example.org"), one.certificate());

    import(&server.home, &other);
    wait_for("the other certificate", || {
        now(&server, "www.example.net") == other.certificate()
    });
    assert_eq!(now(&server, "mail.example.org"), one.certificate());
    let listed = server.home.cli(&["tls", "list"], "");
    assert_eq!(listed.matches("imported").count(), 2, "{listed}");
    assert!(!listed.contains("signed by itself"), "{listed}");
    let json = server.home.cli(&["tls", "list", "--json"], "");
    assert!(!json.to_lowercase().contains("key"), "{json}");

    // A pair that doesn't belong together changes nothing.
    let mixed = [args(&one)[0].clone(), args(&other)[1].clone()];
    let refused = server
        .home
        .try_cli(&["tls", "import", &mixed[0], &mixed[1]], "");
    assert!(!refused.status.success());
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(why.contains("does not belong to"), "{why}");

    server.home.cli(&["tls", "remove", "www.example.net"], "");
    wait_for("the first certificate", || {
        now(&server, "www.example.net") == one.certificate()
    });
    let again = server
        .home
        .try_cli(&["tls", "remove", "www.example.net"], "");
    assert!(!again.status.success());
    server.stop();
    server.home.cli(&["tls", "remove", "mail.example.org"], "");
    let listed = server.home.cli(&["tls", "list"], "");
    assert!(listed.contains("signed by itself"), "{listed}");
    server.restart();
    assert_ne!(now(&server, "mail.example.org"), one.certificate());
    server.home.check();
}
