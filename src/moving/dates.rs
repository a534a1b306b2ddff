//! Dates of IMAP and of the lines between the messages of an mbox.

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// RFC 9051 §9 `date-time`, as INTERNALDATE has it: seconds since 1970.
pub fn internal_date(text: &str) -> Option<i64> {
    let mut words = text.split_whitespace();
    let (date, time, zone) = (words.next()?, words.next()?, words.next()?);
    let mut date = date.split('-');
    let day = date.next()?.parse().ok()?;
    let month = month(date.next()?)?;
    let year = date.next()?.parse().ok()?;
    Some(seconds(year, month, day, clock(time)?)? - offset(zone)?)
}

/// The date of a line `From sender Thu Jan  1 00:00:00 1970`, perhaps with a zone before or behind the year. Without one it is UTC.
pub fn from_line_date(line: &str) -> Option<i64> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|word| clock(word).is_some())?;
    let time = clock(words[at])?;
    let rest = &words[at + 1..];
    let is_year = |word: &&&str| word.len() == 4 && word.bytes().all(|c| c.is_ascii_digit());
    let year = rest.iter().take(3).find(is_year)?.parse().ok()?;
    let zone = rest.iter().take(3).find_map(|word| offset(word));
    let (day, month_name) = (
        words.get(at.checked_sub(1)?)?,
        words.get(at.checked_sub(2)?)?,
    );
    let (day, month) = match (day.parse(), month(month_name)) {
        (Ok(day), Some(month)) => (day, month),
        // Some write the day before the month.
        _ => (month_name.parse().ok()?, month(day)?),
    };
    Some(seconds(year, month, day, time)? - zone.unwrap_or(0))
}

/// As a line between messages has it, in UTC.
pub fn from_line(seconds: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let days = seconds.div_euclid(86_400);
    let of_day = seconds.rem_euclid(86_400);
    let (year, month, day) = civil(days);
    let name = MONTHS[month as usize - 1];
    format!(
        "{} {}{} {day:2} {:02}:{:02}:{:02} {year:04}",
        DAYS[days.rem_euclid(7) as usize],
        name[..1].to_uppercase(),
        &name[1..],
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

/// RFC 3339 in UTC, as JMAP has it.
pub fn utc_date(text: &str) -> Option<i64> {
    let text = text.strip_suffix(['Z', 'z'])?;
    let (date, time) = text.split_once(['T', 't'])?;
    let mut date = date.splitn(3, '-');
    let year = date.next()?.parse().ok()?;
    let month = date.next()?.parse().ok()?;
    let day = date.next()?.parse().ok()?;
    let time = time.split('.').next()?;
    seconds(year, month, day, clock(time)?)
}

fn month(name: &str) -> Option<u32> {
    let name = name.to_ascii_lowercase();
    let at = MONTHS.iter().position(|month| *month == name)?;
    Some(at as u32 + 1)
}

/// Seconds of `hh:mm` or `hh:mm:ss`.
fn clock(text: &str) -> Option<i64> {
    let parts: Vec<&str> = text.split(':').collect();
    if !(2..=3).contains(&parts.len()) {
        return None;
    }
    let mut sum = 0;
    for (part, max) in parts.iter().zip([23, 59, 60]) {
        let is_number = (1..=2).contains(&part.len()) && part.bytes().all(|c| c.is_ascii_digit());
        let number: i64 = is_number.then(|| part.parse().ok())??;
        if number > max {
            return None;
        }
        sum = sum * 60 + number;
    }
    Some(if parts.len() == 2 { sum * 60 } else { sum })
}

/// Seconds east of Greenwich, of `+hhmm`.
fn offset(text: &str) -> Option<i64> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits = text.get(1..)?;
    if digits.len() != 4 || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let number: i64 = digits.parse().ok()?;
    Some(sign * (number / 100 * 3600 + number % 100 * 60))
}

fn seconds(year: i64, month: u32, day: u32, time: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(0..=9999).contains(&year) {
        return None;
    }
    Some(days(year, month, day) * 86_400 + time)
}

/// Days since 1970 in the Gregorian calendar, counted in eras of 400 years that begin in March.
fn days(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = i64::from((153 * ((month + 9) % 12) + 2) / 5 + day - 1);
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The inverse of [`days`].
fn civil(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = (of_year - (153 * month + 2) / 5 + 1) as u32;
    let month = if month < 10 { month + 3 } else { month - 9 } as u32;
    (year + era * 400 + i64::from(month <= 2), month, day)
}
