/* A plug-in with a libssl of its own: ci/preload gives it one that has another name. */
#include "../c/tls.h"

/* OpenSSL's own cache does this, which has never heard of ours: 0, or it does not come back. */
int run(void) {
    SSL_CTX *context, *from;
    SSL_SESSION *session;
    make_identity();
    context = bare_server();
    from = client(TLS1_2_VERSION);
    CHECK(SSL_CTX_set_session_id_context(context, (const unsigned char *)"id", 2) == 1);
    session = begins(context, from);
    CHECK(resumes(context, from, session));
    CHECK(SSL_CTX_get_session_cache_mode(context) == SSL_SESS_CACHE_SERVER);
    CHECK((SSL_CTX_get_options(context) & SSL_OP_NO_TICKET) == 0);
    CHECK(SSL_CTX_sess_get_new_cb(context) == NULL && SSL_CTX_sess_get_get_cb(context) == NULL);
    SSL_SESSION_free(session);
    SSL_CTX_free(context);
    SSL_CTX_free(from);
    return 0;
}
