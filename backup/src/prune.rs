//! Removes snapshots that needn't be kept any more, and then the packs that no other snapshot needs.
//!
//! Holds: the newest snapshot always stays; a pack goes after the snapshots and index rows that name it. It needs no key. A pack
//! goes as a whole, when nothing in it is needed any more.

use std::collections::{BTreeSet, HashSet};

use crate::{
    Entry, Error, Lock, Name, Progress, Repository,
    index::{self},
    repository::{REFS, SNAPSHOTS, pack_path},
};

/// Which snapshots are kept: the last ones, and the last one of each of so many days, weeks and months that have any (UTC).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    pub last: usize,
    pub daily: usize,
    pub weekly: usize,
    pub monthly: usize,
}

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    pub kept: Vec<Name>,
    pub removed: Vec<Name>,
    pub packs: u64,
    pub octets: u64,
}

impl Keep {
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// The snapshots that stay. `entries`: oldest first.
    pub fn kept(&self, entries: &[Entry]) -> BTreeSet<Name> {
        let mut kept = BTreeSet::new();
        kept.extend(entries.last().map(|entry| entry.id));
        kept.extend(entries.iter().rev().take(self.last).map(|entry| entry.id));
        /// The period that a time is in, in seconds since 1970.
        type PeriodOf = fn(i64) -> i64;
        let daily: (usize, PeriodOf) = (self.daily, day);
        let periods = [daily, (self.weekly, week), (self.monthly, month)];
        for (count, period) in periods {
            let mut seen = BTreeSet::new();
            for entry in entries.iter().rev() {
                if seen.len() >= count {
                    break;
                }
                if seen.insert(period(entry.time)) {
                    kept.insert(entry.id);
                }
            }
        }
        kept
    }
}

fn day(time: i64) -> i64 {
    time.div_euclid(86_400)
}

/// Weeks begin on Mondays; 1970 began on a Thursday.
fn week(time: i64) -> i64 {
    (day(time) + 3).div_euclid(7)
}

/// Months since the year 0, of the Gregorian calendar.
fn month(time: i64) -> i64 {
    // Days since 0000-03-01, in eras of 400 years.
    let days = day(time) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months = (5 * day_of_year + 2) / 153;
    (era * 400 + year_of_era) * 12 + months + 2
}

/// Prunes a repository, while `lock` is held.
pub async fn prune(
    repository: &Repository,
    lock: &Lock,
    keep: Keep,
    progress: Progress<'_>,
) -> Result<Pruned, Error> {
    if keep.is_nothing() {
        return Err(Error::Keep("say how many snapshots to keep"));
    }
    let storage = &repository.storage;
    // One that can't be read ends it here, before anything is removed.
    let entries = repository.snapshots().await?;
    let kept = keep.kept(&entries);
    let mut pruned = Pruned::default();
    let mut needed: HashSet<Name> = HashSet::new();
    for entry in &entries {
        match kept.contains(&entry.id) {
            true => {
                pruned.kept.push(entry.id);
                needed.extend(&entry.packs);
            }
            false => pruned.removed.push(entry.id),
        }
    }
    lock.check().await?;
    for id in &pruned.removed {
        progress(&format!("removing snapshot {}", id.short()));
        storage.delete(&format!("{SNAPSHOTS}/{id}")).await?;
        storage.delete(&format!("{REFS}/{id}")).await?;
    }
    for (path, _) in storage.list(REFS).await? {
        let id = path.rsplit('/').next().and_then(Name::parse);
        if id.is_none_or(|id| !kept.contains(&id)) {
            storage.delete(&path).await?;
        }
    }
    let unneeded: Vec<(Name, u64)> = repository
        .packs()
        .await?
        .into_iter()
        .filter(|(name, _)| !needed.contains(name))
        .collect();
    let files = storage.list(index::FOLDER).await?;
    let files: Vec<String> = files.into_iter().map(|(path, _)| path).collect();
    index::join(repository, &files, |pack| needed.contains(pack)).await?;
    lock.check().await?;
    for (count, (name, octets)) in unneeded.iter().enumerate() {
        progress(&format!("removing packs: {count} of {}", unneeded.len()));
        storage.delete(&pack_path(name)).await?;
        pruned.packs += 1;
        pruned.octets += octets;
    }
    Ok(pruned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_those_of_the_calendar() {
        let row = |time, year: i64, number: i64| assert_eq!(month(time), year * 12 + number - 1);
        row(0, 1970, 1);
        row(951_782_399, 2000, 2);
        row(951_782_400, 2000, 2);
        row(951_868_800, 2000, 3);
        row(1_772_323_199, 2026, 2);
        row(1_772_323_200, 2026, 3);
        row(-1, 1969, 12);
    }

    #[test]
    fn weeks_begin_on_mondays() {
        // 2026-11-29 is a Sunday.
        let sunday = 1_795_910_400;
        assert_eq!(week(sunday - 1), week(sunday));
        assert_eq!(week(sunday) + 1, week(sunday + 86_400));
    }

    #[test]
    fn the_last_of_each_period_is_kept() {
        let hour = 3600;
        // Every six hours, over 60 days.
        let entries: Vec<Entry> = (0..240_u8)
            .map(|number| Entry {
                id: Name([number; 32]),
                time: 1_772_323_200 + i64::from(number) * 6 * hour,
                pack_octets: 0,
                number: 0,
                packs: Vec::new(),
            })
            .collect();
        let kept =
            |keep: Keep| -> Vec<u8> { keep.kept(&entries).into_iter().map(|id| id.0[0]).collect() };
        assert_eq!(kept(Keep::default()), [239]);
        let last = Keep {
            last: 3,
            ..Keep::default()
        };
        assert_eq!(kept(last), [237, 238, 239]);
        let daily = Keep {
            daily: 3,
            ..Keep::default()
        };
        assert_eq!(kept(daily), [231, 235, 239]);
        let weekly = Keep {
            weekly: 2,
            ..Keep::default()
        };
        // The first of March 2026 is a Sunday; so is the 26th of April.
        assert_eq!(kept(weekly), [227, 239]);
        let monthly = Keep {
            monthly: 9,
            ..Keep::default()
        };
        assert_eq!(kept(monthly), [123, 239]);
    }
}
