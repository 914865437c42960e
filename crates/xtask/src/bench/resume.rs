//! How long a device that was away for long waits for what it missed.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::cassandra::Database;
use super::http::Connection;
use super::report::{Row, thousands};
use super::server::Server;
use super::{Bench, startup};

/// Above 110,000, so that the inbox has rows in 12 partitions of 10,000, and below the 200,000 that an
/// inbox keeps (`retention.inbox_events`).
const EVENTS: u64 = 115_000;

/// Events in one partition of a database's inbox.
const PARTITION: u64 = 10_000;

/// Messages in one request: as many as one may have (`limits.batch`).
const OUTBOX: u64 = 100;

/// Resumes that count.
const RUNS: usize = 5;

/// A resume, or a new inbox's way to the end, that takes longer is stuck.
const RESUME_MAX: Duration = Duration::from_secs(300);

/// Rows for the embedded store and for one node of a database.
///
/// # Errors
/// When a server or the database does not start, and when a resume does not bring every event once.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let server = Server::start(&bench.program)?;
    let mut rows = resumes(bench, &server, "embedded store", || Ok(()))?;
    server.stop()?;
    let mut database = Database::start(1)?;
    let server = database.serve(bench)?;
    let name = database.name();
    rows.extend(resumes(bench, &server, name, || database.flush())?);
    server.stop()?;
    database.stop()?;
    Ok(rows)
}

/// A device that has seen one event of an inbox, and how many messages came after it.
struct Away {
    address: SocketAddr,
    token: String,
    last_event_id: String,
    messages: u64,
}

/// From the moment before the connection is opened.
#[derive(Debug)]
struct Times {
    first: Duration,
    last: Duration,
}

/// Fills an inbox, and reads all of it again and again. `settle` is called between the two.
fn resumes(
    bench: &Bench,
    server: &Server,
    name: &str,
    settle: impl FnOnce() -> Result<()>,
) -> Result<Vec<Row>> {
    let away = away(server.address(), bench.size(EVENTS, 2 * OUTBOX))?;
    // Not counted. What was acknowledged is on its way into the inbox for some moments more: this one
    // goes on after what it found, until all is there.
    away.resume(|count, _| count == away.messages)?;
    settle()?;
    let runs = bench.size(RUNS, 3);
    let times: Vec<Times> =
        (0..runs).map(|_| away.resume(|_, event| event == "caught_up")).collect::<Result<_>>()?;
    Ok(rows(name, away.messages, &times))
}

fn rows(name: &str, events: u64, times: &[Times]) -> Vec<Row> {
    let pick = |pick: fn(&Times) -> Duration| times.iter().map(pick).collect::<Vec<_>>();
    let mut whole = pick(|times| times.last);
    whole.sort_unstable();
    let median = whole.get(whole.len() / 2).map_or(f64::NAN, Duration::as_secs_f64);
    let a_second = (events as f64 / median).round() as u64;
    let what = format!("{name}: resume over {} events", thousands(events));
    let how = format!(
        "median (min–max) of {} resumes by `Last-Event-ID`, from before the connection is opened; one stream \
         over HTTP/1.1, 200 bytes of text, the inbox in {} partitions of {}",
        times.len(),
        // Numbers begin at 1, which is the event that it resumes after.
        (events + 1) / PARTITION + 1,
        thousands(PARTITION)
    );
    let rate = format!("the same runs; at the median {} events a second", thousands(a_second));
    vec![
        Row::new(&format!("{what}, until the first"), startup::spread(pick(|times| times.first)), &how),
        Row::new(&format!("{what}, until the last"), startup::spread(whole), &rate),
    ]
}

/// Sends so many messages to an account whose device saw the conversation begin, and nothing after that.
fn away(address: SocketAddr, messages: u64) -> Result<Away> {
    let mut connection = Connection::open(address)?;
    let (writer, reader) = (token(&mut connection, "writer")?, token(&mut connection, "reader")?);
    let until = Instant::now() + RESUME_MAX;
    let mut events = Connection::open(address)?.events(&reader, None)?;
    ensure!(events.next(until)?.name == "ready", "the stream did not begin with ready");
    let direct = json!({"kind": "direct", "members": ["reader"]});
    let conversation = json(&connection.post("/v1/conversations", &writer, &direct.to_string())?)?;
    let conversation = conversation["id"].as_str().context("a conversation without an id")?;
    let first = events.next(until)?;
    let last_event_id = first.id.with_context(|| format!("{} has no id", first.name))?;
    drop(events);
    let mut sent = 0;
    while sent < messages {
        let numbers = sent..messages.min(sent + OUTBOX);
        sent = numbers.end;
        let answer = connection.post("/v1/messages", &writer, &outbox(conversation, numbers.clone()))?;
        ensure_stored(&answer, numbers.count())?;
    }
    Ok(Away { address, token: reader, last_event_id, messages })
}

fn token(connection: &mut Connection, account: &str) -> Result<String> {
    let answer = json(&connection.get(&format!("/dev/token?account={account}&device=phone"))?)?;
    Ok(answer["token"].as_str().context("an answer without a token")?.to_owned())
}

fn json(body: &[u8]) -> Result<Value> {
    serde_json::from_slice(body).context("an answer that is no JSON")
}

fn outbox(conversation: &str, numbers: std::ops::Range<u64>) -> String {
    let text = "x".repeat(200);
    let message = |number| {
        json!({
            "conversation_id": conversation,
            "client_id": format!("m{number}"),
            "body": {"type": "text", "text": text},
        })
    };
    let messages: Vec<Value> = numbers.map(message).collect();
    json!({"messages": messages}).to_string()
}

/// That each message of an outbox was stored, and as a new one.
fn ensure_stored(answer: &[u8], count: usize) -> Result<()> {
    let answer = json(answer)?;
    let results = answer["results"].as_array().context("an outbox's answer without results")?;
    ensure!(results.len() == count, "{} results for {count} messages", results.len());
    match results.iter().find(|result| result["status"] != 201) {
        Some(refused) => bail!("a message was not stored: {refused}"),
        None => Ok(()),
    }
}

impl Away {
    /// Comes back and reads until `ends` says so of the messages so far and of the event that came.
    fn resume(&self, ends: impl Fn(u64, &str) -> bool) -> Result<Times> {
        let began = Instant::now();
        let stream = Connection::open(self.address)?;
        let mut events = stream.events(&self.token, Some(&self.last_event_id))?;
        let (mut count, mut first, mut last) = (0, None, Duration::ZERO);
        loop {
            let event = events.next(began + RESUME_MAX).with_context(|| {
                format!("after {} of {} messages", thousands(count), thousands(self.messages))
            })?;
            match event.name.as_str() {
                "message" => {
                    count += 1;
                    last = began.elapsed();
                    first.get_or_insert(last);
                }
                "gap" | "bye" => bail!("the stream said {}", event.name),
                _ => {}
            }
            if ends(count, &event.name) {
                break;
            }
        }
        ensure!(count == self.messages, "of {} messages {count} came", self.messages);
        Ok(Times { first: first.context("no message came")?, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inbox_has_twelve_partitions_and_is_kept_whole() {
        let times = |ms| Times { first: Duration::from_millis(ms), last: Duration::from_millis(100 * ms) };
        let rows = rows("embedded store", EVENTS, &[times(9), times(3), times(5)]);
        assert_eq!(rows[0].what, "embedded store: resume over 115,000 events, until the first");
        assert_eq!(rows[0].result, "5.0 ms (3.0–9.0)");
        assert!(rows[0].how.contains("12 partitions of 10,000"), "{rows:?}");
        assert_eq!(rows[1].what, "embedded store: resume over 115,000 events, until the last");
        assert_eq!(rows[1].result, "500.0 ms (300.0–900.0)");
        assert!(rows[1].how.ends_with("230,000 events a second"), "{rows:?}");
    }

    #[test]
    fn an_outbox_has_a_number_for_each_message() {
        let sent = json(outbox("c1", 100..102).as_bytes()).unwrap();
        let messages = sent["messages"].as_array().unwrap();
        let ids: Vec<_> = messages.iter().map(|message| message["client_id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["m100", "m101"]);
        assert_eq!(messages[0]["body"]["text"].as_str().unwrap().len(), 200);
    }

    #[test]
    fn an_outbox_that_was_not_stored_whole_is_an_error() {
        let answer = |status: &[u16]| {
            let results: Vec<Value> = status.iter().map(|status| json!({"status": status})).collect();
            json!({"results": results}).to_string().into_bytes()
        };
        ensure_stored(&answer(&[201, 201]), 2).unwrap();
        for bad in [&[201][..], &[201, 503], &[201, 200]] {
            assert!(ensure_stored(&answer(bad), 2).is_err(), "{bad:?}");
        }
        assert!(ensure_stored(b"{}", 0).is_err());
    }
}
