//! What a server's processes have used, from /proc.
//! Holds: a child that has ended is counted too: the kernel adds its time and its octets to the parent that reaped it.

use std::fs;
use std::ops::Sub;
use std::time::Duration;

/// Ticks of /proc's times: USER_HZ, 100 on every Linux.
const TICKS_PER_SECOND: u64 = 100;

/// Processes by their roots; everything below them counts.
#[derive(Clone, Debug)]
pub struct Tree {
    roots: Vec<u32>,
}

/// Since the processes started; the difference of two is what happened between.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time.
    pub cpu: Duration,
    /// Octets that went, or will go, to the disk.
    pub written: u64,
}

impl Sub for Usage {
    type Output = Usage;
    fn sub(self, earlier: Usage) -> Usage {
        Usage {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            written: self.written.saturating_sub(earlier.written),
        }
    }
}

/// Octets of memory now, summed over the tree.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Resident; what processes share counts once for each.
    pub rss: u64,
    /// Resident; what processes share is divided among them.
    pub pss: u64,
    pub processes: usize,
}

struct Stat {
    pid: u32,
    parent: u32,
    ticks: u64,
}

impl Tree {
    pub fn new(roots: Vec<u32>) -> Self {
        Self { roots }
    }

    pub fn usage(&self) -> Usage {
        let members = self.members();
        let ticks: u64 = members.iter().map(|stat| stat.ticks).sum();
        Usage {
            cpu: Duration::from_micros(ticks * 1_000_000 / TICKS_PER_SECOND),
            written: members
                .iter()
                .map(|stat| number_after(stat.pid, "io", "write_bytes:"))
                .sum(),
        }
    }

    pub fn memory(&self) -> Memory {
        let mut memory = Memory::default();
        for stat in self.members() {
            memory.rss += number_after(stat.pid, "status", "VmRSS:") * 1024;
            memory.pss += number_after(stat.pid, "smaps_rollup", "Pss:") * 1024;
            memory.processes += 1;
        }
        memory
    }

    fn members(&self) -> Vec<Stat> {
        let all: Vec<Stat> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter_map(stat)
            .collect();
        let parent_of = |pid: u32| {
            all.iter()
                .find(|stat| stat.pid == pid)
                .map(|stat| stat.parent)
        };
        let below = |pid: u32| {
            let mut at = Some(pid);
            while let Some(pid) = at.filter(|pid| *pid > 1) {
                if self.roots.contains(&pid) {
                    return true;
                }
                at = parent_of(pid);
            }
            false
        };
        let pids: Vec<u32> = all
            .iter()
            .map(|stat| stat.pid)
            .filter(|pid| below(*pid))
            .collect();
        all.into_iter()
            .filter(|stat| pids.contains(&stat.pid))
            .collect()
    }
}

/// Reads /proc/PID/stat (proc(5)): the name may hold spaces and parentheses, so fields are counted after the last `)`.
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    // utime, stime, cutime, cstime are the fields 14 to 17 of the page, of which 3 is the first here.
    let ticks = (11..15).map(number).sum::<Option<u64>>()?;
    Some(Stat {
        pid,
        parent: number(1)? as u32,
        ticks,
    })
}

fn number_after(pid: u32, file: &str, label: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
