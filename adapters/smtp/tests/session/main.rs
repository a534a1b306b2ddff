//! Sessions over real sockets, against a backend that fails as it is told.

mod chunking;
mod extensions;
mod fake;
mod fixture;
mod limits;
mod receiving;
mod security;
mod submission;
