//! The name by which programs that are linked to the library ask for it.

/// Changes when a program that was built with an older header would no longer run.
const ABI: u32 = 0;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Threads of caches, and what Rust does at the end of a thread, outlive a dlclose(3).
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libhalfshake.so.{ABI}");
}
