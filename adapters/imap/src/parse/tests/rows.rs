//! One row a command, by the examples of the RFCs and what they forbid.

use expect_test::expect;

use super::{check, check_utf8};

#[test]
fn any_state() {
    check("a CAPABILITY", expect!["a: Capability"]);
    check("a noop", expect!["a: Noop"]);
    check("A1.x-]  LOGOUT  ", expect!["A1.x-]: Logout"]);
    check("a ID NIL", expect!["a: Id(None)"]);
    check(
        "a ID (\"name\" \"sodr\" \"version\" \"19.34\" \"vendor\" NIL)",
        expect![[
            r#"a: Id(Some([("name", Some("sodr")), ("version", Some("19.34")), ("vendor", None)]))"#
        ]],
    );
    check("a ID ()", expect!["a: Id(Some([]))"]);
    check(
        "a id (name x)",
        expect![[r#"a: Id(Some([("name", Some("x"))]))"#]],
    );
    check(
        "a ID (\"name\")",
        expect!["a: Syntax: byte 12: want a space"],
    );
    check(
        "a NOOP x",
        expect!["a: Syntax: byte 7: want the end of the command"],
    );
    check(
        "a FROB",
        expect!["a: UnknownCommand: byte 2: want a command that is known here"],
    );
    check(
        "a UID NOOP",
        expect!["a: UnknownCommand: byte 6: want a command that UID goes with"],
    );
    check("a UID", expect!["a: Syntax: byte 5: want a space"]);
    check("", expect!["*: Syntax: byte 0: want a tag"]);
    check(" NOOP", expect!["*: Syntax: byte 0: want a tag"]);
    check("a", expect!["a: Syntax: byte 1: want a space"]);
    check("a+b NOOP", expect!["a: Syntax: byte 1: want a space"]);
    check("* NOOP", expect!["*: Syntax: byte 0: want a tag"]);
    check("a\tNOOP", expect!["a: Syntax: byte 1: want a space"]);
}

#[test]
fn not_authenticated() {
    check("a STARTTLS", expect!["a: StartTls"]);
    check(
        "a LOGIN smith sesame",
        expect![[r#"a: Login { name: "smith", password: Secret(…) }"#]],
    );
    check(
        "a LOGIN \"smi\\\"th\\\\\" {6}\nsesame",
        expect![[r#"a: Login { name: "smi\"th\\", password: Secret(…) }"#]],
    );
    check(
        "a LOGIN {5}\nsmith {6+}\nsesame",
        expect![[r#"a: Login { name: "smith", password: Secret(…) }"#]],
    );
    check(
        "a LOGIN {5}\nsmith {7}\nsesame",
        expect!["a: Syntax: byte 24: want a whole literal"],
    );
    check(
        "a LOGIN {5}smith",
        expect!["a: Syntax: byte 11: want CRLF before a literal"],
    );
    check(
        "a LOGIN {5",
        expect!["a: Syntax: byte 10: want } after the octets of a literal"],
    );
    check(
        "a LOGIN \"a\\b\" c",
        expect![[r#"a: Syntax: byte 11: want \" or \\ in a quoted string"#]],
    );
    check(
        "a LOGIN \"a",
        expect![[r#"a: Syntax: byte 10: want the " that ends a quoted string"#]],
    );
    check("a LOGIN smith", expect!["a: Syntax: byte 13: want a space"]);
    check(
        "a LOGIN ~{5}\nsmith sesame",
        expect!["a: Syntax: byte 9: want a space"],
    );
    check(
        "a LOGIN grün \"pä ß\"",
        expect![[r#"a: Login { name: "grün", password: Secret(…) }"#]],
    );
    check(
        "a AUTHENTICATE plain",
        expect![[r#"a: Authenticate { mechanism: "PLAIN", initial: None }"#]],
    );
    check(
        "a AUTHENTICATE PLAIN dGVzdAB0ZXN0AHRlc3Q=",
        expect![[r#"a: Authenticate { mechanism: "PLAIN", initial: Some(Secret(…)) }"#]],
    );
    check(
        "a AUTHENTICATE EXTERNAL =",
        expect![[r#"a: Authenticate { mechanism: "EXTERNAL", initial: Some(Secret(…)) }"#]],
    );
    check(
        "a AUTHENTICATE PLAIN ?",
        expect!["a: Syntax: byte 21: want base64"],
    );
}

#[test]
fn mailboxes() {
    check(
        "a ENABLE condstore X-GOOD-IDEA",
        expect![[r#"a: Enable(["CONDSTORE", "X-GOOD-IDEA"])"#]],
    );
    check("a ENABLE", expect!["a: Syntax: byte 8: want a space"]);
    check(
        "a SELECT inbox",
        expect![[
            r#"a: Select { mailbox: "INBOX", read_only: false, parameters: SelectParameters { condstore: false, qresync: None } }"#
        ]],
    );
    check(
        "a SELECT \"INBOX\"",
        expect![[
            r#"a: Select { mailbox: "INBOX", read_only: false, parameters: SelectParameters { condstore: false, qresync: None } }"#
        ]],
    );
    check(
        "a SELECT {5}\niNbOx",
        expect![[
            r#"a: Select { mailbox: "INBOX", read_only: false, parameters: SelectParameters { condstore: false, qresync: None } }"#
        ]],
    );
    check(
        "a EXAMINE \"a \\\"b\\\"/c\"",
        expect![[
            r#"a: Select { mailbox: "a \"b\"/c", read_only: true, parameters: SelectParameters { condstore: false, qresync: None } }"#
        ]],
    );
    check(
        "a SELECT INBOX (CONDSTORE)",
        expect![[
            r#"a: Select { mailbox: "INBOX", read_only: false, parameters: SelectParameters { condstore: true, qresync: None } }"#
        ]],
    );
    check(
        "a SELECT INBOX (QRESYNC (67890007 20050715194045000 41,43:211,214:541))",
        expect![[
            r#"a: Select { mailbox: "INBOX", read_only: false, parameters: SelectParameters { condstore: false, qresync: Some(Qresync { uid_validity: 67890007, modseq: 20050715194045000, known_uids: Some(Ranges([(Number(41), Number(41)), (Number(43), Number(211)), (Number(214), Number(541))])), matching: None }) } }"#
        ]],
    );
    check(
        "a SELECT INBOX (QRESYNC (67890007 90060115194045000 41:211,214:541 (1,3,5:7 41,43,45:47)))",
        expect![[
            r#"a: Select { mailbox: "INBOX", read_only: false, parameters: SelectParameters { condstore: false, qresync: Some(Qresync { uid_validity: 67890007, modseq: 90060115194045000, known_uids: Some(Ranges([(Number(41), Number(211)), (Number(214), Number(541))])), matching: Some((Ranges([(Number(1), Number(1)), (Number(3), Number(3)), (Number(5), Number(7))]), Ranges([(Number(41), Number(41)), (Number(43), Number(43)), (Number(45), Number(47))]))) }) } }"#
        ]],
    );
    check(
        "a SELECT INBOX (QRESYNC (67890007 90060115194045000 (1,3 41,43)) CONDSTORE)",
        expect![[
            r#"a: Select { mailbox: "INBOX", read_only: false, parameters: SelectParameters { condstore: true, qresync: Some(Qresync { uid_validity: 67890007, modseq: 90060115194045000, known_uids: None, matching: Some((Ranges([(Number(1), Number(1)), (Number(3), Number(3))]), Ranges([(Number(41), Number(41)), (Number(43), Number(43))]))) }) } }"#
        ]],
    );
    check(
        "a SELECT INBOX (QRESYNC (67890007 5 1:*))",
        expect!["a: Syntax: byte 36: want a sequence set without *"],
    );
    check(
        "a SELECT INBOX (QRESYNC (67890007))",
        expect!["a: Syntax: byte 33: want a space"],
    );
    check(
        "a SELECT INBOX (ANNOTATE)",
        expect!["a: Syntax: byte 16: want CONDSTORE or QRESYNC"],
    );
    check(
        "a SELECT INBOX ()",
        expect!["a: Syntax: byte 16: want CONDSTORE or QRESYNC"],
    );
    check(
        "a CREATE owatagusiam/",
        expect![[r#"a: Create { mailbox: "owatagusiam/", uses: [] }"#]],
    );
    check(
        "a CREATE MySpecial (USE (\\Drafts \\Sent))",
        expect![[r#"a: Create { mailbox: "MySpecial", uses: ["\\Drafts", "\\Sent"] }"#]],
    );
    check(
        "a CREATE Everything (USE ())",
        expect![[r#"a: Create { mailbox: "Everything", uses: [] }"#]],
    );
    check(
        "a CREATE x (FROB 1)",
        expect!["a: Syntax: byte 12: want USE"],
    );
    check(
        "a DELETE &ZeVnLIqe-/&U,BTFw-",
        expect![[r#"a: Delete("日本語/台北")"#]],
    );
    check("a DELETE \"&Jjo-!\"", expect![[r#"a: Delete("☺!")"#]]);
    check(
        "a DELETE &Jjo",
        expect!["a: Syntax: byte 9: want a mailbox name in modified UTF-7"],
    );
    check(
        "a DELETE a&b",
        expect!["a: Syntax: byte 9: want a mailbox name in modified UTF-7"],
    );
    check(
        "a DELETE &AGE-",
        expect!["a: Syntax: byte 9: want a mailbox name in modified UTF-7"],
    );
    check(
        "a DELETE \"&Jjo-&Jjo-\"",
        expect!["a: Syntax: byte 9: want a mailbox name in modified UTF-7"],
    );
    check("a DELETE grün", expect![[r#"a: Delete("grün")"#]]);
    check(
        "a RENAME blurdybloop sarasoop",
        expect![[r#"a: Rename { from: "blurdybloop", to: "sarasoop" }"#]],
    );
    check(
        "a RENAME blurdybloop",
        expect!["a: Syntax: byte 20: want a space"],
    );
    check(
        "a RENAME a b (x)",
        expect!["a: Syntax: byte 13: want the end of the command"],
    );
    check(
        "a SUBSCRIBE #news.comp.mail.mime",
        expect![[r##"a: Subscribe("#news.comp.mail.mime")"##]],
    );
    check("a UNSUBSCRIBE a]b", expect![[r#"a: Unsubscribe("a]b")"#]]);
    check("a NAMESPACE", expect!["a: Namespace"]);
    check(
        "a STATUS blurdybloop (UIDNEXT MESSAGES)",
        expect![[r#"a: Status { mailbox: "blurdybloop", items: [UidNext, Messages] }"#]],
    );
    check(
        "a STATUS x ( messages RECENT UIDVALIDITY UNSEEN DELETED SIZE HIGHESTMODSEQ APPENDLIMIT MAILBOXID DELETED-STORAGE )",
        expect![[
            r#"a: Status { mailbox: "x", items: [Messages, Recent, UidValidity, Unseen, Deleted, Size, HighestModseq, AppendLimit, MailboxId, DeletedStorage] }"#
        ]],
    );
    check(
        "a STATUS x ()",
        expect!["a: Syntax: byte 12: want a status item"],
    );
    check(
        "a STATUS x (FOO)",
        expect!["a: Syntax: byte 12: want a status item"],
    );
    check("a STATUS x MESSAGES", expect!["a: Syntax: byte 11: want ("]);
    check("a IDLE", expect!["a: Idle"]);
}

#[test]
fn mailboxes_in_utf8() {
    check_utf8(
        "a DELETE \"grün & rot\"",
        expect![[r#"a: Delete("grün & rot")"#]],
    );
    check_utf8("a DELETE &Jjo-", expect![[r#"a: Delete("&Jjo-")"#]]);
    check_utf8(
        "a CREATE Entwürfe",
        expect![[r#"a: Create { mailbox: "Entwürfe", uses: [] }"#]],
    );
}

#[test]
fn list() {
    check(
        "a LIST \"\" %",
        expect![[
            r#"a: List(List { extended: false, reference: "", patterns: ["%"], select_subscribed: false, select_remote: false, select_recursive_match: false, select_special_use: false, return_subscribed: false, return_children: false, return_special_use: false, return_status: None, return_my_rights: false, return_metadata: None })"#
        ]],
    );
    check(
        "a LIST \"\" \"\"",
        expect![[
            r#"a: List(List { extended: false, reference: "", patterns: [""], select_subscribed: false, select_remote: false, select_recursive_match: false, select_special_use: false, return_subscribed: false, return_children: false, return_special_use: false, return_status: None, return_my_rights: false, return_metadata: None })"#
        ]],
    );
    check(
        "a LIST  /usr/staff/jones  \"\"",
        expect![[
            r#"a: List(List { extended: false, reference: "/usr/staff/jones", patterns: [""], select_subscribed: false, select_remote: false, select_recursive_match: false, select_special_use: false, return_subscribed: false, return_children: false, return_special_use: false, return_status: None, return_my_rights: false, return_metadata: None })"#
        ]],
    );
    check(
        "a LIST \"\" \"a*b%\"",
        expect![[
            r#"a: List(List { extended: false, reference: "", patterns: ["a*b%"], select_subscribed: false, select_remote: false, select_recursive_match: false, select_special_use: false, return_subscribed: false, return_children: false, return_special_use: false, return_status: None, return_my_rights: false, return_metadata: None })"#
        ]],
    );
    check(
        "a LIST \"\" {1}\n*",
        expect![[
            r#"a: List(List { extended: false, reference: "", patterns: ["*"], select_subscribed: false, select_remote: false, select_recursive_match: false, select_special_use: false, return_subscribed: false, return_children: false, return_special_use: false, return_status: None, return_my_rights: false, return_metadata: None })"#
        ]],
    );
    check(
        "a LSUB \"#news.\" \"comp.mail.*\"",
        expect![[r##"a: Lsub { reference: "#news.", pattern: "comp.mail.*" }"##]],
    );
    check(
        "a LIST (SUBSCRIBED) \"\" \"*\"",
        expect![[
            r#"a: List(List { extended: true, reference: "", patterns: ["*"], select_subscribed: true, select_remote: false, select_recursive_match: false, select_special_use: false, return_subscribed: false, return_children: false, return_special_use: false, return_status: None, return_my_rights: false, return_metadata: None })"#
        ]],
    );
    check(
        "a LIST () \"\" \"%\" RETURN (CHILDREN)",
        expect![[
            r#"a: List(List { extended: true, reference: "", patterns: ["%"], select_subscribed: false, select_remote: false, select_recursive_match: false, select_special_use: false, return_subscribed: false, return_children: true, return_special_use: false, return_status: None, return_my_rights: false, return_metadata: None })"#
        ]],
    );
    check(
        "a LIST (SUBSCRIBED REMOTE RECURSIVEMATCH) \"\" \"*\"",
        expect![[
            r#"a: List(List { extended: true, reference: "", patterns: ["*"], select_subscribed: true, select_remote: true, select_recursive_match: true, select_special_use: false, return_subscribed: false, return_children: false, return_special_use: false, return_status: None, return_my_rights: false, return_metadata: None })"#
        ]],
    );
    check(
        "a LIST (REMOTE RECURSIVEMATCH) \"\" \"*\"",
        expect!["a: Syntax: byte 7: want SUBSCRIBED beside RECURSIVEMATCH"],
    );
    check(
        "a LIST (SPECIAL-USE) \"\" \"*\"",
        expect![[
            r#"a: List(List { extended: true, reference: "", patterns: ["*"], select_subscribed: false, select_remote: false, select_recursive_match: false, select_special_use: true, return_subscribed: false, return_children: false, return_special_use: false, return_status: None, return_my_rights: false, return_metadata: None })"#
        ]],
    );
    check(
        "a LIST \"\" (\"INBOX\" \"Drafts\" \"Sent/%\")",
        expect![[
            r#"a: List(List { extended: true, reference: "", patterns: ["INBOX", "Drafts", "Sent/%"], select_subscribed: false, select_remote: false, select_recursive_match: false, select_special_use: false, return_subscribed: false, return_children: false, return_special_use: false, return_status: None, return_my_rights: false, return_metadata: None })"#
        ]],
    );
    check(
        "a LIST \"\" \"%\" RETURN (STATUS (MESSAGES UNSEEN) SUBSCRIBED SPECIAL-USE MYRIGHTS)",
        expect![[
            r#"a: List(List { extended: true, reference: "", patterns: ["%"], select_subscribed: false, select_remote: false, select_recursive_match: false, select_special_use: false, return_subscribed: true, return_children: false, return_special_use: true, return_status: Some([Messages, Unseen]), return_my_rights: true, return_metadata: None })"#
        ]],
    );
    check(
        "a LIST \"\" \"%\" RETURN (METADATA (\"/shared/Vendor/x\" /private/comment))",
        expect![[
            r#"a: List(List { extended: true, reference: "", patterns: ["%"], select_subscribed: false, select_remote: false, select_recursive_match: false, select_special_use: false, return_subscribed: false, return_children: false, return_special_use: false, return_status: None, return_my_rights: false, return_metadata: Some(["/shared/vendor/x", "/private/comment"]) })"#
        ]],
    );
    check(
        "a LIST \"\" \"%\" RETURN ()",
        expect![[
            r#"a: List(List { extended: true, reference: "", patterns: ["%"], select_subscribed: false, select_remote: false, select_recursive_match: false, select_special_use: false, return_subscribed: false, return_children: false, return_special_use: false, return_status: None, return_my_rights: false, return_metadata: None })"#
        ]],
    );
    check(
        "a LIST \"\" % RETURN (FROB)",
        expect!["a: Syntax: byte 20: want a return option"],
    );
    check(
        "a LIST (FROB) \"\" %",
        expect!["a: Syntax: byte 8: want a selection option"],
    );
    check(
        "a LIST \"\" % CHILDREN",
        expect!["a: Syntax: byte 12: want RETURN"],
    );
    check(
        "a LIST \"\" ()",
        expect!["a: Syntax: byte 11: want a pattern"],
    );
    check("a LIST \"\"", expect!["a: Syntax: byte 9: want a space"]);
}

#[test]
fn access() {
    check("a GETQUOTA \"\"", expect![[r#"a: GetQuota("")"#]]);
    check(
        "a GETQUOTAROOT INBOX",
        expect![[r#"a: GetQuotaRoot("INBOX")"#]],
    );
    check(
        "a SETQUOTA \"\" (STORAGE 512 message 10)",
        expect![[r#"a: SetQuota { root: "", limits: [("STORAGE", 512), ("MESSAGE", 10)] }"#]],
    );
    check(
        "a SETQUOTA \"#user/alice\" ()",
        expect![[r##"a: SetQuota { root: "#user/alice", limits: [] }"##]],
    );
    check(
        "a SETQUOTA \"\" (STORAGE)",
        expect!["a: Syntax: byte 22: want a space"],
    );
    check("a GETACL INBOX", expect![[r#"a: GetAcl("INBOX")"#]]);
    check(
        "a SETACL INBOX/Drafts John lrQswicda",
        expect!["a: Syntax: byte 27: want rights: lower-case letters and digits"],
    );
    check(
        "a SETACL INBOX/Drafts John lrswicda",
        expect![[
            r#"a: SetAcl { mailbox: "INBOX/Drafts", identifier: "John", change: Replace, rights: "lrswicda" }"#
        ]],
    );
    check(
        "a SETACL INBOX \"fred\" +lr",
        expect![[
            r#"a: SetAcl { mailbox: "INBOX", identifier: "fred", change: Add, rights: "lr" }"#
        ]],
    );
    check(
        "a SETACL INBOX fred -r",
        expect![[
            r#"a: SetAcl { mailbox: "INBOX", identifier: "fred", change: Remove, rights: "r" }"#
        ]],
    );
    check(
        "a SETACL INBOX fred \"\"",
        expect![[
            r#"a: SetAcl { mailbox: "INBOX", identifier: "fred", change: Replace, rights: "" }"#
        ]],
    );
    check(
        "a DELETEACL INBOX Fred",
        expect![[r#"a: DeleteAcl { mailbox: "INBOX", identifier: "Fred" }"#]],
    );
    check(
        "a DELETEACL INBOX",
        expect!["a: Syntax: byte 17: want a space"],
    );
    check(
        "a LISTRIGHTS ~/Mail/saved smith",
        expect![[r#"a: ListRights { mailbox: "~/Mail/saved", identifier: "smith" }"#]],
    );
    check("a MYRIGHTS INBOX", expect![[r#"a: MyRights("INBOX")"#]]);
    check(
        "a GETMETADATA \"\" /shared/comment",
        expect![[
            r#"a: GetMetadata { mailbox: "", max_size: None, depth: Zero, entries: ["/shared/comment"] }"#
        ]],
    );
    check(
        "a GETMETADATA INBOX (/shared/Comment /private/comment)",
        expect![[
            r#"a: GetMetadata { mailbox: "INBOX", max_size: None, depth: Zero, entries: ["/shared/comment", "/private/comment"] }"#
        ]],
    );
    check(
        "a GETMETADATA (MAXSIZE 1024 DEPTH 1) \"INBOX\" (/shared/comment)",
        expect![[
            r#"a: GetMetadata { mailbox: "INBOX", max_size: Some(1024), depth: One, entries: ["/shared/comment"] }"#
        ]],
    );
    check(
        "a GETMETADATA \"INBOX\" (DEPTH infinity) /private/filters",
        expect![[
            r#"a: GetMetadata { mailbox: "INBOX", max_size: None, depth: Infinity, entries: ["/private/filters"] }"#
        ]],
    );
    check(
        "a GETMETADATA (DEPTH 2) \"INBOX\" /private/filters",
        expect!["a: Syntax: byte 21: want 0, 1 or infinity"],
    );
    check(
        "a GETMETADATA INBOX comment",
        expect!["a: Syntax: byte 20: want an entry such as /private/comment"],
    );
    check(
        "a GETMETADATA INBOX /shared/*",
        expect!["a: Syntax: byte 20: want an entry such as /private/comment"],
    );
    check(
        "a SETMETADATA INBOX (/private/comment \"My new comment\" /shared/comment NIL)",
        expect![[
            r#"a: SetMetadata { mailbox: "INBOX", entries: [("/private/comment", Some([77, 121, 32, 110, 101, 119, 32, 99, 111, 109, 109, 101, 110, 116])), ("/shared/comment", None)] }"#
        ]],
    );
    check(
        "a SETMETADATA INBOX (/private/comment {3}\nabc /private/x ~{2}\nhi)",
        expect![[
            r#"a: SetMetadata { mailbox: "INBOX", entries: [("/private/comment", Some([97, 98, 99])), ("/private/x", Some([104, 105]))] }"#
        ]],
    );
    check(
        "a SETMETADATA INBOX ()",
        expect!["a: Syntax: byte 21: want an entry and its value"],
    );
}

#[test]
fn notify() {
    check("a NOTIFY NONE", expect!["a: Notify(None)"]);
    check(
        "a notify set status (selected MessageNew (uid body.peek[header.fields (from to subject)]) MessageExpunge) (personal MessageNew MessageExpunge)",
        expect![[
            r#"a: Notify(Some(Notify { status: true, groups: [NotifyGroup { mailboxes: Selected, events: [MessageNew(Some([Uid, Section { section: Section { part: [], text: Some(HeaderFields(["from", "to", "subject"])) }, partial: None, peek: true }])), MessageExpunge] }, NotifyGroup { mailboxes: Personal, events: [MessageNew(None), MessageExpunge] }] }))"#
        ]],
    );
    check(
        "a NOTIFY SET (selected-delayed (MessageNew (UID FLAGS) MessageExpunge FlagChange)) (subtree (Lists Work) (MailboxName)) (mailboxes INBOX NONE)",
        expect![[
            r#"a: Notify(Some(Notify { status: false, groups: [NotifyGroup { mailboxes: SelectedDelayed, events: [MessageNew(Some([Uid, Flags])), MessageExpunge, FlagChange] }, NotifyGroup { mailboxes: Subtree(["Lists", "Work"]), events: [MailboxName] }, NotifyGroup { mailboxes: Mailboxes(["INBOX"]), events: [] }] }))"#
        ]],
    );
    check(
        "a NOTIFY SET (inboxes (Frobnicated SubscriptionChange MailboxMetadataChange ServerMetadataChange AnnotationChange))",
        expect![[
            r#"a: Notify(Some(Notify { status: false, groups: [NotifyGroup { mailboxes: Inboxes, events: [Other("Frobnicated"), SubscriptionChange, MailboxMetadataChange, ServerMetadataChange, AnnotationChange] }] }))"#
        ]],
    );
    check("a NOTIFY SET", expect!["a: Syntax: byte 12: want a space"]);
    check(
        "a NOTIFY SET (elsewhere (MessageNew))",
        expect![
            "a: Syntax: byte 14: want selected, inboxes, personal, subscribed, subtree or mailboxes"
        ],
    );
    check(
        "a NOTIFY SET (personal ())",
        expect!["a: Syntax: byte 24: want an event"],
    );
    check(
        "a NOTIFY SET (subtree-one x (MessageNew))",
        expect!["a: Syntax: byte 14: want mailboxes that NOTIFY knows"],
    );
}

#[test]
fn other() {
    check("a COMPRESS deflate", expect!["a: CompressDeflate"]);
    check(
        "a COMPRESS LZ4",
        expect!["a: Syntax: byte 11: want DEFLATE"],
    );
    check("a UNAUTHENTICATE", expect!["a: Unauthenticate"]);
    check("a GETJMAPACCESS", expect!["a: GetJmapAccess"]);
    check(
        "a CANCELUPDATE \"B02\" \"B03\"",
        expect![[r#"a: CancelUpdate(["B02", "B03"])"#]],
    );
    check(
        "a CANCELUPDATE",
        expect!["a: Syntax: byte 14: want a space"],
    );
    check("a CHECK", expect!["a: Check"]);
    check("a CLOSE", expect!["a: Close"]);
    check("a UNSELECT", expect!["a: Unselect"]);
    check("a EXPUNGE", expect!["a: Expunge { uids: None }"]);
    check(
        "a UID EXPUNGE 3000:3002",
        expect!["a: Expunge { uids: Some(Ranges([(Number(3000), Number(3002))])) }"],
    );
    check("a UID EXPUNGE", expect!["a: Syntax: byte 13: want a space"]);
}
