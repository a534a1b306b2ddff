use std::collections::BTreeMap;

use jmap_types::AccountId;

use super::Server;
use crate::{
    Role,
    directory::{DomainChange, NewAccount, resolve::Resolved},
    inproc::deliver::RecipientError,
    rng::{Rng as _, SeededRng},
};

#[tokio::test]
async fn recipients() {
    let server = Server::with_domain().await;
    let (core, admin) = (&server.core, &server.admin);
    for domain in ["example.net", "catch.example", "bücher.example"] {
        core.add_domain(admin, domain).await.unwrap();
    }
    let ann = server.person("ann@example.org").await;
    let bob = server.person("bob@example.org").await;
    let boss = NewAccount {
        role: Role::Administrator,
        ..NewAccount::person("boss@example.org", None)
    };
    let boss = core.add_account(admin, boss).await.unwrap().id;
    core.add_alias(admin, bob, "ann+list@example.org")
        .await
        .unwrap();
    core.add_alias(admin, bob, "leser@bücher.example")
        .await
        .unwrap();
    let alias = DomainChange {
        alias_of: Some(Some("example.org".into())),
        ..DomainChange::default()
    };
    core.set_domain(admin, "example.net", alias).await.unwrap();
    let catch = DomainChange {
        catch_all: Some(Some("ann@example.org".into())),
        ..DomainChange::default()
    };
    core.set_domain(admin, "catch.example", catch)
        .await
        .unwrap();
    let rows = [
        ("ann@example.org", Ok(ann)),
        ("ANN@EXAMPLE.ORG", Ok(ann)),
        ("\"ann\"@example.org", Ok(ann)),
        ("ann+x@example.org", Ok(ann)),
        ("ann+x+y@example.org", Ok(ann)),
        ("ann+list@example.org", Ok(bob)),
        ("ann+list@example.net", Ok(bob)),
        ("ann@example.net", Ok(ann)),
        ("leser@xn--bcher-kva.example", Ok(bob)),
        ("LESER@BÜCHER.example", Ok(bob)),
        ("anyone@catch.example", Ok(ann)),
        ("a b@catch.example", Ok(ann)),
        ("postmaster@catch.example", Ok(ann)),
        ("Postmaster@example.org", Ok(boss)),
        ("postmaster+x@example.net", Ok(boss)),
        ("postmaster", Ok(boss)),
        ("nobody@example.org", Err(RecipientError::NoSuchMailbox)),
        ("+x@example.org", Err(RecipientError::NoSuchMailbox)),
        ("@example.org", Err(RecipientError::NoSuchMailbox)),
        ("ann", Err(RecipientError::NoSuchMailbox)),
        ("ann@example.com", Err(RecipientError::NotLocal)),
        ("ann@[192.0.2.1]", Err(RecipientError::NotLocal)),
        ("postmaster@example.com", Err(RecipientError::NotLocal)),
    ];
    for (address, want) in rows {
        // Twice: what is remembered says the same.
        for _ in 0..2 {
            let got = core.resolve_recipient(address).await;
            assert_eq!(
                got.map(|recipient| recipient.targets),
                want.map(|id| vec![id]),
                "{address}"
            );
        }
    }
    let owns = [
        (ann, "ann@example.org", true),
        (ann, "Ann+x@example.net", true),
        (ann, "ann+list@example.org", false),
        (bob, "ann+list@example.org", true),
        (ann, "anyone@catch.example", false),
        (boss, "postmaster@example.org", false),
        (ann, "ann@example.com", false),
    ];
    for (account, address, want) in owns {
        assert_eq!(
            core.owns_address(account, address).await.unwrap(),
            want,
            "{address}"
        );
    }
    core.set_disabled(admin, bob, true).await.unwrap();
    assert_eq!(
        core.resolve_recipient("bob@example.org").await,
        Err(RecipientError::Disabled)
    );
}

#[tokio::test]
async fn resolution_agrees_with_its_rules() {
    const LOCALS: &[&str] = &["a", "b", "a+x", "b+x", "a+y", "postmaster", "postmaster+x"];
    const DOMAINS: &[&str] = &["one.example", "two.example", "alias.example"];
    for seed in 0..20 {
        let rng = SeededRng::new(seed);
        let server = Server::new().await;
        let (core, admin) = (&server.core, &server.admin);
        for domain in DOMAINS {
            core.add_domain(admin, domain).await.unwrap();
        }
        let boss = NewAccount {
            role: Role::Administrator,
            ..NewAccount::person("boss", None)
        };
        let boss = core.add_account(admin, boss).await.unwrap().id;
        let ids = [server.person("u1").await, server.person("u2").await];
        let mut known: BTreeMap<String, AccountId> = BTreeMap::new();
        for _ in 0..4 {
            let local = LOCALS[(rng.next_u64() % LOCALS.len() as u64) as usize];
            let address = format!("{local}@{}", DOMAINS[(rng.next_u64() % 2) as usize]);
            let id = ids[(rng.next_u64() % 2) as usize];
            if core.add_alias(admin, id, &address).await.is_ok() {
                assert_eq!(known.insert(address, id), None, "seed {seed}");
            }
        }
        let catch = rng.next_u64().is_multiple_of(2);
        if catch {
            let change = DomainChange {
                catch_all: Some(Some("u1".into())),
                ..DomainChange::default()
            };
            core.set_domain(admin, DOMAINS[0], change).await.unwrap();
        }
        let alias = DomainChange {
            alias_of: Some(Some(DOMAINS[0].into())),
            ..DomainChange::default()
        };
        core.set_domain(admin, DOMAINS[2], alias).await.unwrap();
        for local in LOCALS {
            for domain in DOMAINS {
                let real = if *domain == DOMAINS[2] {
                    DOMAINS[0]
                } else {
                    domain
                };
                let base = local.split('+').next().unwrap_or(local);
                let want = known
                    .get(&format!("{local}@{real}"))
                    .or_else(|| known.get(&format!("{base}@{real}")))
                    .copied()
                    .or((catch && real == DOMAINS[0]).then_some(ids[0]))
                    .or((base == "postmaster").then_some(boss));
                let want = want.map_or(Resolved::NoSuchMailbox, |id| Resolved::Targets(vec![id]));
                let address = format!("{local}@{domain}");
                assert_eq!(
                    *core.resolve(&address).await.unwrap(),
                    want,
                    "seed {seed}: {address}"
                );
            }
        }
    }
}
