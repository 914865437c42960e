//! The listening sockets. They are bound before anything else is done, so that a client that
//! comes early waits in the kernel's queue and is not refused.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::config::Node;

/// Connections that wait in the kernel for an accept, at most. After a restart all clients come
/// back within seconds; a queue that is full answers them with silence and a second's delay.
/// Linux cuts this to `net.core.somaxconn`, which is 4096 too.
const BACKLOG: i32 = 4_096;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("{field} = {address}: cannot be listened on ({source}); {advice}")]
pub struct Error {
    field: &'static str,
    address: SocketAddr,
    advice: &'static str,
    source: io::Error,
}

/// The two sockets of a node, bound, listening, not blocking.
#[derive(Debug)]
pub struct Listeners {
    /// For clients.
    pub public: TcpListener,
    /// For the operator.
    pub admin: TcpListener,
}

impl Listeners {
    /// Binds both, or says which one could not be.
    pub fn bind(node: &Node) -> Result<Self, Error> {
        Ok(Self {
            public: bind("node.listen", node.listen)?,
            admin: bind("node.admin_listen", node.admin_listen)?,
        })
    }
}

fn bind(field: &'static str, address: SocketAddr) -> Result<TcpListener, Error> {
    let listen = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // Connections of the process before this one, in TIME_WAIT, are no reason to refuse.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    listen().map_err(|source: io::Error| Error { field, address, advice: advice(source.kind()), source })
}

fn advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => "stop what listens there, or choose another port",
        io::ErrorKind::AddrNotAvailable => "choose an address of this host, or 0.0.0.0 for all",
        io::ErrorKind::PermissionDenied => {
            "choose a port from 1024 up, or give the program the right to this one"
        }
        _ => "choose another address",
    }
}
