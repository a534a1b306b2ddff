//! The parsers on mutated input, for a few seconds: none panics. `fuzz/` goes on from here with libFuzzer.

use std::time::{Duration, Instant};

use e2e::{
    Dice,
    dice::number_from_env,
    fuzzing::{
        imap_command, json_request, managesieve_command, message_parse, message_signing, mutated,
        pop3_command, search_query, smtp_command, trace_message_id,
    },
};

fn check(parse: fn(&[u8])) {
    let time = Duration::from_secs(number_from_env("POSTHORN_FUZZ_SECONDS", 3) as u64);
    let first = number_from_env("POSTHORN_SEED", 1) as u64;
    let end = Instant::now() + time;
    for seed in first.. {
        let octets = mutated(&mut Dice(seed));
        if let Err(panic) = std::panic::catch_unwind(|| parse(&octets)) {
            eprintln!(
                "POSTHORN_SEED={seed}: {:?}",
                String::from_utf8_lossy(&octets)
            );
            std::panic::resume_unwind(panic);
        }
        if Instant::now() > end {
            return;
        }
    }
}

#[test]
fn no_line_of_smtp_panics() {
    check(smtp_command);
}

#[test]
fn no_header_has_a_wrong_id_for_the_trace() {
    check(trace_message_id);
}

#[test]
fn no_command_of_imap_panics() {
    check(imap_command);
}

#[test]
fn no_line_of_pop3_panics() {
    check(pop3_command);
}

#[test]
fn no_command_of_managesieve_panics() {
    check(managesieve_command);
}

#[test]
fn no_request_panics() {
    check(json_request);
}

#[test]
fn no_message_panics() {
    check(message_parse);
}

#[test]
fn no_message_that_is_signed_panics() {
    check(message_signing);
}

#[test]
fn no_search_panics() {
    check(search_query);
}
