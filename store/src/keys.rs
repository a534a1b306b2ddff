//! The keys of the store: one constructor and one decoder a row.
//!
//! Holds: integers are big-endian, so keys sort as numbers do; a subspace's number is never
//! used for anything else again. `store/README.md` has the same table, and a test compares.

use std::ops::Range;

use jmap_types::{AccountId, DataType};

use crate::engine::{Key, KeyRange};

/// The first octet of every key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Subspace {
    Meta = 0x00,
    Account = 0x01,
    LoginName = 0x02,
    Domain = 0x03,
    Address = 0x04,
    Credential = 0x05,
    CredentialLookup = 0x06,
    Membership = 0x07,
    SharedWith = 0x08,
    Head = 0x10,
    Object = 0x11,
    Log = 0x12,
    ThreadRef = 0x13,
    Delivered = 0x14,
    MailboxUid = 0x15,
    Metadata = 0x16,
    Blob = 0x20,
    BlobRef = 0x21,
    Summary = 0x22,
    BlobCandidate = 0x23,
    Upload = 0x24,
    UploadExpiry = 0x25,
    Structure = 0x26,
    BlobStub = 0x27,
    BlobGarbage = 0x28,
    SearchPending = 0x30,
    SearchCursor = 0x31,
    SearchShard = 0x32,
    SearchIndexed = 0x33,
    QueueDue = 0x40,
    PendingDelivery = 0x41,
    QueuePause = 0x42,
    QueueLength = 0x43,
    StsPolicy = 0x44,
    Quarantine = 0x50,
    DkimKey = 0x60,
    Trace = 0x70,
    TraceMessage = 0x71,
    TraceAccount = 0x72,
    ReportIn = 0x80,
    DmarcCounts = 0x81,
    TlsCounts = 0x82,
    ReportWaiting = 0x83,
    Node = 0x90,
    Lease = 0x91,
    Turn = 0x92,
    Undelete = 0x94,
    Backup = 0x95,
    Import = 0x98,
    Setting = 0xa0,
    Audit = 0xa1,
    Idempotency = 0xa2,
    Ban = 0xb0,
    AcmeAccount = 0xc0,
    Certificate = 0xc1,
    Challenge = 0xc2,
    Webhook = 0xd0,
    WebhookDue = 0xd1,
    WebhookDone = 0xd2,
    Alert = 0xd3,
    OAuthClient = 0xe0,
    OAuthPending = 0xe1,
}

/// The rows of the key table: subspace, what follows it, and what the value is.
pub const TABLE: &[(Subspace, &str, &str)] = &[
    (
        Subspace::Meta,
        "name",
        "format version, next account id, process secrets",
    ),
    (Subspace::Account, "account u64", "account record"),
    (Subspace::LoginName, "name", "account u64"),
    (Subspace::Domain, "name", "domain record"),
    (Subspace::Address, "address", "address record"),
    (
        Subspace::Credential,
        "account u64, credential u64",
        "credential record",
    ),
    (
        Subspace::CredentialLookup,
        "lookup id",
        "account u64, credential u64",
    ),
    (Subspace::Membership, "member u64, group u64", "empty"),
    (
        Subspace::SharedWith,
        "grantee u64, owner u64",
        "number of grants u64",
    ),
    (Subspace::Head, "account u64", "head record"),
    (
        Subspace::Object,
        "account u64, type u8, id u64",
        "the type's record",
    ),
    (Subspace::Log, "account u64, sequence u64", "changes"),
    (
        Subspace::ThreadRef,
        "account u64, hash u64",
        "thread u64, number of emails u64",
    ),
    (
        Subspace::Delivered,
        "account u64, delivery u64",
        "empty: it is in a mailbox; `expanded` or `silent`; in the server's own account, recipients u64 that were answered",
    ),
    (
        Subspace::MailboxUid,
        "account u64, mailbox u64",
        "UIDVALIDITY u64, UIDNEXT u64",
    ),
    (
        Subspace::Metadata,
        "account u64, mailbox u64, owner u64",
        "annotations of IMAP METADATA; mailbox 0: of the server, owner 0: shared",
    ),
    (Subspace::Blob, "hash", "octets"),
    (
        Subspace::BlobRef,
        "hash, account u64, type u8, id u64",
        "empty",
    ),
    (Subspace::Summary, "hash", "message summary"),
    (Subspace::BlobCandidate, "time u64, hash", "empty"),
    (Subspace::Upload, "account u64, hash", "upload record"),
    (
        Subspace::UploadExpiry,
        "time u64, account u64, hash",
        "empty",
    ),
    (
        Subspace::Structure,
        "hash",
        "message structure, as IMAP sends it",
    ),
    (
        Subspace::BlobStub,
        "hash",
        "where the octets of the blob are, and by which key they are encrypted",
    ),
    (
        Subspace::BlobGarbage,
        "time u64, hash, nonce of 16 octets",
        "empty: an object outside that nothing names any more",
    ),
    (Subspace::SearchPending, "account u64", "sequence u64"),
    (Subspace::SearchCursor, "account u64", "sequence u64"),
    (
        Subspace::SearchShard,
        "format u64, shards u64, shard u64, row u64, account u64",
        "row 0: head of a published shard; 1: its manifest; 2: a generation u64 that can't be read; 3: empty, the account is to be indexed anew",
    ),
    (
        Subspace::SearchIndexed,
        "account u64",
        "how far the last generations of its shard are",
    ),
    (
        Subspace::QueueDue,
        "time u64, account u64, submission u64",
        "lease record",
    ),
    (Subspace::PendingDelivery, "delivery u64", "delivery record"),
    (
        Subspace::QueuePause,
        "domain, or nothing: the whole queue",
        "since when: milliseconds since 1970 u64",
    ),
    (
        Subspace::QueueLength,
        "nothing",
        "number of submissions under way i64",
    ),
    (Subspace::StsPolicy, "domain", "MTA-STS policy record"),
    (Subspace::Quarantine, "key", "reason and the bad octets"),
    (
        Subspace::DkimKey,
        "domain, 0x00, selector",
        "DKIM key record",
    ),
    (Subspace::Trace, "event u64", "trace record"),
    (Subspace::TraceMessage, "hash u64, event u64", "empty"),
    (Subspace::TraceAccount, "account u64, event u64", "empty"),
    (
        Subspace::ReportIn,
        "domain, zero octet, end u64, report u64",
        "report that came, DMARC or TLS",
    ),
    (
        Subspace::DmarcCounts,
        "day u64, domain, zero octet, batch u64",
        "results of DMARC that are to be reported",
    ),
    (
        Subspace::TlsCounts,
        "day u64, domain, zero octet, batch u64",
        "TLS sessions that are to be reported",
    ),
    (
        Subspace::ReportWaiting,
        "number u64",
        "hash of a mail that may have a report in it, time received u64, and once it was tried how often u64",
    ),
    (Subspace::Node, "node u64", "node record"),
    (Subspace::Lease, "name of the work", "lease record"),
    (
        Subspace::Turn,
        "account u64",
        "node u64, number u64; or empty: nobody claims it",
    ),
    (
        Subspace::Undelete,
        "account u64, time u64, email u64; time 0: nothing more",
        "deleted email record; of time 0: their octets i64",
    ),
    (
        Subspace::Backup,
        "kind u8, then 0: hold u64; 1: repository (16 octets)",
        "0: beat u64, while a backup keeps blobs from being collected; 1: record of a repository",
    ),
    (
        Subspace::Import,
        "account u64, collection of 16 octets, item",
        "import record",
    ),
    (Subspace::Setting, "name", "setting record"),
    (Subspace::Audit, "time u64, number u64", "audit record"),
    (
        Subspace::Idempotency,
        "account u64, hash",
        "what a request that is made once has come to",
    ),
    (Subspace::Ban, "network", "ban record"),
    (
        Subspace::AcmeAccount,
        "directory",
        "account at an ACME server, with its private key",
    ),
    (
        Subspace::Certificate,
        "name, or nothing: the number of changes",
        "certificate record, with its private key; of nothing: i64",
    ),
    (
        Subspace::Challenge,
        "kind u8, name",
        "challenge record: how an ACME server is answered",
    ),
    (
        Subspace::Webhook,
        "webhook u64",
        "webhook record, with its secret",
    ),
    (
        Subspace::WebhookDue,
        "webhook u64, time u64, event u64",
        "an event that the webhook has yet to be told of, and what came of it so far",
    ),
    (
        Subspace::WebhookDone,
        "webhook u64, event u64",
        "what came of telling the webhook of the event",
    ),
    (Subspace::Alert, "alert u64", "alert record"),
    (
        Subspace::OAuthClient,
        "name",
        "OAuth client record; the name is its id",
    ),
    (
        Subspace::OAuthPending,
        "kind u8, lookup id",
        "what is under way: 0: authorization code; 1: device; 2: way from a user code to a device; 3: challenge for a passkey",
    ),
];

pub type BlobHash = [u8; 32];

/// Builds a key field by field.
struct Builder(Key);

impl Builder {
    fn new(subspace: Subspace) -> Self {
        let mut key = Vec::with_capacity(48);
        key.push(subspace as u8);
        Self(key)
    }

    fn u64(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    fn u8(mut self, number: u8) -> Self {
        self.0.push(number);
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

/// Takes a key apart again; every step is `None` when the key is of another shape.
pub struct Fields<'k>(&'k [u8]);

impl<'k> Fields<'k> {
    pub fn of(subspace: Subspace, key: &'k [u8]) -> Option<Self> {
        key.strip_prefix(&[subspace as u8]).map(Self)
    }

    pub fn u64(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*number))
    }

    pub fn u8(&mut self) -> Option<u8> {
        let (number, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*number)
    }

    pub fn hash(&mut self) -> Option<BlobHash> {
        let (hash, rest) = self.0.split_first_chunk::<32>()?;
        self.0 = rest;
        Some(*hash)
    }

    /// Text up to a zero octet, and what follows that.
    fn text(self) -> Option<(&'k str, Self)> {
        let at = self.0.iter().position(|octet| *octet == 0)?;
        let (text, rest) = self.0.split_at(at);
        let text = std::str::from_utf8(text).ok()?;
        Some((text, Self(rest.get(1..)?)))
    }

    pub fn rest(self) -> &'k [u8] {
        self.0
    }

    /// Nothing is left.
    pub fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// All keys that begin with `prefix`.
pub fn prefix(prefix: Key) -> KeyRange {
    let mut end = prefix.clone();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return prefix..end;
        }
    }
    // Subspaces end below 0xff, so this is the empty prefix: everything.
    prefix..vec![0xff; 64]
}

/// All keys of a subspace.
pub fn all(subspace: Subspace) -> KeyRange {
    prefix(vec![subspace as u8])
}

pub fn meta(name: &str) -> Key {
    Builder::new(Subspace::Meta).bytes(name.as_bytes()).0
}

pub fn account(account: AccountId) -> Key {
    Builder::new(Subspace::Account).u64(account.number()).0
}

pub fn decode_account(key: &[u8]) -> Option<AccountId> {
    let mut fields = Fields::of(Subspace::Account, key)?;
    let account = AccountId::new(fields.u64()?);
    fields.end().map(|()| account)
}

pub fn login_name(name: &str) -> Key {
    Builder::new(Subspace::LoginName).bytes(name.as_bytes()).0
}

pub fn domain(name: &str) -> Key {
    Builder::new(Subspace::Domain).bytes(name.as_bytes()).0
}

pub fn address(address: &str) -> Key {
    Builder::new(Subspace::Address).bytes(address.as_bytes()).0
}

pub fn credential(account: AccountId, credential: u64) -> Key {
    Builder::new(Subspace::Credential)
        .u64(account.number())
        .u64(credential)
        .0
}

pub fn credentials_of(account: AccountId) -> KeyRange {
    prefix(Builder::new(Subspace::Credential).u64(account.number()).0)
}

pub fn credential_lookup(lookup: &[u8]) -> Key {
    Builder::new(Subspace::CredentialLookup).bytes(lookup).0
}

pub fn membership(member: AccountId, group: AccountId) -> Key {
    Builder::new(Subspace::Membership)
        .u64(member.number())
        .u64(group.number())
        .0
}

pub fn memberships_of(member: AccountId) -> KeyRange {
    prefix(Builder::new(Subspace::Membership).u64(member.number()).0)
}

/// (member, group)
pub fn decode_membership(key: &[u8]) -> Option<(AccountId, AccountId)> {
    let mut fields = Fields::of(Subspace::Membership, key)?;
    let pair = (AccountId::new(fields.u64()?), AccountId::new(fields.u64()?));
    fields.end().map(|()| pair)
}

pub fn shared_with(grantee: AccountId, owner: AccountId) -> Key {
    Builder::new(Subspace::SharedWith)
        .u64(grantee.number())
        .u64(owner.number())
        .0
}

pub fn shared_with_of(grantee: AccountId) -> KeyRange {
    prefix(Builder::new(Subspace::SharedWith).u64(grantee.number()).0)
}

/// (grantee, owner)
pub fn decode_shared_with(key: &[u8]) -> Option<(AccountId, AccountId)> {
    let mut fields = Fields::of(Subspace::SharedWith, key)?;
    let pair = (AccountId::new(fields.u64()?), AccountId::new(fields.u64()?));
    fields.end().map(|()| pair)
}

pub fn head(account: AccountId) -> Key {
    Builder::new(Subspace::Head).u64(account.number()).0
}

pub fn decode_head(key: &[u8]) -> Option<AccountId> {
    let mut fields = Fields::of(Subspace::Head, key)?;
    let account = AccountId::new(fields.u64()?);
    fields.end().map(|()| account)
}

pub fn object(account: AccountId, data_type: DataType, id: u64) -> Key {
    Builder::new(Subspace::Object)
        .u64(account.number())
        .u8(data_type as u8)
        .u64(id)
        .0
}

pub fn objects(account: AccountId, data_type: DataType) -> KeyRange {
    prefix(
        Builder::new(Subspace::Object)
            .u64(account.number())
            .u8(data_type as u8)
            .0,
    )
}

pub fn decode_object(key: &[u8]) -> Option<(AccountId, DataType, u64)> {
    let mut fields = Fields::of(Subspace::Object, key)?;
    let account = AccountId::new(fields.u64()?);
    let data_type = DataType::from_number(fields.u8()?)?;
    let id = fields.u64()?;
    fields.end().map(|()| (account, data_type, id))
}

pub fn log(account: AccountId, sequence: u64) -> Key {
    Builder::new(Subspace::Log)
        .u64(account.number())
        .u64(sequence)
        .0
}

/// The rows of `sequences` (the end not included).
pub fn log_range(account: AccountId, sequences: Range<u64>) -> KeyRange {
    log(account, sequences.start)..log(account, sequences.end)
}

pub fn decode_log(key: &[u8]) -> Option<(AccountId, u64)> {
    let mut fields = Fields::of(Subspace::Log, key)?;
    let pair = (AccountId::new(fields.u64()?), fields.u64()?);
    fields.end().map(|()| pair)
}

pub fn thread_ref(account: AccountId, hash: u64) -> Key {
    Builder::new(Subspace::ThreadRef)
        .u64(account.number())
        .u64(hash)
        .0
}

pub fn delivered(account: AccountId, delivery: u64) -> Key {
    Builder::new(Subspace::Delivered)
        .u64(account.number())
        .u64(delivery)
        .0
}

pub fn mailbox_uid(account: AccountId, mailbox: u64) -> Key {
    Builder::new(Subspace::MailboxUid)
        .u64(account.number())
        .u64(mailbox)
        .0
}

pub fn mailbox_uids(account: AccountId) -> KeyRange {
    prefix(Builder::new(Subspace::MailboxUid).u64(account.number()).0)
}

pub fn decode_mailbox_uid(key: &[u8]) -> Option<(AccountId, u64)> {
    let mut fields = Fields::of(Subspace::MailboxUid, key)?;
    let pair = (AccountId::new(fields.u64()?), fields.u64()?);
    fields.end().map(|()| pair)
}

/// Annotations of a mailbox, or with mailbox 0 of the server: those that are `owner`'s own, or with owner 0 shared ones.
pub fn metadata(account: AccountId, mailbox: u64, owner: u64) -> Key {
    Builder::new(Subspace::Metadata)
        .u64(account.number())
        .u64(mailbox)
        .u64(owner)
        .0
}

pub fn metadata_of(account: AccountId, mailbox: u64) -> KeyRange {
    prefix(
        Builder::new(Subspace::Metadata)
            .u64(account.number())
            .u64(mailbox)
            .0,
    )
}

/// (account, mailbox, owner)
pub fn decode_metadata(key: &[u8]) -> Option<(AccountId, u64, u64)> {
    let mut fields = Fields::of(Subspace::Metadata, key)?;
    let triple = (AccountId::new(fields.u64()?), fields.u64()?, fields.u64()?);
    fields.end().map(|()| triple)
}

pub fn blob(hash: &BlobHash) -> Key {
    Builder::new(Subspace::Blob).bytes(hash).0
}

pub fn decode_blob(key: &[u8]) -> Option<BlobHash> {
    let mut fields = Fields::of(Subspace::Blob, key)?;
    let hash = fields.hash()?;
    fields.end().map(|()| hash)
}

pub fn blob_ref(hash: &BlobHash, account: AccountId, data_type: DataType, id: u64) -> Key {
    Builder::new(Subspace::BlobRef)
        .bytes(hash)
        .u64(account.number())
        .u8(data_type as u8)
        .u64(id)
        .0
}

pub fn blob_refs(hash: &BlobHash) -> KeyRange {
    prefix(Builder::new(Subspace::BlobRef).bytes(hash).0)
}

pub fn blob_refs_of(hash: &BlobHash, account: AccountId) -> KeyRange {
    prefix(
        Builder::new(Subspace::BlobRef)
            .bytes(hash)
            .u64(account.number())
            .0,
    )
}

pub fn decode_blob_ref(key: &[u8]) -> Option<(BlobHash, AccountId, DataType, u64)> {
    let mut fields = Fields::of(Subspace::BlobRef, key)?;
    let hash = fields.hash()?;
    let account = AccountId::new(fields.u64()?);
    let data_type = DataType::from_number(fields.u8()?)?;
    let id = fields.u64()?;
    fields.end().map(|()| (hash, account, data_type, id))
}

pub fn summary(hash: &BlobHash) -> Key {
    Builder::new(Subspace::Summary).bytes(hash).0
}

pub fn decode_summary(key: &[u8]) -> Option<BlobHash> {
    let mut fields = Fields::of(Subspace::Summary, key)?;
    let hash = fields.hash()?;
    fields.end().map(|()| hash)
}

pub fn structure(hash: &BlobHash) -> Key {
    Builder::new(Subspace::Structure).bytes(hash).0
}

pub fn decode_structure(key: &[u8]) -> Option<BlobHash> {
    let mut fields = Fields::of(Subspace::Structure, key)?;
    let hash = fields.hash()?;
    fields.end().map(|()| hash)
}

pub fn blob_candidate(time: u64, hash: &BlobHash) -> Key {
    Builder::new(Subspace::BlobCandidate)
        .u64(time)
        .bytes(hash)
        .0
}

/// Candidates whose time is before `time`.
pub fn blob_candidates_before(time: u64) -> KeyRange {
    vec![Subspace::BlobCandidate as u8]..Builder::new(Subspace::BlobCandidate).u64(time).0
}

pub fn decode_blob_candidate(key: &[u8]) -> Option<(u64, BlobHash)> {
    let mut fields = Fields::of(Subspace::BlobCandidate, key)?;
    let pair = (fields.u64()?, fields.hash()?);
    fields.end().map(|()| pair)
}

pub fn blob_stub(hash: &BlobHash) -> Key {
    Builder::new(Subspace::BlobStub).bytes(hash).0
}

pub fn decode_blob_stub(key: &[u8]) -> Option<BlobHash> {
    let mut fields = Fields::of(Subspace::BlobStub, key)?;
    let hash = fields.hash()?;
    fields.end().map(|()| hash)
}

/// What tells the uploads of one blob apart.
pub type BlobNonce = [u8; 16];

pub fn blob_garbage(time: u64, hash: &BlobHash, nonce: &BlobNonce) -> Key {
    Builder::new(Subspace::BlobGarbage)
        .u64(time)
        .bytes(hash)
        .bytes(nonce)
        .0
}

/// Garbage whose time is before `time`.
pub fn blob_garbage_before(time: u64) -> KeyRange {
    vec![Subspace::BlobGarbage as u8]..Builder::new(Subspace::BlobGarbage).u64(time).0
}

pub fn decode_blob_garbage(key: &[u8]) -> Option<(u64, BlobHash, BlobNonce)> {
    let mut fields = Fields::of(Subspace::BlobGarbage, key)?;
    let (time, hash) = (fields.u64()?, fields.hash()?);
    let nonce = fields.rest().try_into().ok()?;
    Some((time, hash, nonce))
}

pub fn upload(account: AccountId, hash: &BlobHash) -> Key {
    Builder::new(Subspace::Upload)
        .u64(account.number())
        .bytes(hash)
        .0
}

pub fn uploads_of(account: AccountId) -> KeyRange {
    prefix(Builder::new(Subspace::Upload).u64(account.number()).0)
}

pub fn decode_upload(key: &[u8]) -> Option<(AccountId, BlobHash)> {
    let mut fields = Fields::of(Subspace::Upload, key)?;
    let pair = (AccountId::new(fields.u64()?), fields.hash()?);
    fields.end().map(|()| pair)
}

pub fn upload_expiry(time: u64, account: AccountId, hash: &BlobHash) -> Key {
    Builder::new(Subspace::UploadExpiry)
        .u64(time)
        .u64(account.number())
        .bytes(hash)
        .0
}

/// Uploads that expire before `time`.
pub fn upload_expiries_before(time: u64) -> KeyRange {
    vec![Subspace::UploadExpiry as u8]..Builder::new(Subspace::UploadExpiry).u64(time).0
}

pub fn decode_upload_expiry(key: &[u8]) -> Option<(u64, AccountId, BlobHash)> {
    let mut fields = Fields::of(Subspace::UploadExpiry, key)?;
    let triple = (fields.u64()?, AccountId::new(fields.u64()?), fields.hash()?);
    fields.end().map(|()| triple)
}

pub fn search_pending(account: AccountId) -> Key {
    Builder::new(Subspace::SearchPending)
        .u64(account.number())
        .0
}

pub fn decode_search_pending(key: &[u8]) -> Option<AccountId> {
    let mut fields = Fields::of(Subspace::SearchPending, key)?;
    let account = AccountId::new(fields.u64()?);
    fields.end().map(|()| account)
}

pub fn search_cursor(account: AccountId) -> Key {
    Builder::new(Subspace::SearchCursor).u64(account.number()).0
}

/// What a row about a published shard of the search index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum ShardRow {
    Head = 0,
    Manifest = 1,
    /// Somebody can't read what is published.
    Complaint = 2,
    /// An account is to be indexed anew.
    Request = 3,
}

/// A row about a shard of an index of this format and number of shards. The account is that of a request, and else 0.
pub fn search_shard(
    (format, shards): (u64, u64),
    shard: u64,
    row: ShardRow,
    account: AccountId,
) -> Key {
    Builder::new(Subspace::SearchShard)
        .u64(format)
        .u64(shards)
        .u64(shard)
        .u64(row as u64)
        .u64(account.number())
        .0
}

/// All requests for a shard.
pub fn search_requests(layout: (u64, u64), shard: u64) -> KeyRange {
    let key = search_shard(layout, shard, ShardRow::Request, AccountId::new(0));
    let account = key.len() - 8;
    prefix(key[..account].to_vec())
}

/// Format and number of shards, the shard, the number of the row, the account.
pub fn decode_search_shard(key: &[u8]) -> Option<((u64, u64), u64, u64, AccountId)> {
    let mut fields = Fields::of(Subspace::SearchShard, key)?;
    let layout = (fields.u64()?, fields.u64()?);
    let found = (
        layout,
        fields.u64()?,
        fields.u64()?,
        AccountId::new(fields.u64()?),
    );
    fields.end().map(|()| found)
}

/// How far the published shard of an account is.
pub fn search_indexed(account: AccountId) -> Key {
    Builder::new(Subspace::SearchIndexed)
        .u64(account.number())
        .0
}

pub fn decode_search_indexed(key: &[u8]) -> Option<AccountId> {
    let mut fields = Fields::of(Subspace::SearchIndexed, key)?;
    let account = AccountId::new(fields.u64()?);
    fields.end().map(|()| account)
}

pub fn queue_due(time: u64, account: AccountId, submission: u64) -> Key {
    Builder::new(Subspace::QueueDue)
        .u64(time)
        .u64(account.number())
        .u64(submission)
        .0
}

/// What is due before `time`.
pub fn queue_due_before(time: u64) -> KeyRange {
    vec![Subspace::QueueDue as u8]..Builder::new(Subspace::QueueDue).u64(time).0
}

pub fn decode_queue_due(key: &[u8]) -> Option<(u64, AccountId, u64)> {
    let mut fields = Fields::of(Subspace::QueueDue, key)?;
    let triple = (fields.u64()?, AccountId::new(fields.u64()?), fields.u64()?);
    fields.end().map(|()| triple)
}

pub fn pending_delivery(delivery: u64) -> Key {
    Builder::new(Subspace::PendingDelivery).u64(delivery).0
}

pub fn decode_pending_delivery(key: &[u8]) -> Option<u64> {
    let mut fields = Fields::of(Subspace::PendingDelivery, key)?;
    let delivery = fields.u64()?;
    fields.end().map(|()| delivery)
}

/// A destination to which nothing goes; an empty `domain` is the whole queue.
pub fn queue_pause(domain: &str) -> Key {
    Builder::new(Subspace::QueuePause)
        .bytes(domain.as_bytes())
        .0
}

pub fn decode_queue_pause(key: &[u8]) -> Option<&str> {
    let fields = Fields::of(Subspace::QueuePause, key)?;
    std::str::from_utf8(fields.rest()).ok()
}

/// The one key of its subspace.
pub fn queue_length() -> Key {
    Builder::new(Subspace::QueueLength).0
}

pub fn sts_policy(domain: &str) -> Key {
    Builder::new(Subspace::StsPolicy).bytes(domain.as_bytes()).0
}

/// Longest key that a row of the quarantine has in its own; a longer one has its hash there, and itself in the record.
const QUARANTINED_KEY_OCTETS_MAX: usize = 1500;

pub fn quarantine(key: &[u8]) -> Key {
    if key.len() > QUARANTINED_KEY_OCTETS_MAX {
        let hash = blake3::hash(key);
        return Builder::new(Subspace::Quarantine).bytes(hash.as_bytes()).0;
    }
    Builder::new(Subspace::Quarantine).bytes(key).0
}

/// `domain` and `selector` are A-labels with dots, so that the zero octet ends the domain.
pub fn dkim_key(domain: &str, selector: &str) -> Key {
    Builder::new(Subspace::DkimKey)
        .bytes(domain.as_bytes())
        .u8(0)
        .bytes(selector.as_bytes())
        .0
}

pub fn dkim_keys_of(domain: &str) -> KeyRange {
    prefix(
        Builder::new(Subspace::DkimKey)
            .bytes(domain.as_bytes())
            .u8(0)
            .0,
    )
}

/// (domain, selector)
pub fn decode_dkim_key(key: &[u8]) -> Option<(&str, &str)> {
    let text = Fields::of(Subspace::DkimKey, key)?.rest();
    let (domain, selector) = std::str::from_utf8(text).ok()?.split_once('\0')?;
    let is_pair = !domain.is_empty() && !selector.is_empty() && !selector.contains('\0');
    is_pair.then_some((domain, selector))
}

/// A report on mail of `domain`, by the end of the time that it is about (seconds since 1970).
pub fn report_in(domain: &str, end: u64, report: u64) -> Key {
    Builder::new(Subspace::ReportIn)
        .bytes(domain.as_bytes())
        .u8(0)
        .u64(end)
        .u64(report)
        .0
}

pub fn reports_of(domain: &str) -> KeyRange {
    prefix(
        Builder::new(Subspace::ReportIn)
            .bytes(domain.as_bytes())
            .u8(0)
            .0,
    )
}

/// (domain, end, report)
pub fn decode_report_in(key: &[u8]) -> Option<(&str, u64, u64)> {
    let fields = Fields::of(Subspace::ReportIn, key)?;
    let (domain, mut fields) = fields.text()?;
    let pair = (fields.u64()?, fields.u64()?);
    fields.end().map(|()| (domain, pair.0, pair.1))
}

pub fn dmarc_counts(day: u64, domain: &str, batch: u64) -> Key {
    counts(Subspace::DmarcCounts, day, domain, batch)
}

pub fn tls_counts(day: u64, domain: &str, batch: u64) -> Key {
    counts(Subspace::TlsCounts, day, domain, batch)
}

fn counts(subspace: Subspace, day: u64, domain: &str, batch: u64) -> Key {
    Builder::new(subspace)
        .u64(day)
        .bytes(domain.as_bytes())
        .u8(0)
        .u64(batch)
        .0
}

/// Counts of days before `day`, in one of the subspaces of counts.
pub fn counts_before(subspace: Subspace, day: u64) -> KeyRange {
    vec![subspace as u8]..Builder::new(subspace).u64(day).0
}

/// (day, domain, batch)
pub fn decode_counts(subspace: Subspace, key: &[u8]) -> Option<(u64, &str, u64)> {
    let mut fields = Fields::of(subspace, key)?;
    let day = fields.u64()?;
    let (domain, mut fields) = fields.text()?;
    let batch = fields.u64()?;
    fields.end().map(|()| (day, domain, batch))
}

pub fn report_waiting(number: u64) -> Key {
    Builder::new(Subspace::ReportWaiting).u64(number).0
}

pub fn decode_report_waiting(key: &[u8]) -> Option<u64> {
    let mut fields = Fields::of(Subspace::ReportWaiting, key)?;
    let number = fields.u64()?;
    fields.end().map(|()| number)
}

/// A process of a cluster, by its number.
pub fn node(node: u64) -> Key {
    Builder::new(Subspace::Node).u64(node).0
}

pub fn decode_node(key: &[u8]) -> Option<u64> {
    let mut fields = Fields::of(Subspace::Node, key)?;
    let node = fields.u64()?;
    fields.end().map(|()| node)
}

/// Work that one node of a cluster does at a time.
pub fn lease(name: &str) -> Key {
    Builder::new(Subspace::Lease).bytes(name.as_bytes()).0
}

pub fn decode_lease(key: &[u8]) -> Option<&str> {
    let fields = Fields::of(Subspace::Lease, key)?;
    std::str::from_utf8(fields.rest()).ok()
}

/// While it names a node, only that one writes to the account.
pub fn turn(account: AccountId) -> Key {
    Builder::new(Subspace::Turn).u64(account.number()).0
}

pub fn decode_turn(key: &[u8]) -> Option<AccountId> {
    let mut fields = Fields::of(Subspace::Turn, key)?;
    let account = AccountId::new(fields.u64()?);
    fields.end().map(|()| account)
}

const HOLD: u8 = 0;
const REPOSITORY: u8 = 1;
/// Octets of the number of a repository.
pub const REPOSITORY_OCTETS: usize = 16;

/// While it is there, no blob is collected.
pub fn backup_hold(hold: u64) -> Key {
    Builder::new(Subspace::Backup).u8(HOLD).u64(hold).0
}

pub fn backup_holds() -> KeyRange {
    prefix(Builder::new(Subspace::Backup).u8(HOLD).0)
}

/// What is known of a repository of backups.
pub fn backup_repository(repository: &[u8; REPOSITORY_OCTETS]) -> Key {
    Builder::new(Subspace::Backup)
        .u8(REPOSITORY)
        .bytes(repository)
        .0
}

pub fn backup_repositories() -> KeyRange {
    prefix(Builder::new(Subspace::Backup).u8(REPOSITORY).0)
}

/// A row of [`Subspace::Backup`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupKey {
    Hold(u64),
    Repository([u8; REPOSITORY_OCTETS]),
}

pub fn decode_backup(key: &[u8]) -> Option<BackupKey> {
    let mut fields = Fields::of(Subspace::Backup, key)?;
    match fields.u8()? {
        HOLD => {
            let hold = fields.u64()?;
            fields.end().map(|()| BackupKey::Hold(hold))
        }
        REPOSITORY => {
            let repository = fields.rest().try_into().ok()?;
            Some(BackupKey::Repository(repository))
        }
        _ => None,
    }
}

pub fn trace(event: u64) -> Key {
    Builder::new(Subspace::Trace).u64(event).0
}

pub fn decode_trace(key: &[u8]) -> Option<u64> {
    let mut fields = Fields::of(Subspace::Trace, key)?;
    let event = fields.u64()?;
    fields.end().map(|()| event)
}

/// By what an event is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceIndex {
    /// The hash of a Message-ID.
    Message(u64),
    Account(AccountId),
}

pub fn trace_index(index: TraceIndex, event: u64) -> Key {
    let (subspace, number) = match index {
        TraceIndex::Message(hash) => (Subspace::TraceMessage, hash),
        TraceIndex::Account(account) => (Subspace::TraceAccount, account.number()),
    };
    Builder::new(subspace).u64(number).u64(event).0
}

pub fn decode_trace_index(key: &[u8]) -> Option<(TraceIndex, u64)> {
    let (mut fields, is_message) = match Fields::of(Subspace::TraceMessage, key) {
        Some(fields) => (fields, true),
        None => (Fields::of(Subspace::TraceAccount, key)?, false),
    };
    let (number, event) = (fields.u64()?, fields.u64()?);
    let index = match is_message {
        true => TraceIndex::Message(number),
        false => TraceIndex::Account(AccountId::new(number)),
    };
    fields.end().map(|()| (index, event))
}

/// An email that was deleted, and when: milliseconds since 1970, not 0.
pub fn undelete(account: AccountId, time: u64, email: u64) -> Key {
    Builder::new(Subspace::Undelete)
        .u64(account.number())
        .u64(time.max(1))
        .u64(email)
        .0
}

/// The counter of the octets of an account's deleted emails.
pub fn undelete_octets(account: AccountId) -> Key {
    Builder::new(Subspace::Undelete)
        .u64(account.number())
        .u64(0)
        .u64(0)
        .0
}

/// The deleted emails of an account, the oldest first.
pub fn undelete_of(account: AccountId) -> KeyRange {
    let all = prefix(Builder::new(Subspace::Undelete).u64(account.number()).0);
    undelete(account, 1, 0)..all.end
}

/// Account, time, email; of the counter, the last two are 0.
pub fn decode_undelete(key: &[u8]) -> Option<(AccountId, u64, u64)> {
    let mut fields = Fields::of(Subspace::Undelete, key)?;
    let triple = (AccountId::new(fields.u64()?), fields.u64()?, fields.u64()?);
    fields.end().map(|()| triple)
}

/// Octets of what names a place that mails are imported from.
pub const COLLECTION_OCTETS: usize = 16;
pub type Collection = [u8; COLLECTION_OCTETS];

/// What is known of one item of a collection that was imported from.
pub fn import(account: AccountId, collection: &Collection, item: &[u8]) -> Key {
    Builder::new(Subspace::Import)
        .u64(account.number())
        .bytes(collection)
        .bytes(item)
        .0
}

pub fn imports_of(account: AccountId, collection: &Collection) -> KeyRange {
    prefix(import(account, collection, &[]))
}

pub fn decode_import(key: &[u8]) -> Option<(AccountId, Collection, &[u8])> {
    let mut fields = Fields::of(Subspace::Import, key)?;
    let account = AccountId::new(fields.u64()?);
    let (collection, item) = fields.rest().split_first_chunk::<COLLECTION_OCTETS>()?;
    (!item.is_empty()).then_some((account, *collection, item))
}

mod administration;

/// A setting, by its key in the configuration.
pub fn setting(name: &str) -> Key {
    Builder::new(Subspace::Setting).bytes(name.as_bytes()).0
}

pub fn decode_setting(key: &[u8]) -> Option<&str> {
    let name = Fields::of(Subspace::Setting, key)?.rest();
    std::str::from_utf8(name)
        .ok()
        .filter(|name| !name.is_empty())
}

/// The account at the ACME server whose directory (RFC 8555 §7.1.1) is at this URL.
pub fn acme_account(directory: &str) -> Key {
    Builder::new(Subspace::AcmeAccount)
        .bytes(directory.as_bytes())
        .0
}

pub fn decode_acme_account(key: &[u8]) -> Option<&str> {
    let directory = Fields::of(Subspace::AcmeAccount, key)?.rest();
    let directory = std::str::from_utf8(directory).ok()?;
    (!directory.is_empty()).then_some(directory)
}

/// A certificate, by the first of its names.
pub fn certificate(name: &str) -> Key {
    Builder::new(Subspace::Certificate).bytes(name.as_bytes()).0
}

/// The counter of changes to certificates.
pub fn certificate_changes() -> Key {
    Builder::new(Subspace::Certificate).0
}

/// All certificates, without the counter.
pub fn certificates() -> KeyRange {
    let all = all(Subspace::Certificate);
    vec![Subspace::Certificate as u8, 0]..all.end
}

/// The name of a certificate; of the counter it is empty.
pub fn decode_certificate(key: &[u8]) -> Option<&str> {
    let name = Fields::of(Subspace::Certificate, key)?.rest();
    std::str::from_utf8(name).ok()
}

/// An ACME server's challenge: its kind, and the token or name by which it is asked for.
pub fn challenge(kind: u8, name: &str) -> Key {
    Builder::new(Subspace::Challenge)
        .u8(kind)
        .bytes(name.as_bytes())
        .0
}

/// (kind, token or name)
pub fn decode_challenge(key: &[u8]) -> Option<(u8, &str)> {
    let mut fields = Fields::of(Subspace::Challenge, key)?;
    let kind = fields.u8()?;
    let name = std::str::from_utf8(fields.rest()).ok()?;
    (!name.is_empty()).then_some((kind, name))
}

mod describe;
mod oauth;
#[cfg(test)]
mod tests;

pub use self::{administration::*, describe::describe, oauth::*};
