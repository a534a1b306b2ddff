//! Who a client is: client_secret_basic, client_secret_post, or none (RFC 6749 §2.3.1, RFC 7591 §2).
//!
//! Other half: `Core::authenticate_client`.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, header};
use jmap_core::auth::{
    Secret,
    oauth::{Client, ClientProof, ErrorCode},
};

use crate::{Provider, error::Refusal, form::Form};

/// Octets of an Authorization field that are looked at.
const FIELD_OCTETS_MAX: usize = 4096;

impl Provider {
    /// The client of a request, once it has proven to be it.
    pub async fn client_of(&self, fields: &HeaderMap, form: &Form) -> Result<Client, Refusal> {
        let basic = basic(fields)?;
        let uses_basic = basic.is_some();
        let proof = match basic {
            Some(_) if form.secret("client_secret").is_some() => {
                let why = "the client may say in one way who it is";
                return Err(Refusal::invalid(why));
            }
            Some(proof) => proof,
            None => ClientProof {
                id: form.owned("client_id").unwrap_or_default(),
                secret: form.secret("client_secret").cloned(),
            },
        };
        if form.get("client_id").is_some_and(|id| id != proof.id) {
            return Err(Refusal::invalid("client_id is another client's"));
        }
        let client = self.0.core.authenticate_client(&proof).await;
        client.map_err(|error| {
            let mut refusal = Refusal::from(error);
            if uses_basic && refusal.code == ErrorCode::InvalidClient {
                refusal.challenge = Some("Basic realm=\"oauth\"".to_owned());
            }
            refusal
        })
    }
}

/// RFC 6749 §2.3.1: both are encoded as in a form, before they are joined.
fn basic(fields: &HeaderMap) -> Result<Option<ClientProof>, Refusal> {
    let Some(field) = fields.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let invalid = || Refusal::invalid("the Authorization field has to be of the Basic scheme");
    let field = field.to_str().map_err(|_| invalid())?;
    let (scheme, rest) = field.split_once(' ').ok_or_else(invalid)?;
    if !scheme.eq_ignore_ascii_case("basic") || rest.len() > FIELD_OCTETS_MAX {
        return Err(invalid());
    }
    let decoded = BASE64_STANDARD.decode(rest.trim()).map_err(|_| invalid())?;
    let decoded = Secret::new(String::from_utf8(decoded).map_err(|_| invalid())?);
    let (id, secret) = decoded.expose().split_once(':').ok_or_else(invalid)?;
    let read = |text: &str| {
        let form = Form::parse(&format!("x={}", text.replace('&', "%26")));
        form.and_then(|form| form.owned("x")).unwrap_or_default()
    };
    let secret = read(secret);
    Ok(Some(ClientProof {
        id: read(id),
        secret: (!secret.is_empty()).then(|| Secret::new(secret)),
    }))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(text: &str) -> Option<(String, Option<String>)> {
        let mut fields = HeaderMap::new();
        let field = format!("Basic {}", BASE64_STANDARD.encode(text));
        fields.insert(header::AUTHORIZATION, HeaderValue::try_from(field).unwrap());
        let proof = basic(&fields).ok()??;
        Some((proof.id, proof.secret.map(|secret| secret.expose().clone())))
    }

    #[test]
    fn basic_fields() {
        let want = |id: &str, secret: Option<&str>| Some((id.into(), secret.map(Into::into)));
        assert_eq!(read("a:b"), want("a", Some("b")));
        assert_eq!(read("a%3Ax:b+c%26d"), want("a:x", Some("b c&d")));
        assert_eq!(read("a:"), want("a", None));
        assert_eq!(read("a"), None);
        assert!(matches!(basic(&HeaderMap::new()), Ok(None)));
        let mut fields = HeaderMap::new();
        fields.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        assert!(basic(&fields).is_err());
    }
}
