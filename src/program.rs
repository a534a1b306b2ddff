//! The pages of the program itself, as the system has them mapped.
//!
//! Holds: what was needed for work isn't counted as the server's while it is at rest. The pages stay in the system's cache of
//! files, from which they come back as they are used again; where the system needs room, it can take them without asking.
//! Other half: `allocators` says when, and does the same for memory.

use std::{ffi::c_void, fs, num::ParseIntError, ops::Range};

use rustix::mm::{Advice, madvise};

/// Takes a millisecond.
pub fn give_back_pages() {
    let Ok(maps) = fs::read_to_string("/proc/self/maps") else {
        return;
    };
    let here = give_back_pages as fn() as usize;
    for pages in own(&maps, here) {
        // SAFETY: these are pages of the program's file that nobody can write: code, and constants before any relocation. They are
        // mapped until the process ends, and a page that is given up is read from the file again.
        let given = unsafe {
            madvise(
                pages.start as *mut c_void,
                pages.len(),
                Advice::LinuxDontNeed,
            )
        };
        if let Err(error) = given {
            tracing::debug!(%error, "pages of the program stay mapped");
        }
    }
}

/// A line of /proc/self/maps (proc_pid_maps(5)).
struct Mapping<'m> {
    pages: Range<usize>,
    permissions: &'m str,
    offset: u64,
    /// Device and inode.
    file: (&'m str, &'m str),
}

impl<'m> Mapping<'m> {
    fn read(line: &'m str) -> Option<Self> {
        let number = |text| usize::from_str_radix(text, 16);
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let permissions = fields.next()?;
        let offset: Result<u64, ParseIntError> = u64::from_str_radix(fields.next()?, 16);
        Some(Self {
            pages: number(start).ok()?..number(end).ok()?,
            permissions,
            offset: offset.ok()?,
            file: (fields.next()?, fields.next()?),
        })
    }

    /// The first segment is of constants that no relocation touches; those that it does are in a later one, which is writable before.
    fn is_never_written(&self) -> bool {
        self.permissions == "r-xp" || (self.permissions == "r--p" && self.offset == 0)
    }
}

/// The pages of the file that `here` is in that were never written.
fn own(maps: &str, here: usize) -> Vec<Range<usize>> {
    let mappings: Vec<Mapping<'_>> = maps.lines().filter_map(Mapping::read).collect();
    let own = mappings
        .iter()
        .find(|mapping| mapping.pages.contains(&here) && mapping.permissions == "r-xp");
    let Some(file) = own.map(|mapping| mapping.file) else {
        return Vec::new();
    };
    mappings
        .iter()
        .filter(|mapping| mapping.file == file && mapping.is_never_written())
        .map(|mapping| mapping.pages.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_never_written() {
        let maps = "\
55d0c0000000-55d0c1000000 r--p 00000000 fe:00 1234 /usr/bin/posthorn (deleted)
55d0c1000000-55d0c5000000 r-xp 00fff000 fe:00 1234 /usr/bin/posthorn (deleted)
55d0c5000000-55d0c5100000 r--p 04ffe000 fe:00 1234 /usr/bin/posthorn (deleted)
55d0c5100000-55d0c5200000 rw-p 050fd000 fe:00 1234 /usr/bin/posthorn (deleted)
55d0c5200000-55d0c5300000 rw-p 00000000 00:00 0 [heap]
7f0000000000-7f0000100000 r--s 00000000 fe:00 77 /var/lib/posthorn/search/0/a.term
7f0000100000-7f0000200000 r--p 00000000 fe:01 1234 /usr/lib/libc.so.6
7f0000200000-7f0000300000 r-xp 00100000 fe:01 1234 /usr/lib/libc.so.6
a line of another kind";
        let expected = [
            0x55d0c0000000..0x55d0c1000000,
            0x55d0c1000000..0x55d0c5000000,
        ];
        assert_eq!(own(maps, 0x55d0c1000010), expected);
        // A function can't be in any of these.
        assert!(own(maps, 0x55d0c5000010).is_empty());
        assert!(own(maps, 0x55d0c5200010).is_empty());
        assert!(own("", 1).is_empty());
    }

    /// Octets of this process that are mapped from files.
    fn mapped() -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("RssFile:"));
        let number = line.unwrap().split_ascii_whitespace().nth(1).unwrap();
        number.parse::<u64>().unwrap() * 1024
    }

    #[test]
    fn pages_go_and_come_back() {
        // Pages are mapped by reading them.
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let all = own(&maps, give_back_pages as fn() as usize);
        let read = || -> u64 {
            let octets = all.iter().flat_map(|pages| pages.clone().step_by(4096));
            // SAFETY: these are readable pages of the program, which stay mapped.
            octets
                .map(|at| u64::from(unsafe { std::ptr::read_volatile(at as *const u8) }))
                .sum()
        };
        let sum = read();
        let before = mapped();
        give_back_pages();
        let after = mapped();
        assert!(after < before / 2, "{before} {after}");
        assert_eq!(read(), sum);
    }
}
