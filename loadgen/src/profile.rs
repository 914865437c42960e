//! stub
use bytes::Bytes;
/// p
pub struct Profile;
/// v
pub struct Values<'a> { pub target: &'a str, pub account: &'a str, pub channel: &'a str, pub id: &'a str, pub sent_us: u64, pub text: &'a str, pub token: &'a str }
pub struct Seen { pub id: String, pub sent_us: u64 }
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error;
impl std::fmt::Display for Error { fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { Ok(()) } }
impl std::error::Error for Error {}
impl Profile {
    pub fn parse(_: &str) -> Result<Self, Error> { Ok(Profile) }
    pub fn read(_: &std::path::Path) -> Result<Self, Error> { Ok(Profile) }
    pub fn name(&self) -> &str { "x" }
    pub fn subscribe(&self, _: &Values<'_>, _: Option<&str>) -> Result<http::Request<()>, Error> { Err(Error) }
    pub fn publish(&self, _: &Values<'_>) -> Result<http::Request<Bytes>, Error> { Err(Error) }
    pub fn accepts(&self, _: u16) -> bool { false }
    pub fn message(&self, _: &str) -> Option<Seen> { None }
    pub fn is_ready_at_head(&self) -> bool { false }
}
