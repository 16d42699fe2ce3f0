/* A cache whose sessions are counted as they come and go. */
#ifndef WATCHED_H
#define WATCHED_H

#include "tls.h"

static int left[HALFSHAKE_CAUSES]; /* which causes sessions left for */
static int news;                   /* calls of the new callback */

static inline void on_remove(halfshake_cache *cache, const halfshake_removed *removed,
                             void *user_data) {
    (void)cache, (void)user_data;
    left[removed->cause]++;
}

static inline int counts_new(halfshake_cache *cache, void *connection,
                             const halfshake_new *fresh, void *user_data) {
    (void)cache, (void)connection, (void)fresh, (void)user_data;
    news++;
    return 1;
}

static inline halfshake_cache *watched_for(uint64_t capacity) {
    halfshake_cache *cache = cache_for(capacity);
    memset(left, 0, sizeof left);
    news = 0;
    OK(halfshake_cache_set_new_callback(cache, counts_new, NULL, NULL));
    OK(halfshake_cache_set_remove_callback(cache, on_remove, NULL, NULL));
    return cache;
}

static inline halfshake_cache *watched(void) {
    return watched_for(100);
}

static inline void ends(SSL_CTX *context, halfshake_cache *cache) {
    nothing_is_lost(cache);
    SSL_CTX_free(context);
    OK(halfshake_cache_free(cache));
}

#endif
