/* libhalfshake-preload.so: a halfshake cache under a TLS server that nobody changes.
 *
 *   LD_PRELOAD=/usr/lib/libhalfshake-preload.so nginx
 *
 * It stands before SSL_CTX_new and SSL_CTX_new_ex and attaches one cache to each context that they
 * make. What the host sets of the page's callbacks is kept, and asked as the external tier: its get
 * callback when the cache holds nothing, its new callback for each new session, its remove callback
 * for what may not be used any more. The host's session id context becomes the namespace, so that
 * sessions of two contexts are as far apart as the host wants them; one that sets none has a
 * namespace of its own.
 *
 * For trying out, and for comparing. What it can't do: several worker processes do not share the
 * cache, but for what the host's own callbacks share; so a session of TLS 1.3 is used once within a
 * process, but may be used once in each where the host shares it. A host that is linked statically
 * is not seen, and what it asks of its own cache (sizes, counters, flushes) says nothing of ours.
 *
 *   HALFSHAKE_PRELOAD_CAPACITY   sessions; 20000 by default, as OpenSSL's cache
 *   HALFSHAKE_PRELOAD_TIMEOUT    in seconds; 7200 by default. The host's, if shorter, ends sessions
 *   HALFSHAKE_PRELOAD_COMPAT     strict (default), openssl_1_1_1, openssl_3, libressl, boringssl
 *   HALFSHAKE_PRELOAD_STATS      a file: each process appends a line to it when it ends
 *   HALFSHAKE_PRELOAD_QUIET      set: the line that says what was done is not written
 */
#define _GNU_SOURCE
#include <halfshake.h>

#include <dlfcn.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_st SSL;
typedef struct ssl_session_st SSL_SESSION;
typedef struct ssl_method_st SSL_METHOD;

typedef int (*new_cb)(SSL *, SSL_SESSION *);
typedef SSL_SESSION *(*get_cb)(SSL *, const unsigned char *, int, int *);
typedef void (*remove_cb)(SSL_CTX *, SSL_SESSION *);

enum {
    SESS_CACHE_MODE_SET = 44,
    SESS_CACHE_MODE_GET = 45,
    NS_MAX = 32,
    /* SSL_OP_NO_TICKET, SSL_OP_NO_ANTI_REPLAY. */
    KEPT_OPTIONS = 1 << 14 | 1 << 24
};

/* What a context is to its host. */
struct hosted {
    SSL_CTX *context;
    unsigned char ns[NS_MAX];
    size_t ns_len;
    new_cb fresh;
    get_cb get;
    remove_cb gone;
    long mode;
    struct hosted *next;
};

static halfshake_cache *cache;
/* Read at the start: a host may clear its environment, as nginx does. */
static char *statistics;
static struct hosted *all;
static unsigned made;
static int has_callbacks;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
/* The library is at work in this thread: what it calls is not the host's. */
static __thread int within;

/* The next function of a name: the TLS library's. The process can't go on without it. */
static void *next(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) {
        fprintf(stderr, "halfshake-preload: no %s: is this a TLS server?\n", name);
        abort();
    }
    return found;
}

/* REAL(type, name): the same, with its type. */
#define REAL(type, name) ((type)next(name))

static uint64_t number(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    char *end;
    if (!text) {
        return otherwise;
    }
    uint64_t value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end) {
        fprintf(stderr, "halfshake-preload: %s is not a number: %s\n", name, text);
        return otherwise;
    }
    return value;
}

static uint32_t compat(void) {
    static const struct {
        const char *name;
        uint32_t bits;
    } known[] = {{"strict", HALFSHAKE_COMPAT_STRICT},
                 {"openssl_1_1_1", HALFSHAKE_COMPAT_OPENSSL_1_1_1},
                 {"openssl_3", HALFSHAKE_COMPAT_OPENSSL_3},
                 {"libressl", HALFSHAKE_COMPAT_LIBRESSL},
                 {"boringssl", HALFSHAKE_COMPAT_BORINGSSL}};
    const char *name = getenv("HALFSHAKE_PRELOAD_COMPAT");
    for (size_t i = 0; name && i < sizeof known / sizeof *known; i++) {
        if (strcmp(name, known[i].name) == 0) {
            return known[i].bits;
        }
    }
    if (name) {
        fprintf(stderr, "halfshake-preload: HALFSHAKE_PRELOAD_COMPAT is unknown: %s\n", name);
    }
    return HALFSHAKE_COMPAT_STRICT;
}

static void make_cache(void) {
    halfshake_options options;
    const char *path = getenv("HALFSHAKE_PRELOAD_STATS");
    statistics = path ? strdup(path) : NULL;
    halfshake_options_init(&options, sizeof options);
    options.capacity = number("HALFSHAKE_PRELOAD_CAPACITY", 20000);
    options.timeout_ms = number("HALFSHAKE_PRELOAD_TIMEOUT", 7200) * 1000;
    options.compat = compat();
    /* The host may fork its workers later. */
    options.maintenance = HALFSHAKE_MAINTENANCE_LAZY;
    if (halfshake_cache_new(&options, &cache) != HALFSHAKE_OK) {
        fprintf(stderr, "halfshake-preload: no cache: %s\n", halfshake_error_message());
        cache = NULL;
    }
}

/* With the lock held. */
static struct hosted *find(const SSL_CTX *context) {
    struct hosted *hosted = all;
    while (hosted && hosted->context != context) {
        hosted = hosted->next;
    }
    return hosted;
}

/* What is known of a context, copied; 0: nothing. */
static int known(const SSL_CTX *context, struct hosted *copy) {
    pthread_mutex_lock(&lock);
    struct hosted *hosted = find(context);
    if (hosted) {
        *copy = *hosted;
    }
    pthread_mutex_unlock(&lock);
    return hosted != NULL;
}

static int is_attached(SSL_CTX *context) {
    struct hosted hosted;
    return !within && known(context, &hosted);
}

static int attach(SSL_CTX *context, const unsigned char *ns, size_t ns_len) {
    halfshake_attach_options options;
    halfshake_attach_options_init(&options, sizeof options);
    options.ns = ns;
    options.ns_len = ns_len;
    within++;
    int result = halfshake_attach(cache, context, &options);
    within--;
    if (result != HALFSHAKE_OK) {
        fprintf(stderr, "halfshake-preload: not attached: %s\n", halfshake_error_message());
    }
    return result == HALFSHAKE_OK;
}

static void say_once(void) {
    static int said;
    if (!__atomic_exchange_n(&said, 1, __ATOMIC_RELAXED) &&
        !getenv("HALFSHAKE_PRELOAD_QUIET")) {
        uint64_t sessions = 0;
        halfshake_cache_capacity(cache, &sessions);
        fprintf(stderr,
                "halfshake-preload: process %d keeps its TLS sessions in a cache of %" PRIu64
                "; it does not share it with other processes\n",
                (int)getpid(), sessions);
    }
}

/* A context was made. */
static SSL_CTX *adopt(SSL_CTX *context, const SSL_METHOD *method) {
    if (!context || within ||
        method == REAL(const SSL_METHOD *(*)(void), "TLS_client_method")()) {
        return context;
    }
    pthread_once(&once, make_cache);
    if (!cache) {
        return context;
    }
    pthread_mutex_lock(&lock);
    struct hosted *hosted = find(context);
    if (!hosted && (hosted = malloc(sizeof *hosted))) {
        hosted->next = all;
        all = hosted;
    }
    struct hosted fresh = {.context = context};
    if (hosted) {
        /* One that was freed may have had this address. */
        fresh.next = hosted->next;
        fresh.ns_len = (size_t)snprintf((char *)fresh.ns, NS_MAX, "preload %u", made++);
        *hosted = fresh;
    }
    pthread_mutex_unlock(&lock);
    if (hosted && attach(context, fresh.ns, fresh.ns_len)) {
        say_once();
    }
    return context;
}

SSL_CTX *SSL_CTX_new(const SSL_METHOD *method) {
    return adopt(REAL(SSL_CTX * (*)(const SSL_METHOD *), "SSL_CTX_new")(method), method);
}

/* SSL_CTX_new of OpenSSL 3 calls its own, not this one. */
SSL_CTX *SSL_CTX_new_ex(void *libctx, const char *query, const SSL_METHOD *method) {
    typedef SSL_CTX *(*real)(void *, const char *, const SSL_METHOD *);
    return adopt(REAL(real, "SSL_CTX_new_ex")(libctx, query, method), method);
}

int SSL_CTX_set_session_id_context(SSL_CTX *context, const unsigned char *id, unsigned len) {
    typedef int (*real)(SSL_CTX *, const unsigned char *, unsigned);
    int done = REAL(real, "SSL_CTX_set_session_id_context")(context, id, len);
    if (done != 1 || len == 0 || len > NS_MAX || !is_attached(context)) {
        return done;
    }
    pthread_mutex_lock(&lock);
    struct hosted *hosted = find(context);
    if (hosted) {
        memcpy(hosted->ns, id, len);
        hosted->ns_len = len;
    }
    pthread_mutex_unlock(&lock);
    return attach(context, id, len);
}

/* ---- The host's callbacks: the external tier ---- */

static SSL_SESSION *object_of(const void *payload, size_t len) {
    typedef SSL_SESSION *(*decode)(SSL_SESSION **, const unsigned char **, long);
    const unsigned char *from = payload;
    return REAL(decode, "d2i_SSL_SESSION")(NULL, &from, (long)len);
}

static void free_object(SSL_SESSION *session) {
    REAL(void (*)(SSL_SESSION *), "SSL_SESSION_free")(session);
}

static int host_of(void *connection, struct hosted *hosted) {
    SSL_CTX *context = REAL(SSL_CTX * (*)(const SSL *), "SSL_get_SSL_CTX")(connection);
    return known(context, hosted);
}

static int on_new(halfshake_cache *of, void *connection, const halfshake_new *fresh,
                  void *user_data) {
    (void)of, (void)user_data;
    struct hosted hosted;
    const void *payload;
    size_t len;
    if (!host_of(connection, &hosted) || !hosted.fresh ||
        halfshake_session_payload(fresh->session, &payload, &len) != HALFSHAKE_OK) {
        return 1;
    }
    SSL_SESSION *session = object_of(payload, len);
    /* 1: the host keeps it. Either way it is a session: OpenSSL takes 0 for no refusal. */
    if (session && !hosted.fresh(connection, session)) {
        free_object(session);
    }
    return 1;
}

/* The host's session as one of ours. */
static halfshake_session *session_of(const halfshake_key *asked, SSL_SESSION *theirs) {
    typedef int (*encode)(SSL_SESSION *, unsigned char **);
    typedef long (*time_of)(const SSL_SESSION *);
    unsigned char *der = NULL;
    int len = REAL(encode, "i2d_SSL_SESSION")(theirs, &der);
    if (len <= 0) {
        return NULL;
    }
    halfshake_key key = *asked;
    key.version = (uint16_t)REAL(int (*)(const SSL_SESSION *),
                                 "SSL_SESSION_get_protocol_version")(theirs);
    uint64_t begun = (uint64_t)REAL(time_of, "SSL_SESSION_get_time")(theirs);
    uint64_t lasts = (uint64_t)REAL(time_of, "SSL_SESSION_get_timeout")(theirs);
    halfshake_session *plain = NULL, *dated = NULL;
    if (halfshake_session_new(cache, &key, der, (size_t)len, &plain) == HALFSHAKE_OK) {
        halfshake_times times;
        halfshake_session_times(plain, &times);
        times.created_ms = begun * 1000;
        times.not_after_ms = (begun + lasts) * 1000;
        halfshake_session_with_times(plain, &times, &dated);
        halfshake_session_free(plain);
    }
    explicit_bzero(der, (size_t)len);
    REAL(void (*)(void *, const char *, int), "CRYPTO_free")(der, __FILE__, __LINE__);
    return dated;
}

static void on_get(halfshake_cache *of, void *connection, const halfshake_key *key, int purpose,
                   halfshake_answer *answer, void *user_data) {
    (void)of, (void)user_data;
    struct hosted hosted;
    int copy = 1;
    if (!host_of(connection, &hosted) || !hosted.get) {
        return;
    }
    SSL_SESSION *theirs = hosted.get(connection, key->id, (int)key->id_len, &copy);
    if (!theirs) {
        return;
    }
    halfshake_session *session = session_of(key, theirs);
    /* The host has no function that takes: two steps, and other processes may come between. */
    if (purpose == HALFSHAKE_PURPOSE_TAKE && hosted.gone) {
        hosted.gone(hosted.context, theirs);
    }
    if (!copy) {
        free_object(theirs);
    }
    if (session) {
        halfshake_answer_hand_over(answer, session);
    } else {
        halfshake_answer_failed(answer);
    }
}

static void on_remove(halfshake_cache *of, const halfshake_removed *removed, void *user_data) {
    (void)of, (void)user_data;
    if (removed->cause == HALFSHAKE_CAUSE_EVICTED || removed->cause == HALFSHAKE_CAUSE_SHUTDOWN ||
        removed->cause == HALFSHAKE_CAUSE_REPLACED) {
        /* Only this cache has lost it. */
        return;
    }
    struct hosted host = {0};
    pthread_mutex_lock(&lock);
    for (struct hosted *hosted = all; hosted && !host.gone; hosted = hosted->next) {
        if (hosted->gone && hosted->ns_len == removed->key.ns_len &&
            memcmp(hosted->ns, removed->key.ns, hosted->ns_len) == 0) {
            host = *hosted;
        }
    }
    pthread_mutex_unlock(&lock);
    SSL_SESSION *session = host.gone ? object_of(removed->payload, removed->payload_len) : NULL;
    if (session) {
        host.gone(host.context, session);
        free_object(session);
    }
}

/* The host has set one of its callbacks: ours are set for good. */
static void chain(void) {
    if (!__atomic_exchange_n(&has_callbacks, 1, __ATOMIC_ACQ_REL)) {
        halfshake_cache_set_new_callback(cache, on_new, NULL, NULL);
        halfshake_cache_set_get_callback(cache, on_get, NULL, NULL);
        halfshake_cache_set_remove_callback(cache, on_remove, NULL, NULL);
    }
}

/* SETTER(name, type, field): a setter of the page, and its getter. */
#define SETTER(what, type, field)                                                             \
    void SSL_CTX_sess_set_##what(SSL_CTX *context, type callback) {                           \
        if (!is_attached(context)) {                                                          \
            REAL(void (*)(SSL_CTX *, type), "SSL_CTX_sess_set_" #what)(context, callback);    \
            return;                                                                           \
        }                                                                                     \
        pthread_mutex_lock(&lock);                                                            \
        find(context)->field = callback;                                                      \
        pthread_mutex_unlock(&lock);                                                          \
        if (callback) {                                                                       \
            chain();                                                                          \
        }                                                                                     \
    }                                                                                         \
    type SSL_CTX_sess_get_##what(SSL_CTX *context) {                                          \
        struct hosted hosted;                                                                 \
        if (within || !known(context, &hosted)) {                                             \
            return REAL(type(*)(SSL_CTX *), "SSL_CTX_sess_get_" #what)(context);              \
        }                                                                                     \
        return hosted.field;                                                                  \
    }

SETTER(new_cb, new_cb, fresh)
SETTER(get_cb, get_cb, get)
SETTER(remove_cb, remove_cb, gone)

/* The mode is ours; the host is told that it has what it set. */
long SSL_CTX_ctrl(SSL_CTX *context, int command, long number, void *pointer) {
    typedef long (*real)(SSL_CTX *, int, long, void *);
    int of_mode = command == SESS_CACHE_MODE_SET || command == SESS_CACHE_MODE_GET;
    if (!of_mode || !is_attached(context)) {
        return REAL(real, "SSL_CTX_ctrl")(context, command, number, pointer);
    }
    pthread_mutex_lock(&lock);
    struct hosted *hosted = find(context);
    long old = hosted->mode;
    if (command == SESS_CACHE_MODE_SET) {
        hosted->mode = number;
    }
    pthread_mutex_unlock(&lock);
    return old;
}

uint64_t SSL_CTX_clear_options(SSL_CTX *context, uint64_t options) {
    typedef uint64_t (*real)(SSL_CTX *, uint64_t);
    uint64_t kept = is_attached(context) ? (uint64_t)KEPT_OPTIONS : 0;
    return REAL(real, "SSL_CTX_clear_options")(context, options & ~kept);
}

/* ---- The end ---- */

__attribute__((destructor)) static void say_what_was(void) {
    halfshake_stats stats = {.size = sizeof stats};
    if (!statistics || !cache || halfshake_cache_stats(cache, &stats) != HALFSHAKE_OK) {
        return;
    }
    FILE *file = fopen(statistics, "a");
    if (file) {
        fprintf(file,
                "process=%d stored=%" PRIu64 " hits=%" PRIu64 " external=%" PRIu64
                " misses=%" PRIu64 " expired=%" PRIu64 "\n",
                (int)getpid(), stats.inserts, stats.hits, stats.cb_hits, stats.misses,
                stats.timeouts);
        fclose(file);
    }
}
