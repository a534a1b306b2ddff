//! What a change asserts, what counts for nothing, who may; and the bytes of every version.

use std::sync::Arc;

use expect_test::{Expect, expect};
use jmap_types::AccountId;
use store::engine::{Engine, MemoryEngine};

use super::*;
use crate::{
    Role,
    admin::AuditFilter,
    caller::Identity,
    directory::tests::Server,
    work::check::{CheckOptions, Code},
};

/// Numbers up to 100, of which `a.low` is at most `a.high`. What `b` is for waits for its file.
#[derive(Debug)]
struct Numbers {
    /// Keys whose files can't be used.
    away: Mutex<BTreeSet<String>>,
    known: Vec<Known>,
    pins: BTreeMap<String, Pin>,
    applied: Mutex<Vec<Texts>>,
}

impl Numbers {
    fn new(pinned: &[(&str, &str)]) -> Arc<Self> {
        let known = |key: &str, place| Known {
            key: key.into(),
            description: "A number.".into(),
            kind: "number",
            default: Some("50".into()),
            example: "50".into(),
            place,
        };
        let many = (0..=SETTINGS_MAX).map(|n| known(&format!("many.{n:04}"), Place::Store));
        let pin = |&(key, text): &(&str, &str)| {
            let place = "p.toml, line 3".to_owned();
            let text = text.to_owned();
            (key.to_owned(), Pin { text, place })
        };
        Arc::new(Self {
            away: Mutex::default(),
            known: [
                known("a.low", Place::Store),
                known("a.high", Place::Store),
                known("b", Place::Store),
                known("data", Place::File("it says where everything is")),
            ]
            .into_iter()
            .chain(many)
            .collect(),
            pins: pinned.iter().map(pin).collect(),
            applied: Mutex::default(),
        })
    }

    fn lose_files(&self, keys: &[&str]) {
        *self.away.lock() = keys.iter().map(|&key| key.to_owned()).collect();
    }

    fn last(&self) -> Texts {
        self.applied.lock().last().cloned().unwrap_or_default()
    }
}

impl Meaning for Numbers {
    fn catalogue(&self) -> &[Known] {
        &self.known
    }

    fn pins(&self) -> &BTreeMap<String, Pin> {
        &self.pins
    }

    fn normal(&self, _: &str, text: &str) -> Result<String, String> {
        let number: u64 = text
            .trim()
            .parse()
            .map_err(|_| format!("\"{text}\" is not a number"))?;
        Ok(number.to_string())
    }

    fn check(&self, stored: &Texts) -> Result<(), Fault> {
        let number = |key: &str| {
            let pin = self.pins.get(key).map(|pin| &pin.text);
            let text = pin.or_else(|| stored.get(key));
            text.map_or(50, |text| text.parse().unwrap_or(0))
        };
        match number("a.low") <= number("a.high") {
            true => Ok(()),
            false => Err(Fault {
                key: "a.low".into(),
                why: "it is at most a.high".into(),
            }),
        }
    }

    fn check_files(&self, _: &Texts, named: &Texts) -> Result<(), Fault> {
        let away = self.away.lock();
        match named.keys().find(|key| away.contains(*key)) {
            None => Ok(()),
            Some(key) => Err(Fault {
                key: key.clone(),
                why: "its file is gone".into(),
            }),
        }
    }

    fn waits(&self, key: &str) -> bool {
        key == "b"
    }

    fn apply(&self, _: &Core, stored: &Texts) {
        self.applied.lock().push(stored.clone());
    }
}

fn texts(rows: &[(&str, &str)]) -> Texts {
    rows.iter()
        .map(|(key, text)| ((*key).to_owned(), (*text).to_owned()))
        .collect()
}

fn set(rows: &[(&str, &str)]) -> Wish {
    Wish::Change {
        set: texts(rows),
        unset: BTreeSet::new(),
    }
}

fn unset(key: &str) -> Wish {
    Wish::Change {
        set: Texts::new(),
        unset: BTreeSet::from([key.to_owned()]),
    }
}

async fn over(engine: &Arc<dyn Engine>, numbers: &Arc<Numbers>) -> Server {
    let server = Server::over(engine.clone(), 1).await;
    server.core.understand_settings_with(numbers.clone());
    server.core.load_settings().await.unwrap();
    server
}

async fn started() -> (Server, Arc<Numbers>) {
    let numbers = Numbers::new(&[("b", "7")]);
    let engine: Arc<dyn Engine> = MemoryEngine::new();
    (over(&engine, &numbers).await, numbers)
}

impl Server {
    async fn change(&self, wish: &Wish) -> Result<Vec<Difference>, String> {
        let changed = self.core.change_settings(&self.admin, wish).await;
        changed.map_err(|error| error.to_string())
    }

    async fn setting(&self, key: &str) -> Setting {
        let all = self.core.settings(&self.admin).await.unwrap();
        all.into_iter().find(|setting| setting.key == key).unwrap()
    }

    async fn put(&self, key: &str, bytes: Bytes) {
        let mut batch = Batch::new();
        batch.put(keys::setting(key), bytes);
        self.core.engine.commit(batch).await.unwrap();
    }
}

fn record(text: &str) -> Bytes {
    let record = SettingRecord {
        text: text.into(),
        who: "server".into(),
        at: 0,
    };
    record.to_bytes()
}

#[test]
fn records_have_golden_bytes() {
    let check = |record: SettingRecord, want: Expect| {
        let bytes = record.to_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        want.assert_eq(&hex);
        assert_eq!(SettingRecord::from_bytes(b"", &bytes).unwrap(), record);
    };
    check(
        SettingRecord {
            text: "\"5m\"".into(),
            who: "a@b.example".into(),
            at: 1_700_000_000,
        },
        expect!["836422356d226b6140622e6578616d706c651a6553f100"],
    );
}

#[tokio::test]
async fn a_change_takes_effect_before_it_is_answered_and_stays() {
    let numbers = Numbers::new(&[]);
    let engine: Arc<dyn Engine> = MemoryEngine::new();
    let server = over(&engine, &numbers).await;
    let both = set(&[("a.low", " 20 "), ("a.high", "30")]);
    assert_eq!(server.change(&both).await.unwrap().len(), 2);
    assert_eq!(numbers.last(), texts(&[("a.low", "20"), ("a.high", "30")]));
    let low = server.setting("a.low").await;
    assert_eq!(
        (low.value.as_deref(), low.source),
        (Some("20"), Source::Store)
    );
    let stored = low.stored.unwrap();
    assert_eq!((stored.who.as_str(), stored.at), ("server", 1_700_000_000));
    // What is so already is no change.
    let applied = numbers.applied.lock().len();
    assert_eq!(server.change(&set(&[("a.low", "20")])).await, Ok(vec![]));
    assert_eq!(numbers.applied.lock().len(), applied);
    let again = Numbers::new(&[]);
    let other = over(&engine, &again).await;
    assert_eq!(again.last(), numbers.last());
    assert_eq!(other.change(&unset("a.high")).await.unwrap().len(), 1);
    assert_eq!(again.last(), texts(&[("a.low", "20")]));
    assert_eq!(other.setting("a.high").await.source, Source::Default);
}

#[tokio::test]
async fn what_can_t_be_is_refused_with_a_sentence() {
    let (server, numbers) = started().await;
    let long = "1".repeat(TEXT_OCTETS_MAX + 1);
    let rows = [
        (set(&[("a.low", "60")]), "a.low: it is at most a.high"),
        (set(&[("a.low", "many")]), "a.low: \"many\" is not a number"),
        (set(&[("a.lo", "1")]), "there is no setting \"a.lo\""),
        (unset("a.lo"), "there is no setting \"a.lo\""),
        (
            set(&[("data", "1")]),
            "data can't be set here: it says where everything is. It belongs into the configuration file",
        ),
        (
            set(&[("b", "1")]),
            "b can't be changed here: it stands in p.toml, line 3, and the file wins",
        ),
        (
            set(&[("a.low", &long)]),
            "a.low: a value has at most 32768 octets",
        ),
        // All of it or nothing.
        (
            set(&[("a.high", "90"), ("b", "1")]),
            "b can't be changed here: it stands in p.toml, line 3, and the file wins",
        ),
    ];
    for (wish, why) in rows {
        assert_eq!(server.change(&wish).await.unwrap_err(), why);
        let planned = server.core.plan_settings(&server.admin, &wish).await;
        assert_eq!(planned.unwrap_err().to_string(), why);
    }
    assert_eq!(numbers.last(), Texts::new());
}

#[tokio::test]
async fn there_is_a_last_setting() {
    let (server, _) = started().await;
    let rows: Texts = (0..SETTINGS_MAX)
        .map(|n| (format!("many.{n:04}"), n.to_string()))
        .collect();
    let wish = Wish::Equal {
        wanted: rows,
        keep: false,
    };
    assert_eq!(server.change(&wish).await.unwrap().len(), SETTINGS_MAX);
    let one_more = set(&[(&format!("many.{SETTINGS_MAX:04}"), "1")]);
    let refused = server.change(&one_more).await.unwrap_err();
    assert_eq!(refused, "there are at most 1000 settings");
    server.change(&unset("many.0000")).await.unwrap();
    server.change(&one_more).await.unwrap();
}

#[tokio::test]
async fn the_store_becomes_equal_to_what_is_wanted() {
    let (server, numbers) = started().await;
    server
        .change(&set(&[("a.low", "1"), ("many.0001", "2")]))
        .await
        .unwrap();
    let equal = |keep| Wish::Equal {
        wanted: texts(&[("a.low", "3"), ("many.0002", "4")]),
        keep,
    };
    let planned = server
        .core
        .plan_settings(&server.admin, &equal(false))
        .await;
    let planned = planned.unwrap();
    let shown: Vec<String> = planned
        .iter()
        .map(|of| format!("{} {:?} {:?}", of.key, of.before, of.after))
        .collect();
    expect![[r#"
        [
            "a.low Some(\"1\") Some(\"3\")",
            "many.0001 Some(\"2\") None",
            "many.0002 None Some(\"4\")",
        ]
    "#]]
    .assert_debug_eq(&shown);
    assert_eq!(server.change(&equal(true)).await.unwrap().len(), 2);
    assert_eq!(numbers.last().len(), 3);
    assert_eq!(server.change(&equal(false)).await.unwrap().len(), 1);
    assert_eq!(server.change(&equal(false)).await, Ok(vec![]));
    assert_eq!(numbers.last(), texts(&[("a.low", "3"), ("many.0002", "4")]));
}

#[tokio::test]
async fn what_is_in_effect_stays_without_its_file() {
    let numbers = Numbers::new(&[]);
    let engine: Arc<dyn Engine> = MemoryEngine::new();
    let server = over(&engine, &numbers).await;
    let all = [("a.low", "1"), ("b", "2"), ("many.0001", "3")];
    server.change(&set(&all)).await.unwrap();
    numbers.lose_files(&["a.low", "b"]);
    // Something else is changed.
    server.change(&set(&[("many.0001", "4")])).await.unwrap();
    let now = texts(&[("a.low", "1"), ("b", "2"), ("many.0001", "4")]);
    assert_eq!(numbers.last(), now);
    let low = server.setting("a.low").await;
    assert_eq!(low.source, Source::Store);
    assert_eq!(low.fault.as_deref(), Some("its file is gone"));
    // What names a file has to have it when it is set.
    let refused = server.change(&set(&[("b", "5")])).await.unwrap_err();
    assert_eq!(refused, "b: its file is gone");

    // A start does without, unless what it is for waits.
    let again = Numbers::new(&[]);
    again.lose_files(&["a.low", "b"]);
    let other = over(&engine, &again).await;
    assert_eq!(again.last(), texts(&[("b", "2"), ("many.0001", "4")]));
    let (low, b) = (other.setting("a.low").await, other.setting("b").await);
    assert_eq!((low.source, b.source), (Source::Default, Source::Store));
    let faulty = other.core.faulty_settings().await.unwrap();
    let faulty: Vec<&str> = faulty.iter().map(|(_, why)| why.as_str()).collect();
    expect![[r#"
        [
            "a.low counts for nothing: its file is gone",
            "what b needs can't be used now: its file is gone",
        ]
    "#]]
    .assert_debug_eq(&faulty);
    again.lose_files(&[]);
    other.core.load_settings().await.unwrap();
    assert_eq!(again.last(), now);
}

#[tokio::test]
async fn what_isn_t_sound_counts_for_nothing_and_is_shown() {
    let numbers = Numbers::new(&[("b", "7")]);
    let engine: Arc<dyn Engine> = MemoryEngine::new();
    let server = over(&engine, &numbers).await;
    server.put("a.high", record("10")).await;
    server.put("newer.key", record("1")).await;
    server.put("many.0001", Bytes::from_static(b"?")).await;
    server.put("many.0002", record("two")).await;
    server.put("many.0003", record("3")).await;
    server.put("data", record("3")).await;
    server.put("b", record("8")).await;
    server.core.load_settings().await.unwrap();
    // The default of a.low is more than 10.
    assert_eq!(numbers.last(), texts(&[("many.0003", "3")]));
    let mut faults = Vec::new();
    for setting in server.core.settings(&server.admin).await.unwrap() {
        faults.extend(setting.fault.map(|why| format!("{}: {why}", setting.key)));
    }
    expect![[r#"
        [
            "a.high: a.low: it is at most a.high",
            "data: it belongs into the configuration file",
            "many.0001: the record can't be read",
            "many.0002: \"two\" is not a number",
            "newer.key: this version has no such setting",
        ]
    "#]]
    .assert_debug_eq(&faults);
    let b = server.setting("b").await;
    assert_eq!(b.value.as_deref(), Some("7"));
    assert_eq!(b.source, Source::File("p.toml, line 3".into()));
    assert_eq!(b.stored.unwrap().text, "8");
    // None of it keeps anybody from setting something else, and it can be taken away.
    server.change(&set(&[("many.0004", "4")])).await.unwrap();
    for key in ["newer.key", "many.0001", "data", "b"] {
        assert_eq!(server.change(&unset(key)).await.unwrap().len(), 1, "{key}");
    }
    let report = server.core.check(CheckOptions::default(), &|_| ()).await;
    let found: Vec<String> = report
        .unwrap()
        .problems
        .into_iter()
        .filter(|problem| problem.code == Code::Setting)
        .map(|problem| problem.sentence)
        .collect();
    expect![[r#"
        [
            "many.0002 counts for nothing: \"two\" is not a number",
            "a.high counts for nothing: a.low: it is at most a.high",
        ]
    "#]]
    .assert_debug_eq(&found);
}

#[tokio::test]
async fn of_two_changes_at_once_the_second_is_checked_with_the_first() {
    let numbers = Numbers::new(&[]);
    let engine: Arc<dyn Engine> = MemoryEngine::new();
    let (one, other) = (over(&engine, &numbers).await, over(&engine, &numbers).await);
    // Each is sound with what was there, and not with the other one.
    let (low, high) = (set(&[("a.low", "45")]), set(&[("a.high", "40")]));
    one.change(&set(&[("a.low", "30")])).await.unwrap();
    let stored = one.core.stored_settings().await.unwrap();
    let sound = one.core.sound_settings(&*numbers, &stored);
    let planned = differences(&*numbers, &stored, sound, &low).unwrap();
    other.change(&high).await.unwrap();
    let committed = one
        .core
        .commit_settings(&one.admin, &stored, &planned)
        .await;
    assert!(matches!(committed, Err(store::Error::Conflict)));
    assert_eq!(
        one.change(&low).await.unwrap_err(),
        "a.low: it is at most a.high"
    );
}

#[tokio::test]
async fn what_another_node_has_changed_is_seen_by_looking() {
    let engine: Arc<dyn Engine> = MemoryEngine::new();
    let (of_one, of_other) = (Numbers::new(&[]), Numbers::new(&[]));
    let (one, other) = (over(&engine, &of_one).await, over(&engine, &of_other).await);
    one.change(&set(&[("a.low", "1")])).await.unwrap();
    let before = of_other.applied.lock().len();
    other.core.look_at_settings().await.unwrap();
    assert_eq!(of_other.last(), texts(&[("a.low", "1")]));
    // Nothing is new the second time.
    other.core.look_at_settings().await.unwrap();
    assert_eq!(of_other.applied.lock().len(), before + 1);
}

#[tokio::test]
async fn a_counter_that_can_t_be_read_is_no_obstacle() {
    let (server, numbers) = started().await;
    let mut batch = Batch::new();
    batch.put(keys::meta(COUNTER), Bytes::from_static(b"?"));
    server.core.engine.commit(batch).await.unwrap();
    server.core.look_at_settings().await.unwrap();
    server.change(&set(&[("a.low", "1")])).await.unwrap();
    assert_eq!(numbers.last(), texts(&[("a.low", "1")]));
}

#[tokio::test]
async fn administrators_alone() {
    let (server, _) = started().await;
    let core = &server.core;
    let wish = set(&[("a.low", "1")]);
    for role in [Role::User, Role::HelpDesk, Role::DomainAdministrator] {
        let who = Caller::new(Identity {
            account: AccountId::new(7),
            name: "a@b.example".into(),
            role,
            domains: vec!["b.example".into()],
            credential: 0,
            kind: None,
            groups: Vec::new(),
            shares: Vec::new(),
        });
        let refused = [
            core.settings(&who).await.err(),
            core.plan_settings(&who, &wish).await.err(),
            core.change_settings(&who, &wish).await.err(),
        ];
        for refused in refused {
            assert!(matches!(refused, Some(SettingsError::Forbidden)));
        }
    }
}

#[tokio::test]
async fn what_is_changed_is_audited() {
    let (server, _) = started().await;
    server.change(&set(&[("a.low", "1")])).await.unwrap();
    server.change(&set(&[("a.low", "2")])).await.unwrap();
    // Nothing changes by it.
    server.change(&set(&[("a.low", "2")])).await.unwrap();
    let filter = AuditFilter::default();
    let who = Caller::server();
    let rows = server.core.audit_rows(&who, &filter, None, 10).await;
    let (rows, _) = rows.unwrap();
    let told = rows.iter().map(|row| {
        let [change] = &*row.record.changes else {
            panic!("{row:?}");
        };
        let texts = (change.before.clone(), change.after.clone());
        (&*row.record.operation, &*change.field, texts)
    });
    let text = |text: &str| Some(text.to_owned());
    let expected = [
        ("settings.change", "a.low", (text("1"), text("2"))),
        ("settings.change", "a.low", (None, text("1"))),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}
