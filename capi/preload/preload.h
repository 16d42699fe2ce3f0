/* What the files of the preload library share: preload.c says what it is. */
#ifndef PRELOAD_H
#define PRELOAD_H

#include <halfshake.h>

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

/* ---- library.c: the host's TLS library ---- */

typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_st SSL;
typedef struct ssl_session_st SSL_SESSION;
typedef struct ssl_method_st SSL_METHOD;

typedef int (*new_cb)(SSL *, SSL_SESSION *);
typedef SSL_SESSION *(*get_cb)(SSL *, const unsigned char *, int, int *);
typedef void (*remove_cb)(SSL_CTX *, SSL_SESSION *);
typedef void (*ended)(void *, void *, void *, int, long, void *);
typedef int (*copied)(void *, const void *, void *, int, long, void *);

enum { SESS_CACHE_MODE_SET = 44, SESS_CACHE_MODE_GET = 45 };

/* FUNCTIONS(X): X(what it returns, name, what it takes), of the TLS library. */
#define FUNCTIONS(X)                                                                          \
    X(SSL_CTX *, SSL_CTX_new, (const SSL_METHOD *))                                           \
    X(SSL *, SSL_new, (SSL_CTX *))                                                            \
    X(SSL_CTX *, SSL_get_SSL_CTX, (const SSL *))                                              \
    X(SSL_CTX *, SSL_set_SSL_CTX, (SSL *, SSL_CTX *))                                         \
    X(int, SSL_set_session_id_context, (SSL *, const unsigned char *, unsigned))              \
    X(int, SSL_get_verify_mode, (const SSL *))                                                \
    X(uint32_t, SSL_get_max_early_data, (const SSL *))                                        \
    X(const SSL_METHOD *, TLS_server_method, (void))                                          \
    X(void, SSL_CTX_free, (SSL_CTX *))                                                        \
    X(long, SSL_CTX_ctrl, (SSL_CTX *, int, long, void *))                                     \
    X(uint64_t, SSL_CTX_clear_options, (SSL_CTX *, uint64_t))                                 \
    X(long, SSL_CTX_get_timeout, (const SSL_CTX *))                                           \
    X(long, SSL_CTX_set_timeout, (SSL_CTX *, long))                                           \
    X(int, SSL_CTX_set_session_id_context, (SSL_CTX *, const unsigned char *, unsigned))      \
    X(int, SSL_CTX_add_session, (SSL_CTX *, SSL_SESSION *))                                   \
    X(void, SSL_CTX_flush_sessions, (SSL_CTX *, long))                                        \
    X(void *, SSL_CTX_get_ex_data, (const SSL_CTX *, int))                                    \
    X(int, SSL_CTX_set_ex_data, (SSL_CTX *, int, void *))                                     \
    X(void *, SSL_get_ex_data, (const SSL *, int))                                            \
    X(int, SSL_set_ex_data, (SSL *, int, void *))                                             \
    X(void, SSL_CTX_sess_set_new_cb, (SSL_CTX *, new_cb))                                     \
    X(void, SSL_CTX_sess_set_get_cb, (SSL_CTX *, get_cb))                                     \
    X(void, SSL_CTX_sess_set_remove_cb, (SSL_CTX *, remove_cb))                               \
    X(new_cb, SSL_CTX_sess_get_new_cb, (SSL_CTX *))                                           \
    X(get_cb, SSL_CTX_sess_get_get_cb, (SSL_CTX *))                                           \
    X(remove_cb, SSL_CTX_sess_get_remove_cb, (SSL_CTX *))                                     \
    X(int, i2d_SSL_SESSION, (const SSL_SESSION *, unsigned char **))                          \
    X(SSL_SESSION *, d2i_SSL_SESSION, (SSL_SESSION **, const unsigned char **, long))         \
    X(void, SSL_SESSION_free, (SSL_SESSION *))                                                \
    X(int, SSL_SESSION_get_protocol_version, (const SSL_SESSION *))                           \
    X(long, SSL_SESSION_get_time, (const SSL_SESSION *))                                      \
    X(long, SSL_SESSION_get_timeout, (const SSL_SESSION *))                                   \
    X(int, CRYPTO_get_ex_new_index, (int, long, void *, void *, copied, ended))

#define POINTER(returns, name, takes) returns(*name) takes;
struct tls {
    FUNCTIONS(POINTER)
    /* Not in OpenSSL 1.1.1. */
    SSL_CTX *(*SSL_CTX_new_ex)(void *, const char *, const SSL_METHOD *);
};
extern struct tls tls;

void find_once(void);
/* Ends the process. */
void lacks(const char *name);
/* A function that `tls` lacks, or NULL. */
const char *missing(void);
int is_of_clients(const SSL_METHOD *method);
/* Makes the slots: a context's has its `struct hosted`, a connection's its first context's. */
int make_slots(void);
extern int on_contexts, on_connections;

/* A process may have several of them: a plug-in brings its own, whose objects are its alone. The
 * function of that one, or NULL: it is ours to stand before. `at` is an address in the caller. */
void *of_plug_in(const char *name, const void *own, const void *at);
/* The same for what makes contexts, by the method, which lies in the library that it is of. */
void *of_method(const char *name, const void *own, const SSL_METHOD *method);
/* PASS(name, what it takes): returns what such a function does. */
#define PASS(name, ...)                                                                       \
    __typeof__(tls.name) theirs =                                                             \
        (find_once(), of_plug_in(#name, (void *)tls.name, __builtin_return_address(0)));      \
    if (theirs) {                                                                             \
        return theirs(__VA_ARGS__);                                                           \
    }

/* REAL(name): the function before which ours stands. Nothing can be done without it. */
#define REAL(name) (find_once(), tls.name ? (void)0 : lacks(#name), tls.name)

/* ---- cache.c: the one cache of the process ---- */

extern halfshake_cache *cache;
/* How contexts are attached, but for the namespace. */
extern halfshake_attach_options how;
/* To how many contexts it is attached, or has been. */
extern unsigned attached_to;
/* Makes it, unless that was tried before. */
void make_cache_once(void);
/* Removes some of what has expired, now and then: called on threads of the host's. */
void sweep(void);

/* ---- contexts.c: what is noted of contexts ---- */

enum { NS_MAX = 32 };
enum { NOT_OURS = -1, NOT_YET, ATTACHED };

/* What a context is to its host. */
struct hosted {
    SSL_CTX *context;
    struct hosted *next;
    /* Which of those that the process has made. */
    unsigned number;
    /* NOT_YET: before its first connection. Written with `settling` held. */
    int attached;
    /* What the host has set. */
    unsigned char id[NS_MAX];
    size_t id_len;
    /* If `has_mode`: the context has ours instead. */
    long mode;
    int has_mode;
    new_cb fresh;
    get_cb get;
    remove_cb gone;
    /* What its remove callback is to be told, first and last, and how much: guarded by `lock`. */
    struct due *due, **last;
    unsigned dues;
    /* What it is attached with. */
    unsigned char ns[NS_MAX];
    size_t ns_len;
    /* What the name of its own is made of: no context had that before. Guarded by `lock`. */
    unsigned of_name;
    /* The name is its own, not the host's. */
    int is_own;
    new_cb our_fresh;
    get_cb our_get;
    remove_cb our_gone;
};

/* Of the fields that may change while connections are made. */
#define SET(hosted, field, value) __atomic_store_n(&(hosted)->field, value, __ATOMIC_RELEASE)
#define GET(hosted, field) __atomic_load_n(&(hosted)->field, __ATOMIC_ACQUIRE)

/* Guards `all` and what is in it: a context leaves it before its memory is freed. */
extern pthread_mutex_t lock;
extern struct hosted *all;
/* One thread at a time attaches. */
extern pthread_mutex_t settling;
/* The library is at work in this thread: what it calls is not the host's. */
extern __thread int within;

struct hosted *of_context(const SSL_CTX *context);
/* The same, once it has the cache. */
struct hosted *of_attached(const SSL_CTX *context);
/* Of the context that a connection began with. */
struct hosted *of_connection(const SSL *connection);
void note_context(SSL *connection, struct hosted *hosted);
/* The host has set the session id context of a connection. */
void note_own_id(SSL *connection);
int has_own_id(const SSL *connection);
int connection_is_copied(void *to, const void *from, void *place, int slot, long number,
                         void *pointer);
SSL_CTX *adopt(SSL_CTX *context, const SSL_METHOD *method);
/* Gives the context our cache mode, with `settling` held; 0: it is a client's. */
int take_mode(struct hosted *hosted);
/* The host has set another id context: with `settling` held. */
void note_id(struct hosted *hosted, const unsigned char *id, size_t len);
/* Attaches the cache, with `settling` held; once more when what decides the namespace changes. */
void settle(struct hosted *hosted);
void context_ends(void *parent, void *hosted, void *slots, int slot, long number, void *pointer);

/* ---- outside.c: the host's callbacks as the external tier ---- */

/* Sets the get and the remove callback of the cache, for good. */
void chain(void);
/* Tells the remove callback of a context what is due to it, with no lock held. Only where somebody
 * else keeps the context: the caller of the host's call, or OpenSSL. */
void tell(struct hosted *hosted);
/* Wipes what is due, with `lock` held: there is nobody to tell. */
void forget_due(struct hosted *hosted);

#endif
