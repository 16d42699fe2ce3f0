//! A standard library with nothing in it but `compile_error!`, for ci/platforms.
#![feature(no_core, lang_items, rustc_attrs)]
#![no_core]
#![allow(internal_features, reason = "what a standard library is made of")]
#![crate_type = "rlib"]

#[lang = "pointee_sized"]
pub trait PointeeSized {}
#[lang = "meta_sized"]
pub trait MetaSized: PointeeSized {}
#[lang = "sized"]
pub trait Sized: MetaSized {}

#[rustc_builtin_macro]
#[macro_export]
macro_rules! compile_error {
    ($message:expr) => {};
}

pub mod prelude {
    pub mod rust_2024 {
        pub use crate::compile_error;
    }
}
