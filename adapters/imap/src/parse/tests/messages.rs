//! The same for the commands about messages.

use expect_test::expect;

use super::check;

#[test]
fn append() {
    check(
        "a APPEND saved-messages (\\Seen) {5}\nhello",
        expect![[
            r#"a: Append { mailbox: "saved-messages", messages: [AppendMessage { flags: ["\\Seen"], date: None, source: Message { octets: [104, 101, 108, 108, 111], is_binary: false, is_utf8: false } }] }"#
        ]],
    );
    check(
        "a APPEND saved-messages (\\Seen $Forwarded) \"17-Jul-1996 02:44:25 -0700\" {5+}\nhello",
        expect![[
            r#"a: Append { mailbox: "saved-messages", messages: [AppendMessage { flags: ["\\Seen", "$Forwarded"], date: Some(837596665), source: Message { octets: [104, 101, 108, 108, 111], is_binary: false, is_utf8: false } }] }"#
        ]],
    );
    check(
        "a APPEND x {0}\n",
        expect![[
            r#"a: Append { mailbox: "x", messages: [AppendMessage { flags: [], date: None, source: Message { octets: [], is_binary: false, is_utf8: false } }] }"#
        ]],
    );
    check(
        "a APPEND x () {1}\na (\\Flagged) {1}\nb {1}\nc",
        expect![[
            r#"a: Append { mailbox: "x", messages: [AppendMessage { flags: [], date: None, source: Message { octets: [97], is_binary: false, is_utf8: false } }, AppendMessage { flags: ["\\Flagged"], date: None, source: Message { octets: [98], is_binary: false, is_utf8: false } }, AppendMessage { flags: [], date: None, source: Message { octets: [99], is_binary: false, is_utf8: false } }] }"#
        ]],
    );
    check(
        "a APPEND x ~{3}\na~c",
        expect![[
            r#"a: Append { mailbox: "x", messages: [AppendMessage { flags: [], date: None, source: Message { octets: [97, 126, 99], is_binary: true, is_utf8: false } }] }"#
        ]],
    );
    check(
        "a APPEND x \"17-Jul-1996 02:44:25 -0700\" UTF8 (~{5}\nhello)",
        expect![[
            r#"a: Append { mailbox: "x", messages: [AppendMessage { flags: [], date: Some(837596665), source: Message { octets: [104, 101, 108, 108, 111], is_binary: true, is_utf8: true } }] }"#
        ]],
    );
    check(
        "a APPEND x CATENATE (URL \"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER\" TEXT {2}\nhi TEXT {1+}\n!)",
        expect![[
            r#"a: Append { mailbox: "x", messages: [AppendMessage { flags: [], date: None, source: Catenate([Url("/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER"), Text([104, 105]), Text([33])]) }] }"#
        ]],
    );
    check(
        "a APPEND x CATENATE ()",
        expect!["a: Syntax: byte 21: want TEXT or URL"],
    );
    check(
        "a APPEND x CATENATE (FILE x)",
        expect!["a: Syntax: byte 21: want TEXT or URL"],
    );
    check(
        "a APPEND x \"32-Jul-1996 02:44:25 -0700\" {1}\na",
        expect![[
            r#"a: Syntax: byte 11: want a date and time such as "17-Jul-1996 02:44:25 -0700""#
        ]],
    );
    check(
        "a APPEND x \"hello\"",
        expect![[
            r#"a: Syntax: byte 11: want a date and time such as "17-Jul-1996 02:44:25 -0700""#
        ]],
    );
    check("a APPEND x", expect!["a: Syntax: byte 10: want a space"]);
    check(
        "a REPLACE 4 Drafts (\\Seen \\Draft) \"1-Jan-2026 00:00:00 +0000\" {2}\nhi",
        expect![[
            r#"a: Replace { uid: false, number: Number(4), mailbox: "Drafts", message: AppendMessage { flags: ["\\Seen", "\\Draft"], date: Some(1767225600), source: Message { octets: [104, 105], is_binary: false, is_utf8: false } } }"#
        ]],
    );
    check(
        "a UID REPLACE * Drafts {2}\nhi",
        expect![[
            r#"a: Replace { uid: true, number: Star, mailbox: "Drafts", message: AppendMessage { flags: [], date: None, source: Message { octets: [104, 105], is_binary: false, is_utf8: false } } }"#
        ]],
    );
    check(
        "a REPLACE 1:2 Drafts {2}\nhi",
        expect!["a: Syntax: byte 11: want a space"],
    );
}

#[test]
fn fetch() {
    check(
        "a FETCH 2:4 (FLAGS BODY[HEADER.FIELDS (DATE FROM)])",
        expect![[
            r#"a: Fetch { uid: false, set: Ranges([(Number(2), Number(4))]), fetch: Fetch { items: [Flags, Section { section: Section { part: [], text: Some(HeaderFields(["DATE", "FROM"])) }, partial: None, peek: false }], changed_since: None, vanished: false, partial: None } }"#
        ]],
    );
    check(
        "a FETCH 1 ALL",
        expect![
            "a: Fetch { uid: false, set: Ranges([(Number(1), Number(1))]), fetch: Fetch { items: [Flags, InternalDate, Rfc822Size, Envelope], changed_since: None, vanished: false, partial: None } }"
        ],
    );
    check(
        "a FETCH 1 fast",
        expect![
            "a: Fetch { uid: false, set: Ranges([(Number(1), Number(1))]), fetch: Fetch { items: [Flags, InternalDate, Rfc822Size], changed_since: None, vanished: false, partial: None } }"
        ],
    );
    check(
        "a FETCH 1 FULL",
        expect![
            "a: Fetch { uid: false, set: Ranges([(Number(1), Number(1))]), fetch: Fetch { items: [Flags, InternalDate, Rfc822Size, Envelope, Body], changed_since: None, vanished: false, partial: None } }"
        ],
    );
    check(
        "a UID FETCH 1:* (UID INTERNALDATE RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE MODSEQ EMAILID THREADID SAVEDATE PREVIEW)",
        expect![
            "a: Fetch { uid: true, set: Ranges([(Number(1), Star)]), fetch: Fetch { items: [Uid, InternalDate, Rfc822Size, Envelope, Body, BodyStructure, Modseq, EmailId, ThreadId, SaveDate, Preview], changed_since: None, vanished: false, partial: None } }"
        ],
    );
    check(
        "a FETCH 1 (PREVIEW (LAZY) FLAGS)",
        expect![
            "a: Fetch { uid: false, set: Ranges([(Number(1), Number(1))]), fetch: Fetch { items: [Preview, Flags], changed_since: None, vanished: false, partial: None } }"
        ],
    );
    check(
        "a FETCH 1 PREVIEW (LAZY)",
        expect![
            "a: Fetch { uid: false, set: Ranges([(Number(1), Number(1))]), fetch: Fetch { items: [Preview], changed_since: None, vanished: false, partial: None } }"
        ],
    );
    check(
        "a FETCH 1 PREVIEW (CHANGEDSINCE 5)",
        expect![
            "a: Fetch { uid: false, set: Ranges([(Number(1), Number(1))]), fetch: Fetch { items: [Preview], changed_since: Some(5), vanished: false, partial: None } }"
        ],
    );
    check(
        "a FETCH $ (RFC822 RFC822.HEADER RFC822.TEXT)",
        expect![
            "a: Fetch { uid: false, set: Saved, fetch: Fetch { items: [Rfc822, Rfc822Header, Rfc822Text], changed_since: None, vanished: false, partial: None } }"
        ],
    );
    check(
        "a FETCH 1 BODY[]",
        expect![
            "a: Fetch { uid: false, set: Ranges([(Number(1), Number(1))]), fetch: Fetch { items: [Section { section: Section { part: [], text: None }, partial: None, peek: false }], changed_since: None, vanished: false, partial: None } }"
        ],
    );
    check(
        "a FETCH 1 BODY.PEEK[]<0.2048>",
        expect![
            "a: Fetch { uid: false, set: Ranges([(Number(1), Number(1))]), fetch: Fetch { items: [Section { section: Section { part: [], text: None }, partial: Some((0, 2048)), peek: true }], changed_since: None, vanished: false, partial: None } }"
        ],
    );
    check(
        "a FETCH 1 body[1.2.3]",
        expect![
            "a: Fetch { uid: false, set: Ranges([(Number(1), Number(1))]), fetch: Fetch { items: [Section { section: Section { part: [1, 2, 3], text: None }, partial: None, peek: false }], changed_since: None, vanished: false, partial: None } }"
        ],
    );
    check(
        "a FETCH 1 BODY[4.2.HEADER]",
        expect![
            "a: Fetch { uid: false, set: Ranges([(Number(1), Number(1))]), fetch: Fetch { items: [Section { section: Section { part: [4, 2], text: Some(Header) }, partial: None, peek: false }], changed_since: None, vanished: false, partial: None } }"
        ],
    );
    check(
        "a FETCH 1 BODY[4.1.MIME]",
        expect![
            "a: Fetch { uid: false, set: Ranges([(Number(1), Number(1))]), fetch: Fetch { items: [Section { section: Section { part: [4, 1], text: Some(Mime) }, partial: None, peek: false }], changed_since: None, vanished: false, partial: None } }"
        ],
    );
    check(
        "a FETCH 1 BODY[TEXT]<5000000000.1>",
        expect![
            "a: Fetch { uid: false, set: Ranges([(Number(1), Number(1))]), fetch: Fetch { items: [Section { section: Section { part: [], text: Some(Text) }, partial: Some((5000000000, 1)), peek: false }], changed_since: None, vanished: false, partial: None } }"
        ],
    );
    check(
        "a FETCH 1 BODY[2.HEADER.FIELDS.NOT (\"Received\" X-Y)]",
        expect![[
            r#"a: Fetch { uid: false, set: Ranges([(Number(1), Number(1))]), fetch: Fetch { items: [Section { section: Section { part: [2], text: Some(HeaderFieldsNot(["Received", "X-Y"])) }, partial: None, peek: false }], changed_since: None, vanished: false, partial: None } }"#
        ]],
    );
    check(
        "a FETCH 1 BODY[MIME]",
        expect!["a: Syntax: byte 15: want HEADER, HEADER.FIELDS, TEXT or MIME"],
    );
    check(
        "a FETCH 1 BODY[0]",
        expect!["a: Syntax: byte 15: want the number of a part"],
    );
    check(
        "a FETCH 1 BODY[1.]",
        expect!["a: Syntax: byte 17: want HEADER, HEADER.FIELDS, TEXT or MIME"],
    );
    check(
        "a FETCH 1 BODY[HEADER.FIELDS ()]",
        expect!["a: Syntax: byte 30: want the name of a header field"],
    );
    check(
        "a FETCH 1 BODY[HEADER.FIELDS (a:b)]",
        expect!["a: Syntax: byte 30: want the name of a header field"],
    );
    check(
        "a FETCH 1 BODY[]<0.0>",
        expect!["a: Syntax: byte 19: want a length above 0"],
    );
    check(
        "a FETCH 1 BODY.PEEK",
        expect!["a: Syntax: byte 10: want an item to fetch"],
    );
    check(
        "a FETCH 1 BINARY[1]",
        expect![
            "a: Fetch { uid: false, set: Ranges([(Number(1), Number(1))]), fetch: Fetch { items: [Binary { part: [1], partial: None, peek: false }], changed_since: None, vanished: false, partial: None } }"
        ],
    );
    check(
        "a FETCH 1 BINARY.PEEK[1.2]<0.10>",
        expect![
            "a: Fetch { uid: false, set: Ranges([(Number(1), Number(1))]), fetch: Fetch { items: [Binary { part: [1, 2], partial: Some((0, 10)), peek: true }], changed_since: None, vanished: false, partial: None } }"
        ],
    );
    check(
        "a FETCH 1 BINARY.SIZE[]",
        expect![
            "a: Fetch { uid: false, set: Ranges([(Number(1), Number(1))]), fetch: Fetch { items: [BinarySize([])], changed_since: None, vanished: false, partial: None } }"
        ],
    );
    check(
        "a FETCH 1 BINARY[TEXT]",
        expect!["a: Syntax: byte 17: want the number of a part"],
    );
    check(
        "a UID FETCH 1:* (FLAGS) (CHANGEDSINCE 12345 VANISHED)",
        expect![
            "a: Fetch { uid: true, set: Ranges([(Number(1), Star)]), fetch: Fetch { items: [Flags], changed_since: Some(12345), vanished: true, partial: None } }"
        ],
    );
    check(
        "a UID FETCH 25900:26600 (UID FLAGS) (PARTIAL -1:-100)",
        expect![
            "a: Fetch { uid: true, set: Ranges([(Number(25900), Number(26600))]), fetch: Fetch { items: [Uid, Flags], changed_since: None, vanished: false, partial: Some((-1, -100)) } }"
        ],
    );
    check(
        "a FETCH 1 (FLAGS) (PARTIAL 1:-100)",
        expect!["a: Syntax: byte 27: want a range such as 1:100 or -1:-100"],
    );
    check(
        "a FETCH 1 (FLAGS) (FROB)",
        expect!["a: Syntax: byte 19: want CHANGEDSINCE, VANISHED or PARTIAL"],
    );
    check(
        "a FETCH 1 ()",
        expect!["a: Syntax: byte 11: want an item to fetch"],
    );
    check("a FETCH 1 FLAGS UID", expect!["a: Syntax: byte 16: want ("]);
    check("a FETCH 1", expect!["a: Syntax: byte 9: want a space"]);
    check(
        "a FETCH 0 FLAGS",
        expect!["a: Syntax: byte 8: want a sequence set"],
    );
    check(
        "a FETCH 1,,2 FLAGS",
        expect!["a: Syntax: byte 10: want a sequence set"],
    );
    check(
        "a FETCH 1:4294967296 FLAGS",
        expect!["a: Syntax: byte 10: want the end of a range"],
    );
    check(
        "a FETCH 2,4:7,9,12:*,*:4 FLAGS",
        expect![
            "a: Fetch { uid: false, set: Ranges([(Number(2), Number(2)), (Number(4), Number(7)), (Number(9), Number(9)), (Number(12), Star), (Star, Number(4))]), fetch: Fetch { items: [Flags], changed_since: None, vanished: false, partial: None } }"
        ],
    );
}

#[test]
fn store_and_copy() {
    check(
        "a STORE 2:4 +FLAGS (\\Deleted)",
        expect![[
            r#"a: Store { uid: false, set: Ranges([(Number(2), Number(4))]), store: Store { change: Add, silent: false, flags: ["\\Deleted"], unchanged_since: None } }"#
        ]],
    );
    check(
        "a STORE 2 -flags.silent \\Seen $Forwarded",
        expect![[
            r#"a: Store { uid: false, set: Ranges([(Number(2), Number(2))]), store: Store { change: Remove, silent: true, flags: ["\\Seen", "$Forwarded"], unchanged_since: None } }"#
        ]],
    );
    check(
        "a UID STORE 1 FLAGS ()",
        expect![
            "a: Store { uid: true, set: Ranges([(Number(1), Number(1))]), store: Store { change: Replace, silent: false, flags: [], unchanged_since: None } }"
        ],
    );
    check(
        "a STORE 7,5,9 (UNCHANGEDSINCE 12121230000) +FLAGS.SILENT (\\Deleted)",
        expect![[
            r#"a: Store { uid: false, set: Ranges([(Number(7), Number(7)), (Number(5), Number(5)), (Number(9), Number(9))]), store: Store { change: Add, silent: true, flags: ["\\Deleted"], unchanged_since: Some(12121230000) } }"#
        ]],
    );
    check(
        "a STORE 7 (UNCHANGEDSINCE 0) FLAGS (\\Recent)",
        expect![[
            r#"a: Store { uid: false, set: Ranges([(Number(7), Number(7))]), store: Store { change: Replace, silent: false, flags: ["\\Recent"], unchanged_since: Some(0) } }"#
        ]],
    );
    check(
        "a STORE 7 (FROB 1) FLAGS (\\Seen)",
        expect!["a: Syntax: byte 11: want UNCHANGEDSINCE"],
    );
    check(
        "a STORE 7 FLAG (\\Seen)",
        expect!["a: Syntax: byte 14: want FLAGS or FLAGS.SILENT"],
    );
    check(
        "a STORE 7 FLAGS (\\*)",
        expect!["a: Syntax: byte 17: want a flag"],
    );
    check(
        "a STORE 7 FLAGS",
        expect!["a: Syntax: byte 15: want a space"],
    );
    check(
        "a COPY 2:4 MEETING",
        expect![[
            r#"a: Copy { uid: false, set: Ranges([(Number(2), Number(4))]), mailbox: "MEETING" }"#
        ]],
    );
    check(
        "a UID MOVE 42:69 \"foo\"",
        expect![[
            r#"a: Move { uid: true, set: Ranges([(Number(42), Number(69))]), mailbox: "foo" }"#
        ]],
    );
    check(
        "a MOVE 42 ",
        expect!["a: Syntax: byte 10: want a mailbox name"],
    );
}

#[test]
fn search() {
    check(
        "a SEARCH FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"",
        expect![[
            r#"a: Search { uid: false, search: Search { returns: None, sources: [], update_items: [], charset: None, key: And([Flagged, Since(8797), Not(From("Smith"))]) } }"#
        ]],
    );
    check(
        "a SEARCH TEXT \"string not in mailbox\"",
        expect![[
            r#"a: Search { uid: false, search: Search { returns: None, sources: [], update_items: [], charset: None, key: Text("string not in mailbox") } }"#
        ]],
    );
    check(
        "a UID SEARCH CHARSET UTF-8 TEXT {12}\nмайлбо",
        expect![[
            r#"a: Search { uid: true, search: Search { returns: None, sources: [], update_items: [], charset: Some("UTF-8"), key: Text("майлбо") } }"#
        ]],
    );
    check(
        "a SEARCH RETURN (MIN COUNT) FLAGGED SINCE \"1-Feb-1994\" NOT FROM Smith",
        expect![[
            r#"a: Search { uid: false, search: Search { returns: Some([Min, Count]), sources: [], update_items: [], charset: None, key: And([Flagged, Since(8797), Not(From("Smith"))]) } }"#
        ]],
    );
    check(
        "a SEARCH RETURN () ALL",
        expect![
            "a: Search { uid: false, search: Search { returns: Some([All]), sources: [], update_items: [], charset: None, key: All } }"
        ],
    );
    check(
        "a SEARCH RETURN (SAVE) 2:4",
        expect![
            "a: Search { uid: false, search: Search { returns: Some([Save]), sources: [], update_items: [], charset: None, key: Sequence(Ranges([(Number(2), Number(4))])) } }"
        ],
    );
    check(
        "a SEARCH RETURN (PARTIAL -1:-100) UNDELETED UNKEYWORD $Junk",
        expect![[
            r#"a: Search { uid: false, search: Search { returns: Some([Partial(-1, -100)]), sources: [], update_items: [], charset: None, key: And([Undeleted, Unkeyword("$Junk")]) } }"#
        ]],
    );
    check(
        "a SEARCH RETURN (UPDATE COUNT CONTEXT) DELETED KEYWORD $Junk",
        expect![[
            r#"a: Search { uid: false, search: Search { returns: Some([Update, Count, Context]), sources: [], update_items: [], charset: None, key: And([Deleted, Keyword("$Junk")]) } }"#
        ]],
    );
    check(
        "a SEARCH RETURN (COUNT UPDATE (UID BODY[HEADER.FIELDS (TO)])) ALL",
        expect![[
            r#"a: Search { uid: false, search: Search { returns: Some([Count, Update]), sources: [], update_items: [Uid, Section { section: Section { part: [], text: Some(HeaderFields(["TO"])) }, partial: None, peek: false }], charset: None, key: All } }"#
        ]],
    );
    check(
        "a SEARCH RETURN (FROB) ALL",
        expect!["a: Syntax: byte 17: want MIN, MAX, ALL, COUNT, SAVE, CONTEXT, UPDATE or PARTIAL"],
    );
    check(
        "a SEARCH OR (FROM a TO b) OR SEEN NOT (DELETED)",
        expect![[
            r#"a: Search { uid: false, search: Search { returns: None, sources: [], update_items: [], charset: None, key: Or(And([From("a"), To("b")]), Or(Seen, Not(Deleted))) } }"#
        ]],
    );
    check(
        "a SEARCH (OLDER 3600 YOUNGER 1) LARGER 10 SMALLER 5000000000",
        expect![
            "a: Search { uid: false, search: Search { returns: None, sources: [], update_items: [], charset: None, key: And([And([Older(3600), Younger(1)]), Larger(10), Smaller(5000000000)]) } }"
        ],
    );
    check(
        "a SEARCH BCC a CC b FROM c TO d SUBJECT e BODY f TEXT g HEADER Message-Id \"\"",
        expect![[
            r#"a: Search { uid: false, search: Search { returns: None, sources: [], update_items: [], charset: None, key: And([Bcc("a"), Cc("b"), From("c"), To("d"), Subject("e"), Body("f"), Text("g"), Header("Message-Id", "")]) } }"#
        ]],
    );
    check(
        "a SEARCH ANSWERED DELETED DRAFT FLAGGED NEW OLD RECENT SEEN UNANSWERED UNDELETED UNDRAFT UNFLAGGED UNSEEN",
        expect![
            "a: Search { uid: false, search: Search { returns: None, sources: [], update_items: [], charset: None, key: And([Answered, Deleted, Draft, Flagged, New, Old, Recent, Seen, Unanswered, Undeleted, Undraft, Unflagged, Unseen]) } }"
        ],
    );
    check(
        "a SEARCH BEFORE 1-Jan-1970 ON 2-jan-1970 SINCE 31-DEC-1969 SENTBEFORE 1-Mar-2000 SENTON 29-Feb-2000 SENTSINCE 01-Jan-2026",
        expect![
            "a: Search { uid: false, search: Search { returns: None, sources: [], update_items: [], charset: None, key: And([Before(0), On(1), Since(-1), SentBefore(11017), SentOn(11016), SentSince(20454)]) } }"
        ],
    );
    check(
        "a SEARCH SAVEDBEFORE 1-Jan-1970 SAVEDON 1-Jan-1970 SAVEDSINCE 1-Jan-1970 SAVEDATESUPPORTED",
        expect![
            "a: Search { uid: false, search: Search { returns: None, sources: [], update_items: [], charset: None, key: And([SavedBefore(0), SavedOn(0), SavedSince(0), SaveDateSupported]) } }"
        ],
    );
    check(
        "a SEARCH MODSEQ \"/flags/\\\\draft\" all 620162338",
        expect![
            "a: Search { uid: false, search: Search { returns: None, sources: [], update_items: [], charset: None, key: Modseq(620162338) } }"
        ],
    );
    check(
        "a SEARCH OR NOT MODSEQ 720162338 LARGER 50000",
        expect![
            "a: Search { uid: false, search: Search { returns: None, sources: [], update_items: [], charset: None, key: Or(Not(Modseq(720162338)), Larger(50000)) } }"
        ],
    );
    check(
        "a SEARCH MODSEQ \"/flags/\\\\draft\" some 620162338",
        expect!["a: Syntax: byte 33: want priv, shared or all"],
    );
    check(
        "a SEARCH EMAILID M6d99ac3275bb4e THREADID T64b478a75b7ea9",
        expect![[
            r#"a: Search { uid: false, search: Search { returns: None, sources: [], update_items: [], charset: None, key: And([EmailId("M6d99ac3275bb4e"), ThreadId("T64b478a75b7ea9")]) } }"#
        ]],
    );
    check(
        "a SEARCH EMAILID a/b",
        expect!["a: Syntax: byte 17: want an object identifier"],
    );
    check(
        "a SEARCH FUZZY (SUBJECT \"IMAP break\") $ UID 1:*",
        expect![[
            r#"a: Search { uid: false, search: Search { returns: None, sources: [], update_items: [], charset: None, key: And([Fuzzy(Subject("IMAP break")), Sequence(Saved), Uid(Ranges([(Number(1), Star)]))]) } }"#
        ]],
    );
    check(
        "a SEARCH CHARSET KOI8-R TEXT x",
        expect!["a: BadCharset: byte 17: want the charset US-ASCII or UTF-8"],
    );
    check(
        "a SEARCH CHARSET US-ASCII TEXT \"ü\"",
        expect!["a: BadCharset: byte 31: want a text in US-ASCII"],
    );
    check(
        "a SEARCH TEXT \"ü\"",
        expect![[
            r#"a: Search { uid: false, search: Search { returns: None, sources: [], update_items: [], charset: None, key: Text("ü") } }"#
        ]],
    );
    check("a SEARCH", expect!["a: Syntax: byte 8: want a space"]);
    check(
        "a SEARCH ()",
        expect!["a: Syntax: byte 10: want a search key"],
    );
    check(
        "a SEARCH (SEEN",
        expect!["a: Syntax: byte 14: want ) after search keys"],
    );
    check(
        "a SEARCH SEEN)",
        expect!["a: Syntax: byte 13: want the end of the command"],
    );
    check(
        "a SEARCH FROB",
        expect!["a: Syntax: byte 9: want a search key"],
    );
    check(
        "a SEARCH ON 30-Feb-2000",
        expect!["a: Syntax: byte 12: want a date such as 1-Feb-1994"],
    );
    check(
        "a SEARCH ON 1-Foo-2000",
        expect!["a: Syntax: byte 12: want a date such as 1-Feb-1994"],
    );
    check("a SEARCH NOT", expect!["a: Syntax: byte 12: want a space"]);
    check(
        "a SEARCH OR SEEN",
        expect!["a: Syntax: byte 16: want a space"],
    );
    check(
        "a SEARCH OLDER 0",
        expect!["a: Syntax: byte 15: want seconds"],
    );
    check(
        "a ESEARCH IN (mailboxes \"folder1\" subtree \"folder2\") unseen",
        expect![[
            r#"a: Search { uid: false, search: Search { returns: None, sources: [Mailboxes(["folder1"]), Subtree(["folder2"])], update_items: [], charset: None, key: Unseen } }"#
        ]],
    );
    check(
        "a ESEARCH IN (subtree-one (folder2 folder3) selected personal) RETURN (COUNT) CHARSET UTF-8 subject \"chad\"",
        expect![[
            r#"a: Search { uid: false, search: Search { returns: Some([Count]), sources: [SubtreeOne(["folder2", "folder3"]), Selected, Personal], update_items: [], charset: Some("UTF-8"), key: Subject("chad") } }"#
        ]],
    );
    check(
        "a UID ESEARCH FROM \"frobozz\" 1:100",
        expect![[
            r#"a: Search { uid: true, search: Search { returns: None, sources: [Selected], update_items: [], charset: None, key: And([From("frobozz"), Sequence(Ranges([(Number(1), Number(100))]))]) } }"#
        ]],
    );
    check(
        "a ESEARCH IN (selected-delayed) ALL",
        expect!["a: Syntax: byte 14: want selected in place of selected-delayed"],
    );
    check(
        "a ESEARCH IN () ALL",
        expect!["a: Syntax: byte 14: want a source of ESEARCH"],
    );
}

#[test]
fn sort_and_thread() {
    check(
        "a SORT (SUBJECT REVERSE DATE) UTF-8 ALL",
        expect![[
            r#"a: Sort { uid: false, keys: [SortKey { reverse: false, by: Subject }, SortKey { reverse: true, by: Date }], search: Search { returns: None, sources: [], update_items: [], charset: Some("UTF-8"), key: All } }"#
        ]],
    );
    check(
        "a UID SORT RETURN (ALL COUNT) (REVERSE DISPLAYFROM ARRIVAL CC FROM SIZE TO DISPLAYTO) US-ASCII UNDELETED SINCE 1-Feb-1994",
        expect![[
            r#"a: Sort { uid: true, keys: [SortKey { reverse: true, by: DisplayFrom }, SortKey { reverse: false, by: Arrival }, SortKey { reverse: false, by: Cc }, SortKey { reverse: false, by: From }, SortKey { reverse: false, by: Size }, SortKey { reverse: false, by: To }, SortKey { reverse: false, by: DisplayTo }], search: Search { returns: Some([All, Count]), sources: [], update_items: [], charset: Some("US-ASCII"), key: And([Undeleted, Since(8797)]) } }"#
        ]],
    );
    check(
        "a SORT () UTF-8 ALL",
        expect!["a: Syntax: byte 8: want a sort key"],
    );
    check(
        "a SORT (RELEVANCE) UTF-8 ALL",
        expect!["a: Syntax: byte 8: want a sort key"],
    );
    check(
        "a SORT (DATE) KOI8-R ALL",
        expect!["a: BadCharset: byte 14: want the charset US-ASCII or UTF-8"],
    );
    check(
        "a SORT (DATE) ALL",
        expect!["a: BadCharset: byte 14: want the charset US-ASCII or UTF-8"],
    );
    check(
        "a THREAD ORDEREDSUBJECT UTF-8 SINCE 5-MAR-2000",
        expect![[
            r#"a: Thread { uid: false, algorithm: OrderedSubject, search: Search { returns: None, sources: [], update_items: [], charset: Some("UTF-8"), key: Since(11021) } }"#
        ]],
    );
    check(
        "a UID THREAD references \"US-ASCII\" TEXT \"gewp\"",
        expect![[
            r#"a: Thread { uid: true, algorithm: References, search: Search { returns: None, sources: [], update_items: [], charset: Some("US-ASCII"), key: Text("gewp") } }"#
        ]],
    );
    check(
        "a THREAD REFS UTF-8 ALL",
        expect!["a: Syntax: byte 9: want ORDEREDSUBJECT or REFERENCES"],
    );
}
