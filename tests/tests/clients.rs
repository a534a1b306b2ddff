//! Clients that others wrote: they log in, read, change, send and follow without being told what server it is.
//!
//! Holds: what a client believes about JMAP or SMTP and we don't is our problem here.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use e2e::{
    Home, PASSWORD, Server,
    corpus::message,
    jmap::{string, strings},
};
use futures_util::StreamExt;
use jmap_client::{
    DataType, Get, URI,
    client::Client,
    client_ws::WebSocketMessage,
    core::{query::Filter, request::Request, set::SetObject},
    email::{self, Email, Property},
    event_source::PushNotification,
    mailbox::{self, Role},
};
use serde_json::json;

const ALICE: &str = "alice@example.org";
/// How long a push may take.
const PUSH_WAIT: Duration = Duration::from_secs(20);

async fn client(server: &Server) -> Client {
    let url = format!("http://127.0.0.1:{}", server.home.http);
    let client = Client::new()
        .credentials((ALICE, PASSWORD))
        .follow_redirects(["127.0.0.1"])
        .connect(&url)
        .await;
    client.expect("jmap-client can't log in")
}

/// A request with the capabilities that it needs. Those that this client names by itself include some that few servers
/// have (contacts, Sieve), which RFC 8620 §3.6.1 doesn't let a server pass over.
fn request(client: &Client) -> Request<'_> {
    let mut request = client.build();
    request.using = vec![URI::Core, URI::Mail];
    request
}

async fn mailbox_with(client: &Client, role: Role) -> String {
    let mut query = request(client);
    query
        .query_mailbox()
        .filter(mailbox::query::Filter::role(role));
    let mut found = query.send_query_mailbox().await.expect("Mailbox/query");
    found.take_ids().pop().expect("no mailbox with the role")
}

async fn get(
    client: &Client,
    id: &str,
    properties: impl IntoIterator<Item = Property>,
) -> Option<Email<Get>> {
    let mut get = request(client);
    get.get_email().ids([id]).properties(properties);
    get.send_get_email()
        .await
        .expect("Email/get")
        .take_list()
        .pop()
}

#[tokio::test(flavor = "multi_thread")]
async fn jmap_client_reads_and_changes_mail() {
    let server = Server::start();
    let client = client(&server).await;
    let inbox = mailbox_with(&client, Role::Inbox).await;
    let trash = mailbox_with(&client, Role::Trash).await;
    let mail = message(
        "rust@example.net",
        "Testing a client",
        "This is a test of crabs.",
    );
    let mut blob = client
        .upload(None, mail.clone(), Some("message/rfc822"))
        .await
        .expect("upload");
    let mut import = request(&client);
    let email = import.import_email().email(blob.take_blob_id());
    email.mailbox_ids([&inbox]).keywords(["$draft"]);
    let creation_id = email.create_id();
    let mut imported = import.send_import_email().await.expect("Email/import");
    let id = imported
        .created(&creation_id)
        .expect("not imported")
        .take_id();

    let mut query = request(&client);
    let filter = Filter::and([
        email::query::Filter::subject("testing"),
        email::query::Filter::in_mailbox(&inbox),
        email::query::Filter::has_keyword("$draft"),
    ]);
    query
        .query_email()
        .filter(filter)
        .sort([email::query::Comparator::from()]);
    assert_eq!(
        query.send_query_email().await.expect("Email/query").ids(),
        std::slice::from_ref(&id)
    );
    let properties = [
        Property::Subject,
        Property::Preview,
        Property::Keywords,
        Property::BlobId,
    ];
    let got = get(&client, &id, properties).await.expect("not found");
    assert_eq!(got.preview(), Some("This is a test of crabs."));
    assert_eq!(got.subject(), Some("Testing a client"));
    assert_eq!(got.keywords(), ["$draft"]);
    let octets = client
        .download(got.blob_id().expect("no blobId"))
        .await
        .expect("download");
    assert_eq!(octets, mail);

    let mut search = request(&client);
    search
        .get_search_snippet()
        .filter(email::query::Filter::text("crabs"))
        .email_ids([&id]);
    let found = search
        .send_get_search_snippet()
        .await
        .expect("SearchSnippet/get");
    let preview = found
        .snippet(&id)
        .and_then(|snippet| snippet.preview())
        .unwrap_or_default();
    assert!(preview.contains("<mark>crabs</mark>"), "{preview}");

    let mut set = request(&client);
    // As a whole: to take one keyword away, this client writes a patch to `false`, where RFC 8620 §5.3 has null.
    set.set_email()
        .update(&id)
        .keywords(["$seen"])
        .mailbox_ids([&trash]);
    set.send_set_email()
        .await
        .expect("Email/set")
        .updated(&id)
        .expect("not updated");
    let got = get(&client, &id, [Property::Keywords, Property::MailboxIds])
        .await
        .expect("not found");
    assert_eq!(got.mailbox_ids(), [trash.as_str()]);
    assert_eq!(got.keywords(), ["$seen"]);
    let mut set = request(&client);
    set.set_email().destroy([&id]);
    set.send_set_email()
        .await
        .expect("Email/set")
        .destroyed(&id)
        .expect("not destroyed");
    assert!(get(&client, &id, [Property::Id]).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn jmap_client_follows_changes_by_event_source() {
    let server = Server::start();
    let client = client(&server).await;
    let types = [DataType::Email, DataType::EmailDelivery, DataType::Mailbox];
    let mut events = client
        .event_source(types.into(), false, 30.into(), None)
        .await
        .expect("no events");
    let port = server.home.smtp;
    tokio::task::spawn_blocking(move || deliver(port, "event@example.net"))
        .await
        .expect("not delivered");
    let account = client.default_account_id().to_owned();
    tokio::time::timeout(PUSH_WAIT, async {
        while let Some(event) = events.next().await {
            // RFC 8620 §7.3: there may be one with the states at the beginning.
            // An event that is only an id, as the stream begins with (and which browsers don't show to anybody), is an
            // error to this client.
            if let Ok(PushNotification::StateChange(mut changes)) = event
                && let Some(states) = changes.account_changes(&account)
                && states.contains_key(&DataType::EmailDelivery)
            {
                return;
            }
        }
        panic!("the events ended");
    })
    .await
    .expect("no event of the delivery");
}

fn deliver(port: u16, id: &str) {
    let mut smtp = e2e::Smtp::connect(port, false).expect("no SMTP");
    let reply = smtp
        .send("carol@example.net", ALICE, &message(id, "pushed", "a body"))
        .expect("no reply");
    assert_eq!(reply.code, 250, "{}", reply.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn jmap_client_calls_and_follows_over_websocket() {
    let server = Server::start();
    let client = client(&server).await;
    let mut messages = client.connect_ws().await.expect("no WebSocket");
    let mut request = request(&client);
    let create_id = request
        .set_mailbox()
        .create()
        .name("WebSocket test")
        .create_id()
        .expect("no creation id");
    let request_id = request.send_ws().await.expect("not sent");
    let answer = tokio::time::timeout(PUSH_WAIT, messages.next())
        .await
        .expect("no answer")
        .expect("closed");
    let mailbox = match answer.expect("an error") {
        WebSocketMessage::Response(mut response) => {
            assert_eq!(response.request_id(), Some(request_id.as_str()));
            let response = response
                .pop_method_response()
                .expect("no response")
                .unwrap_set_mailbox();
            response
                .expect("Mailbox/set")
                .created(&create_id)
                .expect("not created")
                .take_id()
        }
        WebSocketMessage::PushNotification(_) => panic!("a push that nobody asked for"),
    };
    client
        .enable_push_ws(None::<Vec<_>>, None::<&str>)
        .await
        .expect("no push");
    let mut set = self::request(&client);
    set.set_mailbox().update(&mailbox).sort_order(7);
    set.send_set_mailbox()
        .await
        .expect("Mailbox/set")
        .updated(&mailbox)
        .expect("not updated");
    let pushed = tokio::time::timeout(PUSH_WAIT, messages.next())
        .await
        .expect("no push")
        .expect("closed");
    match pushed.expect("an error") {
        WebSocketMessage::PushNotification(_) => {}
        WebSocketMessage::Response(_) => panic!("a response to nothing"),
    }
}

#[test]
fn jmapc_has_a_whole_session() {
    let python = std::env::var_os("POSTHORN_PYTHON").expect(
        "POSTHORN_PYTHON has to name a python with the package jmapc; `cargo xtask test` makes one",
    );
    let server = Server::start();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/jmapc_client.py");
    let output = Command::new(python)
        .arg(script)
        .args([
            &format!("http://127.0.0.1:{}", server.home.http),
            ALICE,
            PASSWORD,
        ])
        .output()
        .expect("python can't be run");
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success() && text.contains("done"), "{text}");
}

/// Runs a program that has to succeed.
fn run(program: &str, args: &[&str], folder: &Path) {
    let output = Command::new(program)
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output();
    let output = output
        .unwrap_or_else(|error| panic!("{program} can't be run ({error}); it is a Debian package"));
    assert!(
        output.status.success(),
        "{program} {}: {}\n{}{}",
        args.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn swaks_and_curl_deliver_by_smtp_and_lmtp() {
    let server = Server::start();
    let folder = server.home.path();
    let (smtp, lmtp) = (server.home.smtp.to_string(), server.home.lmtp.to_string());
    let mail = message("curl@example.net", "by curl", "curled words");
    std::fs::write(folder.join("mail.eml"), mail).expect("not written");
    let url = format!("smtp://127.0.0.1:{smtp}");
    let curl = [
        "-sS",
        &url,
        "--mail-from",
        "carol@example.net",
        "--mail-rcpt",
        ALICE,
        "--upload-file",
        "mail.eml",
    ];
    run("curl", &curl, folder);
    run(
        "curl",
        &[&curl[..], &["--ssl-reqd", "--insecure"]].concat(),
        folder,
    );
    let envelope = [
        "--from",
        "carol@example.net",
        "--to",
        ALICE,
        "--server",
        "127.0.0.1",
    ];
    let rows: [&[&str]; 3] = [
        &["--port", &smtp, "--header", "Subject: swaks one"],
        &["--port", &smtp, "--tls", "--header", "Subject: swaks two"],
        &[
            "--port",
            &lmtp,
            "--protocol",
            "LMTP",
            "--header",
            "Subject: swaks three",
        ],
    ];
    for row in rows {
        run("swaks", &[&envelope[..], row].concat(), folder);
    }
    let mut jmap = server.jmap("alice");
    for (subject, count) in [
        ("by curl", 2),
        ("swaks one", 1),
        ("swaks two", 1),
        ("swaks three", 1),
    ] {
        let found = jmap.call("Email/query", json!({"filter": {"subject": subject}}));
        assert_eq!(strings(&found["ids"]).len(), count, "{subject}");
    }
}

#[test]
fn swaks_submits_to_a_local_account() {
    let server = Server::start_in(Home::with_people());
    let port = server.home.submission.to_string();
    let args = [
        "--server",
        "127.0.0.1",
        "--port",
        &port,
        "--tls",
        "--auth",
        "PLAIN",
        "--auth-user",
        ALICE,
        "--auth-password",
        PASSWORD,
        "--from",
        ALICE,
        "--to",
        "bob@example.org",
        "--header",
        "Subject: submitted",
    ];
    run("swaks", &args, server.home.path());
    let mut jmap = server.jmap("bob");
    // It goes by the queue.
    for _ in 0..200 {
        let found = jmap.call("Email/query", json!({"filter": {"subject": "submitted"}}));
        if let Some(id) = strings(&found["ids"]).first() {
            let email = &jmap.get_emails(std::slice::from_ref(id), &["from"])[0];
            assert_eq!(string(&email["from"][0]["email"]), ALICE);
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("a submitted message did not arrive within 20 seconds");
}
