//! The bytes of every version of every record: what was written once stays readable.

use expect_test::{Expect, expect};
use store::Record;

use crate::{
    Role,
    auth::{
        Scopes, Secret,
        oauth::{
            OAuthScopes,
            records::{
                AccessToken, ClientRecord, CodeRecord, Decision, DeviceRecord, Grant, Kept,
                UserCodeRecord,
            },
        },
        scram::ScramVerifier,
        totp::Totp,
        webauthn::{Passkey, key::PublicKey},
    },
    blob::{UploadRecord, Uploader},
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
        role_from_outside: None,
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
        ..CredentialRecord::default()
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
        others: None,
    };
    check(
        upload,
        expect!["841b0000018bcfe56800036a746578742f706c61696e01"],
    );
}

#[test]
fn version_2() {
    let upload = UploadRecord {
        expires: 1_700_000_000_000,
        size: 3,
        media_type: "text/plain".into(),
        by: 1,
        others: Some(vec![Uploader {
            by: 2,
            expires: 1_699_999_999_999,
        }]),
    };
    check(
        upload,
        expect!["851b0000018bcfe56800036a746578742f706c61696e018182021b0000018bcfe567ff"],
    );
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
        ..CredentialRecord::default()
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
        role_from_outside: None,
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
        role_from_outside: None,
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
        help_desk.clone(),
        expect!["8b6b6440622e6578616d706c650060f6f4030101816b6440622e6578616d706c6501f4"],
    );
    let known_elsewhere = AccountRecord {
        role_from_outside: Some(true),
        ..help_desk
    };
    check(
        known_elsewhere,
        expect![
            "916b6440622e6578616d706c650060f6f4030101816b6440622e6578616d706c6501f4f6f6f6f6f6f5"
        ],
    );
}

#[test]
fn version_5() {
    let kept = |octet: u8| Kept {
        id: [octet; 8].into(),
        hash: [octet + 1; 32].into(),
    };
    let app_password = CredentialRecord {
        description: "phone".into(),
        kind: CredentialKind::AppPassword,
        created: 1,
        lookup: vec![1, 2, 3],
        token_hash: [9; 32],
        scopes: Some(Scopes::IMAP.union(Scopes::SUBMISSION)),
        ..CredentialRecord::default()
    };
    check(
        app_password,
        expect![
            "896570686f6e650101f6f64301020358200909090909090909090909090909090909090909090909090909090909090909f605"
        ],
    );
    let grant = CredentialRecord {
        description: "An app".into(),
        kind: CredentialKind::Grant,
        created: 1,
        expires: Some(2),
        scopes: Some(Scopes::IMAP),
        grant: Some(Box::new(Grant {
            client: "c".into(),
            scopes: OAuthScopes::MAIL,
            refresh: Some(kept(1)),
            access: vec![AccessToken {
                kept: kept(3),
                expires: 4,
                scopes: OAuthScopes::MAIL,
            }],
            used: 5,
            authenticated: 6,
        })),
        ..CredentialRecord::default()
    };
    check(
        grant,
        expect![
            "8a66416e20617070030102f64058200000000000000000000000000000000000000000000000000000000000000000f60186616318208248010101010101010158200202020202020202020202020202020202020202020202020202020202020202818382480303030303030303582004040404040404040404040404040404040404040404040404040404040404040418200506"
        ],
    );
    let totp = CredentialRecord {
        kind: CredentialKind::Totp,
        created: 1,
        totp: Some(Box::new(Totp {
            secret: Secret::new(vec![1, 2, 3]),
            is_confirmed: true,
            last_step: 7,
            recovery: vec![[8; 32].into()],
        })),
        ..CredentialRecord::default()
    };
    check(
        totp,
        expect![
            "8b600401f6f64058200000000000000000000000000000000000000000000000000000000000000000f6f6f68443010203f5078158200808080808080808080808080808080808080808080808080808080808080808"
        ],
    );
    let keys = [
        (
            PublicKey::Es256(vec![4, 5]),
            expect![
                "8c600501f6f64058200000000000000000000000000000000000000000000000000000000000000000f6f6f6f68442010282008142040503706d61696c2e6578616d706c652e6f7267"
            ],
        ),
        (
            PublicKey::EdDsa(vec![5]),
            expect![
                "8c600501f6f64058200000000000000000000000000000000000000000000000000000000000000000f6f6f6f684420102820181410503706d61696c2e6578616d706c652e6f7267"
            ],
        ),
        (
            PublicKey::Rs256(vec![6], vec![7]),
            expect![
                "8c600501f6f64058200000000000000000000000000000000000000000000000000000000000000000f6f6f6f6844201028202824106410703706d61696c2e6578616d706c652e6f7267"
            ],
        ),
    ];
    for (key, want) in keys {
        let passkey = CredentialRecord {
            kind: CredentialKind::Passkey,
            created: 1,
            passkey: Some(Box::new(Passkey {
                id: vec![1, 2],
                key,
                counter: 3,
                rp_id: "mail.example.org".into(),
            })),
            ..CredentialRecord::default()
        };
        check(passkey, want);
    }
    let client = ClientRecord {
        name: "An app".into(),
        redirect_uris: vec!["https://app.example/".into()],
        secret_hash: Some([1; 32].into()),
        created: 2,
        last_used: 3,
        is_dynamic: true,
        uri: Some("https://app.example/about".into()),
    };
    check(
        client,
        expect![
            "8766416e20617070817468747470733a2f2f6170702e6578616d706c652f582001010101010101010101010101010101010101010101010101010101010101010203f5781968747470733a2f2f6170702e6578616d706c652f61626f7574"
        ],
    );
    let code = CodeRecord {
        kept: kept(1),
        client: "c".into(),
        redirect_uri: "https://app.example/".into(),
        scopes: OAuthScopes::MAIL,
        account: 2,
        authenticated: 3,
        challenge: "x".into(),
        nonce: Some("n".into()),
        expires: 4,
        grant: Some(5),
        passkey: None,
    };
    check(
        code.clone(),
        expect![
            "8a824801010101010101015820020202020202020202020202020202020202020202020202020202020202020261637468747470733a2f2f6170702e6578616d706c652f182002036178616e0405"
        ],
    );
    let device = DeviceRecord {
        kept: kept(1),
        client: "c".into(),
        scopes: OAuthScopes::MAIL,
        user_code: "BBBBBBBB".into(),
        expires: 4,
        decision: Some(Decision::Allowed {
            account: 5,
            authenticated: 6,
            passkey: None,
        }),
    };
    check(
        device.clone(),
        expect![
            "86824801010101010101015820020202020202020202020202020202020202020202020202020202020202020261631820684242424242424242048201820506"
        ],
    );
    // Of somebody who has signed in with a passkey.
    let code = CodeRecord {
        passkey: Some(6),
        ..code
    };
    check(
        code,
        expect![
            "8b824801010101010101015820020202020202020202020202020202020202020202020202020202020202020261637468747470733a2f2f6170702e6578616d706c652f182002036178616e040506"
        ],
    );
    let by_passkey = DeviceRecord {
        decision: Some(Decision::Allowed {
            account: 5,
            authenticated: 6,
            passkey: Some(7),
        }),
        ..device.clone()
    };
    check(
        by_passkey,
        expect![
            "8682480101010101010101582002020202020202020202020202020202020202020202020202020202020202026163182068424242424242424204820183050607"
        ],
    );
    let denied = DeviceRecord {
        decision: Some(Decision::Denied),
        ..device
    };
    check(
        denied,
        expect![
            "8682480101010101010101582002020202020202020202020202020202020202020202020202020202020202026163182068424242424242424204820080"
        ],
    );
    let user_code = UserCodeRecord {
        device: [1; 8].into(),
        expires: 2,
    };
    check(user_code, expect!["8248010101010101010102"]);
}
