/* What programs that were built with an older header rely on: numbers and sizes. A line that has
 * to be changed here means another ABI, and another number in build.rs. */
#include "check.h"

#ifdef __cplusplus
#define SAME(a, b) static_assert((a) == (b), #a)
#else
#define SAME(a, b) _Static_assert((a) == (b), #a)
#endif

SAME(HALFSHAKE_OK, 0);
SAME(HALFSHAKE_MISS, 1);
SAME(HALFSHAKE_REFUSED, 2);
SAME(HALFSHAKE_OFF, 3);
SAME(HALFSHAKE_NOT_INTERNAL, 4);
SAME(HALFSHAKE_EXPIRED, 5);
SAME(HALFSHAKE_REJECTED, 6);
SAME(HALFSHAKE_NO_ROOM, 7);
SAME(HALFSHAKE_FULL, 8);
SAME(HALFSHAKE_TOO_LARGE, 9);
SAME(HALFSHAKE_CLOSED, 10);
SAME(HALFSHAKE_STOPPED, 11);
SAME(HALFSHAKE_MORE, 12);
SAME(HALFSHAKE_BAD_ARGUMENT, -1);
SAME(HALFSHAKE_BAD_SIZE, -2);
SAME(HALFSHAKE_BAD_CACHE, -3);
SAME(HALFSHAKE_BAD_ID, -4);
SAME(HALFSHAKE_BAD_NAMESPACE, -5);
SAME(HALFSHAKE_BAD_SETTING, -6);
SAME(HALFSHAKE_BAD_BYTES, -7);
SAME(HALFSHAKE_SHORT_BUFFER, -8);
SAME(HALFSHAKE_PANIC, -9);

SAME(HALFSHAKE_CAUSE_EXPIRED, 0);
SAME(HALFSHAKE_CAUSE_EVICTED, 1);
SAME(HALFSHAKE_CAUSE_REPLACED, 2);
SAME(HALFSHAKE_CAUSE_REMOVED, 3);
SAME(HALFSHAKE_CAUSE_TAKEN, 4);
SAME(HALFSHAKE_CAUSE_FAULTY, 5);
SAME(HALFSHAKE_CAUSE_REFUSED_BY_NEW, 6);
SAME(HALFSHAKE_CAUSE_FLUSHED, 7);
SAME(HALFSHAKE_CAUSE_SHUTDOWN, 8);

SAME(HALFSHAKE_REASON_ID_LENGTH, 0);
SAME(HALFSHAKE_REASON_FOREIGN_ID, 7);
SAME(HALFSHAKE_REASON_VERSION, 8);
SAME(HALFSHAKE_SIDE_CLIENT, 0);
SAME(HALFSHAKE_SIDE_SERVER, 1);
SAME(HALFSHAKE_STAGE_STARTED, 0);
SAME(HALFSHAKE_STAGE_RENEGOTIATED, 2);
SAME(HALFSHAKE_PURPOSE_RESUME, 0);
SAME(HALFSHAKE_PURPOSE_TAKE, 1);

/* The bits of SSL_CTX_set_session_cache_mode(3). */
SAME(HALFSHAKE_MODE_CLIENT, 0x1);
SAME(HALFSHAKE_MODE_SERVER, 0x2);
SAME(HALFSHAKE_MODE_NO_AUTO_CLEAR, 0x80);
SAME(HALFSHAKE_MODE_NO_INTERNAL, 0x300);
SAME(HALFSHAKE_MODE_UPDATE_TIME, 0x400);

SAME(HALFSHAKE_MAINTENANCE_THREAD, 0);
SAME(HALFSHAKE_MAINTENANCE_EMBEDDER, 1);
SAME(HALFSHAKE_MAINTENANCE_LAZY, 2);
SAME(HALFSHAKE_DELIVERY_CALLER, 0);
SAME(HALFSHAKE_DELIVERY_THREAD, 1);

SAME(sizeof(halfshake_key), 40);
SAME(sizeof(halfshake_times), 24);
SAME(sizeof(halfshake_options), 144);
SAME(sizeof(halfshake_stats), 584);
SAME(sizeof(halfshake_namespace_stats), 32);
SAME(offsetof(halfshake_options, size), 0);
SAME(offsetof(halfshake_options, modes), 48);
SAME(offsetof(halfshake_stats, removed), 136);
SAME(offsetof(halfshake_new, session), 0);
SAME(offsetof(halfshake_new, stored), 8);
SAME(offsetof(halfshake_removed, cause), 80);

int main(void) {
    halfshake_options options = options_for(1);
    CHECK(options.size == sizeof options);
    CHECK(options.timeout_ms == 7200000 && options.modes == HALFSHAKE_MODE_SERVER);
    CHECK(options.max_id_bytes == 32 && options.reserved == 0);
    return 0;
}
