//! The console's files, as they are in the binary.
//!
//! Other half: `build.rs`, which writes the table.

/// A file, plain and compressed.
#[derive(Debug)]
pub struct Asset {
    pub name: &'static str,
    pub plain: &'static [u8],
    pub gzip: &'static [u8],
    pub brotli: &'static [u8],
}

/// Empty in a binary that was built without the console.
pub static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

pub const PAGE: &str = "index.html";

impl Asset {
    pub fn content_type(&self) -> &'static str {
        let extension = self.name.rsplit_once('.').map(|(_, extension)| extension);
        match extension {
            Some("html") => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("svg") => "image/svg+xml",
            // `WebAssembly.instantiateStreaming` takes no other.
            Some("wasm") => "application/wasm",
            _ => "application/octet-stream",
        }
    }
}
