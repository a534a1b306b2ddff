//! People of an OpenID provider: whoever shows a token of it is who it says (OpenID Connect Discovery 1.0, RFC 9068, RFC 7662).
//!
//! Holds: a token counts only if it is this provider's, for this audience, in its time, and signed by a key that the provider shows now, or
//! if the provider says of it that it is active. An address is nobody's of which the provider says anything else than that it is verified.
//! Other half: `jwt` has signatures, `http` asks.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use jmap_core::{
    auth::Secret,
    clock::{Clock, UtcMillis},
    directory::{
        external::{Away, ExternalDirectory, GoodToken, Person},
        names::Address,
    },
};
use parking_lot::Mutex;
use rustls::ClientConfig;
use serde_json::{Map, Value};

use crate::{
    http::Fetcher,
    jwt::{self, Key, Token},
};

/// How long the provider's keys and addresses are taken for those of now.
const KEEP: Duration = Duration::from_secs(3600);
/// How soon they are asked for again, when a token names a key that isn't among them.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// How far clocks may be apart, in seconds.
const LEEWAY: i64 = 60;

/// How a provider is asked.
#[derive(Clone, Debug)]
pub struct OidcConfig {
    /// For logs.
    pub name: String,
    /// As it calls itself, without a slash at the end.
    pub issuer: String,
    /// Whom its tokens have to be for.
    pub audience: String,
    /// `None`: tokens are looked at here.
    pub introspection: Option<Introspection>,
    pub address_claim: String,
    pub description_claim: Option<String>,
    pub tls: Arc<ClientConfig>,
    pub timeout: Duration,
}

/// Who asks about tokens (RFC 7662).
#[derive(Clone, Debug)]
pub struct Introspection {
    pub client: String,
    pub secret: Secret<String>,
}

/// See the module.
#[derive(Debug)]
pub struct Oidc {
    config: OidcConfig,
    fetcher: Fetcher,
    clock: Arc<dyn Clock>,
    known: Mutex<Option<Known>>,
    /// One asks, and the others wait for the answer.
    turn: tokio::sync::Mutex<()>,
}

/// What the provider has told of itself.
#[derive(Clone, Debug)]
struct Known {
    at: Instant,
    keys: Arc<Vec<Key>>,
    introspection: Option<String>,
}

impl Oidc {
    pub fn new(config: OidcConfig, clock: Arc<dyn Clock>) -> Oidc {
        Oidc {
            fetcher: Fetcher::new(&config.tls, config.timeout),
            config,
            clock,
            known: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// What the provider tells of itself, asked for no longer ago than this.
    async fn known(&self, no_older: Duration) -> Result<Known, Away> {
        let fresh = || {
            let known = self.known.lock().clone()?;
            let age = self.clock.monotonic().saturating_duration_since(known.at);
            (age < no_older).then_some(known)
        };
        if let Some(known) = fresh() {
            return Ok(known);
        }
        let _turn = self.turn.lock().await;
        if let Some(known) = fresh() {
            return Ok(known);
        }
        match self.ask().await {
            Ok(known) => {
                *self.known.lock() = Some(known.clone());
                Ok(known)
            }
            // Keys of an hour ago are better than nobody logging in.
            Err(away) => match self.known.lock().clone() {
                Some(known) if no_older == KEEP => {
                    tracing::warn!(provider = self.config.name, error = %away, "what a provider has told before counts on");
                    Ok(known)
                }
                _ => Err(away),
            },
        }
    }

    async fn ask(&self) -> Result<Known, Away> {
        let issuer = self.config.issuer.trim_end_matches('/');
        let place = format!("{issuer}/.well-known/openid-configuration");
        let told = self.fetcher.get(&place).await?;
        let text = |name: &str| told.get(name).and_then(Value::as_str);
        let is_same = text("issuer").is_some_and(|of| of.trim_end_matches('/') == issuer);
        if !is_same {
            return Err(Away(format!("{place}: the issuer calls itself otherwise")));
        }
        let keys = match text("jwks_uri") {
            Some(place) => jwt::keys(&self.fetcher.get(place).await?),
            None => Vec::new(),
        };
        Ok(Known {
            at: self.clock.monotonic(),
            keys: Arc::new(keys),
            introspection: text("introspection_endpoint").map(str::to_owned),
        })
    }

    /// Whose a signed token is.
    async fn signed(&self, token: &Token<'_>) -> Result<Option<GoodToken>, Away> {
        let known = self.known(KEEP).await?;
        if is_signed(token, &known.keys) {
            return Ok(self.good(&token.claims));
        }
        // The provider may have a new key.
        let known = self.known(ASK_AGAIN).await?;
        match is_signed(token, &known.keys) {
            true => Ok(self.good(&token.claims)),
            false => Ok(None),
        }
    }

    /// What the provider says of a token.
    async fn introspected(
        &self,
        of: &Introspection,
        token: &Secret<String>,
    ) -> Result<Option<GoodToken>, Away> {
        let known = self.known(KEEP).await?;
        let place = known
            .introspection
            .ok_or_else(|| Away("the provider answers no questions about tokens".to_owned()))?;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token.expose())
            .append_pair("token_type_hint", "access_token")
            .finish();
        let told = self
            .fetcher
            .post(&place, form, &of.client, &of.secret)
            .await?;
        let Value::Object(told) = told else {
            return Err(Away(format!("{place}: the answer is no object")));
        };
        if told.get("active") != Some(&Value::Bool(true)) {
            return Ok(None);
        }
        Ok(self.good(&told))
    }

    /// What the claims of a token come to that is the provider's.
    fn good(&self, claims: &Map<String, Value>) -> Option<GoodToken> {
        let config = &self.config;
        let now = self.clock.now().seconds();
        let seconds = |name: &str| claims.get(name).and_then(Value::as_f64);
        let expires = seconds("exp").map(|at| at as i64);
        let signed = config.introspection.is_none();
        // RFC 9068 §2.2: it has an end. RFC 7662 §2.2 leaves that to the provider.
        if (signed && expires.is_none()) || expires.is_some_and(|at| now >= at + LEEWAY) {
            return None;
        }
        if seconds("nbf").is_some_and(|at| now + LEEWAY < at as i64) {
            return None;
        }
        let issuer = claims.get("iss").and_then(Value::as_str);
        let is_ours = |of: &str| of.trim_end_matches('/') == config.issuer.trim_end_matches('/');
        if !issuer.map_or(!signed, is_ours) {
            return None;
        }
        let is_for_us = match claims.get("aud") {
            Some(Value::String(of)) => *of == config.audience,
            Some(Value::Array(of)) => of.iter().any(|of| of.as_str() == Some(&config.audience)),
            _ => false,
        };
        if !is_for_us {
            tracing::debug!(provider = config.name, "a token is for somebody else");
            return None;
        }
        if !may_be_verified(claims) {
            tracing::debug!(
                provider = config.name,
                "an address that its provider hasn't verified"
            );
            return None;
        }
        let address = claims.get(&config.address_claim).and_then(Value::as_str)?;
        let description = config.description_claim.as_ref();
        let description = description.and_then(|name| claims.get(name)?.as_str());
        Some(GoodToken {
            person: Person {
                address: address.to_owned(),
                description: description.map(str::to_owned),
                ..Person::default()
            },
            expires: expires.map(|at| UtcMillis((at + LEEWAY).saturating_mul(1000))),
        })
    }
}

/// OpenID Connect Core §5.1: it is true; some providers write it as a text. Those that give addresses themselves mostly leave it out of
/// their tokens, and are taken at their word.
fn may_be_verified(claims: &Map<String, Value>) -> bool {
    match claims.get("email_verified") {
        None => true,
        Some(Value::Bool(is)) => *is,
        Some(Value::String(is)) => is == "true",
        Some(_) => false,
    }
}

fn is_signed(token: &Token<'_>, keys: &[Key]) -> bool {
    let mut keys = keys.iter().filter(|key| {
        // RFC 7515 §4.1.4: where it is told which key it is, it is that one.
        token.key.is_none() || key.kid.is_none() || token.key == key.kid
    });
    keys.any(|key| token.is_signed_by(key))
}

#[async_trait]
impl ExternalDirectory for Oidc {
    fn name(&self) -> &str {
        &self.config.name
    }

    /// A provider is shown passwords by nobody but its own pages.
    async fn check_password(
        &self,
        _login: &Address,
        _password: &Secret<String>,
    ) -> Result<Option<Person>, Away> {
        Ok(None)
    }

    /// It doesn't tell who there is.
    async fn find(&self, _address: &Address) -> Result<Option<Person>, Away> {
        Ok(None)
    }

    async fn check_token(&self, token: &Secret<String>) -> Result<Option<GoodToken>, Away> {
        if let Some(introspection) = &self.config.introspection {
            return self.introspected(introspection, token).await;
        }
        let Some(parsed) = jwt::parse(token.expose()) else {
            return Ok(None);
        };
        let issuer = parsed.claims.get("iss").and_then(Value::as_str);
        let ours = self.config.issuer.trim_end_matches('/');
        match issuer.is_some_and(|of| of.trim_end_matches('/') == ours) {
            true => self.signed(&parsed).await,
            // Nothing is fetched for what says itself that it is somebody else's.
            false => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use jmap_core::clock::TestClock;
    use rustls::{RootCertStore, crypto::aws_lc_rs::default_provider};
    use serde_json::json;

    use super::*;

    fn provider() -> Oidc {
        let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let config = OidcConfig {
            name: "id".to_owned(),
            issuer: "https://id.example.org".to_owned(),
            audience: "posthorn".to_owned(),
            introspection: None,
            address_claim: "email".to_owned(),
            description_claim: None,
            tls: Arc::new(tls),
            timeout: Duration::from_secs(1),
        };
        Oidc::new(config, Arc::new(TestClock::new(UtcMillis(0))))
    }

    #[test]
    fn an_address_that_is_not_verified_is_nobodys() {
        let provider = provider();
        for (claim, want) in [
            (None, true),
            (Some(json!(true)), true),
            (Some(json!("true")), true),
            (Some(json!(false)), false),
            (Some(json!("false")), false),
            (Some(json!("")), false),
            (Some(json!(0)), false),
            (Some(json!(1)), false),
            (Some(json!(null)), false),
            (Some(json!([true])), false),
        ] {
            let mut claims = Map::new();
            claims.insert("iss".into(), json!("https://id.example.org"));
            claims.insert("aud".into(), json!("posthorn"));
            claims.insert("exp".into(), json!(1000));
            claims.insert("email".into(), json!("ann@example.org"));
            if let Some(claim) = &claim {
                claims.insert("email_verified".into(), claim.clone());
            }
            let good = provider.good(&claims);
            assert_eq!(good.is_some(), want, "{claim:?}");
        }
    }
}
