//! What the client says to the program that started it.
//!
//! A line when the part that counts begins, `{"at":"begin"}`, one when it ends, `{"at":"end"}`, and one
//! with the result, `{"at":"result",…}`. At each the caller may look at this process and at the
//! server's: the client lives until its standard input is closed.

use std::io::{Read as _, Write as _};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// What follows counts.
pub(crate) fn begin() -> Result<()> {
    line(&json!({"at": "begin"}))
}

/// What follows counts no more.
pub(crate) fn end() -> Result<()> {
    line(&json!({"at": "end"}))
}

/// What was measured is this.
pub(crate) fn result(mut result: Value) -> Result<()> {
    result["at"] = json!("result");
    line(&result)
}

/// One line, at once.
fn line(value: &Value) -> Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{value}").and_then(|()| output.flush()).context("the caller does not listen")
}

/// Until the caller has seen enough, and closes standard input; other tasks go on meanwhile.
pub(crate) async fn until_dismissed() -> Result<()> {
    let closed = tokio::task::spawn_blocking(|| std::io::stdin().lock().read_to_end(&mut Vec::new()));
    closed.await.context("the wait for the caller failed")?.context("standard input cannot be read")?;
    Ok(())
}
