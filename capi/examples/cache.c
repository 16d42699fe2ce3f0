/* A cache that keeps what it has no room for: the three callbacks, and no TLS.
 *
 *   cc cache.c $(pkg-config --cflags --libs halfshake) -o cache && ./cache
 */
#include <halfshake.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where a server would have a database: one session, as bytes. */
struct disk {
    unsigned char id[32], bytes[4096];
    size_t id_len, bytes_len;
};

static int on_new(halfshake_cache *cache, void *connection, const halfshake_new *fresh,
                  void *user_data) {
    (void)cache, (void)fresh, (void)user_data;
    printf("new: connection %s\n", (const char *)connection);
    return 1; /* keep it */
}

static void on_get(halfshake_cache *cache, void *connection, const halfshake_key *key,
                   int purpose, halfshake_answer *answer, void *user_data) {
    const struct disk *disk = (const struct disk *)user_data;
    (void)cache, (void)connection, (void)purpose;
    if (key->id_len == disk->id_len && memcmp(key->id, disk->id, key->id_len) == 0) {
        halfshake_answer_bytes(answer, disk->bytes, disk->bytes_len);
    }
}

static void on_remove(halfshake_cache *cache, const halfshake_removed *removed,
                      void *user_data) {
    struct disk *disk = (struct disk *)user_data;
    halfshake_session *session;
    (void)cache;
    printf("removed: %s\n", halfshake_cause_name(removed->cause));
    if (removed->cause == HALFSHAKE_CAUSE_EVICTED && removed->key.id_len <= sizeof disk->id &&
        halfshake_removed_session(removed, &session) == HALFSHAKE_OK) {
        memcpy(disk->id, removed->key.id, removed->key.id_len);
        disk->id_len = removed->key.id_len;
        if (halfshake_session_to_bytes(session, disk->bytes, sizeof disk->bytes,
                                       &disk->bytes_len) != HALFSHAKE_OK) {
            disk->id_len = 0;
        }
        halfshake_session_free(session);
    }
}

/* Ends the program if a call fails. */
static void must(int result) {
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", halfshake_result_name(result), halfshake_error_message());
        exit(1);
    }
}

int main(void) {
    halfshake_options options;
    halfshake_cache *cache;
    halfshake_key key = {"www.example.org", 15, "id-of-session-0", 15, 0x0303};
    halfshake_session *session;
    struct disk disk = {{0}, {0}, 0, 0};
    char ids[2][16] = {"id-of-session-0", "id-of-session-1"};
    int i, result;

    must(halfshake_options_init(&options, sizeof options));
    options.capacity = 1; /* so that the second session evicts the first */
    must(halfshake_cache_new(&options, &cache));
    must(halfshake_cache_set_new_callback(cache, on_new, NULL, NULL));
    must(halfshake_cache_set_get_callback(cache, on_get, &disk, NULL));
    must(halfshake_cache_set_remove_callback(cache, on_remove, &disk, NULL));

    for (i = 0; i < 2; i++) {
        key.id = ids[i];
        must(halfshake_session_new(cache, &key, "what TLS needs", 14, &session));
        must(halfshake_cache_new_session(cache, ids[i], HALFSHAKE_SIDE_SERVER, session));
        halfshake_session_free(session);
    }

    key.id = ids[0]; /* a client comes back with the first */
    result = halfshake_cache_resume(cache, NULL, &key, NULL, &session);
    must(result);
    printf("the evicted session is %s\n", result == HALFSHAKE_OK ? "resumed" : "lost");
    halfshake_session_free(session);
    must(halfshake_cache_free(cache));
    return result == HALFSHAKE_OK ? 0 : 1;
}
