/* What the test suites of OpenSSL (test/sslapitest.c) and of BoringSSL (ssl/ssl_test.cc) ask of a
 * server's session cache, asked of contexts to which one is attached; and renegotiations. Told
 * anew: the names are those of their tests, where there is one. */
#include "watched.h"

#include <pthread.h>

static SSL_CTX *tls12, *tls13; /* clients */

/* test_tickets: as many sessions as tickets; each of them resumes, once, and brings one more; with
 * another server each is a full handshake. */
static void tickets(void) {
    int n, i;
    for (n = 0; n <= 2; n++) {
        halfshake_cache *cache = watched(), *others = cache_for(10);
        SSL_CTX *context = server(cache), *stranger = server(others);
        went first;
        CHECK(SSL_CTX_set_num_tickets(context, (size_t)n) == 1);
        first = connect_with(context, tls13, nothing());
        CHECK(!first.resumed && first.given == n && news == n);
        CHECK(stats_of(cache).number == (uint64_t)n);
        for (i = 0; i < n; i++) {
            CHECK(!resumes(stranger, tls13, first.sessions[i]));
        }
        for (i = 0; i < n; i++) {
            wants want = nothing();
            went again;
            want.session = first.sessions[i];
            again = connect_with(context, tls13, want);
            CHECK(again.resumed && again.given == 1 && news == n + i + 1);
            forget(&again);
        }
        CHECK(left[HALFSHAKE_CAUSE_TAKEN] == n && stats_of(cache).number == (uint64_t)n);
        forget(&first);
        ends(stranger, others);
        ends(context, cache);
    }
}

/* Writes a byte, and reads it on the other side. */
static void says(SSL *from, SSL *to) {
    char byte = 'x';
    CHECK(SSL_write(from, &byte, 1) == 1 && SSL_read(to, &byte, 1) == 1 && byte == 'x');
}

#if OPENSSL_VERSION_NUMBER >= 0x30000000L
/* test_extra_tickets: one that is asked for comes with the next write. */
static void extra_tickets(void) {
    halfshake_cache *cache = watched();
    SSL_CTX *context = server(cache);
    SSL *there = SSL_new(context), *here;
    wants want = nothing();
    went of;
    here = opens(there, tls13, &want, &of);
    CHECK(news == 2 && of.given == 2);
    CHECK(SSL_new_session_ticket(there) == 1 && news == 2);
    says(there, here);
    CHECK(news == 3 && of.given == 3 && stats_of(cache).number == 3);
    (void)SSL_shutdown(there);
    leaves(here);
    SSL_free(there);
    CHECK(resumes(context, tls13, of.sessions[2]));
    forget(&of);
    ends(context, cache);
}
#endif

static int anybody(int is_good, X509_STORE_CTX *of) {
    (void)is_good, (void)of;
    return 1;
}

/* Lets both sides read what there is for them, until nothing is left. */
static void settle(SSL *there, SSL *here) {
    char byte;
    int steps;
    for (steps = 0; steps < 10; steps++) {
        int result = SSL_read(there, &byte, 1);
        CHECK(waits(there, result));
        result = SSL_read(here, &byte, 1);
        CHECK(waits(here, result));
    }
}

/* Whether a session says who its client is. */
static int names_its_client(SSL_CTX *context, SSL_CTX *from, SSL_SESSION *session) {
    SSL *there = SSL_new(context), *here;
    wants want = nothing();
    went of;
    X509 *client;
    want.session = session;
    here = opens(there, from, &want, &of);
    CHECK(of.resumed);
    client = SSL_get_peer_certificate(there);
    X509_free(client);
    (void)SSL_shutdown(there);
    leaves(here);
    SSL_free(there);
    forget(&of);
    return client != NULL;
}

/* test_tickets, its end: a client that proves later who it is gets as many sessions once more, and
 * only those say who it is. */
static void post_handshake_authentication(void) {
    halfshake_cache *cache = watched();
    SSL_CTX *context = server(cache), *from = client(TLS1_3_VERSION);
    SSL *there, *here;
    wants want = nothing();
    went of;
    SSL_CTX_set_post_handshake_auth(from, 1);
    CHECK(SSL_CTX_use_certificate(from, the_certificate) == 1);
    CHECK(SSL_CTX_use_PrivateKey(from, the_key) == 1);
    there = SSL_new(context);
    here = opens(there, from, &want, &of);
    CHECK(news == 2);
    SSL_set_verify(there, SSL_VERIFY_PEER | SSL_VERIFY_POST_HANDSHAKE, anybody);
    CHECK(SSL_verify_client_post_handshake(there) == 1 && SSL_do_handshake(there) == 1);
    settle(there, here);
    CHECK(news == 4 && of.given == 4);
    (void)SSL_shutdown(there);
    leaves(here);
    SSL_free(there);
    CHECK(!names_its_client(context, from, of.sessions[1]));
    CHECK(names_its_client(context, from, of.sessions[3]));
    forget(&of);
    SSL_CTX_free(from);
    ends(context, cache);
}

/* A key that both sides have, under a name. */
static SSL_SESSION *shared_key(SSL *of) {
    static const unsigned char suite[] = {0x13, 0x01}, key[32] = {1, 2, 3};
    SSL_SESSION *session = SSL_SESSION_new();
    CHECK(session != NULL && SSL_SESSION_set1_master_key(session, key, sizeof key) == 1);
    CHECK(SSL_SESSION_set_cipher(session, SSL_CIPHER_find(of, suite)) == 1);
    CHECK(SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) == 1);
    return session;
}

static const unsigned char the_name[] = "the client";

static int uses_key(SSL *of, const EVP_MD *hash, const unsigned char **name, size_t *len,
                    SSL_SESSION **session) {
    (void)hash;
    *session = shared_key(of);
    *name = the_name;
    *len = sizeof the_name;
    return 1;
}

static int finds_key(SSL *of, const unsigned char *name, size_t len, SSL_SESSION **session) {
    *session = len == sizeof the_name && memcmp(name, the_name, len) == 0 ? shared_key(of) : NULL;
    return 1;
}

/* test_psk_tickets: one session of a handshake by a key, whose name the cache is not asked for. */
static void psk_tickets(void) {
    halfshake_cache *cache = watched();
    SSL_CTX *context = server(cache), *from = client(TLS1_3_VERSION);
    went first;
    CHECK(SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") == 1);
    SSL_CTX_set_psk_find_session_callback(context, finds_key);
    SSL_CTX_set_psk_use_session_callback(from, uses_key);
    first = connect_with(context, from, nothing());
    CHECK(first.resumed && first.given == 1 && news == 1 && stats_of(cache).misses == 0);
    SSL_CTX_set_psk_use_session_callback(from, NULL);
    CHECK(resumes(context, from, first.sessions[0]));
    CHECK(!resumes(context, from, first.sessions[0]));
    forget(&first);
    SSL_CTX_free(from);
    ends(context, cache);
}

/* While a session is resumed, another connection proposes it, too. */
static struct {
    SSL_CTX *context, *from;
    SSL_SESSION *session;
    int resumed;
} meanwhile;

static int resumes_meanwhile(SSL *ssl, int *alert, void *argument) {
    SSL_SESSION *session = meanwhile.session;
    (void)ssl, (void)alert, (void)argument;
    if (session != NULL) {
        meanwhile.session = NULL;
        meanwhile.resumed = resumes(meanwhile.context, meanwhile.from, session);
    }
    return SSL_TLSEXT_ERR_OK;
}

/* test_multi_resume: a small cache, thirty connections; each handshake succeeds, each session is
 * resumed, and there are never more than fit. */
static void multi_resume(void) {
    enum { TLS13, EARLY_DATA, AT_ONCE, TLS12, TLS12_AT_ONCE, VARIANTS };
    int variant, i;
    for (variant = 0; variant < VARIANTS; variant++) {
        SSL_CTX *from = variant < TLS12 ? tls13 : tls12;
        halfshake_cache *cache = watched_for(5);
        SSL_CTX *context = server(cache);
        SSL_SESSION *session = NULL;
        meanwhile.context = context;
        meanwhile.from = from;
        meanwhile.resumed = 0;
        CHECK(SSL_CTX_set_tlsext_servername_callback(context, resumes_meanwhile) != 0);
        CHECK(SSL_CTX_set_max_early_data(context, variant == EARLY_DATA ? 1000 : 0) == 1);
        for (i = 0; i < 30; i++) {
            wants want = nothing();
            went of;
            if (i % 3 == 0) {
                SSL_SESSION_free(session);
                session = NULL;
            }
            want.session = session;
            want.server_name = "www.example.org";
            want.early = variant == EARLY_DATA && session != NULL ? "early" : NULL;
            meanwhile.session =
                variant == AT_ONCE || variant == TLS12_AT_ONCE ? session : NULL;
            of = connect_with(context, from, want);
            CHECK(of.resumed == (session != NULL));
            CHECK(of.early == (want.early == NULL ? 0 : 5));
            /* What was taken for this connection is not there for another one. */
            CHECK(meanwhile.resumed == (variant == TLS12_AT_ONCE && session != NULL));
            meanwhile.resumed = 0;
            CHECK(stats_of(cache).number <= 5);
            if (of.given > 0) {
                SSL_SESSION_free(session);
                session = of.sessions[0];
                CHECK(SSL_SESSION_up_ref(session) == 1);
            }
            forget(&of);
        }
        SSL_SESSION_free(session);
        ends(context, cache);
    }
}

static halfshake_session *kept;

static int keeps_first(halfshake_cache *cache, void *connection, const halfshake_new *fresh,
                       void *user_data) {
    (void)cache, (void)connection, (void)user_data;
    if (kept == NULL) {
        kept = halfshake_session_dup(fresh->session);
    }
    return 1;
}

static void gives_first(halfshake_cache *cache, void *connection, const halfshake_key *name,
                        int purpose, halfshake_answer *answer, void *user_data) {
    (void)cache, (void)connection, (void)name, (void)purpose, (void)user_data;
    OK(halfshake_answer_session(answer, kept));
}

/* test_session_cache_overflow: a session that has made room for another is still outside. */
static void session_cache_overflow(void) {
    int version;
    for (version = 0; version < 2; version++) {
        SSL_CTX *from = version == 0 ? tls12 : tls13;
        halfshake_cache *cache = watched_for(1);
        SSL_CTX *context = server(cache);
        SSL_SESSION *session;
        OK(halfshake_cache_set_new_callback(cache, keeps_first, NULL, NULL));
        OK(halfshake_cache_set_get_callback(cache, gives_first, NULL, NULL));
        session = begins(context, from);
        SSL_SESSION_free(begins(context, from));
        CHECK(left[HALFSHAKE_CAUSE_EVICTED] > 0 && stats_of(cache).number == 1);
        CHECK(resumes(context, from, session) && stats_of(cache).number == 1);
        halfshake_session_free(kept);
        kept = NULL;
        SSL_SESSION_free(session);
        ends(context, cache);
    }
}

/* No record of this connection. */
static const unsigned char garbage[] = {0x17, 3, 3, 0, 32, 1, 2, 3, 4, 5, 6, 7, 8, 9,
                                        10,   1, 2, 3, 4,  5, 6, 7, 8, 9, 10, 1, 2, 3,
                                        4,    5, 6, 7, 8,  9, 10, 1, 2};

static void breaks(SSL *here) {
    CHECK(BIO_write(SSL_get_wbio(here), garbage, sizeof garbage) == sizeof garbage);
}

/* Steps 4 and 7 of execute_test_session, seen by the server: an alert ends a connection, also one
 * that has resumed, and its session is not to be used again (RFC 5246, 7.2). */
static void session_of_a_broken_connection_is_removed(void) {
    int version, again;
    char byte;
    for (version = 0; version < 4; version++) {
        SSL_CTX *from = version % 2 == 0 ? tls12 : tls13;
        halfshake_cache *cache = watched();
        SSL_CTX *context = server(cache);
        SSL *there = SSL_new(context), *here;
        wants want = nothing();
        went of;
        SSL_SESSION *last;
        want.session = version < 2 ? NULL : begins(context, from);
        here = opens(there, from, &want, &of);
        CHECK(of.resumed == (version >= 2));
        last = of.given > 0 ? of.sessions[of.given - 1] : want.session;
        breaks(here);
        again = SSL_read(there, &byte, 1);
        CHECK(again < 0 && SSL_get_error(there, again) == SSL_ERROR_SSL);
        ERR_clear_error();
        CHECK(left[HALFSHAKE_CAUSE_FAULTY] == 1);
        leaves(here);
        SSL_free(there);
        CHECK(left[HALFSHAKE_CAUSE_FAULTY] == 1 && !resumes(context, from, last));
        SSL_SESSION_free(want.session);
        forget(&of);
        ends(context, cache);
    }
}

/* The same of a handshake that resumes, and breaks before it is over. */
static void session_of_a_broken_handshake_is_removed(void) {
    int version;
    for (version = 0; version < 2; version++) {
        SSL_CTX *from = version == 0 ? tls12 : tls13;
        halfshake_cache *cache = watched();
        SSL_CTX *context = server(cache);
        SSL *there = SSL_new(context), *here = SSL_new(from);
        SSL_SESSION *session = begins(context, from), *copy = SSL_SESSION_dup(session);
        int result;
        join(there, here);
        CHECK(SSL_set_session(here, copy) == 1);
        SSL_SESSION_free(copy);
        CHECK(waits(here, SSL_connect(here)) && waits(there, SSL_accept(there)));
        breaks(here);
        result = SSL_accept(there);
        CHECK(result < 0 && SSL_get_error(there, result) == SSL_ERROR_SSL);
        ERR_clear_error();
        SSL_free(here);
        SSL_free(there);
        /* That of TLS 1.3 was taken before. */
        CHECK(left[version == 0 ? HALFSHAKE_CAUSE_FAULTY : HALFSHAKE_CAUSE_TAKEN] == 1);
        CHECK(!resumes(context, from, session));
        SSL_SESSION_free(session);
        ends(context, cache);
    }
}

static int asked;

static void counts_get(halfshake_cache *cache, void *connection, const halfshake_key *name,
                       int purpose, halfshake_answer *answer, void *user_data) {
    gives_first(cache, connection, name, purpose, answer, user_data);
    asked++;
}

/* A server may have its client begin anew: with the session of the connection, which is looked for
 * each time; or with another one, which is stored. */
static void renegotiation(void) {
    int anew, i;
    for (anew = 0; anew < 2; anew++) {
        halfshake_options options = options_for(10);
        halfshake_cache *cache;
        SSL_CTX *context;
        SSL *there, *here;
        wants want = nothing();
        went of;
        options.modes = HALFSHAKE_MODE_SERVER | (anew ? 0 : HALFSHAKE_MODE_NO_INTERNAL);
        cache = cache_of(options);
        OK(halfshake_cache_set_new_callback(cache, keeps_first, NULL, NULL));
        OK(halfshake_cache_set_get_callback(cache, counts_get, NULL, NULL));
        context = server(cache);
        there = SSL_new(context);
        if (anew) {
            SSL_set_options(there, SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION);
        }
        here = opens(there, tls12, &want, &of);
        asked = 0;
        for (i = 1; i <= 6; i++) {
            CHECK(SSL_renegotiate(there) == 1 && SSL_do_handshake(there) == 1);
            settle(there, here);
            CHECK(SSL_num_renegotiations(there) == i && !SSL_in_init(there));
            CHECK(SSL_session_reused(there) == !anew && SSL_session_reused(here) == !anew);
            says(there, here);
        }
        CHECK(asked == (anew ? 0 : 6));
        CHECK(stats_of(cache).number == (anew ? 7u : 0u));
        (void)SSL_shutdown(there);
        leaves(here);
        SSL_free(there);
        for (i = 0; anew && i < of.given; i++) {
            CHECK(resumes(context, tls12, of.sessions[i]));
        }
        halfshake_session_free(kept);
        kept = NULL;
        forget(&of);
        ends(context, cache);
    }
}

enum { THREADS = 4, CONNECTIONS = 16, LIMIT = 6 };

static void *stores(void *context) {
    int i;
    for (i = 0; i < CONNECTIONS; i++) {
        SSL_SESSION_free(begins((SSL_CTX *)context, tls12));
    }
    return NULL;
}

/* SessionCacheThreads: as many as the limit at the end. (That there are never more is what models
 * show; the number here counts sessions until their removal was told.) */
static void session_cache_threads(void) {
    halfshake_cache *cache = cache_for(LIMIT);
    SSL_CTX *context = server(cache);
    pthread_t threads[THREADS];
    int i;
    for (i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, stores, context) == 0);
    }
    for (i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    CHECK(stats_of(cache).number == LIMIT);
    CHECK(stats_of(cache).cache_full == THREADS * CONNECTIONS - LIMIT);
    ends(context, cache);
}

int main(void) {
    make_identity();
    tls12 = client(TLS1_2_VERSION);
    tls13 = client(TLS1_3_VERSION);
    tickets();
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
    extra_tickets();
#endif
    post_handshake_authentication();
    psk_tickets();
    multi_resume();
    session_cache_overflow();
    session_of_a_broken_connection_is_removed();
    session_of_a_broken_handshake_is_removed();
    renegotiation();
    session_cache_threads();
    SSL_CTX_free(tls12);
    SSL_CTX_free(tls13);
    return 0;
}
