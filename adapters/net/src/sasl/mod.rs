//! SASL (RFC 4422), the server's side, as state machines without I/O: PLAIN, LOGIN, OAUTHBEARER, XOAUTH2 and SCRAM.
//!
//! Nothing is verified here. An exchange ends in [`Credentials`], which the core looks at; one of SCRAM asks for a salt
//! half-way ([`Step::Identify`]) and for a signature at the end ([`Step::Prove`]). A mechanism is one variant of `State`.
//! Holds: every response has a size limit; a secret is held as a [`Secret`]; after an error or the end, an exchange
//! answers nothing more.
//! Other half: AUTH and AUTHENTICATE of the adapters, which carry the base64 lines.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::secret::Secret;

mod message;
mod scram;

pub use scram::{CLIENT_NONCE_OCTETS_MAX, Channel};

/// Longest response, in base64 (RFC 4954 §4). A line reader needs this and two more for the CRLF.
pub const RESPONSE_OCTETS_MAX: usize = 12_288;
/// Longest name of a user, in octets.
pub const NAME_OCTETS_MAX: usize = 1024;
/// Longest password, in octets.
pub const PASSWORD_OCTETS_MAX: usize = 1024;
/// Longest token, in octets.
pub const TOKEN_OCTETS_MAX: usize = 8192;

/// A mechanism that this server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// Two prompts; never a standard, still in use.
    Login,
    /// RFC 7628.
    OAuthBearer,
    /// What OAUTHBEARER was before it was a standard.
    XOAuth2,
    /// RFC 7677.
    ScramSha256,
    /// The same, bound to the TLS connection.
    ScramSha256Plus,
}

impl Mechanism {
    /// Those that end in [`Step::Done`] without asking for more than responses.
    pub const ALL: [Mechanism; 4] = [
        Mechanism::Plain,
        Mechanism::Login,
        Mechanism::OAuthBearer,
        Mechanism::XOAuth2,
    ];

    /// Those whose exchange has [`Step::Identify`] and [`Step::Prove`], the strongest first.
    pub const SCRAM: [Mechanism; 2] = [Mechanism::ScramSha256Plus, Mechanism::ScramSha256];

    /// All that can be used over a connection that nobody listens to, in the order of preference.
    pub fn offered(channel: &Channel) -> Vec<Mechanism> {
        let all = Mechanism::SCRAM.into_iter().chain(Mechanism::ALL);
        let usable = all.filter(|mechanism| channel.can_bind() || !mechanism.needs_channel());
        usable.collect()
    }

    /// As registered with IANA, and as announced.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Login => "LOGIN",
            Mechanism::OAuthBearer => "OAUTHBEARER",
            Mechanism::XOAuth2 => "XOAUTH2",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
        }
    }

    /// Whether it shows a secret to whoever listens, so that it is for TLS only.
    pub fn needs_tls(self) -> bool {
        match self {
            Mechanism::Plain | Mechanism::Login | Mechanism::OAuthBearer | Mechanism::XOAuth2 => {
                true
            }
            Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => false,
        }
    }

    /// Whether there has to be something to bind to.
    pub fn needs_channel(self) -> bool {
        self == Mechanism::ScramSha256Plus
    }

    /// By name, in any letter case.
    pub fn named(name: &[u8]) -> Option<Mechanism> {
        let mut all = Mechanism::ALL.into_iter().chain(Mechanism::SCRAM);
        all.find(|mechanism| mechanism.name().as_bytes().eq_ignore_ascii_case(name))
    }
}

/// What a client claims to be, to be verified.
#[derive(Debug, Clone)]
pub enum Credentials {
    Password {
        /// Whom it wants to act as (RFC 4422 §2), when that is said.
        authzid: Option<String>,
        /// Whose password it is.
        authcid: String,
        password: Secret<String>,
    },
    Bearer {
        /// The user it says that the token is for.
        authzid: Option<String>,
        token: Secret<String>,
    },
}

/// What to do next.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step {
    /// Send this base64 as a challenge (`334 `, `+ `), and give the next line to [`Exchange::respond`].
    Challenge(String),
    /// The client has said all.
    Done(Credentials),
    /// The client wants to prove that it has the password of an account: give what is kept of it to
    /// [`Exchange::identified`].
    Identify {
        /// Whom it wants to act as, when that is said.
        authzid: Option<String>,
        login: String,
    },
    /// Check the proof, and give the signature that answers it to [`Exchange::proved`].
    Prove(Proof),
    /// The client has seen the signature: it is logged in.
    Proved,
}

/// What SCRAM's proof is made of (RFC 5802 §3: AuthMessage and ClientProof).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    pub signed: Vec<u8>,
    pub proof: Vec<u8>,
}

/// Why an exchange has failed. Each is the end of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SaslError {
    /// 501, BAD.
    #[error("the client has given up")]
    Cancelled,
    #[error("the response is not base64")]
    Base64,
    /// 500 5.5.6 (RFC 4954 §4).
    #[error("the response is too long")]
    TooLong,
    #[error("the response is not what the mechanism asks for")]
    Malformed,
    /// The client has acknowledged that its token was refused: 535, NO.
    #[error("the token was refused")]
    Refused,
    #[error("the exchange is over")]
    Over,
}

/// One authentication under way.
#[derive(Debug)]
pub struct Exchange {
    mechanism: Mechanism,
    state: State,
}

#[derive(Debug)]
enum State {
    Plain,
    LoginName,
    LoginPassword(String),
    OAuthBearer,
    XOAuth2,
    ScramFirst {
        plus: bool,
        channel: Channel,
    },
    ScramIdentify(Box<scram::ClientFirst>),
    ScramFinal(Box<scram::Started>),
    ScramProve,
    /// The signature is under way; the client answers with nothing.
    ScramProved,
    /// A token was refused, and the client has been told why; its answer means nothing.
    Refused,
    Over,
}

impl Exchange {
    /// Starts, where there is nothing to bind to. `initial` is the initial response as it was sent, if one was: base64, or
    /// `=` for an empty one.
    pub fn start(
        mechanism: Mechanism,
        initial: Option<&[u8]>,
    ) -> Result<(Exchange, Step), SaslError> {
        Exchange::start_over(mechanism, initial, Channel::default())
    }

    /// The same over a connection that a login can be bound to.
    pub fn start_over(
        mechanism: Mechanism,
        initial: Option<&[u8]>,
        channel: Channel,
    ) -> Result<(Exchange, Step), SaslError> {
        let state = match mechanism {
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::LoginName,
            Mechanism::OAuthBearer => State::OAuthBearer,
            Mechanism::XOAuth2 => State::XOAuth2,
            Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => State::ScramFirst {
                plus: mechanism.needs_channel(),
                channel,
            },
        };
        let mut exchange = Exchange { mechanism, state };
        let step = match initial {
            // RFC 4954 §4: "=" is the initial response of no length.
            Some(b"=") => exchange.advance(&[])?,
            Some(initial) => exchange.advance(&decode(initial)?)?,
            None => exchange.prompt(),
        };
        Ok((exchange, step))
    }

    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Takes the client's next line, without its CRLF.
    pub fn respond(&mut self, line: &[u8]) -> Result<Step, SaslError> {
        if line == b"*" {
            self.state = State::Over;
            return Err(SaslError::Cancelled);
        }
        match decode(line) {
            Ok(response) => self.advance(&response),
            Err(error) => {
                self.state = State::Over;
                Err(error)
            }
        }
    }

    /// After `Done` with a token that the core has refused: the challenge that tells why (RFC 7628 §3.2.2), to which the
    /// client answers with a line that leads to `SaslError::Refused`. None where the mechanism has no such thing.
    pub fn refuse(&mut self) -> Option<String> {
        match self.mechanism {
            Mechanism::OAuthBearer => self.state = State::Refused,
            Mechanism::XOAuth2 => self.state = State::Refused,
            Mechanism::Plain
            | Mechanism::Login
            | Mechanism::ScramSha256
            | Mechanism::ScramSha256Plus => return None,
        }
        let status = match self.mechanism {
            Mechanism::XOAuth2 => r#"{"status":"401","schemes":"bearer"}"#,
            _ => r#"{"status":"invalid_token"}"#,
        };
        Some(STANDARD.encode(status))
    }

    /// After `Identify`: `nonce` is the server's, printable and new for each exchange.
    pub fn identified(
        &mut self,
        salt: &[u8],
        iterations: u32,
        nonce: &str,
    ) -> Result<Step, SaslError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::ScramIdentify(first) => {
                let (message, started) = first.answer(salt, iterations, nonce);
                self.state = State::ScramFinal(Box::new(started));
                Ok(Step::Challenge(STANDARD.encode(message)))
            }
            _ => Err(SaslError::Over),
        }
    }

    /// After `Prove`, when the proof was right.
    pub fn proved(&mut self, signature: &[u8]) -> Result<Step, SaslError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::ScramProve => {
                self.state = State::ScramProved;
                let message = scram::server_final(signature);
                Ok(Step::Challenge(STANDARD.encode(message)))
            }
            _ => Err(SaslError::Over),
        }
    }

    /// What is sent when the client has not begun by itself.
    fn prompt(&self) -> Step {
        match self.state {
            State::LoginName => Step::Challenge(STANDARD.encode("Username:")),
            _ => Step::Challenge(String::new()),
        }
    }

    fn advance(&mut self, response: &[u8]) -> Result<Step, SaslError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Plain => message::plain(response).map(Step::Done),
            State::OAuthBearer => message::oauthbearer(response).map(Step::Done),
            State::XOAuth2 => message::xoauth2(response).map(Step::Done),
            State::LoginName => {
                self.state = State::LoginPassword(message::name(response)?);
                Ok(Step::Challenge(STANDARD.encode("Password:")))
            }
            State::LoginPassword(authcid) => {
                let password = message::password(response)?;
                Ok(Step::Done(Credentials::Password {
                    authzid: None,
                    authcid,
                    password,
                }))
            }
            State::ScramFirst { plus, channel } => {
                let first = scram::client_first(response, plus, &channel)?;
                let step = Step::Identify {
                    authzid: first.authzid.clone(),
                    login: first.login.clone(),
                };
                self.state = State::ScramIdentify(Box::new(first));
                Ok(step)
            }
            State::ScramFinal(started) => {
                let (signed, proof) = started.client_final(response)?;
                self.state = State::ScramProve;
                Ok(Step::Prove(Proof { signed, proof }))
            }
            State::ScramProved if response.is_empty() => Ok(Step::Proved),
            State::ScramProved => Err(SaslError::Malformed),
            State::Refused => Err(SaslError::Refused),
            State::ScramIdentify(_) | State::ScramProve | State::Over => Err(SaslError::Over),
        }
    }
}

/// RFC 4648 §4, with padding, no line breaks, no stray bits.
fn decode(line: &[u8]) -> Result<Zeroizing<Vec<u8>>, SaslError> {
    if line.len() > RESPONSE_OCTETS_MAX {
        return Err(SaslError::TooLong);
    }
    let decoded = STANDARD.decode(line).map_err(|_| SaslError::Base64)?;
    Ok(Zeroizing::new(decoded))
}

#[cfg(test)]
mod tests;
