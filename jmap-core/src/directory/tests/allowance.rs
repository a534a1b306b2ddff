//! What domains and accounts may use.

use jmap_types::AccountId;

use super::*;
use crate::{
    directory::allowance::USAGE_AGE_MAX,
    inproc::{
        deliver::{DeliverError, Inbound, RecipientError},
        submit::SubmitError,
    },
};

const MESSAGE: &str = "From: far@example.net\r\nSubject: hello\r\n\r\nHello there\r\n";

async fn arrives(server: &Server, to: &str) -> Result<(), DeliverError> {
    let recipient = match server.core.resolve_recipient(to).await {
        Ok(recipient) => recipient,
        Err(RecipientError::OverQuota) => return Err(DeliverError::OverQuota),
        Err(error) => panic!("{error}"),
    };
    let inbound = Inbound {
        mail_from: None,
        recipients: vec![recipient],
        message: MESSAGE.into(),
        arrival: Default::default(),
        peer: None,
        answers_each: false,
        is_junk: false,
    };
    server.core.deliver(inbound).await.remove(0)
}

async fn set(server: &Server, change: DomainChange) {
    let set = server.core.set_domain(&server.admin, "example.org", change);
    set.await.unwrap();
}

#[tokio::test]
async fn the_accounts_of_a_domain_share_its_quota() {
    let server = Server::with_domain().await;
    let ann = server.person("ann@example.org").await;
    server.person("bob@example.org").await;
    server
        .core
        .add_domain(&server.admin, "example.net")
        .await
        .unwrap();
    server.person("eve@example.net").await;
    let size = MESSAGE.len() as u64;
    let octets = |octets| DomainChange {
        octets_max: Some(octets),
        ..DomainChange::default()
    };
    // Room for three, and one octet less than four take.
    set(&server, octets(Some(4 * size - 1))).await;
    for (to, result) in [
        ("ann@example.org", Ok(())),
        ("bob@example.org", Ok(())),
        ("ann@example.org", Ok(())),
        ("bob@example.org", Err(DeliverError::OverQuota)),
        ("eve@example.net", Ok(())),
    ] {
        assert_eq!(arrives(&server, to).await, result, "{to}");
        server.pass(USAGE_AGE_MAX.as_secs());
    }
    // The account's own is the less.
    set(&server, octets(Some(100 * size))).await;
    server
        .core
        .set_quota(&server.admin, ann, Some(2 * size))
        .await
        .unwrap();
    server.pass(USAGE_AGE_MAX.as_secs());
    assert_eq!(
        arrives(&server, "ann@example.org").await,
        Err(DeliverError::OverQuota)
    );
    assert_eq!(arrives(&server, "bob@example.org").await, Ok(()));
    // Clients are shown the account's own.
    assert_eq!(server.core.own_quota_octets(ann).await.unwrap(), 2 * size);
    set(&server, octets(None)).await;
    assert_eq!(
        server.core.quota_octets(AccountId::new(2)).await.unwrap(),
        0
    );
    // A domain that may have nothing has nothing, not everything.
    set(&server, octets(Some(1))).await;
    server.pass(USAGE_AGE_MAX.as_secs());
    let new = server.person("new@example.org").await;
    assert_eq!(server.core.quota_octets(new).await.unwrap(), 1);
}

#[tokio::test]
async fn one_account_past_those_of_a_domain() {
    let server = Server::with_domain().await;
    let two = DomainChange {
        accounts_max: Some(Some(2)),
        ..DomainChange::default()
    };
    set(&server, two).await;
    let (core, admin) = (&server.core, &server.admin);
    server.person("ann@example.org").await;
    core.add_account(admin, NewAccount::group("team@example.org"))
        .await
        .unwrap();
    let one_more = core
        .add_account(admin, NewAccount::person("bob@example.org", None))
        .await;
    assert!(
        matches!(one_more, Err(DirectoryError::TooMany(_))),
        "{one_more:?}"
    );
    // An address alone is no account, and neither is a name without a domain.
    let to = vec!["ann@example.org".to_owned()];
    core.add_forwarding_alias(admin, "info@example.org", to)
        .await
        .unwrap();
    server.person("word").await;
    // Nor does one come in by another name, while those that are in go on to change theirs.
    core.add_domain(admin, "example.net").await.unwrap();
    let eve = server.person("eve@example.net").await;
    for id in [AccountId::new(4), eve] {
        let renamed = core.rename_account(admin, id, "eve@example.org").await;
        assert!(
            matches!(renamed, Err(DirectoryError::TooMany(_))),
            "{id}: {renamed:?}"
        );
    }
    core.rename_account(admin, AccountId::new(1), "anna@example.org")
        .await
        .unwrap();
    core.remove_account(admin, AccountId::new(2)).await.unwrap();
    core.rename_account(admin, eve, "eve@example.org")
        .await
        .unwrap();
    let bob = core
        .add_account(admin, NewAccount::person("bob@example.org", None))
        .await;
    assert!(matches!(bob, Err(DirectoryError::TooMany(_))), "{bob:?}");
}

#[tokio::test]
async fn recipients_of_an_account_and_of_a_domain() {
    let server = Server::with_domain().await;
    let (core, admin) = (&server.core, &server.admin);
    for name in ["ann@example.org", "bob@example.org"] {
        server.person_with_password(name).await;
    }
    let ann = server.login("ann@example.org", PASSWORD).await.unwrap();
    let bob = server.login("bob@example.org", PASSWORD).await.unwrap();
    let submit = async |who: &Caller, count: usize| {
        let recipients = (0..count)
            .map(|n| {
                crate::mail::submission::records::EnvelopeAddress::plain(format!(
                    "x{n}@example.net"
                ))
            })
            .collect();
        let message = format!("From: {}\r\nSubject: x\r\n\r\nx\r\n", who.name);
        core.submit(
            who,
            crate::mail::submission::records::EnvelopeAddress::plain(who.name.clone()),
            recipients,
            message.into(),
            None,
        )
        .await
    };
    core.set_budget(admin, ann.account, Some(3), None)
        .await
        .unwrap();
    assert_eq!(submit(&ann, 3).await, Ok(()));
    assert_eq!(
        submit(&ann, 1).await,
        Err(SubmitError::SentTooMuch { minutes: 61 })
    );
    let together = DomainChange {
        recipients_per_hour: Some(Some(4)),
        ..DomainChange::default()
    };
    set(&server, together).await;
    assert_eq!(submit(&bob, 4).await, Ok(()));
    assert!(submit(&bob, 1).await.is_err());
    core.set_budget(admin, ann.account, Some(0), Some(0))
        .await
        .unwrap();
    assert!(submit(&ann, 1).await.is_err(), "the domain's");
    server.pass(3600);
    assert_eq!(submit(&ann, 1).await, Ok(()));
}
