use super::*;

/// The terms of a condition: words as they are, phrases in brackets.
fn check(text: &str, want: &str) {
    let found: Vec<String> = parse_text(text)
        .into_iter()
        .map(|term| match term {
            TextTerm::Word(word) => word,
            TextTerm::Phrase(phrase) => format!("[{phrase}]"),
            TextTerm::Prefix(prefix) => format!("{prefix}*"),
        })
        .collect();
    assert_eq!(found.join("|"), want, "terms of {text:?}");
}

#[test]
fn text_is_cut_at_white_space_and_quotes() {
    check("", "");
    check("  \u{3000} ", "");
    check("one  two\tthree", "one|two|three");
    check(r#""one two" three"#, "[one two]|three");
    check("'one two' three", "[one two]|three");
    check(r#"a"b c"d"#, "a|[b c]|d");
    check(r#""say \"hi\" \\ it\'s""#, r#"[say "hi" \ it's]"#);
    check("don't o'clock", "don't|o'clock");
    check("'don't panic'", "[don't panic]");
    check(r#""open end"#, r#""open|end"#);
    check("'", "'");
    check(r#""""#, "[]");
    check(r#"\"a b\""#, r#"\"a|b\""#);
    check("\"a\\", "\"a\\");
}

#[test]
fn blank_text_is_everywhere_and_punctuation_nowhere() {
    let any = |text| Query::text(Scope::Any, text);
    assert_eq!(any(" "), Query::all());
    assert_eq!(any("?!"), Query::none());
    assert_eq!(any("\"\""), Query::none());
    assert_eq!(any("a - b"), any("a b"));
}

#[test]
fn limits_hold() {
    let word = |word: &str| Query::text(Scope::Any, word);
    let check = |query: &Query, fits: bool| {
        let found = Matcher::new(query);
        assert_eq!(found.is_ok(), fits, "{:?}", found.err());
    };
    let deep = |levels| (1..levels).fold(word("a"), |query, _| Query::Not(Box::new(query)));
    check(&deep(QUERY_DEPTH_MAX), true);
    check(&deep(QUERY_DEPTH_MAX + 1), false);
    let wide = |nodes: usize| Query::Or(vec![word("a"); nodes - 1]);
    check(&wide(QUERY_NODES_MAX), true);
    check(&wide(QUERY_NODES_MAX + 1), false);
    let long = |tokens: usize| word(&format!("\"{}\"", "a ".repeat(tokens)));
    check(&long(PHRASE_TOKENS_MAX), true);
    check(&long(PHRASE_TOKENS_MAX + 1), false);
}

#[test]
fn marks_show_what_matched() {
    let marks = |query: &Query, text: &str| {
        let matcher = Matcher::new(query).unwrap();
        let marks = matcher.marks(Field::Subject, text);
        marks
            .into_iter()
            .map(|mark| text[mark].to_owned())
            .collect::<Vec<_>>()
            .join("|")
    };
    let subject = |text: &str| Query::text(Scope::Any, text);
    assert_eq!(
        marks(&subject("fox \"the quick\""), "The Quick fox, the fox"),
        "The Quick|fox|fox"
    );
    assert_eq!(marks(&subject("日本語"), "これは日本語です"), "日本語");
    assert_eq!(
        marks(&subject("a@b.org"), "write to A@B.org now"),
        "A@B.org"
    );
    assert_eq!(marks(&Query::Not(Box::new(subject("fox"))), "fox"), "");
    assert_eq!(
        marks(&Query::text(Scope::Field(Field::Body), "fox"), "fox"),
        ""
    );
}
