//! Who is asking.

use http::Method;
use serde_json::json;

use super::handler;
use crate::{
    describe::{Described as _, object},
    factors,
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

async fn setup(request: &Request) -> Outcome {
    let who = &request.who;
    let account = request.core.account(who, who.account).await?;
    let address = account.record.addresses.first().cloned();
    let address = address.ok_or_else(Problem::not_found)?;
    let profile_url = request.site.host.profile_url(&address);
    let profile_url = profile_url.ok_or_else(Problem::not_found)?;
    let qr_code = factors::picture(&profile_url).ok_or_else(Problem::not_found)?;
    Ok(Answer::ok(json!(SetUp {
        address,
        profile_url,
        qr_code,
    })))
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
