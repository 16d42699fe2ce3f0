//! The tests of the core that can share a process, in one program: building many takes longer than
//! all that they do. What forks, or looks at all memory of its process, is a program of its own.

#[path = "../history/mod.rs"]
mod history;
#[path = "../seeded/mod.rs"]
mod seeded;
#[path = "../sequential/mod.rs"]
mod sequential;
#[path = "../sessions/mod.rs"]
mod sessions;
#[path = "../tried/mod.rs"]
mod tried;
#[path = "../world/mod.rs"]
mod world;

use tried::random;

mod basics;
mod bounds;
mod contract_absent;
mod contract_async;
mod contract_async_panics;
mod contract_between;
mod contract_callbacks;
mod contract_compat;
mod contract_guards;
mod contract_histories;
mod contract_landing;
mod contract_late;
mod contract_law;
mod contract_outside;
mod contract_panics;
mod contract_records;
mod contract_reentrancy;
mod contract_sealing;
mod contract_settings;
mod contract_single_use;
mod contract_stalls;
mod contract_suites;
mod contract_traps;
mod contract_unchecked;
mod contract_update_time;
mod contract_where;
mod engine_histories;
mod lifetimes;
mod limits;
mod listener;
mod loans;
mod lowered_limit;
mod model;
mod pace;
mod panics;
mod regressions;
mod session_walk;
mod shown;
mod shutdown;
mod stress;
mod victims;
