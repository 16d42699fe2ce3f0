/* A program that has no TLS library until it loads one. */
#include "check.h"

#include <dlfcn.h>

/* The function of that name, as a pointer to be called. */
#define FUNCTION(library, name, pointer)                                                   \
    do {                                                                                   \
        void *found_ = dlsym(library, name);                                               \
        CHECK(found_ != NULL);                                                             \
        memcpy(&(pointer), &found_, sizeof found_);                                        \
    } while (0)

typedef struct ssl_ctx_st *(*new_context)(const void *method);

int main(void) {
    halfshake_cache *cache = cache_for(10), *attached;
    halfshake_attach_options options;
    struct ssl_ctx_st *context;
    void *library;
    const void *(*method)(void);
    void (*free_context)(struct ssl_ctx_st *);
    new_context make_context;
    OK(halfshake_attach_options_init(&options, sizeof options));
    options.ns = WWW;
    options.ns_len = sizeof WWW - 1;
    context = (struct ssl_ctx_st *)&options;
    SAYS(HALFSHAKE_NO_LIBRARY, "is not to be found", halfshake_attach(cache, context, &options));
    /* As a plug-in has it. */
    library = dlopen("libssl.so", RTLD_NOW | RTLD_LOCAL);
    CHECK(library != NULL);
    FUNCTION(library, "TLS_server_method", method);
    FUNCTION(library, "SSL_CTX_new", make_context);
    FUNCTION(library, "SSL_CTX_free", free_context);
    context = make_context(method());
    CHECK(context != NULL);
    SAYS(HALFSHAKE_NO_LIBRARY, "RTLD_GLOBAL", halfshake_attach(cache, context, &options));
    GIVES(HALFSHAKE_MISS, halfshake_attached(context, &attached));
    CHECK(dlopen("libssl.so", RTLD_NOW | RTLD_GLOBAL) == library);
    OK(halfshake_attach(cache, context, &options));
    OK(halfshake_attached(context, &attached));
    CHECK(attached == cache);
    free_context(context);
    OK(halfshake_cache_free(cache));
    return 0;
}
