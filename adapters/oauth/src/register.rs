//! Clients that register themselves (RFC 7591).
//!
//! Holds: it is off until it is configured; what a client asks for and doesn't get, it is told in the answer (RFC 7591 §3.2.1).
//! Other half: `Core::register_client`, which has the limits.

use bytes::Bytes;
use http::{Response, StatusCode};
use jmap_core::auth::oauth::{ErrorCode, NewClient, OAuthScopes};
use serde_json::{Value, json};

use crate::{
    Client, Provider,
    error::Refusal,
    metadata::{CODE_GRANT, DEVICE_GRANT, REFRESH_GRANT},
    serve,
};

const GRANTS: [&str; 3] = [CODE_GRANT, REFRESH_GRANT, DEVICE_GRANT];

/// What the server takes of the metadata of a client (RFC 7591 §2).
struct Asked {
    new: NewClient,
    method: String,
    grants: Vec<String>,
    scope: String,
}

impl Provider {
    pub async fn register(&self, client: &Client, body: &[u8]) -> Result<Response<Bytes>, Refusal> {
        if !self.0.config.registration {
            let why = "clients can't register themselves here: an administrator adds them";
            return Err(Refusal::new(ErrorCode::InvalidRequest, why));
        }
        let asked = asked(body)?;
        let made = self.0.core.register_client(asked.new, client.ip).await?;
        let record = &made.client.record;
        let mut answer = json!({
            "client_id": made.client.id,
            "client_id_issued_at": record.created,
            "client_name": record.name,
            "redirect_uris": record.redirect_uris,
            "grant_types": asked.grants,
            "response_types": ["code"],
            "token_endpoint_auth_method": asked.method,
            "scope": asked.scope,
        });
        if let Some(members) = answer.as_object_mut() {
            if let Some(uri) = &record.uri {
                members.insert("client_uri".into(), json!(uri));
            }
            if let Some(secret) = &made.secret {
                members.insert("client_secret".into(), json!(secret.expose()));
                // It doesn't end.
                members.insert("client_secret_expires_at".into(), json!(0));
            }
        }
        Ok(serve::json(StatusCode::CREATED, &answer))
    }
}

fn asked(body: &[u8]) -> Result<Asked, Refusal> {
    let invalid = |why: &str| Refusal::new(ErrorCode::InvalidClientMetadata, why);
    // serde_json goes 128 levels deep at the most.
    let metadata: Value =
        serde_json::from_slice(body).map_err(|_| invalid("the body has to be JSON"))?;
    if !metadata.is_object() {
        return Err(invalid("the body has to be a JSON object"));
    }
    let text = |name: &str| metadata.get(name).and_then(Value::as_str);
    let texts = |name: &str| -> Result<Option<Vec<String>>, Refusal> {
        let Some(value) = metadata.get(name) else {
            return Ok(None);
        };
        let items = value.as_array().map(Vec::as_slice);
        let items: Option<Vec<String>> = items.and_then(|items| {
            let items = items.iter().map(|item| item.as_str().map(str::to_owned));
            items.collect()
        });
        match items {
            Some(items) => Ok(Some(items)),
            None => Err(invalid(
                "a member that is a list of texts is something else",
            )),
        }
    };
    let grants = texts("grant_types")?.unwrap_or_else(|| vec![CODE_GRANT.to_owned()]);
    if grants.iter().any(|grant| !GRANTS.contains(&grant.as_str())) {
        return Err(invalid("a grant type is not known here"));
    }
    let responses = texts("response_types")?.unwrap_or_default();
    if responses.iter().any(|response| response != "code") {
        return Err(invalid("the one response type is code"));
    }
    let redirect_uris = texts("redirect_uris")?.unwrap_or_default();
    if redirect_uris.is_empty() && grants.iter().any(|grant| grant == CODE_GRANT) {
        let why = "a client that gets codes has a redirection URI";
        return Err(Refusal::new(ErrorCode::InvalidRedirectUri, why));
    }
    let method = text("token_endpoint_auth_method").unwrap_or("client_secret_basic");
    if !["none", "client_secret_basic", "client_secret_post"].contains(&method) {
        return Err(invalid(
            "the way for the client to say who it is isn't known here",
        ));
    }
    let scopes = OAuthScopes::parse(text("scope").unwrap_or_default());
    Ok(Asked {
        new: NewClient {
            name: text("client_name")
                .unwrap_or("A program without a name")
                .to_owned(),
            redirect_uris,
            uri: text("client_uri").map(str::to_owned),
            is_confidential: method != "none",
        },
        method: method.to_owned(),
        grants,
        scope: scopes.text(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Asked, &'static str> {
        asked(body.as_bytes()).map_err(|refusal| refusal.code.name())
    }

    #[test]
    fn metadata() {
        let asked = read(r#"{"redirect_uris": ["https://a.example/"], "unknown": 1}"#).unwrap();
        assert!(asked.new.is_confidential);
        assert_eq!(asked.grants, [CODE_GRANT]);
        let asked = read(
            r#"{"redirect_uris": [], "grant_types": ["urn:ietf:params:oauth:grant-type:device_code"], "token_endpoint_auth_method": "none"}"#,
        );
        assert!(!asked.unwrap().new.is_confidential);
        for (body, want) in [
            ("", "invalid_client_metadata"),
            ("[]", "invalid_client_metadata"),
            ("{}", "invalid_redirect_uri"),
            (r#"{"redirect_uris": "x"}"#, "invalid_client_metadata"),
            (r#"{"redirect_uris": [1]}"#, "invalid_client_metadata"),
            (
                r#"{"redirect_uris": ["x"], "grant_types": ["password"]}"#,
                "invalid_client_metadata",
            ),
            (
                r#"{"redirect_uris": ["x"], "response_types": ["token"]}"#,
                "invalid_client_metadata",
            ),
            (
                r#"{"redirect_uris": ["x"], "token_endpoint_auth_method": "private_key_jwt"}"#,
                "invalid_client_metadata",
            ),
        ] {
            assert_eq!(read(body).err(), Some(want), "{body}");
        }
    }
}
