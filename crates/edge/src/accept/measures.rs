//! The metrics of the transport. Names are constants, labels come from closed sets.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

/// Connections taken from the kernel.
pub const CONNECTIONS_ACCEPTED: &str = "godwit_connections_accepted_total";
/// Connections open now; label `kind`, see `Kind`.
pub const CONNECTIONS_OPEN: &str = "godwit_connections_open";
/// Connections turned away; label `reason`, see `Refused`.
pub const CONNECTIONS_REFUSED: &str = "godwit_connections_refused_total";
/// Failures to accept, most of them for lack of file descriptors.
pub const ACCEPT_ERRORS: &str = "godwit_accept_errors_total";
/// First heads that did not arrive in time.
pub const HEAD_TIMEOUTS: &str = "godwit_head_timeouts_total";
/// First heads that were no valid request; label `code`, as in the problem.
pub const HEADS_REJECTED: &str = "godwit_heads_rejected_total";
/// Streams whose response head was written, on sockets of their own.
pub const STREAMS_OPENED: &str = "godwit_streams_opened_total";
/// Streams that ended; label `reason`, see `Ended`.
pub const STREAMS_ENDED: &str = "godwit_streams_ended_total";
/// Bytes that the kernel took on streams, framing included.
pub const STREAM_WRITTEN_BYTES: &str = "godwit_stream_written_bytes_total";

/// What a connection is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Its first head is not there yet.
    New,
    /// Beyond a limit: only a refusal is written.
    Refused,
    /// HTTP/1 requests.
    Http1,
    /// HTTP/2.
    Http2,
    /// One stream has the whole socket.
    Stream,
}

impl Kind {
    const ALL: [(Self, &str); 5] = [
        (Self::New, "new"),
        (Self::Refused, "refused"),
        (Self::Http1, "http1"),
        (Self::Http2, "http2"),
        (Self::Stream, "stream"),
    ];
}

/// Why a connection was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// As many connections as there may be.
    Connections,
    /// As many unauthenticated ones of this address as there may be.
    Address,
    /// So many are being turned away that this one got no answer.
    Unanswered,
}

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The account's side said so, and all of it was written.
    Bye,
    /// The client closed its end.
    Closed,
    /// The connection broke.
    Reset,
    /// The peer took nothing for too long.
    TimedOut,
    /// The client kept sending.
    Chatter,
    /// The deadline of a drain.
    Cut,
}

impl Ended {
    const ALL: [(Self, &str); 6] = [
        (Self::Bye, "bye"),
        (Self::Closed, "closed"),
        (Self::Reset, "reset"),
        (Self::TimedOut, "timed_out"),
        (Self::Chatter, "chatter"),
        (Self::Cut, "cut"),
    ];
}

/// The handles, looked up once: finding one by name costs more than moving it.
pub(crate) struct Measures {
    pub(crate) accepted: Counter,
    pub(crate) accept_errors: Counter,
    pub(crate) head_timeouts: Counter,
    pub(crate) streams_opened: Counter,
    pub(crate) stream_written_bytes: Counter,
    open: [Gauge; Kind::ALL.len()],
    ended: [Counter; Ended::ALL.len()],
}

impl Measures {
    /// The recorder must have been installed before, or nothing is recorded.
    pub(crate) fn new() -> Self {
        describe();
        Self {
            accepted: counter!(CONNECTIONS_ACCEPTED),
            accept_errors: counter!(ACCEPT_ERRORS),
            head_timeouts: counter!(HEAD_TIMEOUTS),
            streams_opened: counter!(STREAMS_OPENED),
            stream_written_bytes: counter!(STREAM_WRITTEN_BYTES),
            open: Kind::ALL.map(|(_, kind)| gauge!(CONNECTIONS_OPEN, "kind" => kind)),
            ended: Ended::ALL.map(|(_, reason)| counter!(STREAMS_ENDED, "reason" => reason)),
        }
    }

    pub(crate) fn open(&self, kind: Kind) -> &Gauge {
        &self.open[kind as usize]
    }

    /// As [`Self::open`], for a kind that was kept as a number.
    pub(crate) fn open_at(&self, kind: u8) -> &Gauge {
        &self.open[usize::from(kind)]
    }

    pub(crate) fn ended(&self, reason: Ended) -> &Counter {
        &self.ended[reason as usize]
    }

    pub(crate) fn refused(&self, reason: Refused) {
        let reason = match reason {
            Refused::Connections => "connections",
            Refused::Address => "address",
            Refused::Unanswered => "unanswered",
        };
        counter!(CONNECTIONS_REFUSED, "reason" => reason).increment(1);
    }

    pub(crate) fn rejected(&self, code: &'static str) {
        counter!(HEADS_REJECTED, "code" => code).increment(1);
    }
}

fn describe() {
    describe_counter!(CONNECTIONS_ACCEPTED, "Connections taken from the kernel.");
    describe_gauge!(CONNECTIONS_OPEN, "Connections open now, by kind.");
    describe_counter!(CONNECTIONS_REFUSED, "Connections turned away, by reason.");
    describe_counter!(ACCEPT_ERRORS, "Failures to accept a connection.");
    describe_counter!(HEAD_TIMEOUTS, "First request heads that did not arrive in time.");
    describe_counter!(HEADS_REJECTED, "First request heads that were no valid request, by code.");
    describe_counter!(STREAMS_OPENED, "Event streams opened on sockets of their own.");
    describe_counter!(STREAMS_ENDED, "Event streams that ended, by reason.");
    describe_counter!(STREAM_WRITTEN_BYTES, "Bytes that the kernel took on event streams.");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stand_where_their_variant_says() {
        assert!(Kind::ALL.iter().enumerate().all(|(at, (kind, _))| *kind as usize == at));
        assert!(Ended::ALL.iter().enumerate().all(|(at, (reason, _))| *reason as usize == at));
    }
}
