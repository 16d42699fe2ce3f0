/* Claims about the host's own store, and about what is attached. */
#ifndef STORE_H
#define STORE_H

#include "host.h"

#include <sys/wait.h>

/* A cache that forgets what it is given, as soon as more comes. */
static SSL_CTX *forgetful(void) {
    SSL_CTX *context;
    CHECK(setenv("HALFSHAKE_PRELOAD_CAPACITY", "1", 1) == 0);
    context = bare_server();
    set_id(context, "id");
    set_callbacks(context);
    CHECK(SSL_CTX_set_num_tickets(context, 1) == 1);
    return context;
}

/* More comes, of which the host stores nothing. */
static void more_comes(SSL_CTX *context) {
    int i;
    SSL_CTX_sess_set_new_cb(context, NULL);
    for (i = 0; i < 64; i++) {
        SSL_SESSION_free(begins(context, to12));
    }
}

static void what_was_evicted_is_removed_from_the_hosts_store_when_it_is_taken(void) {
    SSL_CTX *context = forgetful();
    SSL_SESSION *session = begins(context, to13);
    more_comes(context);
    CHECK(was_removed == 0 && was_asked == 0);
    CHECK(resumes(context, to13, session));
    CHECK(was_asked == 1 && was_removed >= 1);
    SSL_SESSION_free(session);
    SSL_CTX_free(context);
}

static int ended;

static void session_ends(void *of, void *data, CRYPTO_EX_DATA *slots, int slot, long number,
                         void *pointer) {
    (void)of, (void)slots, (void)slot, (void)number, (void)pointer;
    ended += data != NULL;
}

static SSL_SESSION *hands_over(SSL *ssl, const unsigned char *id, int len, int *copy) {
    SSL_SESSION *held = ask(ssl, id, len, copy);
    if (held != NULL) {
        stored = NULL;
        *copy = 0;
    }
    return held;
}

static void what_the_host_hands_over_is_freed(void) {
    int slot = SSL_SESSION_get_ex_new_index(0, NULL, NULL, NULL, session_ends);
    SSL_CTX *context = forgetful();
    SSL_SESSION *session = begins(context, to12);
    SSL_CTX_sess_set_get_cb(context, hands_over);
    more_comes(context);
    CHECK(slot > 0 && stored != NULL && SSL_SESSION_set_ex_data(stored, slot, &slot) == 1);
    CHECK(resumes(context, to12, session) && was_asked == 1);
    CHECK(stored == NULL && ended == 1);
    SSL_SESSION_free(session);
    SSL_CTX_free(context);
}

static void what_the_cache_needs_of_the_options_stays(void) {
    SSL_CTX *context = bare_server();
    set_id(context, "id");
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
    SSL_SESSION_free(begins(context, to12));
    SSL_CTX_clear_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_clear_options(context, SSL_OP_NO_ANTI_REPLAY);
    CHECK((SSL_CTX_get_options(context) & SSL_OP_NO_TICKET) != 0);
    CHECK((SSL_CTX_get_options(context) & SSL_OP_NO_ANTI_REPLAY) != 0);
    CHECK((SSL_CTX_get_options(context) & SSL_OP_NO_RENEGOTIATION) == 0);
    SSL_CTX_free(context);
}

/* OpenSSL's own cache is switched off: it is ours that resumes. */
static void a_context_of_another_library_context_is_attached(void) {
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
    SSL_CTX *context = SSL_CTX_new_ex(NULL, NULL, TLS_server_method());
    SSL_SESSION *session;
    CHECK(context != NULL && SSL_CTX_use_certificate(context, the_certificate) == 1);
    CHECK(SSL_CTX_use_PrivateKey(context, the_key) == 1);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    set_id(context, "id");
    session = begins(context, to12);
    CHECK(resumes(context, to12, session));
    SSL_SESSION_free(session);
    SSL_CTX_free(context);
#endif
}

static void a_context_with_a_method_for_clients_is_left_alone(void) {
    SSL_CTX *context = bare_server(), *from = SSL_CTX_new(TLS_client_method());
    CHECK(!resumes(context, from, NULL));
    CHECK((SSL_CTX_get_options(context) & SSL_OP_NO_TICKET) != 0);
    CHECK((SSL_CTX_get_options(from) & SSL_OP_NO_TICKET) == 0);
    SSL_CTX_free(from);
    SSL_CTX_free(context);
}

/* By the line that a process leaves at its end. */
static void a_context_that_ends_takes_its_sessions_along(void) {
    char path[] = P_tmpdir "/halfshake-host-XXXXXX", line[256] = "";
    int file = mkstemp(path), status = 1;
    pid_t child;
    CHECK(file >= 0);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        SSL_CTX *ends, *stays;
        CHECK(setenv("HALFSHAKE_PRELOAD_STATS", path, 1) == 0);
        ends = bare_server();
        stays = bare_server();
        SSL_SESSION_free(begins(stays, to12));
        SSL_SESSION_free(begins(ends, to12));
        SSL_SESSION_free(begins(ends, to12));
        SSL_CTX_free(ends);
        exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(read(file, line, sizeof line - 1) > 0);
    CHECK(close(file) == 0 && unlink(path) == 0);
    CHECK(strstr(line, " stored=3 ") != NULL && strstr(line, " held=1 ") != NULL);
}

#endif
