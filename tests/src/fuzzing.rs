//! The parsers that read what strangers send, each as a function of octets that must not panic.
//!
//! Other half: the targets of `fuzz/`, for libFuzzer, and the test `fuzzing`, which needs a stable compiler alone.

use jmap_core::mail::message::summary::Summary;
use mail_auth_adapter::sign::{self, SigningAlgorithm, SigningKey};
use store::search;

use crate::Dice;

/// A line of SMTP, also as the parameters of MAIL and RCPT.
pub fn smtp_command(octets: &[u8]) {
    let _ = smtp::parse::parse(octets);
    for command in [&b"MAIL FROM:<a@b> "[..], b"RCPT TO:<a@b> "] {
        let line = [command, octets].concat();
        let parameters = match smtp::parse::parse(&line) {
            Ok(smtp::parse::Command::Mail(mail)) => mail.parameters,
            Ok(smtp::parse::Command::Rcpt(rcpt)) => rcpt.parameters,
            _ => continue,
        };
        // They go into header fields and reports.
        for value in parameters.iter().filter_map(|p| p.value.as_deref()) {
            assert!(
                !value.chars().any(char::is_control),
                "a value with a control character"
            );
        }
    }
}

/// The header of a message, as the trace looks into it.
pub fn trace_message_id(octets: &[u8]) {
    if let Some(id) = jmap_core::trace::id_in(octets) {
        assert!(!id.is_empty() && !id.contains('>'), "not an id");
    }
}

/// A command of IMAP, and that a mailbox name in it can be sent back.
pub fn imap_command(octets: &[u8]) {
    imap::parse::literal(octets);
    for utf8 in [false, true] {
        let mode = imap::parse::Mode { utf8 };
        let Ok(tagged) = imap::parse::parse(octets, mode) else {
            continue;
        };
        if let imap::command::Command::Delete(name) = tagged.command {
            let mut command = b"a DELETE ".to_vec();
            imap::encode::text::mailbox_name(&mut command, &name, utf8);
            let again = imap::parse::parse(&command, mode).map(|tagged| tagged.command);
            let is_same =
                matches!(again, Ok(imap::command::Command::Delete(again)) if again == name);
            assert!(is_same, "a name that can't be read again");
        }
    }
}

/// A line of POP3, and a message on its way out.
pub fn pop3_command(octets: &[u8]) {
    let _ = pop3::parse::parse(octets);
    let message = pop3::encode::surrogate(octets);
    assert!(pop3::encode::top(&message, 0).is_ascii(), "no ASCII header");
    let mut sent = Vec::new();
    let mut stuffing = pop3::encode::Stuffing::new(&message);
    while stuffing.next(&mut sent) {}
    let lines = sent.split_inclusive(|&octet| octet == b'\n');
    let ends = lines.filter(|line| *line == pop3::encode::END).count();
    assert_eq!(ends, 1, "an end within a message");
    assert!(sent.ends_with(pop3::encode::END));
}

/// A command of ManageSieve, and a script.
pub fn managesieve_command(octets: &[u8]) {
    managesieve::parse::literal(octets);
    let _ = managesieve::parse::parse(octets);
    let _ = managesieve::parse::response(octets);
    let _ = jmap_core::mail::sieve::check(octets);
}

/// The body of a request to the JMAP API.
pub fn json_request(octets: &[u8]) {
    jmap::is_request(octets);
}

/// A message, and that what is kept of it can be read again.
pub fn message_parse(octets: &[u8]) {
    let (summary, _) = Summary::parse_with_text(octets);
    assert!(
        Summary::decode(&summary.encode()).is_ok(),
        "a summary that can't be read again"
    );
}

/// The Ed25519 key of RFC 8410 §10.3.
const KEY: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20\xd4\xee\x72\xdb\xf9\x13\x58\x4a\xd5\xb6\xd8\
    \xf1\xf7\x69\xf8\xad\x3a\xfe\x7c\x28\xcb\xf1\xd4\xfb\xe0\x97\xa8\x8f\x44\x75\x58\x42";

/// A message that is signed or sealed: what is put in front is whole fields.
pub fn message_signing(octets: &[u8]) {
    let algorithm = SigningAlgorithm::Ed25519;
    let Ok(key) = SigningKey::from_pkcs8(algorithm, "example.org", "s", KEY) else {
        panic!("the key can't be read");
    };
    sign::author_domains(octets);
    let signed = sign::dkim_signatures(std::slice::from_ref(&key), octets, 0);
    let sealed = mail_auth_adapter::seal(&key, octets, "mail.example.org", 0);
    for fields in [signed, sealed].into_iter().flatten() {
        let mut lines = fields
            .strip_suffix("\r\n")
            .expect("no end of line")
            .split("\r\n");
        assert!(!lines.any(|line| line.is_empty()), "the end of a header");
    }
}

/// The text of a search, and a text that is searched.
pub fn search_query(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    search::parse_text(&text);
    let _ = search::tokens(&text).count();
}

/// What the parsers are fed with at first.
pub const SEEDS: &[&[u8]] = &[
    b"MAIL FROM:<a@example.org> SIZE=1000 BODY=8BITMIME SMTPUTF8",
    b"RCPT TO:<\"a b\"@[IPv6:2001:db8::1]> NOTIFY=NEVER",
    b"AUTH PLAIN AGEAYg==",
    b"a SEARCH RETURN (PARTIAL -1:-5) CHARSET UTF-8 OR (FROM {1}\r\na ON \"1-Feb-1994\") NOT UID 1:*,7",
    b"a UID FETCH 1:*,2 (BODY.PEEK[1.2.HEADER.FIELDS (A \"b\")]<0.1> BINARY[1] PREVIEW (LAZY)) (CHANGEDSINCE 1 VANISHED)",
    b"a APPEND x (\\Seen) \"17-Jul-1996 02:44:25 -0700\" ~{3}\r\na\0b CATENATE (URL x TEXT {1}\r\na)",
    b"a LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (% {1}\r\n*) RETURN (STATUS (SIZE) METADATA (/private/a))",
    b"a NOTIFY SET STATUS (subtree (a &Jjo-) (MessageNew (UID) X)) (selected NONE)",
    b"a DELETE \"~peter/&U,BTFw-/&ZeVnLIqe-&-x\"",
    b"TOP 1 10",
    b"From: \xc3\xa4 <a@b>\n\n.\r\n..\n.\n",
    b"{\"using\":[\"urn:ietf:params:jmap:core\"],\"methodCalls\":[[\"Core/echo\",{\"#a\":{\"resultOf\":\"0\"}},\"\\ud83d\\ude00\"]]}",
    b"From: =?utf-8?q?=C3=A4?= <a@b>, g: c@d;\r\nContent-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: \
      message/rfc822\r\n\r\nSubject: x\r\n\r\ny\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\nAAA=\r\n--b--\r\n",
    b"Delivered-To: a@b\r\nAuthentication-Results: mail.example.org;\r\n\tarc=pass\r\nReceived: by x\r\nARC-Seal: i=1; cv=none; b=\r\n\
      ARC-Message-Signature: i=1; h=From; b=\r\nARC-Authentication-Results: i=1; x; none\r\nFrom: a@b\r\n\r\na \t\r\n \r\n",
    b"words \"a phrase\" -without pre* \xe6\x97\xa5\xe6\x9c\xac",
];

/// One of the seeds, changed in a few places.
pub fn mutated(dice: &mut Dice) -> Vec<u8> {
    let mut octets = dice.one_of(SEEDS).to_vec();
    for _ in 0..=dice.below(8) {
        let (from, to) = (dice.below(octets.len()), dice.below(octets.len()));
        match dice.below(6) {
            0 if !octets.is_empty() => octets[from] = dice.next_u64() as u8,
            1 => octets.insert(from, dice.next_u64() as u8),
            2 if from < to => drop(octets.drain(from..to)),
            3 if from < to => {
                let part = octets[from..to].to_vec();
                octets.splice(to..to, part.repeat(1 + dice.below(20)));
            }
            4 => octets.truncate(from),
            _ => {
                let other = dice.one_of(SEEDS);
                let at = dice.below(other.len());
                octets.extend_from_slice(&other[at..]);
            }
        }
    }
    octets
}
