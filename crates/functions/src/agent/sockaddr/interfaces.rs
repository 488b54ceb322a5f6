//! The interfaces of this machine and their addresses, asked from the kernel in the same way and so in the same
//! order as Go asks: two dumps over netlink.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use gotemplate::FuncError;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

use super::address::Address;

/// The flags that Go knows, in its order, with the kernel's bits.
const FLAGS: [(u32, &str); 6] = [
    (UP, "up"),
    (BROADCAST, "broadcast"),
    (LOOPBACK, "loopback"),
    (POINT_TO_POINT, "pointtopoint"),
    (MULTICAST, "multicast"),
    (0x40, "running"),
];
pub(super) const UP: u32 = 1;
pub(super) const BROADCAST: u32 = 2;
pub(super) const LOOPBACK: u32 = 8;
pub(super) const POINT_TO_POINT: u32 = 0x10;
pub(super) const MULTICAST: u32 = 0x1000;

// Kinds of messages and attributes, from linux/rtnetlink.h and its kin.
const DONE: u16 = 3;
const ERROR: u16 = 2;
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const REQUEST_DUMP: u16 = 0x301;
const LINK_ADDRESS: u16 = 1;
const LINK_NAME: u16 = 3;
const LINK_MTU: u16 = 4;
const IP_ADDRESS: u16 = 1;
const IP_LOCAL: u16 = 2;

#[derive(Clone, Copy, Debug)]
pub(super) struct Flags(pub(super) u32);

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> =
            FLAGS.iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, name)| *name).collect();
        f.write_str(if names.is_empty() { "0".into() } else { names.join("|") }.as_str())
    }
}

#[derive(Clone, Debug)]
pub(super) struct Interface {
    index: i32,
    mtu: u32,
    pub(super) name: String,
    hardware: Vec<u8>,
    pub(super) flags: Flags,
}

/// One address of one interface.
#[derive(Clone, Debug)]
pub(super) struct IfAddr {
    pub(super) address: Address,
    pub(super) interface: Arc<Interface>,
}

impl fmt::Display for IfAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Interface { index, mtu, name, hardware, flags } = &*self.interface;
        let hardware: Vec<String> = hardware.iter().map(|byte| format!("{byte:02x}")).collect();
        write!(f, "{} {{{index} {mtu} {name} {} {flags}}}", self.address, hardware.join(":"))
    }
}

/// All addresses, interface by interface.
pub(super) fn all() -> Result<Vec<IfAddr>, FuncError> {
    let links = dump(GET_LINK)?;
    let addresses: Vec<(i32, Address)> = messages(&dump(GET_ADDRESS)?)
        .filter(|message| message.kind == NEW_ADDRESS)
        .filter_map(|message| read_address(message.body))
        .collect();
    let mut found = Vec::new();
    for message in messages(&links).filter(|message| message.kind == NEW_LINK) {
        let Some(interface) = read_link(message.body).map(Arc::new) else { continue };
        for (index, address) in &addresses {
            if *index == interface.index {
                found.push(IfAddr { address: *address, interface: interface.clone() });
            }
        }
    }
    Ok(found)
}

/// The interface of the default route. Upstream reads what `ip route` prints and wants a gateway in it.
pub(super) fn default_name() -> Result<String, FuncError> {
    let table = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    let name = table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [name, "00000000", gateway, _, _, _, _, "00000000", ..] = fields.as_slice() else { return None };
        (*gateway != "00000000").then(|| (*name).to_owned())
    });
    name.ok_or_else(|| "No default interface found".into())
}

// === Netlink ===

/// The kernel's answer to a request for everything of a kind.
fn dump(kind: u16) -> Result<Vec<u8>, FuncError> {
    ask(kind).map_err(|why| FuncError::new(format!("route ip+net: netlinkrib: {why}")))
}

fn ask(kind: u16) -> rustix::io::Result<Vec<u8>> {
    // No protocol is protocol 0, which is that of routes and addresses.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let mut request = Vec::with_capacity(20);
    request.extend(20u32.to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend(REQUEST_DUMP.to_ne_bytes());
    request.extend(1u32.to_ne_bytes());
    // Any sender, any family of addresses.
    request.extend([0; 8]);
    sendto(&socket, &request, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut answer = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let (length, _) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
        let part = buffer.get(..length).unwrap_or_default();
        answer.extend_from_slice(part);
        if length == 0 || messages(part).any(|message| matches!(message.kind, DONE | ERROR)) {
            return Ok(answer);
        }
    }
}

struct Message<'b> {
    kind: u16,
    body: &'b [u8],
}

fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = number(bytes, 0)? as usize;
        let body = bytes.get(16..length)?;
        let kind = short(bytes, 4)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind, body })
    })
}

fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(short(bytes, 0)?);
        let found = (short(bytes, 2)?, bytes.get(4..length)?);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(found)
    })
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

fn read_link(body: &[u8]) -> Option<Interface> {
    let kind = short(body, 2)?;
    let mut interface = Interface {
        index: number(body, 4)? as i32,
        mtu: 0,
        name: String::new(),
        hardware: Vec::new(),
        flags: Flags(number(body, 8)?),
    };
    for (attribute, value) in attributes(body.get(16..)?) {
        match attribute {
            LINK_ADDRESS => {
                // A tunnel's hardware address is only where it ends.
                let tunnel = matches!((value.len(), kind), (4, 768 | 776 | 778) | (16, 769 | 823));
                if !tunnel && value.iter().any(|&byte| byte != 0) {
                    interface.hardware = value.to_vec();
                }
            }
            LINK_NAME => {
                let name = value.split(|&byte| byte == 0).next().unwrap_or_default();
                interface.name = String::from_utf8_lossy(name).into_owned();
            }
            LINK_MTU => interface.mtu = number(value, 0)?,
            _ => {}
        }
    }
    Some(interface)
}

/// The index of the interface, and the address. Between two points the local end counts.
fn read_address(body: &[u8]) -> Option<(i32, Address)> {
    let prefix = *body.get(1)?;
    let index = number(body, 4)? as i32;
    let rest = body.get(8..)?;
    let value = |wanted| attributes(rest).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let value = value(IP_LOCAL).or_else(|| value(IP_ADDRESS))?;
    let ip = match value.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?)),
        _ => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?)),
    };
    Some((index, Address::new(ip, prefix)))
}
