//! `mailboxIds` and `keywords` as clients set and patch them (RFC 8621 §4.1.1, RFC 8620 §5.3).
//! Holds: keywords are in lower case and of the right characters, mailboxes are ids; both are within
//! their limits once they were checked.
//! Other half: `set`, `import` and `copy` store them.

use jmap_types::{
    Id, Property, SetError, SetErrorKind, Value,
    mail::Mailbox,
    patch::{InvalidPatch, parse_pointer},
    value::{Key, Map},
};

use crate::Limits;

/// Octets of a keyword (RFC 8621 §4.1.1).
const KEYWORD_OCTETS_MAX: usize = 255;

/// Paths of one patch.
const PATHS_MAX: usize = 1000;

/// The keyword that `text` is, in lower case.
pub(crate) fn keyword(text: &str) -> Option<String> {
    let is_allowed = |c: u8| (0x21..=0x7e).contains(&c) && !b"(){]%*\"\\".contains(&c);
    let is_keyword = (1..=KEYWORD_OCTETS_MAX).contains(&text.len()) && text.bytes().all(is_allowed);
    is_keyword.then(|| text.to_ascii_lowercase())
}

/// A whole `keywords` object; null is its default.
pub(super) fn keywords(value: Value) -> Result<Vec<String>, SetError> {
    let map = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Object(map) => map,
        _ => return Err(wrong("keywords", "It must be an object.")),
    };
    let mut keywords = Vec::with_capacity(map.len());
    for (name, value) in map.into_vec() {
        let name = name.into_string();
        keywords.push(member_keyword(&name)?);
        member_true("keywords", &name, &value)?;
    }
    keywords.sort_unstable();
    keywords.dedup();
    Ok(keywords)
}

/// A whole `mailboxIds` object.
pub(super) fn mailboxes(value: Value) -> Result<Vec<u64>, SetError> {
    let Value::Object(map) = value else {
        return Err(wrong("mailboxIds", "It must be an object of mailbox ids."));
    };
    let mut mailboxes = Vec::with_capacity(map.len());
    for (name, value) in map.into_vec() {
        let name = name.into_string();
        mailboxes.push(member_mailbox(&name)?);
        member_true("mailboxIds", &name, &value)?;
    }
    check_some(&mailboxes)?;
    // A creation id and an id may name the same one.
    mailboxes.sort_unstable();
    mailboxes.dedup();
    Ok(mailboxes)
}

fn check_some(mailboxes: &[u64]) -> Result<(), SetError> {
    if mailboxes.is_empty() {
        return Err(wrong("mailboxIds", "An email is in at least one mailbox."));
    }
    Ok(())
}

fn wrong(path: impl ToString, why: &str) -> SetError {
    SetError::invalid_property(path, why)
}

fn member_keyword(name: &str) -> Result<String, SetError> {
    keyword(name).ok_or_else(|| {
        let why =
            "A keyword has 1 to 255 printable ASCII characters without ( ) { ] % * \" and \\.";
        wrong(format!("keywords/{name}"), why)
    })
}

fn member_mailbox(name: &str) -> Result<u64, SetError> {
    let id = Id::<Mailbox>::parse(name);
    id.map(Id::number).ok_or_else(|| {
        wrong(
            format!("mailboxIds/{name}"),
            "One of the mailboxes does not exist.",
        )
    })
}

fn member_true(property: &str, name: &str, value: &Value) -> Result<(), SetError> {
    match value {
        Value::Bool(true) => Ok(()),
        _ => Err(wrong(
            format!("{property}/{name}"),
            "The value of each member must be true.",
        )),
    }
}

/// The server's limits for one email (RFC 8621 §4.6).
pub(super) fn check_limits(
    limits: &Limits,
    mailboxes: &[u64],
    keywords: &[String],
) -> Result<(), SetError> {
    if keywords.len() as u64 > limits.max_keywords_per_email {
        return Err(SetError::new(SetErrorKind::TooManyKeywords));
    }
    if mailboxes.len() as u64 > limits.max_mailboxes_per_email {
        return Err(SetError::new(SetErrorKind::TooManyMailboxes));
    }
    Ok(())
}

/// What a patch does to a set.
#[derive(Debug)]
pub(super) struct SetPatch<T> {
    /// The whole set, replaced.
    whole: Option<Vec<T>>,
    add: Vec<T>,
    remove: Vec<T>,
}

impl<T> Default for SetPatch<T> {
    fn default() -> Self {
        Self {
            whole: None,
            add: Vec::new(),
            remove: Vec::new(),
        }
    }
}

impl<T: PartialEq + Clone> SetPatch<T> {
    pub fn is_empty(&self) -> bool {
        self.whole.is_none() && self.add.is_empty() && self.remove.is_empty()
    }

    /// The set after the patch; what it keeps stays in its order.
    pub fn apply(&self, now: impl Iterator<Item = T>) -> Vec<T> {
        if let Some(whole) = &self.whole {
            return whole.clone();
        }
        let mut set: Vec<T> = now.filter(|item| !self.remove.contains(item)).collect();
        for item in &self.add {
            if !set.contains(item) {
                set.push(item.clone());
            }
        }
        set
    }

    /// RFC 8620 §5.3: no path of a patch is a prefix of another.
    fn check_prefix(&self, property: &str) -> Result<(), SetError> {
        if self.whole.is_some() && !(self.add.is_empty() && self.remove.is_empty()) {
            let why = "Another path of the patch is a prefix of this one.";
            return Err(invalid_patch(property, why));
        }
        Ok(())
    }
}

fn invalid_patch(path: impl ToString, why: &'static str) -> SetError {
    let path = path.to_string();
    InvalidPatch { path, why }.into()
}

/// A patch of an email, taken apart.
#[derive(Debug, Default)]
pub(super) struct EmailPatch {
    pub mailboxes: SetPatch<u64>,
    pub keywords: SetPatch<String>,
    /// Properties that can't change: what the client takes them to be.
    pub others: Vec<(Key, Value)>,
    /// Keywords came in upper case: the client doesn't know what they are now.
    pub has_folded: bool,
}

impl EmailPatch {
    pub fn read(patch: Map) -> Result<Self, SetError> {
        if patch.len() > PATHS_MAX {
            return Err(SetError::describe(
                SetErrorKind::TooLarge,
                "The patch has too many paths.",
            ));
        }
        let mut read = Self::default();
        for (path, value) in patch.into_vec() {
            match path.as_property() {
                Some(Property::Keywords) => {
                    if let Value::Object(map) = &value {
                        read.has_folded |= map.keys().any(|name| is_folded(&name.to_string()));
                    }
                    read.keywords.whole = Some(keywords(value)?);
                }
                Some(Property::MailboxIds) => read.mailboxes.whole = Some(mailboxes(value)?),
                Some(_) => read.others.push((path, value)),
                None => read.path(path.into_string(), value)?,
            }
        }
        read.keywords.check_prefix("keywords")?;
        read.mailboxes.check_prefix("mailboxIds")?;
        Ok(read)
    }

    fn path(&mut self, path: String, value: Value) -> Result<(), SetError> {
        if path.starts_with("header:") {
            // A field name may have a slash: it is no path.
            self.others.push((Key::Owned(path), value));
            return Ok(());
        }
        let steps = parse_pointer(&path)
            .ok_or_else(|| invalid_patch(&path, "The path is not a JSON Pointer."))?;
        match steps.as_slice() {
            [property, name] if property == "keywords" => self.keyword(name, value),
            [property, name] if property == "mailboxIds" => self.mailbox(name, value),
            [property, ..] if is_email_property(property) => Err(invalid_patch(
                &path,
                "Only the members of keywords and mailboxIds can be patched.",
            )),
            _ => Err(wrong(&path, "There is no such property.")),
        }
    }

    fn keyword(&mut self, name: &str, value: Value) -> Result<(), SetError> {
        if value == Value::Null {
            // What can't be a keyword isn't there either.
            self.keywords.remove.extend(keyword(name));
            return Ok(());
        }
        self.keywords.add.push(member_keyword(name)?);
        self.has_folded |= is_folded(name);
        member_true("keywords", name, &value)
    }

    fn mailbox(&mut self, name: &str, value: Value) -> Result<(), SetError> {
        if value == Value::Null {
            let id = Id::<Mailbox>::parse(name);
            self.mailboxes.remove.extend(id.map(Id::number));
            return Ok(());
        }
        self.mailboxes.add.push(member_mailbox(name)?);
        member_true("mailboxIds", name, &value)
    }
}

fn is_folded(name: &str) -> bool {
    name.bytes().any(|c| c.is_ascii_uppercase())
}

fn is_email_property(name: &str) -> bool {
    super::plan::is_property(name)
}

/// Mailboxes after a patch: at least one.
pub(super) fn patched_mailboxes(
    patch: &SetPatch<u64>,
    now: impl Iterator<Item = u64>,
) -> Result<Vec<u64>, SetError> {
    let mailboxes = patch.apply(now);
    check_some(&mailboxes)?;
    Ok(mailboxes)
}
