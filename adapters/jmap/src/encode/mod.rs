//! From what is meant to octets: the Response object, problem details, compression, bodies.
//!
//! Holds: everything here is sync and pure.

pub mod body;
pub mod compress;
pub mod problem;
pub mod response;
