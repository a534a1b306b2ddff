//! What a check may find: each with a stable code, what it means, and what repair does about it.
//!
//! Holds: a code is never used for anything else again, so that scripts may rely on it.
//! Other half: the rooms beside this one find; `repair` does what is said here.

use std::fmt::Write as _;

use store::keys;

/// Problems that are listed; more are only said to be there.
pub const PROBLEMS_MAX: usize = 1000;

/// What was read, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub records: u64,
    pub accounts: u64,
    pub emails: u64,
    pub blobs: u64,
    /// Records that were put aside before, and are nobody's problem any more.
    pub quarantined: u64,
    pub problems: Vec<Problem>,
    /// More than [`PROBLEMS_MAX`] were found.
    pub has_more: bool,
    /// Rows that repair has written or put aside.
    pub repaired: u64,
    /// Of a repair: what is still wrong after it.
    pub remaining: Vec<Problem>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub key: Vec<u8>,
    pub code: Code,
    /// For the operator.
    pub sentence: String,
}

impl Problem {
    /// The key in hexadecimal.
    pub fn key_text(&self) -> String {
        self.key.iter().fold(String::new(), |mut text, octet| {
            let _ = write!(text, "{octet:02x}");
            text
        })
    }

    /// The key in words.
    pub fn key_words(&self) -> String {
        keys::describe(&self.key)
    }
}

impl Report {
    /// Takes in what another reading of the same store has found.
    pub(super) fn add_problem(&mut self, problem: Problem) {
        if self.problems.len() >= PROBLEMS_MAX {
            self.has_more = true;
            return;
        }
        self.problems.push(problem);
    }
}

macro_rules! codes {
    ($($code:ident = $name:literal, $means:literal, $repair:literal;)*) => {
        /// What is wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $($code,)* }

        impl Code {
            pub const ALL: &[Code] = &[$(Code::$code,)*];

            /// As scripts and the quarantine have it: what it touches, a slash, what is wrong.
            pub fn name(self) -> &'static str {
                match self { $(Self::$code => $name,)* }
            }

            /// What it means for those who use the server.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$code => $means,)* }
            }

            /// What repair does.
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$code => $repair,)* }
            }
        }
    };
}

codes! {
    KeyUnknown = "key/unknown-subspace",
        "nothing in this version reads it",
        "it is put aside";
    KeyShape = "key/wrong-shape",
        "nothing reads a record under such a key",
        "it is put aside";
    Record = "record/unreadable",
        "what it is about can't be shown or used",
        "it is put aside; what can be known of it from other records is made anew";
    RecordMeta = "record/server-value",
        "the server can't count on a value of its own",
        "it is put aside, and begins anew";

    AccountMissing = "directory/account-missing",
        "nobody can log in to what is kept there, and mail for it is refused",
        "an account is made for it, of what names, addresses and credentials say";
    AccountLeftover = "directory/leftover",
        "it takes room and is no use",
        "it is put aside";
    NextAccount = "directory/next-account",
        "a new account would take the place of another",
        "the number is set past the last one";
    LoginName = "directory/login-name",
        "the person can't log in by that name",
        "the name is made to lead to its account, or goes";
    NameTwice = "directory/name-twice",
        "two accounts log in by one name",
        "the later account is given a name of its own";
    Address = "directory/address",
        "mail for it goes astray or is refused",
        "address and account are made to agree, so that mail for it is taken";
    DomainMissing = "directory/domain-missing",
        "mail for its addresses is refused",
        "the domain is made again";
    DomainTarget = "directory/domain-target",
        "mail for the domain goes nowhere",
        "the domain has no such target any more";
    DkimDomain = "directory/dkim-domain",
        "the key signs nothing",
        "it is put aside";
    Credential = "directory/credential",
        "it lets nobody in, or its number could be given again",
        "numbers and ways to it are put right; what is nobody's is put aside";
    CredentialLookup = "directory/credential-lookup",
        "it leads nowhere",
        "it goes";
    Membership = "directory/membership",
        "somebody sees a group that isn't one, or nobody does",
        "it is put aside";

    BlobOctets = "blob/octets",
        "the message, or what else it is, is not what was stored",
        "the octets are put aside; emails of it go aside as well, since their message is lost. What is encrypted, or in an object store, stays: it may come back";
    BlobStub = "blob/stub",
        "nothing says where the octets are, or they aren't there",
        "nothing: the object, or the key that it is encrypted by, may come back";
    BlobMissing = "blob/missing",
        "what refers to it can't be read",
        "the email or submission is put aside, with its summary";
    BlobRefMissing = "blob/not-held",
        "the octets could be collected while they are needed",
        "the reference is made again";
    BlobRefUnused = "blob/held-for-nothing",
        "the octets would never be collected, or an email of theirs was lost",
        "an email that was lost is made again; any other reference goes";
    BlobOrphan = "blob/orphan",
        "nobody sees the octets, and they are never collected",
        "the octets are put aside";
    UploadExpiry = "blob/upload-expiry",
        "an upload stays for ever, or its time is of none",
        "upload and time are made to agree";

    SummaryMissing = "summary/missing",
        "lists can't show the message",
        "it is made again from the message";
    SummaryOther = "summary/of-another",
        "lists show another message than there is",
        "it is made again from the message";
    SummaryOrphan = "summary/orphan",
        "it takes room and is no use",
        "it is put aside";

    MailboxMissing = "mailbox/missing",
        "emails in it are not seen",
        "the mailbox is made again";
    MailboxParent = "mailbox/parent",
        "the mailbox can't be shown where it should be",
        "it goes to the top";
    MailboxRole = "mailbox/role",
        "clients find another mailbox for a role than the server does",
        "the role goes to the mailbox that has it by right";
    MailboxName = "mailbox/name",
        "clients can't tell two mailboxes apart, or can't show one",
        "it is given another name";
    MailboxMetadata = "mailbox/annotations",
        "they are nobody's",
        "they are put aside";

    UidRow = "uid/row",
        "no mail gets into the mailbox, or UIDs are kept for none",
        "UIDs are counted anew, with a new UIDVALIDITY";
    UidAgain = "uid/again",
        "clients would take one message for another",
        "UIDs are counted past the last, with a new UIDVALIDITY";
    UidTwice = "uid/twice",
        "clients take one message for another",
        "one of the two gets a new UID, and the mailbox a new UIDVALIDITY";

    EmailId = "email/id",
        "the next email would take its place",
        "numbers are given past it";
    EmailSequence = "email/sequence",
        "clients don't hear of the email's changes",
        "the change is told anew";
    EmailMailbox = "email/no-mailbox",
        "nobody sees the email",
        "it goes to a mailbox \"Recovered\"";
    EmailKeywords = "email/keywords",
        "clients can't read the keyword",
        "the keyword goes";
    EmailSize = "email/size",
        "the size that clients are told is wrong",
        "it is that of the message";
    EmailLost = "email/lost",
        "an email isn't seen whose message is there",
        "it is made again in a mailbox \"Recovered\"";

    ThreadCount = "thread/count",
        "a conversation goes too early, or stays empty",
        "it is counted anew";
    ThreadRef = "thread/way",
        "answers to the email don't find their conversation",
        "it is counted anew";

    Quota = "quota/used",
        "the account is refused mail too early, or too late",
        "it is counted anew";

    DeletedOctets = "undelete/octets",
        "deleted emails go too early, or too late",
        "it is counted anew";

    HeadMissing = "head/missing",
        "nothing can be written to the account",
        "it is made again, from all that the account has";
    HeadBehind = "head/behind",
        "what has happened would happen again under the same number",
        "it goes on from the last that is found";
    HeadState = "head/state",
        "clients don't hear of changes",
        "clients are told to look again";
    LogGap = "log/gap",
        "clients that follow the changes miss some",
        "the log begins after it; clients that are further behind look at everything again";

    ShareCount = "share/count",
        "somebody doesn't see what is shared with them, or looks for nothing",
        "it is counted anew";

    SearchAhead = "search/ahead",
        "new mail isn't indexed",
        "the account is indexed anew";
    SearchForgotten = "search/forgotten",
        "mail is not found",
        "the account is indexed";
    SearchOther = "search/other",
        "the index has other emails than the account",
        "the account is indexed anew";

    QueueForgotten = "queue/forgotten",
        "the message would never be sent",
        "it comes back into the queue";
    QueueRow = "queue/row",
        "the queue looks for a submission in vain",
        "the row goes";
    QueueLease = "queue/lease",
        "the queue can't tell whose work it is",
        "it is nobody's, and taken up anew";
    QueueLength = "queue/length",
        "the queue seems longer or shorter than it is",
        "it is counted anew";
    SubmissionCount = "queue/submissions",
        "the account is refused submissions too early, or too late",
        "they are counted anew";

    TraceIndex = "trace/index",
        "an event isn't found, or one that is gone is looked for",
        "the rows of the index are put right";
    TraceCount = "trace/count",
        "events go too early, or too late",
        "they are counted anew";

    AuditCount = "audit/count",
        "rows of the audit go too early, or too late",
        "they are counted anew";

    View = "view/other",
        "sessions are shown other mail than there is",
        "the view in memory is loaded anew";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_each_ones_own() {
        let mut names: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.iter().all(|name| name.contains('/')));
    }
}
