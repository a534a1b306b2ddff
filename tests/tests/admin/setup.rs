//! Setting a mail program up, from outside: what curl gets, as OpenSSL and Python's plistlib read it.

use std::{fs, process::Command};

use e2e::{Home, Server};
use serde_json::Value;

use crate::client::{Api, problem, staffed_home};

/// A page over HTTPS, under the name of another host; status and octets.
fn get(home: &Home, host: &str, path: &str, more: &[&str]) -> (u16, Vec<u8>) {
    let file = home.path().join("page");
    let port = home.https;
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--insecure", "--max-time", "30"])
        .args(["--connect-to", &format!("{host}:443:127.0.0.1:{port}")])
        .args(["--output", &file.display().to_string()])
        .args(["--write-out", "%{http_code} %{content_type}"])
        .args(more)
        .arg(format!("https://{host}{path}"))
        .output()
        .expect("curl can't be run");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let status = said.split(' ').next().and_then(|word| word.parse().ok());
    (
        status.expect("a status"),
        fs::read(&file).unwrap_or_default(),
    )
}

fn server() -> Server {
    Server::start_in(staffed_home())
}

#[test]
fn a_profile_is_signed_and_apples_parser_would_read_it() {
    let server = server();
    let home = &server.home;
    let path = "/mail/profile.mobileconfig?emailaddress=alice%40example.org";
    let (status, profile) = get(home, "mail.example.org", path, &[]);
    assert_eq!(status, 200);
    let signed = home.path().join("signed.mobileconfig");
    let plain = home.path().join("plain.plist");
    let chain = home.path().join("shown.pem");
    fs::write(&signed, &profile).expect("not written");
    // The one that the server shows.
    let shown = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "openssl s_client -connect 127.0.0.1:{} -servername mail.example.org </dev/null 2>/dev/null | openssl x509 -outform PEM",
            home.https
        ))
        .output()
        .expect("openssl can't be run");
    fs::write(&chain, &shown.stdout).expect("not written");
    for verb in ["cms", "smime"] {
        let output = Command::new("openssl")
            .args([verb, "-verify", "-inform", "DER", "-purpose", "any"])
            .args(["-in", &signed.display().to_string()])
            .args(["-CAfile", &chain.display().to_string()])
            .args(["-out", &plain.display().to_string()])
            .output()
            .expect("openssl can't be run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{verb}: {said}");
    }
    // An octet of it is changed.
    let at = profile
        .windows(5)
        .position(|part| part == b"alice")
        .expect("the address");
    let mut forged = profile.clone();
    forged[at] = b'm';
    fs::write(&signed, &forged).expect("not written");
    let output = Command::new("openssl")
        .args(["cms", "-verify", "-inform", "DER", "-noverify"])
        .args(["-in", &signed.display().to_string(), "-out", "/dev/null"])
        .output()
        .expect("openssl can't be run");
    assert!(!output.status.success());
    let script =
        "import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], 'rb'))))";
    let python = std::env::var_os("POSTHORN_PYTHON").unwrap_or_else(|| "python3".into());
    let read = Command::new(python)
        .args(["-c", script, &plain.display().to_string()])
        .output()
        .expect("python3 can't be run");
    let said = String::from_utf8_lossy(&read.stderr).into_owned();
    let plist: Value = serde_json::from_slice(&read.stdout).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!(plist["PayloadType"], "Configuration");
    let account = &plist["PayloadContent"][0];
    assert_eq!(account["PayloadType"], "com.apple.mail.managed");
    assert_eq!(account["EmailAddress"], "alice@example.org");
    assert_eq!(account["EmailAccountType"], "EmailTypeIMAP");
    assert_eq!(account["IncomingMailServerHostName"], "mail.example.org");
    assert_eq!(account["IncomingMailServerPortNumber"], home.imaps);
    assert_eq!(account["IncomingMailServerUseSSL"], true);
    assert_eq!(account["OutgoingMailServerPortNumber"], home.submission);
    assert_eq!(account["OutgoingPasswordSameAsIncomingPassword"], true);
    let uuids = [&plist["PayloadUUID"], &account["PayloadUUID"]];
    assert!(
        uuids
            .iter()
            .all(|uuid| uuid.as_str().is_some_and(|uuid| uuid.len() == 36))
    );
    assert_ne!(uuids[0], uuids[1]);
    for wrong in ["", "?emailaddress=alice@other.example"] {
        let path = format!("/mail/profile.mobileconfig{wrong}");
        assert_eq!(get(home, "mail.example.org", &path, &[]).0, 404, "{wrong}");
    }
}

#[test]
fn mail_programs_find_the_servers() {
    let server = server();
    let home = &server.home;
    let text = |host: &str, path: &str, more: &[&str]| {
        let (status, octets) = get(home, host, path, more);
        (status, String::from_utf8(octets).expect("no text"))
    };
    // PACC: nothing is at its usual port here but what has its port in a URL.
    let path = "/.well-known/user-agent-configuration.json";
    let (status, document) = text("ua-auto-config.example.org", path, &[]);
    assert_eq!(status, 200);
    let json: Value = serde_json::from_str(&document).expect("no JSON");
    let url = format!("https://mail.example.org:{}/.well-known/jmap", home.https);
    assert_eq!(json["protocols"]["jmap"]["url"], url);
    assert_eq!(json["protocols"]["imap"], Value::Null);
    assert_eq!(json["authentication"]["password"], true);
    assert_eq!(text("ua-auto-config.other.example", path, &[]).0, 404);
    // The record has the hash of just that.
    let records = home.cli(&["domain", "records", "example.org"], "");
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, document.as_bytes());
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    let hash = format!("v=UAAC1; a=sha256; d={}", BASE64_STANDARD.encode(hash));
    assert!(records.contains(&hash), "{hash} is not in {records}");
    assert!(records.contains("ua-auto-config.example.org."), "{records}");
    // Autodiscover, from its second version to its first.
    let path = "/autodiscover/autodiscover.json/v1.0/alice@example.org?Protocol=AutodiscoverV1";
    let (status, found) = text("autodiscover.example.org", path, &[]);
    let found: Value = serde_json::from_str(&found).expect("no JSON");
    assert_eq!(
        (status, &found["Protocol"]),
        (200, &Value::from("AutodiscoverV1"))
    );
    assert_eq!(
        found["Url"],
        "https://mail.example.org/autodiscover/autodiscover.xml"
    );
    let wrong = path.replace("V1", "V9");
    assert_eq!(text("autodiscover.example.org", &wrong, &[]).0, 400);
    let body = "<Autodiscover xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006\"><Request><EMailAddress>alice@example.org</EMailAddress></Request></Autodiscover>";
    let more = ["--header", "Content-Type: text/xml", "--data", body];
    let (status, xml) = text("mail.example.org", "/autodiscover/autodiscover.xml", &more);
    assert_eq!(status, 200);
    assert!(
        xml.contains("<Type>IMAP</Type>") && xml.contains("<Type>SMTP</Type>"),
        "{xml}"
    );
    let path = "/mail/config-v1.1.xml?emailaddress=alice@example.org";
    let (status, xml) = text("autoconfig.example.org", path, &[]);
    assert_eq!(status, 200);
    assert!(xml.contains("<incomingServer type=\"imap\">"), "{xml}");
    // RFC 8620 §2.2; what isn't served isn't there.
    let login = ["--user", &format!("alice@example.org:{}", e2e::PASSWORD)];
    let (status, session) = text("mail.example.org", "/.well-known/jmap", &login);
    assert_eq!(status, 200, "{session}");
    for path in ["/.well-known/caldav", "/.well-known/carddav"] {
        assert_eq!(text("mail.example.org", path, &login).0, 404, "{path}");
    }
}

#[test]
fn a_phone_is_shown_where_to_go() {
    let server = server();
    let mut alice = Api::new(&server, "alice@example.org");
    let setup = alice.shown("/me/setup");
    assert_eq!(setup["address"], "alice@example.org");
    let url = format!(
        "https://mail.example.org:{}/mail/profile.mobileconfig?emailaddress=alice@example.org",
        server.home.https
    );
    assert_eq!(setup["profileUrl"], url);
    let svg = setup["qrCode"].as_str().expect("a picture");
    assert!(
        svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""),
        "{svg}"
    );
    assert!(svg.ends_with("</svg>"), "{svg}");
    let answer = Api::new(&server, "root").get("/me/setup");
    assert_eq!(problem(&answer), "not-found");
}

/// OpenSSL believes what each kind of key has signed.
#[test]
fn every_kind_of_key_signs() {
    let folder = tempfile::tempdir().expect("no folder");
    let kinds = [
        ("P-256", &rcgen::PKCS_ECDSA_P256_SHA256),
        ("P-384", &rcgen::PKCS_ECDSA_P384_SHA384),
        ("RSA", &rcgen::PKCS_RSA_SHA256),
    ];
    for (name, kind) in kinds {
        let key = rcgen::KeyPair::generate_for(kind).expect("no key");
        let params = rcgen::CertificateParams::new(vec!["mail.example.org".to_owned()]);
        let certificate = params.expect("no names").self_signed(&key);
        let certificate = certificate.expect("no certificate").pem();
        let identity = net::Identity::from_pem(
            certificate.as_bytes(),
            key.serialize_pem().as_bytes(),
            "test",
        );
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = i64::try_from(now.expect("a time").as_secs()).expect("a time");
        // Longer than lengths of one octet, and of two.
        let content = vec![b'x'; 70_000];
        let signed = identity.expect("no identity").signed(&content, now);
        let file = |of: &str| folder.path().join(of).display().to_string();
        fs::write(file("signed"), signed.expect("not signed")).expect("not written");
        fs::write(file("chain"), &certificate).expect("not written");
        let output = Command::new("openssl")
            .args([
                "cms", "-verify", "-binary", "-inform", "DER", "-purpose", "any",
            ])
            .args([
                "-in",
                &file("signed"),
                "-CAfile",
                &file("chain"),
                "-out",
                &file("plain"),
            ])
            .output()
            .expect("openssl can't be run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}");
        assert!(
            fs::read(file("plain")).expect("no content") == content,
            "{name}"
        );
    }
}
