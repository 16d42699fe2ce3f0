/* What the C tests share. They are compiled as C11 and as C++17. */
#ifndef CHECK_H
#define CHECK_H

#include <halfshake.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends the test with the place and the library's last message. */
#define CHECK(condition)                                                                   \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            fprintf(stderr, "%s:%d: %s\n  last message: %s\n", __FILE__, __LINE__,         \
                    #condition, halfshake_error_message());                                \
            exit(1);                                                                       \
        }                                                                                  \
    } while (0)

/* Ends the test unless a call returns this code. */
#define GIVES(code, call)                                                                  \
    do {                                                                                   \
        int got_ = (call);                                                                 \
        if (got_ != (code)) {                                                              \
            fprintf(stderr, "%s:%d: %s\n  gives %s, not %s: %s\n", __FILE__, __LINE__,     \
                    #call, halfshake_result_name(got_), halfshake_result_name(code),       \
                    halfshake_error_message());                                            \
            exit(1);                                                                       \
        }                                                                                  \
    } while (0)

#define OK(call) GIVES(HALFSHAKE_OK, call)

/* As GIVES, and the message has to contain some words. */
#define SAYS(code, words, call)                                                            \
    do {                                                                                   \
        GIVES(code, call);                                                                 \
        CHECK(strstr(halfshake_error_message(), words) != NULL);                           \
    } while (0)

static const char WWW[] = "www.example.org";

static inline halfshake_key key_of(const char *ns, const void *id, size_t id_len) {
    halfshake_key key;
    key.ns = ns;
    key.ns_len = strlen(ns);
    key.id = id;
    key.id_len = id_len;
    key.version = 0x0303;
    return key;
}

static inline halfshake_key key_in(const char *ns, const char *id) {
    return key_of(ns, id, strlen(id));
}

static inline halfshake_key key(const char *id) {
    return key_in(WWW, id);
}

static inline halfshake_options options_for(uint64_t capacity) {
    halfshake_options options;
    OK(halfshake_options_init(&options, sizeof options));
    options.capacity = capacity;
    return options;
}

static inline halfshake_cache *cache_of(halfshake_options options) {
    halfshake_cache *cache = NULL;
    OK(halfshake_cache_new(&options, &cache));
    CHECK(cache != NULL);
    return cache;
}

static inline halfshake_cache *cache_for(uint64_t capacity) {
    return cache_of(options_for(capacity));
}

static inline halfshake_session *session_in(halfshake_cache *cache, const char *ns,
                                            const char *id, const char *payload) {
    halfshake_key name = key_in(ns, id);
    halfshake_session *session = NULL;
    OK(halfshake_session_new(cache, &name, payload, strlen(payload), &session));
    CHECK(session != NULL);
    return session;
}

static inline halfshake_session *session(halfshake_cache *cache, const char *id,
                                         const char *payload) {
    return session_in(cache, WWW, id, payload);
}

static inline void put(halfshake_cache *cache, const char *id, const char *payload) {
    halfshake_session *stored = session(cache, id, payload);
    OK(halfshake_cache_add(cache, stored));
    halfshake_session_free(stored);
}

static inline int holds(const halfshake_session *session, const char *payload) {
    const void *bytes = NULL;
    size_t len = 0;
    OK(halfshake_session_payload(session, &bytes, &len));
    return len == strlen(payload) && memcmp(bytes, payload, len) == 0;
}

static inline halfshake_stats stats_of(halfshake_cache *cache) {
    halfshake_stats stats;
    stats.size = sizeof stats;
    OK(halfshake_cache_stats(cache, &stats));
    return stats;
}

/* Every session that was stored is here, or has left for one cause. */
static inline void nothing_is_lost(halfshake_cache *cache) {
    halfshake_stats stats = stats_of(cache);
    uint64_t gone = 0;
    size_t cause;
    for (cause = 0; cause < HALFSHAKE_CAUSES; cause++) {
        gone += stats.removed[cause];
    }
    CHECK(stats.inserts == stats.number + gone);
}

#endif
