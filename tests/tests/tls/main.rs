//! Certificates: which one is shown to whom, over every protocol, how they are replaced while the server runs, and where they come from.
//!
//! Holds: the other side is `openssl s_client`, so what is seen is what others see; certificates come from pebble, which asks
//! BIND for names.

mod files;
mod look;
mod orders;
mod pebble;
mod stored;
mod trouble;
