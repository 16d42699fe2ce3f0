//! No session is resumed after its timeout. rustls does not check it; OpenSSL does, by a clock that
//! the first test does not move: there the cache alone tells.

use std::time::Duration;

use crate::harness::openssl::{TLS_1_2, TLS_1_3, begin_session, resume};
use crate::harness::{CertFiles, Server, tls_server};
use halfshake::ManualClock;
use halfshake::session::SessionCache;
use tempfile::tempdir;

/// What moves the clock of a cache.
struct Clocked {
    cache: SessionCache<()>,
    clock: std::sync::Arc<ManualClock>,
}

impl Clocked {
    fn new(timeout: Duration) -> Self {
        let clock = ManualClock::new();
        let cache = SessionCache::builder()
            .capacity(1024)
            .timeout(timeout)
            .clock(clock.clone())
            .wall_clock(clock.clone())
            // Operations then read the clock themselves: what the test sets counts at once.
            .maintenance(halfshake::Maintenance::Embedder)
            .build()
            .expect("a cache");
        Self { cache, clock }
    }

    fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

#[test]
fn an_openssl_client_resumes_until_the_tick_before_the_timeout_and_not_at_it() {
    let timeout = Duration::from_secs(7200);
    let tick = Duration::from_millis(1);
    for (name, version, arguments) in [
        ("TLS 1.2", &rustls::version::TLS12, &TLS_1_2[..]),
        ("TLS 1.3", &rustls::version::TLS13, &TLS_1_3),
    ] {
        let clocked = Clocked::new(timeout);
        let files = CertFiles::new("localhost");
        let address =
            tls_server::start(tls_server::config(&files, version, &clocked.cache, b"expiry"));
        let folder = tempdir().expect("a temporary folder");
        let (early, late) = (folder.path().join("early.pem"), folder.path().join("late.pem"));
        begin_session(address, arguments, &early);
        begin_session(address, arguments, &late);

        clocked.advance(timeout - tick);
        assert!(resume(address, arguments, &early), "{name}: a tick before the timeout");
        clocked.advance(tick);
        assert!(!resume(address, arguments, &late), "{name}: at the timeout");
    }
}

#[test]
fn the_program_forgets_sessions_when_their_timeout_has_passed() {
    const TIMEOUT: u64 = 2;
    let server = Server::start(&["--cache-timeout", "2"]);
    let folder = tempdir().expect("a temporary folder");
    let (tls12, tls13) = (folder.path().join("tls12.pem"), folder.path().join("tls13.pem"));
    begin_session(server.address, &TLS_1_2, &tls12);
    begin_session(server.address, &TLS_1_3, &tls13);
    let stored = server.stat("/cache/clock_s");

    // The wall clock is told in whole seconds, so one more; and one for the cache's own clock.
    server.wait_for_stat("/cache/clock_s", |clock| clock > stored + TIMEOUT + 1);
    assert!(!resume(server.address, &TLS_1_2, &tls12), "TLS 1.2 after the timeout");
    assert!(!resume(server.address, &TLS_1_3, &tls13), "TLS 1.3 after the timeout");
    // The sweeper, or the look-ups above, have told of each: one TLS 1.2 session, two TLS 1.3 ones.
    server.wait_for_stat("/cache/removed/expired", |expired| expired >= 3);
    server.stop();
}
