//! The cases of the ARC suite for sealers. They sign with tags in the order of their author's program, so no signature can be the
//! same octets as here: compared are the results that are sealed and what the tags say, and two verifiers judge the set.

use std::io::Write as _;
use std::process::{Command, Stdio};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_auth_adapter::seal;
use mail_auth_adapter::sign::{SigningAlgorithm, SigningKey};
use serde_json::{Value, json};

use super::{arc, latin1, suite, text, verifier, verify, zone};

/// In front of the suite's domain; its own key is too short for the library that signs (RFC 8301 §3.2: 2048 bits).
const SELECTOR: &str = "ours";
const DOMAIN: &str = "example.org";

/// A key, and its TXT record.
fn key() -> (SigningKey, String) {
    let pair = rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
    let private: Pkcs8V1Der<'static> = pair.as_der().unwrap();
    let public: PublicKeyX509Der<'static> = pair.public_key().as_der().unwrap();
    let record = format!("v=DKIM1; k=rsa; p={}", STANDARD.encode(public.as_ref()));
    let algorithm = SigningAlgorithm::Rsa;
    let key = SigningKey::from_pkcs8(algorithm, DOMAIN, SELECTOR, private.as_ref()).unwrap();
    (key, record)
}

/// The value of a field with one space for each white space, and none around semicolons.
fn words(value: &str) -> String {
    let parts = value.split(';');
    let parts = parts.map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
    parts.collect::<Vec<_>>().join(";")
}

/// A tag's value without its white space.
fn tag(value: &str, name: &str) -> String {
    let mut tags = value.split(';').filter_map(|tag| tag.split_once('='));
    let found = tags.find(|(found, _)| found.trim() == name);
    found.map_or_else(String::new, |(_, value)| value.split_whitespace().collect())
}

/// What dkimpy says of the chain: `none`, `pass` or `fail`.
fn dkimpy(zone: &str, message: &[u8]) -> String {
    let python = std::env::var_os("POSTHORN_PYTHON").expect("POSTHORN_PYTHON");
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/scripts/dkim_verify.py"
    );
    let file = std::env::temp_dir().join(format!("posthorn-arc-suite-{}", std::process::id()));
    std::fs::write(&file, zone).unwrap();
    let mut child = Command::new(python)
        .arg(script)
        .arg(&file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(message).unwrap();
    let output = child.wait_with_output().unwrap();
    let _ = std::fs::remove_file(&file);
    assert!(output.status.success());
    let output = String::from_utf8(output.stdout).unwrap();
    let line = output.lines().last().unwrap_or_default();
    line.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// Our verdict. dkimpy has to agree on what passes; of chains that don't, it calls some `none`.
async fn judge(records: &Value, message: &[u8]) -> &'static str {
    let text: String = message.iter().copied().map(char::from).collect();
    let case = json!({"peer": "192.0.2.1", "helo": "nowhere.invalid", "message": text});
    let found = arc(&verify(&verifier(zone(records)).await, &case).await);
    let lines = records.as_array().into_iter().flatten();
    let lines = lines.map(|row| {
        let [name, _, data] = [0, 1, 2].map(|at| row[at].as_str().unwrap_or_default());
        format!("{name}\t{data}\n")
    });
    let others = dkimpy(&lines.collect::<String>(), message);
    assert_eq!(others == "pass", found == "pass", "{others}, {found}");
    found
}

#[tokio::test]
async fn arc_sets_as_the_suite_of_valimail() {
    let Some(scenarios) = suite("arc-sign", "POSTHORN_ARC_SUITE") else {
        return;
    };
    let (key, record) = key();
    let name = format!("{SELECTOR}._domainkey.{DOMAIN}");
    let (mut count, mut passed) = (0, 0);
    for scenario in &scenarios {
        let mut records = scenario["zone"].as_array().unwrap().clone();
        records.push(json!([name, "TXT", record]));
        let records = Value::Array(records);
        for case in scenario["cases"].as_array().unwrap() {
            count += 1;
            let what = text(&case["name"]);
            let message = latin1(text(&case["message"]));
            let time = case["time"].as_i64().unwrap();
            let set = seal(&key, &message, text(&case["authserv_id"]), time);
            if text(&case["seal"]).is_empty() {
                assert_eq!(set, None, "{what}");
                continue;
            }
            let set = set.unwrap_or_else(|| panic!("{what}: no set"));
            let field = |name: &str| {
                let (_, after) = set.split_once(&format!("{name}: ")).unwrap();
                let mut lines = after.split_inclusive("\r\n");
                let first = lines.next().unwrap().to_owned();
                first
                    + &lines
                        .take_while(|line| line.starts_with([' ', '\t']))
                        .collect::<String>()
            };
            let results = field("ARC-Authentication-Results");
            assert_eq!(words(&results), words(text(&case["results"])), "{what}");
            let same = |ours: &str, theirs: &Value, tags: &[&str]| {
                for name in tags {
                    let theirs = tag(text(theirs), name);
                    assert_eq!(tag(ours, name), theirs, "{what}: {name}");
                }
            };
            let seal = field("ARC-Seal");
            same(&seal, &case["seal"], &["i", "a", "cv", "d", "t"]);
            let signature = field("ARC-Message-Signature");
            let tags = ["i", "a", "c", "bh", "d", "t"];
            same(&signature, &case["signature"], &tags);

            let sealed = [set.as_bytes(), &message].concat();
            // Some of the suite's chains don't hold by themselves, whatever it says of them.
            let before = judge(&records, &message).await;
            let wanted = match tag(&seal, "cv").as_str() {
                "fail" => "fail",
                _ if before == "fail" => "fail",
                _ => "pass",
            };
            assert_eq!(judge(&records, &sealed).await, wanted, "{what}");
            passed += usize::from(wanted == "pass");
        }
    }
    assert_eq!(count, 17);
    assert!(passed >= 12, "{passed}");
}
