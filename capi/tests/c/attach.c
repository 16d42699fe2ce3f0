/* A cache under contexts of OpenSSL: real handshakes, in memory. */
#include "watched.h"

#include <sched.h>

static SSL_CTX *tls12, *tls13; /* clients */

static void tls12_is_resumed_as_often_as_it_is_proposed(void) {
    halfshake_cache *cache = watched();
    SSL_CTX *context = server(cache);
    SSL_SESSION *session = begins(context, tls12);
    int i;
    for (i = 0; i < 5; i++) {
        CHECK(resumes(context, tls12, session));
    }
    CHECK(stats_of(cache).number == 1 && stats_of(cache).hits == 5);
    CHECK(left[HALFSHAKE_CAUSE_TAKEN] == 0);
    SSL_SESSION_free(session);
    ends(context, cache);
    CHECK(left[HALFSHAKE_CAUSE_SHUTDOWN] == 1);
}

static void tls13_is_resumed_once(void) {
    halfshake_cache *cache = watched();
    SSL_CTX *context = server(cache);
    SSL_SESSION *session = begins(context, tls13);
    CHECK(stats_of(cache).number == 2);
    CHECK(resumes(context, tls13, session));
    CHECK(!resumes(context, tls13, session));
    CHECK(left[HALFSHAKE_CAUSE_TAKEN] == 1);
    SSL_SESSION_free(session);
    ends(context, cache);
}

/* The client proposes it twice in one handshake then, and the second time it was taken already. */
static void tls13_is_resumed_after_a_retry(void) {
    halfshake_cache *cache = watched();
    SSL_CTX *context = server(cache);
    SSL_SESSION *session;
    CHECK(SSL_CTX_set1_groups_list(context, "P-384") == 1); /* not what clients guess */
    session = begins(context, tls13);
    CHECK(resumes(context, tls13, session) && !resumes(context, tls13, session));
    CHECK(left[HALFSHAKE_CAUSE_TAKEN] == 1);
    SSL_SESSION_free(session);
    /* Where early data is accepted single use comes first. */
    CHECK(SSL_CTX_set_max_early_data(context, 1000) == 1);
    session = begins(context, tls13);
    CHECK(!resumes(context, tls13, session));
    SSL_SESSION_free(session);
    ends(context, cache);
}

static void tls13_is_reused_where_that_is_wanted(void) {
    halfshake_cache *cache = watched();
    halfshake_attach_options options = attach_to(WWW);
    SSL_CTX *context = bare_server();
    SSL_SESSION *session;
    int i;
    options.flags = HALFSHAKE_ATTACH_REUSE_TLS13;
    OK(halfshake_attach(cache, context, &options));
    CHECK((SSL_CTX_get_options(context) & SSL_OP_NO_ANTI_REPLAY) == 0);
    session = begins(context, tls13);
    for (i = 0; i < 3; i++) {
        CHECK(resumes(context, tls13, session));
    }
    SSL_SESSION_free(session);
    ends(context, cache);
}

static void early_data_is_accepted_once(void) {
    halfshake_cache *cache = watched();
    SSL_CTX *context = server(cache);
    wants want = nothing();
    went first, replayed;
    CHECK(SSL_CTX_set_max_early_data(context, 1000) == 1);
    want.session = begins(context, tls13);
    want.early = "early";
    first = connect_with(context, tls13, want);
    CHECK(first.resumed && first.early == 5);
    replayed = connect_with(context, tls13, want);
    CHECK(!replayed.resumed && replayed.early == 0);
    forget(&first);
    forget(&replayed);
    SSL_SESSION_free(want.session);
    ends(context, cache);
}

static void connection_that_is_dropped_takes_its_session_along(void) {
    halfshake_cache *cache = watched();
    SSL_CTX *context = server(cache);
    wants want = nothing();
    went of;
    want.drops = 1;
    of = connect_with(context, tls12, want);
    CHECK(of.given == 1 && left[HALFSHAKE_CAUSE_FAULTY] == 1);
    CHECK(!resumes(context, tls12, of.sessions[0]));
    forget(&of);
    ends(context, cache);
}

static void contexts_of_one_namespace_share_sessions(void) {
    halfshake_cache *cache = watched();
    SSL_CTX *one = server(cache), *same = server(cache), *other = server_in(cache, "other");
    SSL_SESSION *twelve = begins(one, tls12), *thirteen = begins(one, tls13);
    CHECK(!resumes(other, tls12, twelve) && !resumes(other, tls13, thirteen));
    CHECK(resumes(same, tls12, twelve) && resumes(same, tls13, thirteen));
    /* A context ends, its sessions stay: as after a reload of certificates. */
    SSL_CTX_free(one);
    CHECK(resumes(same, tls12, twelve));
    SSL_SESSION_free(twelve);
    SSL_SESSION_free(thirteen);
    SSL_CTX_free(other);
    ends(same, cache);
}

static void expired_session_is_not_resumed(void) {
    halfshake_cache *cache = watched();
    SSL_CTX *context = server(cache);
    SSL_SESSION *session;
    uint64_t number = 1;
    OK(halfshake_cache_set_timeout(cache, 20, NULL));
    session = begins(context, tls12);
    for (; number != 0; sched_yield()) {
        OK(halfshake_cache_len(cache, &number));
    }
    CHECK(!resumes(context, tls12, session));
    SSL_SESSION_free(session);
    ends(context, cache);
}

static void what_is_set_up_is_what_single_use_needs(void) {
    halfshake_cache *cache = watched(), *attached;
    SSL_CTX *context;
    OK(halfshake_cache_set_timeout(cache, 1234567, NULL));
    context = server(cache);
    CHECK(SSL_CTX_get_timeout(context) == 1236); /* no sooner than the cache's */
    CHECK(SSL_CTX_get_session_cache_mode(context) ==
          (SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL));
    CHECK((SSL_CTX_get_options(context) & SSL_OP_NO_TICKET) != 0);
    CHECK((SSL_CTX_get_options(context) & SSL_OP_NO_ANTI_REPLAY) != 0);
    OK(halfshake_attached(context, &attached));
    CHECK(attached == cache);
    ends(context, cache);
}

static const unsigned char *last_offered; /* where the session lies that a server has resumed */

static void on_info(const SSL *ssl, int where, int value) {
    (void)value;
    if (where == SSL_CB_HANDSHAKE_DONE && SSL_session_reused(ssl)) {
        unsigned int len;
        last_offered = SSL_SESSION_get_id(SSL_get_session(ssl), &len);
    }
}

/* The same object each time, until its connection fails, or another one has its id. */
static void objects_are_kept_beside_their_bytes(void) {
    halfshake_cache *cache = watched();
    halfshake_attach_options options = attach_to(WWW);
    SSL_CTX *context = bare_server();
    SSL_SESSION *session, *thirteen;
    const unsigned char *kept;
    halfshake_session *other;
    halfshake_key name = key("");
    unsigned int id_len;
    wants want = nothing();
    went of;
    options.objects = UINT64_MAX;
    SAYS(HALFSHAKE_BAD_SETTING, "objects", halfshake_attach(cache, context, &options));
    options.objects = 10;
    OK(halfshake_attach(cache, context, &options));
    SSL_CTX_set_info_callback(context, on_info);
    session = begins(context, tls12);
    CHECK(resumes(context, tls12, session));
    kept = last_offered;
    last_offered = NULL;
    CHECK(resumes(context, tls12, session) && last_offered == kept);
    /* Used by connections on end, also if one of them fails. */
    want.session = session;
    want.drops = 1;
    of = connect_with(context, tls12, want);
    CHECK(of.resumed && left[HALFSHAKE_CAUSE_FAULTY] == 1);
    forget(&of);
    CHECK(!resumes(context, tls12, session));
    /* Single use is decided by the cache. */
    thirteen = begins(context, tls13);
    CHECK(resumes(context, tls13, thirteen) && !resumes(context, tls13, thirteen));
    SSL_SESSION_free(session);
    session = begins(context, tls12);
    OK(halfshake_cache_flush_all(cache, NULL));
    CHECK(!resumes(context, tls12, session));
    /* The bytes decide: here they are other ones under the same id. */
    SSL_SESSION_free(session);
    session = begins(context, tls12);
    name.id = SSL_SESSION_get_id(session, &id_len);
    name.id_len = id_len;
    OK(halfshake_session_new(cache, &name, "none", 4, &other));
    OK(halfshake_cache_add(cache, other));
    halfshake_session_free(other);
    CHECK(!resumes(context, tls12, session));
    CHECK(stats_of(cache).rejected[HALFSHAKE_REASON_MALFORMED] == 1);
    SSL_SESSION_free(thirteen);
    SSL_SESSION_free(session);
    ends(context, cache);
}

/* A store outside: one session, with what was asked of it. */
static struct {
    halfshake_session *session;
    int asked, purpose, news;
    void *connection;
    uint64_t auth_not_after_ms;
} outside;

static int on_new(halfshake_cache *cache, void *connection, const halfshake_new *fresh,
                  void *user_data) {
    halfshake_times times;
    (void)cache, (void)user_data;
    outside.news++;
    outside.connection = connection;
    OK(halfshake_session_times(fresh->session, &times));
    outside.auth_not_after_ms = times.auth_not_after_ms;
    if (outside.session == NULL) {
        outside.session = halfshake_session_dup(fresh->session);
    }
    return 1;
}

static void on_get(halfshake_cache *cache, void *connection, const halfshake_key *name,
                   int purpose, halfshake_answer *answer, void *user_data) {
    (void)cache, (void)name, (void)user_data;
    outside.asked++;
    outside.connection = connection;
    outside.purpose = purpose;
    if (outside.session != NULL) {
        OK(halfshake_answer_session(answer, outside.session));
    }
}

static halfshake_cache *with_outside(halfshake_options options) {
    halfshake_cache *cache = cache_of(options);
    halfshake_session_free(outside.session);
    memset(&outside, 0, sizeof outside);
    OK(halfshake_cache_set_new_callback(cache, on_new, NULL, NULL));
    OK(halfshake_cache_set_get_callback(cache, on_get, NULL, NULL));
    return cache;
}

static void callbacks_are_given_the_connection(void) {
    halfshake_options options = options_for(100);
    halfshake_cache *cache;
    SSL_CTX *context;
    SSL_SESSION *session;
    SSL *there;
    went of;
    wants want = nothing();
    options.modes = HALFSHAKE_MODE_SERVER | HALFSHAKE_MODE_NO_INTERNAL;
    cache = with_outside(options);
    context = server(cache);
    session = begins(context, tls12);
    CHECK(outside.news == 1 && outside.session != NULL && outside.connection != NULL);
    there = SSL_new(context);
    want.session = session;
    of = connect_to(there, tls12, want);
    CHECK(of.resumed && outside.connection == there);
    CHECK(outside.purpose == HALFSHAKE_PURPOSE_RESUME);
    forget(&of);
    SSL_SESSION_free(session);
    halfshake_session_free(outside.session);
    outside.session = NULL;
    session = begins(context, tls13);
    CHECK(resumes(context, tls13, session) && outside.purpose == HALFSHAKE_PURPOSE_TAKE);
    SSL_SESSION_free(session);
    ends(context, cache);
}

/* A session of the store with another payload, or another version. */
static void gives(halfshake_cache *cache, SSL_SESSION *for_whom, const char *ns,
                  const void *payload, size_t len, uint16_t version) {
    halfshake_key name;
    unsigned int id_len;
    name.id = SSL_SESSION_get_id(for_whom, &id_len);
    name.id_len = id_len;
    name.ns = ns;
    name.ns_len = strlen(ns);
    name.version = version;
    halfshake_session_free(outside.session);
    OK(halfshake_session_new(cache, &name, payload, len, &outside.session));
}

/* What a server of a namespace stores for a connection; the client's session has that id. */
static unsigned char *negotiated(const char *ns, SSL_CTX *from, SSL_SESSION **session,
                                 size_t *len) {
    halfshake_cache *cache = with_outside(options_for(10));
    SSL_CTX *context = server_in(cache, ns);
    SSL_SESSION *given = begins(context, from);
    halfshake_key name;
    const void *payload;
    unsigned char *copy;
    OK(halfshake_session_payload(outside.session, &payload, len));
    OK(halfshake_session_key(outside.session, &name));
    copy = (unsigned char *)malloc(*len);
    CHECK(copy != NULL);
    memcpy(copy, payload, *len);
    *session = SSL_SESSION_dup(given);
    CHECK(SSL_SESSION_set1_id(*session, (const unsigned char *)name.id,
                              (unsigned int)name.id_len) == 1);
    SSL_SESSION_free(given);
    ends(context, cache);
    return copy;
}

/* A client proposes `of`, and this is what the store gives: it is not used, for this reason. */
static void is_rejected(SSL_CTX *context, halfshake_cache *cache, SSL_SESSION *of, int reason) {
    uint64_t before = stats_of(cache).rejected[reason];
    CHECK(!resumes(context, tls12, of));
    CHECK(stats_of(cache).rejected[reason] == before + 1);
}

static void what_comes_from_outside_is_compared_before_it_is_used(void) {
    halfshake_options options = options_for(100);
    size_t own_len, other_len, newer_len;
    SSL_SESSION *own, *stranger, *newer, *older;
    unsigned char *good = negotiated(WWW, tls12, &own, &own_len);
    unsigned char *other = negotiated("other", tls12, &stranger, &other_len);
    unsigned char *thirteen = negotiated(WWW, tls13, &newer, &newer_len);
    halfshake_cache *cache;
    SSL_CTX *context;
    unsigned int id_len;
    options.unknown_ids = 0;
    options.modes = HALFSHAKE_MODE_SERVER | HALFSHAKE_MODE_NO_INTERNAL;
    cache = with_outside(options);
    context = server(cache);
    gives(cache, own, WWW, good, own_len, 0x0303);
    CHECK(resumes(context, tls12, own));
    /* Another session's object. */
    gives(cache, stranger, WWW, good, own_len, 0x0303);
    is_rejected(context, cache, stranger, HALFSHAKE_REASON_ID);
    /* An object of another context. */
    gives(cache, stranger, WWW, other, other_len, 0x0303);
    is_rejected(context, cache, stranger, HALFSHAKE_REASON_NAMESPACE);
    /* No object. */
    gives(cache, own, WWW, good, own_len - 1, 0x0303);
    is_rejected(context, cache, own, HALFSHAKE_REASON_MALFORMED);
    gives(cache, own, WWW, "", 0, 0x0303);
    is_rejected(context, cache, own, HALFSHAKE_REASON_MALFORMED);
    /* Of another version, as its record says, or as the object does. */
    gives(cache, own, WWW, good, own_len, 0x0302);
    is_rejected(context, cache, own, HALFSHAKE_REASON_VERSION);
    older = SSL_SESSION_dup(own);
    CHECK(SSL_SESSION_set1_id(older, SSL_SESSION_get_id(newer, &id_len), 32) == 1);
    gives(cache, older, WWW, thirteen, newer_len, 0x0303);
    is_rejected(context, cache, older, HALFSHAKE_REASON_VERSION);
    SSL_CTX_free(context);
    OK(halfshake_cache_free(cache));
    free(good);
    free(other);
    free(thirteen);
    SSL_SESSION_free(older);
    SSL_SESSION_free(newer);
    SSL_SESSION_free(stranger);
    SSL_SESSION_free(own);
}

typedef SSL_SESSION *(*get_callback)(SSL *, const unsigned char *, int, int *);

/* What is no session leaves no error behind: the handshake would seem to have failed. */
static void malformed_session_is_no_error_of_the_connection(void) {
    halfshake_options options = options_for(100);
    halfshake_cache *cache;
    SSL_CTX *context;
    SSL *there;
    get_callback get;
    halfshake_key name = key("0123456789abcdef0123456789abcdef");
    int copy = 1;
    options.modes = HALFSHAKE_MODE_SERVER | HALFSHAKE_MODE_NO_INTERNAL;
    cache = with_outside(options);
    context = server(cache);
    get = SSL_CTX_sess_get_get_cb(context);
    there = SSL_new(context);
    name.version = 0x0304; /* a connection's before it knows better */
    OK(halfshake_session_new(cache, &name, "none", 4, &outside.session));
    ERR_clear_error();
    CHECK(SSL_CTX_new(NULL) == NULL); /* an error of the program's own */
    CHECK(get(there, (const unsigned char *)name.id, 32, &copy) == NULL);
    CHECK(stats_of(cache).rejected[HALFSHAKE_REASON_MALFORMED] == 1);
    CHECK(ERR_GET_LIB(ERR_get_error()) == ERR_LIB_SSL && ERR_get_error() == 0);
    SSL_free(there);
    ends(context, cache);
}

static void one_connection_may_ask_four_times(void) {
    halfshake_options options = options_for(100);
    halfshake_cache *cache = with_outside(options);
    SSL_CTX *context = server(cache);
    get_callback get = SSL_CTX_sess_get_get_cb(context);
    SSL *there = SSL_new(context);
    int i, copy = 1;
    for (i = 0; i < 9; i++) {
        unsigned char id[32];
        memset(id, i, sizeof id);
        CHECK(get(there, id, sizeof id, &copy) == NULL && copy == 0);
    }
    CHECK(outside.asked == 4 && stats_of(cache).over_budget == 5);
    SSL_free(there);
    ends(context, cache);
}

static void resumption_makes_no_authentication_younger(void) {
    halfshake_cache *cache = with_outside(options_for(100));
    SSL_CTX *context = server(cache);
    SSL_SESSION *session = begins(context, tls13);
    uint64_t first = outside.auth_not_after_ms, now, then;
    OK(halfshake_cache_set_get_callback(cache, NULL, NULL, NULL));
    OK(halfshake_cache_now(cache, &now));
    for (then = now + 20; now < then; sched_yield()) {
        OK(halfshake_cache_now(cache, &now));
    }
    outside.auth_not_after_ms = 0;
    CHECK(resumes(context, tls13, session) && outside.auth_not_after_ms != 0);
    CHECK(outside.auth_not_after_ms <= first);
    CHECK(!resumes(context, tls13, session) && outside.auth_not_after_ms > first);
    SSL_SESSION_free(session);
    ends(context, cache);
}

static int switches(SSL *ssl, int *alert, void *to) {
    (void)alert;
    CHECK(SSL_set_SSL_CTX(ssl, (SSL_CTX *)to) == (SSL_CTX *)to);
    return SSL_TLSEXT_ERR_OK;
}

static void context_that_a_server_name_switches_to_needs_no_cache(void) {
    halfshake_cache *cache = watched(), *others = cache_for(100);
    SSL_CTX *context = server(cache), *bare = bare_server(), *other = server_in(others, "b");
    SSL_CTX *from[2], *to[2];
    int version, which;
    from[0] = tls12, from[1] = tls13, to[0] = bare, to[1] = other;
    CHECK(SSL_CTX_set_tlsext_servername_callback(context, switches) != 0);
    for (which = 0; which < 2; which++) {
        CHECK(SSL_CTX_set_tlsext_servername_arg(context, to[which]) != 0);
        for (version = 0; version < 2; version++) {
            wants want = nothing();
            went first, again;
            want.server_name = "b.example.org";
            first = connect_with(context, from[version], want);
            CHECK(!first.resumed && first.given >= 1);
            want.session = first.sessions[0];
            again = connect_with(context, from[version], want);
            CHECK(again.resumed);
            forget(&first);
            forget(&again);
        }
    }
    CHECK(stats_of(others).inserts == 0);
    SSL_CTX_free(bare);
    ends(other, others);
    ends(context, cache);
}

/* Callbacks are shared then, and the context that a connection has says whose they are. */
static void contexts_may_be_many(void) {
    enum { MANY = 80 };
    halfshake_cache *cache = watched();
    SSL_CTX *contexts[MANY];
    int i, round;
    for (round = 0; round < 2; round++) {
        for (i = 0; i < MANY; i++) {
            contexts[i] = server_in(cache, i % 2 == 0 ? WWW : "other");
        }
        for (i = 0; i < MANY; i += 13) {
            SSL_SESSION *session = begins(contexts[i], tls12);
            CHECK(resumes(contexts[i], tls12, session));
            CHECK(resumes(contexts[(i + 2) % MANY], tls12, session));
            CHECK(!resumes(contexts[(i + 1) % MANY], tls12, session));
            SSL_SESSION_free(session);
        }
        for (i = 0; i < MANY; i++) {
            SSL_CTX_free(contexts[i]);
        }
    }
    /* What others had is there again. */
    context_that_a_server_name_switches_to_needs_no_cache();
    OK(halfshake_cache_free(cache));
}

static void detached_context_stores_and_resumes_nothing(void) {
    halfshake_cache *cache = watched(), *other = cache_for(10), *attached = cache;
    halfshake_attach_options options = attach_to(WWW);
    SSL_CTX *context = server(cache);
    SSL_SESSION *session = begins(context, tls12);
    OK(halfshake_detach(context));
    GIVES(HALFSHAKE_MISS, halfshake_detach(context));
    GIVES(HALFSHAKE_MISS, halfshake_attached(context, &attached));
    CHECK(attached == NULL);
    CHECK(!resumes(context, tls12, session) && stats_of(cache).number == 1);
    OK(halfshake_attach(cache, context, &options));
    CHECK(resumes(context, tls12, session));
    /* To another cache, and back. */
    OK(halfshake_attach(other, context, &options));
    CHECK(!resumes(context, tls12, session) && stats_of(other).number == 1);
    OK(halfshake_attach(cache, context, &options));
    CHECK(resumes(context, tls12, session));
    SSL_SESSION_free(session);
    OK(halfshake_cache_free(other));
    ends(context, cache);
}

static int detaches(halfshake_cache *cache, void *connection, const halfshake_new *fresh,
                    void *user_data) {
    (void)connection, (void)fresh;
    OK(halfshake_detach((SSL_CTX *)user_data));
    (void)cache;
    return 1;
}

static void frees(halfshake_cache *cache, void *connection, const halfshake_key *name,
                  int purpose, halfshake_answer *answer, void *user_data) {
    (void)connection, (void)name, (void)purpose, (void)answer, (void)user_data;
    OK(halfshake_cache_free(cache));
}

static void callbacks_may_detach_and_free(void) {
    halfshake_cache *cache = watched();
    halfshake_attach_options options = attach_to(WWW);
    SSL_CTX *context = server(cache);
    SSL_SESSION *session;
    OK(halfshake_cache_set_new_callback(cache, detaches, context, NULL));
    session = begins(context, tls13); /* two sessions: the second is nobody's */
    CHECK(stats_of(cache).inserts == 1 && !resumes(context, tls13, session));
    OK(halfshake_cache_set_new_callback(cache, NULL, NULL, NULL));
    OK(halfshake_cache_flush_all(cache, NULL));
    OK(halfshake_attach(cache, context, &options));
    OK(halfshake_cache_set_get_callback(cache, frees, NULL, NULL));
    CHECK(!resumes(context, tls13, session));
    GIVES(HALFSHAKE_BAD_CACHE, halfshake_cache_free(cache));
    SSL_SESSION_free(session);
    SSL_CTX_free(context);
}

static void cache_may_end_before_its_contexts(void) {
    halfshake_cache *cache = watched(), *attached = cache;
    SSL_CTX *context = server(cache), *never = bare_server();
    SSL_SESSION *session = begins(context, tls12);
    halfshake_options small = options_for(1);
    int i;
    small.maintenance = HALFSHAKE_MAINTENANCE_LAZY;
    OK(halfshake_cache_free(cache));
    GIVES(HALFSHAKE_MISS, halfshake_attached(context, &attached));
    CHECK(!resumes(context, tls12, session) && !resumes(context, tls13, NULL));
    /* Its handle may mean another cache one day, which is none of this context's. */
    for (i = 0; i < 300; i++) {
        attached = cache_of(small);
        if (attached == cache) {
            break;
        }
        OK(halfshake_cache_free(attached));
    }
    CHECK(attached == cache);
    CHECK(!resumes(context, tls12, session) && stats_of(cache).inserts == 0);
    GIVES(HALFSHAKE_MISS, halfshake_attached(context, &attached));
    OK(halfshake_cache_free(cache));
    GIVES(HALFSHAKE_MISS, halfshake_attached(never, &attached));
    SSL_SESSION_free(session);
    SSL_CTX_free(never);
    SSL_CTX_free(context);
}

static void connections_may_be_older_copied_and_used_again(void) {
    halfshake_cache *cache = watched();
    halfshake_attach_options options = attach_to(WWW);
    SSL_CTX *context = bare_server();
    SSL *older = SSL_new(context), *original, *copy;
    SSL_SESSION *session;
    wants want = nothing();
    went of;
    int i;
    CHECK(older != NULL && SSL_set_session_id_context(older, (const unsigned char *)WWW,
                                                      (unsigned int)strlen(WWW)) == 1);
    OK(halfshake_attach(cache, context, &options));
    SSL_set_options(older, SSL_OP_NO_TICKET);
    of = connect_to(older, tls12, want);
    CHECK(of.given == 1 && stats_of(cache).number == 1);
    session = of.sessions[0];
    original = SSL_new(context);
    copy = SSL_dup(original);
    CHECK(copy != NULL && copy != original);
    want.session = session;
    CHECK(connect_to(original, tls12, want).resumed);
    CHECK(connect_to(copy, tls12, want).resumed);
    older = SSL_new(context);
    for (i = 0; i < 2; i++) {
        went again;
        SSL *here = SSL_new(tls12);
        memset(&again, 0, sizeof again);
        join(older, here);
        CHECK(SSL_set_session(here, session) == 1);
        shake(older, here, &want, &again);
        CHECK(again.resumed);
        (void)SSL_shutdown(older);
        SSL_set_shutdown(here, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(here);
        CHECK(SSL_clear(older) == 1);
    }
    SSL_free(older);
    forget(&of);
    ends(context, cache);
}

static void arguments_are_checked(void) {
    halfshake_cache *cache = watched(), *attached;
    halfshake_attach_options options = attach_to(WWW);
    SSL_CTX *context = bare_server();
    SAYS(HALFSHAKE_BAD_ARGUMENT, "cache", halfshake_attach(NULL, context, &options));
    SAYS(HALFSHAKE_BAD_ARGUMENT, "context", halfshake_attach(cache, NULL, &options));
    SAYS(HALFSHAKE_BAD_ARGUMENT, "options", halfshake_attach(cache, context, NULL));
    options.size--;
    SAYS(HALFSHAKE_BAD_SIZE, "halfshake_attach_options",
         halfshake_attach(cache, context, &options));
    options.size++;
    options.flags = 6;
    SAYS(HALFSHAKE_BAD_SETTING, "flags", halfshake_attach(cache, context, &options));
    options.flags = 0;
    options.reserved = 1;
    SAYS(HALFSHAKE_BAD_SETTING, "reserved", halfshake_attach(cache, context, &options));
    options.reserved = 0;
    options.ns_len = 33;
    SAYS(HALFSHAKE_BAD_NAMESPACE, "32", halfshake_attach(cache, context, &options));
    options.ns_len = 0;
    GIVES(HALFSHAKE_BAD_NAMESPACE, halfshake_attach(cache, context, &options));
    options.ns_len = 1;
    options.ns = NULL;
    SAYS(HALFSHAKE_BAD_ARGUMENT, "ns", halfshake_attach(cache, context, &options));
    GIVES(HALFSHAKE_MISS, halfshake_attached(context, &attached));
    CHECK(SSL_CTX_sess_get_new_cb(context) == NULL);
    SAYS(HALFSHAKE_BAD_ARGUMENT, "context", halfshake_detach(NULL));
    SAYS(HALFSHAKE_BAD_ARGUMENT, "context", halfshake_attached(NULL, &attached));
    SAYS(HALFSHAKE_BAD_ARGUMENT, "cache", halfshake_attached(context, NULL));
    OK(halfshake_cache_free(cache));
    options = attach_to(WWW);
    GIVES(HALFSHAKE_BAD_CACHE, halfshake_attach(cache, context, &options));
    SSL_CTX_free(context);
}

int main(void) {
    make_identity();
    tls12 = client(TLS1_2_VERSION);
    tls13 = client(TLS1_3_VERSION);
    arguments_are_checked();
    tls12_is_resumed_as_often_as_it_is_proposed();
    tls13_is_resumed_once();
    tls13_is_resumed_after_a_retry();
    tls13_is_reused_where_that_is_wanted();
    early_data_is_accepted_once();
    connection_that_is_dropped_takes_its_session_along();
    contexts_of_one_namespace_share_sessions();
    expired_session_is_not_resumed();
    what_is_set_up_is_what_single_use_needs();
    objects_are_kept_beside_their_bytes();
    callbacks_are_given_the_connection();
    what_comes_from_outside_is_compared_before_it_is_used();
    malformed_session_is_no_error_of_the_connection();
    one_connection_may_ask_four_times();
    callbacks_may_detach_and_free();
    resumption_makes_no_authentication_younger();
    context_that_a_server_name_switches_to_needs_no_cache();
    contexts_may_be_many();
    detached_context_stores_and_resumes_nothing();
    cache_may_end_before_its_contexts();
    connections_may_be_older_copied_and_used_again();
    halfshake_session_free(outside.session);
    SSL_CTX_free(tls12);
    SSL_CTX_free(tls13);
    return 0;
}
