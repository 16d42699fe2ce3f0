/* The functions of the host's TLS library. */
#define _GNU_SOURCE
#include "preload.h"

#include <dlfcn.h>
#include <stdio.h>

enum { INDEX_SSL = 0, INDEX_SSL_CTX = 1 };

struct tls tls;
int on_contexts, on_connections;

/* A function of it, or NULL. A plug-in's libssl is out of sight, but it is there. */
static void *next(const char *name) {
    static const char *const names[] = {"libssl.so.3", "libssl.so.1.1"};
    void *found = dlsym(RTLD_NEXT, name);
    for (size_t i = 0; !found && i < sizeof names / sizeof *names; i++) {
        void *library = dlopen(names[i], RTLD_NOLOAD | RTLD_LAZY);
        if (library) {
            found = dlsym(library, name);
            dlclose(library);
        }
    }
    return found;
}

#define FIND(returns, name, takes) tls.name = (returns(*) takes)next(#name);
static void find(void) {
    FUNCTIONS(FIND)
    tls.SSL_CTX_new_ex =
        (SSL_CTX * (*)(void *, const char *, const SSL_METHOD *)) next("SSL_CTX_new_ex");
}

void find_once(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find);
}

/* Where the libraries of plug-ins begin, once they have made a context. */
enum { PLUG_INS = 8 };
static const void *plug_ins[PLUG_INS];

/* Where the image begins that an address lies in. */
static const void *image_of(const void *at) {
    Dl_info info;
    return at && dladdr(at, &info) ? info.dli_fbase : NULL;
}

/* What an image, or what it is linked to, has by a name: not what the program has. */
static void *seen_from(const void *at, const char *name) {
    Dl_info info;
    void *image = at && dladdr(at, &info) ? dlopen(info.dli_fname, RTLD_NOLOAD | RTLD_LAZY) : NULL;
    void *found = image ? dlsym(image, name) : NULL;
    if (image) {
        dlclose(image);
    }
    return image_of(found) == image_of(plug_ins) ? NULL : found;
}

static int is_plug_ins(const void *function) {
    const void *image = image_of(function);
    for (int i = 0; image && i < PLUG_INS; i++) {
        if (__atomic_load_n(&plug_ins[i], __ATOMIC_ACQUIRE) == image) {
            return 1;
        }
    }
    return 0;
}

void *of_plug_in(const char *name, const void *own, const void *at) {
    const void *first = __atomic_load_n(&plug_ins[0], __ATOMIC_ACQUIRE);
    if (!first || within) {
        return NULL;
    }
    void *found = seen_from(at, name);
    if (!found && !own) {
        found = seen_from(first, name);
    }
    return is_plug_ins(found) ? found : NULL;
}

void *of_method(const char *name, const void *own, const SSL_METHOD *method) {
    void *found = within ? NULL : seen_from(method, name);
    if (!found || found == own || (own && image_of(found) == image_of(own))) {
        return NULL;
    }
    const void *image = image_of(found);
    for (int i = 0; i < PLUG_INS; i++) {
        const void *none = NULL;
        if (__atomic_compare_exchange_n(&plug_ins[i], &none, image, 0, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE) ||
            none == image) {
            break;
        }
    }
    return found;
}

const char *missing(void) {
#define NAME(returns, name, takes) !tls.name ? #name :
    return FUNCTIONS(NAME) NULL;
}

void lacks(const char *name) {
    fprintf(stderr, "halfshake-preload: there is no %s to call\n", name);
    abort();
}

int is_of_clients(const SSL_METHOD *method) {
    static const char *const names[] = {
        "TLS_client_method",     "TLSv1_client_method", "TLSv1_1_client_method",
        "TLSv1_2_client_method", "DTLS_client_method",  "DTLSv1_client_method",
        "DTLSv1_2_client_method"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const SSL_METHOD *(*client)(void) = (const SSL_METHOD *(*)(void))next(names[i]);
        if (client && client() == method) {
            return 1;
        }
    }
    return 0;
}

int make_slots(void) {
    typedef int (*of_each)(long, void *, void *, copied, ended);
    /* LibreSSL numbers its kinds of objects otherwise, but has functions for them. */
    of_each contexts = (of_each)next("SSL_CTX_get_ex_new_index");
    of_each connections = (of_each)next("SSL_get_ex_new_index");
    on_contexts =
        contexts ? contexts(0, NULL, NULL, NULL, context_ends)
                 : tls.CRYPTO_get_ex_new_index(INDEX_SSL_CTX, 0, NULL, NULL, NULL, context_ends);
    on_connections = connections
                         ? connections(0, NULL, NULL, connection_is_copied, NULL)
                         : tls.CRYPTO_get_ex_new_index(INDEX_SSL, 0, NULL, NULL,
                                                       connection_is_copied, NULL);
    return on_contexts >= 0 && on_connections >= 0;
}
