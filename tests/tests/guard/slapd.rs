//! OpenLDAP's server, with some people.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use e2e::home::free_port;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

pub const BIND_DN: &str = "cn=posthorn,dc=example,dc=org";
pub const BIND_PASSWORD: &str = "whoever searches";
pub const BASE: &str = "ou=people,dc=example,dc=org";
/// Of all people.
pub const PASSWORD: &str = "from the directory 5";
const START_WAIT: Duration = Duration::from_secs(30);

/// A server that is gone when the test is.
pub struct Slapd {
    folder: tempfile::TempDir,
    pub port: u16,
    pub tls_port: u16,
    child: Option<Child>,
}

fn entries() -> String {
    let person = |user: &str, rest: &str| {
        format!(
            "dn: uid={user},{BASE}\nobjectClass: inetOrgPerson\nuid: {user}\nsn: {user}\nuserPassword: {PASSWORD}\n{rest}\n"
        )
    };
    [
        "dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example\n".to_owned(),
        format!("dn: {BASE}\nobjectClass: organizationalUnit\nou: people\n"),
        format!("dn: {BIND_DN}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: posthorn\nuserPassword: {BIND_PASSWORD}\n"),
        person("carol", "cn: Carol Miller\nmail: carol@example.org\nmail: c.miller@example.org\nemployeeNumber: 123456789\n"),
        person("dave", "cn: Dave\nmail: dave@example.org\nbusinessCategory: cn=Mail-Admins,dc=example,dc=org\n"),
        person("erin", "cn: Erin\nmail: erin@example.org\n"),
        person("frank", "cn: Frank\nmail: frank@example.org\n"),
        // Two for one address are nobody.
        person("twin1", "cn: Twin\nmail: twin@example.org\n"),
        person("twin2", "cn: Twin\nmail: twin@example.org\n"),
        // Of a domain that isn't asked about.
        person("gina", "cn: Gina\nmail: gina@elsewhere.example\nmail: gina@example.org\n"),
    ]
    .join("\n")
}

impl Slapd {
    pub fn start() -> Slapd {
        let folder = tempfile::tempdir().expect("no folder");
        let path = folder.path();
        fs::create_dir(path.join("db")).expect("no folder");
        certificate(path);
        let shown = path.display();
        let config = format!(
            "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\ninclude /etc/ldap/schema/inetorgperson.schema\n\
             pidfile {shown}/pid\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n\
             TLSCACertificateFile {shown}/ca.pem\nTLSCertificateFile {shown}/cert.pem\nTLSCertificateKeyFile {shown}/key.pem\n\
             database mdb\nsuffix \"dc=example,dc=org\"\nrootdn \"cn=admin,dc=example,dc=org\"\nrootpw unused\ndirectory {shown}/db\n\
             access to attrs=userPassword by anonymous auth by * none\n\
             access to * by dn.exact=\"{BIND_DN}\" read by self read by * none\n"
        );
        fs::write(path.join("slapd.conf"), config).expect("no configuration");
        fs::write(path.join("people.ldif"), entries()).expect("no entries");
        let loaded = Command::new("/usr/sbin/slapadd")
            .arg("-f")
            .arg(path.join("slapd.conf"))
            .arg("-l")
            .arg(path.join("people.ldif"))
            .output()
            .expect("slapadd can't be run; it is in the Debian package slapd");
        let errors = String::from_utf8_lossy(&loaded.stderr);
        assert!(loaded.status.success(), "{errors}");
        let mut slapd = Slapd {
            port: free_port(),
            tls_port: free_port(),
            folder,
            child: None,
        };
        slapd.start_again();
        slapd
    }

    pub fn start_again(&mut self) {
        let urls = format!(
            "ldap://127.0.0.1:{} ldaps://127.0.0.1:{}",
            self.port, self.tls_port
        );
        let child = Command::new("/usr/sbin/slapd")
            .arg("-f")
            .arg(self.folder.path().join("slapd.conf"))
            // In the foreground.
            .args(["-d", "0", "-h", &urls])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("slapd can't be run"));
        let end = Instant::now() + START_WAIT;
        while TcpStream::connect(("127.0.0.1", self.tls_port)).is_err() {
            assert!(Instant::now() < end, "slapd doesn't listen");
            thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.stop();
    }
}

/// `cert.pem`, for this machine, signed by `ca.pem`; and `other-ca.pem`, which has signed nothing.
fn certificate(folder: &Path) {
    let authority = || {
        let mut params = CertificateParams::new(Vec::new()).expect("no parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("no key");
        CertifiedIssuer::self_signed(params, key).expect("no authority")
    };
    let (ca, other) = (authority(), authority());
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let params = CertificateParams::new(names).expect("no parameters");
    let key = KeyPair::generate().expect("no key");
    let certificate = params.signed_by(&key, &ca).expect("no certificate");
    for (name, text) in [
        ("ca.pem", ca.pem()),
        ("other-ca.pem", other.pem()),
        ("cert.pem", certificate.pem()),
        ("key.pem", key.serialize_pem()),
    ] {
        fs::write(folder.join(name), text).expect("no file");
    }
}
