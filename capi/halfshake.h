/*
 * halfshake: a concurrent cache of TLS sessions, with the three callbacks of
 * SSL_CTX_sess_set_get_cb(3), for any TLS library or none. halfshake(3) is its man page.
 *
 * Made by tests/header.rs from the sources: change those.
 *
 *
 * RESULTS. Functions that can fail return an enum halfshake_result as an int: HALFSHAKE_OK is 0;
 * above 0 the call was right, and the code says why it did not do what it is for (HALFSHAKE_MISS:
 * there is no such session); below 0 the call was wrong or failed. halfshake_error_message() then
 * says in a line what is wrong and what to do about it. A result that is not 0 sets the session or
 * the cache that a function gives to NULL: there is nothing to be freed.
 *
 * NULL. A pointer that may be NULL says so. Any other that is NULL gives HALFSHAKE_BAD_ARGUMENT.
 *
 * OWNERSHIP. A halfshake_cache * comes from halfshake_cache_new and goes to halfshake_cache_free.
 * A halfshake_session * that a function gives is a reference of the caller's own, for
 * halfshake_session_free. Everything that is passed by a pointer is read or copied before the call
 * returns, and must stay until then. What a callback is given ends with the callback.
 *
 * THREADS. Any function may be called on any thread at any time. Callbacks run on the thread whose
 * call led to them, or on a thread of the cache's own; no lock is held then, and they may call any
 * function of the library, block, set callbacks, and free the cache. The callbacks and their user
 * data must bear being used by several threads at a time. A callback must return: no longjmp, no
 * pthread_exit, and no exception of C++ may leave it (one that does ends the process).
 *
 * CHANGES. Structures whose first field is their size may grow in later versions; sizes that do not
 * match give HALFSHAKE_BAD_SIZE. Enumerations and codes may get further values.
 */
#ifndef HALFSHAKE_H
#define HALFSHAKE_H

#include <stddef.h>
#include <stdint.h>

/** The version of this header; halfshake_version() has the library's. */
#define HALFSHAKE_VERSION "0.1.0"

/** No quirks: the manual page SSL_CTX_sess_set_get_cb(3) to the letter. The default. */
#define HALFSHAKE_COMPAT_STRICT 0
/** The remove callback is called for removals of what is not here, too: with an empty payload. */
#define HALFSHAKE_COMPAT_REMOVE_TELLS_OF_ABSENT 1
/** A new session that the new callback refuses stays where it was stored. */
#define HALFSHAKE_COMPAT_REFUSED_STAYS 2
/** What the get callback gives is stored whatever is found wrong with it. */
#define HALFSHAKE_COMPAT_EXTERNAL_STORED_UNCHECKED 4
/** A session that was made in the future is accepted. */
#define HALFSHAKE_COMPAT_ACCEPTS_THE_FUTURE 8
/** A session is still good while its age is its timeout, in whole seconds. */
#define HALFSHAKE_COMPAT_DEADLINE_INCLUSIVE 16
/** One id may name two sessions of two protocol versions: see `version` of halfshake_key. */
#define HALFSHAKE_COMPAT_KEY_INCLUDES_VERSION 32
/** The remove callback is not called for a session whose id was taken by another one. */
#define HALFSHAKE_COMPAT_REPLACEMENT_SILENT 64
/** Where the cache holds an expired session, the get callback is not asked. */
#define HALFSHAKE_COMPAT_EXPIRED_HIDES_EXTERNAL 128
/** A capacity of 0 is `max_capacity`. */
#define HALFSHAKE_COMPAT_CAPACITY_0_IS_THE_MOST 256
/** A capacity of N holds N - 1, but for 1. */
#define HALFSHAKE_COMPAT_CAPACITY_HOLDS_ONE_LESS 512
/** A timeout of 0 is two hours. */
#define HALFSHAKE_COMPAT_TIMEOUT_0_IS_THE_DEFAULT 1024
/** The cache is looked at also while caching is off. */
#define HALFSHAKE_COMPAT_LOOKS_INSIDE_WHILE_OFF 2048
/** halfshake_cache_connection_failed does nothing. */
#define HALFSHAKE_COMPAT_FAILED_CONNECTION_KEEPS 4096
/** Nothing is swept; every 256th accept that is noted as finished flushes what has expired. */
#define HALFSHAKE_COMPAT_FLUSHES_BY_ACCEPTS 8192
/** The same at every 255th new session. */
#define HALFSHAKE_COMPAT_FLUSHES_BY_NEW_SESSIONS 16384
/** halfshake_cache_remove_exact removes whatever session has the id. */
#define HALFSHAKE_COMPAT_EXACT_REMOVES_BY_ID 32768
/** HALFSHAKE_MODE_UPDATE_TIME renews a session when it is stored, not when it is used. */
#define HALFSHAKE_COMPAT_UPDATE_TIME_ON_STORE 65536
/** HALFSHAKE_MODE_UPDATE_TIME means nothing. */
#define HALFSHAKE_COMPAT_UPDATE_TIME_IGNORED 131072
/** All that OpenSSL 1.1.1 really does. */
#define HALFSHAKE_COMPAT_OPENSSL_1_1_1 175615
/** All that OpenSSL 3 really does. */
#define HALFSHAKE_COMPAT_OPENSSL_3 110591
/** All that LibreSSL really does. */
#define HALFSHAKE_COMPAT_LIBRESSL 142846
/** All that BoringSSL really does. */
#define HALFSHAKE_COMPAT_BORINGSSL 155078

/** Nothing is cached. The get callback is asked all the same; what it finds is used, not stored. */
#define HALFSHAKE_MODE_OFF 0
/** Sessions of the client side are cached. */
#define HALFSHAKE_MODE_CLIENT 1
/** Sessions of the server side are cached. The default. */
#define HALFSHAKE_MODE_SERVER 2
/** Both sides. */
#define HALFSHAKE_MODE_BOTH 3

/**
 * What has expired stays until it is flushed, replaced or removed, or has to make room. It is
 * never found.
 */
#define HALFSHAKE_MODE_NO_AUTO_CLEAR 128
/** Look-ups do not look inside; they ask the get callback. */
#define HALFSHAKE_MODE_NO_INTERNAL_LOOKUP 256
/** Sessions are not stored by themselves, neither new ones nor what the get callback finds. */
#define HALFSHAKE_MODE_NO_INTERNAL_STORE 512
/** Both. */
#define HALFSHAKE_MODE_NO_INTERNAL 768
/** A session that is used lives for another timeout from then on. */
#define HALFSHAKE_MODE_UPDATE_TIME 1024

/** The cache has a thread that advances time and removes what has expired. The default. */
#define HALFSHAKE_MAINTENANCE_THREAD 0
/** The program calls halfshake_cache_run_maintenance now and then. */
#define HALFSHAKE_MAINTENANCE_EMBEDDER 1

/**
 * The thread is started by the first session that is stored, in the process that stores it: for a
 * cache that is made before a fork(2) and used after it, in each child for itself. The parent
 * must not have used the cache, nor have had threads that did, when it forked.
 */
#define HALFSHAKE_MAINTENANCE_LAZY 2

/** The remove callback runs on the thread whose call removed the session. The default. */
#define HALFSHAKE_DELIVERY_CALLER 0

/**
 * The remove callback runs on a thread of the cache's own. A session keeps its place until that
 * is done, so a callback that is too slow leads to HALFSHAKE_NO_ROOM.
 */
#define HALFSHAKE_DELIVERY_THREAD 1

/** The places in `removed` of halfshake_stats, more than there are causes. */
#define HALFSHAKE_CAUSES 16

/** The places in `rejected` of halfshake_stats, more than there are reasons. */
#define HALFSHAKE_REASONS 16

/**
 * A session of TLS 1.3 may be used more than once. RFC 8446 (C.4) advises against it, for clients
 * can be told apart by it; and early data can be replayed then, so don't accept any.
 */
#define HALFSHAKE_ATTACH_REUSE_TLS13 1

/**
 * What most functions return. 0: done. Above 0: the call was right, and this is why it did not do
 * what it is for, or not all of it. Below 0: the call was wrong, or failed; nothing has changed.
 */
typedef enum halfshake_result {
    /** Done. */
    HALFSHAKE_OK = 0,
    /** There is no such session. Sets no message: it is the daily bread of a server. */
    HALFSHAKE_MISS = 1,
    /** The new callback refused the session. */
    HALFSHAKE_REFUSED = 2,
    /** Caching is off for this side. */
    HALFSHAKE_OFF = 3,
    /** The modes say that new sessions are not stored inside. The new callback was told. */
    HALFSHAKE_NOT_INTERNAL = 4,
    /** The session has expired, and was not stored. */
    HALFSHAKE_EXPIRED = 5,
    /** The session is not one that this cache accepts: its id or its payload is too long. */
    HALFSHAKE_REJECTED = 6,
    /** The place for this id waits for somebody: try again. */
    HALFSHAKE_NO_ROOM = 7,
    /** The last places are held by calls under way: try again. */
    HALFSHAKE_FULL = 8,
    /** The session is larger than the whole cache may be. */
    HALFSHAKE_TOO_LARGE = 9,
    /** The cache is shut down. */
    HALFSHAKE_CLOSED = 10,
    /** The visitor stopped the walk. */
    HALFSHAKE_STOPPED = 11,
    /** There is more to do: call again. */
    HALFSHAKE_MORE = 12,
    /** An argument is NULL that must not be, or has a value that means nothing. */
    HALFSHAKE_BAD_ARGUMENT = -1,
    /** The `size` of a structure is not the one of this library. */
    HALFSHAKE_BAD_SIZE = -2,
    /** The cache was freed. */
    HALFSHAKE_BAD_CACHE = -3,
    /**
     * A session id has no bytes, or more than the cache accepts (32, unless it was set up for
     * more).
     */
    HALFSHAKE_BAD_ID = -4,
    /** A namespace has no bytes, or more than 32. */
    HALFSHAKE_BAD_NAMESPACE = -5,
    /** A cache can't be built with these options, or not be given this capacity. */
    HALFSHAKE_BAD_SETTING = -6,
    /** The bytes are no session. */
    HALFSHAKE_BAD_BYTES = -7,
    /** The buffer is too small. */
    HALFSHAKE_SHORT_BUFFER = -8,
    /**
     * A bug in halfshake. What the call was to do may be done or not; the cache is as it should
     * be, and goes on.
     */
    HALFSHAKE_PANIC = -9,
    /** There is no TLS library in sight of this program, or one that lacks a function. */
    HALFSHAKE_NO_LIBRARY = -10,
    /** The TLS library failed. */
    HALFSHAKE_LIBRARY_FAILED = -11,
} halfshake_result;

/** Why a session left the cache. */
typedef enum halfshake_cause {
    /** Its time was over. */
    HALFSHAKE_CAUSE_EXPIRED = 0,
    /** It made room for another one. */
    HALFSHAKE_CAUSE_EVICTED = 1,
    /** Another session took its id, or it was renewed. */
    HALFSHAKE_CAUSE_REPLACED = 2,
    /** It was removed. */
    HALFSHAKE_CAUSE_REMOVED = 3,
    /** It was taken: single use. */
    HALFSHAKE_CAUSE_TAKEN = 4,
    /** Its connection ended badly. */
    HALFSHAKE_CAUSE_FAULTY = 5,
    /** The new callback refused it. */
    HALFSHAKE_CAUSE_REFUSED_BY_NEW = 6,
    /** It was flushed. */
    HALFSHAKE_CAUSE_FLUSHED = 7,
    /** The cache was shut down, or freed. */
    HALFSHAKE_CAUSE_SHUTDOWN = 8,
} halfshake_cause;

/**
 * Why a session, or an id, that came from outside was not used: the places in
 * `rejected` of halfshake_stats.
 */
typedef enum halfshake_reason {
    /** An id that no session can have: of no bytes, or of too many. */
    HALFSHAKE_REASON_ID_LENGTH = 0,
    /** Bytes that are no session. */
    HALFSHAKE_REASON_MALFORMED = 1,
    /** A session of another namespace. */
    HALFSHAKE_REASON_NAMESPACE = 2,
    /** A session with another id. */
    HALFSHAKE_REASON_ID = 3,
    /** It has expired. */
    HALFSHAKE_REASON_EXPIRED = 4,
    /** It was made in the future. */
    HALFSHAKE_REASON_FROM_THE_FUTURE = 5,
    /** Its payload is too large. */
    HALFSHAKE_REASON_TOO_LARGE = 6,
    /** Its id was made elsewhere. */
    HALFSHAKE_REASON_FOREIGN_ID = 7,
    /** A session of another protocol version than the connection's. */
    HALFSHAKE_REASON_VERSION = 8,
} halfshake_reason;

/** Whose session it is, or whose handshake. */
typedef enum halfshake_side {
    /** A client's. */
    HALFSHAKE_SIDE_CLIENT = 0,
    /** A server's. */
    HALFSHAKE_SIDE_SERVER = 1,
} halfshake_side;

/** How far a handshake has come. */
typedef enum halfshake_stage {
    /** It began. */
    HALFSHAKE_STAGE_STARTED = 0,
    /** It succeeded. */
    HALFSHAKE_STAGE_FINISHED = 1,
    /** It began on a connection that was up. */
    HALFSHAKE_STAGE_RENEGOTIATED = 2,
} halfshake_stage;

/** What the get callback is asked for. */
typedef enum halfshake_purpose {
    /** A session that may be used again. */
    HALFSHAKE_PURPOSE_RESUME = 0,
    /**
     * A session for single use: the store must delete what it gives in the same step, and give
     * nothing if it can't.
     */
    HALFSHAKE_PURPOSE_TAKE = 1,
} halfshake_purpose;

/**
 * Where the get callback leaves what it has found, with one of the functions halfshake_answer_*.
 * It ends with the callback.
 */
typedef struct halfshake_answer halfshake_answer;

/**
 * A cache of sessions. All functions may be called with it from any thread, also from a callback.
 */
typedef struct halfshake_cache halfshake_cache;

/**
 * A session: what has to be known to resume it. It never changes, and its secrets are wiped with
 * the last reference. Whoever gets one through a `halfshake_session **` owns that reference and
 * gives it back with halfshake_session_free. A `const halfshake_session *` that a callback is
 * given belongs to the cache and ends with the callback: halfshake_session_dup keeps it.
 *
 * References may be used, copied and freed on any thread.
 */
typedef struct halfshake_session halfshake_session;

/** An SSL_CTX, as the headers of the TLS library declare it, too. */
struct ssl_ctx_st;

/**
 * What a cache is made with. Call halfshake_options_init first, then change what you like;
 * `capacity` has no default. All times are in milliseconds.
 */
typedef struct halfshake_options {
    /** sizeof(halfshake_options), as halfshake_options_init has set it. */
    size_t size;
    /** The most sessions that the cache ever holds. Required. */
    uint64_t capacity;
    /** What halfshake_cache_set_capacity may raise that to. Default 0: the capacity. */
    uint64_t max_capacity;
    /** The most bytes that the sessions may take together. Default 0: no such limit. */
    uint64_t capacity_bytes;
    /** The timeout of new sessions. Default 7200000 (two hours). 0: nothing is stored. */
    uint64_t timeout_ms;
    /**
     * For how long a first authentication is good, however often a session is renewed. Default:
     * a week.
     */
    uint64_t max_lifetime_ms;
    /** HALFSHAKE_MODE_*. Default: HALFSHAKE_MODE_SERVER. */
    uint32_t modes;
    /** HALFSHAKE_COMPAT_*. Default: HALFSHAKE_COMPAT_STRICT. */
    uint32_t compat;
    /** The longest id that is accepted. Default 32, at most 64. */
    size_t max_id_bytes;
    /** The largest payload that is accepted. Default 65536. */
    size_t max_payload_bytes;
    /** By how much the clock of who made a session may be ahead. Default 5000. */
    uint64_t clock_skew_ms;
    /**
     * How long the get callback may take before that counts as a failure, and before those who
     * wait for another thread's answer give up. Default 1000.
     */
    uint64_t lookup_timeout_ms;
    /**
     * How many ids are remembered that the get callback did not know. Default 4096, at most
     * 1048576. 0: none.
     */
    size_t unknown_ids;
    /**
     * For how long, at most 2000: until then a look-up of such an id is a miss, and the callback
     * is not asked. Default 1000.
     */
    uint64_t unknown_ms;
    /**
     * After so many failures of the get callback in a row it is left alone for a while.
     * Default 8. 0: never.
     */
    uint64_t breaker_failures;
    /** For how long. Default 1000. */
    uint64_t breaker_pause_ms;
    /**
     * How long after its end an expired session's remove callback comes at the latest. Default
     * 1000.
     */
    uint64_t sweep_interval_ms;
    /**
     * Memory for sessions that is mapped and touched when the cache is made, on huge pages where
     * the system has them, in bytes; a session takes its payload and about 150. Default 0: it is
     * mapped as it is needed.
     */
    uint64_t preallocate_bytes;
    /** A power of two up to 1024. Default 0: by the number of processors. */
    uint32_t shards;
    /**
     * HALFSHAKE_MAINTENANCE_*. Threads do not survive fork(2): make the cache after it, or take
     * HALFSHAKE_MAINTENANCE_LAZY.
     */
    uint32_t maintenance;
    /** HALFSHAKE_DELIVERY_*. */
    uint32_t delivery;
    /** Must be 0. */
    uint32_t reserved;
} halfshake_options;

/**
 * The name of a session: who may resume it, and its id. Nothing is copied into it, so what it
 * points to must stay until the call is over.
 */
typedef struct halfshake_key {
    /**
     * The namespace, 1 to 32 bytes: only who looks up with the same one finds the session. Make
     * it of the virtual host and the policy for client certificates, or of a digest of them.
     */
    const void *ns;
    /** Its length in bytes. */
    size_t ns_len;
    /** The session id, 1 to 32 bytes. */
    const void *id;
    /** Its length in bytes. */
    size_t id_len;
    /**
     * The protocol version as on the wire, 0x0303 for TLS 1.2: that of the session, or in
     * look-ups the one that the client proposes, which matters to some HALFSHAKE_COMPAT_* only.
     */
    uint16_t version;
} halfshake_key;

/** When a session was made and until when it may be used, in milliseconds since 1970. */
typedef struct halfshake_times {
    /** When it was made. */
    uint64_t created_ms;
    /** From when on it has expired. */
    uint64_t not_after_ms;
    /** What no renewal passes. */
    uint64_t auth_not_after_ms;
} halfshake_times;

/**
 * A session that has left the cache, for the remove callback: it lies where it lay, and is gone
 * when the callback returns. Later versions of the library may add fields at the end.
 */
typedef struct halfshake_removed {
    /** Its name, and its protocol version. */
    halfshake_key key;
    /** What the TLS library put in. Secret. */
    const void *payload;
    /** Its length in bytes. */
    size_t payload_len;
    /** Its times. */
    halfshake_times times;
    /** Why it left: an enum halfshake_cause. */
    int cause;
} halfshake_removed;

/**
 * A newly negotiated session, for the new callback; it ends with the callback. Later versions of
 * the library may add fields at the end.
 */
typedef struct halfshake_new {
    /** The session. It is the cache's; halfshake_session_dup keeps a reference. */
    const halfshake_session *session;
    /** 1 if the cache has stored it, where it can be found already; 0 if not. */
    int stored;
    /** The library's own. */
    const void *own;
} halfshake_new;

/**
 * Called for every new session while caching is on for its side, with what the program calls its
 * connection. Returns 1 to keep the session, 0 to refuse it: then it leaves the cache at once.
 *
 * The session may leave while this runs, and the remove callback be told before the session is in
 * an external store: after writing it there, ask halfshake_new_has_left.
 */
typedef int (*halfshake_new_callback)(halfshake_cache *cache,
                                      void *connection,
                                      const halfshake_new *fresh,
                                      void *user_data);

/**
 * Called with user data when nobody uses it any more, on any thread. It must not call the cache.
 */
typedef void (*halfshake_destructor)(void *user_data);

/**
 * Called when a session is looked up that the cache does not hold. It finds it elsewhere and
 * leaves it with one of halfshake_answer_*; if it calls none, the session is unknown. What it
 * leaves is checked before anything else is done with it. `purpose` is an enum halfshake_purpose.
 */
typedef void (*halfshake_get_callback)(halfshake_cache *cache,
                                       void *connection,
                                       const halfshake_key *key,
                                       int purpose,
                                       halfshake_answer *answer,
                                       void *user_data);

/**
 * Called exactly once for every session that was stored and is no longer, after it stopped being
 * findable.
 */
typedef void (*halfshake_remove_callback)(halfshake_cache *cache,
                                          const halfshake_removed *removed,
                                          void *user_data);

/**
 * What a cache has counted since it was made; gauges say how things are now. Exact once its
 * threads are quiet. Set `size` to sizeof(halfshake_stats) before the call.
 */
typedef struct halfshake_stats {
    /** sizeof(halfshake_stats). */
    size_t size;
    /**
     * Gauge: sessions whose remove callback is not done yet, the live ones above all
     * (SSL_CTX_sess_number).
     */
    uint64_t number;
    /** Client handshakes that were noted as started (SSL_CTX_sess_connect). */
    uint64_t connect;
    /** As finished (SSL_CTX_sess_connect_good). */
    uint64_t connect_good;
    /** As renegotiated (SSL_CTX_sess_connect_renegotiate). */
    uint64_t connect_renegotiate;
    /** Server handshakes that were noted as started (SSL_CTX_sess_accept). */
    uint64_t accept;
    /** As finished (SSL_CTX_sess_accept_good). */
    uint64_t accept_good;
    /** As renegotiated (SSL_CTX_sess_accept_renegotiate). */
    uint64_t accept_renegotiate;
    /** Look-ups that found a session, inside or outside (SSL_CTX_sess_hits). */
    uint64_t hits;
    /** Sessions that the get callback gave, used or not (SSL_CTX_sess_cb_hits). */
    uint64_t cb_hits;
    /** Look-ups of an id that is not inside (SSL_CTX_sess_misses). */
    uint64_t misses;
    /** Sessions that were asked for and had expired (SSL_CTX_sess_timeouts). */
    uint64_t timeouts;
    /** Sessions that had to make room (SSL_CTX_sess_cache_full). */
    uint64_t cache_full;
    /** Gauge: bytes that the sessions take. */
    uint64_t bytes;
    /** The limit of sessions. */
    uint64_t capacity;
    /** The limit in bytes; 0 without one. */
    uint64_t capacity_bytes;
    /** Sessions that were stored. Once the cache is quiet: number, and all of `removed`. */
    uint64_t inserts;
    /** Sessions that left, by enum halfshake_cause. */
    uint64_t removed[HALFSHAKE_CAUSES];
    /** Sessions and ids that were not accepted, by enum halfshake_reason. */
    uint64_t rejected[HALFSHAKE_REASONS];
    /** Sessions that were not stored: HALFSHAKE_NO_ROOM. */
    uint64_t refused_no_room;
    /** HALFSHAKE_FULL. */
    uint64_t refused_full;
    /** HALFSHAKE_TOO_LARGE. */
    uint64_t refused_too_large;
    /** HALFSHAKE_CLOSED. */
    uint64_t refused_closed;
    /** Look-ups that found a session inside. */
    uint64_t internal_hits;
    /** Look-ups that found an expired session inside. */
    uint64_t internal_expired;
    /** Calls of the get callback. */
    uint64_t asked;
    /** Look-ups that used a session which it gave. */
    uint64_t used;
    /** Calls that found nothing. */
    uint64_t unknown_outside;
    /** Calls that said that they failed. */
    uint64_t failed;
    /** Look-ups that joined another thread's look-up of the same id. */
    uint64_t joined;
    /** Those of them that waited in vain. */
    uint64_t timed_out;
    /** Look-ups that their budget kept from asking. */
    uint64_t over_budget;
    /** Look-ups of an id that the callback had just said it does not know. */
    uint64_t remembered;
    /** Look-ups that did not ask because the callback had failed too often. */
    uint64_t refused_by_breaker;
    /** How often that began. */
    uint64_t breaker_opened;
    /** Gauge: 1 while it lasts. */
    uint64_t breaker_is_open;
    /** Time that look-ups outside took, all together, in microseconds. */
    uint64_t external_us;
    /** Calls of the new callback. */
    uint64_t new_calls;
    /** Calls that refused the session. */
    uint64_t new_refusals;
    /**
     * Sessions from outside that were used and not stored, since their id was changed meanwhile.
     */
    uint64_t not_stored_changed;
    /** Gauge: look-ups that are outside. */
    uint64_t in_flight;
    /** Gauge: sessions that have left and whose memory waits for a reader. */
    uint64_t retired;
    /** Gauge: remove callbacks that were left to the cache's thread and have not returned. */
    uint64_t undelivered;
} halfshake_stats;

/**
 * What the cache holds of one namespace. Set `size` to sizeof(halfshake_namespace_stats) before
 * the call.
 */
typedef struct halfshake_namespace_stats {
    /** sizeof(halfshake_namespace_stats). */
    size_t size;
    /** How many sessions there are. */
    uint64_t sessions;
    /** Bytes of their payloads together. */
    uint64_t payload_bytes;
    /** When the first of them expires, in milliseconds since 1970; 0: there is none. */
    uint64_t next_expiry_ms;
} halfshake_namespace_stats;

/** Called for one session of a walk. Returns 0 to go on, anything else to stop. */
typedef int (*halfshake_visitor)(const halfshake_session *session, void *user_data);

/**
 * How a cache is attached to a context. Call halfshake_attach_options_init first, then change what
 * you like; `ns` has no default.
 */
typedef struct halfshake_attach_options {
    /** sizeof(halfshake_attach_options), as halfshake_attach_options_init has set it. */
    size_t size;
    /**
     * The namespace of the context, 1 to 32 bytes: see halfshake_key. Contexts with the same one
     * resume each other's sessions. It becomes the context's session id context. Required.
     */
    const void *ns;
    /** Its length in bytes. */
    size_t ns_len;
    /**
     * Keeps so many sessions as objects of this context, too, beside their bytes: a look-up that
     * finds one costs a reference count instead of some microseconds. Default 0: none.
     */
    uint64_t objects;
    /** HALFSHAKE_ATTACH_*. Default: 0. */
    uint32_t flags;
    /** Must be 0. */
    uint32_t reserved;
} halfshake_attach_options;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/* ==== Names and messages ==== */

/**
 * The version of the library, for example "0.1.0". HALFSHAKE_VERSION is the header's. Never NULL.
 */
const char *halfshake_version(void);

/**
 * What went wrong in this thread's last call that returned neither HALFSHAKE_OK nor
 * HALFSHAKE_MISS, and what to do about it. One line of English, for a log; "" if there was no
 * such call.
 *
 * Never NULL. It stays good until the next such call on this thread: do not free it, nor give it
 * to another thread. A callback that calls the library may replace it.
 */
const char *halfshake_error_message(void);

/**
 * The name of an enum halfshake_result for logs, in lower case: "ok", "miss", "bad_argument".
 *
 * Never NULL: "unknown" if the number is none. The text is static.
 */
const char *halfshake_result_name(int result);

/**
 * The name of an enum halfshake_cause for metrics and logs: "expired", "refused_by_new".
 *
 * Never NULL: "unknown" if the number is none. The text is static.
 */
const char *halfshake_cause_name(int cause);

/**
 * Whether a session that left for this cause could still have been used: 1 or 0, and 0 for a
 * number that is none. An external store keeps sessions that were EVICTED, and deletes those
 * that are not to be used again.
 */
int halfshake_cause_was_live(int cause);

/**
 * The name of an enum halfshake_reason for metrics and logs: "id_length", "from_the_future".
 *
 * Never NULL: "unknown" if the number is none. The text is static.
 */
const char *halfshake_reason_name(int reason);

/* ==== A cache: made, set up, ended ==== */

/**
 * Fills in the default options. `size` is sizeof(halfshake_options).
 *
 * HALFSHAKE_BAD_SIZE: the header is another version's than the library.
 */
int halfshake_options_init(halfshake_options *options, size_t size);

/**
 * Makes a cache, and gives its handle to `*cache`, which is NULL if that fails. The options are
 * only read. The whole table is allocated now. Free the cache with halfshake_cache_free.
 *
 * HALFSHAKE_BAD_SETTING: the message names what is wrong. HALFSHAKE_BAD_SIZE: call
 * halfshake_options_init first.
 */
int halfshake_cache_new(const halfshake_options *options, halfshake_cache **cache);

/**
 * Shuts the cache down. When this returns, nothing can be stored any more, the remove callback has
 * been called with HALFSHAKE_CAUSE_SHUTDOWN for all that was left, and nobody is inside of that
 * callback (but for a call that this one was made from). The cache stays, to be asked for its
 * statistics; the get callback is still asked. Twice does no harm.
 */
int halfshake_cache_shutdown(halfshake_cache *cache);

/**
 * Shuts the cache down, as halfshake_cache_shutdown does, and frees it. May be called in a
 * callback, and while other threads are inside of functions of the cache: the last of them frees
 * its memory. The user data of its callbacks is destroyed then.
 *
 * NULL is HALFSHAKE_OK, as with free(3). Afterwards each function of the cache, this one
 * included, returns HALFSHAKE_BAD_CACHE and does nothing. (256 more caches have to be freed and
 * another one made before the handle can mean a new cache.)
 */
int halfshake_cache_free(halfshake_cache *cache);

/** The modes now, HALFSHAKE_MODE_*. */
int halfshake_cache_modes(halfshake_cache *cache, uint32_t *modes);

/**
 * Replaces the modes, the whole set (SSL_CTX_set_session_cache_mode). `*old`, unless `old` is
 * NULL, is the set before. Calls under way go by the set that they saw. What is stored stays.
 *
 * HALFSHAKE_BAD_SETTING: a bit means nothing.
 */
int halfshake_cache_set_modes(halfshake_cache *cache, uint32_t modes, uint32_t *old);

/** The timeout of new sessions, in milliseconds. */
int halfshake_cache_timeout(halfshake_cache *cache, uint64_t *timeout_ms);

/**
 * Changes the timeout of sessions that are made from now on (SSL_CTX_set_timeout, which counts
 * seconds). `*old_ms`, unless `old_ms` is NULL, is the one before. 0: they expire at once, and
 * nothing is stored.
 */
int halfshake_cache_set_timeout(halfshake_cache *cache,
                                uint64_t timeout_ms,
                                uint64_t *old_ms);

/** The most sessions that the cache holds. */
int halfshake_cache_capacity(halfshake_cache *cache, uint64_t *sessions);

/**
 * Changes that limit, up to `max_capacity` of the options (SSL_CTX_sess_set_cache_size). What is
 * above a lower limit is evicted before this returns; `*pending`, unless `pending` is NULL, is
 * how many sessions calls under way still hold, which go soon.
 *
 * HALFSHAKE_BAD_SETTING: 0, or above the maximum; nothing has changed.
 */
int halfshake_cache_set_capacity(halfshake_cache *cache,
                                 uint64_t sessions,
                                 uint64_t *pending);

/** How many sessions the cache holds (SSL_CTX_sess_number). */
int halfshake_cache_len(halfshake_cache *cache, uint64_t *sessions);

/**
 * The time by which the cache judges what it stores and reads, in milliseconds since 1970. It
 * never steps back.
 */
int halfshake_cache_now(halfshake_cache *cache, uint64_t *now_ms);

/**
 * Does what the maintenance thread would, for who has chosen HALFSHAKE_MAINTENANCE_EMBEDDER:
 * removes what has expired, and frees memory. It stops after `budget` removals; `*expired`,
 * unless `expired` is NULL, is how many there were.
 *
 * HALFSHAKE_MORE: it has not seen the whole cache; call again.
 */
int halfshake_cache_run_maintenance(halfshake_cache *cache,
                                    size_t budget,
                                    uint64_t *expired);

/* ==== Sessions ==== */

/**
 * Makes a session that begins now, with the timeout of the cache, and gives `*session` the only
 * reference. `payload` is what the TLS library needs to resume it; it is copied, and the copy is
 * wiped. Nothing is stored: see halfshake_cache_new_session.
 */
int halfshake_session_new(halfshake_cache *cache,
                          const halfshake_key *key,
                          const void *payload,
                          size_t payload_len,
                          halfshake_session **session);

/**
 * The same session with other times: one more, of which `*other` gets the only reference.
 * `not_after_ms` and `created_ms` are brought into order: not after `auth_not_after_ms`, and the
 * end not before the beginning.
 */
int halfshake_session_with_times(const halfshake_session *session,
                                 const halfshake_times *times,
                                 halfshake_session **other);

/**
 * One more reference to the session: to be freed by itself. Not a copy, and cheap. NULL if
 * `session` is.
 */
struct halfshake_session *halfshake_session_dup(const struct halfshake_session *session);

/** Gives a reference back; the last one wipes the session. NULL is nothing, as with free(3). */
void halfshake_session_free(halfshake_session *session);

/**
 * The session's name and protocol version. What `*key` points to lies in the session and is good
 * until the reference is freed.
 */
int halfshake_session_key(const halfshake_session *session, halfshake_key *key);

/**
 * What the TLS library put in. Secret. `*payload` lies in the session and is good until the
 * reference is freed.
 */
int halfshake_session_payload(const halfshake_session *session,
                              const void **payload,
                              size_t *payload_len);

/** When it was made and until when it may be used. */
int halfshake_session_times(const halfshake_session *session, halfshake_times *times);

/**
 * Writes the session down, for a disk or a database (i2d_SSL_SESSION). `*len` is how many bytes
 * that takes; they are written to `buffer` if its `size` is enough. The same on every machine and
 * for later versions. The secrets stand there in the clear: seal them before they leave the
 * machine, and wipe the buffer.
 *
 * HALFSHAKE_SHORT_BUFFER: nothing was written. `buffer` may be NULL with `size` 0, to ask for the
 * length.
 */
int halfshake_session_to_bytes(const halfshake_session *session,
                               void *buffer,
                               size_t size,
                               size_t *len);

/**
 * The session that halfshake_session_to_bytes wrote down (d2i_SSL_SESSION): `*session` gets the
 * only reference. Whether it may be used is another question, which a cache asks of everything
 * that comes from outside.
 *
 * HALFSHAKE_BAD_BYTES: these bytes are no session.
 */
int halfshake_session_from_bytes(const void *bytes, size_t len, halfshake_session **session);

/**
 * In the remove callback: a copy of the session that has left, to keep. `*session` gets the only
 * reference.
 */
int halfshake_removed_session(const halfshake_removed *removed,
                              halfshake_session **session);

/* ==== New sessions, flushes, handshakes ==== */

/**
 * A session was negotiated: stores it, then calls the new callback, which may refuse it. `side`
 * is an enum halfshake_side. `connection` is handed to the callback and may be NULL. The session
 * stays the caller's; the cache has a copy.
 *
 * HALFSHAKE_OK: stored. Any other code above 0 says why it is not; the callback was called all
 * the same, but for HALFSHAKE_OFF and HALFSHAKE_REJECTED. HALFSHAKE_REFUSED: the callback did not
 * want it, and it has left again.
 */
int halfshake_cache_new_session(halfshake_cache *cache,
                                void *connection,
                                int side,
                                const halfshake_session *session);

/**
 * Stores a session, or replaces the one of its id; the new callback is not called
 * (SSL_CTX_add_session). The session stays the caller's; the cache has a copy.
 *
 * HALFSHAKE_OK: stored. Any other code above 0 says why not; nothing has changed then, but for
 * HALFSHAKE_EXPIRED, with which the old session of its id is gone.
 */
int halfshake_cache_add(halfshake_cache *cache,
                        const halfshake_session *session);

/**
 * Removes what has expired by a time in milliseconds since 1970: with what halfshake_cache_now
 * gives, what has expired (SSL_CTX_flush_sessions, which counts seconds). `*removed`, unless
 * `removed` is NULL, is how many sessions went.
 */
int halfshake_cache_flush(halfshake_cache *cache, uint64_t time_ms, uint64_t *removed);

/**
 * Removes all sessions of a namespace. `*removed`, unless `removed` is NULL, is how many there
 * were. Sessions that are stored meanwhile may stay.
 */
int halfshake_cache_flush_namespace(halfshake_cache *cache,
                                    const void *ns,
                                    size_t ns_len,
                                    uint64_t *removed);

/**
 * Removes all sessions (SSL_CTX_flush_sessions with 0). `*removed`, unless `removed` is NULL, is
 * how many there were. Sessions that are stored meanwhile may stay.
 */
int halfshake_cache_flush_all(halfshake_cache *cache, uint64_t *removed);

/**
 * Notes how far a handshake of the program's has come, for the counters of
 * SSL_CTX_sess_number(3): `side` is an enum halfshake_side, `stage` an enum halfshake_stage.
 */
int halfshake_cache_note(halfshake_cache *cache, int side, int stage);

/* ==== Look-ups and removals ==== */

/**
 * A client proposes a session: looks it up in the cache, else asks the get callback, and gives
 * `*session` a reference of the caller's own. `connection` is handed to the callback and may be
 * NULL.
 *
 * `budget`, unless it is NULL, is how many look-ups of this ClientHello may still ask the
 * callback, and is counted down: a client may propose hundreds of sessions. Start each
 * ClientHello with a few, say 4.
 *
 * Concurrent look-ups of one id ask the callback once, and block meanwhile: the one that asks for
 * as long as the callback takes, the others for `lookup_timeout_ms` at most.
 *
 * HALFSHAKE_MISS: do a full handshake; `*session` is NULL, as after any other failure, for which
 * a full handshake is right, too. HALFSHAKE_BAD_ID: the client has proposed what can be no id;
 * counted as HALFSHAKE_REASON_ID_LENGTH.
 */
int halfshake_cache_resume(halfshake_cache *cache,
                           void *connection,
                           const halfshake_key *key,
                           uint32_t *budget,
                           halfshake_session **session);

/**
 * As halfshake_cache_resume, but for single use, as sessions of TLS 1.3 ought to be: the session
 * leaves the cache, and of any number of concurrent callers exactly one gets it. The get callback
 * is asked with HALFSHAKE_PURPOSE_TAKE, and what it gives is not stored.
 */
int halfshake_cache_take(halfshake_cache *cache,
                         void *connection,
                         const halfshake_key *key,
                         uint32_t *budget,
                         halfshake_session **session);

/**
 * Looks a session up in the cache alone, whatever the modes: for clients, and for who wants to
 * know. Calls nobody. Otherwise as halfshake_cache_resume.
 */
int halfshake_cache_find(halfshake_cache *cache,
                         const halfshake_key *key,
                         halfshake_session **session);

/**
 * Removes the session of this id (SSL_CTX_remove_session, by id).
 *
 * HALFSHAKE_MISS: there was none; one that had expired leaves, as HALFSHAKE_CAUSE_EXPIRED, if it
 * has not yet. What is not here may still be in an external store, which only
 * hears of what is here: who wants it gone everywhere deletes it there first.
 */
int halfshake_cache_remove(halfshake_cache *cache, const halfshake_key *key);

/**
 * A connection ended badly (a fatal alert, no close_notify): its session is not to be used again.
 * As halfshake_cache_remove, with HALFSHAKE_CAUSE_FAULTY.
 */
int halfshake_cache_connection_failed(halfshake_cache *cache,
                                      const halfshake_key *key);

/**
 * Removes that very session: not another one that has taken its id since. Compared is all that
 * the session says. The statistics count it as a look-up, too.
 *
 * HALFSHAKE_MISS: it is not here (any more).
 */
int halfshake_cache_remove_exact(halfshake_cache *cache,
                                 const halfshake_session *session);

/* ==== Callbacks ==== */

/**
 * Sets or replaces the new callback (SSL_CTX_sess_set_new_cb); NULL clears it. Calls under way
 * use the one that they saw.
 *
 * `user_data` is handed to the callback. `destroy`, unless it is NULL, is called with it once,
 * when the callback is set no longer and nobody is inside of it. If this function fails,
 * `user_data` stays the caller's and is not destroyed. With NULL for the callback both are
 * ignored.
 */
int halfshake_cache_set_new_callback(halfshake_cache *cache,
                                     halfshake_new_callback callback,
                                     void *user_data,
                                     halfshake_destructor destroy);

/**
 * Sets or replaces the get callback (SSL_CTX_sess_set_get_cb); NULL clears it. As
 * halfshake_cache_set_new_callback.
 */
int halfshake_cache_set_get_callback(halfshake_cache *cache,
                                     halfshake_get_callback callback,
                                     void *user_data,
                                     halfshake_destructor destroy);

/**
 * Sets or replaces the remove callback (SSL_CTX_sess_set_remove_cb); NULL clears it. As
 * halfshake_cache_set_new_callback.
 */
int halfshake_cache_set_remove_callback(halfshake_cache *cache,
                                        halfshake_remove_callback callback,
                                        void *user_data,
                                        halfshake_destructor destroy);

/**
 * The new callback that is set, or NULL (SSL_CTX_sess_get_new_cb). `*user_data`, unless
 * `user_data` is NULL, is its user data: it may be destroyed as soon as another thread sets
 * another callback.
 */
int halfshake_cache_new_callback(halfshake_cache *cache,
                                 halfshake_new_callback *callback,
                                 void **user_data);

/**
 * The get callback that is set, or NULL (SSL_CTX_sess_get_get_cb). As
 * halfshake_cache_new_callback.
 */
int halfshake_cache_get_callback(halfshake_cache *cache,
                                 halfshake_get_callback *callback,
                                 void **user_data);

/**
 * The remove callback that is set, or NULL (SSL_CTX_sess_get_remove_cb). As
 * halfshake_cache_new_callback.
 */
int halfshake_cache_remove_callback(halfshake_cache *cache,
                                    halfshake_remove_callback *callback,
                                    void **user_data);

/* ==== Inside of callbacks ==== */

/**
 * In the new callback: `*left` is 1 if the cache has stored the session and holds none of its id
 * any more, as it was removed, flushed, evicted or has expired while the callback ran; else 0. An
 * external store that the callback has just written it to deletes it then; what leaves later is
 * told of later.
 */
int halfshake_new_has_left(const halfshake_new *fresh, int *left);

/**
 * In the get callback: the answer is this session, of which the cache takes a reference of its
 * own (`*copy = 1`). An answer that was left before is dropped.
 */
int halfshake_answer_session(halfshake_answer *answer,
                             const halfshake_session *session);

/**
 * In the get callback: the answer is this session, which is the cache's from now on (`*copy = 0`):
 * the caller must not free it. If this function fails, it stays the caller's.
 */
int halfshake_answer_hand_over(halfshake_answer *answer, halfshake_session *session);

/**
 * In the get callback: the answer is the session that halfshake_session_to_bytes wrote down. The
 * bytes are copied, and the copy is wiped.
 */
int halfshake_answer_bytes(halfshake_answer *answer, const void *bytes, size_t len);

/**
 * In the get callback: the store could not be asked. A miss, but one that says nothing of the
 * id; after several in a row the callback is left alone for a while.
 */
int halfshake_answer_failed(halfshake_answer *answer);

/* ==== Statistics and walks ==== */

/** All counters and gauges. Set `stats->size` to sizeof(halfshake_stats) first. */
int halfshake_cache_stats(halfshake_cache *cache, halfshake_stats *stats);

/**
 * What the cache holds of one namespace, counted now: a walk over the whole cache. Set
 * `stats->size` to sizeof(halfshake_namespace_stats) first.
 */
int halfshake_cache_namespace_stats(halfshake_cache *cache,
                                    const void *ns,
                                    size_t ns_len,
                                    halfshake_namespace_stats *stats);

/**
 * Shows the sessions that are in the cache to a visitor, one after the other; with a namespace
 * (`ns` not NULL) only those of it. To write a snapshot down, for example, which
 * halfshake_cache_add reads in again.
 *
 * A session that stays for the whole walk is shown once; one that comes, goes or is replaced
 * meanwhile may be shown or not. The visitor may call the cache, and may block.
 *
 * HALFSHAKE_STOPPED: the visitor wanted no more.
 */
int halfshake_cache_for_each(halfshake_cache *cache,
                             const void *ns,
                             size_t ns_len,
                             halfshake_visitor visitor,
                             void *user_data);

/* ==== Under a context of a TLS library ==== */

/**
 * Fills in the default options. `size` is sizeof(halfshake_attach_options).
 *
 * HALFSHAKE_BAD_SIZE: the header is another version's than the library.
 */
int halfshake_attach_options_init(halfshake_attach_options *options, size_t size);

/**
 * Puts the cache under a server's SSL_CTX, of OpenSSL 1.1.1, 3 or 4, or of LibreSSL: handshakes of
 * its connections store, resume and remove sessions there, and the cache's callbacks are called
 * with the SSL * as the connection. The context's own cache is switched off. A cache may be
 * attached to any number of contexts, and a context goes to another cache by attaching that one.
 *
 * What is set in the context: the session cache mode (SSL_SESS_CACHE_SERVER and
 * SSL_SESS_CACHE_NO_INTERNAL), the new, get and remove callback, the session id context, the
 * timeout (that of the cache, which decides; one that is made longer later takes effect in
 * contexts that are attached then), and the options SSL_OP_NO_TICKET (sessions lie here, not with
 * the clients) and SSL_OP_NO_ANTI_REPLAY: with any external cache that protection refuses every
 * session with early data. Sessions of TLS 1.3 are for single use instead, and early data is
 * accepted once. (Where a context accepts early data, a handshake with a HelloRetryRequest is a
 * full one.)
 *
 * The library asks the context that a connection began with, also if a callback has switched to
 * another: attach to the one that listens, before connections are made. (To more than 63 contexts
 * at a time: those beyond are mistaken for the one that was switched to.) If it is the callback
 * for the ClientHello that switches, attach to the others, too: the connection has their id
 * context then, which is a namespace of their own or the same. A connection with an id context of
 * its own (SSL_set_session_id_context), which is none of those, is never resumed, for the library
 * does not say what it is: its sessions are not stored, and counted as rejected for their
 * namespace. As with all that sets up an SSL_CTX, no other thread may use it meanwhile.
 *
 * The library ends a session by the time that it began with: under HALFSHAKE_MODE_UPDATE_TIME one
 * that is renewed here is refused there all the same.
 *
 * End connections with SSL_shutdown: one that is freed without it is taken for one that has
 * failed, and its session is removed. A program that forks its workers afterwards makes the cache
 * with HALFSHAKE_MAINTENANCE_LAZY; each worker has it for itself then.
 *
 * The context doesn't keep the cache: one that was freed is a cache that resumes nothing. Nor does
 * the cache keep the context, which may be freed at any time.
 *
 * No TLS library is linked to this one: the functions of the one that the program uses are looked
 * up by dlsym(3). A libssl that is out of the program's sight, because it was loaded with
 * RTLD_LOCAL, or is a part of the executable and not exported, can't be found.
 *
 * HALFSHAKE_NO_LIBRARY: a function is missing, which the message names. HALFSHAKE_LIBRARY_FAILED:
 * the TLS library has no memory. HALFSHAKE_BAD_SETTING: flags that mean nothing.
 */
int halfshake_attach(halfshake_cache *cache,
                     struct ssl_ctx_st *context,
                     const halfshake_attach_options *options);

/**
 * Detaches a context from its cache: from then on its connections store, resume and remove
 * nothing, and callbacks that are under way end as they would have. May be called at any time, on
 * any thread and in a callback. What SSL_CTX_free does, too.
 *
 * The context stays as halfshake_attach has set it up, with callbacks that do nothing, for the TLS
 * library reads its settings with no lock. To give it other ones, set them while nobody uses it.
 *
 * HALFSHAKE_MISS: nothing was attached.
 */
int halfshake_detach(struct ssl_ctx_st *context);

/**
 * Gives `*cache` the cache that is attached to a context.
 *
 * HALFSHAKE_MISS: none is, or it was freed; `*cache` is NULL.
 */
int halfshake_attached(struct ssl_ctx_st *context, halfshake_cache **cache);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif /* HALFSHAKE_H */
