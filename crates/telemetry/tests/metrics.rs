//! The page that Prometheus reads.
#![allow(missing_docs, clippy::unwrap_used)]

use godwit_telemetry::metrics::{self, Handle};

fn samples<'p>(page: &'p str, name: &str) -> Vec<&'p str> {
    page.lines().filter(|line| line.starts_with(name)).collect()
}

/// One test, because a process has one recorder.
#[test]
fn renders_what_was_recorded() {
    let handle: Handle = metrics::install("1.2.3").unwrap();
    assert!(metrics::install("1.2.3").is_err(), "a second recorder is refused");

    ::metrics::counter!("godwit_test_total", "kind" => "a").increment(3);
    ::metrics::histogram!("godwit_test_seconds").record(0.003);
    ::metrics::histogram!("godwit_test_seconds").record(60.0);
    handle.upkeep();
    let page = handle.render();

    assert_eq!(samples(&page, "godwit_test_total{"), ["godwit_test_total{kind=\"a\"} 3"]);
    let buckets = samples(&page, "godwit_test_seconds_bucket");
    assert!(buckets.contains(&"godwit_test_seconds_bucket{le=\"0.002\"} 0"), "{buckets:?}");
    assert!(buckets.contains(&"godwit_test_seconds_bucket{le=\"0.005\"} 1"), "{buckets:?}");
    assert!(buckets.contains(&"godwit_test_seconds_bucket{le=\"+Inf\"} 2"), "{buckets:?}");
    let info = samples(&page, "godwit_build_info{");
    assert!(info.len() == 1 && info[0].contains("version=\"1.2.3\"") && info[0].ends_with(" 1"), "{info:?}");
    assert_eq!(samples(&page, "godwit_uptime_seconds ").len(), 1);
    assert!(
        page.contains("\n# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 0."),
        "{page}"
    );
    #[cfg(target_os = "linux")]
    for name in
        ["process_resident_memory_bytes ", "process_open_fds ", "process_max_fds ", "process_threads "]
    {
        assert_eq!(samples(&page, name).len(), 1, "{name} in\n{page}");
    }
}
