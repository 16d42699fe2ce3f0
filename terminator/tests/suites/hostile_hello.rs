//! A ClientHello that asks for far more sessions than a client has.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::BACKEND;
use crate::harness::disk::Disk;
use crate::harness::{BOUND, Backend, Server};

/// About what fits into a handshake message.
const IDENTITIES: usize = 900;
/// Most look-ups that one connection may cost.
const BUDGET: u64 = 4;

/// A vector with a length of `width` bytes before it.
fn with_length(width: usize, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u64).to_be_bytes();
    [&length[8 - width..], content].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &with_length(2, content)].concat()
}

/// A well-formed TLS 1.3 ClientHello that offers `identities` sessions nobody knows.
fn client_hello(identities: usize) -> Vec<u8> {
    let mut offered = Vec::new();
    let mut binders = Vec::new();
    for index in 0..identities {
        let mut identity = [0x5a; 32];
        identity[..8].copy_from_slice(&(index as u64).to_be_bytes());
        offered.extend(with_length(2, &identity));
        offered.extend([0; 4]);
        binders.extend(with_length(1, &[0xb1; 32]));
    }
    let key_share = [&[0x00, 0x1d][..], &with_length(2, &[9; 32])].concat();
    let extensions = [
        extension(0x002b, &with_length(1, &[3, 4])),
        extension(0x000a, &with_length(2, &[0x00, 0x1d])),
        extension(0x000d, &with_length(2, &[0x04, 0x03, 0x08, 0x04])),
        extension(0x0033, &with_length(2, &key_share)),
        extension(0x002d, &with_length(1, &[1])),
        extension(0x0029, &[with_length(2, &offered), with_length(2, &binders)].concat()),
    ]
    .concat();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &with_length(1, &[8; 32]),
        &with_length(2, &[0x13, 0x01]),
        &with_length(1, &[0]),
        &with_length(2, &extensions),
    ]
    .concat();
    [&[1][..], &with_length(3, &body)].concat()
}

fn records(message: &[u8]) -> Vec<u8> {
    message
        .chunks(16_384)
        .flat_map(|part| [&[22, 3, 1][..], &with_length(2, part)].concat())
        .collect()
}

/// Sends a ClientHello and gives back the type of the first message of the answer.
fn first_answer(server: &Server, identities: usize) -> u8 {
    let mut stream = TcpStream::connect(server.address).expect("a connection");
    stream.set_read_timeout(Some(BOUND)).expect("a bound on reads");
    stream.write_all(&records(&client_hello(identities))).expect("it is sent");
    let mut head = [0; 6];
    stream.read_exact(&mut head).expect("the server answers");
    assert_eq!(head[0], 22, "a handshake record, not an alert: {head:?}");
    head[5]
}

const SERVER_HELLO: u8 = 2;

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
