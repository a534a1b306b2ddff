//! Keys as people read them: `Object(account 7, type Email, id 12)`.
//!
//! Holds: any octets have a description, also those that are no key; what is shown follows [`TABLE`].

use std::fmt::Write as _;

use jmap_types::DataType;

use super::TABLE;

/// Octets of a name that are shown.
const NAME_OCTETS_MAX: usize = 120;

/// A key in words.
pub fn describe(key: &[u8]) -> String {
    let Some((&first, rest)) = key.split_first() else {
        return "(no key)".to_owned();
    };
    let row = TABLE.iter().find(|(subspace, ..)| *subspace as u8 == first);
    let Some((subspace, fields, _)) = row else {
        return format!("unknown subspace {first:#04x}({})", hex(rest));
    };
    let mut text = format!("{subspace:?}(");
    match described(fields, rest) {
        Some(fields) => text.push_str(&fields),
        None => {
            let _ = write!(text, "of the wrong shape: {}", hex(rest));
        }
    }
    text.push(')');
    text
}

/// `None`: the octets are not those fields.
fn described(fields: &str, mut rest: &[u8]) -> Option<String> {
    let fields = fields.split(':').next().unwrap_or_default();
    let mut shown = Vec::new();
    for field in fields.split(", ") {
        let (name, kind) = field.rsplit_once(' ').unwrap_or((field, ""));
        match (name, kind) {
            (name, "u64") => {
                let (number, after) = rest.split_first_chunk::<8>()?;
                shown.push(format!("{name} {}", u64::from_be_bytes(*number)));
                rest = after;
            }
            ("type", "u8") => {
                let (&number, after) = rest.split_first()?;
                shown.push(match DataType::from_number(number) {
                    Some(data_type) => data_type.to_string(),
                    None => format!("type {number}"),
                });
                rest = after;
            }
            ("kind", "u8") => {
                let (&number, after) = rest.split_first()?;
                shown.push(format!("kind {number}"));
                rest = after;
            }
            ("hash", "") => {
                let (hash, after) = rest.split_first_chunk::<32>()?;
                shown.push(hex(hash));
                rest = after;
            }
            ("nonce of 16" | "collection of 16", "octets") => {
                let (octets, after) = rest.split_first_chunk::<16>()?;
                shown.push(hex(octets));
                rest = after;
            }
            ("item", "") => {
                shown.push(name_of(rest));
                rest = &[];
            }
            ("zero", "octet") | ("0x00", "") => {
                rest = rest.strip_prefix(&[0])?;
            }
            ("nothing" | "or", _) => {}
            ("key", "") => {
                shown.push(describe(rest));
                rest = &[];
            }
            // A name goes up to a zero octet, or to the end.
            _ => {
                let end = rest.iter().position(|octet| *octet == 0);
                let (text, after) = rest.split_at(end.unwrap_or(rest.len()));
                if !text.is_empty() {
                    shown.push(name_of(text));
                }
                rest = after;
            }
        }
    }
    rest.is_empty().then(|| shown.join(", "))
}

fn name_of(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) if text.len() <= NAME_OCTETS_MAX => text.escape_debug().to_string(),
        _ => hex(octets),
    }
}

fn hex(octets: &[u8]) -> String {
    let (shown, more) = octets.split_at(octets.len().min(NAME_OCTETS_MAX));
    let mut text = crate::record::hex(shown);
    if !more.is_empty() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use jmap_types::AccountId;

    use super::*;
    use crate::keys;

    #[test]
    fn keys_in_words() {
        let a = AccountId::new(7);
        let hash = [0xab; 32];
        let hex = "ab".repeat(32);
        let rows = [
            (
                keys::object(a, DataType::Email, 12),
                "Object(account 7, Email, id 12)".to_owned(),
            ),
            (keys::blob(&hash), format!("Blob({hex})")),
            (
                keys::blob_ref(&hash, a, DataType::Email, 3),
                format!("BlobRef({hex}, account 7, Email, id 3)"),
            ),
            (keys::login_name("a@b"), "LoginName(a@b)".to_owned()),
            (keys::queue_length(), "QueueLength()".to_owned()),
            (
                keys::queue_pause("example.net"),
                "QueuePause(example.net)".to_owned(),
            ),
            (keys::queue_pause(""), "QueuePause()".to_owned()),
            (
                keys::dkim_key("example.org", "s1"),
                "DkimKey(example.org, s1)".to_owned(),
            ),
            (
                keys::report_in("example.org", 5, 6),
                "ReportIn(example.org, end 5, report 6)".to_owned(),
            ),
            (
                keys::dmarc_counts(1, "example.org", 2),
                "DmarcCounts(day 1, example.org, batch 2)".to_owned(),
            ),
            (
                keys::quarantine(&keys::head(a)),
                "Quarantine(Head(account 7))".to_owned(),
            ),
            (keys::lease("upkeep"), "Lease(upkeep)".to_owned()),
            (
                keys::certificate("mail.example.org"),
                "Certificate(mail.example.org)".to_owned(),
            ),
            (keys::certificate_changes(), "Certificate()".to_owned()),
            (keys::ban("192.0.2.0/24"), "Ban(192.0.2.0/24)".to_owned()),
            (
                keys::challenge(1, "token"),
                "Challenge(kind 1, token)".to_owned(),
            ),
            (
                vec![0x10, 1, 2],
                "Head(of the wrong shape: 0102)".to_owned(),
            ),
            (vec![0xee, 1], "unknown subspace 0xee(01)".to_owned()),
            (vec![], "(no key)".to_owned()),
        ];
        for (key, expected) in rows {
            assert_eq!(describe(&key), expected);
        }
    }
}
