//! Rows of a log, read page by page and bucket after bucket.

use bytes::Bytes;
use futures_util::future::try_join_all;
use godwit_store::{Error, Limit, Row, TAIL_REACH, Written};
use godwit_types::{LogId, Position, Stamp, Timestamp};

use crate::carrier::Requests;
use crate::changes::{LogNames, Value, bucket_of, id_of, signed};
use crate::usage::Kind;

/// Rows in one page, at most: twice what a stream reads at once, so that this and the row behind it are one
/// request. At a few hundred bytes a row a page is a few hundred KB. ScyllaDB ends one at 1 MB by itself.
const PAGE_ROWS: usize = 1_024;

/// Empty buckets in a row after which a reader going down stops. A log has no holes but the last window of an
/// owner that crashed, so what is below an empty bucket has expired or was trimmed. Two more, since a reader
/// may begin some way above the last row.
const EMPTY_BUCKETS_MAX: u32 = 2;

/// Buckets in which a reader going up looks for the first row at once, when the one it was in has none: rows
/// of 160,000 numbers may have expired before a stream that was away for long is one request later.
const LOOK_AHEAD: u64 = 16;

/// A row as the driver hands it out.
type Columns = (i64, i64, i64, i64, i64, Bytes);

/// The same with its timestamp and what is left of its time.
type TailColumns = (i64, i64, i64, i64, i64, Bytes, i64, Option<i32>);

fn row_of((n, epoch, at, stable, key, payload): Columns) -> Row {
    Row {
        position: Position { epoch: epoch.cast_unsigned(), n: n.cast_unsigned() },
        stable: stable.cast_unsigned(),
        at: Timestamp::from_ms(at.cast_unsigned()),
        key: key.cast_unsigned(),
        // A copy: a row that is kept must not keep the page that it came in.
        payload: Bytes::copy_from_slice(&payload),
    }
}

/// Rows within a limit.
struct Collected {
    rows: Vec<Row>,
    bytes: usize,
    limit: Limit,
}

impl Collected {
    fn new(limit: Limit) -> Self {
        Self { rows: Vec::new(), bytes: 0, limit }
    }

    fn is_full(&self) -> bool {
        !self.rows.is_empty() && (self.rows.len() >= self.limit.rows || self.bytes >= self.limit.bytes)
    }

    /// Rows that a page should have: those that are missing and one more, by which a number that is there
    /// twice is seen.
    fn page(&self) -> usize {
        self.limit.rows.max(1).saturating_sub(self.rows.len()).saturating_add(1).min(PAGE_ROWS)
    }

    /// Whether more are wanted.
    fn add(&mut self, log: &LogId, row: Row) -> Result<bool, Error> {
        if let Some(last) = self.rows.last()
            && last.position.n == row.position.n
        {
            return Err(twice(log, last.position, row.position));
        }
        if self.is_full() {
            return Ok(false);
        }
        self.bytes += row.payload.len();
        self.rows.push(row);
        Ok(true)
    }
}

/// Two owners wrote the same number, and both believe that they own the log: never to be picked silently.
fn twice(log: &LogId, one: Position, other: Position) -> Error {
    Error::Failed(format!(
        "{log:?} has two rows with one number, {}-{} and {}-{}: two nodes have written to one shard; \
         the compare-and-set of the database did not hold",
        one.epoch, one.n, other.epoch, other.n
    ))
}

fn key(log: &LogId, bucket: u64, rest: impl IntoIterator<Item = u64>) -> Vec<Value> {
    let id = Value::Text(id_of(log).to_owned());
    let numbers = rest.into_iter().map(|n| Value::Long(signed(n)));
    [id, Value::Long(signed(bucket))].into_iter().chain(numbers).collect()
}

/// See [`Store::rows_after`](godwit_store::Store::rows_after).
pub(crate) async fn rows_after(
    requests: &Requests,
    log: &LogId,
    after: u64,
    upto: u64,
    limit: Limit,
) -> Result<Vec<Row>, Error> {
    let mut found = Collected::new(limit);
    let upto = signed(upto).cast_unsigned();
    let Some(first) = after.checked_add(1).filter(|first| *first <= upto) else { return Ok(found.rows) };
    let last = bucket_of(upto);
    let mut next = Some(bucket_of(first));
    while let Some(bucket) = next {
        let before = found.rows.len();
        let values = key(log, bucket, [after, upto]);
        if !collect(requests, log, LogNames::of(log).after, values, &mut found).await? {
            break;
        }
        let empty = found.rows.len() == before;
        next = match bucket + 1 {
            beyond if beyond > last => None,
            beyond if empty && beyond < last => first_with_rows(requests, log, beyond, last).await?,
            beyond => Some(beyond),
        };
    }
    Ok(found.rows)
}

/// The first bucket from there on that has any rows.
async fn first_with_rows(
    requests: &Requests,
    log: &LogId,
    mut from: u64,
    last: u64,
) -> Result<Option<u64>, Error> {
    while from <= last {
        let upto = last.min(from + LOOK_AHEAD - 1);
        let looks = (from..=upto).map(async |bucket| {
            let values = key(log, bucket, []);
            let found =
                requests.first(LogNames::of(log).any, Kind::Rows, values, |(_,): (i64,)| Ok(())).await?;
            Ok::<_, Error>(found.map(|()| bucket))
        });
        if let Some(bucket) = try_join_all(looks).await?.into_iter().flatten().next() {
            return Ok(Some(bucket));
        }
        from = upto + 1;
    }
    Ok(None)
}

/// See [`Store::rows_before`](godwit_store::Store::rows_before).
pub(crate) async fn rows_before(
    requests: &Requests,
    log: &LogId,
    before: u64,
    limit: Limit,
) -> Result<Vec<Row>, Error> {
    let mut found = Collected::new(limit);
    let Some(last) = before.checked_sub(1) else { return Ok(found.rows) };
    let last = signed(last).cast_unsigned();
    let mut empty = 0;
    for bucket in (0..=bucket_of(last)).rev() {
        let before = found.rows.len();
        let values = key(log, bucket, [last]);
        let more = collect(requests, log, LogNames::of(log).before, values, &mut found).await?;
        empty = if found.rows.len() == before { empty + 1 } else { 0 };
        if !more || empty > EMPTY_BUCKETS_MAX {
            break;
        }
    }
    Ok(found.rows)
}

/// Reads one bucket into what was found. `false`: that is enough.
async fn collect(
    requests: &Requests,
    log: &LogId,
    name: crate::statements::Name,
    values: Vec<Value>,
    found: &mut Collected,
) -> Result<bool, Error> {
    if found.is_full() {
        return Ok(false);
    }
    let page = found.page();
    requests.each(name, Kind::Rows, values, page, |columns: Columns| found.add(log, row_of(columns))).await
}

/// See [`Store::row`](godwit_store::Store::row).
pub(crate) async fn row(requests: &Requests, log: &LogId, n: u64) -> Result<Option<Row>, Error> {
    if i64::try_from(n).is_err() {
        return Ok(None);
    }
    let mut found = Collected::new(Limit { rows: 1, bytes: usize::MAX });
    let values = key(log, bucket_of(n), [n]);
    collect(requests, log, LogNames::of(log).row, values, &mut found).await?;
    Ok(found.rows.pop())
}

/// See [`Store::tail`](godwit_store::Store::tail). Most logs answer from the bucket of the summary; one that
/// stands near its bucket's end is looked for in the next one first.
pub(crate) async fn tail(
    requests: &Requests,
    log: &LogId,
    summarised: u64,
    rows: usize,
) -> Result<Vec<Written>, Error> {
    let mut found: Vec<Written> = Vec::new();
    let own = bucket_of(summarised);
    let first = bucket_of(signed(summarised.saturating_add(TAIL_REACH)).cast_unsigned());
    for bucket in (own.saturating_sub(1)..=first).rev() {
        let missing = rows - found.len();
        if missing == 0 || (bucket < own && found.is_empty()) {
            break;
        }
        let mut values = key(log, bucket, []);
        // One more than is missing, so that the last one's number is seen if it is there twice.
        values.push(Value::Int(i32::try_from(missing).unwrap_or(i32::MAX).saturating_add(1)));
        let name = LogNames::of(log).tail;
        requests
            .each(name, Kind::Tail, values, PAGE_ROWS, |columns: TailColumns| {
                let (n, epoch, at, stable, key, payload, stamp, ttl) = columns;
                let row = row_of((n, epoch, at, stable, key, payload));
                if let Some(last) = found.last().filter(|last| last.row.position.n == row.position.n) {
                    return Err(twice(log, last.row.position, row.position));
                }
                if found.len() < rows {
                    let ttl_s = ttl.map(i32::unsigned_abs);
                    found.push(Written { row, stamp: Stamp::from_us(stamp), ttl_s });
                }
                Ok(true)
            })
            .await?;
    }
    Ok(found)
}
