/* Several threads on a cache: nothing is lost, nothing is taken twice, user data ends once, and a
 * cache may be freed under those who use it. The argument is how many rounds there are. */
#include "check.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>

enum { THREADS = 4, IDS = 64, SWAPS = 3 };

static int rounds = 2000;
static halfshake_cache *cache;

/* Counted by whichever thread; the lock is the test's own. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long set, destroyed, removed, taken, asked, in_use_after_end;

static void add_to(long *counter) {
    CHECK(pthread_mutex_lock(&lock) == 0);
    ++*counter;
    CHECK(pthread_mutex_unlock(&lock) == 0);
}

/* User data says whether it is still there; under valgrind a use after its end also fails. */
typedef struct data {
    int alive;
} data;

static data *fresh_data(void) {
    data *made = (data *)malloc(sizeof *made);
    CHECK(made != NULL);
    made->alive = 1;
    add_to(&set);
    return made;
}

static void on_destroy(void *user_data) {
    data *ended = (data *)user_data;
    CHECK(ended->alive == 1);
    ended->alive = 0;
    free(ended);
    add_to(&destroyed);
}

static void use(void *user_data) {
    if (((data *)user_data)->alive != 1) {
        add_to(&in_use_after_end);
    }
}

static int on_new(halfshake_cache *at, void *connection, const halfshake_new *fresh,
                  void *user_data) {
    int left;
    (void)at;
    use(user_data);
    OK(halfshake_new_has_left(fresh, &left));
    return *(int *)connection % 8 != 0;
}

static void on_get(halfshake_cache *at, void *connection, const halfshake_key *name,
                   int purpose, halfshake_answer *answer, void *user_data) {
    halfshake_session *found;
    (void)connection;
    use(user_data);
    add_to(&asked);
    if (purpose == HALFSHAKE_PURPOSE_RESUME && ((const char *)name->id)[0] % 2 == 0 &&
        halfshake_session_new(at, name, "outside", 7, &found) == HALFSHAKE_OK) {
        OK(halfshake_answer_hand_over(answer, found));
    }
}

static void on_remove(halfshake_cache *at, const halfshake_removed *gone, void *user_data) {
    uint64_t number;
    (void)gone;
    use(user_data);
    add_to(&removed);
    /* The cache may be called; at its end it may be freed already. */
    (void)halfshake_cache_len(at, &number);
}

static void set_all(int which) {
    data *one = fresh_data();
    int done = which == 0   ? halfshake_cache_set_new_callback(cache, on_new, one, on_destroy)
               : which == 1 ? halfshake_cache_set_get_callback(cache, on_get, one, on_destroy)
                            : halfshake_cache_set_remove_callback(cache, on_remove, one,
                                                                  on_destroy);
    OK(done);
}

static void *works(void *argument) {
    int me = *(int *)argument, round;
    for (round = 0; round < rounds; round++) {
        char id[2];
        halfshake_key name;
        halfshake_session *one = NULL;
        int done;
        id[0] = (char)('a' + (round * 7 + me) % IDS);
        id[1] = 'x';
        name = key_of(WWW, id, 2);
        switch ((round + me) % 6) {
        case 0:
        case 1:
            OK(halfshake_session_new(cache, &name, "inside", 6, &one));
            done = halfshake_cache_new_session(cache, &round, HALFSHAKE_SIDE_SERVER, one);
            CHECK(done >= 0);
            break;
        case 2:
            done = halfshake_cache_resume(cache, &round, &name, NULL, &one);
            CHECK(done >= 0 && (done == HALFSHAKE_OK) == (one != NULL));
            break;
        case 3:
            done = halfshake_cache_take(cache, &round, &name, NULL, &one);
            CHECK(done >= 0 && (done == HALFSHAKE_OK) == (one != NULL));
            break;
        case 4:
            CHECK(halfshake_cache_remove(cache, &name) >= 0);
            break;
        default:
            if (me == 0) {
                set_all(round % SWAPS);
            } else if (round % 64 == 0) {
                OK(halfshake_cache_flush_all(cache, NULL));
            }
        }
        halfshake_session_free(one);
    }
    return NULL;
}

static void in_threads(void *(*body)(void *)) {
    pthread_t threads[THREADS];
    int number[THREADS], i;
    for (i = 0; i < THREADS; i++) {
        number[i] = i;
        CHECK(pthread_create(&threads[i], NULL, body, &number[i]) == 0);
    }
    for (i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
}

static void callbacks_are_swapped_under_load(void) {
    halfshake_options options = options_for(IDS / 2);
    halfshake_stats stats;
    uint64_t gone = 0;
    size_t cause;
    int which;
    options.unknown_ids = 0;
    options.breaker_failures = 0;
    cache = cache_of(options);
    for (which = 0; which < SWAPS; which++) {
        set_all(which);
    }
    in_threads(works);
    nothing_is_lost(cache);
    OK(halfshake_cache_shutdown(cache));
    stats = stats_of(cache);
    for (cause = 0; cause < HALFSHAKE_CAUSES; cause++) {
        gone += stats.removed[cause];
    }
    CHECK(stats.number == 0 && gone == stats.inserts && gone > 0);
    CHECK((uint64_t)removed == gone);
    CHECK((uint64_t)asked == stats.asked && asked > 0);
    CHECK(destroyed == set - SWAPS);
    OK(halfshake_cache_free(cache));
    CHECK(destroyed == set && in_use_after_end == 0);
}

/* Each session goes to exactly one of those who take it. */
static void *takes(void *argument) {
    int round;
    (void)argument;
    for (round = 0; round < rounds; round++) {
        halfshake_key name = key_of(WWW, &round, sizeof round);
        halfshake_session *one;
        int done = halfshake_cache_take(cache, NULL, &name, NULL, &one);
        if (done == HALFSHAKE_OK) {
            CHECK(holds(one, "once"));
            halfshake_session_free(one);
            add_to(&taken);
        } else {
            GIVES(HALFSHAKE_MISS, done);
        }
    }
    return NULL;
}

static void a_session_is_taken_once(void) {
    int round;
    cache = cache_for((uint64_t)rounds * 4);
    for (round = 0; round < rounds; round++) {
        halfshake_key name = key_of(WWW, &round, sizeof round);
        halfshake_session *one;
        OK(halfshake_session_new(cache, &name, "once", 4, &one));
        OK(halfshake_cache_add(cache, one));
        halfshake_session_free(one);
    }
    in_threads(takes);
    CHECK(taken == rounds);
    nothing_is_lost(cache);
    OK(halfshake_cache_free(cache));
}

/* The last but one frees the cache under the others, who are told. */
static void *works_until_it_ends(void *argument) {
    int me = *(int *)argument, round, done = HALFSHAKE_OK;
    for (round = 0; done >= 0; round++) {
        halfshake_key name = key_of(WWW, &round, sizeof round);
        halfshake_session *one = NULL;
        if (me == 1 && round == 50) {
            OK(halfshake_cache_free(cache));
        }
        done = halfshake_session_new(cache, &name, "1", 1, &one);
        if (done == HALFSHAKE_OK) {
            done = halfshake_cache_add(cache, one);
            halfshake_session_free(one);
        }
        if (done >= 0) {
            one = NULL;
            done = halfshake_cache_resume(cache, NULL, &name, NULL, &one);
            halfshake_session_free(one);
        }
    }
    GIVES(HALFSHAKE_BAD_CACHE, done);
    return NULL;
}

static void a_cache_is_freed_under_its_users(void) {
    int i, times = rounds < 100 ? 2 : 10;
    for (i = 0; i < times; i++) {
        set = destroyed = 0;
        cache = cache_for(100);
        set_all(2);
        in_threads(works_until_it_ends);
        CHECK(destroyed == set);
    }
}

/* A callback may free the cache that calls it. */
static void on_remove_free(halfshake_cache *at, const halfshake_removed *gone,
                           void *user_data) {
    uint64_t number;
    CHECK(gone->payload_len == 1);
    if (gone->cause == HALFSHAKE_CAUSE_REMOVED) {
        OK(halfshake_cache_free(at));
        GIVES(HALFSHAKE_BAD_CACHE, halfshake_cache_len(at, &number));
    } else {
        /* The end of the other one, in the middle of it. */
        CHECK(gone->cause == HALFSHAKE_CAUSE_SHUTDOWN);
        OK(halfshake_cache_len(at, &number));
        GIVES(HALFSHAKE_BAD_CACHE, halfshake_cache_free(at));
    }
    CHECK(gone->payload_len == 1 && memcmp(gone->payload, "1", 1) == 0);
    ++*(int *)user_data;
}

static int ends;

static void on_end(void *user_data) {
    (void)user_data;
    ends++;
}

static int on_new_free(halfshake_cache *at, void *connection, const halfshake_new *fresh,
                       void *user_data) {
    int left;
    (void)connection, (void)user_data;
    CHECK(fresh->stored == 1);
    OK(halfshake_cache_free(at));
    CHECK(holds(fresh->session, "1"));
    OK(halfshake_new_has_left(fresh, &left));
    CHECK(left == 1);
    return 0;
}

static void on_get_free(halfshake_cache *at, void *connection, const halfshake_key *name,
                        int purpose, halfshake_answer *answer, void *user_data) {
    halfshake_session *found;
    (void)connection, (void)purpose, (void)user_data;
    OK(halfshake_session_new(at, name, "1", 1, &found));
    OK(halfshake_cache_free(at));
    OK(halfshake_answer_hand_over(answer, found));
}

static void a_callback_frees_its_cache(void) {
    halfshake_key name = key("a");
    halfshake_session *one;
    int calls = 0;
    cache = cache_for(10);
    one = session(cache, "a", "1");
    OK(halfshake_cache_set_new_callback(cache, on_new_free, NULL, on_end));
    GIVES(HALFSHAKE_REFUSED,
          halfshake_cache_new_session(cache, NULL, HALFSHAKE_SIDE_SERVER, one));
    CHECK(ends == 1);
    GIVES(HALFSHAKE_BAD_CACHE, halfshake_cache_add(cache, one));
    halfshake_session_free(one);

    /* What it has found is used all the same. */
    cache = cache_for(10);
    OK(halfshake_cache_set_get_callback(cache, on_get_free, NULL, on_end));
    OK(halfshake_cache_resume(cache, NULL, &name, NULL, &one));
    CHECK(ends == 2 && holds(one, "1"));
    halfshake_session_free(one);
    ends = 0;

    cache = cache_for(10);
    OK(halfshake_cache_set_remove_callback(cache, on_remove_free, &calls, on_end));
    put(cache, "a", "1");
    put(cache, "b", "1");
    OK(halfshake_cache_remove(cache, &name));
    CHECK(calls == 2 && ends == 1);
    GIVES(HALFSHAKE_BAD_CACHE, halfshake_cache_remove(cache, &name));
}

/* A callback may set callbacks, also in its own place: its user data stays until it returns. */
static void on_get_swap(halfshake_cache *at, void *connection, const halfshake_key *name,
                        int purpose, halfshake_answer *answer, void *user_data) {
    (void)connection, (void)name, (void)purpose;
    CHECK(ends == 1);
    OK(halfshake_cache_set_get_callback(at, NULL, NULL, NULL));
    CHECK(ends == 1);
    OK(halfshake_answer_failed(answer));
    CHECK(*(int *)user_data == 7);
}

static void a_callback_replaces_itself(void) {
    halfshake_key name = key("a");
    halfshake_session *found;
    int data = 7;
    cache = cache_for(10);
    OK(halfshake_cache_set_get_callback(cache, on_get_swap, &data, on_end));
    GIVES(HALFSHAKE_MISS, halfshake_cache_resume(cache, NULL, &name, NULL, &found));
    CHECK(ends == 2);
    OK(halfshake_cache_free(cache));
    CHECK(ends == 2);
}

/* A thread's message is its own. */
static void *has_its_own_message(void *argument) {
    halfshake_key name = key_of("", NULL, 0);
    (void)argument;
    CHECK(strcmp(halfshake_error_message(), "") == 0);
    GIVES(HALFSHAKE_BAD_NAMESPACE, halfshake_cache_remove(cache, &name));
    CHECK(strstr(halfshake_error_message(), "a namespace has") != NULL);
    return NULL;
}

static void messages_are_of_one_thread(void) {
    cache = cache_for(1);
    GIVES(HALFSHAKE_BAD_ARGUMENT, halfshake_cache_remove(cache, NULL));
    in_threads(has_its_own_message);
    CHECK(strstr(halfshake_error_message(), "key is NULL") != NULL);
    OK(halfshake_cache_free(cache));
    CHECK(strstr(halfshake_error_message(), "key is NULL") != NULL);
}

/* The cache's own thread may end it, too. */
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static int calls_there, frees_there, is_over;

static void on_remove_there(halfshake_cache *at, const halfshake_removed *gone,
                            void *user_data) {
    uint64_t number;
    (void)user_data;
    calls_there++;
    if (gone->cause == HALFSHAKE_CAUSE_REMOVED) {
        OK(halfshake_cache_free(at));
        GIVES(HALFSHAKE_BAD_CACHE, halfshake_cache_len(at, &number));
        frees_there++;
    }
}

static void on_end_there(void *user_data) {
    (void)user_data;
    CHECK(pthread_mutex_lock(&lock) == 0);
    is_over = 1;
    CHECK(pthread_cond_signal(&ended) == 0);
    CHECK(pthread_mutex_unlock(&lock) == 0);
}

static int threads_of_this_process(void) {
    DIR *threads = opendir("/proc/self/task");
    int count = -2; /* without . and .. */
    CHECK(threads != NULL);
    while (readdir(threads) != NULL) {
        count++;
    }
    CHECK(closedir(threads) == 0);
    return count;
}

static void the_delivery_thread_frees_its_cache(void) {
    halfshake_options options = options_for(10);
    halfshake_key name = key("a");
    options.delivery = HALFSHAKE_DELIVERY_THREAD;
    cache = cache_of(options);
    OK(halfshake_cache_set_remove_callback(cache, on_remove_there, NULL, on_end_there));
    put(cache, "a", "1");
    put(cache, "b", "1");
    OK(halfshake_cache_remove(cache, &name));
    CHECK(pthread_mutex_lock(&lock) == 0);
    while (!is_over) {
        CHECK(pthread_cond_wait(&ended, &lock) == 0);
    }
    CHECK(pthread_mutex_unlock(&lock) == 0);
    CHECK(calls_there == 2 && frees_there == 1);
    /* Nobody joins threads that end their own cache. */
    while (threads_of_this_process() > 1) {
        sched_yield();
    }
    GIVES(HALFSHAKE_BAD_CACHE, halfshake_cache_free(cache));
}

int main(int argc, char **argv) {
    if (argc > 1) {
        rounds = atoi(argv[1]);
    }
    callbacks_are_swapped_under_load();
    a_session_is_taken_once();
    a_cache_is_freed_under_its_users();
    a_callback_frees_its_cache();
    a_callback_replaces_itself();
    messages_are_of_one_thread();
    the_delivery_thread_frees_its_cache();
    return 0;
}
