//! Events: the parser against the reference, cut in the way that the input says.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| godwit_sse::reference::compare(input));
