//! The metrics of a process, in Prometheus' text format, rendered on request.
//!
//! No port is opened here: the operator's port of the node shows [`Handle::render`]. Every other
//! crate moves its own metrics through the `metrics` macros, with names that are constants beside
//! the code that moves them.

pub mod process;

use std::time::{Duration, Instant};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::allocator;

/// What the running program is: labels `version` and `target`, always 1.
pub const BUILD_INFO: &str = "godwit_build_info";
/// Seconds since [`install`].
pub const UPTIME_SECONDS: &str = "godwit_uptime_seconds";

/// How often [`Handle::upkeep`] has to be called. Between two calls a histogram keeps every sample
/// (8 bytes each): at 100,000 samples a second that is 4 MB.
pub const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Upper bounds of the buckets of every histogram whose name ends in `_seconds`. From a tenth of
/// the time of an fsync on a fast disk to the time after which a client has given up; steps of
/// 2 to 2.5, so that a quantile read from them is off by half at most.
const SECONDS_BUCKETS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Upper bounds of the buckets of every histogram whose name ends in `_bytes`: from a short message
/// to the largest batch.
const BYTES_BUCKETS: [f64; 8] =
    [256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 2_097_152.0];
/// Upper bounds of the buckets of every histogram whose name ends in `_items`: from one to the
/// members of the largest conversation.
const ITEMS_BUCKETS: [f64; 8] = [1.0, 2.0, 5.0, 10.0, 32.0, 100.0, 320.0, 1_000.0];

/// Shows the metrics of this process. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    prometheus: PrometheusHandle,
    started: Instant,
}

/// Makes this process record metrics; `version` is what [`BUILD_INFO`] says.
///
/// Fails when it records already.
pub fn install(version: &'static str) -> Result<Handle, BuildError> {
    let prometheus = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS_BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".into()), &BYTES_BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("_items".into()), &ITEMS_BUCKETS)?
        .install_recorder()?;
    describe();
    metrics::gauge!(BUILD_INFO, "version" => version, "target" => target()).set(1.0);
    Ok(Handle { prometheus, started: Instant::now() })
}

impl Handle {
    /// All metrics as of now, in Prometheus' text format (`text/plain; version=0.0.4`).
    ///
    /// Reads `/proc/self` and the allocator's statistics first: well under a millisecond.
    pub fn render(&self) -> String {
        metrics::gauge!(UPTIME_SECONDS).set(self.started.elapsed().as_secs_f64());
        process::record();
        allocator::record();
        self.prometheus.render() + &process::render_cpu_seconds()
    }

    /// Moves the samples of histograms into their buckets. To be called every [`UPKEEP_EVERY`].
    pub fn upkeep(&self) {
        self.prometheus.run_upkeep();
    }
}

fn describe() {
    metrics::describe_gauge!(BUILD_INFO, "What the running program is; always 1.");
    metrics::describe_gauge!(UPTIME_SECONDS, "Seconds since the process started to record.");
    metrics::describe_counter!(
        crate::log::writer::LOG_LINES_DROPPED,
        "Log lines lost because nobody read the log fast enough."
    );
    process::describe();
    allocator::describe();
}

/// Architecture and operating system, such as `x86_64-linux`.
fn target() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}
