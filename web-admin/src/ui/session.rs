//! Who has signed in, and with what.
//!
//! Holds: a password is kept nowhere; what is kept, until the tab is closed, is a token that ends by itself, and that signing out
//! ends at once. Whoever has a second factor needs one code in a browser that knows the account's id, and otherwise two: each code is
//! good for one request. This is the only module that knows how somebody signs in.
//! Other half: `adapters/admin` makes and ends the token.

use leptos::{prelude::*, task::spawn_local};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{api, components::toast, passkey, storage, time};
use crate::{format, json as read, messages::t, problem::Problem, query};

const KEY: &str = "posthorn.session";
/// The account that asks, in place of its id.
const OWN_ACCOUNT: &str = "me";
/// The field that a code of the second factor comes in.
const CODE_FIELD: &str = "one-time-code";
/// How long a token is good for.
const TOKEN_SECONDS: i64 = 12 * 3600;
/// What a help desk may do to its own account alone.
const OWN_ALONE: [&str; 3] = ["credential.see", "deleted.see", "deleted.restore"];

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Administrator,
    DomainAdministrator,
    HelpDesk,
    #[serde(other)]
    User,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Session {
    token: String,
    /// The token's credential.
    credential: u64,
    pub account: String,
    pub name: String,
    pub role: Role,
    /// What the role allows, at least for some objects: names of the API's operations.
    operations: Vec<String>,
}

impl Session {
    /// Whether the server would let somebody of this role do it to anything at all.
    pub fn may(&self, operation: &str) -> bool {
        self.operations.iter().any(|of| of == operation)
    }
}

impl Session {
    /// Whether the server would let them do it to this account, as far as that can be told: what everybody may do to their own
    /// account, a help desk may not do to others'.
    pub fn may_to(&self, operation: &str, account: &str) -> bool {
        let is_others = self.role == Role::HelpDesk && self.account != account;
        self.may(operation) && !(is_others && OWN_ALONE.contains(&operation))
    }
}

#[derive(Clone, Copy)]
struct Context(RwSignal<Option<Session>>);

thread_local! {
    static SESSION: std::cell::Cell<Option<RwSignal<Option<Session>>>> = const { std::cell::Cell::new(None) };
}

pub fn provide() {
    let kept = storage::session().and_then(|storage| storage.get_item(KEY).ok().flatten());
    let session = kept.and_then(|text| serde_json::from_str(&text).ok());
    let signal = RwSignal::new(session);
    SESSION.set(Some(signal));
    provide_context(Context(signal));
}

pub fn current() -> RwSignal<Option<Session>> {
    expect_context::<Context>().0
}

pub fn token() -> Option<String> {
    let signal = SESSION.get()?;
    signal.with_untracked(|session| session.as_ref().map(|session| session.token.clone()))
}

/// Whether a credential of an account is what this session lives by.
pub fn is_credential(account: &str, number: u64) -> bool {
    let is_it = |session: &Session| session.account == account && session.credential == number;
    SESSION
        .get()
        .is_some_and(|signal| signal.with_untracked(|session| session.as_ref().is_some_and(is_it)))
}

/// What is still needed to sign in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Needed {
    Nothing,
    /// A code of the second factor.
    Code,
}

/// Signs in: the password makes a token, in one request, as a code is good for one. `code`: of the second factor; empty: there is none
/// yet.
pub async fn sign_in(name: &str, password: &str, code: &str) -> Result<Needed, Problem> {
    let call = making_a_token(basic(name, password));
    let call = match code {
        "" => call,
        code => call.field(CODE_FIELD, code),
    };
    let made = match call.send().await {
        Ok(reply) => reply.body,
        Err(problem) if problem.wants_code() && code.is_empty() => return Ok(Needed::Code),
        Err(problem) => return Err(problem),
    };
    keep(Some(session_of(&made).await?));
    Ok(Needed::Nothing)
}

/// Signs in by a passkey, which is both factors. `name`: whose; empty: the browser lets the person choose.
pub async fn sign_in_by_passkey(name: &str) -> Result<(), Problem> {
    let address = query::with("/sign-in/passkey-options", &[("login", name)]);
    let options = api::get(&address).await?.body;
    let shown = passkey::show(&options).await;
    // Also whoever has thought better of it comes here: why is not told to pages.
    let shown = shown.map_err(|_| Problem::of(0, t().shell.passkey_not_used))?;
    let login = (!name.is_empty()).then_some(name);
    let shown = json!({"login": login, "credential": shown}).to_string();
    let authorization = format!("Passkey {}", base64(&shown, true));
    match making_a_token(authorization).send().await {
        Ok(made) => keep(Some(session_of(&made.body).await?)),
        Err(problem) if problem.status == 401 => {
            return Err(Problem::of(401, t().shell.passkey_unknown));
        }
        Err(problem) => return Err(problem),
    }
    Ok(())
}

fn making_a_token(authorization: String) -> api::Call<'static> {
    let wanted = json!({
        "kind": "token",
        "description": t().shell.token_name,
        "expires": format::utc_date(time::now() + TOKEN_SECONDS),
    });
    api::Call::new("POST", &credentials_of(OWN_ACCOUNT))
        .authorized(authorization)
        .json(&wanted)
}

/// The session of a token that was just made.
async fn session_of(made: &Value) -> Result<Session, Problem> {
    let token = read::text(made, "/secret");
    let me = api::Call::new("GET", "/me")
        .authorized(format!("Bearer {token}"))
        .send()
        .await?
        .body;
    Ok(Session {
        token: token.to_owned(),
        credential: read::number(made, "/credential/number").unwrap_or_default(),
        account: read::text(&me, "/id").to_owned(),
        name: read::text(&me, "/name").to_owned(),
        operations: read::texts(&me, "/operations"),
        role: serde_json::from_value(me.get("role").cloned().unwrap_or(Value::Null))
            .unwrap_or(Role::User),
    })
}

/// The call that makes the token good for nothing.
fn end(session: &Session) -> api::Call<'static> {
    let address = format!(
        "{}/{}",
        credentials_of(&session.account),
        session.credential
    );
    api::Call::new("DELETE", &address).authorized(format!("Bearer {}", session.token))
}

/// Signs out: the token is no longer good.
pub fn sign_out(session: &Session) {
    let call = end(session);
    keep(None);
    spawn_local(async move {
        // Whoever has no connection is told: the token lives on until its time is over.
        match call.send().await {
            Ok(_) => toast::show(t().shell.signed_out),
            Err(problem) => toast::show_problem(&problem),
        }
    });
}

/// The server doesn't take the token any more.
pub fn expired() {
    if token().is_some() {
        keep(None);
        toast::show(t().shell.session_expired);
    }
}

fn credentials_of(account: &str) -> String {
    format!("/accounts/{}/credentials", crate::query::encode(account))
}

fn keep(session: Option<Session>) {
    if let Some(storage) = storage::session() {
        let _ = match &session {
            Some(session) => {
                storage.set_item(KEY, &serde_json::to_string(session).unwrap_or_default())
            }
            None => storage.remove_item(KEY),
        };
    }
    if let Some(signal) = SESSION.get() {
        signal.set(session);
    }
}

/// RFC 7617, in UTF-8.
pub fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", base64(&format!("{name}:{password}"), false))
}

/// RFC 4648, §4 or (`is_for_urls`) §5, of the text in UTF-8.
fn base64(text: &str, is_for_urls: bool) -> String {
    let binary: String = text.bytes().map(char::from).collect();
    let encoded = window().btoa(&binary).unwrap_or_default();
    match is_for_urls {
        true => encoded.replace('+', "-").replace('/', "_"),
        false => encoded,
    }
}
