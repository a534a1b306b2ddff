//! Compression of responses and decompression of requests (RFC 9110 §8.4).
//!
//! Holds: what a request is decompressed to is as bounded as one that isn't compressed.

use std::io::Read;

use crate::parse::headers::Coding;

/// Smaller responses are sent as they are.
pub const COMPRESS_OCTETS_MIN: usize = 1024;
/// From here on the work is done on a thread where it blocks nobody.
pub const BLOCKING_OCTETS_MIN: usize = 256 << 10;
/// Window of a zstd frame that a client sends, as a power of 2: RFC 8878 §3.1.1.1.2 asks for at least 8 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
const GZIP_LEVEL: u32 = 4;
const ZSTD_LEVEL: i32 = 3;

/// Compressed octets, or `None` when that saves nothing.
pub fn compress(octets: &[u8], coding: Coding) -> Option<Vec<u8>> {
    let compressed = match coding {
        Coding::Identity => return None,
        Coding::Gzip => {
            let level = flate2::Compression::new(GZIP_LEVEL);
            let mut compressed = Vec::with_capacity(octets.len() / 4);
            flate2::read::GzEncoder::new(octets, level)
                .read_to_end(&mut compressed)
                .ok()?;
            compressed
        }
        Coding::Zstd => zstd::bulk::compress(octets, ZSTD_LEVEL).ok()?,
    };
    (compressed.len() < octets.len()).then_some(compressed)
}

/// Why a request's body can't be decompressed.
#[derive(Debug, PartialEq, Eq)]
pub enum DecompressError {
    /// More than the limit.
    TooLarge,
    Broken,
}

/// Decompresses up to `limit` octets.
pub fn decompress(octets: &[u8], coding: Coding, limit: usize) -> Result<Vec<u8>, DecompressError> {
    let mut decompressed = Vec::new();
    let bound = limit as u64 + 1;
    let read = match coding {
        Coding::Identity => octets.take(bound).read_to_end(&mut decompressed),
        Coding::Gzip => flate2::read::MultiGzDecoder::new(octets)
            .take(bound)
            .read_to_end(&mut decompressed),
        Coding::Zstd => zstd::Decoder::new(octets).and_then(|mut decoder| {
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            decoder.take(bound).read_to_end(&mut decompressed)
        }),
    };
    read.map_err(|_| DecompressError::Broken)?;
    if decompressed.len() > limit {
        return Err(DecompressError::TooLarge);
    }
    Ok(decompressed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_comes_back() {
        let text = b"posthorn ".repeat(10_000);
        for coding in [Coding::Gzip, Coding::Zstd] {
            let compressed = compress(&text, coding).unwrap();
            assert!(compressed.len() < text.len() / 20);
            assert_eq!(
                decompress(&compressed, coding, text.len()),
                Ok(text.clone())
            );
            // One octet past the limit, and a bomb.
            let past = decompress(&compressed, coding, text.len() - 1);
            assert_eq!(past, Err(DecompressError::TooLarge));
            let bomb = compress(&vec![0; 64 << 20], coding).unwrap();
            assert_eq!(
                decompress(&bomb, coding, 1000),
                Err(DecompressError::TooLarge)
            );
            let cut = decompress(&compressed[..compressed.len() / 2], coding, text.len());
            assert_eq!(cut, Err(DecompressError::Broken));
            assert_eq!(
                decompress(b"nothing", coding, 10),
                Err(DecompressError::Broken)
            );
        }
        assert_eq!(compress(b"x", Coding::Gzip), None);
        assert_eq!(compress(&text, Coding::Identity), None);
    }
}
