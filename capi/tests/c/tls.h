/* Handshakes of OpenSSL with itself, in memory. For OpenSSL 1.1.1, 3 and 4. */
#ifndef TLS_H
#define TLS_H

#include "check.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

enum { GIVEN = 4 };

/* How a connection went. */
typedef struct went {
    int resumed;                  /* both sides say so */
    int early;                    /* how many bytes of early data the server read */
    int given;                    /* how many sessions the client was given */
    SSL_SESSION *sessions[GIVEN]; /* the test's own */
} went;

/* What a client does beyond a handshake. */
typedef struct wants {
    SSL_SESSION *session;    /* proposes it */
    const char *early;       /* says this as early data */
    const char *server_name; /* asks for this server */
    int drops;               /* 1: the server frees its connection without SSL_shutdown */
} wants;

static inline wants nothing(void) {
    wants none;
    memset(&none, 0, sizeof none);
    return none;
}

static inline void forget(went *of) {
    int i;
    for (i = 0; i < of->given; i++) {
        SSL_SESSION_free(of->sessions[i]);
    }
    of->given = 0;
}

static EVP_PKEY *the_key;
static X509 *the_certificate;

static inline void identity_ends(void) {
    EVP_PKEY_free(the_key);
    X509_free(the_certificate);
}

/* Makes a key and a certificate, once. */
static inline void make_identity(void) {
    EVP_PKEY_CTX *maker = EVP_PKEY_CTX_new_id(EVP_PKEY_ED25519, NULL);
    X509_NAME *name;
    CHECK(maker != NULL && EVP_PKEY_keygen_init(maker) == 1);
    CHECK(EVP_PKEY_keygen(maker, &the_key) == 1);
    EVP_PKEY_CTX_free(maker);
    the_certificate = X509_new();
    CHECK(the_certificate != NULL && X509_set_version(the_certificate, 2) == 1);
    CHECK(ASN1_INTEGER_set(X509_get_serialNumber(the_certificate), 1) == 1);
    CHECK(X509_gmtime_adj(X509_getm_notBefore(the_certificate), -60) != NULL);
    CHECK(X509_gmtime_adj(X509_getm_notAfter(the_certificate), 86400) != NULL);
    CHECK(X509_set_pubkey(the_certificate, the_key) == 1);
    name = X509_NAME_new();
    CHECK(name != NULL &&
          X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                     (const unsigned char *)"localhost", -1, -1, 0) == 1);
    CHECK(X509_set_subject_name(the_certificate, name) == 1);
    CHECK(X509_set_issuer_name(the_certificate, name) == 1);
    X509_NAME_free(name);
    CHECK(X509_sign(the_certificate, the_key, NULL) > 0);
    CHECK(atexit(identity_ends) == 0);
}

static inline SSL_CTX *bare_server(void) {
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    CHECK(context != NULL);
    CHECK(SSL_CTX_use_certificate(context, the_certificate) == 1);
    CHECK(SSL_CTX_use_PrivateKey(context, the_key) == 1);
    return context;
}

static inline halfshake_attach_options attach_to(const char *ns) {
    halfshake_attach_options options;
    OK(halfshake_attach_options_init(&options, sizeof options));
    options.ns = ns;
    options.ns_len = strlen(ns);
    return options;
}

static inline SSL_CTX *server_in(halfshake_cache *cache, const char *ns) {
    halfshake_attach_options options = attach_to(ns);
    SSL_CTX *context = bare_server();
    OK(halfshake_attach(cache, context, &options));
    return context;
}

static inline SSL_CTX *server(halfshake_cache *cache) {
    return server_in(cache, WWW);
}

static inline int client_is_given(SSL *ssl, SSL_SESSION *session) {
    went *of = (went *)SSL_get_app_data(ssl);
    if (of == NULL || of->given == GIVEN) {
        return 0;
    }
    of->sessions[of->given++] = session;
    return 1; /* the reference is kept */
}

static inline SSL_CTX *client(int version) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    CHECK(context != NULL);
    CHECK(SSL_CTX_set_min_proto_version(context, version) == 1);
    CHECK(SSL_CTX_set_max_proto_version(context, version) == 1);
    SSL_CTX_set_session_cache_mode(context,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, client_is_given);
    return context;
}

/* Whether a call has only to wait for the other side. */
static inline int waits(SSL *ssl, int result) {
    int error = SSL_get_error(ssl, result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

/* One step of the server; 1 when its handshake is done. */
static inline int server_steps(SSL *ssl, went *of, int *looks_for_early) {
    char buffer[64];
    size_t len = 0;
    int result;
    while (*looks_for_early) {
        result = SSL_read_early_data(ssl, buffer, sizeof buffer, &len);
        if (result == SSL_READ_EARLY_DATA_ERROR) {
            CHECK(waits(ssl, 0));
            return 0;
        }
        of->early += (int)len;
        *looks_for_early = result != SSL_READ_EARLY_DATA_FINISH;
    }
    result = SSL_accept(ssl);
    CHECK(result == 1 || waits(ssl, result));
    return result == 1;
}

/* Connects two connections that have their BIOs. */
static inline void shake(SSL *there, SSL *here, const wants *want, went *of) {
    int looks_for_early = want->early != NULL, steps, there_is = 0, here_is = 0;
    char reply[5];
    size_t len = 0;
    if (want->early != NULL) {
        CHECK(SSL_write_early_data(here, want->early, strlen(want->early), &len) == 1);
    }
    for (steps = 0; !(there_is && here_is); steps++) {
        CHECK(steps < 100);
        if (!here_is) {
            int result = SSL_connect(here);
            here_is = result == 1;
            CHECK(here_is || waits(here, result));
        }
        if (!there_is) {
            there_is = server_steps(there, of, &looks_for_early);
        }
    }
    CHECK(SSL_write(there, "hello", 5) == 5);
    CHECK(SSL_read(here, reply, 5) == 5 && memcmp(reply, "hello", 5) == 0);
    of->resumed = SSL_session_reused(there);
    CHECK(of->resumed == SSL_session_reused(here));
}

/* Joins two connections by a pair of BIOs in memory. */
static inline void join(SSL *there, SSL *here) {
    BIO *ends[2];
    CHECK(BIO_new_bio_pair(&ends[0], 1 << 17, &ends[1], 1 << 17) == 1);
    SSL_set_bio(there, ends[0], ends[0]);
    SSL_set_bio(here, ends[1], ends[1]);
}

/* Connects to a server's connection that is there already: the client's, open. `of` has to stay
 * until it is closed. */
static inline SSL *opens(SSL *there, SSL_CTX *from, const wants *want, went *of) {
    SSL *here = SSL_new(from);
    SSL_SESSION *copy = NULL;
    memset(of, 0, sizeof *of);
    CHECK(there != NULL && here != NULL && SSL_set_app_data(here, of) == 1);
    join(there, here);
    if (want->session != NULL) {
        /* OpenSSL's clients mark a TLS 1.3 session that they have proposed. */
        copy = SSL_SESSION_dup(want->session);
        CHECK(copy != NULL && SSL_set_session(here, copy) == 1);
        SSL_SESSION_free(copy);
    }
    if (want->server_name != NULL) {
        CHECK(SSL_set_tlsext_host_name(here, want->server_name) == 1);
    }
    shake(there, here, want, of);
    return here;
}

/* Ends the client's side. Its sessions are good, however this ends. */
static inline void leaves(SSL *here) {
    SSL_set_shutdown(here, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_set_app_data(here, NULL);
    SSL_free(here);
}

/* Connects to a server's connection that is there already, and ends both. */
static inline went connect_to(SSL *there, SSL_CTX *from, wants want) {
    went of;
    SSL *here = opens(there, from, &want, &of);
    if (!want.drops) {
        (void)SSL_shutdown(there);
    }
    leaves(here);
    SSL_free(there);
    return of;
}

static inline went connect_with(SSL_CTX *to, SSL_CTX *from, wants want) {
    return connect_to(SSL_new(to), from, want);
}

/* Connects, proposes a session or none, and says whether it was resumed. */
static inline int resumes(SSL_CTX *to, SSL_CTX *from, SSL_SESSION *session) {
    wants want = nothing();
    went of;
    int resumed;
    want.session = session;
    of = connect_with(to, from, want);
    resumed = of.resumed;
    forget(&of);
    return resumed;
}

/* A first connection, and a session of it: the test's own. */
static inline SSL_SESSION *begins(SSL_CTX *to, SSL_CTX *from) {
    went of = connect_with(to, from, nothing());
    SSL_SESSION *session;
    CHECK(!of.resumed && of.given >= 1);
    session = of.sessions[0];
    CHECK(SSL_SESSION_up_ref(session) == 1);
    forget(&of);
    return session;
}

#endif
