#![no_main]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| posthorn_fuzz::fuzzing::trace_message_id(octets));
