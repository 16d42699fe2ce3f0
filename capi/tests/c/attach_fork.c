/* A cache under a context that is set up before fork(2), as a master process does: each child has
 * it for itself. */
#include "tls.h"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

static SSL_CTX *clients[2];

/* Connections, also after the cache's own thread has removed what expired. */
static void serves(halfshake_cache *cache, SSL_CTX *context) {
    int which;
    for (which = 0; which < 2; which++) {
        SSL_SESSION *session = begins(context, clients[which]);
        uint64_t number = 1;
        CHECK(resumes(context, clients[which], session));
        OK(halfshake_cache_set_timeout(cache, 20, NULL));
        SSL_SESSION_free(begins(context, clients[which]));
        OK(halfshake_cache_set_timeout(cache, 7200000, NULL));
        for (number = 9; number > (which == 0 ? 1u : 3u); sched_yield()) {
            OK(halfshake_cache_len(cache, &number));
        }
        SSL_SESSION_free(session);
    }
    nothing_is_lost(cache);
}

int main(void) {
    halfshake_options options = options_for(100);
    halfshake_cache *cache;
    SSL_CTX *context;
    pid_t children[2];
    int i;
    options.maintenance = HALFSHAKE_MAINTENANCE_LAZY;
    options.sweep_interval_ms = 10;
    cache = cache_of(options);
    make_identity();
    context = server(cache);
    clients[0] = client(TLS1_2_VERSION);
    clients[1] = client(TLS1_3_VERSION);
    for (i = 0; i < 2; i++) {
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] == 0) {
            alarm(120); /* ends a child that hangs */
            serves(cache, context);
            break;
        }
    }
    if (i == 2) {
        for (i = 0; i < 2; i++) {
            int status = 0;
            CHECK(waitpid(children[i], &status, 0) == children[i]);
            CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        }
        CHECK(stats_of(cache).inserts == 0);
        serves(cache, context);
    }
    SSL_CTX_free(context);
    SSL_CTX_free(clients[0]);
    SSL_CTX_free(clients[1]);
    OK(halfshake_cache_free(cache));
    return 0;
}
