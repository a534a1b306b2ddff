//! Dates (RFC 9051 §9 date-time).
//!
//! Holds: always 28 octets; years beyond four digits become the nearest that has four.
//! Other half: `parse::date`.

/// The last second of 9999, and the first of year 1.
const SECONDS_MAX: i64 = 253_402_300_799;
const SECONDS_MIN: i64 = -62_135_596_800;
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// `"17-Jul-1996 02:44:25 +0000"`, with its quotes. Seconds since 1970.
pub fn date_time(out: &mut Vec<u8>, seconds: i64) {
    let seconds = seconds.clamp(SECONDS_MIN, SECONDS_MAX);
    let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
    let time = seconds.rem_euclid(86_400);
    out.push(b'"');
    if day < 10 {
        out.push(b' ');
        out.push(digit(day));
    } else {
        two_digits(out, day);
    }
    out.push(b'-');
    let month = usize::try_from(month - 1).unwrap_or(0);
    out.extend_from_slice(MONTHS.get(month).copied().unwrap_or(b"Jan"));
    out.push(b'-');
    two_digits(out, year / 100);
    two_digits(out, year % 100);
    out.push(b' ');
    two_digits(out, time / 3600);
    out.push(b':');
    two_digits(out, time / 60 % 60);
    out.push(b':');
    two_digits(out, time % 60);
    out.extend_from_slice(b" +0000\"");
}

fn digit(value: i64) -> u8 {
    b'0' + (value % 10) as u8
}

fn two_digits(out: &mut Vec<u8>, value: i64) {
    out.push(digit(value / 10));
    out.push(digit(value));
}

/// Year, month and day in the Gregorian calendar. A year is taken to begin in March, so that the leap day is its last.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}
