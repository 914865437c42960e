//! `POST /admin/faults`: what a test breaks. Not in a release: feature `faults` only.

use std::fmt::Display;
use std::str::FromStr;

use godwit_actors::Region;
use serde_json::Value;

/// `{"poison_account": …}` makes the actor of an account panic at every event, `{"break": …}` breaks a
/// guarantee now and then, by the name of a [`godwit_actors::Fault`]; null ends it. What is not named stays.
pub(crate) fn switch(region: Option<&Region>, wanted: Value) -> Result<(), String> {
    let Some(region) = region else { return Err("the store is not open yet".to_owned()) };
    const KINDS: &str = "poison_account and break";
    let Value::Object(wanted) = wanted else { return Err(format!("an object is wanted, with {KINDS}")) };
    for (kind, name) in &wanted {
        match kind.as_str() {
            "poison_account" => region.poison(parsed(kind, name)?),
            "break" => region.break_on_purpose(parsed(kind, name)?),
            _ => return Err(format!("{kind:?} is no kind of fault; there are {KINDS}")),
        }
    }
    Ok(())
}

fn parsed<T: FromStr<Err: Display>>(kind: &str, name: &Value) -> Result<Option<T>, String> {
    match name {
        Value::String(name) => name.parse().map(Some).map_err(|error| format!("{kind}: {error}")),
        Value::Null => Ok(None),
        other => Err(format!("{kind} must be a name or null, not {other}")),
    }
}
