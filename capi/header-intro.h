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
#define HALFSHAKE_VERSION "@VERSION@"
