/* The functions of SSL_CTX_sess_set_get_cb(3) and of the pages that it refers to, in two editions:
 * OpenSSL's own, and a port to halfshake. A program that includes this file says SSL_CTX_... and
 * gets the edition that `ported` names; there is one context at a time. */
#ifndef PAGE_H
#define PAGE_H

#include "../c/tls.h"

typedef int (*page_new)(SSL *, SSL_SESSION *);
typedef SSL_SESSION *(*page_get)(SSL *, const unsigned char *, int, int *);
typedef void (*page_remove)(SSL_CTX *, SSL_SESSION *);

static int ported;                 /* 0: OpenSSL's own edition */
static halfshake_cache *page_cache; /* of the ported one */
static SSL_CTX *page_context;
static page_new new_set;
static page_get get_set;
static page_remove remove_set;

/* A session of OpenSSL's as one of halfshake's, and back. */
static halfshake_session *to_ours(SSL_SESSION *session) {
    halfshake_session *plain, *timed;
    halfshake_times times;
    halfshake_key name;
    unsigned char *der = NULL;
    unsigned int len;
    int size = i2d_SSL_SESSION(session, &der);
    CHECK(size > 0);
    name.id = SSL_SESSION_get_id(session, &len);
    name.id_len = len;
    name.ns = SSL_SESSION_get0_id_context(session, &len);
    name.ns_len = len;
    name.version = (uint16_t)SSL_SESSION_get_protocol_version(session);
    OK(halfshake_session_new(page_cache, &name, der, (size_t)size, &plain));
    OPENSSL_free(der);
    OK(halfshake_session_times(plain, &times));
    times.created_ms = (uint64_t)SSL_SESSION_get_time(session) * 1000;
    times.not_after_ms = times.created_ms + (uint64_t)SSL_SESSION_get_timeout(session) * 1000;
    OK(halfshake_session_with_times(plain, &times, &timed));
    halfshake_session_free(plain);
    return timed;
}

static SSL_SESSION *to_theirs(const void *payload, size_t len) {
    const unsigned char *der = (const unsigned char *)payload;
    return d2i_SSL_SESSION(NULL, &der, (long)len);
}

static int ported_new(halfshake_cache *cache, void *connection, const halfshake_new *fresh,
                      void *user_data) {
    const void *payload;
    size_t len;
    SSL_SESSION *session;
    int keeps;
    (void)cache, (void)user_data;
    OK(halfshake_session_payload(fresh->session, &payload, &len));
    session = to_theirs(payload, len);
    keeps = new_set((SSL *)connection, session);
    if (!keeps) {
        SSL_SESSION_free(session);
    }
    return keeps;
}

static void ported_get(halfshake_cache *cache, void *connection, const halfshake_key *key,
                       int purpose, halfshake_answer *answer, void *user_data) {
    int copy = 1;
    SSL_SESSION *found = get_set((SSL *)connection, (const unsigned char *)key->id,
                                 (int)key->id_len, &copy);
    (void)cache, (void)purpose, (void)user_data;
    if (found != NULL) {
        OK(halfshake_answer_hand_over(answer, to_ours(found)));
        if (!copy) {
            SSL_SESSION_free(found);
        }
    }
}

static void ported_remove(halfshake_cache *cache, const halfshake_removed *removed,
                          void *user_data) {
    SSL_SESSION *session = to_theirs(removed->payload, removed->payload_len);
    (void)cache, (void)user_data;
    if (session == NULL) {
        /* Told of a session that is not here, halfshake has its name alone. */
        session = SSL_SESSION_new();
        CHECK(SSL_SESSION_set1_id(session, (const unsigned char *)removed->key.id,
                                  (unsigned int)removed->key.id_len) == 1);
    }
    remove_set(page_context, session);
    SSL_SESSION_free(session);
}

static void set_new(SSL_CTX *context, page_new callback) {
    new_set = callback;
    if (!ported) {
        SSL_CTX_sess_set_new_cb(context, callback);
    } else {
        OK(halfshake_cache_set_new_callback(page_cache, callback == NULL ? NULL : ported_new,
                                            NULL, NULL));
    }
}

static void set_get(SSL_CTX *context, page_get callback) {
    get_set = callback;
    if (!ported) {
        SSL_CTX_sess_set_get_cb(context, callback);
    } else {
        OK(halfshake_cache_set_get_callback(page_cache, callback == NULL ? NULL : ported_get,
                                            NULL, NULL));
    }
}

static void set_remove(SSL_CTX *context, page_remove callback) {
    remove_set = callback;
    if (!ported) {
        SSL_CTX_sess_set_remove_cb(context, callback);
    } else {
        OK(halfshake_cache_set_remove_callback(
            page_cache, callback == NULL ? NULL : ported_remove, NULL, NULL));
    }
}

static void set_mode(SSL_CTX *context, long mode) {
    if (!ported) {
        SSL_CTX_set_session_cache_mode(context, mode);
    } else {
        OK(halfshake_cache_set_modes(page_cache, (uint32_t)mode, NULL));
    }
}

static void set_timeout(SSL_CTX *context, long seconds) {
    if (!ported) {
        SSL_CTX_set_timeout(context, seconds);
    } else {
        OK(halfshake_cache_set_timeout(page_cache, (uint64_t)seconds * 1000, NULL));
    }
}

static void set_size(SSL_CTX *context, long sessions) {
    if (!ported) {
        SSL_CTX_sess_set_cache_size(context, sessions);
    } else {
        OK(halfshake_cache_set_capacity(page_cache, (uint64_t)sessions, NULL));
    }
}

static int add(SSL_CTX *context, SSL_SESSION *session) {
    halfshake_session *ours;
    int result;
    if (!ported) {
        return SSL_CTX_add_session(context, session);
    }
    ours = to_ours(session);
    result = halfshake_cache_add(page_cache, ours);
    halfshake_session_free(ours);
    return result == HALFSHAKE_OK;
}

static int take_out(SSL_CTX *context, SSL_SESSION *session) {
    halfshake_session *ours;
    halfshake_key name;
    int result;
    if (!ported) {
        return SSL_CTX_remove_session(context, session);
    }
    ours = to_ours(session);
    OK(halfshake_session_key(ours, &name));
    result = halfshake_cache_remove(page_cache, &name);
    halfshake_session_free(ours);
    return result == HALFSHAKE_OK;
}

static void flush(SSL_CTX *context, long time) {
    if (!ported) {
        SSL_CTX_flush_sessions(context, time);
    } else if (time == 0) {
        OK(halfshake_cache_flush_all(page_cache, NULL));
    } else {
        OK(halfshake_cache_flush(page_cache, (uint64_t)time * 1000, NULL));
    }
}

enum { NUMBER, HITS, CB_HITS, MISSES };

static long count_of(SSL_CTX *context, int which) {
    halfshake_stats stats;
    if (!ported) {
        return which == NUMBER    ? SSL_CTX_sess_number(context)
               : which == HITS    ? SSL_CTX_sess_hits(context)
               : which == CB_HITS ? SSL_CTX_sess_cb_hits(context)
                                  : SSL_CTX_sess_misses(context);
    }
    stats = stats_of(page_cache);
    return (long)(which == NUMBER    ? stats.number
                  : which == HITS    ? stats.hits
                  : which == CB_HITS ? stats.cb_hits
                                     : stats.misses);
}

static void end(SSL_CTX *context) {
    SSL_CTX_free(context);
    if (ported) {
        OK(halfshake_cache_free(page_cache));
    }
}

/* A server's context: with OpenSSL's own cache, or with one of ours under it. */
static SSL_CTX *page_server(uint32_t compat) {
    page_context = bare_server();
    if (!ported) {
        SSL_CTX_set_options(page_context, SSL_OP_NO_TICKET);
        CHECK(SSL_CTX_set_session_id_context(page_context, (const unsigned char *)WWW,
                                             (unsigned int)strlen(WWW)) == 1);
    } else {
        halfshake_options options = options_for(100);
        halfshake_attach_options attach = attach_to(WWW);
        options.compat = compat;
        page_cache = cache_of(options);
        /* What OpenSSL does with a session of TLS 1.3. */
        attach.flags = compat == HALFSHAKE_COMPAT_STRICT ? 0 : HALFSHAKE_ATTACH_REUSE_TLS13;
        OK(halfshake_attach(page_cache, page_context, &attach));
    }
    return page_context;
}

/* From here on the names are those of the page. */
#undef SSL_CTX_set_session_cache_mode
#undef SSL_CTX_sess_set_cache_size
#undef SSL_CTX_sess_number
#undef SSL_CTX_sess_hits
#undef SSL_CTX_sess_cb_hits
#undef SSL_CTX_sess_misses
#define SSL_CTX_sess_set_new_cb set_new
#define SSL_CTX_sess_set_get_cb set_get
#define SSL_CTX_sess_set_remove_cb set_remove
#define SSL_CTX_set_session_cache_mode set_mode
#define SSL_CTX_set_timeout set_timeout
#define SSL_CTX_sess_set_cache_size set_size
#define SSL_CTX_add_session add
#define SSL_CTX_remove_session take_out
#define SSL_CTX_flush_sessions flush
#define SSL_CTX_sess_number(context) count_of(context, NUMBER)
#define SSL_CTX_sess_hits(context) count_of(context, HITS)
#define SSL_CTX_sess_cb_hits(context) count_of(context, CB_HITS)
#define SSL_CTX_sess_misses(context) count_of(context, MISSES)
#define SSL_CTX_free end

#endif
