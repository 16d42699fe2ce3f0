/* The host's callbacks as the external tier of the cache. */
#define _GNU_SOURCE
#include "preload.h"

#include <string.h>

/* The host's session as one of ours. */
static halfshake_session *session_of(const halfshake_key *asked, const SSL_SESSION *theirs) {
    int len = tls.i2d_SSL_SESSION(theirs, NULL);
    unsigned char *der = len > 0 ? malloc((size_t)len) : NULL, *to = der;
    if (!der) {
        return NULL;
    }
    len = tls.i2d_SSL_SESSION(theirs, &to);
    halfshake_key key = *asked;
    key.version = (uint16_t)tls.SSL_SESSION_get_protocol_version(theirs);
    uint64_t begun = (uint64_t)tls.SSL_SESSION_get_time(theirs);
    uint64_t lasts = (uint64_t)tls.SSL_SESSION_get_timeout(theirs);
    halfshake_session *plain = NULL, *dated = NULL;
    if (halfshake_session_new(cache, &key, der, (size_t)len, &plain) == HALFSHAKE_OK) {
        halfshake_times times;
        halfshake_session_times(plain, &times);
        times.created_ms = begun * 1000;
        times.not_after_ms = lasts < UINT32_MAX ? (begun + lasts) * 1000 : UINT64_MAX;
        halfshake_session_with_times(plain, &times, &dated);
        halfshake_session_free(plain);
    }
    explicit_bzero(der, (size_t)len);
    free(der);
    return dated;
}

static void on_get(halfshake_cache *of, void *connection, const halfshake_key *key, int purpose,
                   halfshake_answer *answer, void *user_data) {
    (void)of, (void)user_data;
    struct hosted *hosted = of_connection(connection);
    get_cb ask = hosted ? GET(hosted, get) : NULL;
    int copy = 1, is_taken = purpose == HALFSHAKE_PURPOSE_TAKE;
    remove_cb gone = hosted ? GET(hosted, gone) : NULL;
    /* A host that can't be told to remove it would answer again, to a replay. */
    if (is_taken && !gone && tls.SSL_get_max_early_data(connection) != 0) {
        return;
    }
    SSL_SESSION *theirs = ask ? ask(connection, key->id, (int)key->id_len, &copy) : NULL;
    if (!theirs) {
        return;
    }
    halfshake_session *session = session_of(key, theirs);
    /* The host has no function that takes: two steps, and other processes may come between. */
    if (is_taken && gone) {
        gone(hosted->context, theirs);
    }
    if (!copy) {
        tls.SSL_SESSION_free(theirs);
    }
    if (session) {
        halfshake_answer_hand_over(answer, session);
    } else {
        halfshake_answer_failed(answer);
    }
}

/* A context of a namespace whose host is told of what leaves, the one after `number`, from the
 * youngest to the oldest: a reference that is the caller's. */
static SSL_CTX *told(const halfshake_key *key, unsigned *number, remove_cb *gone) {
    SSL_CTX *context = NULL;
    pthread_mutex_lock(&lock);
    for (struct hosted *hosted = all; hosted && !context; hosted = hosted->next) {
        *gone = GET(hosted, gone);
        /* One that is about to end gives no reference. */
        if (hosted->number < *number && *gone && GET(hosted, attached) == ATTACHED &&
            hosted->ns_len == key->ns_len &&
            memcmp(hosted->ns, key->ns, hosted->ns_len) == 0 &&
            tls.SSL_CTX_up_ref(hosted->context) == 1) {
            context = hosted->context;
            *number = hosted->number;
        }
    }
    pthread_mutex_unlock(&lock);
    return context;
}

static void on_remove(halfshake_cache *of, const halfshake_removed *removed, void *user_data) {
    (void)of, (void)user_data;
    /* Of those that only this cache has lost the host is not told; front_remove tells it of those
     * whose connection has failed. */
    if (removed->cause == HALFSHAKE_CAUSE_EVICTED || removed->cause == HALFSHAKE_CAUSE_SHUTDOWN ||
        removed->cause == HALFSHAKE_CAUSE_REPLACED || removed->cause == HALFSHAKE_CAUSE_FAULTY) {
        return;
    }
    remove_cb gone;
    SSL_CTX *context;
    SSL_SESSION *session = NULL;
    for (unsigned number = UINT32_MAX; (context = told(&removed->key, &number, &gone));) {
        const unsigned char *from = removed->payload;
        if (!session) {
            session = tls.d2i_SSL_SESSION(NULL, &from, (long)removed->payload_len);
        }
        if (session) {
            gone(context, session);
        }
        tls.SSL_CTX_free(context);
    }
    tls.SSL_SESSION_free(session);
}

void chain(void) {
    static int chained;
    if (!__atomic_exchange_n(&chained, 1, __ATOMIC_RELAXED)) {
        halfshake_cache_set_get_callback(cache, on_get, NULL, NULL);
        halfshake_cache_set_remove_callback(cache, on_remove, NULL, NULL);
    }
}
