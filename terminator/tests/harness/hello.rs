//! ClientHellos made by hand, for what no client sends.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::BOUND;

pub(crate) const SERVER_HELLO: u8 = 2;

/// A vector with a length of `width` bytes before it.
fn with_length(width: usize, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u64).to_be_bytes();
    [&length[8 - width..], content].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &with_length(2, content)].concat()
}

fn client_hello(session_id: &[u8], suite: [u8; 2], extensions: &[Vec<u8>]) -> Vec<u8> {
    let body = [
        &[3, 3][..],
        &[7; 32],
        &with_length(1, session_id),
        &with_length(2, &suite),
        &with_length(1, &[0]),
        &with_length(2, &extensions.concat()),
    ]
    .concat();
    records(&[&[1][..], &with_length(3, &body)].concat())
}

fn records(message: &[u8]) -> Vec<u8> {
    message
        .chunks(16_384)
        .flat_map(|part| [&[22, 3, 1][..], &with_length(2, part)].concat())
        .collect()
}

/// A well-formed ClientHello of TLS 1.3 that offers sessions, by their identities.
pub(crate) fn offering<'i>(identities: impl IntoIterator<Item = &'i [u8]>) -> Vec<u8> {
    let (mut offered, mut binders) = (Vec::new(), Vec::new());
    for identity in identities {
        offered.extend(with_length(2, identity));
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
    ];
    client_hello(&[8; 32], [0x13, 0x01], &extensions)
}

/// A well-formed ClientHello of TLS 1.2 that proposes a session.
pub(crate) fn proposing(session_id: &[u8]) -> Vec<u8> {
    let extensions = [
        extension(0x000a, &with_length(2, &[0x00, 0x1d, 0x00, 0x17])),
        extension(0x000b, &with_length(1, &[0])),
        extension(0x000d, &with_length(2, &[0x04, 0x03, 0x08, 0x04, 0x04, 0x01])),
        extension(0x0017, &[]),
        extension(0xff01, &[0]),
    ];
    // ECDHE with ECDSA: what a self-signed certificate of this program's is for.
    client_hello(session_id, [0xc0, 0x2b], &extensions)
}

/// Sends it on a connection of its own, and gives back the type of the first message of the answer.
pub(crate) fn first_answer(address: SocketAddr, hello: &[u8]) -> u8 {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(BOUND)).expect("a bound on reads");
    stream.write_all(hello).expect("it is sent");
    let mut head = [0; 6];
    stream.read_exact(&mut head).expect("the server answers");
    assert_eq!(head[0], 22, "a handshake record, not an alert: {head:?}");
    head[5]
}
