//! What must be so after every step.

use std::collections::{BTreeMap, BTreeSet};

use godwit_core::recover::TAIL_ROWS;
use godwit_store::memory::{Database, Memory};
use godwit_store::{Store, Written};
use godwit_types::Position;

use crate::clients::{Reader, Sender};
use crate::owner::{Setting, at_once};

/// Every two replicas: a next owner may read from any.
const PAIRS: [[usize; 2]; 3] = [[0, 1], [1, 2], [2, 0]];

/// The log as a next owner would read it: messages and positions, up to the first hole.
fn prefix(rows: &[Written], first: u64) -> Result<Vec<(u64, Position)>, String> {
    let mut log: Vec<(u64, Position)> = Vec::new();
    for written in rows.iter().rev() {
        let position = written.row.position;
        let next = first + log.len() as u64;
        if position.n < next {
            return Err(format!("{position} has the place of another row: {log:?}"));
        }
        if position.n > next {
            break;
        }
        log.push((written.row.key, position));
    }
    Ok(log)
}

/// Looks at all pairs of replicas, those that are away included.
pub(crate) struct Judge {
    pub(crate) watcher: Memory,
    pub(crate) database: Database,
}

impl Judge {
    /// Whether everything that was answered or seen is there, once, for whoever reads.
    pub(crate) fn judge(
        &self,
        setting: &Setting,
        acked: &BTreeMap<u64, Position>,
        readers: &[Reader],
    ) -> Result<Vec<(u64, Position)>, String> {
        let mut log = Vec::new();
        for pair in PAIRS {
            self.database.read_from(Some(pair));
            let rows = at_once(self.watcher.tail(&setting.log, setting.first, TAIL_ROWS));
            self.database.read_from(None);
            log = prefix(&rows.map_err(|error| error.to_string())?, setting.first)?;
            let told = |what: String| format!("{what} in {log:?} on replicas {pair:?}");
            let messages: Vec<_> = log.iter().map(|(message, _)| *message).filter(|key| *key != 0).collect();
            if messages.iter().collect::<BTreeSet<_>>().len() < messages.len() {
                return Err(told("a message is twice".to_owned()));
            }
            for answered in acked.iter().map(|(message, position)| (*message, *position)) {
                if !log.contains(&answered) {
                    return Err(told(format!("answered {answered:?} is not")));
                }
            }
            for seen in readers.iter().flat_map(|reader| &reader.seen) {
                if !log.contains(seen) {
                    return Err(told(format!("a reader saw {seen:?}, which is not")));
                }
            }
        }
        Ok(log)
    }
}

/// What must be so at the end, besides: every message once and in its sender's order, every reader has all.
pub(crate) fn judge_end(
    log: &[(u64, Position)],
    senders: &[Sender],
    readers: &[Reader],
) -> Result<(), String> {
    for sender in senders {
        let sent: Vec<_> = sender.messages().collect();
        let own: Vec<_> = log.iter().map(|(message, _)| *message).filter(|key| sent.contains(key)).collect();
        if own != sent {
            return Err(format!("sent were {sent:?}, in the log are {own:?}"));
        }
    }
    for reader in readers {
        if reader.seen != log {
            return Err(format!("a reader has seen {:?}, the log is {log:?}", reader.seen));
        }
    }
    Ok(())
}
