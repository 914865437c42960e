//! An account's devices.

use axum::extract::State;
use godwit_wire::api::{PushProvider, PutDevice};
use godwit_wire::{Code, Problem};
use http::StatusCode;

use super::body::Json;
use super::extract::{Caller, Device};
use super::{Answer, Shared, json, no_content};

/// Longest name of a platform, in bytes.
const PLATFORM_BYTES_MAX: usize = 32;
/// Longest name of a device, in bytes.
const NAME_BYTES_MAX: usize = 256;
/// Longest push token, in bytes. APNs and FCM promise no length; today's have up to some 200.
const PUSH_TOKEN_BYTES_MAX: usize = 4096;
/// Longest APNs topic, in bytes: a bundle id with a suffix.
const TOPIC_BYTES_MAX: usize = 256;

pub(super) async fn list(State(api): Shared, Caller(who): Caller) -> Answer {
    json(StatusCode::OK, &api.gate.region.devices(&who.account).await?)
}

pub(super) async fn register(
    State(api): Shared,
    Caller(who): Caller,
    Device(device): Device,
    Json(request): Json<PutDevice>,
) -> Answer {
    if device != who.device {
        return Err(Problem::new(Code::NotThisDevice, "the path names another device than the token").into());
    }
    check(&request)?;
    api.gate.region.put_device(&who.account, &device, request).await?;
    no_content()
}

pub(super) async fn remove(State(api): Shared, Caller(who): Caller, Device(device): Device) -> Answer {
    api.gate.region.delete_device(&who.account, &device).await?;
    no_content()
}

fn check(request: &PutDevice) -> Result<(), Problem> {
    length("/platform", &request.platform, 1, PLATFORM_BYTES_MAX)?;
    length("/name", request.name.as_deref().unwrap_or_default(), 0, NAME_BYTES_MAX)?;
    let Some(push) = &request.push else { return Ok(()) };
    length("/push/token", &push.token, 1, PUSH_TOKEN_BYTES_MAX)?;
    length("/push/topic", push.topic.as_deref().unwrap_or_default(), 0, TOPIC_BYTES_MAX)?;
    match (push.provider, push.environment.as_deref()) {
        (_, None) | (PushProvider::Apns, Some("production" | "development")) => Ok(()),
        (PushProvider::Apns, Some(_)) => {
            Err(Problem::field("/push/environment", "must be production or development"))
        }
        (PushProvider::Fcm, Some(_)) => Err(Problem::field("/push/environment", "is for apns only")),
    }
}

fn length(pointer: &str, text: &str, min: usize, max: usize) -> Result<(), Problem> {
    if (min..=max).contains(&text.len()) {
        return Ok(());
    }
    Err(Problem::field(pointer, format!("must have {min} to {max} bytes")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::body::parse_text;
    use super::*;

    #[test]
    fn what_is_stored_has_bounds() {
        let checked = |request: Value| check(&parse_text::<PutDevice>(&request.to_string()).unwrap());
        let apns =
            json!({"provider": "apns", "token": "t", "topic": "org.example", "environment": "production"});
        assert!(checked(json!({"platform": "ios", "name": "Ann's", "push": apns})).is_ok());
        assert!(checked(json!({"platform": "toaster"})).is_ok(), "others are accepted");
        let pointer = |request: Value| checked(request).unwrap_err().errors[0].pointer.clone();
        assert_eq!(pointer(json!({"platform": ""})), "/platform");
        assert_eq!(pointer(json!({"platform": "x", "name": "x".repeat(257)})), "/name");
        let push = |push: Value| json!({"platform": "x", "push": push});
        assert_eq!(pointer(push(json!({"provider": "fcm", "token": "x".repeat(4097)}))), "/push/token");
        let staging = json!({"provider": "apns", "token": "t", "environment": "staging"});
        assert_eq!(pointer(push(staging)), "/push/environment");
    }
}
