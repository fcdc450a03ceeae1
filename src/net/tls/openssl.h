#ifndef NET_TLS_OPENSSL_H
#define NET_TLS_OPENSSL_H

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

/*
 * For the files of net/tls alone: OpenSSL's functions (3.0 and later), as tls_load() found them in
 * the process. Its headers are used for types and constants; their macros end in one of these.
 */

#define OPENSSL_FUNCTIONS(F)                                                                       \
    F(BIO_clear_flags)                                                                             \
    F(BIO_copy_next_retry)                                                                         \
    F(BIO_ctrl)                                                                                    \
    F(BIO_free_all)                                                                                \
    F(BIO_get_data)                                                                                \
    F(BIO_get_new_index)                                                                           \
    F(BIO_meth_new)                                                                                \
    F(BIO_meth_set_ctrl)                                                                           \
    F(BIO_meth_set_read)                                                                           \
    F(BIO_meth_set_write)                                                                          \
    F(BIO_new)                                                                                     \
    F(BIO_new_socket)                                                                              \
    F(BIO_next)                                                                                    \
    F(BIO_push)                                                                                    \
    F(BIO_read)                                                                                    \
    F(BIO_set_data)                                                                                \
    F(BIO_set_flags)                                                                               \
    F(BIO_set_init)                                                                                \
    F(BIO_write)                                                                                   \
    F(CRYPTO_get_ex_new_index)                                                                     \
    F(ERR_clear_error)                                                                             \
    F(ERR_peek_error)                                                                              \
    F(ERR_reason_error_string)                                                                     \
    F(i2d_X509)                                                                                    \
    F(OPENSSL_sk_num)                                                                              \
    F(OPENSSL_sk_value)                                                                            \
    F(OpenSSL_version_num)                                                                         \
    F(SSL_CIPHER_get_bits)                                                                         \
    F(SSL_CIPHER_get_name)                                                                         \
    F(SSL_CIPHER_get_version)                                                                      \
    F(SSL_CONF_cmd)                                                                                \
    F(SSL_CONF_CTX_finish)                                                                         \
    F(SSL_CONF_CTX_free)                                                                           \
    F(SSL_CONF_CTX_new)                                                                            \
    F(SSL_CONF_CTX_set_flags)                                                                      \
    F(SSL_CONF_CTX_set_ssl_ctx)                                                                    \
    F(SSL_ctrl)                                                                                    \
    F(SSL_CTX_callback_ctrl)                                                                       \
    F(SSL_CTX_clear_options)                                                                       \
    F(SSL_CTX_ctrl)                                                                                \
    F(SSL_CTX_free)                                                                                \
    F(SSL_CTX_get0_param)                                                                          \
    F(SSL_CTX_get_options)                                                                         \
    F(SSL_CTX_get_verify_mode)                                                                     \
    F(SSL_CTX_load_verify_locations)                                                               \
    F(SSL_CTX_new)                                                                                 \
    F(SSL_CTX_set_alpn_select_cb)                                                                  \
    F(SSL_CTX_set_client_hello_cb)                                                                 \
    F(SSL_CTX_set_default_passwd_cb_userdata)                                                      \
    F(SSL_CTX_set_keylog_callback)                                                                 \
    F(SSL_CTX_set_msg_callback)                                                                    \
    F(SSL_CTX_set_options)                                                                         \
    F(SSL_CTX_set_session_id_context)                                                              \
    F(SSL_CTX_up_ref)                                                                              \
    F(SSL_do_handshake)                                                                            \
    F(SSL_free)                                                                                    \
    F(SSL_get0_alpn_selected)                                                                      \
    F(SSL_get0_verified_chain)                                                                     \
    F(SSL_get1_peer_certificate)                                                                   \
    F(SSL_get_ciphers)                                                                             \
    F(SSL_get_client_ciphers)                                                                      \
    F(SSL_get_current_cipher)                                                                      \
    F(SSL_get_error)                                                                               \
    F(SSL_get_ex_data)                                                                             \
    F(SSL_get_finished)                                                                            \
    F(SSL_get_peer_cert_chain)                                                                     \
    F(SSL_get_peer_finished)                                                                       \
    F(SSL_get_servername)                                                                          \
    F(SSL_get_session)                                                                             \
    F(SSL_get_verify_result)                                                                       \
    F(SSL_get_version)                                                                             \
    F(SSL_has_pending)                                                                             \
    F(SSL_is_init_finished)                                                                        \
    F(SSL_new)                                                                                     \
    F(SSL_pending)                                                                                 \
    F(SSL_read_ex)                                                                                 \
    F(SSL_select_next_proto)                                                                       \
    F(SSL_SESSION_get_id)                                                                          \
    F(SSL_SESSION_get_max_fragment_length)                                                         \
    F(SSL_SESSION_get_ticket_lifetime_hint)                                                        \
    F(SSL_SESSION_get_time)                                                                        \
    F(SSL_SESSION_get_timeout)                                                                     \
    F(SSL_SESSION_has_ticket)                                                                      \
    F(SSL_session_reused)                                                                          \
    F(SSL_set_accept_state)                                                                        \
    F(SSL_set_bio)                                                                                 \
    F(SSL_set_ex_data)                                                                             \
    F(SSL_set_info_callback)                                                                       \
    F(SSL_set_options)                                                                             \
    F(SSL_set_read_ahead)                                                                          \
    F(SSL_set_shutdown)                                                                            \
    F(SSL_set_SSL_CTX)                                                                             \
    F(SSL_shutdown)                                                                                \
    F(SSL_write_ex)                                                                                \
    F(TLS_server_method)                                                                           \
    F(X509_free)                                                                                   \
    F(X509_verify_cert_error_string)                                                               \
    F(X509_VERIFY_PARAM_clear_flags)                                                               \
    F(X509_VERIFY_PARAM_set_flags)

/* NULL where OpenSSL was built without. */
#define OPENSSL_OPTIONAL(F)                                                                        \
    F(SSL_CTX_set_psk_server_callback)                                                             \
    F(SSL_CTX_use_psk_identity_hint)

struct openssl {
#define OPENSSL_POINTER(name) __typeof__(name) *name;
    OPENSSL_FUNCTIONS(OPENSSL_POINTER)
    OPENSSL_OPTIONAL(OPENSSL_POINTER)
#undef OPENSSL_POINTER
};

extern struct openssl openssl;

#endif
