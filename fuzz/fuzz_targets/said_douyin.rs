#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| yizhan_fuzz::said::said("douyin", input));
