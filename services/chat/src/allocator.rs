//! jemalloc as the allocator of this process, with the options of `godwit_telemetry`.
//!
//! The only module of the binary with `unsafe`: jemalloc looks for its options under a symbol of a
//! fixed name, and to export one is `unsafe` because nobody else may.
#![allow(unsafe_code)]

use godwit_telemetry::allocator;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static GLOBAL: Jemalloc = Jemalloc;

/// `const char *malloc_conf` of jemalloc(3), with the prefix that tikv-jemallocator gives its
/// symbols. A reference to an array is a plain pointer to its first byte, and [`allocator::CONF`]
/// ends in NUL. It stands in the binary and not in a library: jemalloc has a weak symbol of its
/// own, so that a linker would not look into a library for this one.
#[unsafe(export_name = "_rjem_malloc_conf")]
static MALLOC_CONF: &[u8; allocator::CONF.len()] = allocator::CONF;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jemalloc_has_read_the_options() {
        assert!(allocator::profiling_ready());
    }
}
