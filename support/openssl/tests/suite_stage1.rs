//! The suite over TLS once more for stage 1, with OpenSSL in place of rustls.

#![cfg(unix)]

#[macro_use]
mod over_openssl;

over_openssl! { stage1_rotor, "stage1-rotor over OpenSSL" }
