#![no_main]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| e2e::fuzzing::message_parse(octets));
