/* What is wrong gives a code and a message, and never a crash. */
#include "check.h"

static halfshake_cache *cache;
static halfshake_session *good;
static halfshake_key name;

static int on_new(halfshake_cache *at, void *connection, const halfshake_new *fresh,
                  void *user_data) {
    int left = 7;
    (void)at, (void)connection, (void)user_data;
    SAYS(HALFSHAKE_BAD_ARGUMENT, "left is NULL", halfshake_new_has_left(fresh, NULL));
    SAYS(HALFSHAKE_BAD_ARGUMENT, "fresh is NULL", halfshake_new_has_left(NULL, &left));
    CHECK(left == 0);
    return 1;
}

static void on_get(halfshake_cache *at, void *connection, const halfshake_key *asked,
                   int purpose, halfshake_answer *answer, void *user_data) {
    (void)at, (void)connection, (void)asked, (void)purpose, (void)user_data;
    SAYS(HALFSHAKE_BAD_ARGUMENT, "session is NULL", halfshake_answer_session(answer, NULL));
    SAYS(HALFSHAKE_BAD_ARGUMENT, "session is NULL", halfshake_answer_hand_over(answer, NULL));
    SAYS(HALFSHAKE_BAD_ARGUMENT, "bytes is NULL", halfshake_answer_bytes(answer, NULL, 3));
    SAYS(HALFSHAKE_BAD_ARGUMENT, "answer is NULL", halfshake_answer_session(NULL, good));
    SAYS(HALFSHAKE_BAD_ARGUMENT, "answer is NULL", halfshake_answer_hand_over(NULL, good));
    SAYS(HALFSHAKE_BAD_ARGUMENT, "answer is NULL", halfshake_answer_bytes(NULL, "a", 1));
    SAYS(HALFSHAKE_BAD_ARGUMENT, "answer is NULL", halfshake_answer_failed(NULL));
    /* What is no session is found out later. */
    OK(halfshake_answer_bytes(answer, "no session", 10));
}

static void on_remove(halfshake_cache *at, const halfshake_removed *removed, void *user_data) {
    halfshake_session *copy = good;
    (void)at, (void)user_data;
    SAYS(HALFSHAKE_BAD_ARGUMENT, "session is NULL", halfshake_removed_session(removed, NULL));
    SAYS(HALFSHAKE_BAD_ARGUMENT, "removed is NULL", halfshake_removed_session(NULL, &copy));
    CHECK(copy == NULL);
}

static int on_visit(const halfshake_session *shown, void *user_data) {
    (void)shown, (void)user_data;
    return 0;
}

static int destroyed;

static void on_destroy(void *user_data) {
    (void)user_data;
    destroyed++;
}

/* Every function of a cache, with a handle that is NULL or was freed. The other arguments are
 * good, and what is given is NULL or 0 afterwards. */
static void bad_handle(halfshake_cache *at, int code, const char *words) {
    halfshake_session *session = good;
    halfshake_stats stats;
    halfshake_namespace_stats of_one;
    halfshake_new_callback new_set = on_new;
    halfshake_get_callback get_set = on_get;
    halfshake_remove_callback remove_set = on_remove;
    uint64_t number = 7;
    uint32_t bits = 7;
    int before = destroyed;
    stats.size = sizeof stats;
    of_one.size = sizeof of_one;

    SAYS(code, words, halfshake_cache_shutdown(at));
    SAYS(code, words, halfshake_cache_modes(at, &bits));
    CHECK(bits == 0);
    SAYS(code, words, halfshake_cache_set_modes(at, HALFSHAKE_MODE_SERVER, &bits));
    SAYS(code, words, halfshake_cache_timeout(at, &number));
    CHECK(number == 0);
    SAYS(code, words, halfshake_cache_set_timeout(at, 1, &number));
    SAYS(code, words, halfshake_cache_capacity(at, &number));
    SAYS(code, words, halfshake_cache_set_capacity(at, 1, &number));
    SAYS(code, words, halfshake_cache_len(at, &number));
    SAYS(code, words, halfshake_cache_now(at, &number));
    SAYS(code, words, halfshake_cache_run_maintenance(at, 1, &number));
    SAYS(code, words, halfshake_session_new(at, &name, "a", 1, &session));
    CHECK(session == NULL);
    SAYS(code, words, halfshake_cache_new_session(at, NULL, HALFSHAKE_SIDE_SERVER, good));
    SAYS(code, words, halfshake_cache_add(at, good));
    SAYS(code, words, halfshake_cache_flush(at, 1, &number));
    SAYS(code, words, halfshake_cache_flush_namespace(at, "a", 1, &number));
    SAYS(code, words, halfshake_cache_flush_all(at, &number));
    SAYS(code, words,
         halfshake_cache_note(at, HALFSHAKE_SIDE_SERVER, HALFSHAKE_STAGE_STARTED));
    session = good;
    SAYS(code, words, halfshake_cache_resume(at, NULL, &name, NULL, &session));
    CHECK(session == NULL);
    SAYS(code, words, halfshake_cache_take(at, NULL, &name, NULL, &session));
    SAYS(code, words, halfshake_cache_find(at, &name, &session));
    SAYS(code, words, halfshake_cache_remove(at, &name));
    SAYS(code, words, halfshake_cache_connection_failed(at, &name));
    SAYS(code, words, halfshake_cache_remove_exact(at, good));
    SAYS(code, words, halfshake_cache_set_new_callback(at, on_new, NULL, on_destroy));
    SAYS(code, words, halfshake_cache_set_get_callback(at, on_get, NULL, on_destroy));
    SAYS(code, words, halfshake_cache_set_remove_callback(at, on_remove, NULL, on_destroy));
    CHECK(destroyed == before);
    SAYS(code, words, halfshake_cache_new_callback(at, &new_set, NULL));
    SAYS(code, words, halfshake_cache_get_callback(at, &get_set, NULL));
    SAYS(code, words, halfshake_cache_remove_callback(at, &remove_set, NULL));
    CHECK(new_set == NULL && get_set == NULL && remove_set == NULL);
    SAYS(code, words, halfshake_cache_stats(at, &stats));
    SAYS(code, words, halfshake_cache_namespace_stats(at, "a", 1, &of_one));
    SAYS(code, words, halfshake_cache_for_each(at, NULL, 0, on_visit, NULL));
}

/* Each other pointer that must not be NULL. */
static void null_pointers(void) {
    const int code = HALFSHAKE_BAD_ARGUMENT;
    halfshake_options options = options_for(1);
    halfshake_session *session;
    halfshake_key found;
    halfshake_times times;
    const void *bytes;
    size_t len;
    SAYS(code, "options is NULL", halfshake_options_init(NULL, sizeof options));
    SAYS(code, "cache is NULL", halfshake_cache_new(&options, NULL));
    SAYS(code, "modes is NULL", halfshake_cache_modes(cache, NULL));
    SAYS(code, "timeout_ms is NULL", halfshake_cache_timeout(cache, NULL));
    SAYS(code, "sessions is NULL", halfshake_cache_capacity(cache, NULL));
    SAYS(code, "sessions is NULL", halfshake_cache_len(cache, NULL));
    SAYS(code, "now_ms is NULL", halfshake_cache_now(cache, NULL));
    SAYS(code, "key is NULL", halfshake_session_new(cache, NULL, "a", 1, &session));
    SAYS(code, "payload is NULL", halfshake_session_new(cache, &name, NULL, 1, &session));
    SAYS(code, "session is NULL", halfshake_session_new(cache, &name, "a", 1, NULL));
    SAYS(code, "other is NULL", halfshake_session_with_times(good, &times, NULL));
    SAYS(code, "times is NULL", halfshake_session_with_times(good, NULL, &session));
    SAYS(code, "session is NULL", halfshake_session_with_times(NULL, &times, &session));
    SAYS(code, "session is NULL", halfshake_session_key(NULL, &found));
    SAYS(code, "key is NULL", halfshake_session_key(good, NULL));
    SAYS(code, "session is NULL", halfshake_session_payload(NULL, &bytes, &len));
    SAYS(code, "payload is NULL", halfshake_session_payload(good, NULL, &len));
    SAYS(code, "payload_len is NULL", halfshake_session_payload(good, &bytes, NULL));
    SAYS(code, "session is NULL", halfshake_session_times(NULL, &times));
    SAYS(code, "times is NULL", halfshake_session_times(good, NULL));
    SAYS(code, "session is NULL", halfshake_session_to_bytes(NULL, NULL, 0, &len));
    SAYS(code, "len is NULL", halfshake_session_to_bytes(good, NULL, 0, NULL));
    GIVES(HALFSHAKE_SHORT_BUFFER, halfshake_session_to_bytes(good, NULL, 4096, &len));
    SAYS(code, "session is NULL", halfshake_session_from_bytes("a", 1, NULL));
    SAYS(code, "bytes is NULL", halfshake_session_from_bytes(NULL, 1, &session));
    SAYS(code, "session is NULL",
         halfshake_cache_new_session(cache, NULL, HALFSHAKE_SIDE_SERVER, NULL));
    SAYS(code, "session is NULL", halfshake_cache_add(cache, NULL));
    SAYS(code, "ns is NULL", halfshake_cache_flush_namespace(cache, NULL, 1, NULL));
    SAYS(code, "key is NULL", halfshake_cache_resume(cache, NULL, NULL, NULL, &session));
    SAYS(code, "session is NULL", halfshake_cache_resume(cache, NULL, &name, NULL, NULL));
    SAYS(code, "key is NULL", halfshake_cache_take(cache, NULL, NULL, NULL, &session));
    SAYS(code, "session is NULL", halfshake_cache_take(cache, NULL, &name, NULL, NULL));
    SAYS(code, "key is NULL", halfshake_cache_find(cache, NULL, &session));
    SAYS(code, "session is NULL", halfshake_cache_find(cache, &name, NULL));
    SAYS(code, "key is NULL", halfshake_cache_remove(cache, NULL));
    SAYS(code, "key is NULL", halfshake_cache_connection_failed(cache, NULL));
    SAYS(code, "session is NULL", halfshake_cache_remove_exact(cache, NULL));
    SAYS(code, "callback is NULL", halfshake_cache_new_callback(cache, NULL, NULL));
    SAYS(code, "callback is NULL", halfshake_cache_get_callback(cache, NULL, NULL));
    SAYS(code, "callback is NULL", halfshake_cache_remove_callback(cache, NULL, NULL));
    SAYS(code, "stats is NULL", halfshake_cache_stats(cache, NULL));
    SAYS(code, "stats is NULL", halfshake_cache_namespace_stats(cache, "a", 1, NULL));
    SAYS(code, "visitor is NULL", halfshake_cache_for_each(cache, NULL, 0, NULL, NULL));
    SAYS(code, "ns is NULL", halfshake_cache_for_each(cache, NULL, 1, on_visit, NULL));
}

static void ids_and_namespaces(void) {
    static const char long_one[65] = "0123456789012345678901234567890123456789";
    static const size_t lengths[] = {0, 33, 64, 65, 65535, SIZE_MAX};
    halfshake_session *session;
    halfshake_key wrong;
    size_t i;
    for (i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char *id = (char *)calloc(1, 65536);
        size_t len = lengths[i];
        int code = len == SIZE_MAX ? HALFSHAKE_BAD_ARGUMENT : HALFSHAKE_BAD_ID;
        CHECK(id != NULL);
        wrong = key_of(WWW, id, len);
        SAYS(code, "bytes", halfshake_session_new(cache, &wrong, "a", 1, &session));
        CHECK(session == NULL);
        SAYS(code, "bytes", halfshake_cache_resume(cache, NULL, &wrong, NULL, &session));
        SAYS(code, "bytes", halfshake_cache_take(cache, NULL, &wrong, NULL, &session));
        SAYS(code, "bytes", halfshake_cache_find(cache, &wrong, &session));
        SAYS(code, "bytes", halfshake_cache_remove(cache, &wrong));
        SAYS(code, "bytes", halfshake_cache_connection_failed(cache, &wrong));
        free(id);
    }
    /* Those that a client proposed are counted: three look-ups of five lengths. */
    CHECK(stats_of(cache).rejected[HALFSHAKE_REASON_ID_LENGTH] == 15);
    wrong = key_of(WWW, NULL, 3);
    SAYS(HALFSHAKE_BAD_ARGUMENT, "key->id is NULL", halfshake_cache_remove(cache, &wrong));

    for (i = 0; i <= 33; i += 33) {
        wrong = name;
        wrong.ns = long_one;
        wrong.ns_len = i;
        SAYS(HALFSHAKE_BAD_NAMESPACE, "32 bytes",
             halfshake_session_new(cache, &wrong, "a", 1, &session));
        SAYS(HALFSHAKE_BAD_NAMESPACE, "32 bytes",
             halfshake_cache_resume(cache, NULL, &wrong, NULL, &session));
        SAYS(HALFSHAKE_BAD_NAMESPACE, "32 bytes", halfshake_cache_remove(cache, &wrong));
        SAYS(HALFSHAKE_BAD_NAMESPACE, "32 bytes",
             halfshake_cache_flush_namespace(cache, long_one, i, NULL));
        SAYS(HALFSHAKE_BAD_NAMESPACE, "32 bytes",
             halfshake_cache_for_each(cache, long_one, i, on_visit, NULL));
    }
    wrong = name;
    wrong.ns = NULL;
    SAYS(HALFSHAKE_BAD_ARGUMENT, "key->ns is NULL", halfshake_cache_remove(cache, &wrong));
}

static void sizes(void) {
    halfshake_options options = options_for(1);
    halfshake_cache *made = cache;
    halfshake_stats stats;
    halfshake_namespace_stats of_one;
    SAYS(HALFSHAKE_BAD_SIZE, "halfshake_options has", halfshake_options_init(&options, 8));
    options.size = 0;
    SAYS(HALFSHAKE_BAD_SIZE, "yours has 0", halfshake_cache_new(&options, &made));
    CHECK(made == NULL);
    options.size = sizeof options + 8;
    GIVES(HALFSHAKE_BAD_SIZE, halfshake_cache_new(&options, &made));
    stats.size = 16;
    stats.number = 7;
    SAYS(HALFSHAKE_BAD_SIZE, "halfshake_stats has", halfshake_cache_stats(cache, &stats));
    CHECK(stats.number == 7);
    of_one.size = 0;
    SAYS(HALFSHAKE_BAD_SIZE, "halfshake_namespace_stats has",
         halfshake_cache_namespace_stats(cache, "a", 1, &of_one));
}

/* Each setting that can't be. */
static void options(void) {
    const int code = HALFSHAKE_BAD_SETTING;
    halfshake_cache *made = cache;
#define WRONG(setting, value, words)                                                       \
    do {                                                                                   \
        halfshake_options given = options_for(10);                                         \
        given.setting = value;                                                             \
        SAYS(code, words, halfshake_cache_new(&given, &made));                             \
        CHECK(made == NULL);                                                               \
    } while (0)
    SAYS(HALFSHAKE_BAD_ARGUMENT, "options is NULL", halfshake_cache_new(NULL, &made));
    CHECK(made == NULL);
    WRONG(capacity, 0, "capacity: set it");
    WRONG(capacity, UINT64_MAX, "capacity");
    WRONG(max_capacity, 9, "max_capacity");
    WRONG(modes, 0x4, "modes");
    WRONG(modes, 0x80000000u, "modes");
    WRONG(compat, 0x80000000u, "compat");
    WRONG(max_id_bytes, 0, "max_id_bytes");
    WRONG(max_id_bytes, 65, "max_id_bytes");
    WRONG(sweep_interval_ms, 0, "sweep_interval");
    WRONG(preallocate_bytes, UINT64_MAX, "preallocate");
    WRONG(shards, 3, "shards");
    WRONG(maintenance, 3, "maintenance");
    WRONG(delivery, 2, "delivery");
    WRONG(reserved, 1, "reserved");
    SAYS(code, "modes", halfshake_cache_set_modes(cache, 0x8, NULL));
}

static void other_arguments(void) {
    halfshake_session *session;
    const int code = HALFSHAKE_BAD_ARGUMENT;
    SAYS(code, "side: 2", halfshake_cache_new_session(cache, NULL, 2, good));
    SAYS(code, "side: -1", halfshake_cache_note(cache, -1, 0));
    SAYS(code, "stage: 3", halfshake_cache_note(cache, HALFSHAKE_SIDE_SERVER, 3));
    GIVES(code, halfshake_session_new(cache, &name, "a", SIZE_MAX, &session));
    GIVES(code, halfshake_session_from_bytes("a", SIZE_MAX, &session));
    GIVES(HALFSHAKE_BAD_BYTES, halfshake_session_from_bytes("", 0, &session));
    GIVES(HALFSHAKE_BAD_BYTES, halfshake_session_from_bytes(NULL, 0, &session));
    CHECK(session == NULL);
}

static void on_get_given(halfshake_cache *at, void *connection, const halfshake_key *asked,
                         int purpose, halfshake_answer *answer, void *user_data) {
    (void)at, (void)connection, (void)asked, (void)purpose;
    OK(halfshake_answer_session(answer, (halfshake_session *)user_data));
}

/* A cache that could be made, whatever its options, does what it is asked or says why not. */
static void works_somehow(halfshake_cache *made) {
    static const uint64_t times[] = {0, 1, UINT32_MAX, INT64_MAX, UINT64_MAX};
    halfshake_session *own, *found, *other;
    halfshake_times odd;
    uint64_t number;
    size_t i, j;
    OK(halfshake_session_new(made, &name, "payload", 7, &own));
    for (i = 0; i < 5; i++) {
        for (j = 0; j < 5; j++) {
            odd.created_ms = times[i];
            odd.not_after_ms = times[j];
            odd.auth_not_after_ms = times[(i + j) % 5];
            OK(halfshake_session_with_times(own, &odd, &other));
            CHECK(halfshake_cache_add(made, other) >= 0);
            OK(halfshake_cache_set_get_callback(made, on_get_given, other, NULL));
            CHECK(halfshake_cache_resume(made, NULL, &name, NULL, &found) >= 0);
            halfshake_session_free(found);
            CHECK(halfshake_cache_take(made, NULL, &name, NULL, &found) >= 0);
            halfshake_session_free(found);
            CHECK(halfshake_cache_new_session(made, NULL, HALFSHAKE_SIDE_SERVER, other) >= 0);
            OK(halfshake_cache_set_get_callback(made, NULL, NULL, NULL));
            halfshake_session_free(other);
        }
        CHECK(halfshake_cache_add(made, own) >= 0);
        OK(halfshake_cache_flush(made, times[i], &number));
        OK(halfshake_cache_set_timeout(made, times[i], &number));
        CHECK(halfshake_cache_set_capacity(made, times[i], &number) != HALFSHAKE_PANIC);
        CHECK(halfshake_cache_run_maintenance(made, (size_t)times[i], &number) >= 0);
    }
    halfshake_session_free(own);
    nothing_is_lost(made);
}

/* Each number among the options at its ends; with a larger step, not at all of them. */
static void extremes(size_t step) {
    static const uint64_t values[] = {0, 1, 2, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX};
    size_t field, value;
    int made_some = 0;
    for (field = 0; field < 13; field++) {
        for (value = 0; value < sizeof values / sizeof *values; value += step) {
            halfshake_options given = options_for(10);
            halfshake_cache *made = NULL;
            int done;
            uint64_t *numbers[] = {
                &given.max_capacity,      &given.capacity_bytes,    &given.timeout_ms,
                &given.max_lifetime_ms,   &given.clock_skew_ms,     &given.lookup_timeout_ms,
                &given.unknown_ms,        &given.breaker_failures,  &given.breaker_pause_ms,
                &given.sweep_interval_ms, &given.capacity,
            };
            /* What is allocated at once is left out where the machine may have so much. */
            if ((field == 0 || field == 10) && value >= 3 && value <= 4) {
                continue;
            }
            if (field < 11) {
                *numbers[field] = values[value];
            } else if (field == 11) {
                given.unknown_ids = (size_t)values[value];
            } else {
                given.max_payload_bytes = (size_t)values[value];
            }
            done = halfshake_cache_new(&given, &made);
            CHECK(done == HALFSHAKE_OK || done == HALFSHAKE_BAD_SETTING);
            if (done == HALFSHAKE_OK) {
                works_somehow(made);
                made_some++;
            }
            OK(halfshake_cache_free(made));
        }
    }
    CHECK(made_some > 20);
}

static void inside_of_callbacks(void) {
    halfshake_session *session;
    halfshake_key other = key("other");
    OK(halfshake_cache_set_get_callback(cache, on_get, NULL, NULL));
    OK(halfshake_cache_set_remove_callback(cache, on_remove, NULL, NULL));
    GIVES(HALFSHAKE_MISS, halfshake_cache_resume(cache, NULL, &other, NULL, &session));
    CHECK(stats_of(cache).rejected[HALFSHAKE_REASON_MALFORMED] == 1);
    OK(halfshake_cache_set_new_callback(cache, on_new, NULL, NULL));
    OK(halfshake_cache_new_session(cache, NULL, HALFSHAKE_SIDE_SERVER, good));
    CHECK(stats_of(cache).new_calls == 1);
    OK(halfshake_cache_remove(cache, &name));
}

/* Handles are not used again at once, and a second free is told. */
static void freed_handles(void) {
    halfshake_cache *old = cache_for(1), *more[8];
    size_t i;
    OK(halfshake_cache_set_new_callback(old, on_new, NULL, on_destroy));
    OK(halfshake_cache_free(old));
    CHECK(destroyed == 1);
    SAYS(HALFSHAKE_BAD_CACHE, "freed", halfshake_cache_free(old));
    bad_handle(old, HALFSHAKE_BAD_CACHE, "freed");
    for (i = 0; i < 8; i++) {
        more[i] = cache_for(1);
        CHECK(more[i] != old);
    }
    for (i = 0; i < 8; i++) {
        OK(halfshake_cache_free(more[i]));
    }
    bad_handle(old, HALFSHAKE_BAD_CACHE, "freed");
    /* Nor do they grow for ever. */
    for (i = 0; i < 1000 && more[0] != old; i++) {
        more[0] = cache_for(1);
        OK(halfshake_cache_free(more[0]));
    }
    CHECK(i < 1000);
}

/* This program has no TLS library: that is found out before the context is looked at. */
static void no_tls_library(void) {
    halfshake_attach_options options;
    halfshake_cache *attached;
    struct ssl_ctx_st *context = (struct ssl_ctx_st *)&options;
    SAYS(HALFSHAKE_BAD_ARGUMENT, "options", halfshake_attach_options_init(NULL, sizeof options));
    SAYS(HALFSHAKE_BAD_SIZE, "halfshake_attach_options",
         halfshake_attach_options_init(&options, sizeof options - 1));
    OK(halfshake_attach_options_init(&options, sizeof options));
    options.ns = WWW;
    options.ns_len = sizeof WWW - 1;
    SAYS(HALFSHAKE_NO_LIBRARY, "CRYPTO_get_ex_data", halfshake_attach(cache, context, &options));
    GIVES(HALFSHAKE_MISS, halfshake_detach(context));
    GIVES(HALFSHAKE_MISS, halfshake_attached(context, &attached));
}

int main(int argc, char **argv) {
    (void)argv;
    cache = cache_for(10);
    name = key("id");
    good = session(cache, "id", "payload");
    bad_handle(NULL, HALFSHAKE_BAD_ARGUMENT, "cache is NULL");
    null_pointers();
    ids_and_namespaces();
    sizes();
    options();
    other_arguments();
    extremes(argc > 1 ? 3 : 1);
    inside_of_callbacks();
    no_tls_library();
    freed_handles();
    nothing_is_lost(cache);
    halfshake_session_free(good);
    OK(halfshake_cache_free(cache));
    return 0;
}
