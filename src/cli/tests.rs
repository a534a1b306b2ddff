//! The command line, the control socket, and what a newcomer is shown.

use std::{path::Path, sync::Arc};

use clap::{CommandFactory as _, Parser as _};
use jmap_core::{Core, Parts, Way, auth::Secret, clock::SystemClock, rng::SeededRng};
use store::{
    engine::MemoryEngine,
    search::{SearchIndex, SearchOptions},
};

use super::{
    args::{Cli, PasswordFrom},
    audit::AuditQuery,
    ban::BanCommand,
    command::{
        Answer, Change, Command, CredentialKind, DomainLimits, Kind, NewAccount, Password, Posters,
        Quota, Role,
    },
    control,
    execute::{Target, execute},
    print,
    queue::{PartRow, QueueCommand},
    serve,
    session::SessionCommand,
    tls::TlsCommand,
    webhook::WebhookCommand,
};
use crate::{config::Config, folder::Folder};

fn parse(line: &str) -> Result<Command, String> {
    let cli = Cli::try_parse_from(format!("posthorn {line}").split(' '))
        .map_err(|error| error.to_string())?;
    let ask = |from| match from {
        PasswordFrom::Stdin => Ok(Password(Secret::from("piped secret"))),
        PasswordFrom::Prompt => Ok(Password(Secret::from("typed secret"))),
    };
    Ok(cli.verb.command(&ask).unwrap().unwrap())
}

fn person(name: &str, password: Option<&str>) -> NewAccount {
    NewAccount {
        name: name.into(),
        kind: Kind::Person,
        role: Role::User,
        description: String::new(),
        quota: Quota::Default,
        password: password.map(|text| Password(Secret::from(text))),
    }
}

#[test]
fn definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn command_lines() {
    let name = || "a@b.c".to_owned();
    let rows = [
        ("domain add b.c", Command::DomainAdd { name: "b.c".into() }),
        ("tls list", Command::Tls(TlsCommand::List)),
        ("webhook list", Command::Webhook(WebhookCommand::List)),
        (
            "webhook add https://a.b/ --event login.failed --event backup.done",
            Command::Webhook(WebhookCommand::Add {
                url: "https://a.b/".into(),
                description: String::new(),
                events: vec!["login.failed".into(), "backup.done".into()],
            }),
        ),
        (
            "webhook change 7 --all-events --enable",
            Command::Webhook(WebhookCommand::Change {
                number: 7,
                url: None,
                description: None,
                events: Some(Vec::new()),
                disabled: Some(false),
                new_secret: false,
            }),
        ),
        (
            "tls renew b.c",
            Command::Tls(TlsCommand::Renew { name: "b.c".into() }),
        ),
        (
            "tls remove b.c",
            Command::Tls(TlsCommand::Remove { name: "b.c".into() }),
        ),
        (
            "account set a@b.c --forward-to x@y.z --forward-to v@w.z --keep",
            Command::AccountForward {
                name: name(),
                to: vec!["x@y.z".into(), "v@w.z".into()],
                keep: true,
            },
        ),
        (
            "account set a@b.c --no-forward",
            Command::AccountForward {
                name: name(),
                to: Vec::new(),
                keep: false,
            },
        ),
        (
            "alias add a@b.c --to x@y.z",
            Command::ForwardAdd {
                address: name(),
                to: vec!["x@y.z".into()],
            },
        ),
        (
            "list add a@b.c --owner o@b.c --posters domain --member x@y.z",
            Command::ListAdd {
                address: name(),
                owner: "o@b.c".into(),
                description: String::new(),
                posters: Posters::Domain,
                members: vec!["x@y.z".into()],
            },
        ),
        (
            "list set a@b.c --remove x@y.z",
            Command::ListSet {
                address: name(),
                description: None,
                posters: None,
                add: Vec::new(),
                remove: vec!["x@y.z".into()],
            },
        ),
        (
            "report show b.c --days 7",
            Command::ReportShow {
                domain: "b.c".into(),
                days: 7,
            },
        ),
        (
            "domain set b.c --quota 1MiB --max-accounts 5 --recipients-per-day unlimited",
            Command::DomainSet {
                name: "b.c".into(),
                catch_all: Change::Keep,
                alias_of: Change::Keep,
                srs_domain: Change::Keep,
                limits: DomainLimits {
                    octets: Change::Set(1 << 20),
                    accounts: Change::Set(5),
                    recipients_per_hour: Change::Keep,
                    recipients_per_day: Change::Clear,
                },
            },
        ),
        (
            "account budget a@b.c --per-hour 50 --per-day unlimited",
            Command::AccountBudget {
                name: name(),
                per_hour: Quota::Octets(50),
                per_day: Quota::Unlimited,
            },
        ),
        ("list show", Command::ListShow { address: None }),
        ("domain list --json", Command::DomainList),
        (
            "--data d domain remove b.c",
            Command::DomainRemove { name: "b.c".into() },
        ),
        (
            "domain set b.c --catch-all a@b.c --no-alias",
            Command::DomainSet {
                name: "b.c".into(),
                catch_all: Change::Set(name()),
                alias_of: Change::Clear,
                srs_domain: Change::Keep,
                limits: DomainLimits::default(),
            },
        ),
        (
            "account add a@b.c",
            Command::AccountAdd(person("a@b.c", Some("typed secret"))),
        ),
        (
            "account add a@b.c --password-stdin",
            Command::AccountAdd(person("a@b.c", Some("piped secret"))),
        ),
        (
            "account add a@b.c --no-password",
            Command::AccountAdd(person("a@b.c", None)),
        ),
        (
            "account add a@b.c --no-password --admin --quota 5GB",
            Command::AccountAdd(NewAccount {
                role: Role::Administrator,
                quota: Quota::Octets(5_000_000_000),
                ..person("a@b.c", None)
            }),
        ),
        (
            "account show a@b.c --id",
            Command::AccountShow { name: name() },
        ),
        (
            "account quota a@b.c unlimited",
            Command::AccountQuota {
                name: name(),
                quota: Quota::Unlimited,
            },
        ),
        (
            "account role a@b.c administrator",
            Command::AccountRole {
                name: name(),
                role: Role::Administrator,
                domains: Vec::new(),
            },
        ),
        (
            "account role a@b.c domain-administrator --domain b.c --domain c.d",
            Command::AccountRole {
                name: name(),
                role: Role::DomainAdministrator,
                domains: vec!["b.c".into(), "c.d".into()],
            },
        ),
        (
            "audit --by a@b.c --operation account --limit 5",
            Command::Audit(AuditQuery {
                by: Some(name()),
                of: None,
                domain: None,
                operation: Some("account".into()),
                since_seconds: None,
                limit: 5,
            }),
        ),
        (
            "session end --account a@b.c",
            Command::Session(SessionCommand::EndOf { account: name() }),
        ),
        (
            "ban add 192.0.2.0/24 --reason spam --for 2h",
            Command::Ban(BanCommand::Add {
                network: "192.0.2.0/24".into(),
                reason: "spam".into(),
                seconds: Some(7200),
            }),
        ),
        (
            "account alias add a@b.c x@b.c",
            Command::AliasAdd {
                name: name(),
                address: "x@b.c".into(),
            },
        ),
        (
            "account disable a@b.c",
            Command::AccountDisable { name: name() },
        ),
        (
            "account password a@b.c --password-stdin",
            Command::AccountPassword {
                name: name(),
                password: Password(Secret::from("piped secret")),
            },
        ),
        (
            "group add g@b.c",
            Command::AccountAdd(NewAccount {
                kind: Kind::Group,
                ..person("g@b.c", None)
            }),
        ),
        (
            "group member add g@b.c a@b.c",
            Command::MemberAdd {
                group: "g@b.c".into(),
                member: name(),
            },
        ),
        (
            "credential token a@b.c --expires-in 90d",
            Command::CredentialAdd {
                name: name(),
                kind: CredentialKind::Token,
                description: String::new(),
                expires_seconds: Some(90 * 86_400),
                scopes: Vec::new(),
            },
        ),
        (
            "credential app-password a@b.c --scopes imap,submission",
            Command::CredentialAdd {
                name: name(),
                kind: CredentialKind::AppPassword,
                description: String::new(),
                expires_seconds: None,
                scopes: vec!["imap".into(), "submission".into()],
            },
        ),
        (
            "credential revoke a@b.c 2",
            Command::CredentialRevoke {
                name: name(),
                number: 2,
            },
        ),
        (
            "domain keys example.org",
            Command::DomainKeys {
                name: "example.org".into(),
            },
        ),
        (
            "domain rotate-keys example.org --activate",
            Command::DomainRotateKeys {
                name: "example.org".into(),
                activate: true,
            },
        ),
        (
            "domain records example.org",
            Command::DomainRecords {
                name: "example.org".into(),
            },
        ),
        (
            "domain check example.org",
            Command::DomainCheck {
                name: "example.org".into(),
            },
        ),
        (
            "check --fast",
            Command::Check {
                fast: true,
                repair: false,
            },
        ),
        ("blobs status", Command::BlobsStatus),
        ("blobs rewrite", Command::BlobsRewrite),
        ("blobs load-keys", Command::BlobsLoadKeys),
        ("search rebuild", Command::SearchRebuild),
        ("health", Command::Health),
        ("status", Command::Status),
        (
            "queue list --domain b.c",
            Command::Queue(QueueCommand::List {
                domain: Some("b.c".into()),
                account: None,
                limit: 1000,
            }),
        ),
        (
            "queue retry A1/S2",
            Command::Queue(QueueCommand::Retry(PartRow::Message("A1/S2".into()))),
        ),
        (
            "queue cancel --domain b.c --bounce",
            Command::Queue(QueueCommand::Cancel {
                part: PartRow::Domain("b.c".into()),
                bounce: true,
            }),
        ),
        (
            "queue pause",
            Command::Queue(QueueCommand::Pause { domain: None }),
        ),
    ];
    for (line, command) in rows {
        assert_eq!(parse(line).as_ref(), Ok(&command), "{line}");
        // As it goes through the socket.
        let sent = serde_json::to_string(&command).unwrap();
        assert_eq!(serde_json::from_str::<Command>(&sent).unwrap(), command);
    }
}

#[test]
fn wrong_command_lines() {
    let rows = [
        "account add",
        "account add a@b.c --password hunter2",
        "account quota a@b.c much",
        "account quota a@b.c 0",
        "domain set b.c --catch-all a --no-catch-all",
        "credential revoke a@b.c two",
        "queue cancel",
        "queue retry --all --domain b.c",
        "frobnicate",
    ];
    for line in rows {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let command = Command::AccountAdd(person("a@b.c", Some("hunter2 hunter2")));
    assert!(!format!("{command:?}").contains("hunter2"));
}

/// A core in memory; the folder is that of its search index.
pub(crate) async fn target() -> (tempfile::TempDir, Target) {
    let folder = tempfile::tempdir().unwrap();
    let search = SearchIndex::open(folder.path(), &SearchOptions::default()).unwrap();
    let parts = Parts {
        engine: MemoryEngine::new(),
        clock: Arc::new(SystemClock),
        rng: Arc::new(SeededRng::new(1)),
        limits: jmap_core::Limits::default(),
        hostname: "localhost".into(),
        search: Arc::new(search),
        push: Default::default(),
    };
    let core = Core::open(parts).await.unwrap();
    let live = crate::settings::Live::new(&crate::config::Config::without_file());
    live.begin(&core).await.unwrap();
    (
        folder,
        Target {
            certificates: None,
            core,
            clock: Arc::new(SystemClock),
            publisher: crate::publish::Publisher::new(live.current()),
            way: Way::CommandLine,
            connections: Some(Arc::new(|| 3)),
            keys: None,
        },
    )
}

/// Through the socket and directly: what a line comes to, as text.
pub(crate) async fn ask(target: &Target, line: &str) -> String {
    let (client, server) = tokio::io::duplex(1 << 20);
    let serving = control::session(server, target);
    let command = parse(line).unwrap();
    let (answer, served) = tokio::join!(control::ask(client, &command, &|_| ()), serving);
    served.unwrap();
    match answer {
        Ok(answer) => print::text(&answer),
        Err(error) => format!("refused: {error}"),
    }
}

#[tokio::test]
async fn control_round_trips() {
    let (_folder, target) = target().await;
    let rows = [
        ("domain list", "there are no domains"),
        (
            "domain add example.org",
            "mail for example.org is kept here from now on",
        ),
        (
            "domain add example.org",
            "refused: \"example.org\" already exists",
        ),
        (
            "account add alice@example.org --no-password",
            "name         alice@example.org",
        ),
        (
            "account add alice@example.net --no-password",
            "refused: \"example.net\" does not exist",
        ),
        (
            "account alias add alice@example.org al@example.org",
            "name         alice@example.org",
        ),
        (
            "account show al@example.org",
            "name         alice@example.org",
        ),
        (
            "domain set example.org --catch-all alice@example.org",
            "example.org  what nobody has goes to alice@example.org",
        ),
        (
            "group add team@example.org",
            "name         team@example.org",
        ),
        (
            "group member add team@example.org alice@example.org",
            "alice@example.org is a member of team@example.org",
        ),
        (
            "credential list alice@example.org",
            "there are no credentials",
        ),
        (
            "credential revoke alice@example.org 7",
            "refused: \"credential 7\" does not exist",
        ),
        (
            "domain remove example.org",
            "refused: the domain has addresses",
        ),
        ("queue list", "the queue is empty"),
        ("queue destinations", "nothing waits for its turn"),
        (
            "queue pause B.example",
            "nothing goes to B.example until it is resumed",
        ),
        ("queue list", "b.example is paused.\nthe queue is empty"),
        ("queue resume B.example", "mail goes to B.example again"),
        ("queue retry --all", "0 messages are tried now"),
        ("queue show what", "refused: a message is named as"),
        ("queue hold what", "refused: a message is named as"),
        ("queue release what", "refused: a message is named as"),
        ("queue pause a..b", "refused: "),
        ("check", ""),
        ("status", "posthorn "),
        (
            "account remove team@example.org",
            "team@example.org was removed",
        ),
    ];
    for (line, expected) in rows {
        let text = ask(&target, line).await;
        // "exists already" or "already exists": the core's words.
        let expected = expected.replace("already exists", "exists already");
        assert!(text.starts_with(&expected), "{line}: {text}");
        if line == "check" {
            assert!(text.ends_with("nothing is wrong"), "{text}");
        }
    }
    let issued = ask(
        &target,
        "credential token alice@example.org --description laptop",
    )
    .await;
    assert!(issued.starts_with("ph_"), "{issued}");
    assert!(
        ask(&target, "credential list alice@example.org")
            .await
            .ends_with("laptop")
    );
}

#[tokio::test]
async fn bad_commands_are_answered() {
    let (_folder, target) = target().await;
    let long = format!("\"{}\"\n", "x".repeat(control::COMMAND_OCTETS_MAX as usize));
    for (line, is_answered) in [
        ("{}\n", true),
        ("{\"status\":1}\n", true),
        ("\"stat", false),
        (long.as_str(), false),
    ] {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        tokio::io::AsyncWriteExt::write_all(&mut client, line.as_bytes())
            .await
            .unwrap();
        tokio::io::AsyncWriteExt::shutdown(&mut client)
            .await
            .unwrap();
        assert_eq!(
            control::session(server, &target).await.is_ok(),
            is_answered,
            "{line:.20}"
        );
    }
}

#[tokio::test]
async fn machines_get_json() {
    let (_folder, target) = target().await;
    let answer = execute(&target, Command::AccountList, &|_| ())
        .await
        .unwrap();
    assert_eq!(print::json(&answer), "[]");
    let status = execute(&target, Command::Status, &|_| ()).await.unwrap();
    let status: serde_json::Value = serde_json::from_str(&print::json(&status)).unwrap();
    assert_eq!(
        (&status["hostname"], &status["connections"]),
        (&"localhost".into(), &3.into())
    );
    assert!(matches!(answer, Answer::Accounts(rows) if rows.is_empty()));
}

#[test]
fn domains_of_hosts() {
    let rows = [
        ("localhost", "localhost"),
        ("example.org", "example.org"),
        ("mail.example.org", "example.org"),
    ];
    for (hostname, domain) in rows {
        assert_eq!(serve::domain_of(hostname), domain);
    }
}

#[test]
fn what_to_try_names_this_server() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.quickstart();
    let folder = Folder::make(&folder.path().join("it's data")).unwrap();
    let text = serve::what_to_try(&config, &folder, &Secret::from("s3cret-s3cret"));
    for part in [
        "smtp://127.0.0.1:2525 ",
        "http://127.0.0.1:8080/jmap/api/",
        "imap://127.0.0.1:2143",
        r"it'\''s data'",
        "s3cret-s3cret",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn folders_that_can_not_be_used() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    std::fs::write(&file, "").unwrap();
    let said = |result: Result<Folder, crate::folder::FolderError>| result.unwrap_err().to_string();
    assert!(said(Folder::make(&file)).contains("is not a folder"));
    assert!(said(Folder::make(&file.join("data"))).contains("is not a folder"));
    assert!(said(Folder::open(&place.path().join("none"))).contains("there is no data folder"));
    assert!(
        Folder::make(&place.path().join("a/b"))
            .is_ok_and(|folder| folder.path() == Path::new(&place.path().join("a/b")))
    );
}
