//! Logging in at a relay (RFC 4954): SCRAM-SHA-256 (RFC 7677), PLAIN (RFC 4616), LOGIN.
//!
//! Holds: a password goes over an encrypted connection only, or to this machine; SCRAM shows none, and tells whether the
//! server knows it.
//! Other half: `net::sasl`, the server's side of the same.

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jmap_core::rng::Rng;
use net::Secret;

use super::connection::Connection;
use super::extensions::Extensions;
use super::reply::Broken;

/// Iterations that are computed for a server. RFC 7677 §4 asks for 4096 at least.
const ITERATIONS_MAX: u32 = 1_000_000;

/// Whom to log in as.
#[derive(Clone, Debug)]
pub struct Login {
    pub user: String,
    pub password: Secret<String>,
}

/// Why there is no login.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthFailed {
    #[error("{0}")]
    Refused(String),
    #[error("the server offers no mechanism that can be used here")]
    NoMechanism,
    #[error("the server's side of SCRAM is wrong")]
    Scram,
    #[error(transparent)]
    Broken(#[from] Broken),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mechanism {
    Scram,
    Plain,
    Login,
}

/// The best that both sides know.
fn choose(peer: &Extensions, may_show: bool) -> Option<Mechanism> {
    let all = [
        ("SCRAM-SHA-256", Mechanism::Scram),
        ("PLAIN", Mechanism::Plain),
        ("LOGIN", Mechanism::Login),
    ];
    all.into_iter()
        .find(|(name, mechanism)| {
            peer.has_auth(name) && (may_show || *mechanism == Mechanism::Scram)
        })
        .map(|(_, mechanism)| mechanism)
}

/// `may_show`: the connection keeps a password secret.
pub async fn log_in(
    connection: &mut Connection,
    login: &Login,
    may_show: bool,
    rng: &dyn Rng,
) -> Result<(), AuthFailed> {
    let mechanism = choose(&connection.extensions, may_show).ok_or(AuthFailed::NoMechanism)?;
    match mechanism {
        Mechanism::Scram => scram(connection, login, rng).await,
        Mechanism::Plain => {
            let message = Secret::new(format!("\0{}\0{}", login.user, login.password.expose()));
            let encoded = Secret::new(STANDARD.encode(message.expose()));
            say(connection, &format!("AUTH PLAIN {}", encoded.expose()), 235).await?;
            Ok(())
        }
        Mechanism::Login => {
            say(connection, "AUTH LOGIN", 334).await?;
            say(connection, &STANDARD.encode(&login.user), 334).await?;
            let password = Secret::new(STANDARD.encode(login.password.expose()));
            say(connection, password.expose(), 235).await?;
            Ok(())
        }
    }
}

/// Sends a line, and wants one code. Returns the text of the reply.
async fn say(connection: &mut Connection, line: &str, wanted: u16) -> Result<String, AuthFailed> {
    let reply = connection
        .command(line, connection.timeouts.command)
        .await?;
    match reply.code == wanted {
        true => Ok(reply.lines.first().cloned().unwrap_or_default()),
        false => Err(AuthFailed::Refused(reply.text())),
    }
}

async fn scram(
    connection: &mut Connection,
    login: &Login,
    rng: &dyn Rng,
) -> Result<(), AuthFailed> {
    let mut nonce = [0; 18];
    rng.fill(&mut nonce);
    let scram = Scram::new(&login.user, STANDARD.encode(nonce));
    let first = STANDARD.encode(format!("n,,{}", scram.first));
    let challenge = say(connection, &format!("AUTH SCRAM-SHA-256 {first}"), 334).await?;
    let challenge = decode(&challenge)?;
    let password = login.password.clone();
    // Many iterations take their time; other tasks have theirs.
    let answer = tokio::task::spawn_blocking(move || scram.answer(&challenge, password.expose()));
    let (last, signature) = answer.await.ok().flatten().ok_or(AuthFailed::Scram)?;
    let line = STANDARD.encode(last);
    let reply = connection
        .command(&line, connection.timeouts.command)
        .await?;
    // The server's signature comes with 334 and an empty answer, or with 235 (RFC 4954 §4).
    let text = reply.lines.first().cloned().unwrap_or_default();
    let (proof, is_done) = match reply.code {
        334 => (text, false),
        235 => (text.rsplit(' ').next().unwrap_or_default().to_owned(), true),
        _ => return Err(AuthFailed::Refused(reply.text())),
    };
    // A server that shows none may be anybody, who has never known the password.
    let proof = decode(&proof)?;
    let given = proof
        .strip_prefix("v=")
        .and_then(|given| STANDARD.decode(given).ok());
    let given = given.ok_or(AuthFailed::Scram)?;
    constant_time::verify_slices_are_equal(&given, &signature).map_err(|_| AuthFailed::Scram)?;
    if !is_done {
        say(connection, "", 235).await?;
    }
    Ok(())
}

fn decode(text: &str) -> Result<String, AuthFailed> {
    let octets = STANDARD
        .decode(text.trim())
        .map_err(|_| AuthFailed::Scram)?;
    String::from_utf8(octets).map_err(|_| AuthFailed::Scram)
}

/// The client's side of RFC 5802 §3.
struct Scram {
    nonce: String,
    /// client-first-message-bare.
    first: String,
}

impl Scram {
    fn new(user: &str, nonce: String) -> Scram {
        let name = user.replace('=', "=3D").replace(',', "=2C");
        let first = format!("n={name},r={nonce}");
        Scram { nonce, first }
    }

    /// client-final-message, and the signature that the server has to give.
    fn answer(&self, challenge: &str, password: &str) -> Option<(String, Vec<u8>)> {
        let mut attributes = challenge.split(',');
        let nonce = attributes.next()?.strip_prefix("r=")?;
        let salt = STANDARD
            .decode(attributes.next()?.strip_prefix("s=")?)
            .ok()?;
        let iterations: u32 = attributes.next()?.strip_prefix("i=")?.parse().ok()?;
        if !nonce.starts_with(&self.nonce)
            || nonce.len() == self.nonce.len()
            || iterations > ITERATIONS_MAX
        {
            return None;
        }
        let mut salted = [0; digest::SHA256_OUTPUT_LEN];
        let count = std::num::NonZeroU32::new(iterations)?;
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            count,
            &salt,
            password.as_bytes(),
            &mut salted,
        );
        let client_key = sign(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
        // "biws" is "n,,": without channel binding.
        let without_proof = format!("c=biws,r={nonce}");
        let message = format!("{},{challenge},{without_proof}", self.first);
        let signature = sign(stored_key.as_ref(), message.as_bytes());
        let proof: Vec<u8> = client_key
            .as_ref()
            .iter()
            .zip(signature.as_ref())
            .map(|(a, b)| a ^ b)
            .collect();
        let server_key = sign(&salted, b"Server Key");
        let server = sign(server_key.as_ref(), message.as_bytes());
        let last = format!("{without_proof},p={}", STANDARD.encode(proof));
        Some((last, server.as_ref().to_vec()))
    }
}

fn sign(key: &[u8], message: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677 §3.
    #[test]
    fn the_example_of_the_rfc() {
        let scram = Scram::new("user", "rOprNGfwEbeRWgbNEkqO".into());
        let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let (last, signature) = scram.answer(challenge, "pencil").unwrap();
        assert_eq!(
            last,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(
            STANDARD.encode(signature),
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        );
        // Another's nonce, and more work than anybody asks for.
        assert!(
            scram
                .answer("r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "pencil")
                .is_none()
        );
        let much = challenge.replace("i=4096", "i=1000001");
        assert!(scram.answer(&much, "pencil").is_none());
    }
}
