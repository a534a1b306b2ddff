//! Dates (RFC 9051 §9 date, date-time).
//!
//! Holds: what comes out is a day of the calendar. Years are four digits, so nothing overflows.
//! Other half: `encode::date`.

use super::cursor::{Cursor, Parsed};

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DATE: &str = "a date such as 1-Feb-1994";
const DATE_TIME: &str = "a date and time such as \"17-Jul-1996 02:44:25 -0700\"";

impl Cursor<'_> {
    /// Days since 1970, of the date as it is written; with or without quotes.
    pub(crate) fn date(&mut self) -> Parsed<i64> {
        let start = self.at;
        let is_quoted = self.eat(b'"');
        let Some(days) = self.date_text() else {
            return self.want_at(start, DATE);
        };
        if is_quoted {
            self.expect(b'"', "\" after a date")?;
        }
        Ok(days)
    }

    /// Seconds since 1970.
    pub(crate) fn date_time(&mut self) -> Parsed<i64> {
        let start = self.at;
        match self.date_time_text() {
            Some(seconds) => Ok(seconds),
            None => self.want_at(start, DATE_TIME),
        }
    }

    fn date_text(&mut self) -> Option<i64> {
        let day = match self.take_while(|octet| octet.is_ascii_digit()) {
            [ones] => digit(*ones)?,
            [tens, ones] => digit(*tens)? * 10 + digit(*ones)?,
            _ => return None,
        };
        self.eat(b'-').then_some(())?;
        let name = self.take_while(|octet| octet.is_ascii_alphabetic());
        let month = MONTHS
            .iter()
            .position(|month| month.as_bytes().eq_ignore_ascii_case(name))?
            as i64
            + 1;
        self.eat(b'-').then_some(())?;
        let year = self.fixed(4)?;
        (1..=days_in_month(year, month))
            .contains(&day)
            .then(|| days_from_civil(year, month, day))
    }

    fn date_time_text(&mut self) -> Option<i64> {
        self.eat(b'"').then_some(())?;
        // date-day-fixed: a day of one digit has a space before it. Clients leave it out.
        self.eat(b' ');
        let days = self.date_text()?;
        self.eat(b' ').then_some(())?;
        let hour = self.fixed(2)?;
        self.eat(b':').then_some(())?;
        let minute = self.fixed(2)?;
        self.eat(b':').then_some(())?;
        let second = self.fixed(2)?;
        self.eat(b' ').then_some(())?;
        let sign = match self.peek()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        self.at += 1;
        let (zone_hours, zone_minutes) = (self.fixed(2)?, self.fixed(2)?);
        self.eat(b'"').then_some(())?;
        // 60: a leap second.
        if hour > 23 || minute > 59 || second > 60 || zone_hours > 23 || zone_minutes > 59 {
            return None;
        }
        let zone = sign * (zone_hours * 3600 + zone_minutes * 60);
        Some(days * 86_400 + hour * 3600 + minute * 60 + second - zone)
    }

    /// A number of so many digits.
    fn fixed(&mut self, digits: usize) -> Option<i64> {
        let octets = self.rest().get(..digits)?;
        let number = octets
            .iter()
            .try_fold(0, |number, octet| Some(number * 10 + digit(*octet)?))?;
        self.at += digits;
        Some(number)
    }
}

fn digit(octet: u8) -> Option<i64> {
    octet
        .is_ascii_digit()
        .then(|| i64::from(octet.wrapping_sub(b'0')))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970 in the Gregorian calendar. A year is taken to begin in March, so that the leap day is its last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}
