//! An ACME server (pebble), and the name server (BIND) that it asks and that takes updates.
//!
//! Holds: all names of `example.org` and `example.net` lead to this machine; both are gone when they are dropped.

use std::{
    fs::{self, File},
    net::{TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use e2e::{
    Home,
    home::{DOMAIN, free_port},
};
use mail_auth_adapter::{Dns, DnsSettings, Nameservers};
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};

use crate::look::{s_client, wait_up_to};

const START_WAIT: Duration = Duration::from_secs(30);
/// The key of updates, and of the external account.
const KEY: &str = "c2V2ZW4gZ3JlZW4gYmljeWNsZXMgNDEgc2V2ZW4gZ3I=";
pub const KEY_NAME: &str = "updates.example.org";
pub const ACCOUNT: &str = "an-account";

/// How a pebble is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where http-01 and tls-alpn-01 challenges come in.
    pub http: u16,
    pub tls: u16,
    /// For how long certificates are good, in seconds.
    pub lifetime: u64,
    /// Only accounts that it knows may order.
    pub is_closed: bool,
    /// Seconds that it may take before it looks at a challenge.
    pub slowness: u64,
}

impl Options {
    /// Challenges come in at the usual listeners of a home.
    pub fn for_home(home: &Home) -> Options {
        Options {
            http: home.http,
            tls: home.https,
            lifetime: 86_400,
            is_closed: false,
            slowness: 0,
        }
    }
}

/// A name server, and what is needed to start an ACME server beside it.
#[derive(Debug)]
pub struct Site {
    folder: tempfile::TempDir,
    named: Child,
    dns: u16,
    acme: u16,
    management: u16,
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.named.kill();
        let _ = self.named.wait();
    }
}

impl Site {
    pub fn start() -> Site {
        let folder = tempfile::Builder::new().prefix("posthorn-acme-").tempdir();
        let folder = folder.expect("no folder");
        let dns = free_port();
        let named = start_named(folder.path(), dns);
        let (acme, management) = (free_port(), free_port());
        make_authority(folder.path());
        fs::write(folder.path().join("key"), format!("{KEY}\n")).expect("not written");
        let site = Site {
            folder,
            named,
            dns,
            acme,
            management,
        };
        wait_up_to(START_WAIT, "named answers", || is_answering(dns));
        site
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An ACME server that knows of nothing that was before.
    pub fn pebble(&self, options: &Options) -> Pebble {
        let at = |name: &str| self.file(name).display().to_string();
        let mut config = serde_json::json!({
            "listenAddress": format!("127.0.0.1:{}", self.acme),
            "managementListenAddress": format!("127.0.0.1:{}", self.management),
            "certificate": at("pebble.crt"),
            "privateKey": at("pebble.key"),
            "httpPort": options.http,
            "tlsPort": options.tls,
            "ocspResponderURL": "",
            "certificateValidityPeriod": options.lifetime,
        });
        if options.is_closed {
            config["externalAccountBindingRequired"] = true.into();
            config["externalAccountMACKeys"] =
                serde_json::json!({ ACCOUNT: KEY.trim_end_matches('=') });
        }
        let config = serde_json::json!({ "pebble": config }).to_string();
        fs::write(self.file("pebble.json"), config).expect("not written");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.file("pebble.log"));
        let log = log.expect("no log");
        let child = Command::new("pebble")
            .args(["-config", &at("pebble.json"), "-strict"])
            .args(["-dnsserver", &format!("127.0.0.1:{}", self.dns)])
            .env("PEBBLE_VA_SLEEPTIME", options.slowness.to_string())
            .env(
                "PEBBLE_VA_NOSLEEP",
                if options.slowness == 0 { "1" } else { "0" },
            )
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("no log"))
            .stderr(log)
            .spawn()
            .expect("pebble can't be run; it is in the Debian package pebble");
        let port = self.acme;
        wait_up_to(START_WAIT, "pebble answers", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        let root = self.root();
        Pebble { child, root }
    }

    /// The authority that certificates of the running pebble are signed by.
    fn root(&self) -> PathBuf {
        let file = self.file("root.pem");
        let url = format!("https://127.0.0.1:{}/roots/0", self.management);
        let fetched = || {
            let curl = Command::new("curl")
                .args(["-sfk", &url, "-o"])
                .arg(&file)
                .status();
            curl.is_ok_and(|status| status.success())
        };
        wait_up_to(START_WAIT, "pebble has a root", fetched);
        file
    }

    /// A home that orders `names`, proven in this way.
    pub fn orders(&self, home: Home, names: &[&str], challenge: &str) -> Home {
        let list: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        let acme = format!(
            "directory = \"https://localhost:{}/dir\"\nca-file = \"{}\"\nagree-to-terms = true\ncontact = [\"postmaster@{DOMAIN}\"]\n\
             challenge = \"{challenge}\"\nretry = \"2s\"\nretry-max = \"4s\"\ncertificate = [{{ names = [{}] }}]",
            self.acme,
            self.file("ca.pem").display(),
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

/// A running ACME server.
#[derive(Debug)]
pub struct Pebble {
    child: Child,
    root: PathBuf,
}

impl Drop for Pebble {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Pebble {
    /// Whether a client that trusts this authority alone takes the server for `name`.
    pub fn is_trusted(&self, port: u16, starttls: Option<&str>, name: &str) -> bool {
        let root = self.root.display().to_string();
        let more = [
            "-CAfile",
            &root,
            "-verify_hostname",
            name,
            "-verify_return_error",
        ];
        let output = s_client(port, starttls, Some(name), &more);
        output.contains("Verify return code: 0 (ok)")
    }
}

/// The authority of pebble's own HTTPS.
fn make_authority(folder: &Path) {
    let mut params = CertificateParams::new(Vec::new()).expect("no params");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("no key");
    let authority = CertifiedIssuer::self_signed(params, key).expect("no authority");
    let key = KeyPair::generate().expect("no key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("no params");
    let certificate = params.signed_by(&key, &authority).expect("no certificate");
    let write = |name: &str, text: String| fs::write(folder.join(name), text).expect("not written");
    write("ca.pem", authority.pem());
    write("pebble.crt", certificate.pem());
    write("pebble.key", key.serialize_pem());
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
