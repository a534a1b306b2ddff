//! Measures the search index: CPU time to index a folder of mails, and to answer queries.
//!
//! `cargo run --release -p store --example search_bench -- [folder of mails] [batch size]`
//! Without a folder, `POSTHORN_CORPUS` or `../shared/corpus` is read. Bodies aren't decoded: whatever
//! follows the header is taken for text.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use store::search::{
    Change, Document, DocumentKey, DocumentText, Field, Needle, Place, Query, Scope, SearchIndex,
    SearchOptions,
};

/// Linux counts CPU time in hundredths of a second.
const TICK_MS: f64 = 10.0;
const ACCOUNT: u64 = 1;
const KIND: u8 = 1;
/// So many messages are searched; the corpus is repeated until there are enough.
const SEARCHED_DOCUMENTS: usize = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let corpus = arguments
        .next()
        .or_else(|| std::env::var("POSTHORN_CORPUS").ok())
        .unwrap_or_else(|| "../shared/corpus".to_owned());
    let batch = arguments.next().map_or(Ok(300), |size| size.parse())?;
    let mails = read_mails(Path::new(&corpus))?;
    println!("{} mails, batches of {batch}", mails.len());
    let folder = std::env::temp_dir().join(format!("search-bench-{}", std::process::id()));
    let index = SearchIndex::open(&folder, &SearchOptions::default())?;
    let outcome = run(&index, &mails, batch);
    fs::remove_dir_all(&folder)?;
    outcome
}

fn run(index: &SearchIndex, mails: &[DocumentText], batch: usize) -> Result<(), Box<dyn Error>> {
    let shard = index.shard_of(ACCOUNT);
    let mut id = 0;
    measured(&format!("index {} mails", mails.len()), mails.len(), || {
        write(index, mails, batch, &mut id)
    })?;
    println!("{:?}, {} MB resident", index.stats(shard)?, resident_mb()?);
    while id < SEARCHED_DOCUMENTS as u64 {
        let some = mails.len().min(SEARCHED_DOCUMENTS - id as usize);
        write(index, &mails[..some], batch, &mut id)?;
    }
    println!("{:?}, {} MB resident", index.stats(shard)?, resident_mb()?);
    for (scope, text) in [
        (Scope::Any, "linux"),
        (Scope::Any, "the"),
        (Scope::Any, "perl module install"),
        (Scope::Any, "\"the following\""),
        (Scope::Any, "xyzzy"),
        (Scope::Field(Field::Subject), "re"),
        (Scope::Field(Field::From), "example.com"),
        (Scope::Any, "spamassassin-talk@lists.sourceforge.net"),
    ] {
        let query = Query::text(scope, text);
        let hits = index.search(ACCOUNT, KIND, &query, usize::MAX)?.ids.len();
        measured(&format!("{text:?}, {hits} hits"), 1000, || {
            for _ in 0..1000 {
                index.search(ACCOUNT, KIND, &query, usize::MAX)?;
            }
            Ok(())
        })?;
    }
    for text in [
        "linux",
        "the",
        "perl module",
        "spamassassin-talk@lists",
        "e",
        "xyzzy",
    ] {
        let needle = Needle::new(text);
        let ask = || index.containing(ACCOUNT, KIND, &needle, Place::Anywhere);
        let found = ask()?.unwrap_or_default();
        let (certain, possible) = (found.certain.len(), found.possible.len());
        let name = format!("containing {text:?}, {certain} certain, {possible} possible");
        measured(&name, 200, || {
            for _ in 0..200 {
                ask()?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn write(
    index: &SearchIndex,
    mails: &[DocumentText],
    batch: usize,
    id: &mut u64,
) -> Result<(), Box<dyn Error>> {
    for mails in mails.chunks(batch.max(1)) {
        let changes = mails.iter().map(|text| {
            let key = DocumentKey {
                account: ACCOUNT,
                kind: KIND,
                id: *id,
            };
            *id += 1;
            Change::Upsert(Document {
                key,
                text: text.clone(),
            })
        });
        index.apply(index.shard_of(ACCOUNT), changes.collect())?;
    }
    Ok(())
}

/// Runs, and prints CPU and elapsed time for each of `count`.
fn measured(
    name: &str,
    count: usize,
    run: impl FnOnce() -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let (cpu, start) = (cpu_ms()?, Instant::now());
    run()?;
    let elapsed = start.elapsed().as_secs_f64() * 1000.0 / count as f64;
    let cpu = (cpu_ms()? - cpu) / count as f64;
    println!("{name}: {cpu:.4} ms CPU each, {elapsed:.4} ms elapsed");
    Ok(())
}

/// CPU time of this process, user and system.
fn cpu_ms() -> Result<f64, Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("stat has no name")?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks = ticks.map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    Ok(ticks * TICK_MS)
}

fn resident_mb() -> Result<u64, Box<dyn Error>> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm
        .split_whitespace()
        .nth(1)
        .ok_or("statm is short")?
        .parse()?;
    Ok(pages * 4096 / 1_000_000)
}

fn read_mails(folder: &Path) -> Result<Vec<DocumentText>, Box<dyn Error>> {
    let mut files: Vec<PathBuf> = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    files.sort();
    files
        .iter()
        .map(|file| Ok(roughly_parsed(&String::from_utf8_lossy(&fs::read(file)?))))
        .collect()
}

fn roughly_parsed(mail: &str) -> DocumentText {
    let end = [mail.find("\n\n"), mail.find("\r\n\r\n")]
        .into_iter()
        .flatten()
        .min();
    let (header, body) = mail.split_at(end.unwrap_or(mail.len()));
    let mut text = DocumentText::default();
    for line in header.lines() {
        text.rest_header.push(line.to_owned());
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "from" => text.push(Field::From, value),
            "to" => text.push(Field::To, value),
            "cc" => text.push(Field::Cc, value),
            "subject" => text.push(Field::Subject, value),
            "list-id" => text.push_header(name, value),
            _ => {}
        }
    }
    text.push(Field::Body, body);
    text
}
