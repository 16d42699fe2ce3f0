/* A small TLS server whose sessions lie in a halfshake cache. It answers each connection with a
 * line that says whether it was resumed, and ends, with the statistics, on SIGTERM or SIGINT.
 *
 *   cc server.c $(pkg-config --cflags --libs halfshake openssl) -pthread -o server
 *   openssl req -x509 -newkey ed25519 -nodes -subj /CN=localhost -keyout key.pem -out cert.pem
 *   ./server 8443 cert.pem key.pem
 *   openssl s_client -connect localhost:8443 -tls1_2 -reconnect
 */
#include <halfshake.h>

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* Who may resume a session of this server: see halfshake_key. */
static const char NAMESPACE[] = "localhost, no mTLS";

static SSL_CTX *context;
static int listener;

/* Ends the program if a call of OpenSSL or of the system fails. */
static void must(int good, const char *what) {
    if (!good) {
        perror(what);
        ERR_print_errors_fp(stderr);
        exit(1);
    }
}

/* The same for a call of halfshake. */
static void done(int result) {
    if (result != HALFSHAKE_OK) {
        fprintf(stderr, "%s: %s\n", halfshake_result_name(result), halfshake_error_message());
        exit(1);
    }
}

static void on_remove(halfshake_cache *cache, const halfshake_removed *removed,
                      void *user_data) {
    (void)cache, (void)user_data;
    printf("a session has left: %s\n", halfshake_cause_name(removed->cause));
}

static halfshake_cache *make_cache(void) {
    halfshake_options options;
    halfshake_cache *cache;
    done(halfshake_options_init(&options, sizeof options));
    options.capacity = 100000;
    options.timeout_ms = 3600 * 1000;
    done(halfshake_cache_new(&options, &cache));
    done(halfshake_cache_set_remove_callback(cache, on_remove, NULL, NULL));
    return cache;
}

static void make_context(halfshake_cache *cache, const char *certificate, const char *key) {
    halfshake_attach_options options;
    context = SSL_CTX_new(TLS_server_method());
    must(context != NULL, "SSL_CTX_new");
    must(SSL_CTX_use_certificate_chain_file(context, certificate) == 1, certificate);
    must(SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1, key);
    done(halfshake_attach_options_init(&options, sizeof options));
    options.ns = NAMESPACE;
    options.ns_len = sizeof NAMESPACE - 1;
    done(halfshake_attach(cache, context, &options));
}

/* One connection, on its own thread. */
static void *serve(void *argument) {
    int socket = (int)(intptr_t)argument;
    SSL *ssl = SSL_new(context);
    if (ssl != NULL && SSL_set_fd(ssl, socket) == 1 && SSL_accept(ssl) == 1) {
        const char *text = SSL_session_reused(ssl) ? "resumed\n" : "new\n";
        (void)SSL_write(ssl, text, SSL_session_reused(ssl) ? 8 : 4);
        /* Without it OpenSSL takes the connection for one that has failed, and the session is
         * removed. */
        (void)SSL_shutdown(ssl);
    }
    SSL_free(ssl);
    ERR_clear_error();
    close(socket);
    return NULL;
}

static void listen_on(uint16_t port) {
    struct sockaddr_in address = {0};
    socklen_t len = sizeof address;
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    must(listener >= 0, "socket");
    must(bind(listener, (struct sockaddr *)&address, sizeof address) == 0, "bind");
    must(listen(listener, 128) == 0, "listen");
    must(getsockname(listener, (struct sockaddr *)&address, &len) == 0, "getsockname");
    printf("listening on port %d\n", ntohs(address.sin_port));
    fflush(stdout);
}

static void stop(int signal) {
    (void)signal;
    (void)shutdown(listener, SHUT_RDWR); /* accept fails then */
}

int main(int count, char **arguments) {
    halfshake_cache *cache;
    halfshake_stats stats;
    int socket;
    if (count != 4) {
        fprintf(stderr, "usage: %s PORT CERTIFICATE.pem KEY.pem\n", arguments[0]);
        return 2;
    }
    cache = make_cache();
    make_context(cache, arguments[2], arguments[3]);
    listen_on((uint16_t)atoi(arguments[1]));
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    while ((socket = accept(listener, NULL, NULL)) >= 0) {
        struct timeval limit = {10, 0};
        pthread_t thread;
        (void)setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        must(pthread_create(&thread, NULL, serve, (void *)(intptr_t)socket) == 0, "a thread");
        must(pthread_detach(thread) == 0, "a thread");
    }
    stats.size = sizeof stats;
    done(halfshake_cache_stats(cache, &stats));
    printf("%" PRIu64 " sessions were stored, %" PRIu64 " resumed\n", stats.inserts, stats.hits);
    /* In either order; connections under way keep the context. */
    SSL_CTX_free(context);
    done(halfshake_cache_free(cache));
    return 0;
}
