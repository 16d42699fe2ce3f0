// An exception of C++ that leaves a callback ends the process, and does not go on through the
// library's frames.
#include "check.h"

#include <csignal>
#include <stdexcept>
#include <sys/wait.h>
#include <unistd.h>

static void on_get(halfshake_cache *, void *, const halfshake_key *, int, halfshake_answer *,
                   void *) {
    throw std::runtime_error("out of a callback");
}

static void throws_through() {
    halfshake_cache *cache = cache_for(10);
    halfshake_key name = key("id");
    halfshake_session *found;
    OK(halfshake_cache_set_get_callback(cache, on_get, nullptr, nullptr));
    try {
        halfshake_cache_resume(cache, nullptr, &name, nullptr, &found);
    } catch (...) {
        _exit(2);
    }
    _exit(3);
}

int main() {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(freopen("/dev/null", "w", stderr) != nullptr);
        throws_through();
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    return 0;
}
