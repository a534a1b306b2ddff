//! Dates of messages (RFC 5322 §3.3 and §4.3) to instants and to JMAP's Date (RFC 8620 §1.4).
//! Holds: what is parsed is a date that exists; years 1 to 9999; one pass.
//! Other half: `emit` writes the date-time of a new message.

use minicbor::{Decode, Encode};

/// An instant, and the zone that its writer gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct SentAt {
    /// Seconds since 1970-01-01T00:00:00Z.
    #[n(0)]
    pub timestamp: i64,
    /// Minutes east of UTC.
    #[n(1)]
    pub offset_minutes: i16,
    /// The zone was "-0000": the time is UTC and says nothing of the writer's zone.
    #[n(2)]
    pub unknown_zone: bool,
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
/// Most tokens of a date-time that are looked at.
const TOKENS_MAX: usize = 12;

impl SentAt {
    /// UTC, in a zone that is known.
    pub fn utc(timestamp: i64) -> SentAt {
        SentAt {
            timestamp,
            offset_minutes: 0,
            unknown_zone: false,
        }
    }

    /// RFC 8620 §1.4: the local time and its offset, as `2014-10-30T14:12:00+08:00`.
    pub fn to_rfc3339(self) -> String {
        let (year, month, day, hour, minute, second) = self.local();
        let zone = match (self.offset_minutes, self.unknown_zone) {
            (0, false) => "Z".to_owned(),
            (_, true) => "-00:00".to_owned(),
            (offset, false) => {
                let sign = if offset < 0 { '-' } else { '+' };
                let offset = offset.unsigned_abs();
                format!("{sign}{:02}:{:02}", offset / 60, offset % 60)
            }
        };
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{zone}")
    }

    /// RFC 5322 §3.3, as `Thu, 30 Oct 2014 14:12:00 +0800`.
    pub fn to_rfc5322(self) -> String {
        let (year, month, day, hour, minute, second) = self.local();
        let days = (self.timestamp + i64::from(self.offset_minutes) * 60).div_euclid(86_400);
        let name = DAYS[days.rem_euclid(7) as usize];
        let lower = MONTHS[(month - 1) as usize];
        let month = format!("{}{}", lower[..1].to_uppercase(), &lower[1..]);
        let sign = if self.offset_minutes < 0 || self.unknown_zone {
            '-'
        } else {
            '+'
        };
        let offset = self.offset_minutes.unsigned_abs();
        format!(
            "{name}, {day} {month} {year:04} {hour:02}:{minute:02}:{second:02} {sign}{:02}{:02}",
            offset / 60,
            offset % 60
        )
    }

    fn local(self) -> (i64, i64, i64, i64, i64, i64) {
        let limit = days_from_civil(9999, 12, 31) * 86_400 + 86_399;
        let seconds = (self
            .timestamp
            .saturating_add(i64::from(self.offset_minutes) * 60))
        .clamp(days_from_civil(1, 1, 1) * 86_400, limit);
        let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
        let of_day = seconds.rem_euclid(86_400);
        (
            year,
            month,
            day,
            of_day / 3600,
            of_day / 60 % 60,
            of_day % 60,
        )
    }

    /// Parses JMAP's Date (RFC 8620 §1.4, RFC 3339).
    pub fn parse_rfc3339(text: &str) -> Option<SentAt> {
        let octets = text.as_bytes();
        if !text.is_ascii() || octets.len() < 20 {
            return None;
        }
        let (head, mut tail) = text.split_at(19);
        let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        if separators.iter().any(|&(at, c)| head.as_bytes()[at] != c) {
            return None;
        }
        let number = |range: std::ops::Range<usize>| digits(&head[range]);
        if let Some(fraction) = tail.strip_prefix('.') {
            let len = fraction.bytes().take_while(u8::is_ascii_digit).count();
            tail = fraction.get(len..).filter(|_| len > 0)?;
        }
        let (offset, unknown) = match tail.as_bytes() {
            b"Z" => (0, false),
            [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
                let minutes = digits(&tail[1..3])? * 60 + digits(&tail[4..6])?;
                let sign = if *sign == b'-' { -1 } else { 1 };
                (sign * minutes, sign < 0 && minutes == 0)
            }
            _ => return None,
        };
        let date = (number(0..4)?, number(5..7)?, number(8..10)?);
        let time = (number(11..13)?, number(14..16)?, number(17..19)?);
        assemble(date, time, offset, unknown)
    }
}

/// Parses a date-time. `None`: it is none.
pub fn parse(raw: &[u8]) -> Option<SentAt> {
    let value = super::words::unfold(raw);
    let value = super::address::without_comments(&value);
    let mut tokens: Vec<&str> = value
        .split([' ', '\t', ','])
        .filter(|token| !token.is_empty())
        .take(TOKENS_MAX)
        .collect();
    if tokens
        .first()?
        .bytes()
        .all(|c| c.is_ascii_alphabetic() || c == b'.')
    {
        tokens.remove(0);
    }
    let day_first = digits(tokens.first()?).is_some();
    let mut rest = tokens.into_iter();
    let (day, month, year, time) = if day_first {
        let day = digits(rest.next()?)?;
        (day, month(rest.next()?)?, year(rest.next()?)?, rest.next()?)
    } else {
        // The form of ctime(3), "Nov 14 10:00:00 2006", which some programs send.
        let month = month(rest.next()?)?;
        let day = digits(rest.next()?)?;
        let time = rest.next()?;
        (day, month, year(rest.next()?)?, time)
    };
    let mut clock = time.split(':');
    let (hour, minute) = (digits(clock.next()?)?, digits(clock.next()?)?);
    let second = clock.next().map_or(Some(0), digits)?;
    let (offset, unknown) = zone(rest.next());
    assemble((year, month, day), (hour, minute, second), offset, unknown)
}

fn assemble(
    (year, month, day): (i64, i64, i64),
    (hour, minute, second): (i64, i64, i64),
    offset: i64,
    unknown_zone: bool,
) -> Option<SentAt> {
    let days_in_month = match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let date_exists = (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in_month).contains(&day);
    if !date_exists || hour > 23 || minute > 59 || second > 60 || offset.abs() >= 24 * 60 {
        return None;
    }
    // A leap second is the last second of its minute here.
    let of_day = hour * 3600 + minute * 60 + second.min(59);
    Some(SentAt {
        timestamp: days_from_civil(year, month, day) * 86_400 + of_day - offset * 60,
        offset_minutes: offset as i16,
        unknown_zone,
    })
}

fn digits(token: &str) -> Option<i64> {
    let good = (1..=4).contains(&token.len()) && token.bytes().all(|c| c.is_ascii_digit());
    good.then(|| token.parse().ok()).flatten()
}

fn month(token: &str) -> Option<i64> {
    let lower = token.get(..3)?.to_ascii_lowercase();
    let at = MONTHS.iter().position(|name| **name == lower)?;
    Some(at as i64 + 1)
}

/// RFC 5322 §4.3: two digits are 1950 to 2049, three are counted from 1900.
fn year(token: &str) -> Option<i64> {
    let value = digits(token)?;
    Some(match token.len() {
        1 | 2 if value < 50 => value + 2000,
        1..=3 => value + 1900,
        _ => value,
    })
}

/// Offset in minutes, and whether the zone is unknown.
fn zone(token: Option<&str>) -> (i64, bool) {
    let Some(token) = token else {
        return (0, true);
    };
    if let Some(sign) = token.strip_prefix(['+', '-']) {
        let plain: String = sign.chars().filter(|c| *c != ':').collect();
        let Some(value) = digits(&plain).filter(|_| plain.len() == 4) else {
            return (0, true);
        };
        let minutes = value / 100 * 60 + value % 100;
        if minutes >= 24 * 60 {
            return (0, true);
        }
        return match token.starts_with('-') {
            true => (-minutes, minutes == 0),
            false => (minutes, false),
        };
    }
    // RFC 5322 §4.3: the obsolete names; any other is "-0000".
    let hours = match token.to_ascii_uppercase().as_str() {
        "UT" | "UTC" | "GMT" | "Z" => 0,
        "EDT" => -4,
        "EST" | "CDT" => -5,
        "CST" | "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" => -8,
        _ => return (0, true),
    };
    (hours * 60, false)
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}
