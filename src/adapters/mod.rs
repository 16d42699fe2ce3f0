//! Other people's interfaces to a session store, one feature each.

#[cfg(feature = "openssl")]
pub mod openssl;
#[cfg(feature = "rustls-0_23")]
pub mod rustls;
