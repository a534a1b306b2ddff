//! What FETCH says of one message.

use std::sync::Arc;

use bytes::Bytes;
use jmap_core::access::MailboxRights;
use jmap_core::inproc::imap_view::{
    MailboxKey, Opened, ViewMessage, ViewRow, ViewStatus, WireStructure,
};
use jmap_core::mail::message::Summary;
use jmap_types::AccountId;

use super::pieces::Pieces;
use super::plan::Plan;
use super::render::{Renderer, Trouble};
use super::section::{Message, Octets, UnknownCte};
use crate::command::{Command, FetchItem};
use crate::parse;
use crate::selected::{Manner, Selected};
use crate::translate::flags::Rendered;

/// A text, a message within that has two parts, and a picture.
const NESTED: &str = "From: a@example.org\r\n\
Subject: one\r\n\
\tand more\r\n\
X-Long : spaced\r\n\
MIME-Version: 1.0\r\n\
Content-Type: multipart/mixed; boundary=\"o\"\r\n\
\r\n\
preamble\r\n\
--o\r\n\
Content-Type: text/plain\r\n\
\r\n\
hello\r\n\
--o\r\n\
Content-Type: message/rfc822\r\n\
\r\n\
From: b@example.org\r\n\
Subject: two\r\n\
MIME-Version: 1.0\r\n\
Content-Type: multipart/alternative; boundary=\"i\"\r\n\
\r\n\
--i\r\n\
Content-Type: text/plain\r\n\
\r\n\
inner text\r\n\
--i\r\n\
Content-Type: text/html\r\n\
Content-Transfer-Encoding: quoted-printable\r\n\
\r\n\
<b>=C3=A9</b>\r\n\
--i--\r\n\
--o\r\n\
Content-Type: message/rfc822\r\n\
\r\n\
Subject: three\r\n\
\r\n\
only text\r\n\
--o\r\n\
Content-Type: image/png\r\n\
Content-Transfer-Encoding: base64\r\n\
\r\n\
AAECAw==\r\n\
--o\r\n\
Content-Type: application/x\r\n\
Content-Transfer-Encoding: x-unknown\r\n\
\r\n\
?\r\n\
--o--\r\n";

const SINGLE: &str = "Subject: one\r\nFrom: a@example.org\r\n\r\nbody\r\n";

fn message(text: &str) -> Message {
    let octets = Bytes::copy_from_slice(text.as_bytes());
    let summary = Arc::new(Summary::parse(&octets));
    Message::new(octets, summary)
}

fn text_of(message: &Message, octets: Octets) -> String {
    let octets = match octets {
        Octets::Range(range) => message.octets.slice(range).to_vec(),
        Octets::Made(octets) => octets,
    };
    String::from_utf8_lossy(&octets).into_owned()
}

/// RFC 9051 §6.4.5.1
#[test]
fn sections_are_parts_of_the_message() {
    let inner = NESTED.find("From: b@").unwrap();
    let inner_end = NESTED
        .find("\r\n--o\r\nContent-Type: message/rfc822\r\n\r\nSubject: three")
        .unwrap();
    let inner_body = inner + NESTED[inner..].find("\r\n\r\n").unwrap() + 4;
    let body = NESTED.find("preamble").unwrap();
    let single_body = SINGLE.find("body").unwrap();
    let rows: [(&str, &str, Option<&str>); 27] = [
        (NESTED, "", Some(NESTED)),
        (NESTED, "HEADER", Some(&NESTED[..body])),
        (NESTED, "TEXT", Some(&NESTED[body..])),
        (NESTED, "1", Some("hello")),
        (NESTED, "1.MIME", Some("Content-Type: text/plain\r\n\r\n")),
        (NESTED, "1.1", None),
        (NESTED, "1.HEADER", None),
        (NESTED, "2", Some(&NESTED[inner..inner_end])),
        (NESTED, "2.HEADER", Some(&NESTED[inner..inner_body])),
        (NESTED, "2.TEXT", Some(&NESTED[inner_body..inner_end])),
        (NESTED, "2.1", Some("inner text")),
        (
            NESTED,
            "2.2.MIME",
            Some("Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"),
        ),
        (NESTED, "2.2", Some("<b>=C3=A9</b>")),
        (NESTED, "2.3", None),
        (
            NESTED,
            "2.HEADER.FIELDS (SUBJECT)",
            Some("Subject: two\r\n\r\n"),
        ),
        (NESTED, "3.1", Some("only text")),
        (NESTED, "3.1.MIME", Some("Subject: three\r\n\r\n")),
        (NESTED, "3.2", None),
        (NESTED, "6", None),
        (
            NESTED,
            "HEADER.FIELDS (subject x-long)",
            Some("Subject: one\r\n\tand more\r\nX-Long : spaced\r\n\r\n"),
        ),
        (
            NESTED,
            "HEADER.FIELDS.NOT (subject x-long MIME-VERSION Content-Type)",
            Some("From: a@example.org\r\n\r\n"),
        ),
        (NESTED, "HEADER.FIELDS (nothing)", Some("\r\n")),
        (SINGLE, "1", Some("body\r\n")),
        (SINGLE, "1.MIME", Some(&SINGLE[..single_body])),
        (SINGLE, "2", None),
        (SINGLE, "TEXT", Some("body\r\n")),
        (
            "Subject: no body\r\n",
            "HEADER.FIELDS (Subject)",
            Some("Subject: no body\r\n"),
        ),
    ];
    for (text, section, want) in rows {
        let mut message = message(text);
        let section_of = parse::section(section.as_bytes()).unwrap();
        let got = message.section(&section_of);
        let got = got.map(|octets| text_of(&message, octets));
        assert_eq!(got.as_deref(), want, "{section}");
    }
}

/// RFC 3516 §4.3
#[test]
fn binary_has_no_transfer_encoding() {
    let mut message = message(NESTED);
    let mut binary = |part: &[u32]| {
        let octets = message.binary(part)?;
        Ok::<_, UnknownCte>(octets.map(|octets| text_of(&message, octets)))
    };
    assert_eq!(binary(&[1]), Ok(Some("hello".to_owned())));
    assert_eq!(binary(&[2, 2]), Ok(Some("<b>é</b>".to_owned())));
    assert_eq!(binary(&[4]), Ok(Some("\0\u{1}\u{2}\u{3}".to_owned())));
    assert_eq!(binary(&[5]), Err(UnknownCte));
    assert_eq!(binary(&[9]), Ok(None));
    assert_eq!(binary(&[]), Ok(Some(NESTED.to_owned())));
}

fn row() -> ViewRow {
    ViewRow {
        uid: 7,
        email: 1,
        thread: 2,
        modseq: 99,
        size: 45,
        received_at: 0,
        saved_at: 86_400,
        sent_at: None,
        is_deleted: true,
        keywords: Arc::from([Arc::from("$seen")]),
    }
}

fn selected() -> Selected {
    let key = MailboxKey {
        account: AccountId::new(1),
        mailbox: 1,
    };
    let opened = Opened {
        status: ViewStatus::default(),
        rights: MailboxRights::ALL,
        messages: [(3, 9), (7, 1)].into_iter().collect(),
        keywords: Vec::new(),
        first_unseen_uid: None,
        sequence: 1,
    };
    Selected::new(key, opened, false, 7)
}

fn items(text: &str) -> (Vec<FetchItem>, bool) {
    let line = format!("a {text}");
    let tagged = parse::parse(line.as_bytes(), parse::Mode::default()).unwrap();
    let Command::Fetch { fetch, uid, .. } = tagged.command else {
        panic!("{text}");
    };
    (fetch.items, uid)
}

fn render(
    command: &str,
    text: &str,
    manner: Manner,
    shows_seen: bool,
) -> (String, Result<(), Trouble>) {
    let (items, uid) = items(command);
    let plan = Plan::new(&items, uid);
    let octets = Bytes::copy_from_slice(text.as_bytes());
    let message = (!plan.is_of_rows()).then(|| ViewMessage {
        email: 1,
        blob: [0; 32],
        structure: plan.want.structure.then(|| {
            Arc::new(WireStructure {
                envelope: Bytes::from_static(b"(E)"),
                body: Bytes::from_static(b"(B)"),
                body_structure: Bytes::from_static(b"(S)"),
            })
        }),
        summary: plan.want.summary.then(|| Arc::new(Summary::parse(&octets))),
        octets: plan.want.octets.then_some(octets),
    });
    let mut renderer = Renderer {
        caller: &jmap_core::Caller::server(),
        plan: &plan,
        manner,
        rendered: Rendered::default(),
    };
    let mut pieces = Pieces::default();
    let done = renderer.message(&selected(), 1, &row(), message, shows_seen, &mut pieces);
    (
        String::from_utf8_lossy(&pieces.take().concat()).into_owned(),
        done,
    )
}

#[test]
fn a_message_is_answered_with_what_was_asked_for() {
    let rows = [
        ("FETCH 2 FLAGS", "* 2 FETCH (FLAGS (\\Seen \\Deleted))\r\n"),
        (
            "FETCH 2 (FLAGS UID FLAGS)",
            "* 2 FETCH (FLAGS (\\Seen \\Deleted) UID 7)\r\n",
        ),
        (
            "UID FETCH 7 (FLAGS UID)",
            "* 2 FETCH (UID 7 FLAGS (\\Seen \\Deleted))\r\n",
        ),
        (
            "FETCH 2 (INTERNALDATE SAVEDATE RFC822.SIZE)",
            "* 2 FETCH (INTERNALDATE \" 1-Jan-1970 00:00:00 +0000\" SAVEDATE \" 2-Jan-1970 00:00:00 +0000\" RFC822.SIZE 45)\r\n",
        ),
        (
            "FETCH 2 (ENVELOPE BODY BODYSTRUCTURE)",
            "* 2 FETCH (ENVELOPE (E) BODY (B) BODYSTRUCTURE (S))\r\n",
        ),
        ("FETCH 2 MODSEQ", "* 2 FETCH (MODSEQ (99))\r\n"),
        ("FETCH 2 PREVIEW", "* 2 FETCH (PREVIEW \"body\")\r\n"),
        (
            "FETCH 2 BODY.PEEK[1]",
            "* 2 FETCH (BODY[1] {6}\r\nbody\r\n)\r\n",
        ),
        ("FETCH 2 BODY.PEEK[2]", "* 2 FETCH (BODY[2] NIL)\r\n"),
        (
            "FETCH 2 BODY[]<3.4>",
            "* 2 FETCH (BODY[]<3> {4}\r\nject)\r\n",
        ),
        (
            "FETCH 2 BODY[]<1000.4>",
            "* 2 FETCH (BODY[]<1000> {0}\r\n)\r\n",
        ),
        ("FETCH 2 BINARY.SIZE[1]", "* 2 FETCH (BINARY.SIZE[1] 6)\r\n"),
        (
            "FETCH 2 BINARY[1]<1.2>",
            "* 2 FETCH (BINARY[1]<1> {2}\r\nod)\r\n",
        ),
        (
            "FETCH 2 RFC822.HEADER",
            "* 2 FETCH (RFC822.HEADER {37}\r\nSubject: one\r\nFrom: a@example.org\r\n\r\n)\r\n",
        ),
        (
            "FETCH 2 RFC822.TEXT",
            "* 2 FETCH (RFC822.TEXT {6}\r\nbody\r\n)\r\n",
        ),
    ];
    for (command, want) in rows {
        let (got, done) = render(command, SINGLE, Manner::default(), false);
        assert_eq!(got, want);
        assert_eq!(done, Ok(()));
    }
}

#[test]
fn how_a_client_is_told_depends_on_what_it_enabled() {
    let recent = Manner {
        recent: true,
        ..Manner::default()
    };
    let modseq = Manner {
        modseq: true,
        ..Manner::default()
    };
    let uid_only = Manner {
        uid_only: true,
        ..Manner::default()
    };
    let rows = [
        (
            recent,
            false,
            "UID FETCH 7 FLAGS",
            "* 2 FETCH (UID 7 FLAGS (\\Seen \\Deleted \\Recent))\r\n",
        ),
        (
            modseq,
            false,
            "FETCH 2 (UID MODSEQ)",
            "* 2 FETCH (UID 7 MODSEQ (99))\r\n",
        ),
        (
            uid_only,
            false,
            "UID FETCH 7 FLAGS",
            "* 7 UIDFETCH (FLAGS (\\Seen \\Deleted))\r\n",
        ),
        (
            uid_only,
            false,
            "UID FETCH 7 UID",
            "* 7 UIDFETCH (UID 7)\r\n",
        ),
        // RFC 9051 §6.4.5: flags that changed by this are told though they weren't asked for.
        (
            modseq,
            true,
            "FETCH 2 BODY[TEXT]",
            "* 2 FETCH (BODY[TEXT] {6}\r\nbody\r\n FLAGS (\\Seen \\Deleted) MODSEQ (99))\r\n",
        ),
    ];
    for (manner, shows_seen, command, want) in rows {
        assert_eq!(render(command, SINGLE, manner, shows_seen).0, want);
    }
}

#[test]
fn an_unknown_transfer_encoding_is_left_out_and_reported() {
    let got = render("FETCH 2 (UID BINARY[5])", NESTED, Manner::default(), false);
    assert_eq!(
        got,
        ("* 2 FETCH (UID 7)\r\n".to_owned(), Err(Trouble::UnknownCte))
    );
    let got = render("FETCH 2 BINARY[5]", NESTED, Manner::default(), false);
    assert_eq!(got.0, "* 2 FETCH (UID 7)\r\n");
}

#[test]
fn of_a_damaged_message_nothing_is_said() {
    let (items, uid) = items("FETCH 2 (FLAGS BODY[])");
    let plan = Plan::new(&items, uid);
    let mut renderer = Renderer {
        caller: &jmap_core::Caller::server(),
        plan: &plan,
        manner: Manner::default(),
        rendered: Rendered::default(),
    };
    let mut pieces = Pieces::default();
    let done = renderer.message(&selected(), 1, &row(), None, false, &mut pieces);
    assert_eq!(done, Err(Trouble::Damaged));
    assert_eq!(pieces.len(), 0);
}

#[test]
fn large_octets_are_not_copied_and_nul_is_replaced() {
    let large = Bytes::from(vec![b'x'; 100_000]);
    let mut pieces = Pieces::default();
    pieces.text.extend_from_slice(b"before");
    pieces.literal_octets(&large, 10..90_010);
    pieces.text.extend_from_slice(b"after");
    assert_eq!(pieces.len(), 90_011);
    let taken = pieces.take();
    assert_eq!(
        taken.iter().map(Bytes::len).collect::<Vec<_>>(),
        [6, 90_000, 5]
    );
    assert_eq!(taken[1].as_ptr(), large[10..].as_ptr());
    let mut with_nul = vec![b'x'; 10_000];
    with_nul[5_000] = 0;
    pieces.literal_octets(&Bytes::from(with_nul), 0..10_000);
    let taken = pieces.take().concat();
    assert_eq!((taken.len(), taken[5_000]), (10_000, 0x80));
}
