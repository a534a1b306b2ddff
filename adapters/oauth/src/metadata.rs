//! What there is here, for clients that look (RFC 8414, OpenID Connect Discovery, RFC 9728).
//!
//! Holds: what is told here is served here.
//! Other half: `serve` has the addresses.

use jmap_core::auth::oauth::OAuthScopes;
use serde_json::{Value, json};

use crate::{Client, Config};

pub const SERVER_PATH: &str = "/.well-known/oauth-authorization-server";
pub const OPENID_PATH: &str = "/.well-known/openid-configuration";
/// Where the metadata of the resource is that tokens are for (RFC 9728 §3).
pub const RESOURCE_PATH: &str = "/.well-known/oauth-protected-resource";

pub const AUTHORIZE_PATH: &str = "/oauth/authorize";
pub const TOKEN_PATH: &str = "/oauth/token";
pub const DEVICE_PATH: &str = "/oauth/device";
pub const DEVICE_AUTHORIZATION_PATH: &str = "/oauth/device_authorization";
pub const REGISTER_PATH: &str = "/oauth/register";
pub const INTROSPECT_PATH: &str = "/oauth/introspect";
pub const REVOKE_PATH: &str = "/oauth/revoke";
pub const JWKS_PATH: &str = "/oauth/jwks";
pub const USERINFO_PATH: &str = "/oauth/userinfo";
pub const STYLE_PATH: &str = "/oauth/style.css";
pub const SCRIPT_PATH: &str = "/oauth/passkey.js";

pub const CODE_GRANT: &str = "authorization_code";
pub const REFRESH_GRANT: &str = "refresh_token";
/// RFC 8628 §3.4.
pub const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

const METHODS: [&str; 3] = ["none", "client_secret_basic", "client_secret_post"];

/// RFC 8414 §2, and OpenID Connect Discovery §3: one document serves both.
pub fn server(client: &Client, config: &Config) -> Value {
    let base = &client.base_url;
    let at = |path: &str| json!(format!("{base}{path}"));
    let mut document = json!({
        "issuer": base,
        "authorization_endpoint": at(AUTHORIZE_PATH),
        "token_endpoint": at(TOKEN_PATH),
        "device_authorization_endpoint": at(DEVICE_AUTHORIZATION_PATH),
        "introspection_endpoint": at(INTROSPECT_PATH),
        "revocation_endpoint": at(REVOKE_PATH),
        "userinfo_endpoint": at(USERINFO_PATH),
        "jwks_uri": at(JWKS_PATH),
        "scopes_supported": OAuthScopes::supported().collect::<Vec<_>>(),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [CODE_GRANT, REFRESH_GRANT, DEVICE_GRANT],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": METHODS,
        "introspection_endpoint_auth_methods_supported": METHODS,
        "revocation_endpoint_auth_methods_supported": METHODS,
        "authorization_response_iss_parameter_supported": true,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "at_hash",
            "email", "email_verified", "name", "preferred_username",
        ],
        "claims_parameter_supported": false,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
    });
    if config.registration
        && let Some(members) = document.as_object_mut()
    {
        members.insert("registration_endpoint".into(), at(REGISTER_PATH));
    }
    document
}

/// RFC 9728 §2. `below`: what follows on the well-known path.
pub fn resource(client: &Client, below: &str) -> Value {
    json!({
        "resource": format!("{}{below}", client.base_url),
        "authorization_servers": [client.base_url],
        "scopes_supported": OAuthScopes::supported().collect::<Vec<_>>(),
        "bearer_methods_supported": ["header"],
    })
}
