#![no_main]

use halfshake_fuzz::get_callback::Script;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: Script| script.run());
