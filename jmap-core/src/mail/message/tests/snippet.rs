use crate::mail::message::snippet::words;
use crate::mail::message::*;

#[test]
fn folding() {
    let rows = [
        ("ABC", "abc"),
        ("Ärger", "arger"),
        ("e\u{301}", "e"),
        ("Straße", "strasse"),
        ("ﬁ", "fi"),
        ("ＡＢ", "ab"),
        ("Øl", "ol"),
        ("ΣΑΣ", "σασ"),
        ("İ", "i"),
    ];
    for (word, expected) in rows {
        assert_eq!(fold(word), expected, "{word}");
        assert_eq!(fold(&fold(word)), fold(word), "{word}");
    }
}

#[test]
fn words_of_text() {
    let rows = [
        ("a b-c, d_e", "a|b|c|d|e"),
        ("日本 x漢", "日|本|x|漢"),
        ("", ""),
        ("...", ""),
        ("x1 2y", "x1|2y"),
        ("e\u{301}a", "e\u{301}a"),
        ("カタ", "カ|タ"),
    ];
    for (text, expected) in rows {
        let found: Vec<&str> = words(text).map(|word| &text[word]).collect();
        assert_eq!(found.join("|"), expected);
    }
}

#[test]
fn subjects() {
    let rows = [
        ("foo", "a Foo b", Some("a <mark>Foo</mark> b")),
        ("foo", "a food b", None),
        (
            "foo bar",
            "bar & foo",
            Some("<mark>bar</mark> &amp; <mark>foo</mark>"),
        ),
        (
            "\"foo bar\"",
            "foo bar foo",
            Some("<mark>foo bar</mark> foo"),
        ),
        ("\"foo bar\" bar", "foo bar", Some("<mark>foo bar</mark>")),
        ("arger", "<Ärger>", Some("&lt;<mark>Ärger</mark>&gt;")),
        ("e-mail", "my E-Mail", Some("my <mark>E-Mail</mark>")),
        ("日本", "x日本語", Some("x<mark>日本</mark>語")),
        ("", "x", None),
        ("\"a b\" \"b c\"", "a b c", Some("<mark>a b c</mark>")),
        ("x", "", None),
    ];
    for (query, subject, expected) in rows {
        assert_eq!(
            Terms::parse(query).subject(subject).as_deref(),
            expected,
            "{query} in {subject}"
        );
    }
}

#[test]
fn previews_fit() {
    let terms = Terms::parse("needle");
    assert_eq!(terms.preview("no such"), None);
    assert_eq!(
        terms.preview("a  <needle>\n b").unwrap(),
        "a &lt;<mark>needle</mark>&gt; b"
    );
    for filler in ["word ", "<&> ", "ä", "日本 ", "needle ", "x"] {
        for (before, after) in [(0, 500), (500, 0), (500, 500), (13, 7)] {
            let body = format!("{} needle {}", filler.repeat(before), filler.repeat(after));
            let found = terms.preview(&body).unwrap();
            assert!(found.len() <= SNIPPET_OCTETS_MAX, "{found}");
            assert!(found.contains("<mark>needle</mark>"), "{found}");
            assert_eq!(
                found.matches("<mark>").count(),
                found.matches("</mark>").count()
            );
        }
    }
    let long = "n".repeat(5_000);
    assert!(Terms::parse(&long).preview(&long).unwrap().len() <= SNIPPET_OCTETS_MAX);
    assert!(Terms::parse("a \"b c\"").all_in("c a b C"));
    assert!(!Terms::parse("a \"b c\"").all_in("a c b"));
}
