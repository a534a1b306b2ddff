//! The audit, requests that are made once, and who may do what.

use std::sync::Arc;

use expect_test::{Expect, expect};
use jmap_types::AccountId;
use store::{
    Record,
    engine::{Batch, MemoryEngine},
    keys,
};

use super::{
    AUDIT_KEEP, AuditFilter, AuditRecord, AuditRow, ChangedField, Deed, IDEMPOTENCY_KEEP,
    IDEMPOTENCY_KEYS_MAX, Once, OnceRecord, Outcome, REFUSALS_PER_HOUR_MAX, Terms, Version,
    audit::{FIELDS_MAX, TEXT_OCTETS_MAX},
};
use crate::{
    Caller, Role,
    access::{self, Object, Operation},
    auth::Secret,
    directory::{
        AccountChange, DirectoryError, DomainChange, Grant, NewAccount, NewList, Posters,
        tests::{PASSWORD, Server},
    },
};

fn golden<R: Record + PartialEq + std::fmt::Debug>(record: R, want: Expect) {
    let bytes = record.to_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    want.assert_eq(&hex);
    assert_eq!(R::from_bytes(b"", &bytes).unwrap(), record);
}

#[test]
fn bytes_of_version_1() {
    let record = AuditRecord {
        account: 7,
        name: "a@b.example".into(),
        role: Role::DomainAdministrator,
        way: "admin".into(),
        address: Some("192.0.2.1".into()),
        operation: "account.change".into(),
        object: "c@b.example".into(),
        of_account: Some(8),
        domains: vec!["b.example".into()],
        changes: vec![ChangedField {
            field: "disabled".into(),
            before: Some("false".into()),
            after: Some("true".into()),
        }],
        outcome: Outcome::Refused,
        note: Some("no".into()),
        credential: 2,
    };
    golden(
        record,
        expect![
            "8d076b6140622e6578616d706c65026561646d696e693139322e302e322e316e6163636f756e742e6368616e67656b6340622e6578616d706c65088169622e6578616d706c6581836864697361626c65646566616c7365647472756501626e6f02"
        ],
    );
    let once = OnceRecord {
        fingerprint: [3; 32],
        made: "a1".into(),
        at: 1_700_000_000,
    };
    golden(
        once,
        expect![
            "83582003030303030303030303030303030303030303030303030303030303030303036261311a6553f100"
        ],
    );
}

/// Two domains, somebody who looks after the first, and a help desk.
struct Staffed {
    server: Server,
    ann: AccountId,
    eve: AccountId,
    boss: AccountId,
    of_org: Caller,
    help: Caller,
    user: Caller,
}

impl Staffed {
    async fn new() -> Self {
        let server = Server::with_domain().await;
        let (core, admin) = (&server.core, &server.admin);
        core.add_domain(admin, "example.net").await.unwrap();
        let ann = server.person_with_password("ann@example.org").await;
        let eve = server.person("eve@example.net").await;
        let staff = |name: &str, role, domains: &[&str]| NewAccount {
            role,
            administers: domains.iter().map(|name| (*name).to_owned()).collect(),
            ..NewAccount::person(name, Some(Secret::from(PASSWORD)))
        };
        let of_org = Role::DomainAdministrator;
        for new in [
            staff("carol@example.org", of_org, &["example.org"]),
            staff("help", Role::HelpDesk, &[]),
            staff("boss@example.org", Role::Administrator, &[]),
        ] {
            core.add_account(admin, new).await.unwrap();
        }
        let boss = core.account_named("boss@example.org").await.unwrap().id;
        Self {
            of_org: server.login("carol@example.org", PASSWORD).await.unwrap(),
            help: server.login("help", PASSWORD).await.unwrap(),
            user: server.login("ann@example.org", PASSWORD).await.unwrap(),
            server,
            ann,
            eve,
            boss,
        }
    }

    async fn rows(&self, filter: AuditFilter) -> Vec<AuditRow> {
        let (core, admin) = (&self.server.core, &self.server.admin);
        core.audit_rows(admin, &filter, None, 1000).await.unwrap().0
    }

    /// The operations of the audit, oldest first, and the fields that were changed.
    async fn deeds(&self, of: AccountId) -> Vec<String> {
        let filter = AuditFilter {
            of_account: Some(of),
            ..AuditFilter::default()
        };
        let rows = self.rows(filter).await.into_iter().rev();
        rows.map(|row| {
            let fields: Vec<String> = row
                .record
                .changes
                .into_iter()
                .map(|change| change.field)
                .collect();
            format!("{} {}", row.record.operation, fields.join(" "))
        })
        .collect()
    }
}

fn is_not_found<T: std::fmt::Debug>(result: Result<T, DirectoryError>) {
    assert!(
        matches!(result, Err(DirectoryError::NotFound(_))),
        "{result:?}"
    );
}

fn is_forbidden<T: std::fmt::Debug>(result: Result<T, DirectoryError>) {
    assert!(
        matches!(result, Err(DirectoryError::Forbidden)),
        "{result:?}"
    );
}

#[tokio::test]
async fn who_looks_after_a_domain_sees_no_other() {
    let staffed = Staffed::new().await;
    let (core, carol) = (&staffed.server.core, &staffed.of_org);
    let names = |accounts: Vec<crate::directory::Account>| -> Vec<String> {
        accounts
            .iter()
            .map(|account| account.record.name.clone())
            .collect()
    };
    assert_eq!(
        names(core.accounts(carol).await.unwrap()),
        ["ann@example.org", "carol@example.org"]
    );
    let domains = core.domains(carol).await.unwrap();
    assert_eq!(domains.len(), 1);
    // What isn't theirs is as if it weren't there: with the same words.
    let hidden = core.account(carol, staffed.eve).await.unwrap_err();
    let nobody = AccountId::new(4711);
    let missing = core.account(carol, nobody).await.unwrap_err();
    assert_eq!(
        hidden.to_string().replace(&staffed.eve.to_string(), "X"),
        missing.to_string().replace(&nobody.to_string(), "X")
    );
    is_not_found(core.account(carol, staffed.boss).await);
    is_not_found(core.domain(carol, "example.net").await);
    is_not_found(core.domain(carol, "example.com").await);
    is_not_found(core.set_disabled(carol, staffed.eve, true).await);
    is_not_found(core.set_disabled(carol, staffed.boss, true).await);
    is_not_found(
        core.set_password(carol, staffed.boss, &Secret::from("another horse"))
            .await,
    );
    is_not_found(core.credentials(carol, staffed.boss).await);
    is_not_found(core.remove_account(carol, staffed.eve).await);
    is_not_found(core.dkim_keys(carol, "example.net").await);
    is_not_found(core.prepare_dkim_keys(carol, "example.net").await);
    is_not_found(core.reports(carol, Some("example.net"), 0).await);
    let elsewhere = NewAccount::person("new@example.net", None);
    is_not_found(core.add_account(carol, elsewhere).await);
    is_not_found(core.add_alias(carol, staffed.ann, "ann@example.net").await);
    is_forbidden(core.add_domain(carol, "example.com").await);
    is_forbidden(core.remove_domain(carol, "example.org").await);
    is_forbidden(
        core.add_account(carol, NewAccount::person("word", None))
            .await,
    );
}

#[tokio::test]
async fn who_looks_after_a_domain_gives_no_role_and_no_room() {
    let staffed = Staffed::new().await;
    let (core, carol) = (&staffed.server.core, &staffed.of_org);
    for role in Role::ALL {
        let grant = Grant {
            role,
            domains: Vec::new(),
        };
        is_forbidden(core.set_role(carol, staffed.ann, grant).await);
    }
    let second = NewAccount {
        role: Role::DomainAdministrator,
        administers: vec!["example.org".into()],
        ..NewAccount::person("dora@example.org", None)
    };
    is_forbidden(core.add_account(carol, second).await);
    let more = DomainChange {
        octets_max: Some(None),
        ..DomainChange::default()
    };
    is_forbidden(core.set_domain(carol, "example.org", more).await);
    let catch_all = |name: &str| DomainChange {
        catch_all: Some(Some(name.to_owned())),
        ..DomainChange::default()
    };
    is_not_found(
        core.set_domain(carol, "example.org", catch_all("eve@example.net"))
            .await,
    );
    core.set_domain(carol, "example.org", catch_all("ann@example.org"))
        .await
        .unwrap();
    // Their own account has their own role, which others give.
    is_forbidden(core.set_quota(carol, carol.account, Some(0)).await);
    core.set_quota(carol, staffed.ann, Some(5)).await.unwrap();
}

#[tokio::test]
async fn an_account_that_is_also_elsewhere_is_nobodys_but_an_administrators() {
    let staffed = Staffed::new().await;
    let (core, admin) = (&staffed.server.core, &staffed.server.admin);
    core.add_alias(admin, staffed.ann, "ann@example.net")
        .await
        .unwrap();
    is_not_found(core.account(&staffed.of_org, staffed.ann).await);
}

#[tokio::test]
async fn lists_of_a_domain_are_made_by_who_looks_after_it() {
    let staffed = Staffed::new().await;
    let (core, carol) = (&staffed.server.core, &staffed.of_org);
    let list = |owner: &str| NewList {
        address: "team@example.org".into(),
        owner: owner.into(),
        description: String::new(),
        posters: Posters::Members,
        // Whether somebody is there, they aren't told.
        members: vec!["eve@example.net".into(), "nobody@example.net".into()],
    };
    is_not_found(core.add_list(carol, list("eve@example.net")).await);
    let made = core.add_list(carol, list("carol@example.org")).await;
    let made = made.unwrap();
    core.remove_list(carol, made.id).await.unwrap();
    let own = core.account(carol, carol.account).await.unwrap();
    assert_eq!(own.record.addresses, ["carol@example.org"]);
}

#[tokio::test]
async fn a_help_desk_sets_passwords_of_users_alone() {
    let staffed = Staffed::new().await;
    let (core, help) = (&staffed.server.core, &staffed.help);
    let secret = Secret::from("another horse");
    core.set_password(help, staffed.ann, &secret).await.unwrap();
    core.set_password(help, staffed.eve, &secret).await.unwrap();
    is_forbidden(core.set_password(help, staffed.boss, &secret).await);
    is_forbidden(
        core.set_password(help, staffed.of_org.account, &secret)
            .await,
    );
    core.set_password(help, help.account, &secret)
        .await
        .unwrap();
    assert_eq!(core.accounts(help).await.unwrap().len(), 5);
    is_forbidden(core.domains(help).await);
    is_forbidden(core.set_disabled(help, staffed.ann, true).await);
    is_forbidden(core.credentials(help, staffed.ann).await);
    is_forbidden(core.add_token(help, staffed.ann, "", None).await);
    is_forbidden(
        core.audit_rows(help, &AuditFilter::default(), None, 1)
            .await,
    );
    assert!(core.trace(help, &Default::default(), 1).await.is_ok());
}

#[tokio::test]
async fn a_user_is_told_the_same_whether_or_not_somebody_is_there() {
    let staffed = Staffed::new().await;
    let (core, user) = (&staffed.server.core, &staffed.user);
    for id in [staffed.eve, AccountId::new(4711)] {
        is_forbidden(core.account(user, id).await);
        is_forbidden(core.set_password(user, id, &Secret::from("x")).await);
        is_forbidden(core.set_disabled(user, id, true).await);
    }
    core.account(user, user.account).await.unwrap();
    is_forbidden(core.set_description(user, user.account, "me").await);
    is_forbidden(core.domain(user, "example.org").await);
}

#[tokio::test]
async fn every_operation_is_decided_for_every_role() {
    let staffed = Staffed::new().await;
    let record = staffed
        .server
        .core
        .account(&staffed.server.admin, staffed.ann)
        .await
        .unwrap()
        .record;
    let mut table = String::new();
    let mark = |may: bool| if may { 'x' } else { '-' };
    for &operation in Operation::ALL {
        let ann = Object::Account(staffed.ann, &record);
        let org = Object::Domain("example.org");
        let line: String = [
            &staffed.server.admin,
            &staffed.of_org,
            &staffed.help,
            &staffed.user,
        ]
        .into_iter()
        .flat_map(|who| {
            [Object::Server, org, ann].map(|object| access::may(who, operation, object).is_ok())
        })
        .map(mark)
        .collect();
        table.push_str(&format!("{:<20} {line}\n", operation.name()));
    }
    // Administrator, domain administrator, help desk, user; each: the server, example.org, ann@example.org (who is the user).
    expect![[r#"
        domain.see           xxx-xx------
        domain.add           xxx---------
        domain.remove        xxx---------
        domain.change        xxx-xx------
        domain.limit         xxx---------
        dns.see              xxx-xx------
        dkim.rotate          xxx-xx------
        report.see           xxx-xx------
        account.see          xxx-xxxxx--x
        account.add          xxx-xx------
        account.remove       xxx-xx------
        account.change       xxx-xx------
        account.role         xxx---------
        account.quota        xxx-xx------
        group.members        xxx-xx------
        credential.see       xxx-xx-----x
        credential.password  xxx-xx--x--x
        credential.add       xxx-xx-----x
        credential.revoke    xxx-xx-----x
        client.see           xxx---------
        client.change        xxx---------
        deleted.see          xxx-xx-----x
        deleted.restore      xxx-xx-----x
        queue.see            xxx-xx------
        queue.change         xxx-xx------
        queue.run            xxx---------
        trace.see            xxx-xxxxx---
        audit.see            xxx-xx------
        server.see           xxx---------
        store.check          xxx---------
        store.repair         xxx---------
        backup.run           xxx---------
        mail.move            xxx---------
        settings.see         xxx---------
        settings.change      xxx---------
        certificate.see      xxx---------
        certificate.change   xxx---------
    "#]]
    .assert_eq(&table);
}

#[tokio::test]
async fn a_domain_that_is_gone_has_no_administrators() {
    let staffed = Staffed::new().await;
    let (core, admin) = (&staffed.server.core, &staffed.server.admin);
    let both = Grant {
        role: Role::DomainAdministrator,
        domains: vec!["example.net".into(), "example.org".into()],
    };
    core.set_role(admin, staffed.ann, both).await.unwrap();
    core.remove_account(admin, staffed.eve).await.unwrap();
    core.remove_domain(admin, "example.net").await.unwrap();
    core.add_domain(admin, "example.net").await.unwrap();
    let ann = core.account(admin, staffed.ann).await.unwrap().record;
    assert_eq!(ann.administers, Some(vec!["example.org".to_owned()]));
}

#[tokio::test]
async fn a_role_fits_its_domains() {
    let staffed = Staffed::new().await;
    let (core, admin) = (&staffed.server.core, &staffed.server.admin);
    let grant = |role, domains: &[&str]| Grant {
        role,
        domains: domains.iter().map(|name| (*name).to_owned()).collect(),
    };
    let rows = [
        (grant(Role::DomainAdministrator, &[]), false),
        (grant(Role::HelpDesk, &["example.org"]), false),
        (grant(Role::DomainAdministrator, &["example.com"]), false),
        (grant(Role::DomainAdministrator, &["Example.ORG"]), true),
        (grant(Role::User, &[]), true),
    ];
    for (grant, is_ok) in rows {
        let result = core.set_role(admin, staffed.ann, grant.clone()).await;
        assert_eq!(result.is_ok(), is_ok, "{grant:?}");
    }
    let boss = staffed
        .server
        .login("boss@example.org", PASSWORD)
        .await
        .unwrap();
    let result = core
        .set_role(&boss, staffed.boss, grant(Role::User, &[]))
        .await;
    assert!(
        matches!(result, Err(DirectoryError::InUse(_))),
        "{result:?}"
    );
    let result = core.set_disabled(&boss, staffed.boss, true).await;
    assert!(
        matches!(result, Err(DirectoryError::InUse(_))),
        "{result:?}"
    );
}

#[tokio::test]
async fn each_change_leaves_its_row_and_no_secret() {
    let staffed = Staffed::new().await;
    let (core, admin) = (&staffed.server.core, &staffed.server.admin);
    let ann = staffed.ann;
    core.set_description(admin, ann, "Ann").await.unwrap();
    core.set_password(admin, ann, &Secret::from("another horse"))
        .await
        .unwrap();
    let token = core.add_token(admin, ann, "phone", None).await.unwrap();
    core.revoke_credential(admin, ann, token.credential.number)
        .await
        .unwrap();
    core.add_alias(admin, ann, "a@example.org").await.unwrap();
    core.remove_alias(admin, ann, "a@example.org")
        .await
        .unwrap();
    core.rename_account(admin, ann, "anna@example.org")
        .await
        .unwrap();
    core.set_quota(admin, ann, Some(7)).await.unwrap();
    core.remove_account(admin, ann).await.unwrap();
    let deeds = staffed.deeds(ann).await;
    expect![[r#"
        account.add name kind disabled role addresses password
        account.change description
        credential.password password
        credential.add credential kind description
        credential.revoke credential kind description
        account.change addresses
        account.change addresses
        account.change name addresses
        account.quota quotaOctets
        account.remove "#]]
    .assert_eq(&deeds.join("\n"));
    let rows = staffed.rows(AuditFilter::default()).await;
    let all = format!("{rows:?}");
    for secret in ["another horse", PASSWORD, token.secret.expose()] {
        assert!(!all.contains(secret));
    }
    // Nothing is left half: what was refused has no row of having been done.
    let count = rows.len();
    let again = core.add_domain(admin, "example.org").await;
    assert!(matches!(again, Err(DirectoryError::AlreadyExists(_))));
    assert_eq!(staffed.rows(AuditFilter::default()).await.len(), count);
}

#[tokio::test]
async fn rows_tell_who_and_from_where() {
    let staffed = Staffed::new().await;
    let (core, carol) = (&staffed.server.core, &staffed.of_org);
    core.set_description(carol, staffed.ann, "Ann")
        .await
        .unwrap();
    let filter = AuditFilter {
        by: Some(carol.account),
        ..AuditFilter::default()
    };
    let row = staffed.rows(filter.clone()).await.remove(0).record;
    assert_eq!(row.name, "carol@example.org");
    assert_eq!(row.address.as_deref(), Some("192.0.2.7"));
    assert_eq!((row.role, &*row.way), (Role::DomainAdministrator, "jmap"));
    let domains = vec!["example.org".to_owned()];
    assert_eq!((row.domains, row.outcome), (domains, Outcome::Done));
    // The same caller, as of now, still comes from there.
    let now = core.current(carol).await.unwrap().unwrap();
    assert_eq!(now.address(), carol.address());
}

#[tokio::test]
async fn who_looks_after_a_domain_sees_what_was_done_in_it() {
    let staffed = Staffed::new().await;
    let (core, admin) = (&staffed.server.core, &staffed.server.admin);
    core.set_description(admin, staffed.eve, "Eve")
        .await
        .unwrap();
    let boss = staffed
        .server
        .login("boss@example.org", PASSWORD)
        .await
        .unwrap();
    core.set_description(&boss, staffed.ann, "Ann")
        .await
        .unwrap();
    let (rows, _) = core
        .audit_rows(&staffed.of_org, &AuditFilter::default(), None, 1000)
        .await
        .unwrap();
    assert!(!rows.is_empty());
    for row in &rows {
        assert_eq!(row.record.domains, ["example.org"], "{row:?}");
        assert_eq!(row.record.address, None, "{row:?}");
    }
}

#[tokio::test]
async fn rows_come_newest_first_page_by_page() {
    let staffed = Staffed::new().await;
    let (core, admin) = (&staffed.server.core, &staffed.server.admin);
    for n in 0..25 {
        core.set_description(admin, staffed.ann, &n.to_string())
            .await
            .unwrap();
    }
    let filter = AuditFilter {
        operation: Some("account".into()),
        of_account: Some(staffed.ann),
        ..AuditFilter::default()
    };
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let (rows, next) = core.audit_rows(admin, &filter, after, 10).await.unwrap();
        seen.extend(rows);
        match next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let last: Vec<Option<&str>> = seen
        .iter()
        .take(25)
        .map(|row| row.record.changes[0].after.as_deref())
        .collect();
    let want: Vec<String> = (0..25).rev().map(|n: u32| n.to_string()).collect();
    assert_eq!(last, want.iter().map(|n| Some(&**n)).collect::<Vec<_>>());
    // And the one that made the account.
    assert_eq!(seen.len(), 26);
}

#[tokio::test]
async fn rows_go_when_their_time_is_over_or_they_are_too_many() {
    let staffed = Staffed::new().await;
    let (core, admin) = (&staffed.server.core, &staffed.server.admin);
    let count = staffed.rows(AuditFilter::default()).await.len() as u64;
    while core.purge_audit_to(count).await.unwrap() {}
    assert_eq!(
        staffed.rows(AuditFilter::default()).await.len() as u64,
        count
    );
    // One past the limit.
    core.set_description(admin, staffed.ann, "1").await.unwrap();
    while core.purge_audit_to(count).await.unwrap() {}
    assert_eq!(
        staffed.rows(AuditFilter::default()).await.len() as u64,
        count
    );
    let day = 86_400;
    staffed.server.pass(AUDIT_KEEP.as_secs() - day);
    core.set_description(admin, staffed.ann, "2").await.unwrap();
    while core.purge_audit().await.unwrap() {}
    assert_eq!(
        staffed.rows(AuditFilter::default()).await.len() as u64,
        count + 1
    );
    staffed.server.pass(day + 1);
    while core.purge_audit().await.unwrap() {}
    assert_eq!(staffed.rows(AuditFilter::default()).await.len(), 1);
    let report = core.check(Default::default(), &|_| {}).await.unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

#[tokio::test]
async fn refusals_are_noted_so_many_an_hour() {
    let staffed = Staffed::new().await;
    let (core, user) = (&staffed.server.core, &staffed.user);
    let refused = AuditFilter {
        outcome: Some(Outcome::Refused),
        ..AuditFilter::default()
    };
    let note = || async {
        let deed = Deed::new(Operation::AddDomain, "example.com");
        core.note_refusal(user, deed, "forbidden").await.unwrap();
    };
    for _ in 0..=REFUSALS_PER_HOUR_MAX {
        note().await;
    }
    let count = REFUSALS_PER_HOUR_MAX as usize;
    assert_eq!(staffed.rows(refused.clone()).await.len(), count);
    staffed.server.pass(3600);
    note().await;
    assert_eq!(staffed.rows(refused).await.len(), count + 1);
}

#[tokio::test]
async fn rows_have_a_size() {
    let staffed = Staffed::new().await;
    let (core, admin) = (&staffed.server.core, &staffed.server.admin);
    let long = "ü".repeat(TEXT_OCTETS_MAX);
    let mut deed = Deed::new(Operation::Repair, long.clone());
    for n in 0..=FIELDS_MAX {
        deed = deed.field(&n.to_string(), None, Some(long.clone()));
    }
    core.note_deed(admin, deed).await.unwrap();
    let row = staffed.rows(AuditFilter::default()).await.remove(0).record;
    assert_eq!(row.changes.len(), FIELDS_MAX);
    assert!(row.object.len() <= TEXT_OCTETS_MAX && row.object.ends_with('…'));
    let after = row.changes[0].after.as_deref().unwrap();
    assert!(after.len() <= TEXT_OCTETS_MAX && after.ends_with('…'));
}

#[tokio::test]
async fn a_change_is_refused_to_who_has_not_seen_the_last_one() {
    let staffed = Staffed::new().await;
    let (core, admin) = (&staffed.server.core, &staffed.server.admin);
    let seen = core.account(admin, staffed.ann).await.unwrap().record;
    let terms = Terms {
        expected: Some(vec![Version::of(&*seen)]),
        once: None,
    };
    let change = |text: &str| AccountChange {
        description: Some(text.to_owned()),
        ..AccountChange::default()
    };
    let first = core.change_account_on(admin, staffed.ann, change("1"), &terms);
    first.await.unwrap();
    let second = core.change_account_on(admin, staffed.ann, change("2"), &terms);
    let second = second.await;
    assert!(matches!(second, Err(DirectoryError::Changed)), "{second:?}");
    let gone = core.remove_account_on(admin, staffed.ann, &terms).await;
    assert!(matches!(gone, Err(DirectoryError::Changed)), "{gone:?}");
    let ann = core.account(admin, staffed.ann).await.unwrap().record;
    assert_eq!(ann.description, "1");
}

#[tokio::test]
async fn a_request_is_made_once() {
    let staffed = Staffed::new().await;
    let (core, admin) = (&staffed.server.core, &staffed.server.admin);
    let once = Once::new("key", &[b"a", b"b"]);
    let terms = Terms {
        expected: None,
        once: Some(once.clone()),
    };
    assert_eq!(core.done_before(admin, &once).await.unwrap(), None);
    let new = || NewAccount::person("new@example.org", None);
    let made = core.add_account_on(admin, new(), &terms).await.unwrap();
    let known = core.done_before(admin, &once).await.unwrap();
    assert_eq!(known, Some(made.id.to_string()));
    // A part of another length makes another request.
    let other = Once::new("key", &[b"ab", b""]);
    let reused = core.done_before(admin, &other).await;
    assert!(
        matches!(reused, Err(DirectoryError::AnotherRequest)),
        "{reused:?}"
    );
    // Another account's key is another one.
    assert_eq!(core.done_before(&staffed.user, &once).await.unwrap(), None);
    let token = crate::directory::NewCredential {
        kind: crate::directory::CredentialKind::Token,
        description: "",
        expires: None,
        scopes: crate::auth::Scopes::ALL,
    };
    let again = core
        .issue_credential(admin, staffed.ann, token, &terms)
        .await;
    assert!(
        matches!(again, Err(DirectoryError::DoneBefore)),
        "{again:?}"
    );
    // A day later it is forgotten.
    staffed.server.pass(IDEMPOTENCY_KEEP.as_secs());
    assert_eq!(core.done_before(admin, &once).await.unwrap(), None);
    assert_eq!(core.purge_idempotency().await.unwrap(), 1);
    core.issue_credential(admin, staffed.ann, token, &terms)
        .await
        .unwrap();
}

#[tokio::test]
async fn of_requests_at_the_same_time_one_is_made() {
    for seed in 0..8 {
        let engine = MemoryEngine::new();
        let (one, two) = (
            Server::over(engine.clone(), seed).await,
            Server::over(engine, seed + 100).await,
        );
        one.core
            .add_domain(&one.admin, "example.org")
            .await
            .unwrap();
        let ann = one.person("ann@example.org").await;
        let once = Arc::new(Once::new("key", &[b"token"]));
        let issue = |server: &Server| {
            let (core, admin, once) = (server.core.clone(), server.admin.clone(), once.clone());
            tokio::spawn(async move {
                let terms = Terms {
                    expected: None,
                    once: Some((*once).clone()),
                };
                let new = crate::directory::NewCredential {
                    kind: crate::directory::CredentialKind::Token,
                    description: "",
                    expires: None,
                    scopes: crate::auth::Scopes::ALL,
                };
                core.issue_credential(&admin, ann, new, &terms)
                    .await
                    .is_ok()
            })
        };
        let made = [issue(&one), issue(&two), issue(&one), issue(&two)];
        let mut count = 0;
        for made in made {
            count += usize::from(made.await.unwrap());
        }
        assert_eq!(count, 1, "seed {seed}");
        let credentials = one.core.credentials(&one.admin, ann).await.unwrap();
        assert_eq!(credentials.len(), 1, "seed {seed}");
    }
}

#[tokio::test]
async fn keys_of_one_day_have_a_limit() {
    let staffed = Staffed::new().await;
    let (core, admin) = (&staffed.server.core, &staffed.server.admin);
    let record = OnceRecord {
        fingerprint: [0; 32],
        made: String::new(),
        at: 1_700_000_000,
    };
    let mut batch = Batch::new();
    for n in 1..IDEMPOTENCY_KEYS_MAX {
        let key = *blake3::hash(&n.to_be_bytes()).as_bytes();
        batch.put(keys::idempotency(admin.account, &key), record.to_bytes());
    }
    core.engine.commit(batch).await.unwrap();
    for (key, is_ok) in [("last", true), ("one past", false)] {
        let terms = Terms {
            expected: None,
            once: Some(Once::new(key, &[])),
        };
        let name = format!("{}.example", key.replace(' ', "-"));
        let added = core.add_domain_on(admin, &name, &terms).await;
        assert_eq!(added.is_ok(), is_ok, "{added:?}");
    }
}
