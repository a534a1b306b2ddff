//! One order, from its beginning to the certificate (RFC 8555 §7.4).
//!
//! Holds: what was put into the store or the DNS for challenges is noted there before it is put, and is taken away
//! whatever becomes of the order; if the server dies first, by the next order for the certificate.
//! Other half: `worker` says when; `answer` answers; `update` changes the DNS.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Identifier, NewOrder,
    Order, OrderStatus, RetryPolicy,
};
use jmap_core::{
    auth::Secret,
    inproc::certificates::{
        CertificateError, CertificateLease, Challenge, ChallengeKind, ChallengeRecord,
    },
};
use net::{Identity, tls::TlsError};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use crate::{Settings, Tools, Wanted, update::UpdateError};

/// Time for an order, beginning to end.
pub const ORDER_TIME_MAX: Duration = Duration::from_secs(600);
/// Time for the server to look at the challenges, and again to make the certificate.
const POLL_TIME_MAX: Duration = Duration::from_secs(180);
const POLL: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(300))
    .backoff(1.6)
    .timeout(POLL_TIME_MAX);

/// Why there is no certificate: a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    #[error("the ACME server: {0}")]
    Acme(#[from] instant_acme::Error),
    #[error("the ACME server offers no {kind} challenge for {name}")]
    NotOffered { kind: &'static str, name: String },
    #[error("{name} could not be proven to be ours: {why}")]
    NotProven { name: String, why: String },
    #[error("the order was not fulfilled within {} minutes", ORDER_TIME_MAX.as_secs() / 60)]
    Timeout,
    #[error(transparent)]
    Dns(#[from] UpdateError),
    #[error("dns-01 needs a name server that takes updates")]
    NoDns,
    #[error("the request for the certificate can't be made: {0}")]
    Request(#[from] rcgen::Error),
    #[error("what the ACME server has sent is no chain of certificates: {0}")]
    Pem(rustls_pki_types::pem::Error),
    #[error("the certificate can't be used: {0}")]
    Certificate(#[from] TlsError),
    #[error("the certificate lacks {0}, or its time")]
    Incomplete(String),
    #[error(transparent)]
    Store(#[from] CertificateError),
}

impl OrderError {
    /// The type of the server's problem document (RFC 8555 §6.7), without what all of them begin with.
    pub fn acme_type(&self) -> Option<&str> {
        let OrderError::Acme(instant_acme::Error::Api(problem)) = self else {
            return None;
        };
        let full = problem.r#type.as_deref()?;
        full.strip_prefix("urn:ietf:params:acme:error:")
    }
}

/// A certificate that is good.
#[derive(Debug)]
pub struct Issued {
    pub chain: Vec<CertificateDer<'static>>,
    /// PKCS #8.
    pub key: Secret<Vec<u8>>,
    pub not_before: i64,
    pub not_after: i64,
}

/// What an order is made of.
pub struct Ordering<'o> {
    pub settings: &'o Settings,
    pub tools: &'o Tools,
    pub account: &'o Account,
    pub lease: &'o CertificateLease,
    pub wanted: &'o Wanted,
    /// The key to go on with.
    pub key: Option<Secret<Vec<u8>>>,
    /// The certificate that is to be replaced (RFC 9773 §5).
    pub replaces: Option<CertificateIdentifier<'static>>,
}

impl Ordering<'_> {
    /// Orders, proves and fetches.
    pub async fn run(&self) -> Result<Issued, OrderError> {
        self.clear_away().await;
        let done = tokio::time::timeout(ORDER_TIME_MAX, self.order()).await;
        self.clear_away().await;
        done.unwrap_or(Err(OrderError::Timeout))
    }

    async fn order(&self) -> Result<Issued, OrderError> {
        let names = self.wanted.names.iter().cloned();
        let identifiers: Vec<Identifier> = names.map(Identifier::Dns).collect();
        let mut new = NewOrder::new(&identifiers);
        if let Some(replaces) = &self.replaces {
            new = new.replaces(replaces.clone());
        }
        let mut order = self.account.new_order(&new).await?;
        let challenges = self.challenges(&mut order).await?;
        self.put(&challenges).await?;
        self.prove(&mut order).await?;
        let (key, request) = self.request()?;
        order.finalize_csr(&request).await?;
        let pem = order.poll_certificate(&POLL).await?;
        self.check(&pem, key)
    }

    /// What has to be answered.
    async fn challenges(&self, order: &mut Order) -> Result<Vec<Challenge>, OrderError> {
        let now = self.tools.clock.now().seconds();
        let time = i64::try_from(ORDER_TIME_MAX.as_secs()).unwrap_or(0);
        let mut found = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            // Proven for an earlier order, and still remembered.
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            // Without `*.`, which is a matter of the flag beside.
            let name = match authorization.identifier().identifier {
                Identifier::Dns(name) => name.clone(),
                other => format!("{other:?}"),
            };
            let kind = self.wanted.challenge;
            let challenge = authorization.challenge(kind_of(kind)).ok_or_else(|| {
                let (kind, name) = (kind.name(), name.clone());
                OrderError::NotOffered { kind, name }
            })?;
            let authorization = challenge.key_authorization();
            let (asked_by, answer, at) = match kind {
                ChallengeKind::Http01 => {
                    let answer = authorization.as_str().as_bytes().to_vec();
                    (challenge.token.clone(), answer, None)
                }
                ChallengeKind::TlsAlpn01 => {
                    let answer = authorization.digest().as_ref().to_vec();
                    (name.to_ascii_lowercase(), answer, None)
                }
                ChallengeKind::Dns01 => {
                    let text = authorization.dns_value();
                    let at = format!("_acme-challenge.{name}");
                    (text.clone(), text.into_bytes(), Some(at))
                }
            };
            found.push(Challenge {
                kind,
                name: asked_by,
                record: ChallengeRecord {
                    certificate: self.lease.name().to_owned(),
                    answer,
                    at,
                    expires: now.saturating_add(time),
                },
            });
        }
        Ok(found)
    }

    /// Puts the answers where they are asked for.
    async fn put(&self, challenges: &[Challenge]) -> Result<(), OrderError> {
        let core = &self.tools.core;
        core.put_challenges(self.lease, challenges).await?;
        let mut is_in_dns = false;
        for challenge in challenges {
            if let Some(at) = &challenge.record.at {
                let dns = self.settings.dns.as_ref().ok_or(OrderError::NoDns)?;
                let placed = dns.add(at, &challenge.name).await?;
                tracing::debug!(%placed, "an answer to an ACME challenge is in the DNS");
                is_in_dns = true;
            }
        }
        if is_in_dns {
            tokio::time::sleep(self.settings.dns_wait).await;
        }
        Ok(())
    }

    /// Has the server look, and waits for what it has seen.
    async fn prove(&self, order: &mut Order) -> Result<(), OrderError> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let kind = kind_of(self.wanted.challenge);
            if let Some(mut challenge) = authorization.challenge(kind) {
                challenge.set_ready().await?;
            }
        }
        // Which name it was says more than that one was wrong.
        match order.poll_ready(&POLL).await {
            Ok(OrderStatus::Ready) => Ok(()),
            Ok(_) => Err(self.refusal(order).await.unwrap_or(OrderError::Timeout)),
            Err(error) => {
                let refusal = self.refusal(order).await;
                Err(refusal.unwrap_or(OrderError::Acme(error)))
            }
        }
    }

    /// The name that could not be proven, and why.
    async fn refusal(&self, order: &mut Order) -> Option<OrderError> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.ok()?;
            let state = authorization.refresh().await.ok()?;
            if state.status != AuthorizationStatus::Invalid {
                continue;
            }
            let mut errors = state.challenges.iter().filter_map(|of| of.error.as_ref());
            let why = errors.next().map(|problem| problem.to_string());
            return Some(OrderError::NotProven {
                name: state.identifier().to_string(),
                why: why.unwrap_or_else(|| "the server doesn't say why".to_owned()),
            });
        }
        None
    }

    /// The key, and the request for a certificate (RFC 2986) that is signed with it.
    fn request(&self) -> Result<(Secret<Vec<u8>>, Vec<u8>), OrderError> {
        let former = self.key.as_ref().and_then(|key| {
            let pair = PrivateKeyDer::try_from(key.expose().as_slice()).ok()?;
            KeyPair::try_from(&pair)
                .inspect_err(|error| tracing::warn!(%error, "the key of the certificate can't be used again, and another one is made"))
                .ok()
        });
        let pair = match former {
            Some(pair) => pair,
            None => KeyPair::generate()?,
        };
        let mut params = CertificateParams::new(self.wanted.names.clone())?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&pair)?.der().to_vec();
        Ok((Secret::new(pair.serialize_der()), request))
    }

    fn check(&self, pem: &str, key: Secret<Vec<u8>>) -> Result<Issued, OrderError> {
        let chain = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(OrderError::Pem)?;
        let incomplete = |what: &str| OrderError::Incomplete(what.to_owned());
        let pair = PrivateKeyDer::try_from(key.expose().clone());
        let pair = pair.map_err(|_| incomplete("a key"))?;
        let identity = Identity::from_der(chain.clone(), pair, self.lease.name())?;
        for name in &self.wanted.names {
            if !identity.names().contains(name) {
                return Err(incomplete(name));
            }
        }
        let (not_before, not_after) = identity.validity().ok_or_else(|| incomplete("an end"))?;
        Ok(Issued {
            chain,
            key,
            not_before,
            not_after,
        })
    }

    /// Takes away what orders of this certificate have left.
    async fn clear_away(&self) {
        let core = &self.tools.core;
        let cleared = async {
            let challenges = core.challenges_of(self.lease.name()).await?;
            for challenge in &challenges {
                if let (Some(at), Some(dns)) = (&challenge.record.at, &self.settings.dns)
                    && let Err(error) = dns.remove(at, &challenge.name).await
                {
                    tracing::warn!(name = %at, %error, "the answer to an ACME challenge is still in the DNS");
                }
            }
            match challenges.is_empty() {
                true => Ok(()),
                false => core.remove_challenges(self.lease, &challenges).await,
            }
        };
        if let Err(error) = cleared.await {
            tracing::warn!(certificate = self.lease.name(), %error, "challenges of an order could not be taken away");
        }
    }
}

fn kind_of(kind: ChallengeKind) -> ChallengeType {
    match kind {
        ChallengeKind::Http01 => ChallengeType::Http01,
        ChallengeKind::TlsAlpn01 => ChallengeType::TlsAlpn01,
        ChallengeKind::Dns01 => ChallengeType::Dns01,
    }
}
