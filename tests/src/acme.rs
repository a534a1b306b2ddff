//! An ACME server (pebble), and what a client of TLS says of who it connects to.
//!
//! Holds: its authority is its own, and nobody else's; it is gone when it is dropped.
//! Other half: whoever uses it has a name server that the authority asks.

use std::{
    fs::{self, File},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};

use crate::home::{Home, free_port};

const START_WAIT: Duration = Duration::from_secs(30);
/// The key of the external account: base64.
pub const KEY: &str = "c2V2ZW4gZ3JlZW4gYmljeWNsZXMgNDEgc2V2ZW4gZ3I=";
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

/// What is needed to start an ACME server.
#[derive(Debug)]
pub struct Acme {
    folder: tempfile::TempDir,
    /// The port of the name server that it asks.
    dns: u16,
    port: u16,
    management: u16,
}

impl Acme {
    pub fn new(dns: u16) -> Acme {
        let folder = tempfile::Builder::new().prefix("posthorn-acme-").tempdir();
        let folder = folder.expect("no folder");
        make_authority(folder.path());
        Acme {
            folder,
            dns,
            port: free_port(),
            management: free_port(),
        }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Where it is, and whom to trust there: lines of `[tls.acme]`.
    pub fn directory(&self) -> String {
        format!(
            "directory = \"https://localhost:{}/dir\"\nca-file = \"{}\"",
            self.port,
            self.file("ca.pem").display()
        )
    }

    /// An ACME server that knows of nothing that was before.
    pub fn pebble(&self, options: &Options) -> Pebble {
        let at = |name: &str| self.file(name).display().to_string();
        let mut config = serde_json::json!({
            "listenAddress": format!("127.0.0.1:{}", self.port),
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
        let port = self.port;
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

/// The output of `openssl s_client`.
pub fn s_client(port: u16, starttls: Option<&str>, name: Option<&str>, more: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command
        .arg("s_client")
        .args(["-connect", &format!("127.0.0.1:{port}")]);
    match name {
        Some(name) => command.args(["-servername", name]),
        None => command.arg("-noservername"),
    };
    if let Some(protocol) = starttls {
        command.args(["-starttls", protocol]);
    }
    let output = command
        .args(more)
        .stdin(Stdio::null())
        .output()
        .expect("openssl can't be run");
    let out = String::from_utf8_lossy(&output.stdout);
    format!("{out}{}", String::from_utf8_lossy(&output.stderr))
}

/// Waits until something is true.
pub fn wait_up_to(longest: Duration, what: &str, is_true: impl Fn() -> bool) {
    let end = Instant::now() + longest;
    while !is_true() {
        assert!(Instant::now() < end, "{what}: not within {longest:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
