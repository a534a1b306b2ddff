//! The binary: a mail and collaboration server, JMAP first.
//!
//! Holds: this is the only crate that sees both the store and the adapters.

mod administration;
mod alerts;
mod allocators;
mod backups;
mod bans;
mod blobs;
mod cli;
mod config;
mod delivery;
mod directories;
mod engine;
mod folder;
mod hex;
mod listening;
mod log;
mod metrics;
mod moving;
mod notices;
mod otlp;
#[cfg(target_os = "linux")]
mod program;
mod publish;
mod push_transport;
mod reports;
mod settings;
mod tls;
mod web;
mod wire;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    allocators::set_up();
    cli::main()
}
