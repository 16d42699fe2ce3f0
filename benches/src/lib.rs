//! Halfshake beside other caches and maps, on the same work, in one process.
//!
//! | room | what |
//! | --- | --- |
//! | [`memory`] | resident memory, and how much of it lies on huge pages |
//! | [`clock`] | processor time of the thread and of the process, and wall time |
//! | [`processors`] | which processors threads run on |
//! | [`keys`] | keys and values from numbers, and random numbers |
//! | [`contestants`] | who takes part, behind one small interface |
//! | [`workloads`] | what is done with them |
//! | [`rounds`] | the order in which it is done |
//! | [`rows`] | the rows of the comparison: what is measured for which claim |
//! | [`end_to_end`] | real handshakes with the program, over our cache and rustls's own |
//! | [`report`] | tables and the raw record |
//!
//! The machine that this runs on is shared as a rule, so absolute times mean little. Everything is
//! therefore interleaved: a *round* runs each contestant once, in random order, on keys that no
//! contestant and no round shares (a sequence that was seen before finds warm cache lines), and
//! what counts is the ratio of two contestants within a round.

pub mod clock;
pub mod contestants;
pub mod end_to_end;
pub mod keys;
pub mod memory;
pub mod processors;
pub mod report;
pub mod rounds;
pub mod rows;
pub mod workloads;

/// One allocator for all contestants.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
