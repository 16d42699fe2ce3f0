//! Sessions that are looked up before the handshake goes on.

use crate::openssl_handshakes::{
    Client, TLS12, TLS13, bare_server, cache, name, server, store_outside,
};
use halfshake::openssl::{Options, attach};
use halfshake::session::Modes;
use openssl::ssl::{Ssl, SslContextBuilder, SslMethod, SslOptions, SslStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

fn options() -> Options<()> {
    Options::new(&name("www")).look_up_first()
}

/// Clients offer TLS 1.3, too, and with it a session id that may be made up.
#[test]
fn tls12_session_is_looked_up_wherever_tls13_is_switched_off() {
    type Change = fn(&mut SslContextBuilder);
    let newest: Change = |context| context.set_max_proto_version(Some(TLS12)).unwrap();
    let option: Change = |context| {
        context.set_options(SslOptions::NO_TLSV1_3);
    };
    let nothing: Change = |_| ();
    for (before, after) in
        [(newest, nothing), (nothing, newest), (option, nothing), (nothing, option)]
    {
        let cache = cache();
        let mut context = bare_server();
        before(&mut context);
        attach(&mut context, &cache, options()).unwrap();
        after(&mut context);
        let server = context.build();
        let client = Client::with(TLS12, |context| context.set_max_proto_version(None).unwrap());
        store_outside(&cache);
        let first = client.connect(&server, None);
        assert!(client.connect(&server, Some(&first.sessions[0])).resumed);
        assert_eq!(cache.stats().used, 1);
    }
}

/// Also where the session lies inside, too, and may not be looked for there.
#[test]
fn session_is_looked_up_whatever_the_modes() {
    for modes in [Modes::SERVER | Modes::NO_INTERNAL_LOOKUP, Modes::OFF] {
        for version in [TLS12, TLS13] {
            let cache = cache();
            let server = server(&cache, options());
            store_outside(&cache);
            cache.set_modes(Modes::SERVER);
            let client = Client::new(version);
            let first = client.connect(&server, None);
            cache.set_modes(modes);
            assert!(client.connect(&server, Some(&first.sessions[0])).resumed, "{modes:?}");
            assert_eq!(cache.stats().over_budget, 0, "{modes:?}");
        }
    }
}

#[test]
fn session_inside_is_counted_once() {
    let cache = cache();
    let server = server(&cache, options());
    store_outside(&cache);
    cache.set_modes(Modes::SERVER);
    let client = Client::new(TLS12);
    let first = client.connect(&server, None);
    assert!(client.connect(&server, Some(&first.sessions[0])).resumed);
    assert_eq!((cache.stats().engine.hits, cache.stats().asked), (1, 0));
}

#[test]
fn early_data_is_accepted_once_and_its_replay_refused() {
    let cache = cache();
    store_outside(&cache);
    let mut context = bare_server();
    attach(&mut context, &cache, options()).unwrap();
    context.set_max_early_data(4096).unwrap();
    let server = context.build();
    let client = Client::new(TLS13);
    client.says_early_once(&server);
}

#[test]
fn handshake_goes_on_without_a_session_after_a_panic() {
    for version in [TLS12, TLS13] {
        let (cache, asked) = (cache(), Arc::new(AtomicUsize::new(0)));
        let server = server(&cache, options());
        let client = Client::new(version);
        let first = client.connect(&server, None);
        cache.flush_all();
        let counts = asked.clone();
        cache.set_get_callback(move |(), _| {
            counts.fetch_add(1, SeqCst);
            panic!("the store is broken")
        });
        assert!(!client.connect(&server, Some(&first.sessions[0])).resumed);
        assert_eq!((asked.load(SeqCst), cache.stats().get_panics), (1, 1), "asked once");
    }
}

/// A panic of the server's own callback may reach no frame of OpenSSL: it would end the process.
#[test]
fn handshake_fails_after_a_panic_of_the_servers_own_callback() {
    let cache = cache();
    let mut context = bare_server();
    let own = Options::new(&name("www")).look_up_first_after(|_, _| panic!("own"));
    attach(&mut context, &cache, own).unwrap();
    let server = context.build();
    let client = SslContextBuilder::new(SslMethod::tls_client()).unwrap().build();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let serving = thread::spawn(move || {
        SslStream::new(Ssl::new(&server).unwrap(), theirs).unwrap().accept().is_err()
    });
    let mut stream = SslStream::new(Ssl::new(&client).unwrap(), ours).unwrap();
    assert!(stream.connect().is_err() && serving.join().unwrap());
}
