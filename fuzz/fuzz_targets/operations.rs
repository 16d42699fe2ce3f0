#![no_main]

use halfshake_fuzz::operations::Script;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: Script| script.run());
