use super::super::fold::fold_first;
use super::*;

/// All tokens, with a space between them.
fn check(text: &str, want: &str) {
    let found: Vec<String> = tokens(text).map(|token| token.text).collect();
    assert_eq!(found.join(" "), want, "tokens of {text:?}");
    for token in tokens(text) {
        assert!(
            text.get(token.range.clone()).is_some(),
            "{text:?} {token:?}"
        );
    }
}

#[test]
fn words_of_alphabets() {
    check("", "");
    check(" \t\r\n.,;", "");
    check("The quick, brown FOX.", "the quick brown fox");
    check("don't L'Hôtel", "don t l hotel");
    check("Straße STRASSE Müller ẞ", "strasse strasse muller ss");
    check("déjà vu, Œuvre, ça", "deja vu oeuvre ca");
    check("Åse Łódź Þór Đặng Øre ıİ", "ase lodz thor dang ore ii");
    check("ΟΔΥΣΣΕΥΣ Ὀδυσσεύς", "οδυσσευσ οδυσσευσ");
    check("Ёлка ЙОД Київ", "елка иод киів");
    check("مُحَمَّد محمـــد ١٢٣", "محمد محمد 123");
    check("שָׁלוֹם שלום", "שלום שלום");
    check("हिन्दी", "हिनदी");
    check("ﬁnance ＡＢＣ１２ ①", "finance abc12 1");
    check("foo_bar-baz 3.14 №5", "foo bar baz 3 14 no5");
    check(
        "so\u{AD}ft zero\u{200B}width zw\u{200D}j",
        "soft zero width zwj",
    );
}

#[test]
fn scripts_without_spaces() {
    check("日本語", "日 日本 本 本語 語");
    check("日", "日");
    check("我爱Rust语言", "我 我爱 爱 rust 语 语言 言");
    check("カタカナ", "カ カタ タ タカ カ カナ ナ");
    check("ｶﾞﾗｽ ガラス", "ガ ガラ ラ ラス ス ガ ガラ ラ ラス ス");
    check("カ\u{3099}", "ガ");
    check("한국 \u{1112}\u{1161}\u{11AB}", "한 한국 국 한");
    check("日。本", "日 本");
    check("㍿", "株 株式 式 式会 会 会社 社");
    check("ไทย", "ไ ไท ท ทย ย");
}

#[test]
fn symbols_addresses_and_urls() {
    check("party🎉🎉 👍🏽 ❤️", "party 🎉 🎉 👍 ❤");
    check("alice.b@mail.example.org", "alice b mail example org");
    check(
        "https://www.example.org/a?x=1#y",
        "https www example org a x 1 y",
    );
}

#[test]
fn forms_of_one_text_fold_alike() {
    use unicode_normalization::UnicodeNormalization;
    for text in [
        "Ångström Việt ǖ",
        "ガギグ한국어각",
        "Ὀδυσσεύς й ї",
        "বাংলা কো",
        "ﷺ ½ ﬃ",
    ] {
        let want: Vec<String> = tokens(text).map(|token| token.text).collect();
        for form in [text.nfc().collect::<String>(), text.nfd().collect()] {
            let found: Vec<String> = tokens(&form).map(|token| token.text).collect();
            assert_eq!(found, want, "{text:?} as {form:?}");
        }
    }
}

#[test]
fn ranges_are_of_the_source() {
    let text = "Straße «Œuvre» 日本 e\u{301}te\u{301}.";
    let found: Vec<&str> = tokens(text).map(|token| &text[token.range]).collect();
    assert_eq!(
        found,
        ["Straße", "Œuvre", "日", "日本", "本", "e\u{301}te\u{301}"]
    );
}

#[test]
fn tokens_are_bounded() {
    let long = "x".repeat(TOKEN_OCTETS_MAX + 1);
    check(&long, &long[..TOKEN_OCTETS_MAX]);
    let long = "é".repeat(1000);
    check(&long, &"e".repeat(TOKEN_OCTETS_MAX));
    let long = "ж".repeat(1000);
    check(&long, &"ж".repeat(TOKEN_OCTETS_MAX / 2));
    let many = "a ".repeat(TOKENS_PER_TEXT_MAX + 1);
    assert_eq!(tokens(&many).count(), TOKENS_PER_TEXT_MAX);
    let many = "語".repeat(TOKENS_PER_TEXT_MAX);
    assert_eq!(tokens(&many).count(), TOKENS_PER_TEXT_MAX);
}

#[test]
fn every_character_folds() {
    let mut text = String::new();
    for ch in '\0'..=char::MAX {
        let mut units = Vec::new();
        text.clear();
        text.push(ch);
        assert_eq!(fold_first(&text, &mut units), ch.len_utf8());
        assert!(units.len() <= 40, "{ch:?} gives {}", units.len());
        text.push('\u{301}');
        text.push(ch);
        assert!(tokens(&text).all(|token| text.get(token.range).is_some()));
    }
}
