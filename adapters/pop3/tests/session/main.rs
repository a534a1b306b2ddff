//! Sessions over real sockets, against a backend that fails as it is told.

mod fake;
mod fixture;
mod limits;
mod login;
mod reading;
mod removing;
mod scram;
