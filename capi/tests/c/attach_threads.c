/* Connections on several threads while contexts are detached and caches freed under them: every
 * handshake succeeds, and nothing is lost. The first argument is ten times the rounds that there
 * are. With a second one, the connections of each thread, nobody detaches (ci/soak). */
#include "tls.h"

#include <pthread.h>
#include <sched.h>

enum { THREADS = 8 };

static int rounds = 30, connections = 9, detaches = 1;
static SSL_CTX *contexts[2], *clients[2];

/* Counted by whichever thread. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t news, removed, done, resumed;

static uint64_t add_to(uint64_t *counter, uint64_t more) {
    uint64_t now;
    CHECK(pthread_mutex_lock(&lock) == 0);
    now = *counter += more;
    CHECK(pthread_mutex_unlock(&lock) == 0);
    return now;
}

static int on_new(halfshake_cache *cache, void *connection, const halfshake_new *fresh,
                  void *user_data) {
    (void)cache, (void)connection, (void)user_data;
    add_to(&news, (uint64_t)fresh->stored);
    return 1;
}

static void on_remove(halfshake_cache *cache, const halfshake_removed *gone, void *user_data) {
    (void)cache, (void)gone, (void)user_data;
    add_to(&removed, 1);
}

/* Connects to the two contexts in turn, with the session that the last connection has given. */
static void *works(void *argument) {
    int me = *(int *)argument, i;
    SSL_SESSION *last = NULL;
    for (i = 0; i < connections; i++) {
        wants want = nothing();
        went of;
        want.session = last;
        want.drops = i % 7 == 6;
        of = connect_with(contexts[i % 2], clients[me % 2], want);
        if (of.given > 0) {
            /* Else it goes on with the one that it has, as TLS 1.2 does. */
            SSL_SESSION_free(last);
            last = of.sessions[0];
            CHECK(SSL_SESSION_up_ref(last) == 1);
        }
        add_to(&resumed, of.resumed != 0);
        add_to(&done, 1);
        forget(&of);
    }
    SSL_SESSION_free(last);
    return NULL;
}

static void waits_for(uint64_t connections) {
    while (add_to(&done, 0) < connections) {
        sched_yield();
    }
}

static void round_of(int which) {
    pthread_t threads[THREADS];
    int numbers[THREADS], i;
    halfshake_cache *cache = cache_for(1000);
    OK(halfshake_cache_set_new_callback(cache, on_new, NULL, NULL));
    OK(halfshake_cache_set_remove_callback(cache, on_remove, NULL, NULL));
    news = removed = done = 0;
    for (i = 0; i < 2; i++) {
        contexts[i] = server(cache);
    }
    for (i = 0; i < THREADS; i++) {
        numbers[i] = i;
        CHECK(pthread_create(&threads[i], NULL, works, &numbers[i]) == 0);
    }
    if (detaches) {
        waits_for((uint64_t)(which * 5 % (THREADS * connections)));
    } else {
        which = 2;
    }
    switch (which % 3) {
    case 0: /* one context, then the other */
        OK(halfshake_detach(contexts[0]));
        sched_yield();
        OK(halfshake_detach(contexts[1]));
        break;
    case 1: /* the cache */
        OK(halfshake_cache_free(cache));
        break;
    default: /* all goes on to the end */
        break;
    }
    for (i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    CHECK(done == (uint64_t)(THREADS * connections));
    for (i = 0; i < 2; i++) {
        SSL_CTX_free(contexts[i]);
    }
    if (which % 3 != 1) {
        nothing_is_lost(cache);
        OK(halfshake_cache_free(cache));
    }
    CHECK(news == removed);
}

int main(int count, char **arguments) {
    int which;
    if (count > 1) {
        rounds = atoi(arguments[1]) / 10;
        CHECK(rounds > 0);
    }
    if (count > 2) {
        connections = atoi(arguments[2]);
        detaches = 0;
        CHECK(connections > 0);
    }
    make_identity();
    clients[0] = client(TLS1_2_VERSION);
    clients[1] = client(TLS1_3_VERSION);
    for (which = 0; which < rounds; which++) {
        round_of(which);
    }
    CHECK(resumed > 0);
    if (!detaches) {
        printf("%d threads, %d connections each: %llu resumed, %llu sessions stored, as many "
               "removed\n",
               THREADS, connections, (unsigned long long)resumed, (unsigned long long)news);
    }
    SSL_CTX_free(clients[0]);
    SSL_CTX_free(clients[1]);
    return 0;
}
