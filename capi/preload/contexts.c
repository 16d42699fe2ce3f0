/* What is noted of the host's contexts, how they are attached, and the callbacks that they get. */
#include "preload.h"

#include <stdio.h>
#include <string.h>

/* SSL_VERIFY_PEER. */
enum { VERIFY_PEER = 1 };
/* SSL_SESS_CACHE_CLIENT and so on. */
enum { MODE_CLIENT = 1, MODE_SERVER = 2, MODE_NO_INTERNAL = 0x300 };

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER, settling = PTHREAD_MUTEX_INITIALIZER;
struct hosted *all;
__thread int within;
/* Guarded by `lock`. */
static unsigned made, named;

struct hosted *of_context(const SSL_CTX *context) {
    return within || !cache ? NULL : tls.SSL_CTX_get_ex_data(context, on_contexts);
}

struct hosted *of_attached(const SSL_CTX *context) {
    struct hosted *hosted = of_context(context);
    return hosted && GET(hosted, attached) == ATTACHED ? hosted : NULL;
}

/* The lowest bit of the address in a connection's slot: it has an id context of its own. */
static const uintptr_t OWN_ID = 1;

static uintptr_t slot_of(const SSL *connection) {
    return (uintptr_t)tls.SSL_get_ex_data(connection, on_connections);
}

void note_context(SSL *connection, struct hosted *hosted) {
    tls.SSL_set_ex_data(connection, on_connections, hosted);
}

void note_own_id(SSL *connection) {
    tls.SSL_set_ex_data(connection, on_connections, (void *)(slot_of(connection) | OWN_ID));
}

int has_own_id(const SSL *connection) {
    return (slot_of(connection) & OWN_ID) != 0;
}

/* By SSL_dup. The copy begins with the context that it was copied with; the other one is not kept
 * by it. It has the same id context. */
int connection_is_copied(void *to, const void *from, void *place, int slot, long number,
                         void *pointer) {
    (void)to, (void)from, (void)slot, (void)number, (void)pointer;
    void **its = place;
    *its = (void *)((uintptr_t)*its & OWN_ID);
    return 1;
}

/* As OpenSSL does: a callback for the server name may have switched to another context. */
struct hosted *of_connection(const SSL *connection) {
    struct hosted *hosted = (struct hosted *)(slot_of(connection) & ~OWN_ID);
    return hosted ? hosted : of_attached(tls.SSL_get_SSL_CTX(connection));
}

/* A context was made. */
SSL_CTX *adopt(SSL_CTX *context, const SSL_METHOD *method) {
    if (!context || within || is_of_clients(method)) {
        return context;
    }
    make_cache_once();
    /* SSL_CTX_new may have called SSL_CTX_new_ex, and that has been here. */
    if (!cache || of_context(context)) {
        return context;
    }
    struct hosted *hosted = calloc(1, sizeof *hosted);
    if (!hosted || tls.SSL_CTX_set_ex_data(context, on_contexts, hosted) != 1) {
        free(hosted);
        return context;
    }
    hosted->context = context;
    pthread_mutex_lock(&lock);
    hosted->number = made++;
    hosted->of_name = named++;
    hosted->next = all;
    all = hosted;
    pthread_mutex_unlock(&lock);
    return context;
}

void context_ends(void *parent, void *ends, void *slots, int slot, long number, void *pointer) {
    (void)parent, (void)slots, (void)slot, (void)number, (void)pointer;
    struct hosted *hosted = ends;
    if (!hosted) {
        return;
    }
    pthread_mutex_lock(&lock);
    for (struct hosted **at = &all; *at; at = &(*at)->next) {
        if (*at == hosted) {
            *at = hosted->next;
            break;
        }
    }
    /* What the host keeps with the context may have ended before. */
    forget_due(hosted);
    pthread_mutex_unlock(&lock);
    /* Others may have the host's name. */
    if (hosted->attached == ATTACHED && hosted->is_own) {
        halfshake_cache_flush_namespace(cache, hosted->ns, hosted->ns_len, NULL);
    }
    free(hosted);
}

/* OpenSSL itself neither stores nor resumes a session, and with it who its client was, where a
 * client's certificate is asked for and the host has not said whose sessions these are. The id
 * context that we set would hide that from it. */
static int is_unsure_whose(const SSL *connection, const struct hosted *begun) {
    const struct hosted *now = of_context(tls.SSL_get_SSL_CTX(connection));
    return GET(now ? now : begun, id_len) == 0 &&
           (tls.SSL_get_verify_mode(connection) & VERIFY_PEER) != 0;
}

static int front_new(SSL *connection, SSL_SESSION *session) {
    struct hosted *hosted = of_connection(connection);
    if (!hosted || is_unsure_whose(connection, hosted)) {
        return 0;
    }
    hosted->our_fresh(connection, session);
    sweep();
    tell(hosted);
    new_cb theirs = GET(hosted, fresh);
    /* 1: the host keeps the reference. */
    return theirs ? theirs(connection, session) : 0;
}

static SSL_SESSION *front_get(SSL *connection, const unsigned char *id, int len, int *copy) {
    struct hosted *hosted = of_connection(connection);
    if (!hosted || is_unsure_whose(connection, hosted)) {
        return NULL;
    }
    SSL_SESSION *found = hosted->our_get(connection, id, len, copy);
    tell(hosted);
    return found;
}

static void front_remove(SSL_CTX *context, SSL_SESSION *session) {
    struct hosted *hosted = of_attached(context);
    if (!hosted) {
        return;
    }
    hosted->our_gone(context, session);
    remove_cb theirs = GET(hosted, gone);
    if (theirs) {
        theirs(context, session);
    }
    tell(hosted);
}

int take_mode(struct hosted *hosted) {
    if (!hosted->has_mode) {
        hosted->mode = tls.SSL_CTX_ctrl(hosted->context, SESS_CACHE_MODE_GET, 0, NULL);
        if ((hosted->mode & (MODE_CLIENT | MODE_SERVER)) == MODE_CLIENT) {
            return 0;
        }
        tls.SSL_CTX_ctrl(hosted->context, SESS_CACHE_MODE_SET, MODE_SERVER | MODE_NO_INTERNAL,
                         NULL);
        SET(hosted, has_mode, 1);
    }
    return 1;
}

/* What the host has set before the first connection. */
static void note(struct hosted *hosted) {
    SSL_CTX *context = hosted->context;
    SET(hosted, fresh, tls.SSL_CTX_sess_get_new_cb(context));
    SET(hosted, get, tls.SSL_CTX_sess_get_get_cb(context));
    SET(hosted, gone, tls.SSL_CTX_sess_get_remove_cb(context));
}

/* By another id context, sessions of before are not resumed: so the host may change its policy. A
 * name of its own is a new one then, also when the id is set back. */
void note_id(struct hosted *hosted, const unsigned char *id, size_t len) {
    if (len) {
        memcpy(hosted->id, id, len);
    }
    SET(hosted, id_len, len);
    pthread_mutex_lock(&lock);
    hosted->of_name = named++;
    pthread_mutex_unlock(&lock);
}

static void name(struct hosted *hosted) {
    pthread_mutex_lock(&lock);
    hosted->is_own = !(hosted->get && hosted->id_len);
    if (!hosted->is_own) {
        memcpy(hosted->ns, hosted->id, hosted->ns_len = hosted->id_len);
    } else {
        hosted->ns_len =
            (size_t)snprintf((char *)hosted->ns, NS_MAX, "halfshake-preload %u", hosted->of_name);
    }
    pthread_mutex_unlock(&lock);
}

void settle(struct hosted *hosted) {
    SSL_CTX *context = hosted->context;
    halfshake_attach_options options = how;
    if (hosted->attached == NOT_OURS || !take_mode(hosted)) {
        SET(hosted, attached, NOT_OURS);
        return;
    }
    if (hosted->attached == NOT_YET) {
        note(hosted);
    }
    name(hosted);
    options.ns = hosted->ns;
    options.ns_len = hosted->ns_len;
    /* Attaching sets the cache's. */
    long timeout = tls.SSL_CTX_get_timeout(context);
    within++;
    int result = halfshake_attach(cache, context, &options);
    within--;
    if (result != HALFSHAKE_OK) {
        fprintf(stderr, "halfshake-preload: not attached: %s\n", halfshake_error_message());
        SET(hosted, attached, NOT_OURS);
        return;
    }
    tls.SSL_CTX_set_timeout(context, timeout);
    hosted->our_fresh = tls.SSL_CTX_sess_get_new_cb(context);
    hosted->our_get = tls.SSL_CTX_sess_get_get_cb(context);
    hosted->our_gone = tls.SSL_CTX_sess_get_remove_cb(context);
    tls.SSL_CTX_sess_set_new_cb(context, front_new);
    tls.SSL_CTX_sess_set_get_cb(context, front_get);
    tls.SSL_CTX_sess_set_remove_cb(context, front_remove);
    if (hosted->attached == NOT_YET) {
        __atomic_fetch_add(&attached_to, 1, __ATOMIC_RELAXED);
    }
    SET(hosted, attached, ATTACHED);
    if (hosted->get || hosted->gone) {
        chain();
    }
}
