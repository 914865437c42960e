//! How to reach a device, as the store keeps it. Not in the API's own form: that leaves out what is not set,
//! and the stored form, which has no field names, could not be read back.

use godwit_wire::api::{Push, PushProvider};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Provider, token, topic, environment.
type Stored = Option<(PushProvider, String, Option<String>, Option<String>)>;

pub(super) fn serialize<S: Serializer>(push: &Option<Push>, s: S) -> Result<S::Ok, S::Error> {
    let stored: Stored = push.clone().map(|push| (push.provider, push.token, push.topic, push.environment));
    stored.serialize(s)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Push>, D::Error> {
    let stored = Stored::deserialize(d)?;
    Ok(stored.map(|(provider, token, topic, environment)| Push { provider, token, topic, environment }))
}
