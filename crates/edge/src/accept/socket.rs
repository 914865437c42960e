//! Socket options: what the kernel does for us so that no task and no timer has to.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpStream;

/// Connections that the kernel holds until they are accepted: a second of a storm of reconnects. The
/// kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4_096;

/// How long a peer may take no byte that we sent, dead or unwilling, before the kernel ends the
/// connection (`TCP_USER_TIMEOUT`, RFC 5482; on Linux it also ends a window that stays shut).
/// It must let live a reader who pauses for a minute, twice over, and a phone in a tunnel; what is kept for it
/// meanwhile is bounded: [`STREAM_SEND_BYTES`] here and one batch in the pump.
const UNSENT_MAX: Duration = Duration::from_secs(300);

/// Silence after which the kernel asks whether the peer is there. Only for connections on which we
/// send nothing: a stream's heartbeats are shorter.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// Between two such questions.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(20);

/// What the kernel may hold for a stream whose reader does not read; it counts its own overhead by
/// doubling the figure. Left to itself it grows to `tcp_wmem`, 4 MiB a socket. 64 KiB at 200 ms of round trip
/// is 320 KB/s, far beyond any chat.
const STREAM_SEND_BYTES: usize = 64 * 1024;

/// A listening socket. To be called before any other work starts, so that a taken port is known at once.
///
/// # Errors
/// The address is in use, not of this machine, or not permitted.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?; // a restart must not wait for TIME_WAIT
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit these on Linux and the BSDs: five system calls less per connection.
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_EVERY);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNSENT_MAX))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Bounds what the kernel keeps for a stream. It works without, so a refusal is no error.
pub(crate) fn bound_send_buffer(socket: &TcpStream) {
    let _ = SockRef::from(socket).set_send_buffer_size(STREAM_SEND_BYTES);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accepted_sockets_inherit_the_options() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let options = SockRef::from(&socket);
        assert!(options.tcp_nodelay().unwrap());
        assert!(options.keepalive().unwrap());
        #[cfg(target_os = "linux")]
        {
            assert_eq!(options.tcp_user_timeout().unwrap(), Some(UNSENT_MAX));
            assert_eq!(options.tcp_keepalive_time().unwrap(), KEEPALIVE_IDLE);
        }
        bound_send_buffer(&socket);
        assert!(options.send_buffer_size().unwrap() <= 2 * STREAM_SEND_BYTES);
    }

    #[test]
    fn a_taken_port_is_an_error() {
        let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = bind(first.local_addr().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
