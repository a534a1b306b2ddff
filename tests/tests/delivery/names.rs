//! A name server with a root of its own, signed (Knot DNS), and what is below it.

use std::{
    fs,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use mail_auth_adapter::{Dns, DnsSettings, Nameservers};

pub struct NameServer {
    child: Child,
    pub port: u16,
    /// The root's DNSKEY.
    pub anchor: PathBuf,
    folder: tempfile::TempDir,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A DS record that stands for no key there is: what is below is bogus.
pub const WRONG_DS: &str =
    "DS 12345 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

const HEAD: &str = "$TTL 60\n@ SOA ns. hostmaster. 1 3600 600 86400 60\n@ NS ns.\n";

/// `root`: records of the root zone; `zones`: names with a last dot, and the records of zones that aren't signed.
pub fn start(root: &str, zones: &[(&str, &str)]) -> NameServer {
    start_with(root, None, zones)
}

/// How a zone says what isn't there (RFC 4034 §4, RFC 5155).
#[derive(Clone, Copy, Debug)]
pub enum Proofs {
    Nsec,
    Nsec3,
}

/// `signed`: another zone that is signed, by a key that the root vouches for.
pub fn start_with(
    root: &str,
    signed: Option<(&str, Proofs, &str)>,
    zones: &[(&str, &str)],
) -> NameServer {
    let temporary = tempfile::Builder::new().prefix("posthorn-dns-").tempdir();
    let temporary = temporary.expect("no folder");
    let folder = temporary.path();
    let port = e2e::home::free_port();
    let write = |file: &str, text: String| {
        fs::write(folder.join(file), text).expect("not written");
    };
    let mut declared = String::from(
        "  - domain: .\n    file: root.zone\n    dnssec-signing: on\n    dnssec-policy: nsec\n",
    );
    for (number, (name, records)) in zones.iter().enumerate() {
        let file = format!("{number}.zone");
        write(&file, format!("$ORIGIN {name}\n{HEAD}{records}"));
        declared.push_str(&format!("  - domain: {name}\n    file: {file}\n"));
    }
    if let Some((name, proofs, records)) = signed {
        let policy = match proofs {
            Proofs::Nsec => "nsec",
            Proofs::Nsec3 => "nsec3",
        };
        write("signed.zone", format!("$ORIGIN {name}\n{HEAD}{records}"));
        declared.push_str(&format!(
            "  - domain: {name}\n    file: signed.zone\n    dnssec-signing: on\n    dnssec-policy: {policy}\n"
        ));
    }
    let at = folder.display();
    let config = format!(
        "server:\n  rundir: {at}\n  listen: 127.0.0.1@{port}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n\
         database:\n  storage: {at}\n\
         policy:\n  - id: nsec\n    manual: on\n  - id: nsec3\n    manual: on\n    nsec3: on\n    nsec3-iterations: 0\n\
         template:\n  - id: default\n    storage: {at}\n    zonefile-sync: -1\n    zonefile-load: difference-no-serial\n    journal-content: all\n\
         zone:\n{declared}"
    );
    let config_file = folder.join("knot.conf");
    write("knot.conf", config);
    // ". DNSKEY 257 3 13 ...": a class makes it a record of a zone file.
    let dnskey = key(&config_file, ".", "dnskey").replacen("DNSKEY", "IN DNSKEY", 1);
    let anchor = folder.join("anchor.key");
    write("anchor.key", dnskey);
    let delegation = signed.map(|(name, ..)| {
        let ds = key(&config_file, name, "ds");
        format!("{name} NS ns.\n{ds}\n")
    });
    let delegation = delegation.unwrap_or_default();
    write(
        "root.zone",
        format!("$ORIGIN .\n{HEAD}ns A 127.0.0.1\n{delegation}{root}"),
    );
    let log = fs::File::create(folder.join("log")).expect("no log");
    let child = Command::new("knotd")
        .arg("-c")
        .arg(&config_file)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("no log"))
        .stderr(log)
        .spawn()
        .expect("knotd can't be run; it is in the Debian package knot");
    let mut server = NameServer {
        child,
        port,
        anchor,
        folder: temporary,
    };
    server.wait();
    server
}

/// Makes a zone's key, and shows a record of it.
fn key(config: &Path, zone: &str, record: &str) -> String {
    let make = [
        "generate",
        "algorithm=ECDSAP256SHA256",
        "ksk=yes",
        "zsk=yes",
    ];
    let made = keymgr(config, zone, &make);
    let id = made.trim().lines().last().expect("a key");
    keymgr(config, zone, &[record, id])
}

fn keymgr(config: &Path, zone: &str, arguments: &[&str]) -> String {
    let output = Command::new("keymgr")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .arg("-c")
        .arg(config)
        .arg(zone)
        .args(arguments)
        .output()
        .expect("keymgr can't be run; it is in the Debian package knot");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl NameServer {
    /// Until it answers a question for the DNSKEY records of the root: it is signed then.
    fn wait(&mut self) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("no socket");
        let timeout = Some(Duration::from_millis(100));
        socket.set_read_timeout(timeout).expect("no timeout");
        let question = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\0\0\x30\0\x01";
        let end = Instant::now() + Duration::from_secs(20);
        let mut buffer = [0; 2048];
        while Instant::now() < end {
            let _ = socket.send_to(question, ("127.0.0.1", self.port));
            if socket.recv(&mut buffer).is_ok() && buffer[3] & 15 == 0 && buffer[7] > 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        panic!("knotd does not answer within 20 seconds:\n{log}");
    }

    /// Gives the zone that is signed below the root other records; they are signed with the same keys.
    pub fn change(&self, name: &str, records: &str) {
        let folder = self.folder.path();
        fs::write(
            folder.join("signed.zone"),
            format!("$ORIGIN {name}\n{HEAD}{records}"),
        )
        .expect("not written");
        let output = Command::new("knotc")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .arg("-c")
            .arg(folder.join("knot.conf"))
            .args(["-b", "zone-reload", name])
            .output()
            .expect("knotc can't be run; it is in the Debian package knot");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}\n{output:?}");
    }

    pub fn settings(&self) -> DnsSettings {
        DnsSettings {
            nameservers: Nameservers::At(vec![([127, 0, 0, 1], self.port).into()]),
            validates: true,
            trust_anchor: Some(self.anchor.clone()),
            timeout: Duration::from_secs(10),
        }
    }

    pub fn dns(&self) -> Dns {
        Dns::new(&self.settings()).expect("no resolver")
    }
}
