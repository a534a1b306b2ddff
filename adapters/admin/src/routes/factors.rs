//! The second factor of the account that asks: a device that makes codes, and recovery codes.
//!
//! Holds: it is always the caller's own; what is secret is shown once, when it is made.
//! Other half: `jmap_core::directory::factors`.

use http::Method;
use jmap_core::auth::Secret;
use serde_json::json;

use super::handler;
use crate::{
    describe::{Described as _, object},
    factors,
    problem::{Kind, Problem},
    request::Request,
    table::{Answer, Outcome, Route},
};

object! {
    answer
    /// How an account is protected beside its password.
    SecondFactor {
        /// Whether a code is asked for.
        is_on: bool,
        since: Option<String> = {"format": "date-time"},
        /// Recovery codes that are left.
        recovery_codes: u64,
    }
}

object! {
    answer
    /// What a device needs to make codes (RFC 6238). It is shown this once.
    Enrolment {
        /// In base 32, to be typed.
        secret: String,
        /// To be read by the device.
        uri: String,
        /// The same as a QR code: a picture in SVG.
        picture: String,
    }
}

object! {
    request
    /// A code that the device shows.
    Code {
        code: String = {"minLength": 6, "maxLength": 64, "writeOnly": true},
    }
}

object! {
    answer
    /// Codes for whoever has lost the device, each good once. They are shown this once.
    RecoveryCodes {
        codes: Vec<String>,
    }
}

const TAG: &str = "Me";

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/me/totp",
            (TAG, "getSecondFactor"),
            "Tells whether a code is asked for beside the password",
            None,
            handler!(get),
        )
        .answers(SecondFactor::schema),
        Route::new(
            Method::POST,
            "/me/totp",
            (TAG, "enrolDevice"),
            "Begins to enrol a device that makes codes",
            None,
            handler!(enrol),
        )
        .answers(Enrolment::schema)
        .may_fail(&[Kind::AlreadyExists, Kind::InvalidValue]),
        Route::new(
            Method::POST,
            "/me/totp/confirmation",
            (TAG, "confirmDevice"),
            "Takes a code of the device; from then on the password alone opens nothing",
            None,
            handler!(confirm),
        )
        .body(Code::schema)
        .answers(RecoveryCodes::schema)
        .may_fail(&[Kind::InvalidValue]),
        Route::new(
            Method::POST,
            "/me/totp/recovery-codes",
            (TAG, "renewRecoveryCodes"),
            "Makes new recovery codes in place of those that are left, for who shows once more who they are",
            None,
            handler!(renew),
        )
        .answers(RecoveryCodes::schema)
        .may_fail(&[Kind::ConfirmationNeeded, Kind::InvalidValue]),
        Route::new(
            Method::DELETE,
            "/me/totp",
            (TAG, "removeDevice"),
            "Takes the second factor away, for who shows once more who they are",
            None,
            handler!(remove),
        )
        .may_fail(&[
            Kind::NotFound,
            Kind::ConfirmationNeeded,
            Kind::InvalidValue,
        ]),
    ]
}

async fn get(request: &Request) -> Outcome {
    let state = request.core.totp(&request.who).await?;
    let answer = SecondFactor {
        is_on: state.credential.is_some(),
        since: state.since.map(super::date_text),
        recovery_codes: state.recovery_codes,
    };
    Ok(Answer::ok(json!(answer)))
}

async fn enrol(request: &Request) -> Outcome {
    let enrolment = request.core.enrol_totp(&request.who).await?;
    let uri = enrolment.uri.expose();
    let answer = Enrolment {
        secret: enrolment.secret.expose().clone(),
        picture: factors::picture(uri).ok_or_else(|| Problem::of(Kind::ServerFailed))?,
        uri: uri.clone(),
    };
    Ok(Answer::ok(json!(answer)))
}

async fn confirm(request: &Request) -> Outcome {
    let Code { code } = request.read()?;
    let codes = request
        .core
        .confirm_totp(&request.who, &Secret::new(code))
        .await?;
    Ok(recovery(codes))
}

async fn renew(request: &Request) -> Outcome {
    let confirmed = factors::must_confirm(request).await?;
    let codes = request.core.renew_recovery_codes(&request.who, &confirmed);
    Ok(recovery(codes.await?))
}

fn recovery(codes: Vec<Secret<String>>) -> Answer {
    let codes = codes.iter().map(|code| code.expose().clone()).collect();
    Answer::ok(json!(RecoveryCodes { codes }))
}

async fn remove(request: &Request) -> Outcome {
    let confirmed = factors::must_confirm(request).await?;
    request.core.remove_totp(&request.who, &confirmed).await?;
    Ok(Answer::nothing())
}
