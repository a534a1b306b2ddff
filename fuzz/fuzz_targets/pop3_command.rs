#![no_main]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| posthorn_fuzz::fuzzing::pop3_command(octets));
