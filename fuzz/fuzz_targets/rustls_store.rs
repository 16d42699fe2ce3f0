#![no_main]

use halfshake_fuzz::rustls_store::Script;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: Script| script.run());
