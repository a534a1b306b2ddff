//! Stores of former versions are opened, upgraded, found sound, and read through the protocols.
//!
//! `POSTHORN_UPDATE_FIXTURES=1` writes that of the current format anew (`tests/fixtures/README.md`).

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use e2e::{Home, PASSWORD, Server, corpus::message, databases::TestStore, dump, http::Http};
use jmap_core::{
    alert::{AlertKind, AlertRecord},
    auth::{
        Secret,
        oauth::{
            ClientRecord, OAuthScopes,
            records::{AccessToken, CodeRecord, DeviceRecord, Grant, Kept, UserCodeRecord},
        },
        token,
        totp::Totp,
        webauthn::{Passkey, key::PublicKey},
    },
    cluster::{LeaseRecord, NodeRecord},
    directory::{
        AccountRecord,
        records::{CredentialKind, CredentialRecord},
    },
    inproc::{
        certificates::{
            AcmeAccountRecord, CertificateOrigin, CertificateRecord, ChallengeKind, ChallengeRecord,
        },
        deliver::{PENDING, PendingDelivery},
        sts::StsPolicyRecord,
    },
    reports::records::{
        AuthRow, DmarcCounts, DmarcRow, ReportRecord, TlsCounts, TlsDetail, TlsRow,
    },
    rng::SeededRng,
    webhook::{DoneRecord, DueRecord, EventKind},
};
use jmap_types::{AccountId, DataType};
use serde_json::json;
use store::{
    Record as _,
    keys::{self, Pending, Subspace},
};

const CURRENT: &str = "format-2.dump";
const FORMER: [&str; 2] = ["format-1.dump", "format-1-first.dump"];
/// Octets of all of them.
const OCTETS_MAX: u64 = 200 << 10;
/// What background work may take.
const PATIENCE: Duration = Duration::from_secs(60);
const SUBJECTS: [&str; 4] = ["Question", "Re: Question", "Großes", "Seen"];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().expect("no runtime")
}

/// A store that a server has written, with records of as many kinds as a session brings about.
fn written() -> dump::Rows {
    let home = Home::with_people();
    home.cli(&["group", "add", "team@example.org"], "");
    home.cli(
        &[
            "group",
            "member",
            "add",
            "team@example.org",
            "bob@example.org",
        ],
        "",
    );
    home.cli(&["credential", "token", "alice@example.org"], "");
    home.cli(
        &[
            "alias",
            "add",
            "info@example.org",
            "--to",
            "alice@example.org",
        ],
        "",
    );
    let mut server = Server::start_in(home);
    let send = |id: &str, subject: &str, extra: &str| {
        let octets = message(&format!("{id}@example.net"), subject, "A plover.");
        let octets = [extra.as_bytes(), &octets].concat();
        let reply = server
            .lmtp()
            .send("carol@example.net", "alice@example.org", &octets);
        assert!(reply.expect("no answer").is_ok());
    };
    send("1", SUBJECTS[0], "");
    send("2", SUBJECTS[1], "In-Reply-To: <1@example.net>\r\n");
    send("3", "=?utf-8?q?Gro=C3=9Fes?=", "");
    send("4", SUBJECTS[3], "");
    let both = ["alice@example.org", "bob@example.org"];
    let octets = message("5@example.net", "For both", "A plover.");
    let replies = server.lmtp().send_to("carol@example.net", &both, &octets);
    assert!(
        replies
            .expect("no answer")
            .iter()
            .all(|reply| reply.is_ok())
    );
    let mut imap = server.imap("alice");
    imap.ok("SELECT INBOX");
    imap.ok("STORE 4 +FLAGS (\\Seen $Work)");
    imap.ok("CREATE Shelf");
    imap.ok("COPY 1 Shelf");
    imap.ok("STORE 2 +FLAGS (\\Deleted)");
    imap.ok("SETMETADATA Shelf (/shared/comment \"mine\")");
    let mut jmap = server.jmap("alice");
    let blob = jmap.upload(b"keep;", "application/sieve");
    jmap.call(
        "SieveScript/set",
        json!({"create": {"s": {"name": "mine", "blobId": blob}}, "onSuccessActivateScript": "#s"}),
    );
    jmap.call(
        "VacationResponse/set",
        json!({"update": {"singleton": {"isEnabled": false, "textBody": "Away."}}}),
    );
    jmap.upload(b"an upload that waits", "text/plain");
    let shelf = jmap.call("Mailbox/query", json!({"filter": {"name": "Shelf"}}));
    let accounts = server
        .home
        .cli(&["account", "show", "bob@example.org", "--id"], "");
    jmap.call(
        "Mailbox/set",
        json!({"update": {shelf["ids"][0].as_str().expect("no mailbox"): {"shareWith": {accounts.trim(): {"mayReadItems": true}}}}}),
    );
    send("7", "Gone", "");
    let gone = jmap.query_all(json!({"subject": "Gone"}));
    jmap.call("Email/set", json!({"destroy": gone}));
    server
        .home
        .cli(&["settings", "set", "imap.bad-commands", "21"], "");
    server
        .home
        .cli(&["ban", "add", "192.0.2.0/24", "--reason", "A test"], "");
    // Nothing happens that it is told of.
    let hook = ["webhook", "add", HOOK, "--event", "ban.lifted"];
    server.home.cli(&hook, "");
    import_certificate(&server);
    let own = ["account", "show", "alice@example.org", "--id"];
    let own = server.home.cli(&own, "").trim().to_owned();
    let login = BASE64_STANDARD.encode(format!("alice@example.org:{PASSWORD}"));
    let issued = Http::new(server.home.http).post(
        &format!("/api/v1/accounts/{own}/credentials"),
        &[
            ("Authorization", &format!("Basic {login}")),
            ("Content-Type", "application/json"),
            ("Idempotency-Key", "once"),
        ],
        br#"{"kind": "app-password"}"#,
    );
    assert_eq!(issued.status, 201, "{}", issued.text());
    let elsewhere = tempfile::tempdir().expect("no folder");
    let mbox = elsewhere.path().join("mbox");
    let octets = message("8@example.net", "Moved", "A plover.");
    let from = &b"From carol@example.net Sat Jan  1 00:00:00 2022\n"[..];
    fs::write(&mbox, [from, &octets].concat()).expect("no mbox");
    let mbox = mbox.to_str().expect("no path");
    let verb = ["import", "mbox", mbox, "--account", "bob@example.org"];
    server.home.cli(&verb, "");
    let repository = elsewhere.path().join("backup");
    let repository = repository.to_str().expect("no path");
    server.home.cli(&["backup", repository], "");
    let identities = jmap.call("Identity/get", json!({"ids": null}));
    server.home.cli(&["queue", "pause", "far.invalid"], "");
    let drafts = jmap.mailbox("drafts");
    let draft = jmap.import(
        b"From: alice@example.org\r\nTo: x@far.invalid\r\nSubject: Out\r\n\r\nThe plover goes.\r\n",
        &drafts,
    );
    let sent = jmap.call(
        "EmailSubmission/set",
        json!({"create": {"k": {"identityId": identities["list"][0]["id"], "emailId": draft,
            "envelope": {"mailFrom": {"email": "alice@example.org"},
                "rcptTo": [{"email": "x@far.invalid", "parameters": null}]}}}}),
    );
    assert!(sent["created"]["k"].is_object(), "{sent}");
    server.stop();
    server.home.check();
    let mut rows =
        runtime().block_on(async { dump::rows_of(&dump::open(&server.home.data)).await });
    let accounts = ["alice@example.org", "bob@example.org"].map(|name| account(&rows, name));
    rows.extend(left_behind(accounts[0], accounts[1]));
    let bob = accounts[1];
    let key = keys::account(bob);
    let found = rows.iter_mut().find(|(of, _)| *of == key);
    let (_, value) = found.expect("bob's account");
    let mut record = AccountRecord::from_bytes(&key, value).expect("a record");
    let first = record.last_credential.max(PASSWORD_NUMBER) + 1;
    record.last_credential = first + CREDENTIALS;
    *value = record.to_bytes().to_vec();
    rows.extend(credentials(bob, first));
    rows.extend(told(&rows));
    rows.sort();
    rows.dedup_by(|one, other| one.0 == other.0);
    rows
}

/// A time that no test sees, in seconds and in milliseconds since 1970.
const FAR: i64 = 4_000_000_000;
const FAR_MS: i64 = FAR * 1000;
const HOOK: &str = "https://hooks.example.net/fixture";
const CERTIFICATE: &str = "fixture.example";
const CLIENT: &str = "a-program";
const PASSWORD_NUMBER: u64 = 1;
/// Credentials that the test puts beside those of the server.
const CREDENTIALS: u64 = 3;

/// The message that was on its way to both when the server was killed. Alice had it already, and has deleted it.
const HALF_DONE: &str = "Half done";
const DELIVERY: u64 = 0x1234;

/// Rows that are there only for a while, or that other servers bring about: what a server that was killed leaves behind, nodes, reports.
fn left_behind(alice: AccountId, bob: AccountId) -> dump::Rows {
    let octets = message("6@example.net", HALF_DONE, "A plover.");
    let blob = store::blob::hash(&octets);
    let pending = PendingDelivery {
        blob,
        accounts: vec![alice.number(), bob.number()],
        received_at: 1_700_000_000,
        mail_from: Some("carol@example.net".to_owned()),
        recipients: Some(vec![
            "alice@example.org".to_owned(),
            "bob@example.org".to_owned(),
        ]),
        is_junk: None,
        mail_parameters: None,
        parameters: None,
        reported: None,
        author: None,
        full: None,
    };
    let policy = StsPolicyRecord {
        id: "1".to_owned(),
        text: "version: STSv1\r\nmode: testing\r\nmx: mx.far.invalid\r\nmax_age: 86400\r\n"
            .to_owned(),
        fetched: 1_700_000_000,
        expires: 4_000_000_000,
    };
    let node = NodeRecord {
        session: 7,
        epoch: 2,
        beat: 3,
        name: "gone".to_owned(),
        joined: 1_700_000_000,
        version: "0.1.0".to_owned(),
        search: None,
    };
    let lease = LeaseRecord {
        session: 7,
        epoch: 2,
        token: 5,
    };
    let (report, dmarc, tls) = reports();
    // One that is not over for long.
    let day = 40_000;
    let rows = [
        (keys::blob(&blob), octets),
        (
            keys::blob_ref(&blob, PENDING, DataType::Email, DELIVERY),
            Vec::new(),
        ),
        (
            keys::pending_delivery(DELIVERY),
            pending.to_bytes().to_vec(),
        ),
        (keys::delivered(alice, DELIVERY), Vec::new()),
        (keys::search_cursor(alice), store::numbers(&[1]).to_vec()),
        (keys::sts_policy("far.invalid"), policy.to_bytes().to_vec()),
        (
            keys::report_in("example.org", 1_700_086_400, 1),
            report.to_bytes().to_vec(),
        ),
        (
            keys::dmarc_counts(day, "example.net", 1),
            dmarc.to_bytes().to_vec(),
        ),
        (
            keys::tls_counts(day, "far.invalid", 1),
            tls.to_bytes().to_vec(),
        ),
        (
            keys::blob_ref(&blob, PENDING, DataType::Email, 1),
            Vec::new(),
        ),
        (
            keys::report_waiting(1),
            [&blob[..], &1_700_000_000_u64.to_be_bytes()].concat(),
        ),
        (keys::node(7), node.to_bytes().to_vec()),
        (keys::lease("upkeep"), lease.to_bytes().to_vec()),
        (keys::turn(alice), Vec::new()),
    ];
    rows.into()
}

/// Puts a certificate of a name that nobody has into the store.
fn import_certificate(server: &Server) {
    let folder = tempfile::tempdir().expect("no folder");
    let key = rcgen::KeyPair::generate().expect("no key");
    let params = rcgen::CertificateParams::new(vec![CERTIFICATE.to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("no certificate");
    let [chain, private] = ["chain", "key"].map(|name| folder.path().join(name));
    fs::write(&chain, certificate.pem()).expect("not written");
    fs::write(&private, key.serialize_pem()).expect("not written");
    let [chain, private] = [&chain, &private].map(|path| path.to_str().expect("a path"));
    server.home.cli(&["tls", "import", chain, private], "");
}

/// What somebody logs in with whose programs and devices are many, from this number on: as if made by pages, devices and browsers.
fn credentials(of: AccountId, first: u64) -> dump::Rows {
    let rng = SeededRng::new(7);
    let mut totp = Totp::new(&rng);
    totp.new_recovery_codes(&rng);
    // One that is begun: the password alone is enough for the tests.
    totp.is_confirmed = false;
    let (refresh, access) = (token::mint_bearer(&rng), token::mint_bearer(&rng));
    let grant = Grant {
        client: CLIENT.to_owned(),
        scopes: OAuthScopes::MAIL,
        refresh: Some(Kept::of(&refresh)),
        access: vec![AccessToken {
            kept: Kept::of(&access),
            expires: FAR_MS,
            scopes: OAuthScopes::MAIL,
        }],
        used: FAR,
        authenticated: 1_700_000_000,
    };
    let passkey = Passkey {
        id: vec![1; 16],
        key: PublicKey::EdDsa(vec![2; 32]),
        counter: 3,
        rp_id: "mail.example.org".to_owned(),
    };
    let record = |description: &str, kind| CredentialRecord {
        description: description.to_owned(),
        kind,
        created: 1_700_000_000,
        ..CredentialRecord::default()
    };
    let records = [
        CredentialRecord {
            totp: Some(Box::new(totp)),
            ..record("", CredentialKind::Totp)
        },
        CredentialRecord {
            passkey: Some(Box::new(passkey)),
            ..record("A key", CredentialKind::Passkey)
        },
        CredentialRecord {
            grant: Some(Box::new(grant)),
            ..record("A program", CredentialKind::Grant)
        },
    ];
    let mut rows = dump::Rows::new();
    for (record, number) in records.iter().zip(first..) {
        rows.push((keys::credential(of, number), record.to_bytes().to_vec()));
        for id in record.grant.iter().flat_map(|grant| grant.ids()) {
            let way = store::numbers(&[of.number(), number]).to_vec();
            rows.push((keys::credential_lookup(&id.0), way));
        }
    }
    let code = CodeRecord {
        kept: Kept::of(&token::mint_bearer(&rng)),
        client: CLIENT.to_owned(),
        redirect_uri: "https://app.example/back".to_owned(),
        scopes: OAuthScopes::MAIL,
        account: of.number(),
        authenticated: 1_700_000_000,
        challenge: "a challenge".to_owned(),
        nonce: None,
        expires: FAR_MS,
        grant: None,
        passkey: None,
    };
    let device = DeviceRecord {
        kept: Kept::of(&token::mint_bearer(&rng)),
        client: CLIENT.to_owned(),
        scopes: OAuthScopes::MAIL,
        user_code: "BCDFGHJK".to_owned(),
        expires: FAR_MS,
        decision: None,
    };
    let way = UserCodeRecord {
        device: device.kept.id,
        expires: FAR_MS,
    };
    let client = ClientRecord {
        name: "A program".to_owned(),
        redirect_uris: vec!["https://app.example/back".to_owned()],
        created: 1_700_000_000,
        last_used: FAR,
        ..ClientRecord::default()
    };
    rows.extend([
        (keys::oauth_client(CLIENT), client.to_bytes().to_vec()),
        (
            keys::oauth_pending(Pending::Code, &*code.kept.id),
            code.to_bytes().to_vec(),
        ),
        (
            keys::oauth_pending(Pending::UserCode, device.user_code.as_bytes()),
            way.to_bytes().to_vec(),
        ),
        (
            keys::oauth_pending(Pending::Device, &*device.kept.id),
            device.to_bytes().to_vec(),
        ),
    ]);
    rows
}

/// What waits for the webhook, what came of the last event, an alert, and an order of a certificate that is under way.
fn told(rows: &dump::Rows) -> dump::Rows {
    let mut webhooks = rows.iter().filter_map(|(key, _)| keys::decode_webhook(key));
    let webhook = webhooks.next().expect("a webhook");
    let due = DueRecord {
        kind: EventKind::BanLifted,
        at: 1_700_000_000_000,
        data: r#"{"network":"192.0.2.0/24"}"#.to_owned(),
        attempts: 1,
    };
    let done = DoneRecord {
        kind: EventKind::BanLifted,
        at: 1_700_000_000_000,
        tried: 1_700_000_001_000,
        attempts: 1,
        status: Some(503),
        problem: Some("it is away".to_owned()),
        next_try: Some(FAR_MS),
        delivered: false,
    };
    let alert = AlertRecord {
        kind: AlertKind::NodeGone,
        node: String::new(),
        subject: "gone".to_owned(),
        sentence: "The server gone doesn't say any more that it lives.".to_owned(),
        since: 1_700_000_000_000,
        mailed: Some(1_700_000_001_000),
        over: None,
    };
    let account = AcmeAccountRecord {
        url: "https://acme.invalid/account/1".to_owned(),
        private_key: Secret::new(vec![1, 2, 3]),
        contact: vec!["mailto:postmaster@example.org".to_owned()],
        created: 1_700_000_000,
    };
    let challenge = ChallengeRecord {
        certificate: "ordered.example".to_owned(),
        answer: b"an answer".to_vec(),
        at: None,
        expires: FAR,
    };
    let ordered = CertificateRecord {
        names: vec!["ordered.example".to_owned()],
        origin: CertificateOrigin::Acme,
        failures: 1,
        next_try: Some(FAR),
        problem: Some("nobody answers".to_owned()),
        ..CertificateRecord::default()
    };
    let far = u64::try_from(FAR_MS).expect("a time");
    [
        (keys::webhook_due(webhook, far, 7), due.to_bytes().to_vec()),
        (keys::webhook_done(webhook, 7), done.to_bytes().to_vec()),
        (keys::alert(7), alert.to_bytes().to_vec()),
        (
            keys::acme_account("https://acme.invalid/directory"),
            account.to_bytes().to_vec(),
        ),
        (
            keys::challenge(ChallengeKind::Http01 as u8, "a-token"),
            challenge.to_bytes().to_vec(),
        ),
        (
            keys::certificate("ordered.example"),
            ordered.to_bytes().to_vec(),
        ),
    ]
    .into()
}

/// One that came, and counts for those that are to be sent.
fn reports() -> (ReportRecord, DmarcCounts, TlsCounts) {
    let passed = |which: &str| AuthRow {
        domain: "example.net".to_owned(),
        which: which.to_owned(),
        result: "pass".to_owned(),
    };
    let dmarc = DmarcRow {
        source: "192.0.2.1".to_owned(),
        count: 3,
        disposition: "none".to_owned(),
        dkim_aligned: true,
        spf_aligned: true,
        header_from: "example.net".to_owned(),
        envelope_from: "example.net".to_owned(),
        dkim: vec![passed("s")],
        spf: vec![passed("mfrom")],
        is_overridden: false,
    };
    let tls = TlsRow {
        policy_type: "sts".to_owned(),
        policy_lines: vec!["version: STSv1".to_owned()],
        policy_domain: "far.invalid".to_owned(),
        mx_patterns: vec!["mx.far.invalid".to_owned()],
        successes: 2,
        failures: 1,
        details: vec![TlsDetail {
            result_type: "certificate-expired".to_owned(),
            sending_address: Some("192.0.2.2".to_owned()),
            mx: "mx.far.invalid".to_owned(),
            address: Some("192.0.2.3".to_owned()),
            count: 1,
            reason: String::new(),
        }],
    };
    let report = ReportRecord {
        domain: "example.org".to_owned(),
        reporter: "far.invalid".to_owned(),
        contact: "postmaster@far.invalid".to_owned(),
        report_id: "1".to_owned(),
        begin: 1_700_000_000,
        end: 1_700_086_400,
        received_at: 1_700_090_000,
        dmarc: vec![dmarc.clone()],
        tls: vec![tls.clone()],
        is_cut: false,
    };
    (
        report,
        DmarcCounts { rows: vec![dmarc] },
        TlsCounts { rows: vec![tls] },
    )
}

/// The account that a name logs in to.
fn account(rows: &dump::Rows, name: &str) -> AccountId {
    let row = keys::login_name(name);
    let found = rows.iter().find(|(key, _)| *key == row);
    let (key, value) = found.expect("there is no such account");
    let [number] = store::decode_numbers(key, value).expect("no number");
    AccountId::new(number)
}

/// Puts a store into a data folder, without the search index that belongs to it.
fn open(name: &str) -> Home {
    let file = folder().join(name);
    let octets = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut rows = dump::read(&octets).expect("it is no dump");
    rows.retain(|(key, _)| key.first() != Some(&(Subspace::SearchCursor as u8)));
    let heads: Vec<_> = rows
        .iter()
        .filter_map(|(key, _)| keys::decode_head(key))
        .collect();
    for account in heads {
        let row = (keys::search_pending(account), store::numbers(&[1]).to_vec());
        rows.retain(|(key, _)| *key != row.0);
        rows.push(row);
    }
    let home = Home::new();
    runtime().block_on(async { dump::fill(&dump::open(&home.data), &rows).await });
    home
}

#[test]
fn stores_of_former_versions_are_opened_and_read() {
    if !TestStore::is_rocksdb_for("stores_of_former_versions_are_opened_and_read") {
        return;
    }
    if std::env::var_os("POSTHORN_UPDATE_FIXTURES").is_some() {
        let octets = dump::write(&written()).expect("no dump");
        fs::write(folder().join(CURRENT), octets).expect("it can't be written");
    }
    for name in [&[CURRENT], &FORMER[..]].concat() {
        println!("{name}");
        let home = open(name);
        home.cli(&["upgrade", "--check"], "");
        home.cli(&["upgrade"], "");
        home.check();
        let mut server = Server::start_in(home);
        read(&server);
        if name == CURRENT {
            read_what_came_last(&server);
        }
        if name != FORMER[1] {
            read_reports(&server);
        }
        server.stop();
        server.home.check();
    }
    let files = fs::read_dir(folder()).expect("no folder");
    let octets = files.map(|file| {
        file.and_then(|file| file.metadata())
            .expect("no file")
            .len()
    });
    assert!(octets.sum::<u64>() <= OCTETS_MAX);
}

/// Subspaces that no store of format 1 has: they came later, or the server doesn't keep them.
const NOT_IN_FORMAT_1: &[Subspace] = &[
    Subspace::BlobStub,
    Subspace::BlobGarbage,
    Subspace::Quarantine,
    Subspace::Undelete,
    Subspace::Backup,
    Subspace::Import,
    Subspace::Setting,
    Subspace::Audit,
    Subspace::Idempotency,
    Subspace::Ban,
    Subspace::SearchShard,
    Subspace::SearchIndexed,
    Subspace::AcmeAccount,
    Subspace::Certificate,
    Subspace::Challenge,
    Subspace::OAuthClient,
    Subspace::OAuthPending,
    Subspace::Webhook,
    Subspace::WebhookDue,
    Subspace::WebhookDone,
    Subspace::Alert,
];
/// Those that the dump of the current format hasn't got: of stores with an object store, and of damaged ones.
const NOT_IN_CURRENT: &[Subspace] = &[
    Subspace::BlobStub,
    Subspace::BlobGarbage,
    Subspace::Quarantine,
    Subspace::SearchShard,
    Subspace::SearchIndexed,
];

#[test]
fn there_are_rows_of_each_kind() {
    for (name, without) in [(CURRENT, NOT_IN_CURRENT), (FORMER[0], NOT_IN_FORMAT_1)] {
        let octets = fs::read(folder().join(name)).expect("no file");
        let rows = dump::read(&octets).expect("it is no dump");
        let found: BTreeSet<u8> = rows
            .iter()
            .filter_map(|(key, _)| key.first().copied())
            .collect();
        let kinds = keys::TABLE.iter().map(|(subspace, ..)| *subspace);
        let missing: Vec<Subspace> = kinds
            .filter(|kind| !without.contains(kind) && !found.contains(&(*kind as u8)))
            .collect();
        assert_eq!(missing, [], "{name}");
    }
}

/// What was written is there.
fn read(server: &Server) {
    let mut jmap = server.jmap("alice");
    let ids = jmap.query_all(json!({}));
    let found = jmap.get_emails(&ids, &["subject", "keywords", "threadId", "bodyValues"]);
    let subject = |email: &serde_json::Value| email["subject"].as_str().map(str::to_owned);
    let subjects: BTreeSet<String> = found.iter().filter_map(subject).collect();
    let mut expected: BTreeSet<String> = SUBJECTS.map(str::to_owned).into();
    expected.extend(["For both", "Out"].map(str::to_owned));
    // It has \Deleted in its one mailbox.
    expected.remove(SUBJECTS[1]);
    assert_eq!(subjects, expected);
    let seen = jmap.query_all(json!({"hasKeyword": "$work"}));
    assert_eq!(seen.len(), 1);
    assert_eq!(
        jmap.query_all(json!({"text": "plover"})).len(),
        expected.len()
    );
    let mut imap = server.imap("alice");
    let selected = imap.ok("SELECT INBOX");
    let is_five = selected
        .untagged
        .iter()
        .any(|line| line.text.contains("5 EXISTS"));
    assert!(is_five, "{selected:?}");
    let deleted = imap.ok("SEARCH DELETED").untagged;
    let has = deleted
        .iter()
        .any(|line| line.text.trim_end().ends_with(" 2"));
    assert!(has, "{deleted:?}");
    let body = imap.ok("FETCH 3 (BODYSTRUCTURE BODY.PEEK[])");
    let mut literals = body.untagged.iter().flat_map(|line| &line.literals);
    let text = |octets: &Vec<u8>| String::from_utf8_lossy(octets).into_owned();
    assert!(
        literals.any(|octets| text(octets).contains("plover")),
        "{body:?}"
    );
    imap.ok("SELECT Shelf");
    // What was left half-done is finished: for bob.
    let end = Instant::now() + PATIENCE;
    let has_it = |jmap: &mut e2e::Jmap| jmap.query_all(json!({"subject": HALF_DONE})).len();
    let mut bob = server.jmap("bob");
    while has_it(&mut bob) == 0 {
        assert!(Instant::now() < end, "a delivery was not finished");
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!((has_it(&mut bob), has_it(&mut jmap)), (1, 0));
    let listed = server.home.cli(&["queue", "list"], "");
    assert!(listed.contains("far.invalid"), "{listed}");
    let octets = message("new@example.net", "New", "Anew.");
    let reply = server
        .lmtp()
        .send("carol@example.net", "alice@example.org", &octets);
    assert!(reply.expect("no answer").is_ok());
    assert_eq!(jmap.query_all(json!({"subject": "New"})).len(), 1);
    jmap.check_counts();
    // The passwords are still those.
    let bob = e2e::Jmap::login(server.home.http, "bob@example.org", PASSWORD);
    drop(bob);
}

/// A report that came years ago is there.
fn read_reports(server: &Server) {
    let verb = ["report", "list", "example.org", "--days", "36500"];
    let listed = server.home.cli(&verb, "");
    assert!(listed.contains("far.invalid"), "{listed}");
}

/// Who gets in by what, who is told of what, what is shown.
fn read_what_came_last(server: &Server) {
    let home = &server.home;
    let has = |args: &[&str], parts: &[&str]| {
        let said = home.cli(args, "");
        for part in parts {
            assert!(said.contains(part), "{args:?} has no {part}: {said}");
        }
    };
    has(&["ban", "list"], &["192.0.2.0/24", "A test"]);
    has(
        &["tls", "list"],
        &[CERTIFICATE, "ordered.example", "nobody answers"],
    );
    has(&["webhook", "list"], &[HOOK, "ban.lifted"]);
    let listed = home.cli(&["webhook", "list"], "");
    let number = listed.split_whitespace().next().expect("a number");
    has(
        &["webhook", "deliveries", number],
        &["ban.lifted", "it is away"],
    );
    has(
        &["credential", "list", "bob@example.org"],
        &["passkey", "grant", "A key"],
    );
    home.cli(
        &["account", "role", "alice@example.org", "administrator"],
        "",
    );
    let login = BASE64_STANDARD.encode(format!("alice@example.org:{PASSWORD}"));
    let login = format!("Basic {login}");
    let shown = |path: &str| {
        let path = format!("/api/v1{path}");
        let answer = Http::new(home.http).get(&path, &[("Authorization", &login)]);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text()
    };
    let alerts = shown("/alerts");
    assert!(alerts.contains("node-gone"), "{alerts}");
    let clients = shown("/oauth-clients");
    assert!(
        clients.contains(CLIENT) && clients.contains("A program"),
        "{clients}"
    );
    let challenge = Http::new(home.http).get("/.well-known/acme-challenge/a-token", &[]);
    assert_eq!(
        (challenge.status, challenge.text().as_str()),
        (200, "an answer")
    );
}
