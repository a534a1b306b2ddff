//! Names, dates and lists of accounts, as rows.

use super::{csv::read_accounts, dates, flags::Flags, maildir::wire_form, names};

#[test]
fn names_in_modified_utf7() {
    let rows = [
        ("INBOX", "INBOX"),
        ("Größe", "Gr&APYA3w-e"),
        ("日本", "&ZeVnLA-"),
        ("a&b", "a&-b"),
        ("😀", "&2D3eAA-"),
    ];
    for (name, encoded) in rows {
        assert_eq!(names::encode_utf7(name), encoded);
        assert_eq!(names::decode_utf7(encoded).as_deref(), Some(name));
    }
    for wrong in ["&", "&AP", "&A-", "&====-", "é"] {
        assert_eq!(names::decode_utf7(wrong), None, "{wrong}");
    }
}

#[test]
fn names_of_files_stay_in_their_folder() {
    let rows = [
        ("..", "%2E."),
        ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"),
        ("a/b", "a%2Fb"),
        ("Größe", "Größe"),
        ("~root", "%7Eroot"),
        ("100%", "100%25"),
        ("a\0\n", "a%00%0A"),
        ("", "%00"),
    ];
    for (name, file) in rows {
        assert_eq!(names::file_name(name, false), file);
        assert_eq!(
            names::of_file_name(file),
            if name.is_empty() { "\0" } else { name }
        );
    }
    assert_eq!(names::file_name("a.b", true), "a%2Eb");
    let long = [
        names::file_name(&"é".repeat(500), true),
        names::file_name(&"é".repeat(501), true),
    ];
    assert!(
        long.iter().all(|name| name.len() < 200) && long[0] != long[1],
        "{long:?}"
    );
}

#[test]
fn dates_of_imap_mbox_and_jmap() {
    let rows = [
        ("17-Jul-1996 02:44:25 -0700", Some(837_596_665)),
        (" 1-Jan-1970 00:00:00 +0000", Some(0)),
        ("1-Foo-1970 00:00:00 +0000", None),
        ("", None),
    ];
    for (text, seconds) in rows {
        assert_eq!(dates::internal_date(text), seconds, "{text}");
    }
    let rows = [
        ("From a@b Thu Jan  1 00:00:10 1970", Some(10)),
        ("From a@b Thu Jan  1 01:00 +0100 1970", Some(0)),
        (
            "From MAILER-DAEMON Sun Feb 29 12:00:00 2032 +0000",
            Some(1_961_668_800),
        ),
        ("From here to there at 10:00", None),
        ("From x", None),
    ];
    for (text, seconds) in rows {
        assert_eq!(dates::from_line_date(text), seconds, "{text}");
    }
    for seconds in [0, 951_782_400, 1_961_668_800, 4_102_444_799, 1_700_000_000] {
        let line = format!("From x {}", dates::from_line(seconds));
        assert_eq!(dates::from_line_date(&line), Some(seconds), "{line}");
    }
    assert_eq!(dates::utc_date("1970-01-01T00:01:00Z"), Some(60));
    assert_eq!(dates::utc_date("1970-01-01"), None);
}

#[test]
fn accounts_of_a_file() {
    let text = "Account,user,password\r\na@x,\"u,1\",\"p\"\"w\"\r\n\r\nb@x,u2,\n";
    let rows = read_accounts(text).unwrap();
    let row = |at: usize| {
        let row = &rows[at];
        (
            row.account.as_str(),
            row.user.as_str(),
            row.password.as_ref().map(|p| p.expose().as_str()),
        )
    };
    assert_eq!(row(0), ("a@x", "u,1", Some("p\"w")));
    assert_eq!(row(1), ("b@x", "u2", None));
    let rows = [
        ("", "empty"),
        ("a,b\n", "account,user,password"),
        (
            "account,user,password\nx,y,secret,z\n",
            "line 2 has 4 columns",
        ),
        ("account,user\n,y\n", "line 2 has no account"),
        ("account,user\nx,\"y\n", "doesn't end"),
        ("account,user\n", "no accounts"),
    ];
    for (text, why) in rows {
        let error = read_accounts(text).unwrap_err();
        assert!(error.contains(why) && !error.contains("secret"), "{error}");
    }
}

#[test]
fn flags_become_keywords() {
    let mut flags = Flags::default();
    for flag in [
        "\\Seen",
        "\\Deleted",
        "\\Recent",
        "NonJunk",
        "a]b",
        "$Forwarded",
    ] {
        flags.add(flag);
    }
    assert!(flags.is_deleted);
    assert_eq!(
        flags.sorted().keywords,
        ["$forwarded", "$seen", "a_b", "nonjunk"]
    );
    let mut names = [const { None }; 26];
    names[1] = Some("Work".to_owned());
    let flags = Flags::of_maildir("FSTab", &names);
    assert_eq!(flags.keywords, ["$flagged", "$seen", "work"]);
    assert!(flags.is_deleted);
}

#[test]
fn lines_of_the_system_become_those_of_the_network() {
    let rows: [(&[u8], &[u8]); 4] = [
        (b"a\nb\n", b"a\r\nb\r\n"),
        (b"a\r\nb\nc", b"a\r\nb\nc"),
        (b"a\nb\r\n", b"a\r\nb\r\n"),
        (b"a", b"a"),
    ];
    for (file, wire) in rows {
        assert_eq!(&wire_form(file.to_vec())[..], wire);
    }
}
