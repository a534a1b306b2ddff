//! Scripts as clients see them, and what they do with mail that arrives.

mod corpus;
mod delivery;
mod failing;
mod methods;
mod origin;

use bytes::Bytes;
use jmap_types::{
    Id,
    mail::{Email, Mailbox},
    method::{Get, Set},
    sieve::SieveScript,
};
use serde_json::{Value as Json, json};

use crate::{
    Caller,
    inproc::deliver::{DeliverError, Inbound},
    mail::submission::tests::{ANN, BOB, Server},
};

/// Uploads a text; its blob id.
async fn upload(server: &Server, who: &Caller, text: &str) -> String {
    let octets = Bytes::from(text.to_owned());
    let blob = server
        .core
        .write_blob(who, who.account, octets, "application/sieve")
        .await
        .unwrap();
    blob.to_string()
}

/// Makes a script of bob's that is active; its id.
async fn activate(server: &Server, name: &str, text: &str) -> String {
    let id = store_script(server, name, text).await;
    let answer = server
        .call::<Set<SieveScript>>(&server.bob, json!({"onSuccessActivateScript": id}))
        .await;
    assert_eq!(answer["updated"][&id]["isActive"], true, "{answer}");
    id
}

async fn store_script(server: &Server, name: &str, text: &str) -> String {
    let blob = upload(server, &server.bob, text).await;
    let create = json!({"create": {"k": {"name": name, "blobId": blob}}});
    let answer = server.call::<Set<SieveScript>>(&server.bob, create).await;
    answer["created"]["k"]["id"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}\n{text}"))
        .to_owned()
}

/// A message from ann that comes in for bob.
async fn arrives(server: &Server, message: &str) -> Result<(), DeliverError> {
    arrives_for(server, Some(ANN), BOB, message).await
}

async fn arrives_for(
    server: &Server,
    mail_from: Option<&str>,
    to: &str,
    message: &str,
) -> Result<(), DeliverError> {
    let recipient = server.core.resolve_recipient(to).await.unwrap();
    let inbound = Inbound {
        mail_from: mail_from.map(str::to_owned),
        recipients: vec![recipient],
        message: Bytes::from(message.replace('\n', "\r\n")),
        peer: Some([192, 0, 2, 7].into()),
        answers_each: false,
        arrival: Default::default(),
        is_junk: false,
    };
    let result = server.core.deliver(inbound).await.pop().unwrap();
    server.core.send_due().await.unwrap();
    result
}

/// All emails of an account, as `subject: mailboxes [keywords]`.
async fn filed(server: &Server, who: &Caller) -> Vec<String> {
    let got = server.call::<Get<Mailbox>>(who, json!({"ids": null})).await;
    let mailboxes = got["list"].as_array().unwrap().clone();
    let name = |id: &str| {
        let mailbox = mailboxes.iter().find(|mailbox| mailbox["id"] == id);
        mailbox.unwrap()["name"].as_str().unwrap().to_owned()
    };
    let ids: Vec<String> = {
        let handle = server.core.accounts.handle(who.account);
        let view = handle.view().await.unwrap();
        let ids = view.all_emails().map(|(id, _)| Id::<Email>::new(id));
        ids.map(|id| id.to_string()).collect()
    };
    let properties = ["subject", "mailboxIds", "keywords"];
    let got = server
        .call::<Get<Email>>(who, json!({"ids": ids, "properties": properties}))
        .await;
    let mut lines = Vec::new();
    for email in got["list"].as_array().unwrap() {
        let keys = |property: &str| -> Vec<String> {
            email[property]
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect()
        };
        let mut places: Vec<String> = keys("mailboxIds").iter().map(|id| name(id)).collect();
        places.sort();
        let mut line = format!(
            "{}: {}",
            email["subject"].as_str().unwrap_or_default(),
            places.join(",")
        );
        let mut keywords = keys("keywords");
        keywords.sort();
        if !keywords.is_empty() {
            line.push_str(&format!(" [{}]", keywords.join(" ")));
        }
        lines.push(line);
    }
    lines.sort();
    lines
}

async fn scripts(server: &Server) -> Json {
    let got = server
        .call::<Get<SieveScript>>(&server.bob, json!({"ids": null}))
        .await;
    got["list"].clone()
}

/// Nothing is wrong in the store.
async fn check(server: &Server) {
    let report = server
        .core
        .check(Default::default(), &|_| ())
        .await
        .unwrap();
    let problems: Vec<String> = report.problems.into_iter().map(|p| p.sentence).collect();
    assert_eq!(problems, Vec::<String>::new());
}
