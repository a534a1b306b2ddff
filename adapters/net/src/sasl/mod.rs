//! SASL (RFC 4422), the server's side, as state machines without I/O: PLAIN, LOGIN, OAUTHBEARER and XOAUTH2.
//!
//! Nothing is verified here. An exchange ends in [`Credentials`], which the core looks at. A mechanism is one variant
//! of `State`; one that must know a stored key half-way (SCRAM) adds a [`Step`] that asks for it.
//! Holds: every response has a size limit; a secret is held as a [`Secret`]; after an error or the end, an exchange
//! answers nothing more.
//! Other half: AUTH and AUTHENTICATE of the adapters, which carry the base64 lines.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::secret::Secret;

mod message;

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
}

impl Mechanism {
    pub const ALL: [Mechanism; 4] = [
        Mechanism::Plain,
        Mechanism::Login,
        Mechanism::OAuthBearer,
        Mechanism::XOAuth2,
    ];

    /// As registered with IANA, and as announced.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Login => "LOGIN",
            Mechanism::OAuthBearer => "OAUTHBEARER",
            Mechanism::XOAuth2 => "XOAUTH2",
        }
    }

    /// Whether it shows a secret to whoever listens, so that it is for TLS only. So far all do.
    pub fn needs_tls(self) -> bool {
        match self {
            Mechanism::Plain | Mechanism::Login | Mechanism::OAuthBearer | Mechanism::XOAuth2 => {
                true
            }
        }
    }

    /// By name, in any letter case.
    pub fn named(name: &[u8]) -> Option<Mechanism> {
        Mechanism::ALL
            .into_iter()
            .find(|mechanism| mechanism.name().as_bytes().eq_ignore_ascii_case(name))
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
    /// A token was refused, and the client has been told why; its answer means nothing.
    Refused,
    Over,
}

impl Exchange {
    /// Starts. `initial` is the initial response as it was sent, if one was: base64, or `=` for an empty one.
    pub fn start(
        mechanism: Mechanism,
        initial: Option<&[u8]>,
    ) -> Result<(Exchange, Step), SaslError> {
        let state = match mechanism {
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::LoginName,
            Mechanism::OAuthBearer => State::OAuthBearer,
            Mechanism::XOAuth2 => State::XOAuth2,
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
            Mechanism::Plain | Mechanism::Login => return None,
        }
        let status = match self.mechanism {
            Mechanism::XOAuth2 => r#"{"status":"401","schemes":"bearer"}"#,
            _ => r#"{"status":"invalid_token"}"#,
        };
        Some(STANDARD.encode(status))
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
            State::Refused => Err(SaslError::Refused),
            State::Over => Err(SaslError::Over),
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
