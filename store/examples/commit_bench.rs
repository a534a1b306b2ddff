//! Measures synced commits: `cargo run --release --example commit_bench [FOLDER|URL] [SECONDS]`.
//!
//! In a folder it is RocksDB; a URL is that of an empty SQL database.
//!
//! A row for each number of writers and size of value: commits a second, and the processor
//! time of the whole process for one commit.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use store::engine::{
    Batch, Engine, RocksEngine, RocksOptions, SplitMix64,
    sql::{SqlOptions, open_sql},
};

const WRITERS: [usize; 3] = [1, 8, 64];
const VALUE_OCTETS: [usize; 2] = [1000, 20_000];

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args().skip(1);
    let place = arguments.next();
    let url = place.as_ref().filter(|place| place.contains(':'));
    let folder = place
        .as_ref()
        .map_or_else(|| env::temp_dir().join("commit_bench"), PathBuf::from);
    let seconds = arguments.next().map_or(Ok(3), |seconds| seconds.parse())?;
    println!("writers  octets  commits/s  processor µs/commit");
    for octets in VALUE_OCTETS {
        for writers in WRITERS {
            let path = folder.join(format!("{writers}-{octets}"));
            let engine = match url {
                Some(url) => open_sql(&SqlOptions::new(url), Path::new("")).await?,
                None => RocksEngine::open(&path, &RocksOptions::default())?,
            };
            let (commits, processor) = measure(&engine, writers, octets, seconds).await?;
            if url.is_some() {
                let mut batch = Batch::new();
                batch.delete_range(Vec::new()..vec![0xff; 8]);
                engine.commit(batch).await?;
            }
            drop(engine);
            if url.is_none() {
                fs::remove_dir_all(&path)?;
            }
            println!(
                "{writers:7}  {octets:6}  {:9}  {:19.1}",
                commits / seconds,
                processor.as_secs_f64() * 1e6 / commits as f64,
            );
        }
    }
    Ok(())
}

/// How many commits were made in `seconds`, and the processor time that they took.
async fn measure(
    engine: &Arc<dyn Engine>,
    writers: usize,
    octets: usize,
    seconds: u64,
) -> Result<(u64, Duration), Box<dyn std::error::Error>> {
    let stop = Arc::new(AtomicBool::new(false));
    let commits = Arc::new(AtomicU64::new(0));
    let value = half_random(octets);
    let before = (Instant::now(), processor_time()?);
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..writers {
        let (engine, value) = (engine.clone(), value.clone());
        let (stop, commits) = (stop.clone(), commits.clone());
        tasks.spawn(async move {
            for number in 0_u64.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let key = [&(writer as u64).to_be_bytes()[..], &number.to_be_bytes()].concat();
                let mut batch = Batch::new();
                batch.put(key, value.clone()).add(b"count".to_vec(), 1);
                engine.commit(batch).await.expect("a commit");
                commits.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    stop.store(true, Ordering::Relaxed);
    tasks.join_all().await;
    let factor = seconds as f64 / before.0.elapsed().as_secs_f64();
    let processor = processor_time()? - before.1;
    Ok((
        (commits.load(Ordering::Relaxed) as f64 * factor) as u64,
        processor.mul_f64(factor),
    ))
}

/// Octets that compress like a mail: by about a half.
fn half_random(octets: usize) -> bytes::Bytes {
    let mut dice = SplitMix64(1);
    (0..octets)
        .map(|at| {
            if at % 2 == 0 {
                b'x'
            } else {
                dice.next_u64() as u8
            }
        })
        .collect()
}

/// User and system time of this process, from proc(5): fields 14 and 15 in 1/100 s.
fn processor_time() -> Result<Duration, Box<dyn std::error::Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let after_name = stat
        .rsplit_once(')')
        .ok_or("proc(5) has a name in parentheses")?
        .1;
    let ticks = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse::<u64>);
    Ok(Duration::from_millis(10 * ticks.sum::<Result<u64, _>>()?))
}
