//! The bytes of every version of every record: what was written once stays readable.

use expect_test::{Expect, expect};
use store::Record;

use crate::{
    Role,
    auth::scram::ScramVerifier,
    blob::UploadRecord,
    directory::records::{
        AccountKind, AccountRecord, AddressRecord, CredentialKind, CredentialRecord, DomainRecord,
        Forward, ListRecord, Posters,
    },
};

fn check<R: Record + PartialEq + std::fmt::Debug>(record: R, want: Expect) {
    let bytes = record.to_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    want.assert_eq(&hex);
    assert_eq!(R::from_bytes(b"", &bytes).unwrap(), record);
}

#[test]
fn version_1() {
    let domain = DomainRecord {
        catch_all: Some(7),
        alias_of: Some("b.example".into()),
        created: 1_700_000_000,
        srs_domain: None,
        accounts_max: None,
        octets_max: None,
        recipients_per_hour: None,
        recipients_per_day: None,
    };
    check(domain, expect!["830769622e6578616d706c651a6553f100"]);
    check(
        AddressRecord {
            targets: vec![1, 300],
        },
        expect![[r#"81820119012c"#]],
    );
    let account = AccountRecord {
        name: "a@b.example".into(),
        kind: AccountKind::Group,
        description: "A".into(),
        quota_octets: Some(5),
        disabled: false,
        role: Role::Administrator,
        generation: 2,
        created: 1_700_000_000,
        addresses: vec!["a@b.example".into()],
        last_credential: 1,
        removed: false,
        forward: None,
        list: None,
        recipients_per_hour: None,
        recipients_per_day: None,
        administers: None,
    };
    check(
        account,
        expect!["8b6b6140622e6578616d706c6501614105f401021a6553f100816b6140622e6578616d706c6501f4"],
    );
    let credential = CredentialRecord {
        description: "phone".into(),
        kind: CredentialKind::Token,
        created: 1_700_000_000,
        expires: Some(1_800_000_000_000),
        password_hash: None,
        lookup: vec![1, 2, 3],
        token_hash: [9; 32],
        scram: None,
    };
    check(
        credential,
        expect![
            "876570686f6e65021a6553f1001b000001a3185c5000f64301020358200909090909090909090909090909090909090909090909090909090909090909"
        ],
    );
    let upload = UploadRecord {
        expires: 1_700_000_000_000,
        size: 3,
        media_type: "text/plain".into(),
        by: 1,
    };
    check(
        upload,
        expect!["841b0000018bcfe56800036a746578742f706c61696e01"],
    );
}

#[test]
fn version_2() {
    let credential = CredentialRecord {
        description: String::new(),
        kind: CredentialKind::Password,
        created: 1_700_000_000,
        expires: None,
        password_hash: Some("$argon2id$".into()),
        lookup: Vec::new(),
        token_hash: [0; 32],
        scram: Some(ScramVerifier {
            salt: vec![1, 2, 3, 4],
            iterations: 4096,
            stored_key: [5; 32],
            server_key: [6; 32],
        }),
    };
    check(
        credential,
        expect![
            "8860001a6553f100f66a246172676f6e3269642440582000000000000000000000000000000000000000000000000000000000000000008444010203041910005820050505050505050505050505050505050505050505050505050505050505050558200606060606060606060606060606060606060606060606060606060606060606"
        ],
    );
}

#[test]
fn version_3() {
    let domain = DomainRecord {
        catch_all: None,
        alias_of: None,
        created: 1,
        srs_domain: Some("s.example".into()),
        accounts_max: Some(1),
        octets_max: Some(2),
        recipients_per_hour: Some(3),
        recipients_per_day: Some(4),
    };
    check(
        domain,
        expect!["8df6f601f6f6f6f6f669732e6578616d706c6501020304"],
    );
    let list = AccountRecord {
        name: "l@b.example".into(),
        kind: AccountKind::List,
        description: String::new(),
        quota_octets: None,
        disabled: false,
        role: Role::User,
        generation: 1,
        created: 1,
        addresses: Vec::new(),
        last_credential: 1,
        removed: false,
        forward: Some(Forward {
            to: vec!["x@c.example".into()],
            keep: true,
        }),
        list: Some(ListRecord {
            posters: Posters::Domain,
            owner: 7,
        }),
        recipients_per_hour: Some(1),
        recipients_per_day: Some(2),
        administers: None,
    };
    check(
        list,
        expect![
            "8f6b6c40622e6578616d706c650260f6f40001018001f482816b7840632e6578616d706c65f58202070102"
        ],
    );
}

#[test]
fn version_4() {
    let account = AccountRecord {
        name: "d@b.example".into(),
        kind: AccountKind::Person,
        description: String::new(),
        quota_octets: None,
        disabled: false,
        role: Role::DomainAdministrator,
        generation: 1,
        created: 1,
        addresses: vec!["d@b.example".into()],
        last_credential: 1,
        removed: false,
        forward: None,
        list: None,
        recipients_per_hour: None,
        recipients_per_day: None,
        administers: Some(vec!["b.example".into(), "c.example".into()]),
    };
    check(
        account.clone(),
        expect![
            "906b6440622e6578616d706c650060f6f4020101816b6440622e6578616d706c6501f4f6f6f6f68269622e6578616d706c6569632e6578616d706c65"
        ],
    );
    let help_desk = AccountRecord {
        role: Role::HelpDesk,
        administers: None,
        ..account
    };
    check(
        help_desk,
        expect!["8b6b6440622e6578616d706c650060f6f4030101816b6440622e6578616d706c6501f4"],
    );
}
