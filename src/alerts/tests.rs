//! What is full, and what is asked of lists.

use super::{blocklist, disk};

#[test]
fn disks() {
    for (free, all, percent, want) in [
        (10, 100, 90, true),
        (11, 100, 90, false),
        (0, 100, 100, true),
        (1, 100, 100, false),
        (0, 0, 90, false),
        (u64::MAX, u64::MAX, 1, false),
        (0, u64::MAX, 100, true),
    ] {
        assert_eq!(
            disk::is_full(free, all, percent),
            want,
            "{free} {all} {percent}"
        );
    }
}

#[test]
fn questions_to_lists() {
    for (address, want) in [
        ("192.0.2.99", "99.2.0.192.list.example"),
        (
            "2001:db8:1:2:3:4:567:89ab",
            "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.list.example",
        ),
    ] {
        assert_eq!(
            blocklist::question(address.parse().unwrap(), "list.example"),
            want
        );
    }
    for (answer, want) in [
        ("127.0.0.2", true),
        ("127.0.0.11", true),
        ("127.255.255.254", false),
        ("192.0.2.1", false),
        ("::1", false),
    ] {
        assert_eq!(
            blocklist::is_listed(&answer.parse().unwrap()),
            want,
            "{answer}"
        );
    }
}
