//! The API for administrators, over real sockets: who may do what, what is told to whom, what is kept of it, and whether the document
//! is true.
//!
//! Holds: what each role may do is written down in `matrix` by hand; a route that is missing there fails.

mod audit;
mod certificates;
mod client;
mod concurrency;
mod isolation;
mod matrix;
mod objects;
mod running;
mod schema;
mod settings;
mod watched;
mod web;
