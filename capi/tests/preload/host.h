/* A host's own store, and what its claims are made with. */
#ifndef HOST_H
#define HOST_H

#include "../c/tls.h"

#include <pthread.h>
#include <unistd.h>

static SSL_CTX *to12, *to13;

/* ---- A host's own store, of one session ---- */

static SSL_SESSION *stored;
static int was_stored, was_asked, was_removed, was_elsewhere;
static pthread_t home;

static void notes_thread(void) {
    was_elsewhere += !pthread_equal(home, pthread_self());
}

static int store(SSL *ssl, SSL_SESSION *session) {
    (void)ssl;
    notes_thread();
    was_stored++;
    SSL_SESSION_free(stored);
    stored = session;
    return 1; /* the reference is kept */
}

static SSL_SESSION *ask(SSL *ssl, const unsigned char *id, int len, int *copy) {
    unsigned held = 0;
    const unsigned char *of = stored ? SSL_SESSION_get_id(stored, &held) : NULL;
    (void)ssl;
    notes_thread();
    was_asked++;
    *copy = 1;
    return of && held == (unsigned)len && memcmp(of, id, held) == 0 ? stored : NULL;
}

static int is_alive;

static void removes(SSL_CTX *context, SSL_SESSION *session) {
    (void)session;
    notes_thread();
    CHECK(SSL_CTX_get_app_data(context) == &is_alive && is_alive);
    was_removed++;
}

static void set_callbacks(SSL_CTX *context) {
    CHECK(SSL_CTX_set_app_data(context, &is_alive) == 1);
    is_alive = 1;
    SSL_CTX_sess_set_new_cb(context, store);
    SSL_CTX_sess_set_get_cb(context, ask);
    SSL_CTX_sess_set_remove_cb(context, removes);
}

static void set_id(SSL_CTX *context, const char *id) {
    CHECK(SSL_CTX_set_session_id_context(context, (const unsigned char *)id,
                                         (unsigned)strlen(id)) == 1);
}

#endif
