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

/* That a session has left. Which thread learns of it is chance, and a context that it does not
 * have in its hands may be about to end: a reference does not help then, for OpenSSL gives one to
 * what is being freed, too. So each context is told later, from inside of a call that it is in. */
struct due {
    struct due *next;
    size_t len;
    unsigned char der[];
};

/* More is not told. */
enum { DUES = 256 };

static void forget(struct due *due) {
    explicit_bzero(due->der, due->len);
    free(due);
}

/* With `lock` held. */
static void add_due(struct hosted *hosted, const halfshake_removed *removed) {
    size_t len = removed->payload_len;
    struct due *due = hosted->dues < DUES ? malloc(sizeof *due + len) : NULL;
    if (!due) {
        return;
    }
    due->next = NULL;
    due->len = len;
    memcpy(due->der, removed->payload, len);
    *(hosted->due ? hosted->last : &hosted->due) = due;
    hosted->last = &due->next;
    SET(hosted, dues, hosted->dues + 1);
}

/* With `lock` held. */
static struct due *next_due(struct hosted *hosted) {
    struct due *due = hosted->due;
    if (due) {
        hosted->due = due->next;
        SET(hosted, dues, hosted->dues - 1);
    }
    return due;
}

void forget_due(struct hosted *hosted) {
    for (struct due *due; (due = next_due(hosted));) {
        forget(due);
    }
}

void tell(struct hosted *hosted) {
    /* The host's callback may well call something that comes here. */
    static __thread int telling;
    if (telling || GET(hosted, dues) == 0) {
        return;
    }
    telling = 1;
    for (;;) {
        pthread_mutex_lock(&lock);
        struct due *due = next_due(hosted);
        pthread_mutex_unlock(&lock);
        if (!due) {
            break;
        }
        const unsigned char *from = due->der;
        remove_cb gone = GET(hosted, gone);
        SSL_SESSION *session =
            gone ? tls.d2i_SSL_SESSION(NULL, &from, (long)due->len) : NULL;
        if (session) {
            gone(hosted->context, session);
            tls.SSL_SESSION_free(session);
        }
        forget(due);
    }
    telling = 0;
}

static void on_remove(halfshake_cache *of, const halfshake_removed *removed, void *user_data) {
    (void)of, (void)user_data;
    /* Of those that only this cache has lost the host is not told; front_remove tells it of those
     * whose connection has failed. */
    if (removed->cause == HALFSHAKE_CAUSE_EVICTED || removed->cause == HALFSHAKE_CAUSE_SHUTDOWN ||
        removed->cause == HALFSHAKE_CAUSE_REPLACED || removed->cause == HALFSHAKE_CAUSE_FAULTY) {
        return;
    }
    pthread_mutex_lock(&lock);
    for (struct hosted *hosted = all; hosted; hosted = hosted->next) {
        if (GET(hosted, gone) && GET(hosted, attached) == ATTACHED &&
            hosted->ns_len == removed->key.ns_len &&
            memcmp(hosted->ns, removed->key.ns, hosted->ns_len) == 0) {
            add_due(hosted, removed);
        }
    }
    pthread_mutex_unlock(&lock);
}

void chain(void) {
    static int chained;
    if (!__atomic_exchange_n(&chained, 1, __ATOMIC_RELAXED)) {
        halfshake_cache_set_get_callback(cache, on_get, NULL, NULL);
        halfshake_cache_set_remove_callback(cache, on_remove, NULL, NULL);
    }
}
