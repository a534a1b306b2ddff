use super::*;

#[test]
fn the_table_is_the_one_in_the_readme() {
    let readme = include_str!("../../README.md");
    for (subspace, key, value) in TABLE {
        let row = format!(
            "| {:#04x} | {subspace:?} | {key} | {value} |",
            *subspace as u8
        );
        assert!(readme.contains(&row), "store/README.md lacks: {row}");
    }
    let rows = readme
        .lines()
        .filter(|line| line.starts_with("| 0x"))
        .count();
    assert_eq!(rows, TABLE.len(), "store/README.md has other rows");
}

#[test]
fn subspaces_have_one_number_each() {
    let mut numbers: Vec<u8> = TABLE.iter().map(|(subspace, ..)| *subspace as u8).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), TABLE.len());
}

#[test]
fn keys_come_apart_as_they_were_put_together() {
    let (a, b, hash) = (AccountId::new(7), AccountId::new(u64::MAX), [9; 32]);
    assert_eq!(decode_account(&account(a)), Some(a));
    assert_eq!(decode_membership(&membership(a, b)), Some((a, b)));
    assert_eq!(decode_shared_with(&shared_with(a, b)), Some((a, b)));
    assert_eq!(decode_head(&head(b)), Some(b));
    assert_eq!(
        decode_object(&object(a, DataType::Email, 5)),
        Some((a, DataType::Email, 5))
    );
    assert_eq!(decode_log(&log(a, 3)), Some((a, 3)));
    assert_eq!(decode_mailbox_uid(&mailbox_uid(a, 1)), Some((a, 1)));
    assert_eq!(decode_metadata(&metadata(a, 1, 2)), Some((a, 1, 2)));
    assert!(metadata_of(a, 1).contains(&metadata(a, 1, 0)));
    assert!(!metadata_of(a, 1).contains(&metadata(a, 2, 0)));
    assert_eq!(decode_blob(&blob(&hash)), Some(hash));
    let reference = blob_ref(&hash, a, DataType::Email, 8);
    assert_eq!(
        decode_blob_ref(&reference),
        Some((hash, a, DataType::Email, 8))
    );
    assert_eq!(decode_summary(&summary(&hash)), Some(hash));
    assert_eq!(
        decode_blob_candidate(&blob_candidate(4, &hash)),
        Some((4, hash))
    );
    assert_eq!(decode_blob_stub(&blob_stub(&hash)), Some(hash));
    let garbage = blob_garbage(4, &hash, &[3; 16]);
    assert_eq!(decode_blob_garbage(&garbage), Some((4, hash, [3; 16])));
    assert_eq!(decode_blob_garbage(&garbage[..garbage.len() - 1]), None);
    assert!(blob_garbage_before(5).contains(&garbage));
    assert!(!blob_garbage_before(4).contains(&garbage));
    assert_eq!(decode_upload(&upload(a, &hash)), Some((a, hash)));
    assert_eq!(
        decode_upload_expiry(&upload_expiry(2, a, &hash)),
        Some((2, a, hash))
    );
    assert_eq!(decode_search_pending(&search_pending(a)), Some(a));
    assert_eq!(decode_search_indexed(&search_indexed(a)), Some(a));
    let row = search_shard((3, 4), 2, ShardRow::Request, a);
    assert_eq!(decode_search_shard(&row), Some(((3, 4), 2, 3, a)));
    assert!(search_requests((3, 4), 2).contains(&row));
    assert!(!search_requests((3, 4), 1).contains(&row));
    let deleted = undelete(a, 9, 4);
    assert_eq!(decode_undelete(&deleted), Some((a, 9, 4)));
    assert!(undelete_of(a).contains(&deleted));
    assert!(undelete_octets(a) < undelete_of(a).start);
    let imported = import(a, &[3; 16], b"uid");
    assert_eq!(decode_import(&imported), Some((a, [3; 16], &b"uid"[..])));
    assert!(imports_of(a, &[3; 16]).contains(&imported));
    assert_eq!(decode_import(&import(a, &[3; 16], b"")), None);
    assert_eq!(decode_setting(&setting("smtp.exempt")), Some("smtp.exempt"));
    assert_eq!(decode_setting(&setting("")), None);
    assert_eq!(decode_oauth_client(&oauth_client("abc")), Some("abc"));
    assert_eq!(decode_oauth_client(&oauth_client("")), None);
    let pending = oauth_pending(Pending::Device, &[7; 8]);
    assert_eq!(
        decode_oauth_pending(&pending),
        Some((Pending::Device, &[7; 8][..]))
    );
    assert!(oauth_pending_of(Pending::Device).contains(&pending));
    assert!(!oauth_pending_of(Pending::Code).contains(&pending));
    assert_eq!(decode_oauth_pending(&[0xe1, 9, 1]), None);
    assert_eq!(decode_webhook(&webhook(5)), Some(5));
    assert_eq!(decode_alert(&alert(5)), Some(5));
    assert_eq!(decode_webhook_due(&webhook_due(5, 6, 7)), Some((5, 6, 7)));
    assert!(webhook_due_of(5).contains(&webhook_due(5, 6, 7)));
    assert_eq!(decode_webhook_done(&webhook_done(5, 7)), Some((5, 7)));
    assert!(!webhook_done_of(4).contains(&webhook_done(5, 7)));
    assert!(all(Subspace::Setting).contains(&setting("smtp.exempt")));
    assert_eq!(
        decode_report_in(&report_in("b.example", 5, 6)),
        Some(("b.example", 5, 6))
    );
    assert!(reports_of("b.example").contains(&report_in("b.example", u64::MAX, 0)));
    assert!(!reports_of("b.example").contains(&report_in("b.example.net", 0, 0)));
    let counts = Subspace::DmarcCounts;
    assert_eq!(
        decode_counts(counts, &dmarc_counts(4, "b.example", 0)),
        Some((4, "b.example", 0))
    );
    assert!(counts_before(counts, 5).contains(&dmarc_counts(4, "b.example", 9)));
    assert!(!counts_before(counts, 4).contains(&dmarc_counts(4, "b.example", 9)));
    assert_eq!(decode_report_waiting(&report_waiting(3)), Some(3));
    assert_eq!(decode_queue_due(&queue_due(1, a, 2)), Some((1, a, 2)));
    assert_eq!(decode_pending_delivery(&pending_delivery(6)), Some(6));
    assert_eq!(decode_queue_pause(&queue_pause("b.c")), Some("b.c"));
    assert_eq!(decode_queue_pause(&queue_pause("")), Some(""));
    assert_eq!(queue_length(), [0x43]);
    let key = dkim_key("example.org", "rsa-1");
    assert_eq!(decode_dkim_key(&key), Some(("example.org", "rsa-1")));
    assert!(dkim_keys_of("example.org").contains(&key));
    assert!(!dkim_keys_of("example.or").contains(&key));
    for text in ["", "example.org", "\0a", "a\0", "a\0b\0c"] {
        assert_eq!(decode_dkim_key(&[&[0x60], text.as_bytes()].concat()), None);
    }
    assert_eq!(decode_node(&node(4)), Some(4));
    assert_eq!(decode_lease(&lease("upkeep")), Some("upkeep"));
    let url = "https://acme.example/directory";
    assert_eq!(decode_acme_account(&acme_account(url)), Some(url));
    assert_eq!(decode_acme_account(&[0xc0]), None);
    let name = "*.example.org";
    assert_eq!(decode_certificate(&certificate(name)), Some(name));
    assert_eq!(decode_certificate(&certificate_changes()), Some(""));
    assert!(certificates().contains(&certificate(name)));
    assert!(!certificates().contains(&certificate_changes()));
    let key = ban("192.0.2.0/24");
    assert_eq!(decode_ban(&key), Some("192.0.2.0/24"));
    assert_eq!(decode_ban(&key[..1]), None);
    let key = challenge(2, name);
    assert_eq!(decode_challenge(&key), Some((2, name)));
    assert_eq!(decode_challenge(&key[..2]), None);
    assert_eq!(decode_turn(&turn(a)), Some(a));
    assert_eq!(decode_backup(&backup_hold(7)), Some(BackupKey::Hold(7)));
    assert!(backup_holds().contains(&backup_hold(u64::MAX)));
    let repository = BackupKey::Repository([5; 16]);
    assert_eq!(
        decode_backup(&backup_repository(&[5; 16])),
        Some(repository)
    );
    assert!(backup_repositories().contains(&backup_repository(&[0xff; 16])));
    assert!(!backup_holds().contains(&backup_repository(&[0; 16])));
    assert_eq!(decode_trace(&trace(6)), Some(6));
    assert_eq!(decode_audit(&audit(4, 5)), Some((4, 5)));
    let once = idempotency(a, &hash);
    assert_eq!(decode_idempotency(&once), Some((a, hash)));
    assert!(idempotency_of(a).contains(&once));
    assert!(!idempotency_of(a).contains(&idempotency(b, &hash)));
    for index in [TraceIndex::Message(9), TraceIndex::Account(a)] {
        assert_eq!(decode_trace_index(&trace_index(index, 6)), Some((index, 6)));
    }
}

#[test]
fn a_key_of_another_shape_is_none() {
    let key = object(AccountId::new(7), DataType::Email, 5);
    for cut in 0..key.len() {
        assert_eq!(decode_object(&key[..cut]), None);
    }
    assert_eq!(decode_object(&[key.as_slice(), b"x"].concat()), None);
    assert_eq!(decode_log(&key), None);
    // A type of object that only a newer version knows.
    let mut unknown = key;
    unknown[9] = 0xee;
    assert_eq!(decode_object(&unknown), None);
}

#[test]
fn a_prefix_holds_what_begins_with_it_and_nothing_else() {
    let range = objects(AccountId::new(0x00ff), DataType::Quota);
    let inside = [
        object(AccountId::new(0xff), DataType::Quota, 0),
        object(AccountId::new(0xff), DataType::Quota, u64::MAX),
    ];
    let outside = [
        object(AccountId::new(0xff), DataType::PushSubscription, 9),
        object(AccountId::new(0x100), DataType::Quota, 0),
    ];
    assert!(inside.iter().all(|key| range.contains(key)));
    assert!(!outside.iter().any(|key| range.contains(key)));
    // An octet 0xff carries.
    let range = prefix(vec![1, 0xff, 0xff]);
    assert!(range.contains(&vec![1, 0xff, 0xff, 0xff, 0xff]) && !range.contains(&vec![2]));
}
