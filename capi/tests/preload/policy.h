/* Claims about who may resume what. */
#ifndef POLICY_H
#define POLICY_H

#include "host.h"

static int demanded;

static int accepts_any(int preverified, X509_STORE_CTX *store) {
    (void)preverified, (void)store;
    demanded++;
    return 1;
}

/* One that has a certificate to show. */
static SSL_CTX *known_client(int version) {
    SSL_CTX *from = client(version);
    CHECK(SSL_CTX_use_certificate(from, the_certificate) == 1);
    CHECK(SSL_CTX_use_PrivateKey(from, the_key) == 1);
    return from;
}

enum { DEMANDS = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT };

/* A connection whose client has to show a certificate: whether it was resumed without that. */
static int resumes_demanding(SSL_CTX *to, SSL_CTX *from, SSL_SESSION *session) {
    SSL *there = SSL_new(to);
    wants want = nothing();
    went of;
    want.session = session;
    demanded = 0;
    SSL_set_verify(there, DEMANDS, accepts_any);
    of = connect_to(there, from, want);
    forget(&of);
    CHECK(of.resumed == (demanded == 0));
    return of.resumed;
}

/* OpenSSL lets such a handshake fail: "session id context uninitialized". */
static void a_certificate_is_asked_for_where_no_id_says_whose_sessions_these_are(void) {
    SSL_CTX *from[] = {known_client(TLS1_2_VERSION), known_client(TLS1_3_VERSION)};
    int i;
    for (i = 0; i < 2; i++) {
        SSL_CTX *context = bare_server();
        SSL_SESSION *session = begins(context, from[i]), *given;
        CHECK(!resumes_demanding(context, from[i], session));
        SSL_SESSION_free(session);
        session = begins(context, from[i]);
        CHECK(resumes(context, from[i], session));
        SSL_SESSION_free(session);
        /* Nor is what a client with a certificate was given good for one that asks for none. */
        SSL_CTX_set_verify(context, DEMANDS, accepts_any);
        SSL_CTX_sess_set_new_cb(context, store);
        given = begins(context, from[i]);
        CHECK(was_stored == 0);
        SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
        CHECK(!resumes(context, from[i], given));
        SSL_SESSION_free(given);
        was_stored = 0;
        SSL_CTX_free(context);
        SSL_CTX_free(from[i]);
    }
}

static int demands;

static int switches_and_demands(SSL *ssl, int *alert, void *to) {
    (void)alert;
    CHECK(SSL_set_SSL_CTX(ssl, (SSL_CTX *)to) == (SSL_CTX *)to);
    SSL_set_verify(ssl, demands ? DEMANDS : SSL_VERIFY_NONE, accepts_any);
    return SSL_CLIENT_HELLO_SUCCESS;
}

/* Whatever the context has that is switched from: it is the other one's id that counts. */
static void a_certificate_is_asked_for_where_no_id_is_switched_to(void) {
    SSL_CTX *from[] = {known_client(TLS1_2_VERSION), known_client(TLS1_3_VERSION)};
    int i;
    for (i = 0; i < 4; i++) {
        SSL_CTX *listens = bare_server(), *other = bare_server();
        SSL_SESSION *session;
        if (i < 2) {
            set_id(listens, "id");
        }
        SSL_CTX_set_client_hello_cb(listens, switches_and_demands, other);
        session = begins(listens, from[i % 2]);
        demands = 1;
        demanded = 0;
        CHECK(!resumes(listens, from[i % 2], session));
        CHECK(demanded > 0);
        demands = 0;
        SSL_SESSION_free(session);
        session = begins(listens, from[i % 2]);
        CHECK(resumes(listens, from[i % 2], session));
        SSL_SESSION_free(session);
        SSL_CTX_free(listens);
        SSL_CTX_free(other);
    }
    SSL_CTX_free(from[0]);
    SSL_CTX_free(from[1]);
}

/* A host changes its policy at run time, and its id context with it. */
static void sessions_of_another_id_are_not_resumed(void) {
    static const char *const ids[] = {"policy 1", "policy 2", "", "policy 2", "policy 1"};
    SSL_CTX *context = bare_server();
    SSL_SESSION *sessions[5][2];
    int i, of, v;
    for (i = 0; i < 5; i++) {
        set_id(context, ids[i]);
        for (of = 0; of < i; of++) {
            for (v = 0; v < 2; v++) {
                CHECK(!resumes(context, v ? to13 : to12, sessions[of][v]));
            }
        }
        for (v = 0; v < 2; v++) {
            sessions[i][v] = begins(context, v ? to13 : to12);
            /* The same once more is no change. */
            set_id(context, ids[i]);
        }
        CHECK(resumes(context, to12, sessions[i][0]));
    }
    CHECK(resumes(context, to13, sessions[4][1]));
    for (i = 0; i < 5; i++) {
        SSL_SESSION_free(sessions[i][0]);
        SSL_SESSION_free(sessions[i][1]);
    }
    SSL_CTX_free(context);
}

/* Where the host shares sessions by an id, what it shares stays. */
static void a_context_that_ends_leaves_shared_sessions(void) {
    SSL_CTX *ends = bare_server(), *stays = bare_server();
    SSL_SESSION *session;
    set_id(ends, "id");
    set_id(stays, "id");
    set_callbacks(stays);
    SSL_CTX_sess_set_new_cb(stays, NULL);
    SSL_CTX_sess_set_get_cb(ends, ask);
    session = begins(stays, to12);
    SSL_SESSION_free(begins(ends, to12));
    SSL_CTX_sess_set_get_cb(ends, NULL);
    SSL_CTX_free(ends);
    CHECK(was_removed == 0);
    CHECK(resumes(stays, to12, session));
    SSL_SESSION_free(session);
    SSL_CTX_free(stays);
}

/* Proposes a session with early data: how much of that was accepted. */
static int says_early(SSL_CTX *to, SSL_SESSION *session) {
    wants want = nothing();
    went of;
    want.session = session;
    want.early = "pay 100";
    of = connect_with(to, to13, want);
    forget(&of);
    CHECK(of.resumed || of.early == 0);
    return of.early;
}

static void early_data_is_accepted_once_whoever_stores(void) {
    SSL_CTX *context = bare_server();
    SSL_SESSION *session, *first;
    int times;
    set_id(context, "id");
    CHECK(SSL_CTX_set_num_tickets(context, 1) == 1);
    SSL_CTX_set_max_early_data(context, 16384);
    SSL_CTX_sess_set_new_cb(context, store);
    SSL_CTX_sess_set_get_cb(context, ask);
    session = begins(context, to13);
    first = stored;
    CHECK(SSL_SESSION_up_ref(first) == 1);
    CHECK(says_early(context, session) == 7);
    /* The host still has it: nothing tells it to remove it. */
    for (times = 0; times < 2; times++) {
        SSL_SESSION_free(stored);
        stored = first;
        CHECK(SSL_SESSION_up_ref(first) == 1);
        CHECK(says_early(context, session) == 0);
    }
    SSL_SESSION_free(first);
    SSL_SESSION_free(session);
    SSL_CTX_free(context);
}

/* A copy does not keep the context that the original began with. */
static void a_copy_of_a_connection_outlives_the_first_context(void) {
    SSL_CTX *first = bare_server(), *second = bare_server();
    SSL *original = SSL_new(first), *copy;
    void *others[40];
    size_t size;
    went of;
    set_id(first, "first");
    set_id(second, "second");
    SSL_set_accept_state(original);
    CHECK(SSL_set_SSL_CTX(original, second) == second);
    copy = SSL_dup(original);
    CHECK(copy != NULL && copy != original);
    SSL_free(original);
    SSL_CTX_free(first);
    for (size = 64; size < 640; size += 16) {
        /* Not kept: what was freed is something else now. */
        others[size / 16] = malloc(size);
        CHECK(others[size / 16] != NULL);
        memset(others[size / 16], 'x', size);
    }
    of = connect_to(copy, to12, nothing());
    CHECK(!of.resumed && of.given == 1);
    forget(&of);
    SSL_CTX_free(second);
    for (size = 64; size < 640; size += 16) {
        free(others[size / 16]);
    }
}

static int switches_to(SSL *ssl, int *alert, void *to) {
    (void)alert;
    CHECK(SSL_set_SSL_CTX(ssl, (SSL_CTX *)to) == (SSL_CTX *)to);
    return SSL_CLIENT_HELLO_SUCCESS;
}

static SSL *copy_with_id(SSL_CTX *context, const char *id) {
    SSL *original = SSL_new(context), *copy;
    SSL_set_accept_state(original);
    CHECK(SSL_set_session_id_context(original, (const unsigned char *)id, 1) == 1);
    copy = SSL_dup(original);
    CHECK(copy != NULL && copy != original);
    SSL_free(original);
    return copy;
}

static void a_copy_of_a_connection_has_its_own_id(void) {
    SSL_CTX *listens = bare_server(), *same = bare_server();
    wants want = nothing();
    went of, again;
    set_id(listens, "id");
    set_id(same, "id");
    SSL_free(SSL_new(same));
    SSL_CTX_set_client_hello_cb(listens, switches_to, same);
    of = connect_to(copy_with_id(listens, "x"), to12, nothing());
    CHECK(of.given == 1);
    want.session = of.sessions[0];
    again = connect_to(copy_with_id(listens, "y"), to12, want);
    CHECK(!again.resumed);
    forget(&of);
    forget(&again);
    SSL_CTX_free(listens);
    SSL_CTX_free(same);
}

static void no_context_has_no_mode(void) {
    SSL_CTX *context = bare_server();
    CHECK(SSL_CTX_get_session_cache_mode((SSL_CTX *)NULL) == 0);
    SSL_CTX_free(context);
}

static pthread_barrier_t in_end;
static int was_others;

static void holds_the_end(void *of, void *data, CRYPTO_EX_DATA *slots, int slot, long number,
                          void *pointer) {
    (void)of, (void)slots, (void)slot, (void)number, (void)pointer;
    if (data != NULL) {
        is_alive = 0;
        (void)pthread_barrier_wait(&in_end);
        (void)pthread_barrier_wait(&in_end);
    }
}

static void *frees(void *context) {
    SSL_CTX_free((SSL_CTX *)context);
    return NULL;
}

/* Its sessions expire while another thread frees it: the host's own part of it has ended, the
 * library's has not. */
static void a_context_that_is_being_freed_is_told_of_nothing_that_expires(void) {
    int slot = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, holds_the_end), i;
    SSL_CTX *old = bare_server(), *young = bare_server();
    pthread_t thread;
    CHECK(slot > 0 && SSL_CTX_set_ex_data(old, slot, &slot) == 1);
    set_id(old, "id");
    set_id(young, "id");
    set_callbacks(old);
    SSL_CTX_sess_set_get_cb(young, ask);
    for (i = 0; i < 8; i++) {
        SSL_SESSION_free(begins(old, to12));
    }
    CHECK(pthread_barrier_init(&in_end, NULL, 2) == 0);
    CHECK(pthread_create(&thread, NULL, frees, old) == 0);
    (void)pthread_barrier_wait(&in_end);
    for (i = 0; i < 25; i++) {
        usleep(100000);
        SSL_SESSION_free(begins(young, to12));
    }
    CHECK(was_removed == 0);
    (void)pthread_barrier_wait(&in_end);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(pthread_barrier_destroy(&in_end) == 0);
    SSL_CTX_free(young);
}

static void removes_nothing(SSL_CTX *context, SSL_SESSION *session) {
    was_others += SSL_SESSION_get_protocol_version(session) == TLS1_2_VERSION;
    CHECK(context != NULL);
}

/* Other contexts' handshakes sweep, but each context is told of its own sessions. */
static void what_expires_is_told_to_the_context_that_it_was_of(void) {
    SSL_CTX *told = bare_server(), *other = bare_server();
    int i;
    set_id(told, "id");
    set_id(other, "id");
    set_callbacks(told);
    SSL_CTX_sess_set_remove_cb(other, removes_nothing);
    for (i = 0; i < 8; i++) {
        SSL_SESSION_free(begins(told, to12));
    }
    for (i = 0; was_removed < 8; i++) {
        int before = was_removed;
        CHECK(i < 100);
        usleep(100000);
        CHECK(!resumes(other, to13, NULL) && was_removed == before);
        SSL_CTX_flush_sessions(told, 1);
    }
    CHECK(was_removed == 8 && was_others == 0);
    SSL_CTX_free(told);
    SSL_CTX_free(other);
}

#endif
