/* A host of the preload library, with handshakes in memory: ./host CLAIM checks one claim, and
 * ./host alone names them. It knows nothing of the cache, whose library is only preloaded. */
#define _GNU_SOURCE
#include "policy.h"
#include "store.h"

/* ---- The claims ---- */

static void contexts_of_one_id_do_not_share_sessions(void) {
    SSL_CTX *one = bare_server(), *other = bare_server();
    set_id(one, "same");
    set_id(other, "same");
    SSL_SESSION *session = begins(one, to12);
    CHECK(resumes(one, to12, session));
    CHECK(!resumes(other, to12, session));
    SSL_SESSION_free(session);
    SSL_CTX_free(one);
    SSL_CTX_free(other);
}

static void contexts_of_one_id_and_store_share_sessions(void) {
    SSL_CTX *one = bare_server(), *other = bare_server();
    set_id(one, "same");
    set_id(other, "same");
    set_callbacks(one);
    set_callbacks(other);
    SSL_SESSION *session = begins(one, to12);
    CHECK(resumes(other, to12, session));
    SSL_SESSION_free(session);
    SSL_CTX_free(one);
    SSL_CTX_free(other);
}

static void the_hosts_time_out_is_kept(void) {
    SSL_CTX *context = bare_server();
    /* In nginx's order. */
    SSL_CTX_set_timeout(context, 17);
    set_id(context, "id");
    SSL_SESSION *session = begins(context, to13);
    CHECK(SSL_CTX_get_timeout(context) == 17);
    CHECK(SSL_SESSION_get_ticket_lifetime_hint(session) == 17);
    SSL_SESSION_free(session);
    SSL_CTX_free(context);
}

static void the_host_is_told_the_mode_that_it_set(void) {
    SSL_CTX *context = bare_server();
    CHECK(SSL_CTX_get_session_cache_mode(context) == SSL_SESS_CACHE_SERVER);
    CHECK(SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF) == SSL_SESS_CACHE_SERVER);
    SSL_SESSION *session = begins(context, to12);
    CHECK(SSL_CTX_get_session_cache_mode(context) == SSL_SESS_CACHE_OFF);
    CHECK(resumes(context, to12, session));
    SSL_SESSION_free(session);
    SSL_CTX_free(context);
}

/* nginx connects to what is behind it with contexts of TLS_method(). */
static void a_clients_context_is_left_alone(void) {
    SSL_CTX *context = bare_server(), *from = SSL_CTX_new(TLS_method());
    int times;
    set_id(context, "id");
    SSL_CTX_set_session_cache_mode(from, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(from, client_is_given);
    for (times = 0; times < 2; times++) {
        SSL_SESSION *session = begins(context, from);
        CHECK(resumes(context, from, session));
        SSL_SESSION_free(session);
    }
    CHECK((SSL_CTX_get_options(from) & SSL_OP_NO_TICKET) == 0);
    SSL_CTX_free(from);
    SSL_CTX_free(context);
}

static int switches(SSL *ssl, int *alert, void *to) {
    (void)alert;
    CHECK(SSL_set_SSL_CTX(ssl, (SSL_CTX *)to) == (SSL_CTX *)to);
    return SSL_TLSEXT_ERR_OK;
}

/* As OpenSSL does: those of the context that the connection began with. */
static void a_server_name_does_not_lose_the_callbacks(void) {
    SSL_CTX *listens = bare_server(), *named = bare_server();
    wants want = nothing();
    went of;
    set_id(listens, "id");
    set_callbacks(listens);
    SSL_CTX_set_tlsext_servername_callback(listens, switches);
    SSL_CTX_set_tlsext_servername_arg(listens, named);
    want.server_name = "named";
    of = connect_with(listens, to12, want);
    CHECK(was_stored == 1);
    forget(&of);
    SSL_CTX_free(listens);
    SSL_CTX_free(named);
}

static int switches_early(SSL *ssl, int *alert, void *to) {
    return switches(ssl, alert, to) == SSL_TLSEXT_ERR_OK ? SSL_CLIENT_HELLO_SUCCESS : 0;
}

/* HAProxy does so, before the session is looked up. */
static void a_context_of_the_same_id_resumes_when_it_is_switched_to(void) {
    SSL_CTX *listens = bare_server(), *same = bare_server(), *also = bare_server();
    SSL_CTX *other = bare_server();
    SSL_SESSION *session;
    int version;
    set_id(listens, "id");
    set_id(same, "id");
    set_id(also, "id");
    set_id(other, "other");
    SSL_CTX_set_session_cache_mode(same, SSL_SESS_CACHE_OFF);
    for (version = 0; version < 2; version++) {
        SSL_CTX *from = version ? to13 : to12;
        SSL_CTX_set_client_hello_cb(listens, switches_early, same);
        session = begins(listens, from);
        SSL_CTX_set_client_hello_cb(listens, switches_early, other);
        CHECK(!resumes(listens, from, session));
        SSL_SESSION_free(session);
        session = begins(listens, from);
        CHECK(resumes(listens, from, session));
        SSL_SESSION_free(session);
        SSL_CTX_set_client_hello_cb(listens, switches_early, same);
        session = begins(listens, from);
        SSL_CTX_set_client_hello_cb(listens, switches_early, also);
        CHECK(resumes(listens, from, session));
        SSL_SESSION_free(session);
    }
    SSL_CTX_free(listens);
    SSL_CTX_free(same);
    SSL_CTX_free(also);
    SSL_CTX_free(other);
}

static int names_and_switches(SSL *ssl, int *alert, void *to) {
    static unsigned char names;
    names++; /* no two connections have the same */
    CHECK(SSL_set_session_id_context(ssl, &names, 1) == 1);
    return switches_early(ssl, alert, to);
}

static void an_id_of_one_connection_alone_is_not_overruled(void) {
    SSL_CTX *listens = bare_server(), *same = bare_server();
    SSL_SESSION *session;
    set_id(listens, "id");
    set_id(same, "id");
    SSL_CTX_set_client_hello_cb(listens, names_and_switches, same);
    session = begins(listens, to12);
    CHECK(!resumes(listens, to12, session));
    SSL_SESSION_free(session);
    SSL_CTX_free(listens);
    SSL_CTX_free(same);
}

/* stunnel does so after each full handshake. */
static void what_the_host_adds_is_not_kept_twice(void) {
    SSL_CTX *context = bare_server();
    SSL_SESSION *session;
    set_id(context, "id");
    session = begins(context, to12);
    CHECK(SSL_CTX_add_session(context, session) == 1);
    CHECK(SSL_CTX_sess_number(context) == 0);
    CHECK(resumes(context, to12, session));
    SSL_SESSION_free(session);
    SSL_CTX_free(context);
}

/* nginx removes the session of a client whose certificate it refuses. */
static void a_removal_reaches_the_host_whatever_is_cached(void) {
    SSL_CTX *context = bare_server(), *other = bare_server();
    set_id(context, "id");
    set_callbacks(context);
    SSL_SESSION *session = begins(context, to12), *foreign = begins(other, to12);
    (void)SSL_CTX_remove_session(context, foreign);
    CHECK(was_removed == 1);
    (void)SSL_CTX_remove_session(context, session);
    CHECK(was_removed == 2);
    SSL_SESSION_free(session);
    SSL_SESSION_free(foreign);
    SSL_CTX_free(context);
    SSL_CTX_free(other);
}

static int keeps_what_it_attached(SSL *ssl, SSL_SESSION *session) {
    (void)ssl;
    was_stored++;
    CHECK(SSL_SESSION_get_ex_data(session, 0) == NULL);
    CHECK(SSL_get_session(ssl) == session || SSL_version(ssl) == TLS1_3_VERSION);
    return 0;
}

static void the_new_callback_is_given_the_connections_own_session(void) {
    SSL_CTX *context = bare_server();
    set_id(context, "id");
    SSL_CTX_sess_set_new_cb(context, keeps_what_it_attached);
    SSL_SESSION_free(begins(context, to12));
    CHECK(was_stored == 1);
    SSL_CTX_free(context);
}

/* HALFSHAKE_PRELOAD_TIMEOUT is 1. */
static void what_expires_is_told_on_a_thread_of_the_hosts(void) {
    SSL_CTX *context = bare_server();
    int tries;
    set_id(context, "id");
    set_callbacks(context);
    SSL_SESSION_free(begins(context, to12));
    for (tries = 0; !was_removed; tries++) {
        CHECK(tries < 100);
        usleep(100000);
        SSL_SESSION_free(begins(context, to12));
    }
    CHECK(!was_elsewhere);
    SSL_CTX_free(context);
}

/* A reload: the old context is freed, its sessions expire (HALFSHAKE_PRELOAD_TIMEOUT is 1). */
static void a_context_that_was_freed_is_told_of_nothing(void) {
    SSL_CTX *old = bare_server(), *young = bare_server();
    int tries;
    set_id(old, "id");
    set_callbacks(old);
    set_id(young, "id");
    SSL_CTX_sess_set_get_cb(young, ask);
    SSL_SESSION_free(begins(old, to12));
    SSL_CTX_free(old);
    is_alive = 0;
    for (tries = 0; tries < 25; tries++) {
        usleep(100000);
        SSL_SESSION_free(begins(young, to12));
    }
    CHECK(!was_removed);
    SSL_CTX_free(young);
}

static void callbacks_that_come_late_are_called(void) {
    SSL_CTX *context = bare_server();
    set_id(context, "id");
    SSL_SESSION_free(begins(context, to12));
    set_callbacks(context);
    CHECK(SSL_CTX_sess_get_get_cb(context) == ask);
    SSL_SESSION *session = begins(context, to12);
    CHECK(was_stored == 1);
    CHECK(resumes(context, to12, session) && was_asked == 0);
    SSL_SESSION_free(session);
    session = begins(context, to13);
    CHECK(resumes(context, to13, session) && was_removed == 1);
    CHECK(!resumes(context, to13, session) && was_asked == 1);
    SSL_SESSION_free(session);
    SSL_CTX_sess_set_new_cb(context, NULL);
    CHECK(SSL_CTX_sess_get_new_cb(context) == NULL);
    was_stored = 0;
    SSL_SESSION_free(begins(context, to12));
    CHECK(was_stored == 0);
    SSL_CTX_free(context);
}

static void an_id_context_that_is_cleared_still_resumes(void) {
    SSL_CTX *context = bare_server();
    set_id(context, "id");
    SSL_SESSION_free(begins(context, to12));
    CHECK(SSL_CTX_set_session_id_context(context, NULL, 0) == 1);
    SSL_SESSION *session = begins(context, to12);
    CHECK(resumes(context, to12, session));
    SSL_SESSION_free(session);
    SSL_CTX_free(context);
}

enum { THREADS = 8, CONNECTIONS = 20 };
static SSL_CTX *shared;
static pthread_barrier_t begin;

static void *connects(void *of) {
    SSL_CTX *from = client(TLS1_2_VERSION);
    int times;
    (void)of;
    pthread_barrier_wait(&begin);
    for (times = 0; times < CONNECTIONS; times++) {
        SSL_SESSION *session = begins(shared, from);
        CHECK(resumes(shared, from, session));
        SSL_SESSION_free(session);
    }
    SSL_CTX_free(from);
    return NULL;
}

static void threads_may_make_the_first_connections(void) {
    pthread_t threads[THREADS];
    int i;
    shared = bare_server();
    set_id(shared, "id");
    CHECK(pthread_barrier_init(&begin, NULL, THREADS) == 0);
    for (i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, connects, NULL) == 0);
    }
    for (i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    CHECK(pthread_barrier_destroy(&begin) == 0);
    SSL_CTX_free(shared);
}

/* Those that are freed in the end, after the threads' own variables. */
static void ends_late(void) {
    SSL_CTX_free(shared);
}

static void a_context_may_be_freed_at_exit(void) {
    shared = bare_server();
    SSL_SESSION_free(begins(shared, to12));
    CHECK(atexit(ends_late) == 0);
}

static const struct {
    const char *name;
    void (*check)(void);
} claims[] = {
#define CLAIM(name) {#name, name}
    CLAIM(contexts_of_one_id_do_not_share_sessions),
    CLAIM(contexts_of_one_id_and_store_share_sessions),
    CLAIM(the_hosts_time_out_is_kept),
    CLAIM(the_host_is_told_the_mode_that_it_set),
    CLAIM(a_clients_context_is_left_alone),
    CLAIM(a_server_name_does_not_lose_the_callbacks),
    CLAIM(a_context_of_the_same_id_resumes_when_it_is_switched_to),
    CLAIM(an_id_of_one_connection_alone_is_not_overruled),
    CLAIM(what_the_host_adds_is_not_kept_twice),
    CLAIM(a_removal_reaches_the_host_whatever_is_cached),
    CLAIM(the_new_callback_is_given_the_connections_own_session),
    CLAIM(what_expires_is_told_on_a_thread_of_the_hosts),
    CLAIM(a_context_that_was_freed_is_told_of_nothing),
    CLAIM(callbacks_that_come_late_are_called),
    CLAIM(an_id_context_that_is_cleared_still_resumes),
    CLAIM(threads_may_make_the_first_connections),
    CLAIM(a_context_may_be_freed_at_exit),
    CLAIM(a_certificate_is_asked_for_where_no_id_says_whose_sessions_these_are),
    CLAIM(a_certificate_is_asked_for_where_no_id_is_switched_to),
    CLAIM(sessions_of_another_id_are_not_resumed),
    CLAIM(a_context_that_ends_leaves_shared_sessions),
    CLAIM(early_data_is_accepted_once_whoever_stores),
    CLAIM(a_copy_of_a_connection_outlives_the_first_context),
    CLAIM(a_copy_of_a_connection_has_its_own_id),
    CLAIM(no_context_has_no_mode),
    CLAIM(a_context_that_is_being_freed_is_told_of_nothing_that_expires),
    CLAIM(what_expires_is_told_to_the_context_that_it_was_of),
    CLAIM(what_was_evicted_is_removed_from_the_hosts_store_when_it_is_taken),
    CLAIM(what_the_host_hands_over_is_freed),
    CLAIM(what_the_cache_needs_of_the_options_stays),
    CLAIM(a_context_of_another_library_context_is_attached),
    CLAIM(a_context_with_a_method_for_clients_is_left_alone),
    CLAIM(a_context_that_ends_takes_its_sessions_along),
};

int main(int argc, char **argv) {
    size_t i;
    home = pthread_self();
    for (i = 0; i < sizeof claims / sizeof *claims; i++) {
        if (argc < 2) {
            puts(claims[i].name);
        } else if (strcmp(argv[1], claims[i].name) == 0) {
            make_identity();
            to12 = client(TLS1_2_VERSION);
            to13 = client(TLS1_3_VERSION);
            claims[i].check();
            SSL_SESSION_free(stored);
            SSL_CTX_free(to12);
            SSL_CTX_free(to13);
            return 0;
        }
    }
    return argc < 2 ? 0 : 2;
}
