//! A login by passkey: the Authorization field that a page makes of what its browser answers.
//!
//! Holds: a passkey counts for a page of this server, or of the one origin that the operator allows, and for no other.
//! Other half: `routes::sign_in` says what the browser is to be asked; `jmap_core::auth::webauthn` verifies the answer.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jmap_core::auth::{Credentials, webauthn::Assertion};
use serde::Deserialize;

use crate::Client;

/// The scheme of the field; behind it is JSON in base64url: `login`, if a name was given, and `credential`,
/// AuthenticationResponseJSON of WebAuthn.
pub const SCHEME: &str = "Passkey";
/// Octets of the field.
pub const FIELD_OCTETS_MAX: usize = 12 << 10;

#[derive(Deserialize)]
struct Shown {
    login: Option<String>,
    credential: Response,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    raw_id: String,
    response: Parts,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parts {
    #[serde(rename = "clientDataJSON")]
    client_data: String,
    authenticator_data: String,
    signature: String,
    user_handle: Option<String>,
}

/// The credentials of such a field. `page`: the origin of the page, as the browser says.
pub fn from_authorization(field: &str, page: &str) -> Option<Credentials> {
    let (scheme, rest) = field.split_once(' ')?;
    if field.len() > FIELD_OCTETS_MAX || !scheme.eq_ignore_ascii_case(SCHEME) {
        return None;
    }
    let octets = |text: &str| {
        BASE64_URL_SAFE_NO_PAD
            .decode(text.trim_end_matches('='))
            .ok()
    };
    let shown: Shown = serde_json::from_slice(&octets(rest.trim_matches(' '))?).ok()?;
    let Response { raw_id, response } = shown.credential;
    let assertion = Assertion {
        credential_id: octets(&raw_id)?,
        client_data: octets(&response.client_data)?,
        authenticator_data: octets(&response.authenticator_data)?,
        signature: octets(&response.signature)?,
        user_handle: octets(response.user_handle.as_deref().unwrap_or_default())?,
    };
    Some(Credentials::Passkey {
        login: shown.login.filter(|login| !login.is_empty()),
        assertion: Box::new(assertion),
        page: page.to_owned(),
    })
}

/// Whether a page of this origin may sign people in.
pub fn is_page_of_ours(page: &str, client: &Client, allowed: Option<&str>) -> bool {
    let host = page.split_once("://").map(|(_, host)| host);
    host == Some(client.host.as_str()) || allowed == Some(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(json: &str) -> String {
        format!("{SCHEME} {}", BASE64_URL_SAFE_NO_PAD.encode(json))
    }

    const RESPONSE: &str = r#"{"id": "AQ", "rawId": "AQ", "type": "public-key", "clientExtensionResults": {},
        "response": {"clientDataJSON": "Ag", "authenticatorData": "Aw", "signature": "BA", "userHandle": "BQ"}}"#;

    #[test]
    fn a_browsers_answer_is_read() {
        for (login, want) in [
            ("null", None),
            ("\"\"", None),
            ("\"ann@example.org\"", Some("ann@example.org")),
        ] {
            let field = field(&format!(
                r#"{{"login": {login}, "credential": {RESPONSE}}}"#
            ));
            let Some(Credentials::Passkey {
                login,
                assertion,
                page,
            }) = from_authorization(&field, "https://mail.example.org")
            else {
                panic!("{field} is not read");
            };
            assert_eq!(login.as_deref(), want);
            assert_eq!(page, "https://mail.example.org");
            assert_eq!(assertion.credential_id, [1]);
            assert_eq!(assertion.client_data, [2]);
            assert_eq!(assertion.authenticator_data, [3]);
            assert_eq!(assertion.signature, [4]);
            assert_eq!(assertion.user_handle, [5]);
        }
    }

    #[test]
    fn what_is_no_answer() {
        let long = format!(
            r#"{{"login": "{}", "credential": {RESPONSE}}}"#,
            "x".repeat(FIELD_OCTETS_MAX)
        );
        for text in [
            "Passkey".to_owned(),
            "Passkey !".to_owned(),
            "Basic YTpi".to_owned(),
            field("{}"),
            field("[]"),
            field(r#"{"credential": {"rawId": "AQ"}}"#),
            field(&long),
        ] {
            assert!(from_authorization(&text, "").is_none(), "{text}");
        }
    }

    #[test]
    fn pages() {
        let client = Client {
            ip: [192, 0, 2, 1].into(),
            tls: true,
            host: "mail.example.org".into(),
        };
        let allowed = Some("https://console.example.org");
        for (page, want) in [
            ("https://mail.example.org", true),
            ("https://mail.example.org:8443", false),
            ("https://evil.example", false),
            ("https://console.example.org", true),
            ("http://console.example.org", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(is_page_of_ours(page, &client, allowed), want, "{page}");
        }
    }
}
