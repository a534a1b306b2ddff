//! TLS to the servers, with a certificate that is verified.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt};

use super::*;

/// A certificate of its own authority, for `localhost`: files `certificate` and `key`.
fn make_certificate(folder: &Path) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
    let made = made.expect("a certificate");
    fs::write(folder.join("certificate"), made.cert.pem()).expect("written");
    let key = folder.join("key");
    fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("the mode is set");
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_verified() {
    for kind in KINDS {
        let port = free_port();
        let other = TempDir::new().expect("a folder");
        make_certificate(other.path());
        let mut certificate = None;
        let server = DatabaseServer::start_with(kind, false, |folder| {
            make_certificate(folder);
            certificate = Some(folder.join("certificate"));
            let folder = folder.display();
            let arguments = match kind {
                ServerKind::Postgres => format!(
                    "-c ssl=on -c ssl_cert_file={folder}/certificate -c ssl_key_file={folder}/key \
                     -c listen_addresses=127.0.0.1 -c port={port}"
                ),
                ServerKind::MariaDb => format!(
                    "--ssl-cert={folder}/certificate --ssl-key={folder}/key --bind-address=127.0.0.1 --port={port}"
                ),
            };
            arguments.split_whitespace().map(str::to_owned).collect()
        });
        let certificate = certificate.expect("it was made");
        let database = server.database();
        let name = database.name();
        if kind == ServerKind::MariaDb {
            server.tell("CREATE USER posthorn@'%'");
            server.tell(&format!("GRANT ALL ON {name}.* TO posthorn@'%'"));
            server.tell("SET GLOBAL max_allowed_packet = 100 << 20");
        }
        let url = |host: &str, authority: &Path| {
            let authority = authority.display();
            let parameters = match kind {
                ServerKind::Postgres => format!("sslmode=verify-full&sslrootcert={authority}"),
                ServerKind::MariaDb => format!("ssl-mode=VERIFY_IDENTITY&ssl-ca={authority}"),
            };
            let scheme = match kind {
                ServerKind::Postgres => "postgres",
                ServerKind::MariaDb => "mysql",
            };
            options(format!(
                "{scheme}://posthorn@{host}:{port}/{name}?{parameters}"
            ))
        };
        let engine = open_with(&url("localhost", &certificate)).await;
        put(&engine, "a", "1").await;
        let encrypted = match kind {
            ServerKind::Postgres => database.ask(
                "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE client_addr IS NOT NULL",
            ),
            ServerKind::MariaDb => "t".to_owned(),
        };
        assert_eq!(encrypted, "t");
        let wrong = [
            url("127.0.0.1", &certificate),
            url("localhost", &other.path().join("certificate")),
        ];
        for options in wrong {
            let error = open_sql(&options, Path::new("/")).await;
            let error = error.expect_err("not the right certificate").to_string();
            assert!(error.contains("certificate"), "{kind:?}: {error}");
        }
    }
}
