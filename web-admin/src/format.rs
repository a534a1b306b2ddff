//! How numbers of octets, times and counts are shown.

use crate::messages::{fill, t};

const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
const DAY: i64 = 86_400;

/// `512 B`, `1.5 MB`: in powers of 1000, with at most three digits that count.
pub fn octets(octets: u64) -> String {
    if octets < 1000 {
        return format!("{octets} B");
    }
    let mut value = octets as f64 / 1000.0;
    let mut unit = 0;
    // What would be shown as 1000 is one of the next unit.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let unit = UNITS.get(unit).copied().unwrap_or_default();
    let digits = if value < 9.95 { 1 } else { 0 };
    let text = format!("{value:.digits$}");
    format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
}

/// Seconds since 1970 of a date as the API gives it (RFC 3339), such as `2026-03-01T12:00:00Z`.
pub fn parse_date(text: &str) -> Option<i64> {
    let octets = text.as_bytes();
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let is_at = |at: usize, among: &[u8]| octets.get(at).is_some_and(|octet| among.contains(octet));
    if !(is_at(4, b"-")
        && is_at(7, b"-")
        && is_at(10, b"Tt ")
        && is_at(13, b":")
        && is_at(16, b":"))
    {
        return None;
    }
    let days = days_of(number(0, 4)?, number(5, 7)?, number(8, 10)?)?;
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let rest = text.get(19..)?;
    let rest = rest.strip_prefix('.').map_or(rest, |fraction| {
        fraction.trim_start_matches(|c: char| c.is_ascii_digit())
    });
    let offset = match rest.as_bytes() {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let minutes =
                rest.get(1..3)?.parse::<i64>().ok()? * 60 + rest.get(4..6)?.parse::<i64>().ok()?;
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    Some(days * DAY + hour * 3600 + minute * 60 + second - offset * 60)
}

/// `3 Mar 2026, 14:05`. `offset_minutes`: how far local time is ahead of UTC.
pub fn date(seconds: i64, offset_minutes: i64) -> String {
    let local = seconds + offset_minutes * 60;
    let (year, month, day) = civil(local.div_euclid(DAY));
    let minute = local.rem_euclid(DAY) / 60;
    let mut months = t().months.split(' ');
    let name = months.nth(month as usize - 1).unwrap_or_default();
    format!("{day} {name} {year}, {:02}:{:02}", minute / 60, minute % 60)
}

/// `2026-03-03T14:05:00Z`, as the API takes it.
pub fn utc_date(seconds: i64) -> String {
    let (year, month, day) = civil(seconds.div_euclid(DAY));
    let time = seconds.rem_euclid(DAY);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        time / 3600,
        time / 60 % 60,
        time % 60
    )
}

/// A duration as a person says it: `45 s`, `3 min`, `5 h`, `2 days`.
pub fn duration(seconds: u64) -> String {
    match seconds {
        0..=89 => format!("{seconds} s"),
        90..=5399 => format!("{} min", (seconds + 30) / 60),
        5400..=129_599 => format!("{} h", (seconds + 1800) / 3600),
        _ => {
            let days = (seconds + 43_200) / 86_400;
            fill(t().days, &[("count", &days.to_string())])
        }
    }
}

/// `12,345`
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Days since 1970 of a date of the Gregorian calendar.
fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years begin in March, so that the leap day is their last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_have_the_unit_that_fits() {
        for (number, want) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1 kB"),
            (1550, "1.6 kB"),
            (9_949, "9.9 kB"),
            (9_950, "10 kB"),
            (999_499, "999 kB"),
            (999_500, "1 MB"),
            (5_000_000_000, "5 GB"),
            (u64::MAX, "18447 PB"),
        ] {
            assert_eq!(octets(number), want, "{number}");
        }
    }

    #[test]
    fn dates_there_and_back() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2026-11-30T05:20:00Z", 1_796_016_000),
            ("1969-12-31T23:59:59Z", -1),
        ] {
            assert_eq!(parse_date(text), Some(seconds), "{text}");
            assert_eq!(utc_date(seconds), text);
        }
        assert_eq!(
            parse_date("2026-11-30T06:20:00.123+01:00"),
            Some(1_796_016_000)
        );
        assert_eq!(parse_date("2026-11-30t00:50:00-04:30"), Some(1_796_016_000));
        for text in [
            "",
            "2026-11-30",
            "2026-13-01T00:00:00Z",
            "2026-11-30T05:20:00",
            "x",
            "2026-11-30T05:20:00+1",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn dates_are_shown_in_local_time() {
        assert_eq!(date(1_796_016_000, 0), "30 Nov 2026, 05:20");
        assert_eq!(date(1_796_016_000, 60), "30 Nov 2026, 06:20");
        assert_eq!(date(1_796_016_000, -330), "29 Nov 2026, 23:50");
    }

    #[test]
    fn durations_and_counts() {
        for (seconds, want) in [
            (45, "45 s"),
            (90, "2 min"),
            (3600, "60 min"),
            (5400, "2 h"),
            (172_800, "2 days"),
        ] {
            assert_eq!(duration(seconds), want);
        }
        for (number, want) in [
            (7, "7"),
            (1234, "1,234"),
            (123_456, "123,456"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(number), want);
        }
    }
}
