//! The catalogue and the configuration, in both directions; values, files, what the file pins.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use expect_test::{expect, expect_file};
use jmap_core::{
    Caller,
    inproc::{
        deliver::RecipientError,
        outbound::{Fate, Job, JobRecipient},
    },
    mail::submission::records::EnvelopeAddress,
    settings::{Place, Wish},
};
use jmap_types::AccountId;
use store::engine::MemoryEngine;

use super::{catalogue::catalogue, *};
use crate::tls::tests::core_over;

/// A configuration as it would be read from a file of this text.
fn live(text: &str) -> Arc<Live> {
    let file = Path::new("/etc/posthorn.toml");
    let mut config = Config::parse(text, file).unwrap();
    config.file = Some(file.to_owned());
    config.text = text.into();
    Live::new(&config)
}

/// As it is checked when all of it is set.
fn check(live: &Live, stored: &Texts) -> Result<(), Fault> {
    live.check(stored)?;
    live.check_files(stored, stored)
}

fn texts(rows: &[(&str, &str)]) -> Texts {
    rows.iter()
        .map(|(key, text)| ((*key).to_owned(), (*text).to_owned()))
        .collect()
}

/// The keys of the configuration itself: tables in front, and a table that has names of its own is one value.
fn keys_of_config() -> Vec<String> {
    fn flat(prefix: &str, value: &serde_json::Value, into: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(map) if prefix != "delivery.domains." => {
                for (name, value) in map {
                    flat(&format!("{prefix}{name}."), value, into);
                }
            }
            _ => into.push(prefix.trim_end_matches('.').to_owned()),
        }
    }
    let mut keys = Vec::new();
    let config = serde_json::to_value(Config::default()).unwrap();
    flat("", &config, &mut keys);
    keys.sort();
    keys
}

#[test]
fn the_catalogue_has_the_keys_of_the_configuration_and_no_others() {
    let mut keys: Vec<String> = catalogue().iter().map(|known| known.key.clone()).collect();
    keys.sort();
    assert_eq!(keys, keys_of_config());
}

#[test]
fn the_catalogue_reads_well() {
    let mut text = String::new();
    for known in catalogue() {
        assert!(!known.description.is_empty(), "{}", known.key);
        let place = match known.place {
            Place::Store => String::new(),
            Place::File(why) => format!("  [in the file alone: {why}]"),
        };
        let default = known.default.as_deref().unwrap_or("nothing");
        let line = format!("{} ({}) = {default}{place}\n", known.key, known.kind);
        text.push_str(&line);
        let description = known.description.replace('\n', "\n      ");
        text.push_str(&format!("      {description}\n"));
    }
    expect_file!["catalogue.txt"].assert_eq(&text);
}

#[test]
fn every_setting_may_be_set_to_its_default_and_its_example() {
    let of_store = |known: &&Known| known.place == Place::Store;
    for known in catalogue().iter().filter(of_store) {
        for text in known.default.iter().chain([&known.example]) {
            let spelled = normal(&known.key, text);
            let spelled = spelled.unwrap_or_else(|why| panic!("{}: {why}", known.key));
            // It is its own spelling.
            assert_eq!(normal(&known.key, &spelled).as_ref(), Ok(&spelled));
            if known.default.as_ref() == Some(text) {
                assert_eq!(Some(&spelled), known.default.as_ref(), "{}", known.key);
            }
        }
    }
}

#[test]
fn values_have_one_spelling_and_errors_say_what_is_allowed() {
    let rows = [
        ("smtp.idle-timeout", "120s", Ok("\"2m\"")),
        ("smtp.idle-timeout", "\"120s\"", Ok("\"2m\"")),
        ("limits.max-size-message", "1048576", Ok("\"1 MiB\"")),
        ("limits.max-size-message", "10 MB", Ok("\"10 MB\"")),
        ("hostname", "Mail.Example.ORG", Ok("\"mail.example.org\"")),
        ("smtp.message-rate", "10/60s", Ok("\"10/1m\"")),
        ("reports.send", "false", Ok("false")),
        ("comment", "5", Ok("\"5\"")),
        ("comment", "it's ours", Ok("\"it's ours\"")),
        (
            "smtp.exempt",
            "[\"192.0.2.0/24\"]",
            Ok("[\"192.0.2.0/24\"]"),
        ),
        (
            "delivery.domains",
            "{\"B.example\" = {transactions = 2}}",
            Ok("{ \"B.example\" = { transactions = 2 } }"),
        ),
        (
            "smtp.idle-timeout",
            "5 minutes",
            Err(
                "\"5 minutes\" is not a span of time; write it like \"30s\", \"5m\", \"24h\" or \"30d\"",
            ),
        ),
        (
            "authentication.dmarc-reject",
            "no",
            Err("unknown variant `no`, expected one of `reject`, `quarantine`, `mark`"),
        ),
        (
            "smtp.bad-commands",
            "many",
            Err("invalid type: string \"many\", expected u32"),
        ),
        (
            "smtp.bad-commands",
            "-1",
            Err("invalid value: integer `-1`, expected u32"),
        ),
        (
            "tls.certificate",
            "cert.pem",
            Err("\"cert.pem\": the path of a file begins with a slash"),
        ),
        // A value can't bring others along.
        (
            "smtp.bad-commands",
            "1\ndata = \"/\"",
            Err("invalid type: string \"1\\ndata = \\\"/\\\"\", expected u32"),
        ),
    ];
    for (key, text, want) in rows {
        let got = normal(key, text);
        let got = got.as_deref().map_err(String::as_str);
        assert_eq!(got, want, "{key} = {text}");
    }
}

#[test]
fn file_and_settings_are_put_together() {
    let live = live("data = \"kept\"\n[smtp]\nlisten = []\nbad-commands = 5\n");
    let stored = texts(&[
        ("smtp.auth-failures", "7"),
        ("limits.max-size-message", "\"1 MiB\""),
        (
            "delivery.route",
            "[{ domains = [\"*\"], host = \"relay.example.net\" }]",
        ),
    ]);
    assert_eq!(check(&live, &stored), Ok(()));
    let merged = live.merged(&stored).unwrap();
    assert_eq!(merged.smtp.listen, Some(Vec::new()));
    assert_eq!(
        (merged.smtp.bad_commands, merged.smtp.auth_failures),
        (5, 7)
    );
    assert_eq!(merged.core_limits().max_size_message, 1 << 20);
    assert_eq!(merged.delivery.route.len(), 1);
    // As it was read for this machine, from the same file.
    assert_eq!(merged.data, live.base.data);
    assert_eq!(live.merged(&Texts::new()).unwrap(), live.base);
}

#[test]
fn what_is_wrong_together_is_told_by_key() {
    let folder = tempfile::tempdir().unwrap();
    let live = live(&format!("setting-files = \"{}\"", folder.path().display()));
    let missing = folder.path().join("missing");
    let missing = (format!("\"{}\"", missing.display()), missing);
    let no_such_file = format!("{}: No such file", missing.1.display());
    let file = folder.path().join("not-a-certificate");
    fs::write(&file, "nothing").unwrap();
    let path = format!("\"{}\"", file.display());
    let fault = |rows: &[(&str, &str)]| check(&live, &texts(rows)).unwrap_err();
    let rows = [
        (
            fault(&[("tls.certificate", "\"/c\"")]),
            "tls.certificate",
            "the certificate needs tls.key as well",
        ),
        (
            fault(&[("tls.certificate", &path), ("tls.key", &path)]),
            "tls.certificate",
            "",
        ),
        (
            fault(&[("delivery.ca-file", &path)]),
            "delivery.ca-file",
            "",
        ),
        (
            fault(&[("backup.passphrase-file", &missing.0)]),
            "backup.passphrase-file",
            &no_such_file,
        ),
        (
            fault(&[("delivery.retry", "[]")]),
            "delivery.retry",
            "there is at least one wait",
        ),
        (
            fault(&[("reports.contact", "\"reports\"")]),
            "reports.contact",
            "this is not an address",
        ),
    ];
    for (fault, key, why) in rows {
        assert_eq!(fault.key, key, "{}", fault.why);
        assert!(fault.why.starts_with(why), "{}", fault.why);
    }
}

/// A server begins over a database that has a route and a directory whose passwords can't be read.
#[tokio::test]
async fn without_its_files_a_route_waits_and_so_does_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    let file = password.display();
    fs::write(&password, "secret\n").unwrap();
    let engine = MemoryEngine::new();
    let begin = async |name: &str| {
        let own = folder.path().join(name);
        fs::create_dir(&own).unwrap();
        let core = core_over(engine.clone(), &own).await;
        let live = live(&format!("setting-files = \"{}\"", folder.path().display()));
        live.begin(&core).await.unwrap();
        (core, live)
    };
    let (core, _) = begin("first").await;
    let who = Caller::server();
    core.add_domain(&who, "example.org").await.unwrap();
    // Nobody listens at port 1.
    let set = texts(&[
        (
            "delivery.route",
            &format!(
                "[{{ domains = [\"*\"], host = \"127.0.0.1\", port = 1, user = \"u\", password-file = \"{file}\" }}]"
            ),
        ),
        (
            "login.directory",
            &format!(
                "[{{ name = \"d\", kind = \"ldap\", domains = [\"example.org\"], url = \"ldap://127.0.0.1:1\", start-tls = true, base = \"dc=example\", filter = \"(mail={{address}})\", bind-dn = \"cn=p\", bind-password-file = \"{file}\" }}]"
            ),
        ),
    ]);
    let wish = Wish::Change {
        set,
        unset: BTreeSet::new(),
    };
    core.change_settings(&who, &wish).await.unwrap();

    fs::remove_file(&password).unwrap();
    let (core, live) = begin("second").await;
    let now = live.now();
    assert_eq!(now.delivery.route.len(), 1);
    core.use_directories(directories::chosen_or_away(&now));
    let found = core.resolve_recipient("ann@example.org").await;
    assert!(matches!(found, Err(RecipientError::Temporary)), "{found:?}");
    let job = Job {
        account: AccountId::new(1),
        submission: 1,
        domain: "example.net".into(),
        mail_from: EnvelopeAddress::plain("ann@example.org"),
        recipients: vec![JobRecipient {
            at: 0,
            address: EnvelopeAddress::plain("bob@example.net"),
        }],
        message: Default::default(),
    };
    let outbound = delivery::outbound(&now, &core);
    let attempt = outbound.send(&job).await;
    assert_eq!(attempt.hosts, []);
    assert_eq!(attempt.outcomes.len(), 1);
    assert_eq!(attempt.outcomes[0].fate, Fate::Later);
    assert!(attempt.outcomes[0].reply.starts_with("451 4.3.5 "));
    // Other settings can be changed meanwhile.
    let wish = Wish::Change {
        set: texts(&[("comment", "\"hello\"")]),
        unset: BTreeSet::new(),
    };
    core.change_settings(&who, &wish).await.unwrap();
    assert_eq!(live.now().delivery.route.len(), 1);

    // The file is there again: nobody has to do anything.
    fs::write(&password, "secret\n").unwrap();
    let attempt = outbound.send(&job).await;
    assert!(!attempt.outcomes[0].reply.starts_with("451 4.3.5 "));
    assert_eq!(attempt.outcomes[0].fate, Fate::Later);
}

#[test]
fn a_database_with_limits_of_its_own_isn_t_outgrown() {
    let larger = [
        ("limits.max-size-message", "\"60 MiB\""),
        ("limits.max-size-upload", "\"60 MiB\""),
    ];
    for (key, text) in larger {
        let stored = texts(&[(key, text)]);
        assert_eq!(
            check(&live("[store]\nurl = \"postgres://db/mail\""), &stored),
            Ok(())
        );
        let mysql = live("[store]\nurl = \"mysql://db/mail\"");
        assert_eq!(check(&mysql, &stored).unwrap_err().key, key);
        let smaller = texts(&[(key, "\"1 MiB\"")]);
        assert_eq!(check(&mysql, &smaller), Ok(()));
    }
}

#[test]
fn the_file_pins_its_keys() {
    let live = live(
        "hostname = \"mx.example.org\"\n[store]\nurl = \"postgres://mail:secret@db.example.org/mail\"\n[[delivery.route]]\ndomains = [\"*\"]\nhost = \"relay.example.net\"\n[delivery.domains.\"a.example\"]\ntransactions = 1\n",
    );
    let shown: BTreeMap<&str, String> = live
        .pins()
        .iter()
        .map(|(key, pin)| (key.as_str(), format!("{} at {}", pin.text, pin.place)))
        .collect();
    expect![[r#"
        {
            "delivery.domains": "{ \"a.example\" = { transactions = 1 } } at /etc/posthorn.toml, line 7",
            "delivery.route": "[{ domains = [\"*\"], host = \"relay.example.net\" }] at /etc/posthorn.toml, line 4",
            "hostname": "\"mx.example.org\" at /etc/posthorn.toml, line 1",
            "store.url": "\"postgres://mail@db.example.org/mail\" at /etc/posthorn.toml, line 3",
        }
    "#]].assert_debug_eq(&shown);
}

#[test]
fn a_quickstart_is_named_by_a_setting() {
    let mut config = Config::parse("hostname = \"mx.example.org\"", Path::new("p.toml")).unwrap();
    config.text = "hostname = \"mx.example.org\"".into();
    config.quickstart();
    let live = Live::new(&config);
    assert!(live.pins().is_empty());
    assert_eq!(live.merged(&Texts::new()).unwrap().hostname.0, "localhost");
    let named = live.merged(&texts(&[("hostname", "\"mail.example.org\"")]));
    let named = named.unwrap();
    assert_eq!(named.hostname.0, "mail.example.org");
    assert_eq!(named.http.listen, config.http.listen);
}

#[test]
fn files_of_settings() {
    let text = "comment = \"x\"\n[smtp]\nidle-timeout = \"60s\"\n[[delivery.route]]\ndomains = [\"*\"]\nhost = \"h.example\"\n[delivery.domains.\"a.example\"]\ntransactions = 1\n";
    expect![[r#"
        {
            "comment": "\"x\"",
            "delivery.domains": "{ \"a.example\" = { transactions = 1 } }",
            "delivery.route": "[{ domains = [\"*\"], host = \"h.example\", port = 25, protocol = \"smtp\", tls = \"required\" }]",
            "smtp.idle-timeout": "\"1m\"",
        }
    "#]].assert_debug_eq(&of_file(text, "s.toml").unwrap());
    assert_eq!(of_file("", "s.toml"), Ok(Texts::new()));
    let rows = [
        (
            "[smtp]\nidle = 1\n",
            "s.toml, line 2, smtp.idle: there is no such setting",
        ),
        (
            "\n[smtp]\nidle-timeout = \"x\"\n",
            "s.toml, line 3, smtp.idle-timeout: \"x\" is not a span of time",
        ),
        ("[smtp\n", "s.toml, line 1: "),
        (
            "smtp = 1\n",
            "s.toml, line 1, smtp: there is no such setting",
        ),
    ];
    for (text, why) in rows {
        let error = of_file(text, "s.toml").unwrap_err();
        assert!(error.starts_with(why), "{error}");
    }
}

/// What a setting names is read in one folder alone; what the file names, anywhere.
#[test]
fn files_of_settings_lie_in_one_folder() {
    let place = tempfile::tempdir().unwrap();
    let [inside, outside] = ["files/in", "out"].map(|name| place.path().join(name));
    fs::create_dir(place.path().join("files")).unwrap();
    for file in [&inside, &outside] {
        fs::write(file, "a secret\n").unwrap();
    }
    let text = |file: &Path| format!("{:?}", file.display().to_string());
    let route = |file: &Path| {
        format!(
            "[{{ domains = [\"*\"], host = \"h\", user = \"u\", password-file = {} }}]",
            text(file)
        )
    };
    let directory = |file: &Path| {
        format!(
            "[{{ name = \"d\", kind = \"ldap\", domains = [\"example.org\"], url = \"ldaps://h\", base = \"b\", filter = \"(mail={{address}})\", bind-dn = \"n\", bind-password-file = {} }}]",
            text(file)
        )
    };
    let data = place.path().display();
    let file = format!("data = \"{data}\"\n");
    let live_here = live(&file);
    let folder = place.path().join("files").display().to_string();
    // Each key that names files, with what else it needs.
    type Value<'v> = &'v dyn Fn(&Path) -> String;
    type Row<'v> = (&'v str, Value<'v>, &'v [(&'v str, &'v str)]);
    let keys: [Row<'_>; 10] = [
        ("delivery.route", &route, &[]),
        ("login.directory", &directory, &[]),
        ("delivery.ca-file", &text, &[]),
        ("dns.trust-anchor", &text, &[]),
        ("backup.passphrase-file", &text, &[]),
        ("backup.s3-secret-access-key-file", &text, &[]),
        ("tls.certificate", &text, &[("tls.key", "\"/k\"")]),
        ("tls.key", &text, &[("tls.certificate", "\"/c\"")]),
        (
            "tls.acme.ca-file",
            &text,
            &[
                ("tls.acme.agree-to-terms", "true"),
                (
                    "tls.acme.certificate",
                    "[{ names = [\"mail.example.org\"] }]",
                ),
            ],
        ),
        (
            "tls.acme.external-account-key-file",
            &text,
            &[
                ("tls.acme.agree-to-terms", "true"),
                ("tls.acme.external-account", "\"me\""),
                (
                    "tls.acme.certificate",
                    "[{ names = [\"mail.example.org\"] }]",
                ),
            ],
        ),
    ];
    for (key, value, others) in keys {
        let mut stored = texts(others);
        stored.insert(key.to_owned(), value(&outside));
        let fault = check(&live_here, &stored).unwrap_err();
        assert!(fault.why.contains(&folder), "{key}: {}", fault.why);
        assert!(!fault.why.contains("a secret"), "{key}: {}", fault.why);
        // Where it lies in the folder, it is looked at for what it is.
        stored.insert(key.to_owned(), value(&inside));
        if let Err(fault) = check(&live_here, &stored) {
            let needs_another = ["tls.certificate", "tls.key"].contains(&key);
            let is_refused = fault.why.contains("must lie");
            assert!(needs_another || !is_refused, "{key}: {}", fault.why);
        }
    }
    // What was stored before there was the folder: mail waits and goes no other way, and nobody of the directory is refused.
    let old = texts(&[
        ("delivery.route", &route(&outside)),
        ("login.directory", &directory(&outside)),
    ]);
    assert_eq!(live_here.check(&old), Ok(()));
    assert!(old.keys().all(|key| live_here.waits(key)));
    let merged = live_here.merged(&old).unwrap();
    assert!(delivery::routes(&merged).is_err());
    assert!(directories::chosen(&merged).is_err());
    assert_eq!(directories::chosen_or_away(&merged).len(), 1);
    // The file itself names what it wants.
    let of_file = format!("{file}[delivery]\nroute = {}\n", route(&outside));
    let config = live(&of_file).merged(&Texts::new()).unwrap();
    let routes = delivery::routes(&config).unwrap();
    assert!(routes[0].login.is_some());
}
