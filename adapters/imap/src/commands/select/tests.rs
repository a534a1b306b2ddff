use jmap_core::inproc::imap_view::ViewStatus;
use jmap_types::AccountId;

use super::*;

fn selected(uids: &[u32], uid_next: u32) -> Selected {
    let key = MailboxKey {
        account: AccountId::new(1),
        mailbox: 1,
    };
    let opened = Opened {
        status: ViewStatus {
            uid_next,
            ..ViewStatus::default()
        },
        rights: MailboxRights::ALL,
        messages: uids.iter().map(|&uid| (uid, u64::from(uid))).collect(),
        keywords: Vec::new(),
        first_unseen_uid: None,
        sequence: 1,
    };
    Selected::new(key, opened, false, uid_next)
}

fn set(text: &str) -> SequenceSet {
    crate::parse::sequence_set(text.as_bytes()).unwrap()
}

/// RFC 7162 §3.2.5, §3.2.10.1: what the client knows and isn't there, and nothing that is there or is to come.
#[test]
fn vanished_are_the_known_ones_that_are_not_there() {
    let selected = selected(&[2, 5, 6, 9], 11);
    let rows = [
        ("1:10", 1, "* VANISHED (EARLIER) 1,3:4,7:8,10\r\n"),
        ("1:4294967295", 1, "* VANISHED (EARLIER) 1,3:4,7:8,10\r\n"),
        ("2,5:6,9", 1, ""),
        ("3:8", 6, "* VANISHED (EARLIER) 7:8\r\n"),
        ("1:2,10:40", 1, "* VANISHED (EARLIER) 1,10\r\n"),
    ];
    for (known, from, want) in rows {
        let known_uids = selected.uid_ranges(&set(known));
        let mut out = Vec::new();
        write_vanished(&mut out, &vanished(&selected, &known_uids, from));
        assert_eq!(String::from_utf8(out).unwrap(), want, "{known} from {from}");
    }
}

/// RFC 7162 §3.2.5.2
#[test]
fn what_matches_the_clients_numbers_has_not_vanished() {
    let selected = selected(&[2, 5, 6, 9], 11);
    let rows = [
        ("1,3", "2,6", 7),
        ("1,2,3", "2,5,7", 6),
        ("1", "3", 1),
        ("1:4", "2,5:6,9", 10),
        ("9", "9", 1),
        ("1:4294967295", "1:4294967295", 1),
    ];
    for (numbers, uids, want) in rows {
        let got = first_unsure(&selected, &(set(numbers), set(uids)));
        assert_eq!(got, want, "{numbers} {uids}");
    }
}
