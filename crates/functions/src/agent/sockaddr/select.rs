//! Choosing and ordering addresses.

use std::cmp::Ordering;
use std::net::IpAddr;

use gotemplate::{FuncError, Value, quoted, sprintf};

use super::address::{Address, Type};
use super::interfaces::{self, BROADCAST, IfAddr, LOOPBACK, MULTICAST, POINT_TO_POINT, UP};
use super::rfcs;
use crate::go::regex::Regex;
use crate::go::strconv;

/// Those that match, and the others.
pub(super) type Halves = (Vec<IfAddr>, Vec<IfAddr>);

#[derive(Clone, Copy)]
pub(super) enum Side {
    Matched,
    Rest,
}

impl Side {
    pub(super) fn of(self, (matched, rest): Halves) -> Vec<IfAddr> {
        match self {
            Self::Matched => matched,
            Self::Rest => rest,
        }
    }
}

/// As `%+q` shows it.
fn ascii_quoted(text: &str) -> String {
    let shown = sprintf(b"%+q", &[Value::from(text)]).unwrap_or_default();
    String::from_utf8_lossy(&shown).into_owned()
}

pub(super) fn select(
    side: Side,
    selector: &str,
    parameter: &[u8],
    addresses: Vec<IfAddr>,
) -> Result<Vec<IfAddr>, FuncError> {
    let text = String::from_utf8_lossy(parameter);
    let halves = match selector.to_lowercase().as_str() {
        "address" => by_regex("address", parameter, addresses, |one| one.address.to_string()),
        "flag" | "flags" => by_flag(&text, addresses),
        "name" => by_name(parameter, addresses),
        "network" => by_network(&text, &addresses),
        "port" => by_regex("port", parameter, addresses, |one| one.address.port().to_string()),
        "rfc" | "rfcs" => by_rfcs(&text, &addresses),
        "size" => by_size(&text, addresses),
        "type" => by_type(&text, &addresses),
        _ => {
            let verb = match side {
                Side::Matched => "include",
                Side::Rest => "exclude",
            };
            return Err(FuncError::new(format!("invalid {verb} selector {}", quoted(selector))));
        }
    };
    halves.map(|halves| side.of(halves))
}

pub(super) fn by_name(regex: &[u8], addresses: Vec<IfAddr>) -> Result<Halves, FuncError> {
    by_regex("name", regex, addresses, |one| one.interface.name.clone())
}

fn by_regex(
    what: &str,
    regex: &[u8],
    addresses: Vec<IfAddr>,
    of: impl Fn(&IfAddr) -> String,
) -> Result<Halves, FuncError> {
    let compiled = Regex::remembered(regex).map_err(|why| {
        let shown = ascii_quoted(&String::from_utf8_lossy(regex));
        FuncError::new(format!("Unable to compile {what} regexp {shown}: {why}"))
    })?;
    let mut halves = Halves::default();
    for one in addresses {
        let half = if compiled.is_match(of(&one).as_bytes())? { &mut halves.0 } else { &mut halves.1 };
        half.push(one);
    }
    Ok(halves)
}

pub(super) fn by_flag(names: &str, addresses: Vec<IfAddr>) -> Result<Halves, FuncError> {
    let (mut bits, mut look_at_bits) = (0, false);
    let mut traits: Vec<fn(&Address) -> bool> = Vec::new();
    for name in names.to_lowercase().split('|') {
        let bit = match name {
            "broadcast" => Some(BROADCAST),
            "down" => {
                // Takes back an `up` before it and asks for nothing else, as upstream has it.
                bits &= !UP;
                Some(0)
            }
            "loopback" => Some(LOOPBACK),
            "multicast" => Some(MULTICAST),
            "point-to-point" => Some(POINT_TO_POINT),
            "up" => Some(UP),
            _ => None,
        };
        let of_address: Option<fn(&Address) -> bool> = match name {
            "forwardable" => Some(is_forwardable),
            "global unicast" => Some(|address| is_global_unicast(address.net_ip())),
            "interface-local multicast" => Some(|address| multicast_scope(address.net_ip()) == Some(1)),
            "link-local multicast" => Some(|address| multicast_scope(address.net_ip()) == Some(2)),
            "link-local unicast" => Some(|address| is_link_local(address.net_ip())),
            "loopback" => Some(|address| address.net_ip().is_loopback()),
            "multicast" => Some(|address| address.net_ip().is_multicast()),
            "unspecified" => Some(|address| address.net_ip().is_unspecified()),
            _ => None,
        };
        if bit.is_none() && of_address.is_none() {
            return Err(FuncError::new(format!("Unknown interface flag: {}", ascii_quoted(name))));
        }
        look_at_bits |= bit.is_some();
        bits |= bit.unwrap_or(0);
        traits.extend(of_address);
    }
    Ok(addresses.into_iter().partition(|one| {
        look_at_bits && one.interface.flags.0 & bits == bits || traits.iter().any(|is| is(&one.address))
    }))
}

fn is_forwardable(address: &Address) -> bool {
    let table = rfcs::NOT_FORWARDABLE.parse().unwrap_or_default();
    rfcs::contains(table, address) == Some(false)
}

fn is_global_unicast(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    !(broadcast || ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || is_link_local(ip))
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// 1 within an interface, 2 within a link.
fn multicast_scope(ip: IpAddr) -> Option<u16> {
    match ip {
        IpAddr::V4(ip) => matches!(ip.octets(), [224, 0, 0, _]).then_some(2),
        IpAddr::V6(ip) => ip.is_multicast().then(|| ip.segments()[0] & 15),
    }
}

fn by_network(networks: &str, addresses: &[IfAddr]) -> Result<Halves, FuncError> {
    let mut halves = Halves::default();
    for text in networks.split('|') {
        let network = Address::parse(text).ok_or_else(|| {
            let shown = ascii_quoted(text);
            FuncError::new(format!("unable to create an IP address from {shown}: invalid IPAddr {text}"))
        })?;
        divide(&mut halves, addresses, |one| network.contains(&one.address));
    }
    Ok(halves)
}

/// Adds to both halves. With several networks or RFCs an address can so be in them more than once, as upstream.
fn divide(halves: &mut Halves, addresses: &[IfAddr], matches: impl Fn(&IfAddr) -> bool) {
    for one in addresses {
        if matches(one) { &mut halves.0 } else { &mut halves.1 }.push(one.clone());
    }
}

pub(super) fn by_rfc(number: &str, addresses: Vec<IfAddr>) -> Result<Halves, FuncError> {
    let rfc = strconv::parse_uint(number.as_bytes())
        .map_err(|why| FuncError::new(format!("unable to parse RFC number {}: {why}", quoted(number))))?;
    let mut halves = Halves::default();
    for one in addresses {
        match rfcs::contains(rfc, &one.address) {
            Some(true) => halves.0.push(one),
            Some(false) => halves.1.push(one),
            None => return Err(FuncError::new(format!("unsupported RFC {rfc}"))),
        }
    }
    Ok(halves)
}

fn by_rfcs(numbers: &str, addresses: &[IfAddr]) -> Result<Halves, FuncError> {
    let mut halves = Halves::default();
    for number in numbers.split('|') {
        let (matched, rest) = by_rfc(number, addresses.to_vec()).map_err(|why| {
            FuncError::new(format!("unable to lookup RFC number {}: {why}", quoted(number)))
        })?;
        halves.0.extend(matched);
        halves.1.extend(rest);
    }
    Ok(halves)
}

fn by_size(size: &str, addresses: Vec<IfAddr>) -> Result<Halves, FuncError> {
    let bits = strconv::parse_uint(size.as_bytes())
        .map_err(|why| FuncError::new(format!("invalid exclude size argument ({}): {why}", quoted(size))))?;
    if let Some(one) = addresses.iter().find(|one| bits > u64::from(one.address.width())) {
        let family = match one.address.kind() {
            Type::V4 => "IPv4",
            Type::V6 => "IPv6",
        };
        return Err(FuncError::new(format!("mask size out of bounds for {family} address: {bits}")));
    }
    Ok(addresses.into_iter().partition(|one| u64::from(one.address.mask_bits()) == bits))
}

fn by_type(types: &str, addresses: &[IfAddr]) -> Result<Halves, FuncError> {
    let lower = types.to_lowercase();
    let types_of = || lower.split('|');
    for one in types_of() {
        if !matches!(one, "ip" | "ipv4" | "ipv6" | "unix") {
            let (one, all) = (quoted(one), quoted(types));
            return Err(FuncError::new(format!("unsupported type {one} {all}")));
        }
    }
    let mut halves = Halves::default();
    for one in addresses {
        for kind in types_of() {
            let matched = match one.address.kind() {
                Type::V4 => matches!(kind, "ip" | "ipv4"),
                Type::V6 => matches!(kind, "ip" | "ipv6"),
            };
            if matched { &mut halves.0 } else { &mut halves.1 }.push(one.clone());
        }
    }
    Ok(halves)
}

pub(super) fn unique(selector: &str, addresses: Vec<IfAddr>) -> Result<Vec<IfAddr>, FuncError> {
    let by_name = match selector.to_lowercase().as_str() {
        "address" => false,
        "name" => true,
        _ if addresses.is_empty() => return Ok(addresses),
        _ => {
            return Err(FuncError::new(format!("unsupported unique constraint {}", ascii_quoted(selector))));
        }
    };
    let mut addresses = addresses;
    addresses.dedup_by_key(|one| if by_name { one.interface.name.clone() } else { one.address.to_string() });
    Ok(addresses)
}

// === Order ===

type Compare = fn(&IfAddr, &IfAddr, Option<&str>) -> Ordering;

/// Sorts by clauses such as `default,-size`. Some of them say nothing about two families of addresses, so this is
/// no order in the strict sense: like Go for short lists, it moves each element down past those it precedes.
pub(super) fn sorted(clauses: &str, mut addresses: Vec<IfAddr>) -> Result<Vec<IfAddr>, FuncError> {
    let mut compares: Vec<(Compare, bool)> = Vec::new();
    let mut default = None;
    for clause in clauses.split(',') {
        let lower = clause.to_lowercase();
        let lower = lower.trim();
        let (name, descending) = match lower.strip_prefix('-') {
            Some(name) => (name, true),
            None => (lower.strip_prefix('+').unwrap_or(lower), false),
        };
        let compare: Compare = match name {
            "address" => |a, b, _| match a.address.kind() == b.address.kind() {
                true => a.address.bits.cmp(&b.address.bits),
                false => Ordering::Equal,
            },
            "default" => {
                default = interfaces::default_name().ok();
                |a, b, default| {
                    let other = |one: &IfAddr| default != Some(one.interface.name.as_str());
                    if default.is_none() { Ordering::Equal } else { other(a).cmp(&other(b)) }
                }
            }
            "name" => |a, b, _| a.interface.name.cmp(&b.interface.name),
            "port" => |a, b, _| a.address.port().cmp(&b.address.port()),
            "private" => private,
            "size" => |a, b, _| match a.address.kind() == b.address.kind() {
                true => a.address.mask.cmp(&b.address.mask),
                false => Ordering::Equal,
            },
            "type" => |a, b, _| a.address.kind().cmp(&b.address.kind()),
            _ => return Err(FuncError::new(format!("unknown sort type: {}", quoted(clause)))),
        };
        compares.push((compare, descending));
    }
    let precedes = |a: &IfAddr, b: &IfAddr| {
        compares.iter().fold(Ordering::Equal, |so_far, (compare, descending)| {
            so_far.then_with(|| {
                let order = compare(a, b, default.as_deref());
                if *descending { order.reverse() } else { order }
            })
        }) == Ordering::Less
    };
    for from in 1..addresses.len() {
        let mut at = from;
        while at > 0
            && let (Some(one), Some(before)) = (addresses.get(at), addresses.get(at - 1))
            && precedes(one, before)
        {
            addresses.swap(at, at - 1);
            at -= 1;
        }
    }
    Ok(addresses)
}

/// Private addresses before public ones, within a family; a private one also before the other family.
fn private(a: &IfAddr, b: &IfAddr, _: Option<&str>) -> Ordering {
    let is = |one: &IfAddr| rfcs::contains(6890, &one.address) == Some(true);
    match a.address.kind() == b.address.kind() {
        true => is(b).cmp(&is(a)),
        false if is(a) => Ordering::Less,
        false => Ordering::Equal,
    }
}
