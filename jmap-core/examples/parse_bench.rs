//! How long a mail of the corpus takes to parse: `cargo run --release --example parse_bench`.
//! Holds: reads files only, prints microseconds a mail.
//! Other half: `mail::message`, which it measures.

use jmap_core::mail::message::{Summary, WireStructure, search_text};
use std::path::PathBuf;
use std::time::Instant;

/// Rounds over all mails for each row.
const ROUNDS: usize = 3;

fn main() {
    let root = std::env::var_os("POSTHORN_CORPUS").map_or("../shared/corpus".into(), PathBuf::from);
    let mails = read_all(root);
    if mails.is_empty() {
        println!("no mails: set POSTHORN_CORPUS");
        return;
    }
    let octets: usize = mails.iter().map(Vec::len).sum();
    println!(
        "{} mails, {} octets on average",
        mails.len(),
        octets / mails.len()
    );

    let mut encoded = 0;
    measure("parse", &mails, |raw| Summary::parse(raw).parts.len());
    measure("parse and encode", &mails, |raw| {
        Summary::parse(raw).encode().len()
    });
    measure("parse with text", &mails, |raw| {
        Summary::parse_with_text(raw).1.body.len()
    });
    let summaries: Vec<(Summary, &Vec<u8>)> =
        mails.iter().map(|raw| (Summary::parse(raw), raw)).collect();
    measure("search text", &summaries, |(summary, raw)| {
        search_text(raw, summary).body.len()
    });
    measure("structure", &summaries, |(summary, raw)| {
        WireStructure::new(raw, summary).encode().len()
    });
    let records: Vec<Vec<u8>> = summaries
        .iter()
        .map(|(summary, _)| summary.encode())
        .collect();
    measure("decode", &records, |record| {
        Summary::decode(record).map_or(0, |summary| summary.parts.len())
    });
    for record in &records {
        encoded += record.len();
    }
    println!("{} octets a record on average", encoded / records.len());
}

fn measure<T>(name: &str, items: &[T], work: impl Fn(&T) -> usize) {
    let start = Instant::now();
    let mut sum = 0;
    for _ in 0..ROUNDS {
        sum += items.iter().map(&work).sum::<usize>();
    }
    let each = start.elapsed().as_secs_f64() * 1e6 / (items.len() * ROUNDS) as f64;
    println!("{name:18} {each:8.2} µs ({})", sum / ROUNDS);
}

fn read_all(root: PathBuf) -> Vec<Vec<u8>> {
    let mut mails = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => folders.push(path),
                false => mails.extend(std::fs::read(path)),
            }
        }
    }
    mails
}
