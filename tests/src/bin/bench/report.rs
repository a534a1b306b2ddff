//! The table: each line one measurement, ours, the peer's, what the one is of the other, and the target.

use std::fmt;
use std::time::Duration;

use crate::measure::Measured;
use crate::proc::Memory;

#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
    failures: Vec<String>,
}

/// One line.
struct Row {
    name: String,
    unit: &'static str,
    ours: Option<f64>,
    peer: Option<f64>,
    target: Option<Target>,
    /// Of ours and the peer's, what else was seen.
    more: Vec<String>,
}

/// What ours is to be at the most.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// So much of what the peer needs.
    OfPeer(f64),
    /// In the line's unit.
    AtMost(f64),
    /// So many times what an earlier measurement gave.
    Times(f64, f64),
}

/// Heads of `Row::more`.
const MORE: [&str; 5] = [
    "p50 ms",
    "p99 ms",
    "a second",
    "KB written or sent",
    "MB at most",
];

impl Report {
    /// What a server has done: CPU an operation. Returns ours.
    pub fn work(
        &mut self,
        name: String,
        ours: Option<Measured>,
        peer: Option<Measured>,
        target: Option<Target>,
    ) -> Option<f64> {
        let show =
            |value: fn(&Measured) -> f64| pair(ours.as_ref().map(value), peer.as_ref().map(value));
        let more = vec![
            show(|m| ms(m.p50)),
            show(|m| ms(m.p99)),
            show(per_second),
            show(kb_each),
            show(|m| mb(m.memory_max)),
        ];
        let cpu = ours.as_ref().map(cpu_ms);
        let mut refused = |who: &str, measured: &Option<Measured>| {
            let count = measured.as_ref().map_or(0, |measured| measured.refused);
            if count > 0 {
                self.failures
                    .push(format!("{name}: {who} refused {count} messages"));
            }
        };
        refused("our server", &ours);
        refused("the peer", &peer);
        self.rows.push(Row {
            name,
            unit: "CPU ms",
            ours: cpu,
            peer: peer.as_ref().map(cpu_ms),
            target,
            more,
        });
        cpu
    }

    /// A number with a target of its own.
    pub fn number(&mut self, name: String, unit: &'static str, ours: f64, target: Target) {
        self.rows.push(Row {
            name,
            unit,
            ours: Some(ours),
            peer: None,
            target: Some(target),
            more: Vec::new(),
        });
    }

    /// Memory of all processes, what they share divided among them.
    pub fn memory(
        &mut self,
        name: String,
        ours: Option<Memory>,
        peer: Option<Memory>,
        target: Option<Target>,
    ) {
        self.rows.push(Row {
            name,
            unit: "MB",
            ours: ours.map(|memory| mb(memory.pss)),
            peer: peer.map(|memory| mb(memory.pss)),
            target,
            more: Vec::new(),
        });
    }

    /// Memory of one of `count` clients.
    pub fn memory_each(
        &mut self,
        name: String,
        count: usize,
        ours: Option<Memory>,
        peer: Option<Memory>,
    ) {
        let kb = |memory: Memory| memory.pss as f64 / 1024.0 / count.max(1) as f64;
        self.rows.push(Row {
            name,
            unit: "KB",
            ours: ours.map(kb),
            peer: peer.map(kb),
            target: None,
            more: Vec::new(),
        });
    }

    /// What could not be measured, and why.
    pub fn failure(&mut self, what: impl Into<String>) {
        let what = what.into();
        crate::say(&format!("FAILED: {what}"));
        self.failures.push(what);
    }

    /// The outcome of a part; a failure is noted.
    pub fn noted<T>(&mut self, what: &str, result: Result<T, crate::Fail>) -> Option<T> {
        result
            .map_err(|error| self.failure(format!("{what}: {error}")))
            .ok()
    }

    pub fn has_failures(&self) -> bool {
        !self.failures.is_empty()
    }
}

impl Target {
    /// What ours may be, and how the target is written.
    fn limit(self, peer: Option<f64>) -> (Option<f64>, String) {
        match self {
            Target::OfPeer(share) => (
                peer.map(|peer| peer * share),
                format!("{} of the peer", short(share)),
            ),
            Target::AtMost(limit) => (Some(limit), short(limit)),
            Target::Times(times, base) => (
                Some(times * base),
                format!("{} times {}", short(times), short(base)),
            ),
        }
    }
}

fn operations(measured: &Measured) -> f64 {
    measured.operations.max(1) as f64
}

fn cpu_ms(measured: &Measured) -> f64 {
    ms(measured.cpu) / operations(measured)
}

fn kb_each(measured: &Measured) -> f64 {
    let octets = measured.written.max(measured.sent);
    octets as f64 / 1024.0 / operations(measured)
}

fn per_second(measured: &Measured) -> f64 {
    measured.operations as f64 / measured.wall.as_secs_f64().max(1e-9)
}

pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

pub fn mb(octets: u64) -> f64 {
    octets as f64 / f64::from(1 << 20)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let heads = ["", "unit", "ours", "peer", "ours : peer", "target", ""];
        let mut cells: Vec<Vec<String>> = vec![heads.iter().map(|head| (*head).into()).collect()];
        cells[0].extend(MORE.iter().map(|head| (*head).into()));
        for row in &self.rows {
            let mut line = row.cells();
            line.resize(cells[0].len(), String::new());
            cells.push(line);
        }
        writeln!(
            f,
            "CPU is an operation's, of all processes of a server. Peer: Dovecot (IMAP, LMTP); for SMTP Postfix before it.\n"
        )?;
        table(f, &cells)?;
        for failure in &self.failures {
            writeln!(f, "failed: {failure}")?;
        }
        Ok(())
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let show = |value: Option<f64>| value.map_or("-".into(), short);
        let ratio = match (self.ours, self.peer) {
            (Some(ours), Some(peer)) if peer > 0.0 => format!("{:.2}", ours / peer),
            _ => String::new(),
        };
        let (limit, target) = match self.target {
            Some(target) => target.limit(self.peer),
            None => (None, String::new()),
        };
        let verdict = match (self.ours, limit) {
            (Some(ours), Some(limit)) if ours <= limit => "met",
            (Some(_), Some(_)) => "MISSED",
            _ => "",
        };
        let mut cells = vec![
            self.name.clone(),
            self.unit.into(),
            show(self.ours),
            show(self.peer),
            ratio,
            target,
            verdict.into(),
        ];
        cells.extend(self.more.iter().cloned());
        cells
    }
}

pub fn table(f: &mut fmt::Formatter, cells: &[Vec<String>]) -> fmt::Result {
    let width = |at: usize| {
        let lines = cells.iter();
        lines
            .map(|line| line[at].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..cells[0].len()).map(width).collect();
    for (n, line) in cells.iter().enumerate() {
        let padded: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        writeln!(f, "| {} |", padded.join(" | "))?;
        if n == 0 {
            let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            writeln!(f, "| {} |", rules.join(" | "))?;
        }
    }
    writeln!(f)
}

fn pair(ours: Option<f64>, peer: Option<f64>) -> String {
    let show = |value: Option<f64>| value.map_or("-".into(), short);
    format!("{} / {}", show(ours), show(peer))
}

/// Three digits that matter.
pub fn short(value: f64) -> String {
    match value {
        v if v >= 100.0 || v == 0.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v if v >= 1.0 => format!("{v:.2}"),
        v => format!("{v:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ours: Option<f64>, peer: Option<f64>, target: Option<Target>, want: &str) {
        let row = Row {
            name: "n".into(),
            unit: "u",
            ours,
            peer,
            target,
            more: Vec::new(),
        };
        assert_eq!(row.cells().join("|"), want);
    }

    #[test]
    fn cells() {
        check(Some(1.0), Some(4.0), None, "n|u|1.00|4.00|0.25||");
        check(Some(123.4), None, None, "n|u|123|-|||");
        check(None, Some(0.0512), None, "n|u|-|0.051|||");
        check(Some(0.0), Some(0.0), None, "n|u|0|0|||");
    }

    #[test]
    fn targets() {
        let quarter = Some(Target::OfPeer(0.25));
        check(
            Some(1.0),
            Some(4.0),
            quarter,
            "n|u|1.00|4.00|0.25|0.250 of the peer|met",
        );
        check(
            Some(1.1),
            Some(4.0),
            quarter,
            "n|u|1.10|4.00|0.28|0.250 of the peer|MISSED",
        );
        check(Some(1.1), None, quarter, "n|u|1.10|-||0.250 of the peer|");
        check(
            Some(61.0),
            Some(9.0),
            Some(Target::AtMost(60.0)),
            "n|u|61.0|9.00|6.78|60.0|MISSED",
        );
        check(
            Some(3.1),
            None,
            Some(Target::Times(1.5, 2.0)),
            "n|u|3.10|-||1.50 times 2.00|MISSED",
        );
        check(
            Some(3.0),
            None,
            Some(Target::Times(1.5, 2.0)),
            "n|u|3.00|-||1.50 times 2.00|met",
        );
    }
}
