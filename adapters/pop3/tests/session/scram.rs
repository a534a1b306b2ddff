//! AUTH with SCRAM-SHA-256, bound to the connection and not.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use net::sasl::Channel;

use crate::fixture::{Client, start, start_implicit_tls};

fn sign(key: &[u8], message: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, message).as_ref().to_vec()
}

/// What a client says last, and the signature that it expects (RFC 5802 §3).
fn finish(password: &str, header: &[u8], bare: &str, server_first: &str) -> (String, String) {
    let mut attributes = server_first.split(',');
    let mut attribute = || attributes.next().unwrap().split_once('=').unwrap().1;
    let (nonce, salt, iterations) = (attribute(), attribute(), attribute());
    let mut salted = [0; 32];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        NonZeroU32::new(iterations.parse().unwrap()).unwrap(),
        &STANDARD.decode(salt).unwrap(),
        password.as_bytes(),
        &mut salted,
    );
    let without_proof = format!("c={},r={nonce}", STANDARD.encode(header));
    let signed = format!("{bare},{server_first},{without_proof}");
    let client_key = sign(&salted, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, &client_key);
    let signature = sign(stored_key.as_ref(), signed.as_bytes());
    let pairs = client_key.iter().zip(&signature);
    let proof: Vec<u8> = pairs.map(|(a, b)| a ^ b).collect();
    let server = sign(&sign(&salted, b"Server Key"), signed.as_bytes());
    (
        format!("{without_proof},p={}", STANDARD.encode(proof)),
        format!("v={}", STANDARD.encode(server)),
    )
}

/// Up to the client's last message, and what the server has to answer it with.
async fn begin(
    client: &mut Client,
    mechanism: &str,
    header: &str,
    data: &[u8],
    password: &str,
) -> (String, String) {
    let bare = "n=ann,r=client";
    let first = STANDARD.encode(format!("{header}{bare}"));
    let line = client.say(&format!("AUTH {mechanism} {first}"), "+ ").await;
    let server_first = STANDARD.decode(&line[2..]).unwrap();
    let server_first = String::from_utf8(server_first).unwrap();
    assert!(server_first.starts_with("r=client"), "{server_first}");
    let binding = [header.as_bytes(), data].concat();
    let (last, expected) = finish(password, &binding, bare, &server_first);
    (STANDARD.encode(last), expected)
}

#[tokio::test]
async fn a_proof_is_as_good_as_the_password() {
    let server = start();
    let mut client = server.connect().await;
    let (last, expected) = begin(&mut client, "SCRAM-SHA-256", "n,,", b"", "se cret").await;
    let line = client.say(&last, "+ ").await;
    let signature = STANDARD.decode(&line[2..]).unwrap();
    assert_eq!(String::from_utf8(signature).unwrap(), expected);
    client.say("", "+OK 0 messages").await;
}

#[tokio::test]
async fn a_wrong_proof_is_refused() {
    let server = start();
    let mut client = server.connect().await;
    let (last, _) = begin(&mut client, "SCRAM-SHA-256", "n,,", b"", "wrong").await;
    client.say(&last, "-ERR [AUTH] ").await;
    let other = STANDARD.encode("n,a=bob,n=ann,r=client");
    let line = format!("AUTH SCRAM-SHA-256 {other}");
    client.say(&line, "-ERR [AUTH] ").await;
    client.login("ann", "+OK ").await;
}

#[tokio::test]
async fn logins_are_bound_to_their_connection() {
    let server = start_implicit_tls();
    for name in ["tls-exporter", "tls-server-end-point"] {
        let client = server.connect_raw().await;
        let mut client = server.secure(client).await;
        client.expect("+OK ").await;
        let offered = client.list("CAPA").await;
        let sasl = "SASL SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN OAUTHBEARER XOAUTH2";
        assert!(offered.iter().any(|line| line == sasl), "{offered:?}");
        let channel = Channel::of(client.0.stream());
        let data = match name {
            "tls-exporter" => channel.tls_exporter.unwrap().to_vec(),
            // The client's side doesn't know it by itself.
            _ => server.end_point(),
        };
        let header = format!("p={name},,");
        let mechanism = "SCRAM-SHA-256-PLUS";
        let (last, _) = begin(&mut client, mechanism, &header, &[0; 32], "se cret").await;
        client.say(&last, "-ERR ").await;
        let (last, _) = begin(&mut client, mechanism, &header, &data, "se cret").await;
        client.say(&last, "+ ").await;
        client.say("", "+OK ").await;
        client.say("QUIT", "+OK ").await;
    }
}

#[tokio::test]
async fn a_client_that_was_kept_from_binding_is_refused() {
    let server = start_implicit_tls();
    let client = server.connect_raw().await;
    let mut client = server.secure(client).await;
    client.expect("+OK ").await;
    let first = STANDARD.encode("y,,n=ann,r=client");
    client
        .say(&format!("AUTH SCRAM-SHA-256 {first}"), "-ERR ")
        .await;
    // Where there is nothing to bind to, there is nothing to be kept from.
    let server = start();
    let mut client = server.connect().await;
    client
        .say(&format!("AUTH SCRAM-SHA-256 {first}"), "+ ")
        .await;
}
