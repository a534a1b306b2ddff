//! Dates as they are written into mail (RFC 5322 §3.3), in UTC.
//!
//! Holds: any moment there is can be written, without a panic.
//! Other half: `trace`, and the Date field of a message that was submitted without one.

use jmap_core::clock::UtcMillis;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAY_SECONDS: i64 = 86_400;
/// The Gregorian calendar repeats itself after 400 years.
const ERA_DAYS: i64 = 146_097;

/// `Mon, 23 Nov 2026 18:48:57 +0000`
pub fn date_time(moment: UtcMillis) -> String {
    let seconds = moment.seconds();
    let (days, second) = (
        seconds.div_euclid(DAY_SECONDS),
        seconds.rem_euclid(DAY_SECONDS),
    );
    let (year, month, day) = civil(days);
    // 1970-01-01 was a Thursday.
    let weekday = DAYS[(days + 3).rem_euclid(7) as usize];
    let month = MONTHS[month];
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{weekday}, {day} {month} {year:04} {hour:02}:{minute:02}:{second:02} +0000")
}

/// Year, month from 0, and day from 1 of a number of days since 1970-01-01. Counted in years that begin in March, so
/// that the leap day is the last.
fn civil(days: i64) -> (i64, usize, i64) {
    let since_march_0000 = days + 719_468;
    let era = since_march_0000.div_euclid(ERA_DAYS);
    let day_of_era = since_march_0000.rem_euclid(ERA_DAYS);
    let leap_days = day_of_era / 1460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    let year = era * 400 + year_of_era + i64::from(month < 2);
    (year, month as usize, day)
}
