//! What `godwit dev` shows when it is up: where to look, and two lines to paste.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use godwit_types::{AccountId, DeviceId};

use crate::config::Secret;
use crate::token;

/// How long the tokens in the banner are good: for a day at the desk.
const TOKEN_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// The banner. It goes to standard output, not into the log, because it has tokens in it; `dev`
/// gives those to everybody anyway.
pub fn render(
    listen: SocketAddr,
    admin_listen: SocketAddr,
    data_dir: &Path,
    secret: &Secret,
) -> anyhow::Result<String> {
    let device = DeviceId::new("phone")?;
    let sign =
        |account| token::sign(secret, &AccountId::new(account)?, &device, TOKEN_TTL, SystemTime::now());
    let (url, admin_url) = (url(listen), url(admin_listen));
    Ok(format!(
        "\n\
         godwit is up. Two phones in a browser:  {url}/\n\
         \n\
         Or in two terminals; u2 listens, u1 begins a conversation:\n\
         \n\
         curl -N '{url}/v1/events' -H 'Authorization: Bearer {u2}'\n\
         \n\
         curl '{url}/v1/conversations' -H 'Authorization: Bearer {u1}' -H 'Content-Type: application/json' \
         -d '{{\"kind\":\"direct\",\"members\":[\"u2\"]}}'\n\
         \n\
         More tokens:      curl '{url}/dev/token?account=u3&device=phone'\n\
         Operator's page:  {admin_url}/\n\
         Data:             {data}\n\
         Stop:             Ctrl-C\n\n",
        u1 = sign("u1")?,
        u2 = sign("u2")?,
        data = data_dir.display(),
    ))
}

/// Where a browser on this host finds it: an address that means "all" is none to go to.
fn url(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{address}")
}
