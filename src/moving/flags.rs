//! Flags as IMAP, Maildir and mbox write them, and keywords as JMAP has them (RFC 8621 §4.1.1).

/// What is known of a message beside its octets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// In lower case, of the characters that keywords have.
    pub keywords: Vec<String>,
    pub is_deleted: bool,
}

/// Octets of a keyword (RFC 8621 §4.1.1).
const KEYWORD_OCTETS_MAX: usize = 255;

impl Flags {
    /// Adds a flag of IMAP, or a keyword. Characters that a keyword can't have become `_`.
    pub fn add(&mut self, flag: &str) {
        let keyword = match flag.to_ascii_lowercase().as_str() {
            "\\seen" => "$seen".to_owned(),
            "\\answered" => "$answered".to_owned(),
            "\\flagged" => "$flagged".to_owned(),
            "\\draft" => "$draft".to_owned(),
            "\\deleted" => {
                self.is_deleted = true;
                return;
            }
            // `\Recent` is of a session; others are not known.
            other if other.starts_with('\\') || other.is_empty() => return,
            other => other
                .chars()
                .map(|c| match c {
                    '(' | ')' | '{' | ']' | '%' | '*' | '"' | '\\' => '_',
                    '\x21'..='\x7e' => c,
                    _ => '_',
                })
                .take(KEYWORD_OCTETS_MAX)
                .collect(),
        };
        if !self.keywords.contains(&keyword) {
            self.keywords.push(keyword);
        }
    }

    /// The letters of a Maildir name, after `:2,`; `names` are those of the small letters.
    pub fn of_maildir(letters: &str, names: &[Option<String>; 26]) -> Flags {
        let mut flags = Flags::default();
        for letter in letters.chars() {
            let flag = match letter {
                'S' => "\\Seen",
                'R' => "\\Answered",
                'F' => "\\Flagged",
                'D' => "\\Draft",
                'T' => "\\Deleted",
                'P' => "$forwarded",
                'a'..='z' => match &names[letter as usize - 'a' as usize] {
                    Some(name) => name.as_str(),
                    None => continue,
                },
                _ => continue,
            };
            flags.add(flag);
        }
        flags.sorted()
    }

    pub fn sorted(mut self) -> Flags {
        self.keywords.sort_unstable();
        self.keywords.dedup();
        self
    }
}

/// The letter of a Maildir name that stands for a keyword wherever Maildirs are read.
pub fn maildir_letter(keyword: &str) -> Option<char> {
    Some(match keyword {
        "$seen" => 'S',
        "$answered" => 'R',
        "$flagged" => 'F',
        "$draft" => 'D',
        "$forwarded" => 'P',
        _ => return None,
    })
}
