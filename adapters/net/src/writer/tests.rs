use std::time::Duration;

use tokio::io::{AsyncReadExt, duplex};

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const PACE: Pace = Pace {
    stall: Duration::from_secs(20),
    grace: Duration::from_secs(60),
    rate_min: 100,
};

#[tokio::test]
async fn both_arrive_in_order() {
    let lengths = [
        0,
        1,
        WRITE_CHUNK_MAX,
        WRITE_CHUNK_MAX + 1,
        3 * WRITE_CHUNK_MAX,
    ];
    for first in lengths {
        for second in lengths {
            let (mut io, mut peer) = duplex(10_000);
            let (one, two) = (vec![1; first], vec![2; second]);
            let want = [&one[..], &two[..]].concat();
            let mut got = Vec::new();
            let write = async move { write_both(&mut io, &one, &two, PACE).await };
            let (written, read) = tokio::join!(write, peer.read_to_end(&mut got));
            written.unwrap();
            read.unwrap();
            assert_eq!(got, want, "{first} {second}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_reads() {
    let (mut io, _peer) = duplex(1000);
    let started = Instant::now();
    let error = write_all(&mut io, &[0; 2000], PACE).await.unwrap_err();
    assert!(matches!(error, WriteError::TooSlow), "{error}");
    assert_eq!(started.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_too_slowly() {
    let (mut io, mut peer) = duplex(10);
    let reader = async {
        loop {
            peer.read_u8().await.unwrap();
            tokio::time::sleep(SECOND).await;
        }
    };
    let started = Instant::now();
    tokio::select! {
        () = reader => {}
        result = write_all(&mut io, &[0; 2000], PACE) => {
            assert!(matches!(result, Err(WriteError::TooSlow)));
        }
    }
    assert_eq!(started.elapsed().as_secs(), 60);
}

#[tokio::test]
async fn a_peer_that_has_gone() {
    let (mut io, peer) = duplex(10);
    drop(peer);
    let error = write_all(&mut io, b"hello", PACE).await.unwrap_err();
    assert!(matches!(error, WriteError::Closed), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_guarded_stream_fails_by_itself() {
    let (io, mut peer) = duplex(1000);
    let mut guarded = StallGuard::new(io, PACE);
    guarded.write_all(&[0; 1000]).await.unwrap();
    let started = Instant::now();
    let error = guarded.write_all(&[0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(started.elapsed().as_secs(), 20);
    // It counts again from the start once the peer has taken something.
    peer.read_exact(&mut [0; 500]).await.unwrap();
    guarded.write_all(&[0; 500]).await.unwrap();
    let started = Instant::now();
    assert!(guarded.write_all(&[0; 1]).await.is_err());
    assert_eq!(started.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_guarded_stream_fails_when_its_peer_takes_too_little() {
    let (io, mut peer) = duplex(10);
    let mut guarded = StallGuard::new(io, PACE);
    // What nobody waits for may take as long as it likes.
    for _ in 0..10 {
        guarded.write_all(&[0; 10]).await.unwrap();
        peer.read_exact(&mut [0; 10]).await.unwrap();
        tokio::time::sleep(PACE.grace).await;
    }
    let reader = async {
        loop {
            peer.read_u8().await.unwrap();
            tokio::time::sleep(PACE.stall / 2).await;
        }
    };
    let started = Instant::now();
    let error = tokio::select! {
        () = reader => unreachable!(),
        result = guarded.write_all(&[0; 2000]) => result.unwrap_err(),
    };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    let passed = started.elapsed();
    assert!(passed <= PACE.grace + SECOND, "{passed:?}");
    assert!(passed > PACE.grace - SECOND, "{passed:?}");
}
