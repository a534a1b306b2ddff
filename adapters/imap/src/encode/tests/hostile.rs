//! Data that tries to break lines.

use super::*;
use crate::command::{Section, SectionText};
use crate::encode::access::Quota;
use crate::encode::fetch::{Fetch, Message};
use crate::encode::mailbox::{ListData, StatusValue};
use crate::encode::search::ESearch;
use crate::parse;

/// How often CRLF, CR, LF and NUL are outside of literals.
fn line_ends(mut octets: &[u8]) -> usize {
    let mut lines = 0;
    while let Some(at) = octets.iter().position(|octet| *octet == b'\n') {
        let (line, rest) = octets.split_at(at + 1);
        let line = line.strip_suffix(b"\r\n").expect("CRLF");
        assert!(
            !line.iter().any(|octet| matches!(octet, b'\r' | 0)),
            "{line:?}"
        );
        octets = rest;
        match parse::literal(line) {
            Some(literal) => {
                octets = octets
                    .get(literal.octets as usize..)
                    .expect("a whole literal")
            }
            None => lines += 1,
        }
    }
    assert!(octets.is_empty(), "{octets:?}");
    lines
}

type Write<'a> = Box<dyn Fn(&mut Vec<u8>) + 'a>;

/// Whatever the data is, a response is one line, and no code but the server's own is in it.
#[test]
fn no_data_makes_a_line_of_its_own() {
    let hostile = HOSTILE
        .iter()
        .copied()
        .chain(["a\0b", "\r\n", "[ALERT] x", "x] [ALERT", "\r"]);
    for data in hostile {
        let owned = || data.to_owned();
        let section = Section {
            part: Vec::new(),
            text: Some(SectionText::HeaderFieldsNot(vec![owned()])),
        };
        let codes = [
            Code::BadUrl(owned()),
            Code::Capability(vec![owned()]),
            Code::InProgress {
                tag: Some(owned()),
                done: None,
                of: None,
            },
            Code::MailboxId(owned()),
            Code::NoUpdate(owned()),
            Code::PermanentFlags(vec![owned()]),
        ];
        for code in codes {
            let line = octets(|out| untagged(out, Status::No, Some(&code), data));
            assert_eq!(line_ends(&line), 1);
            let inner = octets(|out| code.encode(out));
            let inside_quotes = matches!(code, Code::InProgress { .. } | Code::NoUpdate(_));
            assert!(inside_quotes || !inner.contains(&b']'), "{inner:?}");
        }
        let writes: [Write<'_>; 24] = [
            Box::new(|out| tagged(out, data, Status::Ok, None, data)),
            Box::new(|out| untagged(out, Status::Bye, None, data)),
            Box::new(|out| continuation(out, data)),
            Box::new(|out| challenge(out, data)),
            Box::new(|out| capability(out, [data])),
            Box::new(|out| enabled(out, [data])),
            Box::new(|out| flags(out, [data])),
            Box::new(|out| id(out, &[(data, Some(data))])),
            Box::new(|out| jmap_access(out, data)),
            Box::new(|out| mailbox::lsub(out, data, &[], false)),
            Box::new(|out| {
                mailbox::list(
                    out,
                    data,
                    &ListData {
                        old_name: Some(data),
                        child_info: &[data],
                        attributes: &[],
                    },
                    true,
                )
            }),
            Box::new(|out| {
                mailbox::status(out, data, &[StatusValue::MailboxId(data.to_owned())], true)
            }),
            Box::new(|out| mailbox::namespace(out, &[data], &[data], &[data], false)),
            Box::new(|out| mailbox::namespace(out, &[data], &[data], &[data], true)),
            Box::new(|out| access::acl(out, data, &[(data, data)], true)),
            Box::new(|out| access::list_rights(out, data, data, data, &[data], false)),
            Box::new(|out| access::my_rights(out, data, data, true)),
            Box::new(|out| {
                access::quota(
                    out,
                    data,
                    &[Quota {
                        resource: data,
                        used: 1,
                        limit: 2,
                    }],
                )
            }),
            Box::new(|out| access::quota_root(out, data, &[data], false)),
            // NUL is allowed in the value's literal8, which is skipped.
            Box::new(|out| access::metadata(out, data, &[(data, Some(data.as_bytes()))], false)),
            Box::new(|out| access::metadata_changed(out, data, &[data], true)),
            Box::new(|out| {
                search::esearch(
                    out,
                    &ESearch {
                        tag: Some(data),
                        mailbox: Some((data, 1)),
                        ..ESearch::default()
                    },
                    true,
                )
            }),
            Box::new(|out| {
                search::esearch(
                    out,
                    &ESearch {
                        mailbox: Some((data, 1)),
                        ..ESearch::default()
                    },
                    false,
                )
            }),
            Box::new(|out| {
                let mut fetch = Fetch::begin(out, Message::Sequence(1));
                fetch.flags(out, [data]);
                fetch.email_id(out, data);
                fetch.thread_id(out, Some(data));
                fetch.preview(out, Some(data));
                fetch.section(out, &section, None, Some(data.as_bytes()));
                fetch.binary(out, &[1], None, Some(data.as_bytes()));
                fetch.end(out);
            }),
        ];
        for (at, write) in writes.iter().enumerate() {
            let line = octets(write);
            assert_eq!(
                line_ends(&line),
                1,
                "{at}: {}",
                String::from_utf8_lossy(&line)
            );
        }
    }
    let line = text_of(|out| untagged(out, Status::Ok, None, "[ALERT] x"));
    assert_eq!(line, "* OK (ALERT] x\n");
    let line = text_of(|out| tagged(out, "a", Status::No, None, "no {5}"));
    assert_eq!(line, "a NO no {5)\n");
}
