#![no_main]

use halfshake_fuzz::client_hello::Script;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: Script| script.run());
