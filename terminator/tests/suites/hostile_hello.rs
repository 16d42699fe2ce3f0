//! A ClientHello that asks for far more sessions than a client has.

use crate::BACKEND;
use crate::harness::disk::Disk;
use crate::harness::hello::{SERVER_HELLO, offering};
use crate::harness::{Backend, Server, hello};

/// About what fits into a handshake message.
const IDENTITIES: usize = 900;
/// Most look-ups that one connection may cost.
const BUDGET: u64 = 4;

/// Offers so many sessions that nobody knows, and gives back the type of the first answer.
fn first_answer(server: &Server, identities: usize) -> u8 {
    let identity = |index: usize| {
        let mut identity = [0x5a; 32];
        identity[..8].copy_from_slice(&(index as u64).to_be_bytes());
        identity
    };
    let all: Vec<[u8; 32]> = (0..identities).map(identity).collect();
    hello::first_answer(server.address, &offering(all.iter().map(|identity| &identity[..])))
}

#[test]
fn a_hello_with_hundreds_of_identities_costs_a_few_look_ups() {
    let disk = Disk::new();
    // With --external-shared each look-up is one of the disk.
    let server = disk.serve(&["--external-shared"]);
    assert_eq!(first_answer(&server, 1), SERVER_HELLO);
    let one = server.stat("/external/lookups/asked");
    assert_eq!(one, 1, "the store is asked for what a client offers");

    assert_eq!(first_answer(&server, IDENTITIES), SERVER_HELLO, "a full handshake begins");
    let many = server.stat("/external/lookups/asked") - one;
    assert_eq!(many, BUDGET, "look-ups for {IDENTITIES} identities");
    // They are counted when the handshake has ended: here, when the client leaves it.
    let refused = IDENTITIES as u64 - BUDGET;
    server.wait_for_stat("/lookups_over_budget", |over_budget| over_budget == refused);
    let line = format!("tls_session_lookups_over_budget_total {refused}");
    assert!(server.metrics().lines().any(|found| found == line), "{}", server.metrics());
    server.stop();
}

#[test]
fn look_ups_in_memory_are_bounded_unless_they_end_at_the_first_hit() {
    let server = Server::start(&[]);
    assert_eq!(first_answer(&server, IDENTITIES), SERVER_HELLO, "a full handshake begins");
    // rustls takes what it is shown before it has checked anything, so its look-ups are bounded;
    // OpenSSL stops at the first that it finds.
    let expected = match BACKEND {
        Backend::Rustls => BUDGET,
        Backend::OpenSsl => IDENTITIES as u64,
    };
    server.wait_for_stat("/connections/open", |open| open == 0);
    assert_eq!(server.stat("/cache/lookups"), expected);
    server.stop();
}
