//! Who is logged in, and ending it.

use http::Method;
use jmap_core::{
    access::Operation,
    directory::{AccountKind, names},
    sessions::{self, SessionInfo},
};
use jmap_types::AccountId;
use serde_json::json;

use super::{CURSOR, LIMIT, OF_DOMAIN, credentials::KindOfCredential, handler, traces::account};
use crate::{
    describe::{choice, object},
    page::{self, Page},
    problem::{Kind, Problem},
    request::Request,
    table::{Answer, Outcome, Parameter, Route},
};

choice! {
    /// What kind of session it is. `http`: a program that logs in with each request, which has no connection to end.
    KindOfSession {
        Imap = "imap",
        Pop3 = "pop3",
        Submission = "submission",
        ManageSieve = "managesieve",
        EventSource = "event-source",
        WebSocket = "websocket",
        Http = "http",
    }
}

object! {
    answer
    /// A session that is open at the server that answers.
    Session {
        id: String,
        /// The id of the account.
        account: String,
        /// The name that the account logs in by.
        name: String,
        kind: KindOfSession,
        /// The number of the credential, within the account.
        credential: u64,
        /// Null: it isn't known.
        credential_kind: Option<KindOfCredential>,
        credential_description: String,
        /// Null: from the server's machine.
        address: Option<String>,
        since: String = {"format": "date-time"},
        /// When the client has last said something.
        active: String = {"format": "date-time"},
    }
}

const TAG: &str = "Sessions";
const OF_ACCOUNT: Parameter = Parameter {
    name: "account",
    about: "Only those of the account with this id.",
    schema: super::text,
};
const OF_KIND: Parameter = Parameter {
    name: "kind",
    about: "Only those of this kind.",
    schema: || json!({"type": "string", "enum": KindOfSession::WORDS}),
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/sessions",
            (TAG, "listSessions"),
            "Lists who is logged in at this server, the longest first",
            Operation::SeeSessions,
            handler!(list),
        )
        .query(&[CURSOR, LIMIT, OF_ACCOUNT, OF_DOMAIN, OF_KIND])
        .may_fail(&[Kind::InvalidValue])
        .answers(|schemas| page::schema::<Session>(schemas, true)),
        Route::new(
            Method::DELETE,
            "/sessions/{session}",
            (TAG, "endSession"),
            "Ends a session; the credential stays good",
            Operation::EndSession,
            handler!(end),
        )
        .may_fail(&[Kind::InUse]),
        Route::new(
            Method::DELETE,
            "/accounts/{account}/sessions",
            (TAG, "endSessions"),
            "Ends all connections of an account at this server; people may end their own",
            Operation::EndSession,
            handler!(end_all),
        ),
        Route::new(
            Method::GET,
            "/me/sessions",
            (TAG, "listOwnSessions"),
            "Lists where the account that asks is logged in",
            None,
            handler!(list_own),
        )
        .query(&[CURSOR, LIMIT])
        .answers(|schemas| page::schema::<Session>(schemas, true)),
        Route::new(
            Method::DELETE,
            "/me/sessions/{session}",
            (TAG, "endOwnSession"),
            "Ends a session of the account that asks",
            None,
            handler!(end_own),
        )
        .may_fail(&[Kind::InUse]),
    ]
}

fn shown(of: &SessionInfo) -> Session {
    let date = |ms: i64| super::date_text(ms.div_euclid(1000));
    Session {
        id: format!("{:x}", of.number),
        account: of.account.to_string(),
        name: of.name.clone(),
        kind: match of.kind {
            sessions::SessionKind::Imap => KindOfSession::Imap,
            sessions::SessionKind::Pop3 => KindOfSession::Pop3,
            sessions::SessionKind::Submission => KindOfSession::Submission,
            sessions::SessionKind::ManageSieve => KindOfSession::ManageSieve,
            sessions::SessionKind::EventSource => KindOfSession::EventSource,
            sessions::SessionKind::WebSocket => KindOfSession::WebSocket,
            sessions::SessionKind::Http => KindOfSession::Http,
        },
        credential: of.credential,
        credential_kind: of.credential_kind.map(KindOfCredential::from),
        credential_description: of.credential_description.clone(),
        address: of.address.map(|address| address.to_string()),
        since: date(of.since),
        active: date(of.active),
    }
}

async fn page_of(request: &Request, sessions: Vec<SessionInfo>) -> Outcome {
    let page = Page::of(request, sessions, |of| {
        (
            format!("{:020}", of.since.max(0)),
            format!("{:016x}", of.number),
        )
    })?;
    let items = page.items.iter().map(|of| json!(shown(of))).collect();
    Ok(Answer::ok(page::json_of(
        items,
        page.next,
        Some(page.total),
    )))
}

async fn list(request: &Request) -> Outcome {
    let (core, who) = (&request.core, &request.who);
    let of_account = account(request, "account")?;
    let of_kind = request.asked_as::<KindOfSession>("kind")?;
    let domain = match request.asked("domain") {
        Some(name) => Some(names::domain(name)?),
        None => None,
    };
    let mut sessions = core.open_sessions(who, None).await?;
    let is_in = |name: &str, domain: &str| {
        let of = name.rsplit_once('@');
        of.is_some_and(|(_, of)| of == domain)
    };
    sessions.retain(|of| {
        of_account.is_none_or(|account| account == of.account)
            && domain
                .as_deref()
                .is_none_or(|domain| is_in(&of.name, domain))
            && of_kind
                .as_ref()
                .is_none_or(|kind| json!(kind) == json!(of.kind.name()))
    });
    page_of(request, sessions).await
}

fn number(request: &Request) -> Result<u64, Problem> {
    let text = request.text("session")?;
    let is_plain = text.bytes().all(|octet| octet.is_ascii_hexdigit());
    let number = is_plain.then(|| u64::from_str_radix(text, 16).ok());
    number.flatten().ok_or_else(Problem::not_found)
}

async fn end(request: &Request) -> Outcome {
    end_of(request, None).await
}

async fn end_of(request: &Request, account: Option<AccountId>) -> Outcome {
    // Who may end none is told so, whatever the number.
    let (core, who) = (&request.core, &request.who);
    jmap_core::access::may_begin(who, Operation::EndSession, account)?;
    core.end_session(who, number(request)?, account).await?;
    Ok(Answer::nothing())
}

async fn end_all(request: &Request) -> Outcome {
    let account = super::account_of_kind(request, &[AccountKind::Person]).await?;
    let (core, who) = (&request.core, &request.who);
    core.end_sessions_of(who, account.id).await?;
    Ok(Answer::nothing())
}

async fn list_own(request: &Request) -> Outcome {
    let who = &request.who;
    let sessions = request.core.open_sessions(who, Some(who.account)).await?;
    page_of(request, sessions).await
}

async fn end_own(request: &Request) -> Outcome {
    end_of(request, Some(request.who.account)).await
}
