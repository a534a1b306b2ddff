use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncWriteExt, ReadBuf, duplex};

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const LINE_PACE: LinePace = LinePace {
    idle: Duration::from_secs(60),
    line: Duration::from_secs(10),
};

/// Gives its input in pieces of the given size.
struct Pieces<'a> {
    input: &'a [u8],
    size: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let size = self.size.min(self.input.len()).min(buffer.remaining());
        let (now, later) = self.input.split_at(size);
        buffer.put_slice(now);
        self.input = later;
        Poll::Ready(Ok(()))
    }
}

/// Xorshift: the same octets for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Octets from `alphabet`, which is where the trouble is.
    fn octets(&mut self, length: usize, alphabet: &[u8]) -> Vec<u8> {
        (0..length)
            .map(|_| alphabet[(self.next() >> 33) as usize % alphabet.len()])
            .collect()
    }
}

fn show(line: Result<Line, ReadError>) -> String {
    match line {
        Ok(line) => {
            let text = String::from_utf8_lossy(&line.octets).into_owned();
            let cr = if line.form.bare_cr { " +cr" } else { "" };
            let lf = if line.form.bare_lf { " +lf" } else { "" };
            format!("{text:?}{cr}{lf}")
        }
        Err(ReadError::LineTooLong(_)) => "long".to_owned(),
        Err(ReadError::Flooded(_)) => "flooded".to_owned(),
        Err(ReadError::Closed) => "closed".to_owned(),
        Err(ReadError::Truncated) => "truncated".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// Reads lines of at most 10 octets to the end, with the input cut in every way.
async fn check_lines(input: &[u8], want: &str) {
    for size in 1..=input.len().max(1) {
        let mut reader = Reader::new(Pieces { input, size });
        let mut lines = Vec::new();
        loop {
            let line = reader.read_line(10, LINE_PACE).await;
            let fatal = matches!(&line, Err(error) if error.is_fatal());
            lines.push(show(line));
            if fatal {
                break;
            }
        }
        let input = String::from_utf8_lossy(input);
        assert_eq!(lines.join(" "), want, "{input:?} in pieces of {size}");
    }
}

#[tokio::test]
async fn lines() {
    check_lines(b"", "closed").await;
    check_lines(b"NOOP\r\nQUIT\r\n", r#""NOOP" "QUIT" closed"#).await;
    check_lines(b"\r\n", r#""" closed"#).await;
    check_lines(b"NOOP", "truncated").await;
    check_lines(b"NOOP\r", "truncated").await;
    check_lines(b"NOOP\nQUIT\r\n", r#""NOOP" +lf "QUIT" closed"#).await;
    check_lines(b"NO\rOP\r\n", r#""NO\rOP" +cr closed"#).await;
    check_lines(b"NOOP\r\r\n", r#""NOOP\r" +cr closed"#).await;
    check_lines(b"NO\rOP\n", r#""NO\rOP" +cr +lf closed"#).await;
    check_lines(b"12345678\r\nx\r\n", r#""12345678" "x" closed"#).await;
    check_lines(b"123456789\r\nx\r\n", r#"long "x" closed"#).await;
    check_lines(b"1234567890123456789012\r\nx\r\n", r#"long "x" closed"#).await;
    check_lines(b"123456789012345", "truncated").await;
}

#[tokio::test]
async fn how_an_over_long_line_began() {
    let input = b"BDAT 7890123456789 LAST\r\nBDAT 8901\r\nx\r\n";
    for size in 1..=input.len() {
        let mut reader = Reader::new(Pieces { input, size });
        assert_eq!(show(reader.read_line(10, LINE_PACE).await), "long");
        let head = reader.long_line_head();
        // What is thrown away at once is at least as much as the limit.
        assert!(head.len() >= 10 && head.len() <= LINE_HEAD_OCTETS);
        assert!(input.starts_with(head), "{size}");
        assert_eq!(show(reader.read_line(10, LINE_PACE).await), "long");
        assert!(reader.long_line_head().starts_with(b"BDAT 8901"), "{size}");
        assert_eq!(show(reader.read_line(10, LINE_PACE).await), "\"x\"");
    }
}

#[tokio::test]
async fn a_line_without_end_is_given_up() {
    let allowed = vec![b'x'; LINE_DISCARD_OCTETS_MAX as usize];
    let input = [&allowed[..], b"\r\nx\r\n"].concat();
    let mut reader = Reader::new(&input[..]);
    assert_eq!(show(reader.read_line(512, LINE_PACE).await), "long");
    assert_eq!(show(reader.read_line(512, LINE_PACE).await), "\"x\"");

    let mut reader = Reader::new(tokio::io::repeat(b'x'));
    assert_eq!(show(reader.read_line(512, LINE_PACE).await), "flooded");
    assert!(reader.buffer.capacity() <= 2 * READ_CHUNK_MAX);
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_idle() {
    let (io, _peer) = duplex(64);
    let mut reader = Reader::new(io);
    let started = Instant::now();
    let error = reader.read_line(512, LINE_PACE).await.unwrap_err();
    assert!(matches!(error, ReadError::Idle), "{error}");
    assert_eq!(started.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_slow_line_is_cut_off_however_often_the_read_is_dropped() {
    let (io, mut peer) = duplex(64);
    let sender = async {
        loop {
            peer.write_all(b"x").await.unwrap();
            tokio::time::sleep(SECOND).await;
        }
    };
    let receiver = async {
        let mut reader = Reader::new(io);
        let started = Instant::now();
        loop {
            let line = reader.read_line(512, LINE_PACE);
            let Ok(result) = tokio::time::timeout(SECOND * 3, line).await else {
                continue;
            };
            let error = result.unwrap_err();
            assert!(matches!(error, ReadError::TooSlow), "{error}");
            return started.elapsed().as_secs();
        }
    };
    tokio::select! {
        () = sender => {}
        seconds = receiver => assert_eq!(seconds, 10),
    }
}

#[tokio::test]
async fn dropping_a_read_loses_nothing() {
    let (io, mut peer) = duplex(64);
    let mut reader = Reader::new(io);
    peer.write_all(b"NO").await.unwrap();
    let millisecond = Duration::from_millis(1);
    let line = tokio::time::timeout(millisecond, reader.read_line(512, LINE_PACE)).await;
    assert!(line.is_err());
    assert!(reader.has_buffered() && !reader.has_line());
    peer.write_all(b"OP\r\nQUIT\r\n").await.unwrap();
    assert_eq!(show(reader.read_line(512, LINE_PACE).await), "\"NOOP\"");
    assert!(reader.has_buffered() && reader.has_line());
    assert_eq!(show(reader.read_line(512, LINE_PACE).await), "\"QUIT\"");
    assert!(!reader.has_buffered() && !reader.has_line());
}

const DATA_LIMITS: DataLimits = DataLimits {
    size_max: 1000,
    discard_max: 1000,
    pace: Pace::DATA,
};

/// Reads data, and gives it with what follows it: `content|rest`, with its form.
async fn data_in_pieces(input: &[u8], size: usize, limits: DataLimits) -> String {
    let mut reader = Reader::new(Pieces { input, size });
    let result = reader.read_data(limits).await;
    let mut rest = Vec::new();
    let (mut io, ahead) = reader.into_parts();
    rest.extend_from_slice(&ahead);
    io.read_to_end(&mut rest).await.unwrap();
    let rest = rest.escape_ascii();
    match result {
        Ok(data) => {
            let cr = if data.form.bare_cr { " +cr" } else { "" };
            let lf = if data.form.bare_lf { " +lf" } else { "" };
            format!("{}|{rest}{cr}{lf}", data.octets.escape_ascii())
        }
        Err(ReadError::TooLarge(_)) => format!("large|{rest}"),
        Err(ReadError::Flooded(_)) => "flooded".to_owned(),
        Err(error) => error.to_string(),
    }
}

async fn check_data(input: &[u8], want: &str) {
    for size in 1..=input.len() {
        let got = data_in_pieces(input, size, DATA_LIMITS).await;
        let input = input.escape_ascii();
        assert_eq!(got, want, "{input} in pieces of {size}");
    }
}

const CUT: &str = "the peer has closed the connection in the middle of something";

#[tokio::test]
async fn data() {
    check_data(b".\r\n", "|").await;
    check_data(b".\r\nQUIT\r\n", r"|QUIT\r\n").await;
    check_data(b"a\r\n.\r\nQUIT\r\n", r"a\r\n|QUIT\r\n").await;
    check_data(b"\r\n.\r\n", r"\r\n|").await;
    check_data(b"..\r\n..a\r\n.b\r\n.\r\n", r".\r\n.a\r\nb\r\n|").await;
    check_data(b"a.\r\n.\r\n", r"a.\r\n|").await;
    check_data(b"...\r\n.\r\n.\r\n", r"..\r\n|.\r\n").await;
    check_data(b"a\r\n", CUT).await;
    check_data(b"a\r\n.", CUT).await;
    check_data(b"a\r\n.\r", CUT).await;
}

#[tokio::test]
async fn smuggled_ends_are_content() {
    check_data(b"a\n.\nMAIL\r\n.\r\n", r"a\n.\nMAIL\r\n| +lf").await;
    check_data(b"a\n.\r\nMAIL\r\n.\r\n", r"a\n.\r\nMAIL\r\n| +lf").await;
    check_data(b"a\r.\rMAIL\r\n.\r\n", r"a\r.\rMAIL\r\n| +cr").await;
    check_data(b"a\r.\r\nMAIL\r\n.\r\n", r"a\r.\r\nMAIL\r\n| +cr").await;
    check_data(b"a\r\n.\nMAIL\r\n.\r\n", r"a\r\n\nMAIL\r\n| +lf").await;
    check_data(b"a\r\n.\rMAIL\r\n.\r\n", r"a\r\n\rMAIL\r\n| +cr").await;
    check_data(b"a\r\n.\r\r\nMAIL\r\n.\r\n", r"a\r\n\r\r\nMAIL\r\n| +cr").await;
    check_data(b"a\r\r\n.\r\nb", r"a\r\r\n|b +cr").await;
    check_data(b"\n.\r\n.\r\n", r"\n.\r\n| +lf").await;
    check_data(b"\r.\r\n.\r\n", r"\r.\r\n| +cr").await;
    check_data(b".\n.\r\n.\r\n", r"\n.\r\n| +lf").await;
}

/// What the reader does, said in the slowest and plainest way.
fn plainly(input: &[u8]) -> Option<(Vec<u8>, usize)> {
    let end = if input.starts_with(b".\r\n") {
        0
    } else {
        let pattern = b"\r\n.\r\n";
        input.windows(5).position(|window| window == pattern)? + 2
    };
    let mut output = Vec::new();
    for (at, octet) in input[..end].iter().enumerate() {
        let line_start = at == 0 || input[..at].ends_with(b"\r\n");
        if !(line_start && *octet == b'.') {
            output.push(*octet);
        }
    }
    Some((output, end + 3))
}

#[test]
fn any_octets_in_any_pieces() {
    for seed in 1..3000u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let input = random.octets(60, b"\r\r\n\n..a");
        let mut unstuffer = Unstuffer::new(u64::MAX);
        let (mut output, mut position, mut ended) = (Vec::new(), 0, false);
        while position < input.len() && !ended {
            let size = 1 + random.next() as usize % 9;
            let piece = &input[position..input.len().min(position + size)];
            let progress = unstuffer.feed(piece, &mut output);
            position += progress.consumed;
            ended = progress.ended;
        }
        match plainly(&input) {
            Some((want, end)) => {
                assert!(ended, "seed {seed}");
                assert_eq!((output, position), (want, end), "seed {seed}");
            }
            None => assert!(!ended, "seed {seed}"),
        }
    }
}

#[tokio::test]
async fn random_octets_never_panic() {
    for seed in 1..200u64 {
        let mut random = Random(seed);
        let input = random.octets(3000, &(0..=255).collect::<Vec<u8>>());
        let size = 1 + random.next() as usize % 50;
        let mut reader = Reader::new(Pieces {
            input: &input,
            size,
        });
        for _ in 0..100 {
            let fatal = match random.next() % 3 {
                0 => reader
                    .read_line(20, LINE_PACE)
                    .await
                    .is_err_and(|e| e.is_fatal()),
                1 => reader.read_exact(7, 10, Pace::DATA).await.is_err(),
                _ => reader
                    .discard(random.next() % 30, Pace::DATA)
                    .await
                    .is_err(),
            };
            if fatal {
                break;
            }
        }
        let _ = reader.read_data(DATA_LIMITS).await;
    }
}

#[tokio::test]
async fn data_one_past_the_limit() {
    let message = |size: usize| [&vec![b'a'; size - 2][..], b"\r\n.\r\nQUIT"].concat();
    for size in [1, 100, 5000] {
        let got = data_in_pieces(&message(1000), size, DATA_LIMITS).await;
        assert!(got.ends_with(r"aa\r\n|QUIT"), "{got}");
        let got = data_in_pieces(&message(1001), size, DATA_LIMITS).await;
        assert_eq!(got, "large|QUIT");
        let got = data_in_pieces(&message(1990), size, DATA_LIMITS).await;
        assert_eq!(got, "large|QUIT");
    }
    let got = data_in_pieces(&message(3000), 100, DATA_LIMITS).await;
    assert_eq!(got, "flooded");
}

#[tokio::test(start_paused = true)]
async fn slow_data_is_cut_off() {
    let pace = Pace {
        stall: SECOND * 20,
        grace: SECOND * 100,
        rate_min: 10,
    };
    // Octets, sent every so many seconds, and after how long that is too slow.
    for (octets, every, want) in [
        (1, 10, Some(100)),
        (50, 10, Some(200)),
        (1, 30, Some(20)),
        (100, 10, None),
    ] {
        let (io, mut peer) = duplex(1024);
        let sender = async {
            for _ in 0..100 {
                peer.write_all(&vec![b'a'; octets]).await.unwrap();
                tokio::time::sleep(SECOND * every).await;
            }
            peer.write_all(b"\r\n.\r\n").await.unwrap();
            std::future::pending::<()>().await
        };
        let limits = DataLimits {
            size_max: 1 << 20,
            pace,
            ..DATA_LIMITS
        };
        let mut reader = Reader::new(io);
        let started = Instant::now();
        let result = tokio::select! {
            () = sender => unreachable!(),
            result = reader.read_data(limits) => result,
        };
        let seconds = started.elapsed().as_secs();
        match want {
            Some(want) => {
                assert!(
                    matches!(result, Err(ReadError::TooSlow)),
                    "{octets} {every}"
                );
                assert!(seconds.abs_diff(want) <= 10, "{octets} {every}: {seconds}");
            }
            None => assert!(result.is_ok(), "{octets} {every}"),
        }
    }
}

#[tokio::test]
async fn literals() {
    let mut reader = Reader::new(&b"A LOGIN {5}\r\nalice {3}\r\nbobrest\r\n"[..]);
    reader.read_line(100, LINE_PACE).await.unwrap();
    assert_eq!(reader.read_exact(5, 5, Pace::DATA).await.unwrap(), b"alice");
    reader.read_line(100, LINE_PACE).await.unwrap();
    let error = reader.read_exact(3, 2, Pace::DATA).await.unwrap_err();
    assert!(matches!(error, ReadError::TooLarge(2)));
    reader.discard(3, Pace::DATA).await.unwrap();
    assert_eq!(show(reader.read_line(100, LINE_PACE).await), "\"rest\"");
    assert_eq!(reader.read_exact(0, 0, Pace::DATA).await.unwrap(), b"");
    let error = reader.read_exact(1, 1, Pace::DATA).await.unwrap_err();
    assert!(matches!(error, ReadError::Truncated));
}

#[tokio::test]
async fn chunks_are_put_together() {
    let input: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
    let mut reader = Reader::new(&input[..]);
    let mut octets = Vec::new();
    for length in [1, 70_000, 0, 129_999] {
        reader
            .read_into(length, &mut octets, Pace::DATA)
            .await
            .unwrap();
    }
    assert_eq!(octets, input);
}

#[tokio::test]
async fn a_huge_literal_takes_no_memory_before_it_arrives() {
    let mut reader = Reader::new(&b"abc"[..]);
    let mut octets = Vec::new();
    let result = reader.read_into(u64::MAX, &mut octets, Pace::DATA).await;
    assert!(matches!(result, Err(ReadError::Truncated)));
    assert!(octets.capacity() <= 2 * READ_CHUNK_MAX);
}

#[tokio::test]
async fn a_buffer_at_rest_is_small() {
    let (io, mut peer) = duplex(1 << 20);
    let mut reader = Reader::new(io);
    let burst = b"NOOP\r\n".repeat(50_000);
    peer.write_all(&burst).await.unwrap();
    let mut largest = 0;
    for _ in 0..50_000 {
        reader.read_line(512, LINE_PACE).await.unwrap();
        largest = largest.max(reader.buffer.capacity());
    }
    assert!(largest > READ_CHUNK_MIN);
    let millisecond = Duration::from_millis(1);
    let waiting = tokio::time::timeout(millisecond, reader.read_line(512, LINE_PACE)).await;
    assert!(waiting.is_err());
    assert!(reader.buffer.capacity() <= READ_CHUNK_MIN);
}
