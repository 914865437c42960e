//! The corpora of the fuzz targets as an ordinary test.

use std::fs;
use std::path::Path;

use godwit_sse::reference::{compare, compare_chunked};

#[track_caller]
fn run(target: &str, files_min: usize, body: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files = 0;
    for entry in fs::read_dir(directory).expect("a corpus") {
        let path = entry.expect("a file").path();
        // The test's output ends with the name of the file that failed.
        println!("{}", path.display());
        body(&fs::read(&path).expect("a file that can be read"));
        files += 1;
    }
    assert!(files >= files_min, "{files} files of {target}");
}

#[test]
fn every_stream_of_the_corpus_is_read_as_the_reference_reads_it() {
    run("parser", 20, compare);
}

#[test]
fn every_body_of_the_corpus_is_read_as_the_reference_reads_it() {
    run("chunked", 10, compare_chunked);
}
