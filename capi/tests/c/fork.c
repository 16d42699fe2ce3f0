/* A cache and fork(2): made before it and used after it, by each child for itself. */
#include "check.h"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int expired, ended;

static void on_remove(halfshake_cache *cache, const halfshake_removed *removed,
                      void *user_data) {
    (void)cache, (void)user_data;
    if (removed->cause == HALFSHAKE_CAUSE_EXPIRED) {
        __atomic_store_n(&expired, 1, __ATOMIC_SEQ_CST);
    } else {
        CHECK(removed->cause == HALFSHAKE_CAUSE_SHUTDOWN);
        ended++;
    }
}

/* Uses the cache, and waits until its own thread has told of an end. */
static void uses(halfshake_cache *cache) {
    halfshake_key name = key("a");
    halfshake_session *found;
    put(cache, "b", "1");
    OK(halfshake_cache_set_timeout(cache, 20, NULL));
    put(cache, "a", "1");
    while (!__atomic_load_n(&expired, __ATOMIC_SEQ_CST)) {
        sched_yield();
    }
    GIVES(HALFSHAKE_MISS, halfshake_cache_resume(cache, NULL, &name, NULL, &found));
    name = key("b");
    OK(halfshake_cache_resume(cache, NULL, &name, NULL, &found));
    halfshake_session_free(found);
    OK(halfshake_cache_free(cache));
    CHECK(ended == 1);
}

static pid_t begin(void) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(60); /* ends a child that hangs */
    }
    return child;
}

static void ends_well(pid_t child) {
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void each_child_uses_its_own(void) {
    halfshake_options options = options_for(10);
    halfshake_cache *cache;
    pid_t children[2];
    int i;
    options.maintenance = HALFSHAKE_MAINTENANCE_LAZY;
    options.sweep_interval_ms = 10;
    cache = cache_of(options);
    OK(halfshake_cache_set_remove_callback(cache, on_remove, NULL, NULL));
    for (i = 0; i < 2; i++) {
        children[i] = begin();
        if (children[i] == 0) {
            uses(cache);
            exit(0);
        }
    }
    for (i = 0; i < 2; i++) {
        ends_well(children[i]);
    }
    uses(cache);
}

/* What the parent has used is freed in the child, where nobody is told. */
static void a_child_frees_what_its_parent_uses(void) {
    halfshake_cache *cache = cache_for(10);
    pid_t child;
    ended = 0;
    OK(halfshake_cache_set_remove_callback(cache, on_remove, NULL, NULL));
    put(cache, "a", "1");
    child = begin();
    if (child == 0) {
        OK(halfshake_cache_free(cache));
        CHECK(ended == 0);
        /* What the parent's threads have is lost here, and no leak of the library's. */
        execlp("true", "true", (char *)NULL);
        exit(1);
    }
    ends_well(child);
    OK(halfshake_cache_free(cache));
    CHECK(ended == 1);
}

int main(void) {
    each_child_uses_its_own();
    a_child_frees_what_its_parent_uses();
    return 0;
}
