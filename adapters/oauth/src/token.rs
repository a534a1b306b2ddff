//! What clients do without a person: tokens, devices, introspection, revocation, userinfo.
//!
//! Holds: whoever holds a token or a code says so in a body or in the Authorization field, and nowhere else.
//! Other half: `jmap_core::auth::oauth`.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use jmap_core::auth::{
    Credentials, Secret,
    oauth::{
        Client as OAuthClient, DEVICE_INTERVAL_SECONDS, DEVICE_SECONDS, ErrorCode, TokenResponse,
    },
};
use serde_json::{Value, json};

use crate::{
    Client, Provider,
    error::Refusal,
    form::{Form, with_parameters},
    metadata::{CODE_GRANT, DEVICE_GRANT, DEVICE_PATH, REFRESH_GRANT},
    serve,
};

fn needed<'f>(form: &'f Form, name: &str) -> Result<&'f Secret<String>, Refusal> {
    let missing = || Refusal::invalid(&format!("{name} is missing"));
    form.secret(name).ok_or_else(missing)
}

impl Provider {
    /// RFC 6749 §3.2.
    pub async fn token(
        &self,
        client: &Client,
        fields: &HeaderMap,
        form: &Form,
    ) -> Result<Response<Bytes>, Refusal> {
        let of = self.client_of(fields, form).await?;
        let core = &self.0.core;
        let grant_type = needed(form, "grant_type")?.expose().as_str();
        let origin = client.origin();
        let issuer = client.base_url.as_str();
        let response = match grant_type {
            CODE_GRANT => {
                let code = needed(form, "code")?;
                let verifier = needed(form, "code_verifier")?;
                let redirect_uri = needed(form, "redirect_uri")?.expose();
                core.redeem_code(&of, (code, verifier), redirect_uri, (issuer, &origin))
                    .await?
            }
            REFRESH_GRANT => {
                let token = needed(form, "refresh_token")?;
                core.refresh(&of, token, form.get("scope"), issuer).await?
            }
            DEVICE_GRANT => {
                let code = needed(form, "device_code")?;
                core.poll_device(&of, code, (issuer, &origin)).await?
            }
            _ => {
                let why = "the grant type is not known here";
                return Err(Refusal::new(ErrorCode::UnsupportedGrantType, why));
            }
        };
        Ok(serve::json(StatusCode::OK, &token_json(&response)))
    }

    /// RFC 8628 §3.1.
    pub async fn begin_device(
        &self,
        client: &Client,
        fields: &HeaderMap,
        form: &Form,
    ) -> Result<Response<Bytes>, Refusal> {
        let of = self.client_of(fields, form).await?;
        let scope = form.get("scope").unwrap_or_default();
        let begun = self
            .0
            .core
            .begin_device(&of, scope, &client.origin())
            .await?;
        let page = format!("{}{DEVICE_PATH}", client.base_url);
        let body = json!({
            "device_code": begun.device_code.expose(),
            "user_code": begun.user_code,
            "verification_uri": page,
            "verification_uri_complete": with_parameters(&page, &[("user_code", &begun.user_code)]),
            "expires_in": DEVICE_SECONDS,
            "interval": DEVICE_INTERVAL_SECONDS,
        });
        Ok(serve::json(StatusCode::OK, &body))
    }

    /// RFC 7662 §2.
    pub async fn introspect(
        &self,
        client: &Client,
        fields: &HeaderMap,
        form: &Form,
    ) -> Result<Response<Bytes>, Refusal> {
        let of = self.client_of(fields, form).await?;
        let text = needed(form, "token")?.expose();
        let body = match self.0.core.introspect(&of, text).await? {
            Some(info) => {
                let mut body = json!({
                    "active": true,
                    "scope": info.scopes.text(),
                    "client_id": info.client,
                    "username": info.profile.login,
                    "sub": info.profile.subject,
                    "exp": info.expires,
                    "iss": client.base_url,
                });
                if let Some(members) = body.as_object_mut().filter(|_| !info.is_refresh) {
                    members.insert("token_type".into(), json!("Bearer"));
                }
                body
            }
            None => json!({"active": false}),
        };
        Ok(serve::json(StatusCode::OK, &body))
    }

    /// RFC 7009 §2.
    pub async fn revoke(
        &self,
        fields: &HeaderMap,
        form: &Form,
    ) -> Result<Response<Bytes>, Refusal> {
        let of: OAuthClient = self.client_of(fields, form).await?;
        let text = needed(form, "token")?.expose();
        self.0.core.revoke_token(&of, text).await?;
        Ok(serve::json(StatusCode::OK, &json!({})))
    }

    /// OpenID Connect Core §5.3.
    pub async fn userinfo(&self, fields: &HeaderMap) -> Result<Response<Bytes>, Refusal> {
        let field = fields.get(header::AUTHORIZATION);
        let field = field.and_then(|field| field.to_str().ok());
        let credentials = field.and_then(Credentials::from_authorization);
        let Some(Credentials::Bearer { token, .. }) = credentials else {
            return Err(Refusal {
                challenge: Some("Bearer realm=\"oauth\"".to_owned()),
                ..Refusal::new(ErrorCode::InvalidToken, "a bearer token is needed")
            });
        };
        let info = self.0.core.token_info(token.expose()).await?;
        let info = info.filter(|info| !info.is_refresh);
        let told = match info {
            Some(info) => self.0.core.userinfo(&info).await.map_err(Refusal::from),
            None => {
                let why = "the token is wrong, or its time is over";
                Err(Refusal::new(ErrorCode::InvalidToken, why))
            }
        };
        match told {
            Ok(members) => Ok(serve::json(StatusCode::OK, &Value::Object(members))),
            Err(refusal) => {
                let name = refusal.code.name();
                let challenge = format!("Bearer realm=\"oauth\", error=\"{name}\"");
                Err(Refusal {
                    challenge: Some(challenge),
                    ..refusal
                })
            }
        }
    }
}

/// RFC 6749 §5.1.
fn token_json(response: &TokenResponse) -> Value {
    let mut body = json!({
        "access_token": response.access_token.expose(),
        "token_type": "Bearer",
        "expires_in": response.expires_in,
        "scope": response.scopes.text(),
    });
    if let Some(members) = body.as_object_mut() {
        if let Some(refresh) = &response.refresh_token {
            members.insert("refresh_token".into(), json!(refresh.expose()));
        }
        if let Some(id_token) = &response.id_token {
            members.insert("id_token".into(), json!(id_token));
        }
    }
    body
}
