//! A healthy store has no problems; each kind of damage is found.
// A batch gives itself back for chaining; here it is not wanted.
#![allow(dropping_references)]

mod damage;
mod guard;

use std::sync::Arc;

use bytes::Bytes;
use jmap_types::{AccountId, DataType};
use store::{
    Head, Record as _,
    engine::{Batch, Engine, MemoryEngine},
    keys, numbers,
    search::{SearchIndex, SearchOptions},
};

use super::{CheckOptions, Code, Report};
use crate::{
    Caller, Core, Limits, Parts,
    auth::Secret,
    clock::SystemClock,
    directory::NewAccount,
    inproc::deliver::{Inbound, Recipient},
    mail::records::EmailRecord,
    rng::SeededRng,
};

struct Fixture {
    core: Core,
    engine: Arc<dyn Engine>,
    alice: AccountId,
    _folder: tempfile::TempDir,
}

const MAIL: &str = "From: bob@example.net\r\nTo: alice@example.org\r\nSubject: Hello\r\nMessage-ID: <1@example.net>\r\n\r\nHi\r\n";
const ANSWER: &str = "From: eve@example.net\r\nSubject: Re: Hello\r\nMessage-ID: <2@example.net>\r\nIn-Reply-To: <1@example.net>\r\n\r\nNo\r\n";

/// Two accounts, a group, a token, and two mails in one thread.
async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let search = SearchIndex::open(folder.path(), &SearchOptions::default()).unwrap();
    let engine: Arc<dyn Engine> = MemoryEngine::new();
    let parts = Parts {
        push: Default::default(),
        engine: engine.clone(),
        clock: Arc::new(SystemClock),
        rng: Arc::new(SeededRng::new(7)),
        limits: Limits::default(),
        hostname: "localhost".into(),
        search: Arc::new(search),
    };
    let core = Core::open(parts).await.unwrap();
    let server = &Caller::server();
    core.add_domain(server, "example.org").await.unwrap();
    let password = Some(Secret::from("correct horse"));
    let alice = core
        .add_account(server, NewAccount::person("alice@example.org", password))
        .await
        .unwrap()
        .id;
    let team = core
        .add_account(server, NewAccount::group("team@example.org"))
        .await
        .unwrap()
        .id;
    core.add_member(server, team, alice).await.unwrap();
    core.add_token(server, alice, "laptop", None).await.unwrap();
    for (text, to) in [
        (MAIL, vec!["alice@example.org", "team@example.org"]),
        (ANSWER, vec!["alice@example.org"]),
    ] {
        let mut recipients = Vec::new();
        for address in to {
            recipients.push(core.resolve_recipient(address).await.unwrap());
        }
        let inbound = inbound(text, recipients);
        assert!(core.deliver(inbound).await.iter().all(Result::is_ok));
    }
    drop(core.accounts.handle(alice).view().await.unwrap());
    Fixture {
        core,
        engine,
        alice,
        _folder: folder,
    }
}

fn inbound(text: &'static str, recipients: Vec<Recipient>) -> Inbound {
    Inbound {
        mail_from: None,
        recipients,
        message: Bytes::from(text),
        peer: None,
        is_junk: false,
        answers_each: false,
        arrival: Default::default(),
    }
}

impl Fixture {
    /// Another core over the same store, that remembers nothing.
    async fn anew(&self) -> Core {
        let folder = self._folder.path().join("anew");
        let search = SearchIndex::open(&folder, &SearchOptions::default()).unwrap();
        let parts = Parts {
            push: Default::default(),
            engine: self.engine.clone(),
            clock: Arc::new(SystemClock),
            rng: Arc::new(SeededRng::new(8)),
            limits: Limits::default(),
            hostname: "localhost".into(),
            search: Arc::new(search),
        };
        Core::open(parts).await.unwrap()
    }

    async fn check(&self) -> Report {
        self.core
            .check(CheckOptions::default(), &|_| ())
            .await
            .unwrap()
    }

    async fn repair(&self) -> Report {
        self.core
            .repair(CheckOptions::default(), &|_| ())
            .await
            .unwrap()
    }

    async fn write(&self, change: impl FnOnce(&mut Batch)) {
        let mut batch = Batch::new();
        change(&mut batch);
        self.engine.commit(batch).await.unwrap();
    }

    /// The key of alice's first email, and its record.
    async fn email(&self) -> (Vec<u8>, EmailRecord) {
        let page = store::engine::Page::first(keys::objects(self.alice, DataType::Email), 1);
        let (key, bytes) = self.engine.scan(page).await.unwrap().remove(0);
        let record = EmailRecord::from_bytes(&key, &bytes).unwrap();
        (key.to_vec(), record)
    }

    async fn head(&self) -> Head {
        let key = keys::head(self.alice);
        Head::from_bytes(&key, &self.engine.get(&key).await.unwrap().unwrap()).unwrap()
    }
}

/// The codes of the problems that a damage leads to, each once; repair then leaves nothing of them, and nothing to do.
async fn damaged(name: &str, expected: &[&str], damage: impl AsyncFnOnce(&Fixture)) {
    let fixture = fixture().await;
    damage(&fixture).await;
    let report = fixture.check().await;
    let mut codes: Vec<&str> = report
        .problems
        .iter()
        .map(|problem| problem.code.name())
        .collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes, expected, "{name}: {:#?}", report.problems);
    repaired(name, &fixture).await;
}

/// Repairs, and sees that nothing is left to do.
async fn repaired(name: &str, fixture: &Fixture) -> Report {
    let repair = fixture.repair().await;
    assert_eq!(repair.remaining, [], "{name}: {:#?}", repair.problems);
    let left = fixture.check().await;
    assert_eq!(left.problems, [], "{name} after repair");
    let before = dump(&fixture.engine).await;
    let again = fixture.repair().await;
    assert_eq!((again.repaired, again.problems.len()), (0, 0), "{name}");
    assert_eq!(
        dump(&fixture.engine).await,
        before,
        "{name}: a second repair"
    );
    repair
}

/// All rows of a store.
async fn dump(engine: &Arc<dyn Engine>) -> Vec<(Bytes, Bytes)> {
    let everything = store::engine::Page::first(vec![]..vec![0xff; 64], usize::MAX);
    engine.scan(everything).await.unwrap()
}

#[tokio::test]
async fn healthy_store_has_no_problems() {
    let fixture = fixture().await;
    let report = fixture.check().await;
    assert_eq!(report.problems, []);
    assert_eq!((report.accounts, report.emails, report.blobs), (2, 3, 2));
    // Also while it waits for its index, and after a removal.
    let server = Caller::server();
    fixture.core.rebuild_search().await.unwrap();
    assert_eq!(fixture.check().await.problems, []);
    fixture
        .core
        .remove_account(&server, fixture.alice)
        .await
        .unwrap();
    assert_eq!(fixture.check().await.problems, []);
}

#[tokio::test]
async fn damage_of_records_is_found() {
    damaged("unknown subspace", &["key/unknown-subspace"], async |f| {
        f.write(|batch| {
            let _ = batch.put(vec![0xee, 1], "x");
        })
        .await;
    })
    .await;
    damaged("short key", &["key/wrong-shape"], async |f| {
        f.write(|batch| {
            let _ = batch.put(vec![keys::Subspace::Head as u8, 1], "x");
        })
        .await;
    })
    .await;
    damaged(
        "unreadable account",
        &[
            "directory/address",
            "directory/credential",
            "directory/login-name",
            "directory/membership",
            "record/unreadable",
        ],
        async |f| {
            f.write(|batch| {
                let _ = batch.put(keys::account(f.alice), "x");
            })
            .await;
        },
    )
    .await;
    damaged("lost address", &["directory/address"], async |f| {
        f.write(|batch| {
            let _ = batch.delete(keys::address("alice@example.org"));
        })
        .await;
    })
    .await;
    damaged("lost login name", &["directory/login-name"], async |f| {
        f.write(|batch| {
            let _ = batch.delete(keys::login_name("alice@example.org"));
        })
        .await;
    })
    .await;
    damaged(
        "membership of nobody",
        &["directory/membership"],
        async |f| {
            f.write(|batch| drop(batch.put(keys::membership(AccountId::new(77), f.alice), "")))
                .await;
        },
    )
    .await;
    damaged("share of nothing", &["share/count"], async |f| {
        f.write(|batch| {
            drop(batch.put(keys::shared_with(AccountId::new(2), f.alice), numbers(&[1])))
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn damage_of_mail_is_found() {
    damaged(
        "unreadable email",
        &["record/unreadable", "view/other"],
        async |f| {
            let (key, _) = f.email().await;
            f.write(|batch| {
                let _ = batch.put(key, "x");
            })
            .await;
        },
    )
    .await;
    damaged("changed octets", &["blob/octets"], async |f| {
        let (_, record) = f.email().await;
        f.write(|batch| {
            let _ = batch.put(keys::blob(&record.blob), "other octets");
        })
        .await;
    })
    .await;
    damaged(
        "lost octets",
        &["blob/missing", "summary/orphan"],
        async |f| {
            let (_, record) = f.email().await;
            f.write(|batch| {
                let _ = batch.delete(keys::blob(&record.blob));
            })
            .await;
        },
    )
    .await;
    damaged("lost summary", &["summary/missing"], async |f| {
        let (_, record) = f.email().await;
        f.write(|batch| {
            let _ = batch.delete(keys::summary(&record.blob));
        })
        .await;
    })
    .await;
    damaged("lost reference", &["blob/not-held"], async |f| {
        let (key, record) = f.email().await;
        let (_, _, id) = keys::decode_object(&key).unwrap();
        f.write(|batch| {
            drop(batch.delete(keys::blob_ref(&record.blob, f.alice, DataType::Email, id)))
        })
        .await;
    })
    .await;
    damaged("reference of nothing", &["email/lost"], async |f| {
        let (_, record) = f.email().await;
        f.write(|batch| {
            drop(batch.put(
                keys::blob_ref(&record.blob, f.alice, DataType::Email, 999),
                "",
            ))
        })
        .await;
    })
    .await;
    damaged("orphaned blob", &["blob/orphan"], async |f| {
        f.write(|batch| drop(batch.put(keys::blob(&store::blob::hash(b"alone")), "alone")))
            .await;
    })
    .await;
    damaged(
        "UID that comes again",
        &["uid/again", "uid/row", "view/other"],
        async |f| {
            f.write(|batch| {
                let _ = batch.put(keys::mailbox_uid(f.alice, 1), numbers(&[1, 1]));
            })
            .await;
        },
    )
    .await;
    damaged(
        "annotations of nothing",
        &["mailbox/annotations"],
        async |f| {
            f.write(|batch| {
                let none = crate::mail::records::MetadataRecord::default();
                let _ = batch.put(keys::metadata(f.alice, 99, 0), none.to_bytes());
            })
            .await;
        },
    )
    .await;
    damaged("one UID twice", &["uid/twice"], async |f| {
        let (key, mut record) = f.email().await;
        record.all_places[0].uid = 2;
        f.write(|batch| {
            let _ = batch.put(key, record.to_bytes());
        })
        .await;
    })
    .await;
    damaged(
        "mailbox that isn't there",
        &["email/no-mailbox", "view/other"],
        async |f| {
            let (key, mut record) = f.email().await;
            record.all_places[0].mailbox = 99;
            f.write(|batch| {
                let _ = batch.put(key, record.to_bytes());
            })
            .await;
        },
    )
    .await;
    damaged("thread that isn't there", &["thread/count"], async |f| {
        let (_, record) = f.email().await;
        f.write(|batch| {
            let _ = batch.delete(keys::object(f.alice, DataType::Thread, record.thread));
        })
        .await;
    })
    .await;
    damaged("wrong size", &["email/size", "quota/used"], async |f| {
        let (key, mut record) = f.email().await;
        record.size += 1;
        f.write(|batch| {
            let _ = batch.put(key, record.to_bytes());
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn damage_of_states_is_found() {
    damaged("gap in the log", &["log/gap"], async |f| {
        f.write(|batch| {
            let _ = batch.delete(keys::log(f.alice, 2));
        })
        .await;
    })
    .await;
    damaged("head that went back", &["head/behind"], async |f| {
        let mut head = f.head().await;
        head.sequence -= 1;
        f.write(|batch| {
            let _ = batch.put(keys::head(f.alice), head.to_bytes());
        })
        .await;
    })
    .await;
    damaged("forgotten index", &["search/forgotten"], async |f| {
        f.write(|batch| {
            batch
                .delete(keys::search_pending(f.alice))
                .delete(keys::search_cursor(f.alice));
        })
        .await;
    })
    .await;
    damaged("lost head", &["head/missing"], async |f| {
        f.write(|batch| {
            let _ = batch.delete(keys::head(f.alice));
        })
        .await;
    })
    .await;
}
