//! Who is asking.

use http::Method;
use serde_json::json;

use super::handler;
use crate::{
    describe::{Described as _, object},
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
    ]
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
