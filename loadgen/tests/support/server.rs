//! The real server, as the load generator's tests start and watch it.

use std::env;
use std::path::{Path, PathBuf};

use godwit_testkit::{Launch, Server};

/// The server's program: of `GODWIT_BIN`, or beside the load generator's.
///
/// # Panics
/// When there is none.
pub(crate) fn godwit() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_godwit-loadgen")).with_file_name("godwit");
    let program = env::var_os("GODWIT_BIN").map_or(beside, PathBuf::from);
    assert!(
        program.is_file(),
        "there is no server at {}: build it with `cargo build -p godwit-chat --features faults`, or test the \
         whole workspace with `cargo test --workspace --features godwit-chat/faults`",
        program.display()
    );
    program
}

/// `godwit dev` on an empty directory.
pub(crate) fn start() -> Server {
    Launch::dev(godwit()).start()
}

/// Its address, for `--target`.
pub(crate) fn target(server: &Server) -> String {
    format!("http://{}", server.address())
}

/// The sum of a metric's series, 0 while there is none.
pub(crate) async fn metric(server: &Server, series: &str) -> f64 {
    let answer = server.operator().get("/metrics").await;
    let text = String::from_utf8(answer.body.to_vec()).expect("metrics are text");
    let lines = text.lines().filter(|line| line.starts_with(series));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

/// Messages that were stored so far.
pub(crate) async fn stored(server: &Server) -> f64 {
    metric(server, r#"godwit_messages_total{outcome="stored"}"#).await
}

/// Streams that are open now.
pub(crate) async fn streams(server: &Server) -> f64 {
    metric(server, "godwit_streams ").await
}
