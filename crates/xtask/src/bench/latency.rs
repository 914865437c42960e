//! How long a message takes while a thousand a second are sent.

use anyhow::Result;
use serde_json::Value;

use super::Bench;
use super::client::{self, Client};
use super::report::{Row, thousands};
use super::server::Server;

/// The load that the project's aims name; the client's defaults are 100 pairs, a minute, 5 s before it.
const RATE: u32 = 1000;

/// Rows for the sender's answer and for the receiver's stream, and what the client itself added.
///
/// # Errors
/// When a message is refused, lost, doubled or out of order.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let server = Server::start(&bench.program)?;
    let (result, cores) = Client::load(bench, &server, &format!("latency --rate {RATE}"))?;
    server.stop()?;
    let how = format!(
        "p50 / p99 / p99.9 / max at {RATE} a second, {} messages of 100 pairs; {cores}",
        thousands(client::number(&result, "/messages")?)
    );
    let of_client = "part of both: how late the client's thread was woken";
    Ok(vec![
        Row::new("POST until the event is on the receiver's stream", quantiles(&result, "arrived_us")?, &how),
        Row::new("POST until its 201", quantiles(&result, "answered_us")?, "the same run"),
        Row::new("client late in sending", quantiles(&result, "sent_late_us")?, of_client),
    ])
}

/// `0.70 / 2.40 / 11.74 / 16.99 ms`.
fn quantiles(result: &Value, name: &str) -> Result<String> {
    let mut parts = Vec::new();
    for quantile in ["p50", "p99", "p999", "max"] {
        let us = client::number(result, &format!("/{name}/{quantile}"))?;
        parts.push(format!("{:.2}", us as f64 / 1e3));
    }
    Ok(format!("{} ms", parts.join(" / ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_in_milliseconds() {
        let result = serde_json::json!({"a": {"p50": 704, "p99": 2421, "p999": 11_743, "max": 16_991}});
        assert_eq!(quantiles(&result, "a").unwrap(), "0.70 / 2.42 / 11.74 / 16.99 ms");
        assert!(quantiles(&result, "b").is_err());
    }
}
