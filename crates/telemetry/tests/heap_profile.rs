//! A process on jemalloc with the project's options takes a profile of its heap.
#![allow(unsafe_code, missing_docs, clippy::unwrap_used)]

use godwit_telemetry::allocator::{self, Error, Profiling};
use godwit_telemetry::metrics;

#[global_allocator]
static GLOBAL: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

// As in the server's binary.
#[unsafe(export_name = "_rjem_malloc_conf")]
static MALLOC_CONF: &[u8; allocator::CONF.len()] = allocator::CONF;

#[inline(never)]
fn held_by_a_function_with_a_name() -> Vec<Vec<u8>> {
    (0..256).map(|_| vec![1; 256 * 1024]).collect()
}

/// One test, because sampling is one switch for the process.
#[test]
fn takes_a_profile_and_shows_statistics() {
    assert!(allocator::profiling_ready());
    let scratch = tempfile::tempdir().unwrap();

    let before = held_by_a_function_with_a_name();
    let profiling = Profiling::start().unwrap();
    assert!(matches!(Profiling::start().unwrap_err(), Error::Busy));
    let empty = profiling.dump(scratch.path()).unwrap();
    let held = held_by_a_function_with_a_name();
    let full = profiling.dump(scratch.path()).unwrap();
    drop(profiling);

    // The first lines: `heap_v2/524288` and `  t*: <objects>: <bytes> [...]`.
    let held_bytes = |profile: &[u8]| -> u64 {
        let text = String::from_utf8_lossy(profile).into_owned();
        assert!(text.starts_with("heap_v2/524288\n"), "{text}");
        assert!(text.contains("MAPPED_LIBRARIES"), "a profile names the binary for its symbols");
        text.lines().nth(1).unwrap().split_whitespace().nth(2).unwrap().parse().unwrap()
    };
    // 64 MiB, sampled at 512 KiB: 16 MiB is far outside of what chance does to it.
    assert!(held_bytes(&empty) < 16 << 20, "what was allocated before the start is not in it");
    assert!(held_bytes(&full) > 16 << 20);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "the scratch file is gone");

    let missing = scratch.path().join("missing");
    assert!(matches!(Profiling::start().unwrap().dump(&missing).unwrap_err(), Error::Dump(_)));

    let handle = metrics::install("1.2.3").unwrap();
    let page = handle.render();
    let value = |name: &str| -> f64 {
        let line = page.lines().find(|line| line.starts_with(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("{name} is missing in\n{page}"))
            .rsplit(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    let allocated = value(allocator::ALLOCATED_BYTES);
    assert!(allocated > (128 << 20) as f64 && allocated <= value(allocator::RESIDENT_BYTES));
    assert!(value("process_resident_memory_bytes") > (128 << 20) as f64);
    drop((before, held));
}
