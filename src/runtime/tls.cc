// SPDX-License-Identifier: MIT
#include "runtime/tls.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <array>

#include "base/check.h"

namespace eps::runtime {
namespace {

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* p) const {
    Free(p);
  }
};
using Context = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;
using PrivateKey = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;

constexpr long kDay = 24L * 60 * 60;  // seconds
constexpr long kBefore = 30 * kDay, kAfter = 3650 * kDay;

Context make_context(const SSL_METHOD* method) {
  Context context(SSL_CTX_new(method));
  EPS_CHECK(context != nullptr);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS);  // for thousands of idle connections
  return context;
}

// Self-signed; the clocks of both ends may be wrong, and nobody checks.
void certify(SSL_CTX* context) {
  const PrivateKey key(EVP_EC_gen("P-256"));
  const Certificate certificate(X509_new());
  EPS_CHECK(key && certificate);
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -kBefore);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), kAfter);
  X509_NAME* name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  X509_set_pubkey(certificate.get(), key.get());
  EPS_CHECK(X509_sign(certificate.get(), key.get(), EVP_sha256()) > 0);
  EPS_CHECK(SSL_CTX_use_certificate(context, certificate.get()) == 1);
  EPS_CHECK(SSL_CTX_use_PrivateKey(context, key.get()) == 1);
}

// Created when the first connection needs it: most servers and clients never do.
SSL_CTX* server_context() {
  static const Context context = [] {
    Context made = make_context(TLS_server_method());
    SSL_CTX_set_num_tickets(made.get(), 0);
    certify(made.get());
    return made;
  }();
  return context.get();
}

SSL_CTX* client_context() {
  static const Context context = make_context(TLS_client_method());
  return context.get();
}

}  // namespace

struct Tls::Impl {
  explicit Impl(SSL_CTX* context) : ssl(SSL_new(context)), in(BIO_new(BIO_s_mem())), out(BIO_new(BIO_s_mem())) {
    EPS_CHECK(ssl && in && out);
    BIO_set_mem_eof_return(in, -1);  // empty means "later", not "the end"
    SSL_set_bio(ssl.get(), in, out);
  }

  // Sends what waited for the handshake, as soon as that is complete.
  void flush() {
    if (waiting.empty() || !agreed()) return;
    // A memory BIO accepts everything.
    EPS_CHECK(SSL_write(ssl.get(), waiting.data(), static_cast<int>(waiting.size())) ==
              static_cast<int>(waiting.size()));
    waiting.clear();
  }

  bool agreed() const { return SSL_is_init_finished(ssl.get()) != 0; }

  std::unique_ptr<SSL, Freed<SSL_free>> ssl;
  BIO *in, *out;  // owned by ssl
  Bytes waiting;
};

Tls::Tls(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tls::~Tls() = default;

std::unique_ptr<Tls> Tls::client(const std::string& name) {
  auto impl = std::make_unique<Impl>(client_context());
  SSL_set_connect_state(impl->ssl.get());
  if (!name.empty()) SSL_set_tlsext_host_name(impl->ssl.get(), name.c_str());
  SSL_do_handshake(impl->ssl.get());  // writes the ClientHello
  return std::unique_ptr<Tls>(new Tls(std::move(impl)));
}

std::unique_ptr<Tls> Tls::server() {
  auto impl = std::make_unique<Impl>(server_context());
  SSL_set_accept_state(impl->ssl.get());
  return std::unique_ptr<Tls>(new Tls(std::move(impl)));
}

bool Tls::agreed() const {
  return impl_->agreed();
}

void Tls::write(ByteView plain) {
  impl_->waiting.insert(impl_->waiting.end(), plain.begin(), plain.end());
  ERR_clear_error();
  impl_->flush();
}

Result<Bytes> Tls::read(ByteView received) {
  ERR_clear_error();
  BIO_write(impl_->in, received.data(), static_cast<int>(received.size()));
  Bytes plain;
  std::array<std::byte, 16 * 1024> piece;  // a TLS record
  while (true) {
    const int n = SSL_read(impl_->ssl.get(), piece.data(), static_cast<int>(piece.size()));
    if (n > 0) {
      plain.insert(plain.end(), piece.begin(), piece.begin() + n);
      continue;
    }
    const int error = SSL_get_error(impl_->ssl.get(), n);
    if (error == SSL_ERROR_WANT_READ) break;
    if (error == SSL_ERROR_ZERO_RETURN) return make_error(Errc::unavailable, "the other end ended the TLS connection");
    const char* reason = ERR_reason_error_string(ERR_peek_error());
    return make_error(Errc::unavailable, std::string("the TLS connection failed: ") + (reason ? reason : "no reason"));
  }
  impl_->flush();
  return plain;
}

Bytes Tls::take_output() {
  Bytes out(BIO_ctrl_pending(impl_->out));
  if (!out.empty()) BIO_read(impl_->out, out.data(), static_cast<int>(out.size()));
  return out;
}

}  // namespace eps::runtime
