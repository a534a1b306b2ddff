//! As many as the directory may hold, and one more.

use jmap_types::AccountId;
use store::{Record as _, engine::Batch, keys};

use super::Server;
use crate::directory::{
    ADDRESSES_PER_ACCOUNT_MAX, CREDENTIALS_PER_ACCOUNT_MAX, DESCRIPTION_CHARACTERS_MAX,
    DOMAINS_MAX, DirectoryError, GROUPS_PER_ACCOUNT_MAX, NewAccount,
    names::{self, BARE_NAME_OCTETS_MAX, DOMAIN_OCTETS_MAX, LOCAL_PART_OCTETS_MAX},
    records::DomainRecord,
};

fn check<T: std::fmt::Debug>(what: &str, added: Result<T, DirectoryError>, too_many: bool) {
    match added {
        Ok(_) => assert!(!too_many, "{what}: one past the limit"),
        Err(DirectoryError::TooMany(_)) => assert!(too_many, "{what}: at the limit"),
        Err(error) => panic!("{what}: {error}"),
    }
}

#[tokio::test]
async fn domains() {
    let server = Server::with_domain().await;
    let mut batch = Batch::new();
    for n in 2..DOMAINS_MAX {
        let record = DomainRecord::default().to_bytes();
        batch.put(keys::domain(&format!("d{n}.example")), record);
    }
    server.core.engine.commit(batch).await.unwrap();
    for (name, too_many) in [("last.example", false), ("more.example", true)] {
        let added = server.core.add_domain(&server.admin, name).await;
        check(name, added, too_many);
    }
}

#[tokio::test]
async fn addresses_of_an_account() {
    let server = Server::with_domain().await;
    let ann = server.person("ann@example.org").await;
    // The name that it logs in with is the first.
    for n in 1..=ADDRESSES_PER_ACCOUNT_MAX {
        let alias = format!("alias{n}@example.org");
        let added = server.core.add_alias(&server.admin, ann, &alias).await;
        check(&alias, added, n == ADDRESSES_PER_ACCOUNT_MAX);
    }
}

#[tokio::test]
async fn credentials_of_an_account() {
    let server = Server::with_domain().await;
    let ann = server.person("ann@example.org").await;
    for n in 0..=CREDENTIALS_PER_ACCOUNT_MAX {
        let added = server.core.add_token(&server.admin, ann, "", None).await;
        let what = format!("token {n}");
        check(&what, added.map(drop), n == CREDENTIALS_PER_ACCOUNT_MAX);
    }
}

#[tokio::test]
async fn groups_of_an_account() {
    let server = Server::with_domain().await;
    let ann = server.person("ann@example.org").await;
    let mut batch = Batch::new();
    for n in 1..GROUPS_PER_ACCOUNT_MAX as u64 {
        let key = keys::membership(ann, AccountId::new(1_000_000 + n));
        batch.put(key, bytes::Bytes::new());
    }
    server.core.engine.commit(batch).await.unwrap();
    for (name, too_many) in [("last@example.org", false), ("more@example.org", true)] {
        let group = NewAccount::group(name);
        let group = server.core.add_account(&server.admin, group).await.unwrap();
        let added = server.core.add_member(&server.admin, group.id, ann).await;
        check(name, added, too_many);
    }
}

#[tokio::test]
async fn descriptions() {
    let server = Server::with_domain().await;
    let ann = server.person("ann@example.org").await;
    for (characters, is_valid) in [
        (DESCRIPTION_CHARACTERS_MAX, true),
        (DESCRIPTION_CHARACTERS_MAX + 1, false),
    ] {
        let description = "ä".repeat(characters);
        let core = &server.core;
        let token = core.add_token(&server.admin, ann, &description, None);
        let is_invalid = matches!(token.await, Err(DirectoryError::InvalidName { .. }));
        assert_eq!(is_invalid, !is_valid, "{characters}");
    }
}

#[test]
fn octets_of_names() {
    for (octets, is_valid) in [
        (LOCAL_PART_OCTETS_MAX, true),
        (LOCAL_PART_OCTETS_MAX + 1, false),
    ] {
        let local = names::local_part(&"x".repeat(octets));
        assert_eq!(local.is_ok(), is_valid, "{octets}");
    }
    // Labels of one letter, and the dots between them.
    for (octets, is_valid) in [(DOMAIN_OCTETS_MAX, true), (DOMAIN_OCTETS_MAX + 2, false)] {
        let domain = "x.".repeat(octets / 2) + "x";
        assert_eq!(domain.len(), octets);
        assert_eq!(names::domain(&domain).is_ok(), is_valid, "{octets}");
    }
    let longer = "x.".repeat(DOMAIN_OCTETS_MAX / 2) + "xx";
    assert!(names::domain(&longer).is_err(), "one octet past it");
    for (octets, is_valid) in [
        (BARE_NAME_OCTETS_MAX, true),
        (BARE_NAME_OCTETS_MAX + 1, false),
    ] {
        let name = names::account(&"x".repeat(octets));
        assert_eq!(name.is_ok(), is_valid, "{octets}");
    }
}
