//! HTML to plain text, for previews and the search index; not for showing as HTML.
//! Holds: one pass, output bounded by the caller; script, style and head give no text.
//! Other half: `body` decodes the part, `snippet` shows pieces of the text.

/// Longest entity that is looked for, in octets.
const ENTITY_OCTETS_MAX: usize = 32;

/// Elements that begin and end a line of text.
const BLOCKS: [&str; 28] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "br",
    "center",
    "dd",
    "div",
    "dl",
    "dt",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "li",
    "ol",
    "p",
    "pre",
    "section",
    "table",
    "tr",
    "ul",
];
/// Elements whose content is no text.
const SKIPPED: [&str; 6] = ["script", "style", "title", "template", "noscript", "svg"];

struct Out {
    text: String,
    space: bool,
    line: bool,
}

impl Out {
    fn push(&mut self, c: char) {
        if c.is_whitespace() {
            self.space = true;
            return;
        }
        if !self.text.is_empty() {
            match (self.line, self.space) {
                (true, _) => self.text.push('\n'),
                (false, true) => self.text.push(' '),
                _ => {}
            }
        }
        self.line = false;
        self.space = false;
        self.text.push(c);
    }
}

/// The text of an HTML document, white space collapsed, one line a block, at most
/// about `octets_max` octets.
pub fn to_text(html: &str, octets_max: usize) -> String {
    let mut out = Out {
        text: String::with_capacity(html.len().min(octets_max) / 2),
        space: false,
        line: false,
    };
    let mut head_seen = false;
    let mut rest = html;
    while !rest.is_empty() && out.text.len() < octets_max {
        let special = memchr::memchr2(b'<', b'&', rest.as_bytes()).unwrap_or(rest.len());
        for c in rest[..special].chars() {
            out.push(c);
            if out.text.len() >= octets_max {
                break;
            }
        }
        rest = &rest[special..];
        if rest.starts_with('&') {
            rest = entity(rest, &mut out);
        } else if rest.starts_with('<') {
            rest = markup(rest, &mut out, &mut head_seen);
        }
    }
    out.text
}

fn entity<'x>(rest: &'x str, out: &mut Out) -> &'x str {
    let window = &rest.as_bytes()[..rest.len().min(ENTITY_OCTETS_MAX)];
    let is_name = |c: &u8| c.is_ascii_alphanumeric() || *c == b'#';
    let name_len = window[1..].iter().take_while(|c| is_name(c)).count();
    let end = 1 + name_len;
    if name_len == 0 || window.get(end) != Some(&b';') {
        out.push('&');
        return &rest[1..];
    }
    let mut decoded = String::new();
    mail_parser::decoders::html::add_html_token(&mut decoded, &window[..=end], false);
    decoded.chars().for_each(|c| out.push(c));
    &rest[end + 1..]
}

/// Passes over one tag or comment; `rest` starts with "<".
fn markup<'x>(rest: &'x str, out: &mut Out, head_seen: &mut bool) -> &'x str {
    if let Some(comment) = rest.strip_prefix("<!--") {
        return match memchr::memmem::find(comment.as_bytes(), b"-->") {
            Some(at) => &comment[at + 3..],
            None => "",
        };
    }
    let after = rest.as_bytes().get(1).copied().unwrap_or(0);
    if !(after.is_ascii_alphabetic() || matches!(after, b'/' | b'!' | b'?')) {
        out.push('<');
        return &rest[1..];
    }
    let Some(end) = memchr::memchr(b'>', rest.as_bytes()) else {
        return "";
    };
    let tag = &rest[1..end];
    let following = &rest[end + 1..];
    let closing = tag.starts_with('/');
    let name = tag.trim_start_matches('/');
    let name_len = name
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(name.len());
    let name = name[..name_len.min(16)].to_ascii_lowercase();
    if BLOCKS.contains(&name.as_str()) {
        out.line = true;
    } else if matches!(name.as_str(), "td" | "th" | "img" | "option") {
        out.space = true;
    } else if !closing && !tag.ends_with('/') && SKIPPED.contains(&name.as_str()) {
        return find_close(following, &name).unwrap_or("");
    } else if !closing && name == "head" && !*head_seen {
        *head_seen = true;
        return find_close(following, "head").unwrap_or(following);
    }
    following
}

/// What follows the end tag of `name`.
fn find_close<'x>(rest: &'x str, name: &str) -> Option<&'x str> {
    let octets = rest.as_bytes();
    for at in memchr::memmem::find_iter(octets, b"</") {
        let start = at + 2;
        let found = octets.get(start..start + name.len());
        if found.is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes())) {
            let end = memchr::memchr(b'>', &octets[start..])?;
            return Some(&rest[start + end + 1..]);
        }
    }
    None
}
