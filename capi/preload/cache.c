/* The one cache of the process, as its environment has it. */
#define _GNU_SOURCE
#include "preload.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* What has expired is removed, so much of it by one handshake. */
enum { SWEPT = 32 };

halfshake_cache *cache;
halfshake_attach_options how;
unsigned attached_to;
/* Read at the start: a host may clear its environment, as nginx does. */
static char *statistics;

static uint64_t number(const char *name, uint64_t otherwise, uint64_t most) {
    const char *text = getenv(name);
    char *end;
    if (!text) {
        return otherwise;
    }
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || value > most) {
        fprintf(stderr, "halfshake-preload: %s is no number that can be used: %s\n", name, text);
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

/* Whether a context can be attached in this program at all, before it is said that they are. */
static int can_attach(void) {
    halfshake_attach_options options = how;
    options.ns = "?";
    options.ns_len = 1;
    SSL_CTX *context = tls.SSL_CTX_new(tls.TLS_server_method());
    int result = halfshake_attach(cache, context, &options);
    tls.SSL_CTX_free(context);
    return result == HALFSHAKE_OK;
}

static void make_cache(void) {
    halfshake_options options;
    const char *path = getenv("HALFSHAKE_PRELOAD_STATS"), *lacking = missing();
    uint64_t sessions = 0;
    statistics = path ? strdup(path) : NULL;
    halfshake_options_init(&options, sizeof options);
    halfshake_attach_options_init(&how, sizeof how);
    options.capacity = number("HALFSHAKE_PRELOAD_CAPACITY", 20000, UINT64_MAX);
    options.timeout_ms = number("HALFSHAKE_PRELOAD_TIMEOUT", 7200, UINT64_MAX / 1000) * 1000;
    options.compat = compat();
    how.objects = number("HALFSHAKE_PRELOAD_OBJECTS", 0, UINT64_MAX);
    /* A thread would not survive the host's fork, and would call a host that may have none. */
    options.maintenance = HALFSHAKE_MAINTENANCE_EMBEDDER;
    within++;
    if (lacking || !make_slots()) {
        fprintf(stderr, "halfshake-preload: no cache: no %s here\n", lacking ? lacking : "slots");
    } else if (halfshake_cache_new(&options, &cache) != HALFSHAKE_OK || !can_attach()) {
        fprintf(stderr, "halfshake-preload: no cache: %s\n", halfshake_error_message());
        halfshake_cache_free(cache);
        cache = NULL;
    } else if (!getenv("HALFSHAKE_PRELOAD_QUIET")) {
        halfshake_cache_capacity(cache, &sessions);
        fprintf(stderr,
                "halfshake-preload: process %d keeps its TLS sessions in a cache of %" PRIu64
                "; it does not share it with other processes\n",
                (int)getpid(), sessions);
    }
    within--;
}

/* Once a second, or until nothing is left: on a thread of the host's. */
void sweep(void) {
    static time_t swept;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (__atomic_exchange_n(&swept, now.tv_sec, __ATOMIC_RELAXED) != now.tv_sec &&
        halfshake_cache_run_maintenance(cache, SWEPT, NULL) == HALFSHAKE_MORE) {
        __atomic_store_n(&swept, 0, __ATOMIC_RELAXED);
    }
}

void make_cache_once(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_cache);
}

static void say_what_was(void) {
    halfshake_stats stats = {.size = sizeof stats};
    FILE *file = statistics ? fopen(statistics, "a") : NULL;
    if (file && halfshake_cache_stats(cache, &stats) == HALFSHAKE_OK) {
        fprintf(file,
                "process=%d stored=%" PRIu64 " hits=%" PRIu64 " external=%" PRIu64
                " misses=%" PRIu64 " expired=%" PRIu64 " held=%" PRIu64 " contexts=%u\n",
                (int)getpid(), stats.inserts, stats.hits, stats.cb_hits, stats.misses,
                stats.timeouts, stats.number, attached_to);
    }
    if (file) {
        fclose(file);
    }
}

/* After what the host does at its exit. Secrets are wiped; what comes too late finds no cache. */
__attribute__((destructor)) static void end(void) {
    if (cache) {
        say_what_was();
        halfshake_cache_free(cache);
        pthread_mutex_lock(&lock);
        for (struct hosted *hosted = all; hosted; hosted = hosted->next) {
            forget_due(hosted);
        }
        pthread_mutex_unlock(&lock);
    }
}
