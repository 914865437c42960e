//! The one thread that writes.
//!
//! It takes all that waits, settles it into one fjall batch, syncs once and answers all of it: under
//! load a sync serves hundreds of batches, alone it serves one.
//!
//! When a commit fails, for whatever reason, a full disk included, the process ends. After a failed
//! sync the kernel may have dropped the very pages and called them clean, so that neither the disk
//! nor a second try says what landed (<https://www.usenix.org/system/files/atc20-rebello.pdf>), and
//! fjall takes no further write for the same reason. Nothing of the group was acknowledged; the next
//! start reads what the disk has.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use fjall::{Database, Keyspace};

use super::group::Group;
use super::queue::{Queue, Write};

/// Starts the thread. It ends when the queue is closed and empty.
pub(super) fn start(queue: Arc<Queue>, database: Database, data: Keyspace) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("godwit-store".to_owned()).spawn(move || {
        let _end = EndProcessOnPanic;
        let mut group = Group::new(database, data);
        while let Some(writes) = queue.take() {
            commit(&mut group, writes);
        }
    })
}

fn commit(group: &mut Group, writes: Vec<Write>) {
    let mut answers = Vec::with_capacity(writes.len());
    for Write { batch, answer, .. } in writes {
        let added = group.is_long_trim(&batch).and_then(|is_long| {
            if is_long {
                finish(group, &mut answers);
                group.thin(&batch)?;
            }
            group.add(batch)
        });
        match added {
            Ok(()) => answers.push(answer),
            // The batch's own reads failed, nothing of it is in the group. Nobody may be waiting.
            Err(error) => drop(answer.send(Err(error))),
        }
    }
    finish(group, &mut answers);
}

type Answer = tokio::sync::oneshot::Sender<Result<(), crate::Error>>;

fn finish(group: &mut Group, answers: &mut Vec<Answer>) {
    if let Err(error) = group.commit() {
        tracing::error!(%error, "a commit failed and nothing is known of the disk, ending the process");
        std::process::abort();
    }
    for answer in answers.drain(..) {
        // Who does not wait any more learns it by reading.
        let _ = answer.send(Ok(()));
    }
}

/// Without its writer a store would take batches and never answer.
struct EndProcessOnPanic;

impl Drop for EndProcessOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the store's writer panicked, ending the process");
            std::process::abort();
        }
    }
}
