//! Several nodes over one engine, in one process: what each of them tells is what there is.
//!
//! Holds: whatever nodes do at the same time, each call works; nothing is lost and nothing is there twice; at the end all nodes tell the
//! same, and what a node that starts then reads. A seed that fails is printed; the tasks run as they happen to, so it may have to be tried again.

mod faults;
mod random;
mod search;
mod shards;
mod takeover;
mod together;
mod world;
