//! Every text that somebody reads.
//!
//! Holds: a language has all of them, or it doesn't compile. To add one, write a `Messages` in a folder of its own, as `en` has one,
//! and a row in [`LANGUAGES`].

mod en;

pub use en::Messages;

/// The tag of a language (RFC 5646), and its texts. The first is for everybody else.
const LANGUAGES: [(&str, &Messages); 1] = [("en", &en::MESSAGES)];

/// The texts in the first of these languages that we have.
pub fn best(wanted: impl IntoIterator<Item = String>) -> (&'static str, &'static Messages) {
    let mut known = wanted.into_iter().filter_map(|wanted| {
        let primary = wanted.split('-').next()?.to_ascii_lowercase();
        LANGUAGES.into_iter().find(|(tag, _)| *tag == primary)
    });
    known.next().unwrap_or(LANGUAGES[0])
}

/// The language of whoever looks: its tag, and its texts.
fn chosen() -> (&'static str, &'static Messages) {
    #[cfg(target_arch = "wasm32")]
    {
        thread_local! {
            static CHOSEN: (&'static str, &'static Messages) = {
                let languages = leptos::prelude::window().navigator().languages();
                best(languages.iter().filter_map(|language| language.as_string()))
            };
        }
        CHOSEN.with(|chosen| *chosen)
    }
    #[cfg(not(target_arch = "wasm32"))]
    best([])
}

/// The texts in the language of whoever looks.
pub fn t() -> &'static Messages {
    chosen().1
}

/// Which language that is (RFC 5646).
pub fn tag() -> &'static str {
    chosen().0
}

/// A text with what belongs at `{name}`.
pub fn fill(text: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("{{{name}}}"), value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_language_is_taken() {
        let tag = |wanted: &[&str]| best(wanted.iter().map(|&tag| tag.to_owned())).0;
        assert_eq!(tag(&["de-AT", "EN-gb"]), "en");
        assert_eq!(tag(&["xx"]), "en");
        assert_eq!(tag(&[]), "en");
    }

    #[test]
    fn places_are_filled() {
        let text = fill("{count} of {all}, {count}", &[("count", "1"), ("all", "2")]);
        assert_eq!(text, "1 of 2, 1");
    }
}
