//! An ACME server, and the name server (BIND) that it asks and that takes updates.
//!
//! Holds: all names of `example.org` and `example.net` lead to this machine; both are gone when they are dropped.
//! Other half: `e2e::acme`.

use std::{
    fs::{self, File},
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

pub use e2e::acme::{ACCOUNT, Options, Pebble};
use e2e::{
    Home,
    acme::{Acme, KEY, wait_up_to},
    home::{DOMAIN, free_port},
};
use mail_auth_adapter::{Dns, DnsSettings, Nameservers};

const START_WAIT: Duration = Duration::from_secs(30);
pub const KEY_NAME: &str = "updates.example.org";

/// A name server, and what is needed to start an ACME server beside it.
#[derive(Debug)]
pub struct Site {
    acme: Acme,
    named: Child,
    dns: u16,
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.named.kill();
        let _ = self.named.wait();
    }
}

impl Site {
    pub fn start() -> Site {
        let dns = free_port();
        let acme = Acme::new(dns);
        let named = start_named(acme.folder(), dns);
        fs::write(acme.folder().join("key"), format!("{KEY}\n")).expect("not written");
        let site = Site { acme, named, dns };
        wait_up_to(START_WAIT, "named answers", || is_answering(dns));
        site
    }

    fn file(&self, name: &str) -> PathBuf {
        self.acme.folder().join(name)
    }

    /// An ACME server that knows of nothing that was before.
    pub fn pebble(&self, options: &Options) -> Pebble {
        self.acme.pebble(options)
    }

    /// A home that orders `names`, proven in this way.
    pub fn orders(&self, home: Home, names: &[&str], challenge: &str) -> Home {
        let list: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        let acme = format!(
            "{}\nagree-to-terms = true\ncontact = [\"postmaster@{DOMAIN}\"]\n\
             challenge = \"{challenge}\"\nretry = \"2s\"\nretry-max = \"4s\"\ncertificate = [{{ names = [{}] }}]",
            self.acme.directory(),
            list.join(", ")
        );
        let dns = format!(
            "server = \"127.0.0.1:{}\"\nkey-name = \"{KEY_NAME}\"\nkey-file = \"{}\"\nwait = \"0s\"",
            self.dns,
            self.file("key").display()
        );
        home.set("tls.acme", &acme).set("tls.acme.dns", &dns)
    }

    /// The file that has the key of updates, and of the external account.
    pub fn key_file(&self) -> PathBuf {
        self.file("key")
    }

    /// The texts at a name, as the name server has them.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let runtime = tokio::runtime::Runtime::new().expect("no runtime");
        let _guard = runtime.enter();
        let settings = DnsSettings {
            nameservers: Nameservers::At(vec![([127, 0, 0, 1], self.dns).into()]),
            validates: false,
            trust_anchor: None,
            timeout: Duration::from_secs(5),
        };
        let dns = Dns::new(&settings).expect("no resolver");
        let found = runtime.block_on(dns.txt(name));
        let records = found.map(|answer| answer.records).unwrap_or_default();
        let text = |octets: Vec<u8>| String::from_utf8_lossy(&octets).into_owned();
        records.into_iter().map(text).collect()
    }
}

fn start_named(folder: &Path, port: u16) -> Child {
    let at = folder.display();
    let zone = |name: &str| {
        format!(
            "zone \"{name}\" {{ type primary; file \"{at}/{name}.zone\"; allow-update {{ key \"{KEY_NAME}\"; }}; }};\n"
        )
    };
    let config = format!(
        "options {{ directory \"{at}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no;\n\
         pid-file none; session-keyfile none; lock-file none; dnssec-validation no; }};\n\
         controls {{ }};\n\
         key \"{KEY_NAME}\" {{ algorithm hmac-sha256; secret \"{KEY}\"; }};\n{}{}",
        zone("example.org"),
        zone("example.net")
    );
    let records = "$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 0\n@ NS ns\n@ A 127.0.0.1\nns A 127.0.0.1\n* A 127.0.0.1\n";
    // The challenges of this name are answered at another one.
    let alias = "_acme-challenge.elsewhere CNAME answers\nelsewhere A 127.0.0.1\n";
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("not written");
    write("named.conf", &config);
    write("example.org.zone", &format!("{records}{alias}"));
    write("example.net.zone", records);
    let log = File::create(folder.join("named.log")).expect("no log");
    Command::new("named")
        .args(["-g", "-c", &format!("{at}/named.conf")])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("no log"))
        .stderr(log)
        .spawn()
        .expect("named can't be run; it is in the Debian package bind9")
}

/// Whether it has an SOA record of example.org.
fn is_answering(port: u16) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("no socket");
    let timeout = Some(Duration::from_millis(200));
    socket.set_read_timeout(timeout).expect("no timeout");
    let question = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\x07example\x03org\0\0\x06\0\x01";
    let _ = socket.send_to(question, ("127.0.0.1", port));
    let mut buffer = [0; 512];
    socket.recv(&mut buffer).is_ok() && buffer[3] & 15 == 0 && buffer[7] > 0
}
