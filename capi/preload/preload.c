/* libhalfshake-preload.so: a halfshake cache under a TLS server that nobody changes. What it is
 * for, its settings and its limits: halfshake-preload(8).
 *
 *   LD_PRELOAD=/usr/lib/libhalfshake-preload.so nginx
 *
 * It stands before SSL_CTX_new and SSL_CTX_new_ex and notes what they make. When the first
 * connection of a context is made (SSL_new), the host has set the context up, and the cache is
 * attached to it, unless it is a client's. From then on the context has the three callbacks of the
 * cache, each behind a front that calls the host's, too: new and remove as OpenSSL would have
 * called them, get when the cache holds nothing, and remove also for what leaves the cache and may
 * not be used any more: at the next call that has the context.
 *
 * The namespace of a context is its own, as each has a cache of its own in OpenSSL. But where the
 * host has a get callback, it shares sessions itself, between the contexts and processes that have
 * one session id context: then this is the namespace.
 *
 * The host's callbacks run on its own threads: the cache has none, and is swept by handshakes.
 */
#include "preload.h"

#include <string.h>

/* SSL_OP_NO_TICKET, SSL_OP_NO_ANTI_REPLAY. */
enum { KEPT_OPTIONS = 1 << 14 | 1 << 24 };

/* All else is hidden. */
#pragma GCC visibility push(default)

SSL_CTX *SSL_CTX_new(const SSL_METHOD *method) {
    find_once();
    __typeof__(tls.SSL_CTX_new) theirs =
        of_method("SSL_CTX_new", (void *)tls.SSL_CTX_new, method);
    return theirs ? theirs(method) : adopt(REAL(SSL_CTX_new)(method), method);
}

SSL_CTX *SSL_CTX_new_ex(void *libctx, const char *query, const SSL_METHOD *method) {
    find_once();
    __typeof__(tls.SSL_CTX_new_ex) theirs =
        of_method("SSL_CTX_new_ex", (void *)tls.SSL_CTX_new_ex, method);
    return theirs ? theirs(libctx, query, method)
                  : adopt(REAL(SSL_CTX_new_ex)(libctx, query, method), method);
}

SSL *SSL_new(SSL_CTX *context) {
    PASS(SSL_new, context)
    struct hosted *hosted = context ? of_context(context) : NULL;
    if (hosted && GET(hosted, attached) == NOT_YET) {
        pthread_mutex_lock(&settling);
        if (hosted->attached == NOT_YET) {
            settle(hosted);
        }
        pthread_mutex_unlock(&settling);
    }
    SSL *connection = REAL(SSL_new)(context);
    if (connection && hosted && GET(hosted, attached) == ATTACHED) {
        note_context(connection, hosted);
        tell(hosted);
    }
    return connection;
}

/* The connection goes on with another context: OpenSSL calls the callbacks of the first one, but
 * takes this one's mode and session id context. Where to the host that is the same one, it is the
 * same to the cache; another one has its own namespace. */
SSL_CTX *SSL_set_SSL_CTX(SSL *connection, SSL_CTX *context) {
    PASS(SSL_set_SSL_CTX, connection, context)
    struct hosted *begun = cache ? of_connection(connection) : NULL;
    struct hosted *other = begun && context ? of_context(context) : NULL;
    int is_same = 0;
    if (other && other != begun) {
        pthread_mutex_lock(&settling);
        is_same = other->id_len == begun->id_len &&
                  memcmp(other->id, begun->id, other->id_len) == 0 &&
                  other->attached != ATTACHED;
        if (is_same) {
            (void)take_mode(other);
        } else if (other->attached == NOT_YET) {
            settle(other);
        }
        pthread_mutex_unlock(&settling);
    }
    SSL_CTX *now = REAL(SSL_set_SSL_CTX)(connection, context);
    /* OpenSSL goes by what the contexts have. */
    struct hosted *named = is_same ? begun : other;
    if (now && named && GET(named, attached) == ATTACHED && !has_own_id(connection)) {
        tls.SSL_set_session_id_context(connection, named->ns, (unsigned)named->ns_len);
    }
    return now;
}

/* The host's word for this connection alone. */
int SSL_set_session_id_context(SSL *connection, const unsigned char *id, unsigned len) {
    PASS(SSL_set_session_id_context, connection, id, len)
    if (cache && !within) {
        note_own_id(connection);
    }
    return REAL(SSL_set_session_id_context)(connection, id, len);
}

/* SETTER(what, type, field): a setter of the page, and its getter. */
#define SETTER(what, type, field)                                                             \
    void SSL_CTX_sess_set_##what(SSL_CTX *context, type callback) {                           \
        PASS(SSL_CTX_sess_set_##what, context, callback)                                      \
        struct hosted *hosted = of_attached(context);                                         \
        if (!hosted) {                                                                        \
            REAL(SSL_CTX_sess_set_##what)(context, callback);                                 \
            return;                                                                           \
        }                                                                                     \
        int is_first = !GET(hosted, field);                                                   \
        SET(hosted, field, callback);                                                         \
        if (is_first && callback) {                                                           \
            pthread_mutex_lock(&settling);                                                    \
            settle(hosted);                                                                   \
            pthread_mutex_unlock(&settling);                                                  \
        }                                                                                     \
        tell(hosted);                                                                         \
    }                                                                                         \
    type SSL_CTX_sess_get_##what(SSL_CTX *context) {                                          \
        PASS(SSL_CTX_sess_get_##what, context)                                                \
        struct hosted *hosted = of_attached(context);                                         \
        return hosted ? GET(hosted, field) : REAL(SSL_CTX_sess_get_##what)(context);          \
    }

SETTER(new_cb, new_cb, fresh)
SETTER(get_cb, get_cb, get)
SETTER(remove_cb, remove_cb, gone)

int SSL_CTX_set_session_id_context(SSL_CTX *context, const unsigned char *id, unsigned len) {
    PASS(SSL_CTX_set_session_id_context, context, id, len)
    struct hosted *hosted = of_context(context);
    int is_attached = hosted && of_attached(context);
    if (!hosted || len > NS_MAX) {
        return REAL(SSL_CTX_set_session_id_context)(context, id, len);
    }
    pthread_mutex_lock(&settling);
    int done = 1, is_other = len != hosted->id_len || (len && memcmp(id, hosted->id, len) != 0);
    if (is_other) {
        note_id(hosted, id, len);
    }
    if (is_attached && is_other) {
        settle(hosted);
    } else if (!is_attached) {
        done = REAL(SSL_CTX_set_session_id_context)(context, id, len);
    }
    pthread_mutex_unlock(&settling);
    return done;
}

/* The mode is ours; the host is told that it has what it set. */
long SSL_CTX_ctrl(SSL_CTX *context, int command, long number, void *pointer) {
    PASS(SSL_CTX_ctrl, context, command, number, pointer)
    int of_mode = context && (command == SESS_CACHE_MODE_SET || command == SESS_CACHE_MODE_GET);
    struct hosted *hosted = of_mode ? of_context(context) : NULL;
    if (!hosted || !GET(hosted, has_mode)) {
        return REAL(SSL_CTX_ctrl)(context, command, number, pointer);
    }
    long old = GET(hosted, mode);
    if (command == SESS_CACHE_MODE_SET) {
        SET(hosted, mode, number);
    }
    return old;
}

/* What was negotiated here, the cache has been given; stunnel adds it once more. OpenSSL's own
 * cache would never be asked for it. */
int SSL_CTX_add_session(SSL_CTX *context, SSL_SESSION *session) {
    PASS(SSL_CTX_add_session, context, session)
    return of_attached(context) ? 1 : REAL(SSL_CTX_add_session)(context, session);
}

/* OpenSSL's own cache is empty, but the host may expect to be told of what has expired. */
void SSL_CTX_flush_sessions(SSL_CTX *context, long at) {
    PASS(SSL_CTX_flush_sessions, context, at)
    REAL(SSL_CTX_flush_sessions)(context, at);
    struct hosted *hosted = context ? of_attached(context) : NULL;
    if (hosted) {
        tell(hosted);
    }
}

uint64_t SSL_CTX_clear_options(SSL_CTX *context, uint64_t options) {
    PASS(SSL_CTX_clear_options, context, options)
    uint64_t kept = of_attached(context) ? (uint64_t)KEPT_OPTIONS : 0;
    return REAL(SSL_CTX_clear_options)(context, options & ~kept);
}

#pragma GCC visibility pop
