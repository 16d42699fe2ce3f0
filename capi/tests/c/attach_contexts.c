/* A cache under contexts that were set up otherwise, that a callback switches to, and with
 * connections that are used again. The rows are those of tests/adapters/openssl_matrix.rs. */
#include "watched.h"

static SSL_CTX *clients[2];

/* D: what is in a ticket is its client's to keep. */
static void tickets_that_are_switched_on_again_fill_no_cache(void) {
    int which, i;
    for (which = 0; which < 4; which++) {
        halfshake_cache *cache = watched();
        SSL_CTX *context = server(cache);
        SSL_SESSION *session;
        SSL_CTX_clear_options(context, SSL_OP_NO_TICKET);
        CHECK(SSL_CTX_set_max_early_data(context, which < 2 ? 0 : 1000) == 1);
        session = begins(context, clients[which % 2]);
        for (i = 0; i < 3; i++) {
            CHECK(resumes(context, clients[which % 2], session));
        }
        CHECK(news == 0 && stats_of(cache).inserts == 0);
        CHECK(stats_of(cache).hits == 0 && stats_of(cache).misses == 0);
        SSL_SESSION_free(session);
        ends(context, cache);
    }
}

/* G: OpenSSL protects from replays by its own cache, whose end takes all sessions along. */
static void early_data_is_accepted_once_where_openssl_stores_sessions_too(void) {
    int tickets;
    for (tickets = 0; tickets < 2; tickets++) {
        halfshake_cache *cache = watched();
        SSL_CTX *context = server(cache);
        wants want = nothing();
        went first, replayed;
        SSL_CTX_clear_options(context,
                              SSL_OP_NO_ANTI_REPLAY | (tickets ? SSL_OP_NO_TICKET : 0));
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_SERVER |
                                                    SSL_SESS_CACHE_NO_INTERNAL_LOOKUP);
        CHECK(SSL_CTX_set_max_early_data(context, 1000) == 1);
        want.session = begins(context, clients[1]);
        want.early = "early";
        first = connect_with(context, clients[1], want);
        CHECK(first.resumed && first.early == 5 && left[HALFSHAKE_CAUSE_TAKEN] == 1);
        replayed = connect_with(context, clients[1], want);
        CHECK(!replayed.resumed && replayed.early == 0);
        CHECK(stats_of(cache).number == (uint64_t)SSL_CTX_sess_number(context));
        SSL_CTX_free(context);
        CHECK(stats_of(cache).number == 0 && left[HALFSHAKE_CAUSE_FAULTY] == news - 1);
        nothing_is_lost(cache);
        OK(halfshake_cache_free(cache));
        forget(&first);
        forget(&replayed);
        SSL_SESSION_free(want.session);
    }
}

/* J: of a connection of TLS 1.3 the last session is removed. */
static void dropped_connection_of_tls13_takes_its_last_session_along(void) {
    halfshake_cache *cache = watched();
    SSL_CTX *context = server(cache);
    wants want = nothing();
    went of;
    want.drops = 1;
    of = connect_with(context, clients[1], want);
    CHECK(of.given == 2 && left[HALFSHAKE_CAUSE_FAULTY] == 1 && stats_of(cache).number == 1);
    CHECK(!resumes(context, clients[1], of.sessions[1]));
    CHECK(resumes(context, clients[1], of.sessions[0]));
    forget(&of);
    ends(context, cache);
}

/* The library counts in whole seconds, from when a handshake began; the cache's time is what
 * decides, unless the handshake took longer than what the library was given beyond it. */
static uint64_t lives_ms, own_ms, given_ms;

static int notes_times(halfshake_cache *cache, void *connection, const halfshake_new *fresh,
                       void *user_data) {
    const SSL_SESSION *own = SSL_get_session((SSL *)connection);
    halfshake_times times;
    (void)cache, (void)user_data;
    OK(halfshake_session_times(fresh->session, &times));
    lives_ms = times.not_after_ms - times.created_ms;
    given_ms = (uint64_t)SSL_SESSION_get_timeout(own) * 1000;
    own_ms = (uint64_t)SSL_SESSION_get_time(own) * 1000 + given_ms - times.created_ms;
    return 1;
}

static void session_lives_as_long_as_the_cache_says(void) {
    static const uint64_t timeouts[] = {1, 700, 1500, 3999};
    size_t at;
    for (at = 0; at < 8; at++) {
        halfshake_cache *cache = watched();
        uint64_t timeout = timeouts[at / 2];
        SSL_CTX *context;
        OK(halfshake_cache_set_timeout(cache, timeout, NULL));
        OK(halfshake_cache_set_new_callback(cache, notes_times, NULL, NULL));
        context = server(cache);
        lives_ms = own_ms = given_ms = 0;
        SSL_SESSION_free(begins(context, clients[at % 2]));
        CHECK(given_ms >= timeout + 1000);
        CHECK(lives_ms == (timeout < own_ms ? timeout : own_ms));
        ends(context, cache);
    }
}

/* The context that a connection is switched to before a session is looked for. */
static SSL_CTX *chosen;

static int chooses(SSL *ssl, int *alert, void *argument) {
    (void)alert, (void)argument;
    CHECK(SSL_set_SSL_CTX(ssl, chosen) == chosen);
    return SSL_CLIENT_HELLO_SUCCESS;
}

static void context_that_a_client_hello_switches_to_has_sessions_of_its_own(void) {
    int which, own;
    for (which = 0; which < 4; which++) {
        halfshake_cache *cache = watched(), *others = cache_for(10);
        halfshake_attach_options options = attach_to(WWW);
        SSL_CTX *from = clients[which % 2], *context = bare_server(), *choices[3], *bare;
        SSL_SESSION *session;
        uint64_t rejected;
        wants want = nothing();
        went failed;
        options.objects = which < 2 ? 0 : 10;
        OK(halfshake_attach(cache, context, &options));
        choices[0] = server(cache);
        choices[1] = server_in(cache, "a");
        choices[2] = server_in(others, "b");
        bare = bare_server();
        SSL_CTX_set_client_hello_cb(context, chooses, NULL);
        for (own = 0; own < 3; own++) {
            chosen = choices[own];
            session = begins(context, from);
            chosen = choices[(own + 1) % 3];
            CHECK(!resumes(context, from, session));
            chosen = choices[own];
            CHECK(resumes(context, from, session));
            SSL_SESSION_free(session);
        }
        CHECK(stats_of(others).inserts == 0);
        /* A connection that fails takes along the session that lies under that name. */
        chosen = choices[1];
        want.drops = 1;
        failed = connect_with(context, from, want);
        CHECK(failed.given > 0 && left[HALFSHAKE_CAUSE_FAULTY] == 1);
        CHECK(!resumes(context, from, failed.sessions[failed.given - 1]));
        forget(&failed);
        /* One that is not attached has another id context: not to be found, so not stored. */
        rejected = stats_of(cache).rejected[HALFSHAKE_REASON_NAMESPACE];
        CHECK(rejected == 0);
        chosen = bare;
        own = news;
        session = begins(context, from);
        CHECK(news == own && !resumes(context, from, session));
        rejected = stats_of(cache).rejected[HALFSHAKE_REASON_NAMESPACE];
        CHECK(rejected == (which % 2 == 0 ? 2 : 4));
        SSL_SESSION_free(session);
        SSL_CTX_free(bare);
        for (own = 0; own < 3; own++) {
            SSL_CTX_free(choices[own]);
        }
        OK(halfshake_cache_free(others));
        ends(context, cache);
    }
}

/* A connection of the server's that is used for one client after the other. */
static int resumes_on(SSL *there, SSL_CTX *from, SSL_SESSION *session) {
    wants want = nothing();
    went of;
    SSL *here;
    int resumed;
    want.session = session;
    here = opens(there, from, &want, &of);
    resumed = of.resumed;
    (void)SSL_shutdown(there);
    leaves(here);
    forget(&of);
    CHECK(SSL_clear(there) == 1);
    return resumed;
}

/* OpenSSL 1.1.1 resumes the session that a cleared connection had before without asking for it. */
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
static void connection_that_is_used_again_resumes_a_session_once(void) {
    halfshake_cache *cache = watched();
    SSL_CTX *context = server(cache);
    SSL_SESSION *session = begins(context, clients[1]);
    SSL *there = SSL_new(context);
    /* Without a new session nothing else says that the handshake is over. */
    CHECK(SSL_set_num_tickets(there, 0) == 1);
    CHECK(resumes_on(there, clients[1], session));
    CHECK(!resumes_on(there, clients[1], session) && !resumes_on(there, clients[1], session));
    SSL_free(there);
    SSL_SESSION_free(session);
    ends(context, cache);
}
#endif

static int asked;

static void knows_none(halfshake_cache *cache, void *connection, const halfshake_key *name,
                       int purpose, halfshake_answer *answer, void *user_data) {
    (void)cache, (void)connection, (void)name, (void)purpose, (void)answer, (void)user_data;
    asked++;
}

/* Look-ups outside are counted for each handshake. */
static void connection_that_is_used_again_may_ask_again(void) {
    halfshake_options options = options_for(10);
    halfshake_cache *cache;
    SSL_CTX *context;
    SSL *there;
    SSL_SESSION *session;
    int i;
    options.unknown_ids = 0;
    cache = cache_of(options);
    context = server(cache);
    session = begins(context, clients[0]);
    OK(halfshake_cache_flush_all(cache, NULL));
    OK(halfshake_cache_set_get_callback(cache, knows_none, NULL, NULL));
    asked = 0;
    there = SSL_new(context);
    for (i = 0; i < 6; i++) {
        CHECK(!resumes_on(there, clients[0], session));
    }
    CHECK(asked == 6 && stats_of(cache).over_budget == 0);
    SSL_free(there);
    SSL_SESSION_free(session);
    ends(context, cache);
}

/* The program is told that a session has ended, and attaches to another context then. */
static halfshake_cache *for_another;
static SSL_CTX *another;
static int told;

static void attaches(void *parent, void *pointer, CRYPTO_EX_DATA *data, int index, long argl,
                     void *argp) {
    halfshake_attach_options options = attach_to("another");
    (void)parent, (void)data, (void)index, (void)argl, (void)argp;
    if (pointer != NULL && another != NULL) {
        told++;
        OK(halfshake_attach(for_another, another, &options));
    }
}

static int marks(halfshake_cache *cache, void *connection, const halfshake_new *fresh,
                 void *user_data) {
    (void)cache, (void)fresh;
    return SSL_SESSION_set_ex_data(SSL_get_session((SSL *)connection), *(int *)user_data,
                                   user_data);
}

static void what_was_attached_ends_outside_of_the_lock(void) {
    int index = SSL_SESSION_get_ex_new_index(0, NULL, NULL, NULL, attaches);
    halfshake_cache *cache = watched();
    halfshake_attach_options options = attach_to(WWW);
    SSL_CTX *context = bare_server();
    CHECK(index >= 0);
    options.objects = 10;
    OK(halfshake_attach(cache, context, &options));
    OK(halfshake_cache_set_new_callback(cache, marks, &index, NULL));
    SSL_SESSION_free(begins(context, clients[0]));
    for_another = cache;
    another = bare_server();
    OK(halfshake_attach(cache, context, &options));
    CHECK(told == 1);
    OK(halfshake_cache_set_new_callback(cache, NULL, NULL, NULL));
    SSL_CTX_free(another);
    another = NULL;
    ends(context, cache);
}

int main(void) {
    make_identity();
    clients[0] = client(TLS1_2_VERSION);
    clients[1] = client(TLS1_3_VERSION);
    tickets_that_are_switched_on_again_fill_no_cache();
    early_data_is_accepted_once_where_openssl_stores_sessions_too();
    dropped_connection_of_tls13_takes_its_last_session_along();
    session_lives_as_long_as_the_cache_says();
    context_that_a_client_hello_switches_to_has_sessions_of_its_own();
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
    connection_that_is_used_again_resumes_a_session_once();
#endif
    connection_that_is_used_again_may_ask_again();
    what_was_attached_ends_outside_of_the_lock();
    SSL_CTX_free(clients[0]);
    SSL_CTX_free(clients[1]);
    return 0;
}
