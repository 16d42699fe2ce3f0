#![no_main]

use halfshake_fuzz::operations_threads::Script;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: Script| {
    script.run();
});
