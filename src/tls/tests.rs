//! What is shown, in which order, and what happens when files change.

use std::{fs, path::Path};

use jmap_core::{
    Caller, Parts,
    clock::{SystemClock, TestClock, UtcMillis},
    rng::SeededRng,
};
use rcgen::{CertificateParams, KeyPair};

use store::{
    engine::MemoryEngine,
    search::{SearchIndex, SearchOptions},
};

use super::*;
use crate::config::{CertificatePair, tls::CertificateFiles};

/// Writes a pair for these names.
fn write(folder: &Path, file: &str, names: &[&str]) -> CertificatePair {
    write_until(folder, file, names, 4096)
}

/// The same; the certificate ends with a year.
fn write_until(folder: &Path, file: &str, names: &[&str], year: i32) -> CertificatePair {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|&name| name.into()).collect();
    let mut certificate = CertificateParams::new(names).unwrap();
    certificate.not_after = rcgen::date_time_ymd(year, 1, 1);
    let pair = CertificatePair {
        chain: folder.join(format!("{file}.crt")).into(),
        key: folder.join(format!("{file}.key")).into(),
    };
    fs::write(
        pair.chain.path(),
        certificate.self_signed(&key).unwrap().pem(),
    )
    .unwrap();
    fs::write(pair.key.path(), key.serialize_pem()).unwrap();
    pair
}

pub async fn open(folder: &Path, pairs: Vec<CertificatePair>) -> Arc<Certificates> {
    open_over(&core(folder).await, folder, pairs).await
}

/// A core over a store that is gone with it.
pub async fn core(folder: &Path) -> Core {
    core_over(MemoryEngine::new(), folder).await
}

pub async fn core_over(engine: Arc<MemoryEngine>, folder: &Path) -> Core {
    let options = SearchOptions {
        shards: 1,
        ..SearchOptions::default()
    };
    let search = SearchIndex::open(&folder.join("search"), &options).unwrap();
    let parts = Parts {
        engine,
        search: Arc::new(search),
        push: Default::default(),
        clock: Arc::new(SystemClock),
        rng: Arc::new(SeededRng::new(1)),
        limits: Default::default(),
        hostname: "mail.example.org".into(),
    };
    Core::open(parts).await.unwrap()
}

async fn open_over(core: &Core, folder: &Path, pairs: Vec<CertificatePair>) -> Arc<Certificates> {
    open_at(Arc::new(SystemClock), core, folder, pairs).await
}

async fn open_at(
    clock: Arc<dyn Clock>,
    core: &Core,
    folder: &Path,
    pairs: Vec<CertificatePair>,
) -> Arc<Certificates> {
    let mut config = Config::default();
    config.hostname.0 = "mail.example.org".to_owned();
    if !pairs.is_empty() {
        config.tls.certificate = Some(CertificateFiles::Many(pairs));
    }
    let folder = Folder::make(folder).unwrap();
    let opened = Certificates::open(&config, &folder, core, clock);
    opened.await.unwrap()
}

fn shown(of: &Certificates, name: Option<&str>) -> Vec<String> {
    of.resolver().find(name).unwrap().names().to_vec()
}

#[tokio::test]
async fn the_server_shows_its_own_name_to_whoever_names_none() {
    let folder = tempfile::tempdir().unwrap();
    let first = write(folder.path(), "first", &["www.example.net"]);
    let own = write(folder.path(), "own", &["*.example.org"]);
    let of = open(folder.path(), vec![first, own]).await;
    assert_eq!(shown(&of, None), ["*.example.org"]);
    assert_eq!(shown(&of, Some("www.example.net")), ["www.example.net"]);
    assert_eq!(shown(&of, Some("imap.example.org")), ["*.example.org"]);
}

#[tokio::test]
async fn without_a_certificate_one_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let key = |of: &Certificates| of.resolver().find(None).unwrap().public_key_hash().unwrap();
    let (core, none) = (core(folder.path()).await, Vec::new);
    let of = open_over(&core, folder.path(), none()).await;
    assert!(matches!(of.all()[0].origin, Origin::SelfSigned));
    let again = open_over(&core, folder.path(), none()).await;
    assert_eq!(key(&of), key(&again));
}

#[test]
fn what_has_ended_comes_last() {
    let folder = tempfile::tempdir().unwrap();
    let make = |file: &str, end: i32| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["mail.example.org".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(end, 1, 1);
        let pem = params.self_signed(&key).unwrap().pem();
        let identity = Identity::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes(), file);
        identity.unwrap()
    };
    let (old, new) = (make("old", 2001), make("new", 2999));
    let now = 1_700_000_000;
    let ordered = ordered(vec![old, new.clone()], "mail.example.org", now);
    assert_eq!(ordered[0].chain(), new.chain());
    drop(folder);
}

#[tokio::test]
async fn one_that_ends_while_the_server_runs_is_no_longer_shown() {
    let folder = tempfile::tempdir().unwrap();
    let name = ["mail.example.org"];
    let short = write_until(folder.path(), "short", &name, 2030);
    let long = write_until(folder.path(), "long", &name, 2040);
    let core = core(folder.path()).await;
    // 2029-12-31T23:59:00Z.
    let clock = Arc::new(TestClock::new(UtcMillis(1_893_455_940_000)));
    let of = open_at(clock.clone(), &core, folder.path(), vec![short, long]).await;
    let end = || of.resolver().find(None).unwrap().validity().unwrap().1;
    of.look(false).await.unwrap();
    assert_eq!(end(), 1_893_456_000);
    clock.advance(Duration::from_secs(61));
    of.look(false).await.unwrap();
    assert_eq!(end(), 2_208_988_800);
}

#[tokio::test]
async fn files_that_change_are_read_and_broken_ones_refused() {
    let folder = tempfile::tempdir().unwrap();
    let pair = write(folder.path(), "own", &["mail.example.org"]);
    let of = open(folder.path(), vec![pair.clone()]).await;
    let key = || of.resolver().find(None).unwrap().public_key_hash().unwrap();
    let first = key();
    of.look(false).await.unwrap();
    assert_eq!(key(), first);

    // The certificate comes before its key, as tools write them: for a moment they don't belong together.
    let other = write(folder.path(), "other", &["mail.example.org"]);
    fs::copy(other.chain.path(), pair.chain.path()).unwrap();
    of.look(false).await.unwrap();
    assert_eq!(key(), first);
    let problem = of.all()[0].problem.clone().unwrap();
    assert!(problem.contains("does not belong to"), "{problem}");
    fs::copy(other.key.path(), pair.key.path()).unwrap();
    of.look(false).await.unwrap();
    let second = key();
    assert_ne!(second, first);
    assert_eq!(of.all()[0].problem, None);

    for broken in [
        "",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        fs::write(pair.chain.path(), broken).unwrap();
        of.look(false).await.unwrap();
        assert_eq!(key(), second, "{broken}");
        assert!(of.all()[0].problem.is_some());
    }
    fs::remove_file(pair.chain.path()).unwrap();
    of.look(false).await.unwrap();
    assert_eq!(key(), second);
    assert!(of.all()[0].problem.is_some());

    // By the name of a folder that a link leads to, as certbot does.
    let third = write(folder.path(), "third", &["mail.example.org"]);
    std::os::unix::fs::symlink(third.chain.path(), pair.chain.path()).unwrap();
    fs::copy(third.key.path(), pair.key.path()).unwrap();
    of.look(false).await.unwrap();
    assert_ne!(key(), second);
}

#[tokio::test]
async fn what_is_imported_takes_the_place_of_the_self_signed_one() {
    let folder = tempfile::tempdir().unwrap();
    let core = core(folder.path()).await;
    let of = open_over(&core, folder.path(), Vec::new()).await;
    let who = &Caller::server();
    let pair = write(folder.path(), "own", &["mail.example.org", "*.example.net"]);
    let read = |path: &Path| fs::read(path).unwrap();
    let record = stored::imported(&read(pair.chain.path()), &read(pair.key.path())).unwrap();
    core.import_certificate(who, record).await.unwrap();
    of.look(false).await.unwrap();
    assert_eq!(
        shown(&of, Some("a.example.net")),
        ["mail.example.org", "*.example.net"]
    );
    let all = of.all();
    assert!(
        matches!(&all[..], [Shown { origin: Origin::Store(name, _), .. }] if name == "mail.example.org")
    );

    // One that can't be used costs itself alone.
    let broken = CertificateRecord {
        names: vec!["broken.example".to_owned()],
        chain: vec![vec![1].into()],
        ..CertificateRecord::default()
    };
    core.import_certificate(who, broken).await.unwrap();
    of.look(false).await.unwrap();
    assert_eq!(of.all().len(), 2);
    assert!(of.all()[0].problem.is_some() && of.all()[0].identity.is_none());
    assert_eq!(shown(&of, Some("broken.example"))[0], "mail.example.org");

    for name in ["broken.example", "mail.example.org"] {
        core.remove_certificate(who, name).await.unwrap();
    }
    of.look(false).await.unwrap();
    assert!(matches!(of.all()[0].origin, Origin::SelfSigned));
}

#[tokio::test]
async fn what_is_imported_has_to_fit() {
    let folder = tempfile::tempdir().unwrap();
    let one = write(folder.path(), "one", &["a.example"]);
    let other = write(folder.path(), "other", &["a.example"]);
    let read = |path: &Path| fs::read(path).unwrap();
    let mixed = stored::imported(&read(one.chain.path()), &read(other.key.path())).unwrap_err();
    assert!(mixed.to_string().contains("does not belong to"), "{mixed}");
}
