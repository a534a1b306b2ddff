//! Who is asking.

use http::Method;
use qrcodegen::{QrCode, QrCodeEcc};
use serde_json::json;

use super::handler;
use crate::{
    describe::{Described as _, object},
    problem::{Kind, Problem},
    request::Request,
    routes::{accounts::Role, credentials::Scope},
    table::{Answer, Outcome, Route},
};

object! {
    answer
    /// The account that the request is made as.
    Me {
        id: String,
        name: String,
        role: Role,
        /// The domains that a domain administrator looks after.
        administers: Vec<String>,
        /// Operations that the role allows, at least on some objects.
        operations: Vec<String>,
        /// What the credential of the request is good for; null: everything.
        scopes: Option<Vec<Scope>>,
    }
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/me",
            ("Me", "getMe"),
            "Tells who is asking, and what they may do",
            None,
            handler!(get),
        )
        .answers(Me::schema),
        Route::new(
            Method::GET,
            "/me/setup",
            ("Me", "getSetup"),
            "Tells how a mail program is set up for the account that asks",
            None,
            handler!(setup),
        )
        .may_fail(&[Kind::NotFound])
        .answers(SetUp::schema),
    ]
}

object! {
    answer
    /// How a mail program is set up.
    SetUp {
        /// The address that is set up, which is also the login.
        address: String,
        /// A configuration profile for Apple's programs, without a password. Others find what they need by themselves.
        profile_url: String,
        /// The same as a QR code, to be read by a phone: SVG.
        qr_code: String,
    }
}

/// Modules around a QR code that stay white (ISO/IEC 18004 §9.1).
const QUIET_ZONE: i32 = 4;

async fn setup(request: &Request) -> Outcome {
    let who = &request.who;
    let account = request.core.account(who, who.account).await?;
    let address = account.record.addresses.first().cloned();
    let address = address.ok_or_else(Problem::not_found)?;
    let profile_url = request.site.host.profile_url(&address);
    let profile_url = profile_url.ok_or_else(Problem::not_found)?;
    let qr_code = qr_code(&profile_url).ok_or_else(Problem::not_found)?;
    Ok(Answer::ok(json!(SetUp {
        address,
        profile_url,
        qr_code,
    })))
}

/// `None`: it is too long for one.
fn qr_code(text: &str) -> Option<String> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let size = code.size() + 2 * QUIET_ZONE;
    let mut path = String::new();
    for y in 0..code.size() {
        for x in (0..code.size()).filter(|x| code.get_module(*x, y)) {
            let (x, y) = (x + QUIET_ZONE, y + QUIET_ZONE);
            path.push_str(&format!("M{x} {y}h1v1h-1z"));
        }
    }
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {size} {size}\" shape-rendering=\"crispEdges\">\
         <path fill=\"#fff\" d=\"M0 0h{size}v{size}H0z\"/><path d=\"{path}\"/></svg>"
    ))
}

async fn get(request: &Request) -> Outcome {
    let who = &request.who;
    let me = Me {
        id: who.account.to_string(),
        name: who.name.clone(),
        role: who.role.into(),
        administers: who.domains.clone(),
        operations: jmap_core::access::operations(who)
            .map(|operation| operation.name().to_owned())
            .collect(),
        scopes: Scope::of(who.scopes()),
    };
    Ok(Answer::ok(json!(me)))
}
