//! Passkeys of the account that asks.
//!
//! Holds: it is always the caller's own; what a browser has made counts for the page that it was on.
//! Other half: `jmap_core::directory::passkeys`.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{Method, header};
use jmap_core::{
    auth::webauthn::{Attestation, RelyingParty, key::ALGORITHMS},
    directory::{CHALLENGE_KEEP, CredentialKind},
};
use serde_json::{Value, json};

use super::handler;
use crate::{
    describe::{Described as _, Schemas, object},
    factors, page,
    problem::{Kind, Problem},
    request::Request,
    table::{Answer, Outcome, Route},
};

object! {
    answer
    /// A passkey.
    Passkey {
        /// Of the credential that it is.
        number: u64,
        description: String,
        created: String = {"format": "date-time"},
    }
}

object! {
    request
    /// What a browser has made with the options (WebAuthn: AuthenticatorAttestationResponse), as base64url.
    NewPasskey {
        /// What it is called.
        description: Option<String> = {"maxLength": 500},
        client_data: String = {"maxLength": 12000},
        attestation_object: String = {"maxLength": 12000},
    }
}

const TAG: &str = "Me";

/// PublicKeyCredentialCreationOptionsJSON, as the standard has it.
fn options_schema(schemas: &mut Schemas) -> Value {
    schemas.refer("PasskeyOptions", |_| {
        json!({
            "type": "object",
            "description": "What a browser makes a passkey with: PublicKeyCredentialCreationOptionsJSON of WebAuthn.",
            "properties": {
                "challenge": {"type": "string"},
                "rp": {"type": "object"},
                "user": {"type": "object"},
                "pubKeyCredParams": {"type": "array", "items": {"type": "object"}},
                "excludeCredentials": {"type": "array", "items": {"type": "object"}},
                "authenticatorSelection": {"type": "object"},
                "attestation": {"type": "string"},
                "timeout": {"type": "integer", "minimum": 0},
            },
            "required": ["challenge", "rp", "user", "pubKeyCredParams"],
        })
    })
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/me/passkeys",
            (TAG, "listPasskeys"),
            "Lists the passkeys of whoever asks",
            None,
            handler!(list),
        )
        .answers(|schemas| page::schema::<Passkey>(schemas, false)),
        Route::new(
            Method::POST,
            "/me/passkey-options",
            (TAG, "beginPasskey"),
            "Gives what a browser makes a passkey with",
            None,
            handler!(options),
        )
        .answers(options_schema),
        Route::new(
            Method::POST,
            "/me/passkeys",
            (TAG, "addPasskey"),
            "Takes a passkey that a browser has made",
            None,
            handler!(add),
        )
        .body(NewPasskey::schema)
        .answers(Passkey::schema)
        .may_fail(&[Kind::AlreadyExists, Kind::LimitReached, Kind::InvalidValue]),
        Route::new(
            Method::DELETE,
            "/me/passkeys/{credential}",
            (TAG, "removePasskey"),
            "Takes a passkey away, for who shows once more who they are",
            None,
            handler!(remove),
        )
        .may_fail(&[Kind::ConfirmationNeeded, Kind::InvalidValue]),
    ]
}

/// The origin of the page, which a browser says with every request that may change something.
fn origin(request: &Request) -> Result<&str, Problem> {
    let field = request.headers.get(header::ORIGIN);
    let origin = field.and_then(|field| field.to_str().ok());
    let why = "A passkey is made on a page: the field Origin is missing.";
    origin.ok_or_else(|| Problem::new(Kind::InvalidRequest, why))
}

async fn list(request: &Request) -> Outcome {
    let who = &request.who;
    let credentials = request.core.credentials(who, who.account).await?;
    let passkeys = credentials
        .iter()
        .filter(|of| of.kind == CredentialKind::Passkey);
    let items = passkeys
        .map(|of| {
            json!(Passkey {
                number: of.number,
                description: of.description.clone(),
                created: super::date_text(of.created),
            })
        })
        .collect();
    Ok(Answer::ok(page::json_of(items, None, None)))
}

async fn options(request: &Request) -> Outcome {
    let party = RelyingParty {
        origin: origin(request)?,
    };
    let of = request.core.passkey_options(&request.who).await?;
    let text = |octets: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(octets);
    let kind = "public-key";
    let algorithms = ALGORITHMS.map(|alg| json!({"type": kind, "alg": alg}));
    let exclude: Vec<Value> = of
        .exclude
        .iter()
        .map(|id| json!({"type": kind, "id": text(id)}))
        .collect();
    Ok(Answer::ok(json!({
        "challenge": text(&of.challenge),
        "rp": {"id": party.id(), "name": request.core.hostname().to_string()},
        "user": {"id": text(&of.user_handle), "name": of.name, "displayName": of.display_name},
        "pubKeyCredParams": algorithms,
        "excludeCredentials": exclude,
        "authenticatorSelection": {
            "residentKey": "required",
            "requireResidentKey": true,
            "userVerification": "required",
        },
        "attestation": "none",
        "timeout": CHALLENGE_KEEP.as_millis() as u64,
    })))
}

async fn add(request: &Request) -> Outcome {
    let new: NewPasskey = request.read()?;
    let octets = |text: &str| {
        let why = "A part of the passkey is no base64url.";
        let decoded = BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('='));
        decoded.map_err(|_| Problem::new(Kind::InvalidRequest, why))
    };
    let attestation = Attestation {
        client_data: octets(&new.client_data)?,
        attestation_object: octets(&new.attestation_object)?,
    };
    let party = RelyingParty {
        origin: origin(request)?,
    };
    let description = new.description.unwrap_or_default();
    let number = request
        .core
        .add_passkey(&request.who, &description, &attestation, party)
        .await?;
    let answer = Passkey {
        number,
        description,
        created: super::date_text(request.site.clock.now().seconds()),
    };
    Ok(Answer::ok(json!(answer)))
}

async fn remove(request: &Request) -> Outcome {
    let number = request.number("credential")?;
    let confirmed = factors::must_confirm(request).await?;
    let core = &request.core;
    core.remove_passkey(&request.who, number, &confirmed)
        .await?;
    Ok(Answer::nothing())
}
