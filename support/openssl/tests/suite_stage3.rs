//! The suite over TLS once more for stage 3, with OpenSSL in place of rustls.

#[macro_use]
mod over_openssl;

over_openssl! { stage3_tokio, "stage3-tokio over OpenSSL" }
