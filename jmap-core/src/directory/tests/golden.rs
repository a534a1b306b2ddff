//! The bytes of every version of every record: what was written once stays readable.

use expect_test::{Expect, expect};
use store::Record;

use crate::{
    Role,
    blob::UploadRecord,
    directory::records::{
        AccountKind, AccountRecord, AddressRecord, CredentialKind, CredentialRecord, DomainRecord,
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
    let domain = DomainRecord { catch_all: Some(7), alias_of: Some("b.example".into()), created: 1_700_000_000 };
    check(domain, expect![[r#"8307"#]]);
    check(AddressRecord { targets: vec![1, 300] }, expect![[r#"81820119012c"#]]);
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
    };
    check(account, expect![[r#""#]]);
    let credential = CredentialRecord {
        description: "phone".into(),
        kind: CredentialKind::Token,
        created: 1_700_000_000,
        expires: Some(1_800_000_000_000),
        password_hash: None,
        lookup: vec![1, 2, 3],
        token_hash: [9; 32],
    };
    check(credential, expect![[r#""#]]);
    let upload = UploadRecord { expires: 1_700_000_000_000, size: 3, media_type: "text/plain".into(), by: 1 };
    check(upload, expect![[r#""#]]);
}
