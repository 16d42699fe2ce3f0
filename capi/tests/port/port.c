/* The port check: one program, written against the functions of SSL_CTX_sess_set_get_cb(3), on
 * OpenSSL's own cache and on ours. It prints docs/PORT.md. */
#include "page.h"

#include <time.h>

static SSL_CTX *context, *tls12, *tls13;

/* The program that is ported: it counts its callbacks, and has a store for one session. */
static int news, gets, removes, keeps;
static SSL_SESSION *stored;

static int on_new(SSL *ssl, SSL_SESSION *session) {
    (void)ssl;
    news++;
    if (stored == NULL) {
        stored = SSL_SESSION_dup(session);
    }
    if (keeps) {
        SSL_SESSION_free(session); /* the reference is ours then */
    }
    return keeps;
}

static SSL_SESSION *on_get(SSL *ssl, const unsigned char *id, int len, int *copy) {
    (void)ssl, (void)id, (void)len;
    gets++;
    *copy = 0;
    return stored == NULL ? NULL : SSL_SESSION_dup(stored);
}

static void on_remove(SSL_CTX *of, SSL_SESSION *session) {
    unsigned int len;
    CHECK(of == context && SSL_SESSION_get_id(session, &len) != NULL && len == 32);
    removes++;
}

/* What a case has found. */
static char found[200];

#define FOUND(...) (void)snprintf(found, sizeof found, __VA_ARGS__)

static const char *how(int resumed) {
    return resumed ? "resumed" : "full";
}

/* A first connection of TLS 1.2, whose session is then only in the store. */
static SSL_SESSION *only_outside(void) {
    SSL_SESSION *session = begins(context, tls12);
    SSL_CTX_flush_sessions(context, 0);
    news = gets = removes = 0;
    SSL_CTX_sess_set_get_cb(context, on_get);
    return session;
}

static void refused(void) {
    SSL_SESSION *session;
    long number;
    int removed;
    keeps = 0;
    session = begins(context, tls12);
    number = SSL_CTX_sess_number(context);
    removed = removes;
    FOUND("number %ld, removals %d, then %s", number, removed,
          how(resumes(context, tls12, session)));
    SSL_SESSION_free(session);
}

static void replaced(void) {
    SSL_SESSION_free(begins(context, tls12));
    SSL_SESSION_set_timeout(stored, 100);
    CHECK(SSL_CTX_add_session(context, stored) == 1);
    FOUND("number %ld, removals %d", SSL_CTX_sess_number(context), removes);
}

static void removed_although_absent(void) {
    SSL_SESSION *session = only_outside();
    int result = SSL_CTX_remove_session(context, stored);
    FOUND("returns %d, removals %d", result, removes);
    SSL_SESSION_free(session);
}

static void removed_once(void) {
    int result;
    SSL_SESSION_free(begins(context, tls12));
    result = SSL_CTX_remove_session(context, stored);
    FOUND("returns %d, removals %d, number %ld", result, removes,
          SSL_CTX_sess_number(context));
}

static void caching_is_off(void) {
    SSL_SESSION *session = only_outside();
    int resumed;
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    resumed = resumes(context, tls12, session);
    FOUND("gets %d, %s, number %ld", gets, how(resumed), SSL_CTX_sess_number(context));
    SSL_SESSION_free(session);
}

static void found_outside(void) {
    SSL_SESSION *session = only_outside();
    int resumed = resumes(context, tls12, session), again = resumes(context, tls12, session);
    FOUND("gets %d, %s, %s; misses %ld, cb_hits %ld, hits %ld", gets, how(resumed),
          how(again), SSL_CTX_sess_misses(context), SSL_CTX_sess_cb_hits(context),
          SSL_CTX_sess_hits(context));
    SSL_SESSION_free(session);
}

static void not_stored_inside(void) {
    SSL_SESSION *session;
    int resumed;
    SSL_CTX_set_session_cache_mode(context,
                                   SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL);
    session = only_outside();
    resumed = resumes(context, tls12, session);
    FOUND("gets %d, %s, number %ld", gets, how(resumed), SSL_CTX_sess_number(context));
    SSL_SESSION_free(session);
}

static void another_contexts(void) {
    SSL_SESSION *session = only_outside();
    int resumed;
    CHECK(SSL_SESSION_set1_id_context(stored, (const unsigned char *)"other", 5) == 1);
    resumed = resumes(context, tls12, session);
    FOUND("%s, number %ld with the new one", how(resumed), SSL_CTX_sess_number(context));
    SSL_SESSION_free(session);
}

static void expired_outside(void) {
    SSL_SESSION *session = only_outside();
    int resumed;
    SSL_SESSION_set_time(stored, (long)time(NULL) - 10000);
    resumed = resumes(context, tls12, session);
    FOUND("%s, removals %d, number %ld with the new one", how(resumed), removes,
          SSL_CTX_sess_number(context));
    SSL_SESSION_free(session);
}

static void from_the_future(void) {
    SSL_SESSION *session = only_outside();
    SSL_SESSION_set_time(stored, (long)time(NULL) + 500);
    FOUND("%s", how(resumes(context, tls12, session)));
    SSL_SESSION_free(session);
}

static void five_of_ten(void) {
    int i;
    SSL_CTX_sess_set_cache_size(context, 5);
    for (i = 0; i < 10; i++) {
        SSL_SESSION_free(begins(context, tls12));
    }
    FOUND("number %ld, removals %d", SSL_CTX_sess_number(context), removes);
}

static void timeout_of_nothing(void) {
    SSL_SESSION *session;
    long number;
    SSL_CTX_set_timeout(context, 0);
    session = begins(context, tls12);
    number = SSL_CTX_sess_number(context);
    FOUND("number %ld, then %s", number, how(resumes(context, tls12, session)));
    SSL_SESSION_free(session);
}

static void flushed(void) {
    int i;
    for (i = 0; i < 3; i++) {
        SSL_SESSION_free(begins(context, tls12));
    }
    SSL_CTX_flush_sessions(context, (long)time(NULL));
    i = removes;
    SSL_CTX_flush_sessions(context, 0);
    FOUND("removals %d, then %d, number %ld", i, removes, SSL_CTX_sess_number(context));
}

static void dropped(void) {
    wants want = nothing();
    went of;
    int removed;
    want.drops = 1;
    of = connect_with(context, tls12, want);
    removed = removes;
    FOUND("removals %d, then %s", removed, how(resumes(context, tls12, of.sessions[0])));
    forget(&of);
}

static void freed(void) {
    SSL_SESSION_free(begins(context, tls12));
    SSL_SESSION_free(begins(context, tls12));
    SSL_CTX_free(context);
    context = NULL;
    FOUND("removals %d", removes);
}

static void tls13_twice(void) {
    SSL_SESSION *session = begins(context, tls13);
    int first = resumes(context, tls13, session), second = resumes(context, tls13, session);
    FOUND("%s, then %s", how(first), how(second));
    SSL_SESSION_free(session);
}

static void early_data(void) {
    wants want = nothing();
    went first, second;
    SSL_CTX_set_session_cache_mode(context,
                                   SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL);
    CHECK(SSL_CTX_set_max_early_data(context, 1000) == 1);
    want.session = begins(context, tls13);
    want.early = "early";
    SSL_CTX_sess_set_get_cb(context, on_get);
    first = connect_with(context, tls13, want);
    SSL_SESSION_free(stored); /* as a store that deletes what it gives */
    stored = NULL;
    second = connect_with(context, tls13, want);
    FOUND("%s, early data %s, its replay %s", how(first.resumed),
          first.early ? "accepted" : "refused", second.early ? "accepted" : "refused");
    forget(&first);
    forget(&second);
    SSL_SESSION_free(want.session);
}

/* What is done, what the page says of it, and the case. */
static const struct {
    const char *what, *page;
    void (*run)(void);
} CASES[] = {
    {"the new callback returns 0", "it is removed again", refused},
    {"another session takes the id", "a session that is removed is told of", replaced},
    {"`SSL_CTX_remove_session`", "", removed_once},
    {"... of a session that is not there", "", removed_although_absent},
    {"caching is off, the get callback has it", "called also when disabled", caching_is_off},
    {"the get callback has it, twice", "the session is added to the cache", found_outside},
    {"the same with `NO_INTERNAL`", "it is not", not_stored_inside},
    {"it gives a session of another context", "", another_contexts},
    {"it gives an expired session", "expired sessions are not reused", expired_outside},
    {"it gives a session of the future", "", from_the_future},
    {"cache size 5, ten sessions", "the size", five_of_ten},
    {"timeout 0", "the time after which it has expired", timeout_of_nothing},
    {"flush by now, then by 0", "expired ones; all", flushed},
    {"a connection ends without `SSL_shutdown`", "it is removed", dropped},
    {"`SSL_CTX_free` with two sessions", "they are removed", freed},
    {"a session of TLS 1.3, proposed twice", "", tls13_twice},
    {"early data with `NO_INTERNAL`, proposed twice", "", early_data},
};

enum { COLUMNS = 3 };

/* What this OpenSSL is called, and what makes ours the same. */
#if OPENSSL_VERSION_NUMBER < 0x30000000L
#define RELEASE "OpenSSL 1.1.1"
#define QUIRKS HALFSHAKE_COMPAT_OPENSSL_1_1_1
#define QUIRKS_NAME "HALFSHAKE_COMPAT_OPENSSL_1_1_1"
#else
#define RELEASE "OpenSSL 3"
#define QUIRKS HALFSHAKE_COMPAT_OPENSSL_3
#define QUIRKS_NAME "HALFSHAKE_COMPAT_OPENSSL_3"
#endif

static void run(void (*one)(void), int column, char *into, size_t size) {
    ported = column > 0;
    news = gets = removes = 0;
    keeps = 1;
    context = page_server(column == 1 ? QUIRKS : HALFSHAKE_COMPAT_STRICT);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_SERVER);
    SSL_CTX_sess_set_new_cb(context, on_new);
    SSL_CTX_sess_set_remove_cb(context, on_remove);
    one();
    if (context != NULL) {
        SSL_CTX_free(context);
    }
    SSL_SESSION_free(stored);
    stored = NULL;
    (void)snprintf(into, size, "%s", found);
}

int main(void) {
    size_t at, same = 0, strict = 0;
    make_identity();
    tls12 = client(TLS1_2_VERSION);
    tls13 = client(TLS1_3_VERSION);
    puts("# The port check\n\n"
         "Made by `capi/tests/port/port.c`, and checked by `ci/capi`: one program, written\n"
         "against the functions of SSL_CTX_sess_set_get_cb(3) and of the pages that it refers\n"
         "to, run on OpenSSL's own cache and on ours, with real handshakes. `page.h` beside it\n"
         "is the port: each function of the pages in a few lines. Sessions are of TLS 1.2,\n"
         "unless said otherwise, and without tickets. `HALFSHAKE_BLESS=1 ci/capi` writes this\n"
         "anew.\n\n"
         "| what is done | the page | " RELEASE ", its own | `" QUIRKS_NAME "` "
         "| strict, the default |\n| --- | --- | --- | --- | --- |");
    for (at = 0; at < sizeof CASES / sizeof *CASES; at++) {
        char cells[COLUMNS][sizeof found];
        int column;
        for (column = 0; column < COLUMNS; column++) {
            run(CASES[at].run, column, cells[column], sizeof cells[column]);
        }
        if (strcmp(cells[0], cells[1]) != 0) {
            fprintf(stderr, "%s: not the same\n", CASES[at].what);
        }
        printf("| %s | %s | %s | %s | %s |\n", CASES[at].what, CASES[at].page, cells[0],
               cells[1], cells[2]);
        same += strcmp(cells[0], cells[1]) == 0;
        strict += strcmp(cells[0], cells[2]) == 0;
    }
    printf("\nOf %zu cases ours does what OpenSSL does in %zu with its quirks, and in %zu\n"
           "without them.\n",
           at, same, strict);
    ported = 0;
    SSL_CTX_free(tls12);
    SSL_CTX_free(tls13);
    CHECK(same == at);
    return 0;
}
