//! What an IMAP client says, as data (RFC 9051 §9, and the extensions named beside each).
//!
//! Holds: whatever the parser makes is well-formed; whether it is allowed now is for `commands`.
//! Other half: `parse` makes these from octets.

use net::Secret;

/// A command with its tag.
#[derive(Debug, Clone)]
pub struct Tagged {
    pub tag: String,
    pub command: Command,
}

/// A mailbox name as the client wrote it, decoded: from modified UTF-7 (RFC 3501 §5.1.3), or UTF-8 (RFC 9051 §5.1, RFC 6855). `INBOX` in any letter
/// case is "INBOX". Levels are apart by `/`.
pub type MailboxName = String;

#[derive(Debug, Clone)]
pub enum Command {
    // Any state (RFC 9051 §6.1)
    Capability,
    Noop,
    Logout,
    /// RFC 2971. `None` is NIL.
    Id(Option<Vec<(String, Option<String>)>>),

    // Not authenticated (§6.2)
    StartTls,
    Authenticate {
        mechanism: String,
        /** SASL-IR (RFC 4959): base64 as it stands; "=" is empty. */
        initial: Option<Secret<Vec<u8>>>,
    },
    Login {
        name: String,
        password: Secret<String>,
    },

    // Authenticated (§6.3)
    /// RFC 5161: in upper case.
    Enable(Vec<String>),
    Select {
        mailbox: MailboxName,
        read_only: bool,
        parameters: SelectParameters,
    },
    /// `uses`: CREATE-SPECIAL-USE (RFC 6154 §3): `\Sent`...
    Create {
        mailbox: MailboxName,
        uses: Vec<String>,
    },
    Delete(MailboxName),
    Rename {
        from: MailboxName,
        to: MailboxName,
    },
    Subscribe(MailboxName),
    Unsubscribe(MailboxName),
    List(List),
    Lsub {
        reference: String,
        pattern: String,
    },
    Namespace,
    Status {
        mailbox: MailboxName,
        items: Vec<StatusItem>,
    },
    Append {
        mailbox: MailboxName,
        messages: Vec<AppendMessage>,
    },
    Idle,
    /// RFC 9208
    GetQuota(String),
    GetQuotaRoot(MailboxName),
    SetQuota {
        root: String,
        limits: Vec<(String, u64)>,
    },
    /// RFC 4314
    GetAcl(MailboxName),
    SetAcl {
        mailbox: MailboxName,
        identifier: String,
        change: AclChange,
        rights: String,
    },
    DeleteAcl {
        mailbox: MailboxName,
        identifier: String,
    },
    ListRights {
        mailbox: MailboxName,
        identifier: String,
    },
    MyRights(MailboxName),
    /// RFC 5464. An empty mailbox is the server.
    GetMetadata {
        mailbox: MailboxName,
        max_size: Option<u64>,
        depth: MetadataDepth,
        entries: Vec<String>,
    },
    SetMetadata {
        mailbox: MailboxName,
        entries: Vec<(String, Option<Vec<u8>>)>,
    },
    /// RFC 5465. `None` is NOTIFY NONE.
    Notify(Option<Notify>),
    /// RFC 4978
    CompressDeflate,
    /// RFC 8437
    Unauthenticate,
    /// RFC 9698
    GetJmapAccess,
    // Selected (§6.4)
    Check,
    Close,
    Unselect,
    /// `uids`: UID EXPUNGE (RFC 4315).
    Expunge {
        uids: Option<SequenceSet>,
    },
    /// RFC 9051 §6.4.4, and RFC 7377 (ESEARCH with sources).
    Search {
        uid: bool,
        search: Search,
    },
    /// RFC 5256, 5267
    Sort {
        uid: bool,
        keys: Vec<SortKey>,
        search: Search,
    },
    Thread {
        uid: bool,
        algorithm: ThreadAlgorithm,
        search: Search,
    },
    Fetch {
        uid: bool,
        set: SequenceSet,
        fetch: Fetch,
    },
    Store {
        uid: bool,
        set: SequenceSet,
        store: Store,
    },
    Copy {
        uid: bool,
        set: SequenceSet,
        mailbox: MailboxName,
    },
    Move {
        uid: bool,
        set: SequenceSet,
        mailbox: MailboxName,
    },
    /// RFC 8508
    Replace {
        uid: bool,
        number: SequenceNumber,
        mailbox: MailboxName,
        message: AppendMessage,
    },
    /// RFC 5267 §4.4: tags.
    CancelUpdate(Vec<String>),
}

/// One end of a range. `*` is the largest in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SequenceNumber {
    Number(u32),
    Star,
}

/// RFC 9051 §9 `sequence-set`, and `$` of SEARCHRES (RFC 5182).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SequenceSet {
    Ranges(Vec<(SequenceNumber, SequenceNumber)>),
    Saved,
}

/// CONDSTORE, QRESYNC (RFC 7162 §3.1.8, §3.2.5)
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SelectParameters {
    pub condstore: bool,
    pub qresync: Option<Qresync>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Qresync {
    pub uid_validity: u32,
    pub modseq: u64,
    pub known_uids: Option<SequenceSet>,
    /// Sequence numbers and their UIDs.
    pub matching: Option<(SequenceSet, SequenceSet)>,
}

/// LIST-EXTENDED (RFC 5258), LIST-STATUS, SPECIAL-USE, LIST-MYRIGHTS, METADATA (RFC 9590). A plain LIST has `extended: false`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct List {
    pub extended: bool,
    pub reference: String,
    pub patterns: Vec<String>,
    // selection options
    pub select_subscribed: bool,
    pub select_remote: bool,
    pub select_recursive_match: bool,
    pub select_special_use: bool,
    // return options
    pub return_subscribed: bool,
    pub return_children: bool,
    pub return_special_use: bool,
    pub return_status: Option<Vec<StatusItem>>,
    pub return_my_rights: bool,
    pub return_metadata: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusItem {
    Messages,
    Recent,
    UidNext,
    UidValidity,
    Unseen,
    Deleted,
    Size,
    HighestModseq,
    AppendLimit,
    MailboxId,
    DeletedStorage,
}

/// RFC 9051 §6.3.12, MULTIAPPEND (RFC 3502), CATENATE (RFC 4469), UTF8 (RFC 6855).
#[derive(Debug, Clone, PartialEq)]
pub struct AppendMessage {
    /// As written: `\Seen`, `$Forwarded`.
    pub flags: Vec<String>,
    /// Seconds since 1970.
    pub date: Option<i64>,
    pub source: AppendSource,
}

#[derive(Debug, Clone, PartialEq)]
pub enum AppendSource {
    /// `is_binary`: literal8 (RFC 3516), `is_utf8`: `UTF8 (~{n}`.
    Message {
        octets: Vec<u8>,
        is_binary: bool,
        is_utf8: bool,
    },
    Catenate(Vec<CatenatePart>),
}

#[derive(Debug, Clone, PartialEq)]
pub enum CatenatePart {
    Text(Vec<u8>),
    /** IMAP URL as written (RFC 5092). */
    Url(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AclChange {
    Replace,
    Add,
    Remove,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataDepth {
    Zero,
    One,
    Infinity,
}

/// RFC 5465 §5, §6
#[derive(Debug, Clone, PartialEq)]
pub struct Notify {
    pub status: bool,
    pub groups: Vec<NotifyGroup>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct NotifyGroup {
    pub mailboxes: NotifyMailboxes,
    /// Empty: NONE.
    pub events: Vec<NotifyEvent>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum NotifyMailboxes {
    Selected,
    SelectedDelayed,
    Inboxes,
    Personal,
    Subscribed,
    Subtree(Vec<MailboxName>),
    /// RFC 7377: ESEARCH command alone.
    SubtreeOne(Vec<MailboxName>),
    Mailboxes(Vec<MailboxName>),
}

#[derive(Debug, Clone, PartialEq)]
pub enum NotifyEvent {
    MessageNew(Option<Vec<FetchItem>>),
    MessageExpunge,
    FlagChange,
    AnnotationChange,
    MailboxName,
    SubscriptionChange,
    MailboxMetadataChange,
    ServerMetadataChange,
    /// One that isn't known, as written: BADEVENT (RFC 5465 §5).
    Other(String),
}

/// SEARCH and its relatives: ESEARCH (RFC 4731), SEARCHRES, CONTEXT=SEARCH (RFC 5267), PARTIAL (RFC 9394), MULTISEARCH (RFC 7377).
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// `None`: no RETURN. `RETURN ()` is ALL.
    pub returns: Option<Vec<SearchReturn>>,
    /// RFC 7377 `IN (...)`: the ESEARCH command alone, which without `IN` has `Selected` here.
    pub sources: Vec<NotifyMailboxes>,
    /// RFC 5465 §6: what `UPDATE (...)` has to say of a message that is found later.
    pub update_items: Vec<FetchItem>,
    /// In upper case; `None` is US-ASCII (rev1) or UTF-8.
    pub charset: Option<String>,
    pub key: SearchKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchReturn {
    Min,
    Max,
    All,
    Count,
    Save,
    Context,
    Update,
    /** 1-based from the start, or negative from the end (RFC 9394): (first, last). */
    Partial(i64, i64),
}

#[derive(Debug, Clone, PartialEq)]
pub enum SearchKey {
    And(Vec<SearchKey>),
    Or(Box<SearchKey>, Box<SearchKey>),
    Not(Box<SearchKey>),
    All,
    Answered,
    Deleted,
    Draft,
    Flagged,
    New,
    Old,
    Recent,
    Seen,
    Unanswered,
    Undeleted,
    Undraft,
    Unflagged,
    Unseen,
    Keyword(String),
    Unkeyword(String),
    /// Days since 1970 of the date as written.
    Before(i64),
    On(i64),
    Since(i64),
    SentBefore(i64),
    SentOn(i64),
    SentSince(i64),
    /// RFC 8514; RFC 5032 WITHIN, in seconds.
    SavedBefore(i64),
    SavedOn(i64),
    SavedSince(i64),
    SaveDateSupported,
    Older(u32),
    Younger(u32),
    Larger(u64),
    Smaller(u64),
    /// Octets in `charset`; the parser has checked that they are valid UTF-8 or US-ASCII, else BADCHARSET.
    Bcc(String),
    Cc(String),
    From(String),
    To(String),
    Subject(String),
    Body(String),
    Text(String),
    Header(String, String),
    Sequence(SequenceSet),
    Uid(SequenceSet),
    /// RFC 7162: the entry, if any, makes no difference here.
    Modseq(u64),
    EmailId(String),
    ThreadId(String),
    Fuzzy(Box<SearchKey>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortKey {
    pub reverse: bool,
    pub by: SortBy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortBy {
    Arrival,
    Cc,
    Date,
    From,
    Size,
    Subject,
    To,
    /** RFC 5957 */
    DisplayFrom,
    DisplayTo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadAlgorithm {
    OrderedSubject,
    References,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fetch {
    pub items: Vec<FetchItem>,
    /// RFC 7162 §3.1.4.1, §3.2.6
    pub changed_since: Option<u64>,
    pub vanished: bool,
    /// RFC 9394
    pub partial: Option<(i64, i64)>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum FetchItem {
    Uid,
    Flags,
    InternalDate,
    Rfc822Size,
    Envelope,
    Body,
    BodyStructure,
    Modseq,
    EmailId,
    ThreadId,
    SaveDate,
    /// RFC 8970: LAZY makes no difference here.
    Preview,
    /// RFC822, RFC822.HEADER, RFC822.TEXT of rev1, answered under these names.
    Rfc822,
    Rfc822Header,
    Rfc822Text,
    /// `partial` (RFC 9051 §9): offset, and length above 0.
    Section {
        section: Section,
        partial: Option<(u64, u64)>,
        peek: bool,
    },
    /// RFC 3516
    Binary {
        part: Vec<u32>,
        partial: Option<(u64, u64)>,
        peek: bool,
    },
    BinarySize(Vec<u32>),
}

/// `BODY[...]`: part numbers, then what of that part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Section {
    pub part: Vec<u32>,
    pub text: Option<SectionText>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SectionText {
    Header,
    HeaderFields(Vec<String>),
    HeaderFieldsNot(Vec<String>),
    Text,
    Mime,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Store {
    pub change: FlagChange,
    pub silent: bool,
    pub flags: Vec<String>,
    /// RFC 7162 §3.1.3
    pub unchanged_since: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagChange {
    Replace,
    Add,
    Remove,
}
