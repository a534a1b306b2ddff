//! A first mail to somebody elsewhere, from whoever sets the server up: made and sent over JMAP (RFC 8621).

use leptos::prelude::*;
use serde_json::{Value, json};

use crate::{
    json as read,
    messages::t,
    problem::Problem,
    ui::{
        components::{
            form::{Field, Kind, form, send},
            toast,
        },
        jmap,
    },
};

const USING: &[&str] = &[jmap::MAIL, jmap::SUBMISSION];

/// A form for the address that it goes to.
pub fn part() -> AnyView {
    let fields = vec![
        Field::new("/to", t().server.send_to, Kind::Address)
            .required()
            .hint(t().server.send_to_hint),
    ];
    let sent = send(|value| async move {
        submit(read::text(&value, "/to")).await?;
        toast::show(t().server.is_on_its_way);
        Ok(())
    });
    form(fields, t().server.send_test, sent)
}

async fn submit(to: &str) -> Result<(), Problem> {
    let calls = vec![
        ("Identity/get", json!({"ids": null})),
        ("Mailbox/get", json!({"ids": null, "properties": ["role"]})),
    ];
    let known = jmap::calls(USING, calls).await?;
    let nothing = || Problem::of(404, t().no_mailbox);
    let [identities, mailboxes] = known.as_slice() else {
        return Err(nothing());
    };
    let identity = read::items(identities, "/list")
        .first()
        .ok_or_else(nothing)?;
    let with_role = |role: &str| {
        let mut all = read::items(mailboxes, "/list").iter();
        all.find(|of| read::text(of, "/role") == role)
    };
    let mailbox = with_role("sent").or_else(|| with_role("inbox"));
    let mailbox = read::text(mailbox.ok_or_else(nothing)?, "/id");
    let email = json!({
        "mailboxIds": {mailbox: true},
        "keywords": {"$seen": true},
        "from": [{"email": read::text(identity, "/email"), "name": read::text(identity, "/name")}],
        "to": [{"email": to}],
        "subject": t().server.test_subject,
        "bodyValues": {"text": {"value": t().server.test_text}},
        "textBody": [{"partId": "text", "type": "text/plain"}],
    });
    let submission = json!({"identityId": read::text(identity, "/id"), "emailId": "#mail"});
    let calls = vec![
        ("Email/set", json!({"create": {"mail": email}})),
        (
            "EmailSubmission/set",
            json!({"create": {"submission": submission}}),
        ),
    ];
    let done: Vec<Value> = jmap::calls(USING, calls).await?;
    done.into_iter()
        .try_for_each(|response| jmap::refused(response).map(|_| ()))
}
