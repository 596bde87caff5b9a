//! The suite over TLS once more for stage 2, with OpenSSL in place of rustls.

#[macro_use]
mod over_openssl;

over_openssl! { stage2_mio, "stage2-mio over OpenSSL" }
