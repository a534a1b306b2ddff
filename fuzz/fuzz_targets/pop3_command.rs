#![no_main]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| e2e::fuzzing::pop3_command(octets));
