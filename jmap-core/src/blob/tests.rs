use std::sync::Arc;

use bytes::Bytes;
use jmap_types::{
    AccountId, Arguments, BlobId, MethodCall as _, MethodErrorKind, Property, Section,
    TransferEncoding,
    blob::{BlobCopy, BlobGet, BlobLookup, BlobUpload},
    method::{CreatedIds, MethodResponse as _},
    property::NoElement,
    value::Map,
};
use store::{
    Record as _,
    engine::{Batch, Engine, MemoryEngine, Page},
    keys,
};

use super::{
    BLOB_GET_OCTETS_MAX, BLOBS_READ_MAX, BlobError, DATA_SOURCES_MAX, GRACE, UPLOADERS_MAX,
    UPLOADS_OF_ACCOUNT_MAX, UPLOADS_WAITING_MAX, UploadRecord, Uploader, methods::Selected,
};
use crate::{
    Caller, Core, Limits, Role,
    caller::Identity,
    directory::tests::{PASSWORD, Server},
};

async fn server_with(limits: Limits) -> (Server, AccountId, Caller) {
    let engine: Arc<dyn Engine> = MemoryEngine::new();
    let server = Server::with_limits(engine, 1, limits).await;
    let ann = server
        .core
        .bootstrap_admin("ann@example.org", PASSWORD.into())
        .await
        .unwrap()
        .id;
    let caller = server.login("ann@example.org", PASSWORD).await.unwrap();
    (server, ann, caller)
}

fn map(json: &str) -> Map {
    let value = jmap_tools::Value::<Property, NoElement>::parse_json(json).unwrap();
    value.into_owned().into_object().unwrap()
}

/// The response of a call to `account`, as JSON.
async fn call<C: crate::Handle>(
    server: &Server,
    who: &Caller,
    account: AccountId,
    rest: &str,
    ids: &CreatedIds,
) -> String {
    let json = format!("{{\"accountId\":\"{account}\",{rest}}}");
    let mut call = C::from_arguments(Arguments::new(map(&json))).unwrap();
    call.set_created_ids(ids.clone());
    let response = server.core.call(who, call).await.unwrap();
    serde_json::to_string(&response.into_map()).unwrap()
}

#[tokio::test]
async fn uploads_come_and_go() {
    let (server, ann, caller) = server_with(Limits::default()).await;
    let core = &server.core;
    let id = core
        .write_blob(&caller, ann, Bytes::from_static(b"aGFsbG8="), "text/plain")
        .await
        .unwrap();
    assert_eq!(core.read_blob(&caller, ann, id).await.unwrap(), "aGFsbG8=");
    let section = |end| {
        BlobId::section(
            id.hash,
            Section {
                start: 0,
                end,
                encoding: TransferEncoding::Base64,
            },
        )
    };
    assert_eq!(
        core.read_blob(&caller, ann, section(8)).await.unwrap(),
        "hallo"
    );
    assert!(matches!(
        core.read_blob(&caller, ann, section(9)).await,
        Err(BlobError::NotFound)
    ));
    let stranger = server.person("bob").await;
    let stranger_sees = core.read_blob(&caller, stranger, id).await;
    assert!(matches!(stranger_sees, Err(BlobError::Account(_))));
    assert!(!core.expire_uploads().await.unwrap());
    assert!(core.read_blob(&caller, ann, id).await.is_ok());
    server.pass(25 * 3600);
    core.expire_uploads().await.unwrap();
    assert!(matches!(
        core.read_blob(&caller, ann, id).await,
        Err(BlobError::NotFound)
    ));
    core.collect_blobs().await.unwrap();
    assert!(
        store::blob::get(&core.engine, &id.hash)
            .await
            .unwrap()
            .is_some()
    );
    server.pass(GRACE.as_secs() + 1);
    assert!(core.collect_blobs().await.unwrap());
    assert!(
        store::blob::get(&core.engine, &id.hash)
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn the_oldest_uploads_make_room() {
    let limits = Limits {
        max_upload_octets_waiting: 10,
        max_size_upload: 8,
        ..Limits::default()
    };
    let (server, ann, caller) = server_with(limits).await;
    let core = &server.core;
    let too_large = core
        .write_blob(&caller, ann, Bytes::from_static(b"123456789"), "")
        .await;
    assert!(matches!(too_large, Err(BlobError::TooLarge { max: 8 })));
    let first = core
        .write_blob(&caller, ann, Bytes::from_static(b"12345678"), "")
        .await
        .unwrap();
    server.pass(1);
    let second = core
        .write_blob(&caller, ann, Bytes::from_static(b"abcd"), "")
        .await
        .unwrap();
    assert!(!core.blob_is_visible(&caller, ann, &first).await.unwrap());
    assert!(core.blob_is_visible(&caller, ann, &second).await.unwrap());
}

#[tokio::test]
async fn one_past_the_number_of_uploads_that_wait() {
    let (server, ann, caller) = server_with(Limits::default()).await;
    let core = &server.core;
    let write = async |text: &'static str| {
        let octets = Bytes::from_static(text.as_bytes());
        core.write_blob(&caller, ann, octets, "").await.unwrap()
    };
    let first = write("first").await;
    server.pass(1);
    // Younger ones, until there is room for one more.
    let later = core.now_ms() + 48 * 3600 * 1000;
    let mut batch = Batch::new();
    for n in 2..UPLOADS_WAITING_MAX {
        let hash = *blake3::hash(&n.to_be_bytes()).as_bytes();
        let record = UploadRecord {
            expires: later,
            size: 1,
            media_type: String::new(),
            by: ann.number(),
            others: None,
        };
        batch.put(keys::upload(ann, &hash), record.to_bytes());
    }
    core.engine.commit(batch).await.unwrap();
    let last = write("last").await;
    assert!(core.blob_is_visible(&caller, ann, &first).await.unwrap());
    let more = write("one more").await;
    assert!(!core.blob_is_visible(&caller, ann, &first).await.unwrap());
    for id in [last, more] {
        assert!(core.blob_is_visible(&caller, ann, &id).await.unwrap());
    }
}

/// Somebody else who may look into the account.
fn other(number: u64, groups: &[AccountId], shares: &[AccountId]) -> Caller {
    Caller::new(Identity {
        domains: Vec::new(),
        account: AccountId::new(number),
        name: format!("u{number}@example.org"),
        role: Role::User,
        credential: 1,
        kind: None,
        groups: groups.to_vec(),
        shares: shares.to_vec(),
    })
}

async fn write(core: &Core, who: &Caller, account: AccountId, text: &'static str) -> BlobId {
    let octets = Bytes::from_static(text.as_bytes());
    core.write_blob(who, account, octets, "").await.unwrap()
}

async fn sees<const N: usize>(
    core: &Core,
    account: AccountId,
    id: &BlobId,
    callers: [&Caller; N],
) -> [bool; N] {
    let mut sees = [false; N];
    for (sees, who) in sees.iter_mut().zip(callers) {
        *sees = core.blob_is_visible(who, account, id).await.unwrap();
    }
    sees
}

/// The uploads that wait; each has its end, and there are no others.
async fn waiting(core: &Core, account: AccountId) -> Vec<UploadRecord> {
    let all = |range| Page::first(range, 2 * UPLOADS_OF_ACCOUNT_MAX);
    let rows = core.engine.scan(all(keys::uploads_of(account))).await;
    let mut records = Vec::new();
    for (key, bytes) in rows.unwrap() {
        let record = UploadRecord::from_bytes(&key, &bytes).unwrap();
        let (_, hash) = keys::decode_upload(&key).unwrap();
        let expiry = keys::upload_expiry(record.expires, account, &hash);
        assert!(core.engine.contains(&expiry).await.unwrap(), "{record:?}");
        records.push(record);
    }
    let ends = core
        .engine
        .scan(all(keys::upload_expiries_before(u64::MAX)));
    assert_eq!(ends.await.unwrap().len(), records.len());
    records
}

/// RFC 8620 §6.1: what nothing refers to is there for its uploader, also where the account is shared.
#[tokio::test]
async fn an_upload_is_there_for_those_who_have_uploaded_it() {
    let (server, ann, owner) = server_with(Limits::default()).await;
    let core = &server.core;
    let member = other(1001, &[ann], &[]);
    let guests = [other(1002, &[], &[ann]), other(1003, &[], &[ann])];
    let all = [&owner, &member, &guests[0], &guests[1]];
    let id = write(core, all[2], ann, "octets").await;
    assert_eq!(sees(core, ann, &id, all).await, [false, false, true, false]);
    // The same octets, by others as well: nobody loses them by that.
    server.pass(12 * 3600);
    write(core, all[3], ann, "octets").await;
    assert_eq!(sees(core, ann, &id, all).await, [false, false, true, true]);
    write(core, all[1], ann, "octets").await;
    assert_eq!(sees(core, ann, &id, all).await, [false, true, true, true]);
    assert_eq!(waiting(core, ann).await.len(), 1);
    // Each has their own time.
    server.pass(13 * 3600);
    core.expire_uploads().await.unwrap();
    assert_eq!(sees(core, ann, &id, all).await, [false, true, false, true]);
    write(core, all[0], ann, "octets").await;
    assert_eq!(sees(core, ann, &id, all).await, [true, true, false, true]);
    server.pass(25 * 3600);
    core.expire_uploads().await.unwrap();
    assert_eq!(sees(core, ann, &id, all).await, [false; 4]);
    assert!(waiting(core, ann).await.is_empty());
}

/// RFC 8620 §6.1: the room for uploads is each user's own.
#[tokio::test]
async fn nobody_takes_the_room_of_others_uploads() {
    let limits = Limits {
        max_upload_octets_waiting: 10,
        ..Limits::default()
    };
    let (server, ann, owner) = server_with(limits).await;
    let core = &server.core;
    let guest = other(1002, &[], &[ann]);
    let both = [&owner, &guest];
    let owners = write(core, &owner, ann, "owner's.").await;
    let shared = write(core, &owner, ann, "sh").await;
    server.pass(1);
    let first = write(core, &guest, ann, "first...").await;
    write(core, &guest, ann, "sh").await;
    assert_eq!(sees(core, ann, &shared, both).await, [true, true]);
    assert_eq!(sees(core, ann, &first, both).await, [false, true]);
    server.pass(1);
    let second = write(core, &guest, ann, "second..").await;
    assert_eq!(sees(core, ann, &first, both).await, [false, false]);
    assert_eq!(sees(core, ann, &second, both).await, [false, true]);
    server.pass(1);
    let third = write(core, &guest, ann, "third.....").await;
    assert_eq!(sees(core, ann, &shared, both).await, [true, false]);
    assert_eq!(sees(core, ann, &second, both).await, [false, false]);
    assert_eq!(sees(core, ann, &third, both).await, [false, true]);
    assert_eq!(sees(core, ann, &owners, both).await, [true, false]);
    assert_eq!(waiting(core, ann).await.len(), 3);
}

#[tokio::test]
async fn one_past_the_uploaders_of_the_same_octets() {
    let (server, ann, _) = server_with(Limits::default()).await;
    let core = &server.core;
    let guests: Vec<Caller> = (0..=UPLOADERS_MAX as u64)
        .map(|n| other(2000 + n, &[], &[ann]))
        .collect();
    let mut id = None;
    for guest in &guests {
        server.pass(1);
        id = Some(write(core, guest, ann, "octets").await);
    }
    let (first, second, last) = (&guests[0], &guests[1], &guests[UPLOADERS_MAX]);
    let seen = sees(core, ann, &id.unwrap(), [first, second, last]).await;
    assert_eq!(seen, [false, true, true]);
    let records = waiting(core, ann).await;
    assert_eq!(records[0].uploaders().count(), UPLOADERS_MAX);
}

#[tokio::test]
async fn one_past_the_uploads_of_an_account() {
    let (server, ann, owner) = server_with(Limits::default()).await;
    let core = &server.core;
    let first = write(core, &owner, ann, "first").await;
    // Others have nearly all of the room, and younger ones.
    let later = core.now_ms() + 48 * 3600 * 1000;
    let mut batch = Batch::new();
    let uploads_each = UPLOADS_WAITING_MAX as u64;
    for n in 2..UPLOADS_OF_ACCOUNT_MAX as u64 {
        let hash = *blake3::hash(&n.to_be_bytes()).as_bytes();
        let record = UploadRecord {
            expires: later + n,
            size: 1,
            media_type: String::new(),
            by: 2000 + n / uploads_each,
            others: None,
        };
        batch.put(keys::upload(ann, &hash), record.to_bytes());
        let expiry = keys::upload_expiry(record.expires, ann, &hash);
        batch.put(expiry, Bytes::new());
    }
    core.engine.commit(batch).await.unwrap();
    let second = write(core, &owner, ann, "second").await;
    assert_eq!(waiting(core, ann).await.len(), UPLOADS_OF_ACCOUNT_MAX);
    let third = write(core, &owner, ann, "third").await;
    let records = waiting(core, ann).await;
    assert_eq!(records.len(), UPLOADS_OF_ACCOUNT_MAX);
    for id in [first, second, third] {
        assert!(core.blob_is_visible(&owner, ann, &id).await.unwrap());
    }
    // The oldest of those who have most is gone.
    let last_of_most = 2000 + UPLOADS_OF_ACCOUNT_MAX as u64 / uploads_each - 1;
    let left = records.iter().filter(|record| record.by == last_of_most);
    assert_eq!(left.count(), UPLOADS_WAITING_MAX - 1);
}

/// What was written before there were several uploaders.
#[tokio::test]
async fn an_upload_of_one_uploader_is_joined() {
    let (server, ann, owner) = server_with(Limits::default()).await;
    let core = &server.core;
    let guest = other(1002, &[], &[ann]);
    let id = write(core, &guest, ann, "octets").await;
    let before = waiting(core, ann).await.remove(0);
    assert_eq!(before.others, None);
    server.pass(1);
    write(core, &owner, ann, "octets").await;
    let expected = Uploader {
        by: before.by,
        expires: before.expires,
    };
    let after = waiting(core, ann).await.remove(0);
    assert_eq!(after.others, Some(vec![expected]));
    assert_eq!(sees(core, ann, &id, [&owner, &guest]).await, [true, true]);
}

#[tokio::test]
async fn one_past_the_data_sources() {
    let (server, ann, caller) = server_with(Limits::default()).await;
    let of = |count: usize| {
        let sources = vec!["{\"data:asText\":\"x\"}"; count].join(",");
        format!("\"create\":{{\"k\":{{\"data\":[{sources}]}}}}")
    };
    let ids = CreatedIds::default();
    let most = call::<BlobUpload>(&server, &caller, ann, &of(DATA_SOURCES_MAX), &ids).await;
    assert!(
        most.contains(&format!("\"size\":{DATA_SOURCES_MAX}")),
        "{most}"
    );
    let more = call::<BlobUpload>(&server, &caller, ann, &of(DATA_SOURCES_MAX + 1), &ids).await;
    assert!(more.contains("\"type\":\"invalidProperties\""), "{more}");
}

#[tokio::test]
async fn one_octet_past_what_a_get_may_give() {
    let (server, ann, caller) = server_with(Limits::default()).await;
    let half = (BLOB_GET_OCTETS_MAX / 2) as usize;
    let mut ids = Vec::new();
    for (letter, octets) in [(b'x', half), (b'y', half), (b'z', 1)] {
        let octets = Bytes::from(vec![letter; octets]);
        let id = server.core.write_blob(&caller, ann, octets, "").await;
        ids.push(id.unwrap().to_string());
    }
    let get = async |ids: &[String]| {
        let ids = ids.join("\",\"");
        let json =
            format!("{{\"accountId\":\"{ann}\",\"ids\":[\"{ids}\"],\"properties\":[\"size\"]}}");
        let call = BlobGet::from_arguments(Arguments::new(map(&json))).unwrap();
        server
            .core
            .call(&caller, call)
            .await
            .map(|got| got.list.len())
    };
    assert_eq!(get(&ids[..2]).await.unwrap(), 2);
    let error = get(&ids).await.unwrap_err();
    assert_eq!(error.kind, MethodErrorKind::RequestTooLarge);
}

#[tokio::test]
async fn a_name_twice_says_no_more_than_once() {
    let (server, ann, caller) = server_with(Limits::default()).await;
    let ids = CreatedIds::default();
    let create = r##""create":{"c1":{"data":[{"data:asText":"hello"}]}}"##;
    call::<BlobUpload>(&server, &caller, ann, create, &ids).await;
    let names = vec!["\"Email\""; 10_000].join(",");
    let lookup = format!(r##""typeNames":["Thread",{names}],"ids":["#c1"]"##);
    let response = call::<BlobLookup>(&server, &caller, ann, &lookup, &ids).await;
    let want = r#""matchedIds":{"Thread":[],"Email":[]}"#;
    assert!(response.contains(want), "{response}");
    let names = vec!["\"digest:sha\""; 10_000].join(",");
    let json = format!(r##"{{"accountId":"{ann}","ids":["#c1"],"properties":[{names}]}}"##);
    let get = BlobGet::from_arguments(Arguments::new(map(&json))).unwrap();
    assert_eq!(get.properties.unwrap(), ["digest:sha"]);
}

#[tokio::test]
async fn one_past_what_a_call_may_read() {
    let limits = Limits {
        max_size_upload: 100,
        ..Limits::default()
    };
    let (server, ann, caller) = server_with(limits).await;
    let none = CreatedIds::default();
    let mut ids = Vec::new();
    for number in 0..=BLOBS_READ_MAX {
        let octets = Bytes::from(vec![b'a' + number as u8; 100]);
        let id = server.core.write_blob(&caller, ann, octets, "").await;
        ids.push(id.unwrap().to_string());
    }
    let max = BLOBS_READ_MAX as usize;
    let get = async |ids: &[String]| {
        let ids = ids.join("\",\"");
        let json = format!("{{\"accountId\":\"{ann}\",\"ids\":[\"{ids}\"],\"length\":1}}");
        let call = BlobGet::from_arguments(Arguments::new(map(&json))).unwrap();
        let got = server.core.call(&caller, call).await;
        got.map(|got| got.list.len()).map_err(|error| error.kind)
    };
    assert_eq!(get(&ids[..max]).await, Ok(max));
    assert_eq!(get(&ids).await, Err(MethodErrorKind::RequestTooLarge));
    let upload = async |ids: &[&String]| {
        let source = |id: &&String| format!("{{\"blobId\":\"{id}\",\"length\":1}}");
        let sources: Vec<String> = ids.iter().map(source).collect();
        let create = format!(r#""create":{{"c":{{"data":[{}]}}}}"#, sources.join(","));
        call::<BlobUpload>(&server, &caller, ann, &create, &none).await
    };
    let all: Vec<&String> = ids.iter().collect();
    let response = upload(&all[..max]).await;
    assert!(response.contains(&format!("\"size\":{max}")), "{response}");
    let response = upload(&all).await;
    assert!(response.contains("\"type\":\"tooLarge\""), "{response}");
    // Parts of one blob, one after the other, are read out of it.
    let response = upload(&[&ids[0]; 60]).await;
    assert!(response.contains("\"size\":60"), "{response}");
}

#[tokio::test]
async fn a_damaged_upload_is_in_nobodys_way() {
    let (server, ann, caller) = server_with(Limits::default()).await;
    let core = &server.core;
    let write = async |text: &'static str| write(core, &caller, ann, text).await;
    let (damaged, whole) = (write("damaged").await, write("whole").await);
    let damage = async || {
        let mut batch = Batch::new();
        batch.put(
            keys::upload(ann, &damaged.hash),
            Bytes::from_static(b"\xff"),
        );
        core.engine.commit(batch).await.unwrap();
    };
    let reads = async |id| core.read_blob(&caller, ann, id).await.is_ok();
    damage().await;
    assert!(!reads(damaged).await && reads(whole).await);
    let other = write("another").await;
    assert!(reads(other).await);
    // The same octets again.
    write("damaged").await;
    assert!(reads(damaged).await);
    damage().await;
    server.pass(25 * 3600);
    while core.expire_uploads().await.unwrap() {}
    let rows = core
        .engine
        .scan(Page::first(keys::uploads_of(ann), 10))
        .await;
    assert_eq!(rows.unwrap(), []);
    server.pass(GRACE.as_secs() + 1);
    while core.collect_blobs().await.unwrap() {}
    let octets = store::blob::get(&core.engine, &damaged.hash).await;
    assert_eq!(octets.unwrap(), None);
}

#[test]
fn ranges() {
    let rows = [
        ((10, 0, None), (0, 10, false)),
        ((10, 4, Some(3)), (4, 7, false)),
        ((10, 4, Some(6)), (4, 10, false)),
        ((10, 4, Some(7)), (4, 10, true)),
        ((10, 10, None), (10, 10, false)),
        ((10, 11, None), (10, 10, true)),
        ((10, u64::MAX, Some(u64::MAX)), (10, 10, true)),
    ];
    for ((size, offset, length), (start, end, is_truncated)) in rows {
        assert_eq!(
            Selected::of(size, offset, length),
            Selected {
                start,
                end,
                is_truncated
            }
        );
    }
}

#[tokio::test]
async fn the_methods() {
    let (server, ann, caller) = server_with(Limits::default()).await;
    let ids = CreatedIds::default();
    let create = r##""create":{
        "c2":{"data":[{"blobId":"#c1","offset":1,"length":2},{"data:asBase64":"/w=="}],"type":"image/gif"},
        "c1":{"data":[{"data:asText":"hello"}]},
        "c3":{"data":[{"blobId":"#c1","offset":4,"length":2}]},
        "c4":{"data":[{"data:asText":"x","data:asBase64":"eA=="}]},
        "c5":{"data":[{"blobId":"#c6"}]}}"##;
    let response = call::<BlobUpload>(&server, &caller, ann, create, &ids).await;
    assert!(
        response.contains(r#""size":3"#) && response.contains(r#""type":"image/gif""#),
        "{response}"
    );
    assert!(ids.get("c1").is_some() && ids.get("c2").is_some());
    assert!(ids.get("c3").is_none() && ids.get("c4").is_none() && ids.get("c5").is_none());
    assert!(response.contains("blobNotFound"), "{response}");
    let rows = [
        (
            r##""ids":["#c1"],"properties":["data:asText","size"]"##,
            r#""data:asText":"hello","size":5}"#,
        ),
        (
            r##""ids":["#c2"]"##,
            r#""data:asText":null,"data:asBase64":"ZWz/","size":3,"isEncodingProblem":true}"#,
        ),
        (
            r##""ids":["#c2"],"offset":0,"length":2"##,
            r#""data:asText":"el","size":3}"#,
        ),
        (
            r##""ids":["#c1"],"offset":4,"length":2"##,
            r#""data:asText":"o","size":5,"isTruncated":true}"#,
        ),
        (
            r##""ids":["#c1"],"properties":["digest:sha"]"##,
            r#""digest:sha":"qvTGHdzF6KLavt4PO0gs2a6pQ00="}"#,
        ),
        (
            r##""ids":["nope","#c9"]"##,
            r##""notFound":["nope","#c9"]"##,
        ),
    ];
    for (arguments, want) in rows {
        let response = call::<BlobGet>(&server, &caller, ann, arguments, &ids).await;
        assert!(response.contains(want), "{response}");
    }
    let lookup = r##""typeNames":["Email"],"ids":["#c1","nope"]"##;
    let response = call::<BlobLookup>(&server, &caller, ann, lookup, &ids).await;
    assert!(
        response.contains(r#""matchedIds":{"Email":[]}"#)
            && response.contains(r#""notFound":["nope"]"#),
        "{response}"
    );
    let id = ids.get("c1").unwrap();
    let copy = format!(r#""fromAccountId":"{ann}","blobIds":["{id}","nope"]"#);
    let response = call::<BlobCopy>(&server, &caller, ann, &copy, &ids).await;
    assert!(
        response.contains(&format!(r#""copied":{{"{id}":"{id}"}}"#)),
        "{response}"
    );
    assert!(
        response.contains(r#""notCopied":{"nope":{"type":"notFound"}}"#),
        "{response}"
    );
}
