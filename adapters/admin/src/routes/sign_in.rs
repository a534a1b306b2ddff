//! What a browser is asked when somebody signs in by a passkey.
//!
//! Holds: nobody has logged in yet, so what is answered says nothing of any account.
//! Other half: `crate::sign_in` takes the browser's answer; `jmap_core::auth::webauthn` has the rest.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jmap_core::directory::CHALLENGE_KEEP;
use serde_json::{Value, json};

use super::open_handler;
use crate::{
    describe::Schemas,
    request::Visit,
    table::{Answer, Outcome, Parameter, Route},
};

const LOGIN: Parameter = Parameter {
    name: "login",
    about: "Whose passkey is wanted; without it, the browser lets people choose among those that it has.",
    schema: || json!({"type": "string", "maxLength": 320}),
};

/// PublicKeyCredentialRequestOptionsJSON, as the standard has it.
fn schema(schemas: &mut Schemas) -> Value {
    schemas.refer("PasskeyRequest", |_| {
        json!({
            "type": "object",
            "description": "What a browser is asked for a passkey with: PublicKeyCredentialRequestOptionsJSON of WebAuthn. What it answers is a login, once: `Authorization: Passkey` and, in base64url, the JSON object `{\"login\": NAME, \"credential\": AuthenticationResponseJSON}`, where the name is null if none was asked for.",
            "properties": {
                "challenge": {"type": "string"},
                "allowCredentials": {"type": "array", "items": {"type": "object"}},
                "userVerification": {"type": "string"},
                "timeout": {"type": "integer", "minimum": 0},
            },
            "required": ["challenge", "allowCredentials", "userVerification"],
        })
    })
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::open(
            "/sign-in/passkey-options",
            ("Me", "beginSignIn"),
            "Gives what a browser is asked for a passkey with; nobody has to be logged in",
            open_handler!(options),
        )
        .query(&[LOGIN])
        .answers(schema),
    ]
}

async fn options(visit: &Visit) -> Outcome {
    let login = visit.asked("login").filter(|login| !login.is_empty());
    let of = visit.core.passkey_request(login, &visit.origin).await?;
    let text = |octets: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(octets);
    let allowed: Vec<Value> = of
        .allowed
        .iter()
        .map(|id| json!({"type": "public-key", "id": text(id)}))
        .collect();
    // Without `rpId`: it is the page's own host (WebAuthn §5.1.4.1).
    Ok(Answer::ok(json!({
        "challenge": text(&of.challenge),
        "allowCredentials": allowed,
        "userVerification": "required",
        "timeout": CHALLENGE_KEEP.as_millis() as u64,
    })))
}
