//! The search for what was acknowledged and never came (G1), when a run is over.

use std::collections::HashMap;

use crate::log::{Entry, Index, Log, Telling};
use crate::names::Name;
use crate::{Rule, Violation};

/// Who should have seen everything.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// The members of each conversation, all the time: from before its first message.
    pub members: Vec<(String, Vec<String>)>,
    /// Readers `(account, device)` that followed from before the first message until they had caught up
    /// after the last.
    pub complete: Vec<(String, String)>,
}

/// The number of a reader in [`Expected::complete`].
type Reader = u32;

/// Looks for every acknowledged message in the inbox of every complete reader of a member, and counts
/// them. `acknowledged` is in the order of the records.
///
/// Of a history that was `cut` a reader's end may be missing: there a message counts as lost only to a
/// reader that was shown a later number of its conversation. Whoever was, was past the place where the
/// message should have been.
///
/// # Errors
/// The first that is missing.
pub(crate) fn lost(
    log: &Log,
    acknowledged: &[(Index, Telling)],
    expected: &Expected,
    cut: bool,
) -> Result<usize, Violation> {
    let readers = readers(log, expected);
    let seen = Seen::of(log, expected, cut);
    let mut deliveries = 0;
    for &(index, telling) in acknowledged {
        let place = log.told(telling).place;
        for &reader in readers.get(&place.conversation).map_or(&[][..], Vec::as_slice) {
            if seen.has(reader, telling) {
                deliveries += 1;
            } else if seen.is_past(reader, place.conversation, place.seq) {
                return Err(missing(log, expected, index, telling, reader));
            }
        }
    }
    Ok(deliveries)
}

/// The complete readers of each conversation that was heard of, in the order of the list.
fn readers(log: &Log, expected: &Expected) -> HashMap<Name, Vec<Reader>> {
    let mut of_account: HashMap<&str, Vec<Reader>> = HashMap::new();
    for (reader, (account, _)) in (0..).zip(&expected.complete) {
        of_account.entry(account).or_default().push(reader);
    }
    let mut readers = HashMap::new();
    for (conversation, members) in &expected.members {
        let Some(conversation) = log.names().get(conversation) else { continue };
        readers.entry(conversation).or_insert_with(|| {
            let of_members = members.iter().filter_map(|member| of_account.get(member.as_str()));
            let mut readers: Vec<Reader> = of_members.flatten().copied().collect();
            readers.sort_unstable();
            readers.dedup();
            readers
        });
    }
    readers
}

/// What the complete readers saw.
struct Seen {
    /// Messages by reader, in order: 8 bytes an event while the search lasts.
    messages: Vec<(Reader, Telling)>,
    /// The highest number of a conversation that a reader was shown; none of a whole history, in which
    /// every complete reader is past everything.
    highest: Option<HashMap<(Reader, Name), u64>>,
}

impl Seen {
    fn of(log: &Log, expected: &Expected, cut: bool) -> Self {
        let name = |text: &str| log.names().get(text);
        let mut numbers: HashMap<(Name, Name), Vec<Reader>> = HashMap::new();
        for (reader, (account, device)) in (0..).zip(&expected.complete) {
            if let (Some(account), Some(device)) = (name(account), name(device)) {
                numbers.entry((account, device)).or_default().push(reader);
            }
        }
        let mut seen = Seen { messages: Vec::new(), highest: cut.then(HashMap::new) };
        for (index, entry) in log.entries() {
            let Some((stream, _, place)) = log.event(index) else { continue };
            for &reader in numbers.get(&log.reader(stream)).map_or(&[][..], Vec::as_slice) {
                if let Entry::Message { telling, .. } = entry {
                    seen.messages.push((reader, telling));
                }
                if let Some(highest) = &mut seen.highest {
                    let highest = highest.entry((reader, place.conversation)).or_default();
                    *highest = place.seq.max(*highest);
                }
            }
        }
        seen.messages.sort_unstable();
        seen
    }

    fn has(&self, reader: Reader, message: Telling) -> bool {
        self.messages.binary_search(&(reader, message)).is_ok()
    }

    fn is_past(&self, reader: Reader, conversation: Name, seq: u64) -> bool {
        let Some(highest) = &self.highest else { return true };
        highest.get(&(reader, conversation)).is_some_and(|&highest| highest > seq)
    }
}

fn missing(log: &Log, expected: &Expected, index: Index, telling: Telling, reader: Reader) -> Violation {
    let (account, device) = &expected.complete[reader as usize];
    let id = log.names().text(log.told(telling).id);
    let what = format!("message {id} never came to {account} on {device}");
    let around = around(log, account, device, telling);
    log.violation(Rule::Lost, what, [index].into_iter().chain(around))
}

/// The events that a reader saw right before and right after the place where a message should be.
fn around(log: &Log, account: &str, device: &str, message: Telling) -> Vec<Index> {
    let place = log.told(message).place;
    let reader = (log.names().get(account), log.names().get(device));
    let (mut before, mut after) = (None, None);
    for index in 0..log.next() {
        let Some((stream, _, other)) = log.event(index) else { continue };
        let (account, device) = log.reader(stream);
        if other.conversation != place.conversation || reader != (Some(account), Some(device)) {
            continue;
        }
        if other.seq < place.seq {
            before = before.max(Some((other.seq, index)));
        } else {
            let nearest = after.unwrap_or((other.seq, index));
            after = Some(nearest.min((other.seq, index)));
        }
    }
    before.into_iter().chain(after).map(|(_, index)| index).collect()
}
