//! The object store of the deployment: what is large is there, for both nodes; without it, that waits, and the rest goes on.

use std::{fs, net::SocketAddr, thread};

use e2e::{Dice, Smtp, corpus::to_crlf};

use crate::site::{Site, add_people, login, try_curl, until};

/// Above what is uploaded in one piece.
const ATTACHMENT_OCTETS: usize = 7 << 20;

/// A message with an attachment.
fn large(id: &str, octets: usize, seed: u64) -> Vec<u8> {
    let mut dice = Dice(seed);
    let digits = (0..octets / 57).map(|_| {
        let line = (0..10).map(|_| format!("{:016x}", dice.next_u64()));
        line.collect::<String>()[..76].to_owned()
    });
    let attachment: Vec<String> = digits.collect();
    let text = format!(
        "From: Bob <bob@example.net>\nTo: alice@example.org\nSubject: {id}\nMessage-ID: <{id}@example.net>\n\
         Date: Mon, 2 Feb 2026 10:00:00 +0100\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n\
         --b\nContent-Type: text/plain\n\nA picture.\n--b\nContent-Type: application/octet-stream\n\
         Content-Disposition: attachment; filename={id}.bin\nContent-Transfer-Encoding: base64\n\n{}\n--b--\n",
        attachment.join("\n")
    );
    to_crlf(text.as_bytes())
}

/// As another server sends it: the code of the last reply.
fn send(site: &Site, message: &[u8]) -> u16 {
    let mut smtp = Smtp::connect(site.port("2525"), false).expect("no SMTP connection");
    let reply = smtp.send("bob@example.net", "alice@example.org", message);
    reply.expect("no answer").code
}

/// What a node has of a message of the inbox, by IMAP over TLS.
fn read_at(address: SocketAddr, uid: u32) -> Option<String> {
    try_curl(&format!("imaps://{address}/INBOX;UID={uid}"), &[]).ok()
}

/// Objects of the size of a message. In front of it is what the server says of its way.
fn objects_of(site: &Site, message: &[u8]) -> usize {
    let sizes = message.len() as u64..message.len() as u64 + 2000;
    let objects = site.objects.objects();
    let found = objects.values().filter(|size| sizes.contains(size)).count();
    assert!(objects.len() > found, "the mark is missing: {objects:?}");
    found
}

/// Waits until the inbox has so many: the node may hear of them a moment later than who has sent them.
fn wait_for_messages(site: &Site, count: u64) {
    let mut alice = login(site.port("2143"), "alice@example.org");
    until("the inbox has another number of messages", || {
        let messages = alice.ok("STATUS INBOX (MESSAGES)");
        messages.number_after("MESSAGES ") == Some(count)
    });
}

/// Nodes that keep something of the object store near.
fn nodes_with_a_cache(site: &Site) -> Vec<usize> {
    let has = |node: &usize| {
        let files = fs::read_dir(site.data(*node).join("blob-cache"));
        files.is_ok_and(|mut files| files.next().is_some())
    };
    (0..2).filter(has).collect()
}

/// A large message is an object in the bucket, which both nodes read; while the object store is away, what is in it is read where it is
/// near, what would go into it is refused for now, and what is small goes on.
#[test]
fn large_mail_is_in_the_object_store() {
    let mut site = Site::start();
    add_people(&site);
    let imaps = [0, 1].map(|node| site.node_address(node, 2993));
    let first = large("first", ATTACHMENT_OCTETS, 1);
    assert_eq!(send(&site, &first), 250);
    assert_eq!(objects_of(&site, &first), 1);
    let cached = nodes_with_a_cache(&site);
    let [one] = cached[..] else {
        panic!("kept near by {cached:?}");
    };
    let other = 1 - one;

    site.objects.kill();
    let text = String::from_utf8_lossy(&first).into_owned();
    let read = read_at(imaps[one], 1).expect("it is near");
    assert!(read.contains(&text));
    let refused = try_curl(&format!("imaps://{}/INBOX;UID=1", imaps[other]), &[]);
    assert!(refused.is_err(), "it was in the object store");
    let second = large("second", ATTACHMENT_OCTETS / 20, 2);
    thread::scope(|scope| {
        let sending = scope.spawn(|| send(&site, &second));
        site.deliver("small");
        assert_eq!(sending.join().expect("sent"), 451);
    });
    wait_for_messages(&site, 2);

    site.objects.start_again();
    // As its sender does: until it is taken.
    until("the mail is not taken", || send(&site, &second) == 250);
    wait_for_messages(&site, 3);
    for address in imaps {
        for (uid, sent) in [(1, &first), (3, &second)] {
            let read = read_at(address, uid).expect("it is there");
            assert!(read.contains(&*String::from_utf8_lossy(sent)), "{uid}");
        }
        let read = read_at(address, 2).expect("it is there");
        assert!(read.contains("A cuckooflower."));
    }
    assert_eq!(objects_of(&site, &first), 1);
    assert_eq!(nodes_with_a_cache(&site), [0, 1]);
    // Each once.
    wait_for_messages(&site, 3);
    for node in 0..2 {
        site.cli(node, &["check"], "");
    }
}
