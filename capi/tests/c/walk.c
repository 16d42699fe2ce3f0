/* Every function of the library, as it is meant to be used. */
#include "check.h"

#include <unistd.h>

/* What the callbacks have heard, and what they are to do. */
typedef struct notes {
    int news, gets, removes, destroyed;
    int refuse, removes_new;
    int last_cause, last_purpose, last_stored;
    char last_id[33];
    void *last_connection;
    halfshake_session *outside; /* what the get callback finds */
    int how;                    /* how it answers */
    unsigned char bytes[512];
    size_t bytes_len;
} notes;

enum { BORROWED, HANDED_OVER, BYTES, FAILED, NOTHING, TWICE };

static void note_id(notes *seen, const halfshake_key *name) {
    CHECK(name->id_len <= 32);
    memcpy(seen->last_id, name->id, name->id_len);
    seen->last_id[name->id_len] = 0;
}

static int on_new(halfshake_cache *cache, void *connection, const halfshake_new *fresh,
                  void *user_data) {
    notes *seen = (notes *)user_data;
    halfshake_key name;
    uint64_t number;
    int left;
    seen->news++;
    seen->last_connection = connection;
    seen->last_stored = fresh->stored;
    OK(halfshake_session_key(fresh->session, &name));
    note_id(seen, &name);
    OK(halfshake_cache_len(cache, &number));
    OK(halfshake_new_has_left(fresh, &left));
    CHECK(left == 0);
    if (seen->removes_new) {
        OK(halfshake_cache_remove(cache, &name));
        OK(halfshake_new_has_left(fresh, &left));
        CHECK(left == 1);
    }
    return !seen->refuse;
}

static void on_get(halfshake_cache *cache, void *connection, const halfshake_key *name,
                   int purpose, halfshake_answer *answer, void *user_data) {
    notes *seen = (notes *)user_data;
    CHECK(cache != NULL);
    seen->gets++;
    seen->last_connection = connection;
    seen->last_purpose = purpose;
    note_id(seen, name);
    switch (seen->how) {
    case BORROWED:
        OK(halfshake_answer_session(answer, seen->outside));
        break;
    case HANDED_OVER:
        OK(halfshake_answer_hand_over(answer, halfshake_session_dup(seen->outside)));
        break;
    case BYTES:
        OK(halfshake_answer_bytes(answer, seen->bytes, seen->bytes_len));
        break;
    case FAILED:
        OK(halfshake_answer_failed(answer));
        break;
    case TWICE:
        OK(halfshake_answer_failed(answer));
        OK(halfshake_answer_hand_over(answer, halfshake_session_dup(seen->outside)));
        OK(halfshake_answer_session(answer, seen->outside));
        break;
    default:
        break;
    }
}

static void on_remove(halfshake_cache *cache, const halfshake_removed *removed,
                      void *user_data) {
    notes *seen = (notes *)user_data;
    halfshake_session *copy;
    uint64_t number;
    seen->removes++;
    seen->last_cause = removed->cause;
    note_id(seen, &removed->key);
    CHECK(removed->key.ns_len > 0 && removed->key.version == 0x0303);
    CHECK(removed->times.created_ms <= removed->times.not_after_ms);
    OK(halfshake_removed_session(removed, &copy));
    CHECK(removed->payload_len == 0 || removed->payload != NULL);
    halfshake_session_free(copy);
    OK(halfshake_cache_len(cache, &number));
}

static void on_destroy(void *user_data) {
    ((notes *)user_data)->destroyed++;
}

static void names(void) {
    CHECK(strcmp(halfshake_version(), HALFSHAKE_VERSION) == 0);
    CHECK(strcmp(halfshake_error_message(), "") == 0);
    CHECK(strcmp(halfshake_result_name(HALFSHAKE_MISS), "miss") == 0);
    CHECK(strcmp(halfshake_result_name(HALFSHAKE_BAD_ARGUMENT), "bad_argument") == 0);
    CHECK(strcmp(halfshake_result_name(99), "unknown") == 0);
    CHECK(strcmp(halfshake_cause_name(HALFSHAKE_CAUSE_REFUSED_BY_NEW), "refused_by_new") == 0);
    CHECK(strcmp(halfshake_cause_name(-1), "unknown") == 0);
    CHECK(strcmp(halfshake_reason_name(HALFSHAKE_REASON_ID_LENGTH), "id_length") == 0);
    CHECK(strcmp(halfshake_reason_name(99), "unknown") == 0);
    CHECK(halfshake_cause_was_live(HALFSHAKE_CAUSE_EVICTED) == 1);
    CHECK(halfshake_cause_was_live(HALFSHAKE_CAUSE_FAULTY) == 0);
    CHECK(halfshake_cause_was_live(99) == 0);
}

static void sessions(void) {
    halfshake_cache *cache = cache_for(10);
    halfshake_session *first = session(cache, "first", "secret");
    halfshake_session *second = halfshake_session_dup(first), *third, *read_in;
    halfshake_key name;
    halfshake_times times, other;
    unsigned char bytes[256];
    const void *payload;
    size_t len, short_len;
    uint64_t now, timeout;

    OK(halfshake_session_key(first, &name));
    CHECK(name.id_len == 5 && memcmp(name.id, "first", 5) == 0);
    CHECK(name.ns_len == strlen(WWW) && memcmp(name.ns, WWW, name.ns_len) == 0);
    CHECK(name.version == 0x0303);
    OK(halfshake_session_times(first, &times));
    OK(halfshake_cache_now(cache, &now));
    OK(halfshake_cache_timeout(cache, &timeout));
    CHECK(times.created_ms <= now && times.not_after_ms == times.created_ms + timeout);
    CHECK(times.auth_not_after_ms == times.created_ms + 7 * 24 * 3600 * UINT64_C(1000));

    /* A reference outlives the one that it was made from. */
    halfshake_session_free(first);
    CHECK(holds(second, "secret"));
    times.not_after_ms -= 1000;
    OK(halfshake_session_with_times(second, &times, &third));
    OK(halfshake_session_times(third, &other));
    CHECK(other.not_after_ms == times.not_after_ms);

    SAYS(HALFSHAKE_SHORT_BUFFER, "bytes are needed",
         halfshake_session_to_bytes(third, NULL, 0, &len));
    CHECK(len > 0 && len <= sizeof bytes);
    GIVES(HALFSHAKE_SHORT_BUFFER, halfshake_session_to_bytes(third, bytes, len - 1, &short_len));
    CHECK(short_len == len);
    OK(halfshake_session_to_bytes(third, bytes, sizeof bytes, &len));
    OK(halfshake_session_from_bytes(bytes, len, &read_in));
    CHECK(holds(read_in, "secret"));
    OK(halfshake_session_times(read_in, &other));
    CHECK(memcmp(&other, &times, sizeof times) == 0);
    GIVES(HALFSHAKE_BAD_BYTES, halfshake_session_from_bytes(bytes, len - 1, &first));
    CHECK(first == NULL);

    halfshake_session_free(second);
    halfshake_session_free(third);
    halfshake_session_free(read_in);

    /* No bytes are a payload, too, and lie somewhere. */
    first = session(cache, "first", "");
    OK(halfshake_session_payload(first, &payload, &len));
    CHECK(len == 0 && payload != NULL && ((const char *)payload)[0] == 0);
    halfshake_session_free(first);
    halfshake_session_free(NULL);
    CHECK(halfshake_session_dup(NULL) == NULL);
    OK(halfshake_cache_free(cache));
    OK(halfshake_cache_free(NULL));
}

static void look_ups(void) {
    halfshake_cache *cache = cache_for(10);
    halfshake_key name = key("id"), elsewhere = key_in("other", "id");
    halfshake_session *found, *stored;
    put(cache, "id", "payload");

    OK(halfshake_cache_resume(cache, NULL, &name, NULL, &found));
    CHECK(holds(found, "payload"));
    halfshake_session_free(found);
    OK(halfshake_cache_find(cache, &name, &found));
    halfshake_session_free(found);
    GIVES(HALFSHAKE_MISS, halfshake_cache_resume(cache, NULL, &elsewhere, NULL, &found));
    CHECK(found == NULL);

    /* Single use. */
    OK(halfshake_cache_take(cache, NULL, &name, NULL, &found));
    CHECK(holds(found, "payload"));
    halfshake_session_free(found);
    GIVES(HALFSHAKE_MISS, halfshake_cache_take(cache, NULL, &name, NULL, &found));
    CHECK(found == NULL);
    GIVES(HALFSHAKE_MISS, halfshake_cache_find(cache, &name, &found));

    /* That very session, and no other of its id. */
    stored = session(cache, "id", "one");
    put(cache, "id", "another");
    GIVES(HALFSHAKE_MISS, halfshake_cache_remove_exact(cache, stored));
    OK(halfshake_cache_add(cache, stored));
    OK(halfshake_cache_remove_exact(cache, stored));
    GIVES(HALFSHAKE_MISS, halfshake_cache_remove_exact(cache, stored));
    OK(halfshake_cache_add(cache, stored));
    OK(halfshake_cache_remove(cache, &name));
    GIVES(HALFSHAKE_MISS, halfshake_cache_remove(cache, &name));
    OK(halfshake_cache_add(cache, stored));
    OK(halfshake_cache_connection_failed(cache, &name));
    GIVES(HALFSHAKE_MISS, halfshake_cache_connection_failed(cache, &name));
    halfshake_session_free(stored);
    nothing_is_lost(cache);
    OK(halfshake_cache_free(cache));
}

static void callbacks(void) {
    halfshake_cache *cache = cache_for(2);
    notes seen;
    halfshake_session *fresh = session(cache, "fresh", "1");
    halfshake_new_callback new_set;
    halfshake_get_callback get_set;
    halfshake_remove_callback remove_set;
    void *data = &seen;
    int connection = 7;
    memset(&seen, 0, sizeof seen);

    OK(halfshake_cache_new_callback(cache, &new_set, &data));
    CHECK(new_set == NULL && data == NULL);
    OK(halfshake_cache_set_new_callback(cache, on_new, &seen, on_destroy));
    OK(halfshake_cache_set_get_callback(cache, on_get, &seen, on_destroy));
    OK(halfshake_cache_set_remove_callback(cache, on_remove, &seen, on_destroy));
    OK(halfshake_cache_new_callback(cache, &new_set, &data));
    CHECK(new_set == on_new && data == &seen);
    OK(halfshake_cache_get_callback(cache, &get_set, NULL));
    CHECK(get_set == on_get);
    OK(halfshake_cache_remove_callback(cache, &remove_set, &data));
    CHECK(remove_set == on_remove && data == &seen);

    OK(halfshake_cache_new_session(cache, &connection, HALFSHAKE_SIDE_SERVER, fresh));
    CHECK(seen.news == 1 && seen.last_stored == 1 && seen.last_connection == &connection);
    GIVES(HALFSHAKE_OFF,
          halfshake_cache_new_session(cache, NULL, HALFSHAKE_SIDE_CLIENT, fresh));
    CHECK(seen.news == 1);

    /* The remove callback is told of a session that leaves while the new callback runs. */
    seen.removes_new = 1;
    OK(halfshake_cache_new_session(cache, NULL, HALFSHAKE_SIDE_SERVER, fresh));
    CHECK(seen.removes == 2 && seen.last_cause == HALFSHAKE_CAUSE_REMOVED);
    seen.removes_new = 0;

    /* A refusal takes the session out again, with one event. */
    seen.refuse = 1;
    seen.removes = 1;
    SAYS(HALFSHAKE_REFUSED, "refused",
         halfshake_cache_new_session(cache, NULL, HALFSHAKE_SIDE_SERVER, fresh));
    CHECK(seen.removes == 2 && seen.last_cause == HALFSHAKE_CAUSE_REFUSED_BY_NEW);
    seen.refuse = 0;

    /* Evicted, as there is room for two. */
    put(cache, "a", "1");
    put(cache, "b", "1");
    CHECK(seen.removes == 2);
    put(cache, "c", "1");
    CHECK(seen.removes == 3 && seen.last_cause == HALFSHAKE_CAUSE_EVICTED);
    put(cache, "c", "2");
    CHECK(seen.removes == 4 && seen.last_cause == HALFSHAKE_CAUSE_REPLACED);

    /* Without a callback there is nothing that could be destroyed. */
    OK(halfshake_cache_set_new_callback(cache, NULL, &seen, on_destroy));
    CHECK(seen.destroyed == 1);
    OK(halfshake_cache_new_callback(cache, &new_set, &data));
    CHECK(new_set == NULL && data == NULL);
    OK(halfshake_cache_shutdown(cache));
    CHECK(seen.removes == 6 && seen.last_cause == HALFSHAKE_CAUSE_SHUTDOWN);
    SAYS(HALFSHAKE_CLOSED, "shut down", halfshake_cache_add(cache, fresh));
    nothing_is_lost(cache);
    OK(halfshake_cache_shutdown(cache));
    halfshake_session_free(fresh);
    OK(halfshake_cache_free(cache));
    CHECK(seen.removes == 6 && seen.destroyed == 3);
}

static void outside(void) {
    halfshake_options options = options_for(10);
    halfshake_cache *cache;
    halfshake_session *found;
    halfshake_key name = key("outside"), other = key("another");
    uint32_t budget = 2;
    int how, connection;
    notes seen;
    memset(&seen, 0, sizeof seen);
    options.unknown_ids = 0;
    cache = cache_of(options);
    seen.outside = session(cache, "outside", "from the disk");
    OK(halfshake_session_to_bytes(seen.outside, seen.bytes, sizeof seen.bytes,
                                  &seen.bytes_len));
    OK(halfshake_cache_set_get_callback(cache, on_get, &seen, on_destroy));

    for (how = BORROWED; how <= TWICE; how++) {
        int finds = how <= BYTES || how == TWICE;
        seen.how = how;
        seen.gets = 0;
        GIVES(finds ? HALFSHAKE_OK : HALFSHAKE_MISS,
              halfshake_cache_resume(cache, &connection, &name, NULL, &found));
        CHECK(seen.gets == 1 && seen.last_connection == &connection);
        CHECK(seen.last_purpose == HALFSHAKE_PURPOSE_RESUME);
        CHECK(strcmp(seen.last_id, "outside") == 0);
        if (finds) {
            CHECK(holds(found, "from the disk"));
            halfshake_session_free(found);
            /* It is inside now. */
            OK(halfshake_cache_resume(cache, NULL, &name, NULL, &found));
            halfshake_session_free(found);
            CHECK(seen.gets == 1);
            OK(halfshake_cache_remove(cache, &name));
        }
    }

    /* A session for single use is not stored. */
    seen.how = BORROWED;
    OK(halfshake_cache_take(cache, NULL, &name, NULL, &found));
    CHECK(seen.last_purpose == HALFSHAKE_PURPOSE_TAKE);
    halfshake_session_free(found);
    GIVES(HALFSHAKE_MISS, halfshake_cache_find(cache, &name, &found));

    /* Another id than was asked for is not used. */
    GIVES(HALFSHAKE_MISS, halfshake_cache_resume(cache, NULL, &other, NULL, &found));
    CHECK(stats_of(cache).rejected[HALFSHAKE_REASON_ID] == 1);

    /* The budget of a ClientHello. */
    seen.how = NOTHING;
    seen.gets = 0;
    GIVES(HALFSHAKE_MISS, halfshake_cache_resume(cache, NULL, &other, &budget, &found));
    CHECK(budget == 1);
    GIVES(HALFSHAKE_MISS, halfshake_cache_take(cache, NULL, &other, &budget, &found));
    CHECK(budget == 0 && seen.gets == 2);
    GIVES(HALFSHAKE_MISS, halfshake_cache_resume(cache, NULL, &other, &budget, &found));
    CHECK(budget == 0 && seen.gets == 2);
    CHECK(stats_of(cache).over_budget == 1);

    halfshake_session_free(seen.outside);
    OK(halfshake_cache_free(cache));
    CHECK(seen.destroyed == 1);
}

static void flushes(void) {
    halfshake_cache *cache = cache_for(10);
    halfshake_session *old, *fresh;
    halfshake_times times;
    notes seen;
    uint64_t now, removed = 99, number;
    memset(&seen, 0, sizeof seen);
    OK(halfshake_cache_set_remove_callback(cache, on_remove, &seen, NULL));

    /* What has expired is not stored. */
    fresh = session(cache, "old", "1");
    OK(halfshake_session_times(fresh, &times));
    times.created_ms -= 5000;
    times.not_after_ms = times.created_ms + 1000;
    OK(halfshake_session_with_times(fresh, &times, &old));
    SAYS(HALFSHAKE_EXPIRED, "expired", halfshake_cache_add(cache, old));
    halfshake_session_free(old);
    halfshake_session_free(fresh);

    put(cache, "a", "1");
    put(cache, "b", "1");
    fresh = session_in(cache, "other", "c", "1");
    OK(halfshake_cache_add(cache, fresh));
    halfshake_session_free(fresh);
    OK(halfshake_cache_now(cache, &now));
    OK(halfshake_cache_flush(cache, now, &removed));
    CHECK(removed == 0);
    OK(halfshake_cache_flush_namespace(cache, "other", 5, &removed));
    CHECK(removed == 1 && seen.removes == 1 && seen.last_cause == HALFSHAKE_CAUSE_FLUSHED);
    OK(halfshake_cache_flush(cache, now + 8000 * UINT64_C(1000), &removed));
    CHECK(removed == 2 && seen.removes == 3);
    put(cache, "a", "1");
    OK(halfshake_cache_flush_all(cache, NULL));
    OK(halfshake_cache_len(cache, &number));
    CHECK(number == 0 && seen.removes == 4);
    OK(halfshake_cache_free(cache));
}

static void settings(void) {
    halfshake_options options = options_for(10);
    halfshake_cache *cache;
    uint64_t number, old;
    uint32_t modes, old_modes;
    halfshake_session *fresh;
    options.max_capacity = 20;
    options.maintenance = HALFSHAKE_MAINTENANCE_EMBEDDER;
    options.delivery = HALFSHAKE_DELIVERY_CALLER;
    options.modes = HALFSHAKE_MODE_BOTH;
    options.capacity_bytes = 1 << 20;
    options.shards = 2;
    cache = cache_of(options);

    OK(halfshake_cache_modes(cache, &modes));
    CHECK(modes == HALFSHAKE_MODE_BOTH);
    OK(halfshake_cache_set_modes(
        cache, HALFSHAKE_MODE_SERVER | HALFSHAKE_MODE_NO_INTERNAL_STORE, &old_modes));
    CHECK(old_modes == HALFSHAKE_MODE_BOTH);
    fresh = session(cache, "id", "1");
    GIVES(HALFSHAKE_NOT_INTERNAL,
          halfshake_cache_new_session(cache, NULL, HALFSHAKE_SIDE_SERVER, fresh));
    OK(halfshake_cache_set_modes(cache, HALFSHAKE_MODE_OFF, NULL));
    GIVES(HALFSHAKE_OFF, halfshake_cache_add(cache, fresh));
    halfshake_session_free(fresh);
    OK(halfshake_cache_set_modes(cache, HALFSHAKE_MODE_SERVER, NULL));

    OK(halfshake_cache_set_timeout(cache, 0, &old));
    CHECK(old == 7200000);
    OK(halfshake_cache_timeout(cache, &number));
    CHECK(number == 0);
    OK(halfshake_cache_set_timeout(cache, 5000, NULL));

    OK(halfshake_cache_set_capacity(cache, 20, &number));
    CHECK(number == 0);
    OK(halfshake_cache_capacity(cache, &number));
    CHECK(number == 20);
    SAYS(HALFSHAKE_BAD_SETTING, "capacity", halfshake_cache_set_capacity(cache, 21, NULL));
    SAYS(HALFSHAKE_BAD_SETTING, "capacity", halfshake_cache_set_capacity(cache, 0, NULL));

    OK(halfshake_cache_run_maintenance(cache, 1000, &number));
    CHECK(number == 0);
    OK(halfshake_cache_run_maintenance(cache, 1000, NULL));
    OK(halfshake_cache_free(cache));

    /* As OpenSSL 3 has it: a capacity of N holds N - 1. */
    options = options_for(10);
    options.compat = HALFSHAKE_COMPAT_OPENSSL_3;
    cache = cache_of(options);
    OK(halfshake_cache_capacity(cache, &number));
    CHECK(number == 9);
    OK(halfshake_cache_free(cache));
}

static void statistics(void) {
    halfshake_cache *cache = cache_for(10);
    halfshake_key name = key("id"), unknown = key("nobody");
    halfshake_session *found;
    halfshake_stats stats;
    halfshake_namespace_stats of_one;
    put(cache, "id", "payload");
    OK(halfshake_cache_resume(cache, NULL, &name, NULL, &found));
    halfshake_session_free(found);
    GIVES(HALFSHAKE_MISS, halfshake_cache_resume(cache, NULL, &unknown, NULL, &found));
    OK(halfshake_cache_note(cache, HALFSHAKE_SIDE_SERVER, HALFSHAKE_STAGE_STARTED));
    OK(halfshake_cache_note(cache, HALFSHAKE_SIDE_SERVER, HALFSHAKE_STAGE_FINISHED));
    OK(halfshake_cache_note(cache, HALFSHAKE_SIDE_SERVER, HALFSHAKE_STAGE_RENEGOTIATED));
    OK(halfshake_cache_note(cache, HALFSHAKE_SIDE_CLIENT, HALFSHAKE_STAGE_STARTED));

    stats = stats_of(cache);
    CHECK(stats.number == 1 && stats.inserts == 1 && stats.capacity == 10);
    CHECK(stats.capacity_bytes == 0 && stats.bytes > 0);
    CHECK(stats.hits == 1 && stats.misses == 1 && stats.internal_hits == 1);
    CHECK(stats.accept == 1 && stats.accept_good == 1 && stats.accept_renegotiate == 1);
    CHECK(stats.connect == 1 && stats.connect_good == 0);

    of_one.size = sizeof of_one;
    OK(halfshake_cache_namespace_stats(cache, WWW, strlen(WWW), &of_one));
    CHECK(of_one.sessions == 1 && of_one.payload_bytes == 7 && of_one.next_expiry_ms > 0);
    OK(halfshake_cache_namespace_stats(cache, "other", 5, &of_one));
    CHECK(of_one.sessions == 0 && of_one.next_expiry_ms == 0);
    OK(halfshake_cache_free(cache));
}

/* A walk that calls the cache, and stops. */
typedef struct walk {
    halfshake_cache *cache, *copy;
    int visited, most;
} walk;

static int on_visit(const halfshake_session *shown, void *user_data) {
    walk *at = (walk *)user_data;
    halfshake_key name;
    OK(halfshake_session_key(shown, &name));
    OK(halfshake_cache_add(at->copy, shown));
    OK(halfshake_cache_remove(at->cache, &name));
    return ++at->visited == at->most;
}

static void walks(void) {
    walk at;
    uint64_t number;
    halfshake_session *other;
    at.cache = cache_for(10);
    at.copy = cache_for(10);
    at.visited = 0;
    at.most = 2;
    put(at.cache, "a", "1");
    put(at.cache, "b", "1");
    put(at.cache, "c", "1");
    other = session_in(at.cache, "other", "d", "1");
    OK(halfshake_cache_add(at.cache, other));
    halfshake_session_free(other);
    SAYS(HALFSHAKE_STOPPED, "visitor",
         halfshake_cache_for_each(at.cache, NULL, 0, on_visit, &at));
    CHECK(at.visited == 2);
    OK(halfshake_cache_for_each(at.cache, "nobody", 6, on_visit, &at));
    CHECK(at.visited == 2);
    OK(halfshake_cache_for_each(at.cache, WWW, strlen(WWW), on_visit, &at));
    OK(halfshake_cache_for_each(at.cache, NULL, 0, on_visit, &at));
    CHECK(at.visited == 4);
    OK(halfshake_cache_len(at.cache, &number));
    CHECK(number == 0);
    OK(halfshake_cache_len(at.copy, &number));
    CHECK(number == 4);
    OK(halfshake_cache_free(at.cache));
    OK(halfshake_cache_free(at.copy));
}

/* Pages of this process that are in memory. */
static long pages(void) {
    long all, resident;
    FILE *statm = fopen("/proc/self/statm", "r");
    CHECK(statm != NULL && fscanf(statm, "%ld %ld", &all, &resident) == 2);
    CHECK(fclose(statm) == 0);
    return resident;
}

/* Memory that is there from the beginning. */
static void ahead(void) {
    const long asked = 32 << 20;
    halfshake_options options = options_for(10);
    halfshake_cache *cache;
    long before = pages(), page = sysconf(_SC_PAGESIZE);
    options.preallocate_bytes = asked;
    cache = cache_of(options);
    CHECK((pages() - before) * page >= asked);
    put(cache, "a", "1");
    OK(halfshake_cache_free(cache));
}

int main(void) {
    ahead();
    names();
    sessions();
    look_ups();
    callbacks();
    outside();
    flushes();
    settings();
    statistics();
    walks();
    return 0;
}
