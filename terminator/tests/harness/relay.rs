//! A relay that records what one client sends: an eavesdropper on the way.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;

#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    recording: JoinHandle<Vec<u8>>,
}

impl Relay {
    /// Passes one connection on to `server`.
    pub(crate) fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let recording = std::thread::spawn(move || {
            let (client, _) = listener.accept().expect("a client");
            let server = TcpStream::connect(server).expect("the server");
            let mut from_server = server.try_clone().expect("a second handle");
            let mut to_client = client.try_clone().expect("a second handle");
            std::thread::spawn(move || {
                // Either end may go first.
                let _ = std::io::copy(&mut from_server, &mut to_client);
                let _ = to_client.shutdown(Shutdown::Write);
            });
            record(client, server)
        });
        Self { address, recording }
    }

    /// What the client has sent, when it has ended the connection.
    pub(crate) fn recorded(self) -> Vec<u8> {
        self.recording.join().expect("the recording ends")
    }
}

fn record(mut client: TcpStream, mut server: TcpStream) -> Vec<u8> {
    let mut recorded = Vec::new();
    let mut buffer = [0; 16_384];
    loop {
        let read = client.read(&mut buffer).unwrap_or(0);
        recorded.extend_from_slice(&buffer[..read]);
        if read == 0 || server.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // The server may have closed first.
    let _ = server.shutdown(Shutdown::Write);
    recorded
}
