//! Programs that may ask people for access: clients of OAuth 2.0.
//!
//! Holds: a client's secret is shown once, when it is made.
//! Other half: `jmap_core::auth::oauth`.

use http::Method;
use jmap_core::{
    access::Operation,
    auth::oauth::{self, ErrorCode, NewClient as NewCoreClient, OAuthError},
    directory::DirectoryError,
};
use serde_json::json;

use super::{CURSOR, LIMIT, handler};
use crate::{
    describe::{Described as _, object},
    page::{self, Page},
    problem::{Kind, Problem},
    request::Request,
    table::{Answer, Outcome, Route},
};

object! {
    answer
    /// A program that may ask people for access.
    Client {
        id: String,
        name: String,
        redirect_uris: Vec<String>,
        /// A page about it.
        uri: Option<String>,
        /// It has a secret, and so can ask about tokens of others too.
        is_confidential: bool,
        /// It has registered itself.
        is_dynamic: bool,
        created: String = {"format": "date-time"},
        /// When it got tokens, give or take a day.
        last_used: String = {"format": "date-time"},
    }
}

object! {
    request
    /// A new client.
    NewClient {
        name: String = {"minLength": 1, "maxLength": 100},
        /// Where people may be sent back to: https, this machine, or a scheme that is a domain's name backwards.
        redirect_uris: Vec<String> = {"maxItems": 10},
        uri: Option<String> = {"maxLength": 2048},
        /// It can keep a secret.
        is_confidential: Option<bool>,
    }
}

object! {
    answer
    /// A client that was just made.
    MadeClient {
        client: Client,
        /// Shown this once; null: it has none, or the same request was made before, and has been told.
        secret: Option<String>,
    }
}

const TAG: &str = "OAuth clients";

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/oauth-clients",
            (TAG, "listClients"),
            "Lists the programs that may ask people for access",
            Operation::SeeClients,
            handler!(list),
        )
        .query(&[CURSOR, LIMIT])
        .answers(|schemas| page::schema::<Client>(schemas, true)),
        Route::new(
            Method::POST,
            "/oauth-clients",
            (TAG, "addClient"),
            "Adds a program, and shows its secret once",
            Operation::ChangeClients,
            handler!(add),
        )
        .body(NewClient::schema)
        .creates(MadeClient::schema),
        Route::new(
            Method::DELETE,
            "/oauth-clients/{client}",
            (TAG, "removeClient"),
            "Removes a program: it gets no tokens any more",
            Operation::ChangeClients,
            handler!(remove),
        ),
    ]
}

fn client(of: &oauth::Client) -> Client {
    let record = &of.record;
    Client {
        id: of.id.clone(),
        name: record.name.clone(),
        redirect_uris: record.redirect_uris.clone(),
        uri: record.uri.clone(),
        is_confidential: record.secret_hash.is_some(),
        is_dynamic: record.is_dynamic,
        created: super::date_text(record.created),
        last_used: super::date_text(record.last_used),
    }
}

async fn list(request: &Request) -> Outcome {
    let clients = request.core.clients(&request.who).await?;
    let page = Page::of(request, clients, |of| {
        (of.record.name.clone(), of.id.clone())
    })?;
    let items = page.items.iter().map(|of| json!(client(of))).collect();
    Ok(Answer::ok(page::json_of(
        items,
        page.next,
        Some(page.total),
    )))
}

fn problem(error: OAuthError) -> Problem {
    match error {
        OAuthError::Directory(error) => error.into(),
        OAuthError::Refused(ErrorCode::TemporarilyUnavailable, why) => {
            Problem::new(Kind::LimitReached, format!("It can't be added: {why}."))
        }
        OAuthError::Refused(_, why) => {
            Problem::new(Kind::InvalidValue, format!("Look at it again: {why}."))
        }
    }
}

async fn add(request: &Request) -> Outcome {
    let new: NewClient = request.read()?;
    let new = NewCoreClient {
        name: new.name,
        redirect_uris: new.redirect_uris,
        uri: new.uri,
        is_confidential: new.is_confidential.unwrap_or_default(),
    };
    let (core, who) = (&request.core, &request.who);
    let (refused, issued) = (std::sync::OnceLock::new(), std::sync::OnceLock::new());
    let made = super::made(request, |terms| {
        let (refused, issued) = (&refused, &issued);
        async move {
            match core.add_client(who, new, &terms).await {
                Ok(made) => {
                    let id = made.client.id.clone();
                    let _ = issued.set(made);
                    Ok(id)
                }
                Err(OAuthError::Directory(error)) => Err(error),
                Err(error) => {
                    let _ = refused.set(error);
                    Err(DirectoryError::Changed)
                }
            }
        }
    })
    .await;
    if let Some(error) = refused.into_inner() {
        return Err(problem(error));
    }
    let made = made?;
    let answer = match issued.into_inner() {
        Some(new) => MadeClient {
            client: client(&new.client),
            secret: new.secret.map(|secret| secret.expose().clone()),
        },
        None => {
            let all = core.clients(who).await?;
            let found = all.iter().find(|of| of.id == made);
            MadeClient {
                client: found.map(client).ok_or_else(Problem::not_found)?,
                secret: None,
            }
        }
    };
    let place = format!("/oauth-clients/{made}");
    Ok(Answer::ok(json!(answer)).created(place))
}

async fn remove(request: &Request) -> Outcome {
    let id = request.text("client")?;
    request.core.remove_client(&request.who, id).await?;
    Ok(Answer::nothing())
}
