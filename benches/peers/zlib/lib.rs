//! zlib under the name of zlib-ng's crate: see `../Cargo.toml`.
pub use libz_sys::*;
