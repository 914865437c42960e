//! Loopback ports: free ones, and who has those that are not.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::UnixListener;

use crate::error::{Error, Result};

/// Below the ports that Linux gives to outgoing connections (32768 and up) and below those that the
/// testkit gives to nodes under test (10000 and up): nobody takes the port of a server that is down
/// for a restart.
const PORTS: std::ops::Range<u16> = 5_000..10_000;

/// Ports tried until one is free. They are drawn at random, so even with half of them taken a hundred
/// draws do not fail.
const TRIES: u64 = 100;

/// A port that was free and that no other user of this crate, in any process, is given while this is held.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// In the abstract namespace (unix(7)): nothing to clean up, and gone with the process. None for
    /// a port that the caller chose.
    _held: Option<UnixListener>,
}

impl Port {
    /// A port that is free on all of these addresses.
    ///
    /// # Errors
    /// [`Error::NoPort`].
    pub fn free(addresses: &[Ipv4Addr]) -> Result<Self> {
        let random = RandomState::new();
        let drawn = |draw| {
            let span = u64::from(PORTS.end - PORTS.start);
            let offset = u16::try_from(random.hash_one(draw) % span).unwrap_or(0);
            PORTS.start + offset
        };
        let held = |number| {
            let name = format!("godwit-servers-port-{number}");
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name).ok()?;
            Some(Self { number, _held: Some(UnixListener::bind_addr(&address).ok()?) })
        };
        let is_free =
            |port: &Self| addresses.iter().all(|address| can_listen((*address, port.number).into()));
        (0..TRIES).map(drawn).filter_map(held).find(is_free).ok_or(Error::NoPort)
    }

    /// This port, if nobody listens on it at any of these addresses.
    ///
    /// # Errors
    /// [`Error::PortTaken`], which names who does.
    pub fn exactly(number: u16, addresses: &[Ipv4Addr]) -> Result<Self> {
        for address in addresses {
            let address = SocketAddr::from((*address, number));
            if !can_listen(address) {
                return Err(Error::PortTaken { address, by: listener(address) });
            }
        }
        Ok(Self { number, _held: None })
    }

    /// `wanted` if the caller has a wish, else a free one.
    pub(crate) fn wanted_or_free(wanted: Option<u16>, addresses: &[Ipv4Addr]) -> Result<Self> {
        match wanted {
            Some(number) => Self::exactly(number, addresses),
            None => Self::free(addresses),
        }
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// As servers do it, with SO_REUSEADDR: connections of the last owner that are still closing do not count.
fn can_listen(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}

/// Who listens at an address: `redis-server (process 123)`, as far as the kernel lets us see.
fn listener(address: SocketAddr) -> String {
    let unknown = || "a process that cannot be seen from here".to_owned();
    let Some(inode) = inode_of(address) else { return unknown() };
    let wanted = format!("socket:[{inode}]");
    let Ok(processes) = std::fs::read_dir("/proc") else { return unknown() };
    for process in processes.flatten() {
        // Not `self` and other names beside the process ids.
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let mut links = files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
        if links.any(|link| link.as_os_str() == wanted.as_str()) {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return format!("{} (process {pid})", name.trim());
        }
    }
    unknown()
}

/// The inode of the socket that listens at this address, or at all addresses of the machine.
fn inode_of(address: SocketAddr) -> Option<String> {
    let IpAddr::V4(ip) = address.ip() else { return None };
    let any = Ipv4Addr::UNSPECIFIED;
    let (mapped, any_v6) = (ip.to_ipv6_mapped(), Ipv6Addr::UNSPECIFIED);
    // Java listens on the address as IPv6 sees it.
    let addresses = [&ip.octets()[..], &any.octets(), &mapped.octets(), &any_v6.octets()];
    let wanted = addresses.map(|octets| format!("{}:{:04X}", as_in_proc(octets), address.port()));
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let table = std::fs::read_to_string(table).ok()?;
        table.lines().find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let &[_, local, _, state, _, _, _, _, _, inode, ..] = fields.as_slice() else { return None };
            // 0A: TCP_LISTEN.
            let here = wanted.iter().any(|address| address == local);
            (state == "0A" && here).then(|| inode.to_owned())
        })
    })
}

/// proc_net_tcp(5): words of four bytes in the machine's order, in hexadecimal.
fn as_in_proc(octets: &[u8]) -> String {
    let words = octets.chunks_exact(4).map(|word| <[u8; 4]>::try_from(word).unwrap_or_default());
    words.map(|word| format!("{:08X}", u32::from_ne_bytes(word))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_names_who_has_it() {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        let error = Port::exactly(port, &[Ipv4Addr::LOCALHOST]).unwrap_err().to_string();
        let expected = format!("127.0.0.1:{port} is taken by ");
        assert!(error.starts_with(&expected), "{error}");
        assert!(error.ends_with(&format!("(process {})", std::process::id())), "{error}");
        drop(socket);
        assert_eq!(Port::exactly(port, &[Ipv4Addr::LOCALHOST]).unwrap().number(), port);
    }

    #[test]
    fn a_held_port_is_not_given_twice() {
        let held: Vec<Port> = (0..50)
            .map(|_| Port::free(&[Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 3)]).unwrap())
            .collect();
        let numbers: std::collections::BTreeSet<u16> = held.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), held.len());
        assert!(numbers.iter().all(|number| PORTS.contains(number)));
    }
}
