//! Certificates over the API: those that listeners show; what is brought in is shown to the next who connects.

use std::{
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use crate::client::{Api, problem, staffed};

const NAME: &str = "www.example.org";
const WAIT: Duration = Duration::from_secs(30);

/// A chain and its key, as PEM.
fn pair(name: &str) -> (String, String) {
    let key = KeyPair::generate().expect("no key");
    let params = CertificateParams::new([name.to_owned()]).expect("no name");
    let certificate = params.self_signed(&key).expect("not signed");
    (certificate.pem(), key.serialize_pem())
}

/// The certificate that whoever asks for a name is shown, as PEM.
fn shown(port: u16, name: &str) -> String {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}")])
        .args(["-servername", name])
        .stdin(Stdio::null())
        .output()
        .expect("openssl can't be run");
    String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n")
}

#[test]
fn one_is_brought_in_shown_and_removed() {
    let server = staffed();
    let mut root = Api::new(&server, "root");
    let before = root.shown("/certificates");
    assert_eq!(before["total"], json!(1), "{before}");
    assert_eq!(before["items"][0]["source"], json!("self-signed"));
    assert_eq!(before["items"][0]["name"], Value::Null);
    assert!(before["items"][0]["notAfter"].is_string());
    let (chain, key) = pair(NAME);
    let body = json!({"chain": chain, "privateKey": key});
    let brought = root.post("/certificates", body.clone());
    assert_eq!(brought.status, 200, "{}", brought.text());
    let brought = brought.json();
    assert_eq!(brought["name"], json!(NAME));
    assert_eq!(brought["names"], json!([NAME]));
    assert_eq!(brought["source"], json!("imported"));
    assert_eq!(brought["order"], Value::Null);
    assert_eq!(brought["issuer"], json!("rcgen self signed cert"));
    assert!(
        brought["tlsa"]
            .as_str()
            .is_some_and(|text| text.starts_with("3 1 1 "))
    );
    let end = Instant::now() + WAIT;
    while !shown(server.home.imaps, NAME).contains(chain.trim()) {
        assert!(Instant::now() < end, "it is not shown");
        thread::sleep(Duration::from_millis(200));
    }
    let list = root.shown("/certificates");
    assert_eq!(list["items"], json!([brought]));
    assert!(!list.to_string().contains("PRIVATE"));
    // It was not ordered, so a renewal is noted and nothing else.
    let renewed = root.ask("POST", &format!("/certificates/{NAME}/renew"), &[], None);
    assert_eq!(renewed.status, 204, "{}", renewed.text());
    let path = format!("/certificates/{NAME}");
    assert_eq!(root.delete(&path).status, 204);
    assert_eq!(problem(&root.delete(&path)), "not-found");
    let after = root.shown("/certificates");
    assert_eq!(after["items"][0]["source"], json!("self-signed"));
    let audit = root.shown("/audit?operation=certificate.change");
    assert_eq!(audit["items"].as_array().map(Vec::len), Some(3));
    let text = audit.to_string();
    assert!(
        !text.contains("PRIVATE") && !text.contains("BEGIN"),
        "{text}"
    );
    assert!(!server.log().contains("PRIVATE"));
}

#[test]
fn what_does_not_fit_is_refused_and_not_quoted() {
    let server = staffed();
    let mut root = Api::new(&server, "root");
    let (chain, key) = pair(NAME);
    let (_, other) = pair(NAME);
    let short = key.get(..60).expect("a key").to_owned();
    for (chain, key, says) in [
        (&*chain, &*other, "does not belong to"),
        (&*chain, "secret words", "no PRIVATE KEY"),
        (&*chain, &*short, "not proper PEM"),
        (&*chain, "-----BEGIN secret words", "not proper PEM"),
        ("nothing", &*key, "no CERTIFICATE"),
    ] {
        let body = json!({"chain": chain, "privateKey": key});
        let answer = root.post("/certificates", body);
        assert_eq!(problem(&answer), "invalid-value");
        let text = answer.text();
        assert!(text.contains(says), "{text}");
        assert!(!text.contains("secret words"), "{text}");
    }
    assert_eq!(root.shown("/certificates")["total"], json!(1));
}
