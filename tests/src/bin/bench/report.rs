//! The tables: each line one measurement, ours, the peer's, and what the one is of the other.

use std::fmt;
use std::time::Duration;

use crate::measure::Measured;
use crate::proc::Memory;

#[derive(Default)]
pub struct Report {
    ingest: Vec<(String, Option<Measured>, Option<Measured>)>,
    reading: Vec<(String, Option<Measured>, Option<Measured>)>,
    memory: Vec<(String, Option<Memory>, Option<Memory>)>,
}

impl Report {
    pub fn ingest(&mut self, name: String, ours: Option<Measured>, peer: Option<Measured>) {
        self.ingest.push((name, ours, peer));
    }

    pub fn reading(&mut self, name: String, ours: Option<Measured>, peer: Option<Measured>) {
        self.reading.push((name, ours, peer));
    }

    pub fn memory(&mut self, name: String, ours: Option<Memory>, peer: Option<Memory>) {
        self.memory.push((name, ours, peer));
    }
}

/// One column: its head, and what it shows of a measurement.
type Column<T> = (&'static str, fn(&T) -> f64);

const INGEST: &[Column<Measured>] = &[
    ("CPU ms/message", cpu_ms),
    ("messages/s", per_second),
    ("p50 ms", |m| ms(m.p50)),
    ("p99 ms", |m| ms(m.p99)),
    ("KB written/message", |m| {
        m.written as f64 / 1024.0 / operations(m)
    }),
    ("MB at most", |m| mb(m.memory_max)),
    ("refused", |m| m.refused as f64),
];

const READING: &[Column<Measured>] = &[
    ("CPU ms/operation", cpu_ms),
    ("operations/s", per_second),
    ("p50 ms", |m| ms(m.p50)),
    ("p99 ms", |m| ms(m.p99)),
    ("KB sent/operation", |m| {
        m.sent as f64 / 1024.0 / operations(m)
    }),
    ("MB at most", |m| mb(m.memory_max)),
];

const MEMORY: &[Column<Memory>] = &[
    ("MB PSS", |m| mb(m.pss)),
    ("MB RSS", |m| mb(m.rss)),
    ("processes", |m| m.processes as f64),
];

fn operations(measured: &Measured) -> f64 {
    measured.operations.max(1) as f64
}

fn cpu_ms(measured: &Measured) -> f64 {
    ms(measured.cpu) / operations(measured)
}

fn per_second(measured: &Measured) -> f64 {
    measured.operations as f64 / measured.wall.as_secs_f64().max(1e-9)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn mb(octets: u64) -> f64 {
    octets as f64 / f64::from(1 << 20)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "Each cell: ours / peer (ours : peer).\n")?;
        table(
            f,
            "Ingest (peer: Dovecot for LMTP, Postfix and Dovecot for SMTP)",
            INGEST,
            &self.ingest,
        )?;
        table(
            f,
            "Reading (JMAP; peer: Dovecot over IMAP)",
            READING,
            &self.reading,
        )?;
        table(f, "Memory", MEMORY, &self.memory)
    }
}

fn table<T>(
    f: &mut fmt::Formatter,
    title: &str,
    columns: &[Column<T>],
    rows: &[(String, Option<T>, Option<T>)],
) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    let mut cells: Vec<Vec<String>> = vec![vec![title.to_owned()]];
    cells[0].extend(columns.iter().map(|(head, _)| (*head).to_owned()));
    for (name, ours, peer) in rows {
        let mut line = vec![name.clone()];
        line.extend(
            columns
                .iter()
                .map(|(_, value)| cell(ours.as_ref().map(value), peer.as_ref().map(value))),
        );
        cells.push(line);
    }
    let width = |at: usize| {
        cells
            .iter()
            .map(|line| line[at].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..=columns.len()).map(width).collect();
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

fn cell(ours: Option<f64>, peer: Option<f64>) -> String {
    let show = |value: Option<f64>| value.map_or("-".into(), short);
    let ratio = match (ours, peer) {
        (Some(ours), Some(peer)) if peer > 0.0 => format!(" ({:.2})", ours / peer),
        _ => String::new(),
    };
    format!("{} / {}{ratio}", show(ours), show(peer))
}

/// Three digits that matter.
fn short(value: f64) -> String {
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

    fn check(ours: Option<f64>, peer: Option<f64>, want: &str) {
        assert_eq!(cell(ours, peer), want);
    }

    #[test]
    fn cells() {
        check(Some(1.0), Some(4.0), "1.00 / 4.00 (0.25)");
        check(Some(123.4), None, "123 / -");
        check(None, Some(0.0512), "- / 0.051");
        check(Some(0.0), Some(0.0), "0 / 0");
    }
}
