//! Logging in over HTTP: Basic (RFC 7617) and Bearer (RFC 6750).
//!
//! Holds: credentials are taken over encrypted connections and from this machine, unless the operator has decided
//! otherwise; what lasts longer than a request is logged in again now and then.

use http::{HeaderMap, StatusCode, header};
use jmap_core::{
    Caller, Core,
    auth::{AuthError, Credentials, Origin},
};

use crate::{
    Config, PlaintextLogins,
    client::Client,
    encode::problem::Problem,
    parse::headers,
    translate::{login_problem, unauthorized},
};

/// A login, and what is needed to repeat it.
#[derive(Clone, Debug)]
pub struct Login {
    pub who: Caller,
    /// Of the core, before `who` was read.
    generation: u64,
    core: Core,
    credentials: Credentials,
    origin: Origin,
}

/// Logs a request's client in.
pub async fn login(
    core: &Core,
    config: &Config,
    client: &Client,
    fields: &HeaderMap,
) -> Result<Login, Problem> {
    let login = try_login(core, config, client, fields).await;
    login.map_err(|problem| match config.resource_metadata {
        Some(path) => problem.pointing_to(&format!("{}{path}", client.base_url)),
        None => problem,
    })
}

async fn try_login(
    core: &Core,
    config: &Config,
    client: &Client,
    fields: &HeaderMap,
) -> Result<Login, Problem> {
    let safe = client.tls || client.ip.is_loopback();
    if !safe && config.plaintext_logins == PlaintextLogins::Loopback {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "Logging in is possible over an encrypted connection (HTTPS) only.",
        ));
    }
    let Some(field) = fields.get(header::AUTHORIZATION) else {
        return Err(unauthorized("A login is needed.", false));
    };
    let Some(credentials) = headers::credentials(field) else {
        return Err(unauthorized(
            "The Authorization field has to be of the Basic or Bearer scheme.",
            false,
        ));
    };
    let origin = client.origin();
    let generation = core.generation();
    let who = core
        .login(credentials.clone(), origin)
        .await
        .map_err(login_problem)?;
    Ok(Login {
        who,
        generation,
        core: core.clone(),
        credentials,
        origin,
    })
}

impl Login {
    /// Whether the credentials still open the account; what the caller may see is brought up to date.
    pub async fn renew(&mut self) -> bool {
        let generation = self.core.generation();
        match self.core.login(self.credentials.clone(), self.origin).await {
            Ok(who) => {
                (self.who, self.generation) = (who, generation);
                true
            }
            Err(
                AuthError::Invalid
                | AuthError::Expired
                | AuthError::OutOfScope
                | AuthError::SecondFactor
                | AuthError::Disabled,
            ) => false,
            // Nothing was found out.
            Err(
                AuthError::TooManyAttempts { .. } | AuthError::TooBusy | AuthError::Unavailable,
            ) => true,
        }
    }

    /// Brings what the caller may see up to date, if anything about that may have changed. `false`: they may not be
    /// here any more.
    pub async fn refresh(&mut self) -> bool {
        let generation = self.core.generation();
        if generation == self.generation {
            return true;
        }
        match self.core.current(&self.who).await {
            Ok(Some(who)) => {
                (self.who, self.generation) = (who, generation);
                true
            }
            Ok(None) => false,
            Err(error) => {
                tracing::error!(%error, "a login could not be checked again");
                false
            }
        }
    }
}
