//! An address with its mask and port.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The family; IPv4 sorts first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Type {
    V4,
    V6,
}

/// Both families as numbers of 128 bits; `width` says how many of them count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    kind: Type,
    pub(super) bits: u128,
    pub(super) mask: u128,
    port: u16,
}

impl Address {
    pub(super) fn new(ip: IpAddr, prefix: u8) -> Self {
        let (kind, bits) = match ip {
            IpAddr::V4(ip) => (Type::V4, u128::from(u32::from(ip))),
            IpAddr::V6(ip) => (Type::V6, u128::from(ip)),
        };
        let mut address = Self { kind, bits, mask: 0, port: 0 };
        address.mask = address.prefix_mask(prefix);
        address
    }

    /// `1.2.3.4`, `1.2.3.4/24`, `1.2.3.4:80` and the like of IPv6. No names: nothing is looked up.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some((ip, prefix)) = text.split_once('/') {
            let ip: IpAddr = ip.parse().ok()?;
            let width = if ip.is_ipv4() { 32 } else { 128 };
            let decimal = prefix.bytes().all(|byte| byte.is_ascii_digit());
            let prefix: u8 = prefix.parse().ok().filter(|&prefix| decimal && prefix <= width)?;
            return Some(Self::new(ip, prefix));
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Some(Self::new(ip, 128));
        }
        let socket: SocketAddr = text.parse().ok()?;
        Some(Self { port: socket.port(), ..Self::new(socket.ip(), 128) })
    }

    /// Another address of the family, without a port.
    pub(super) fn moved(&self, bits: u128, mask: u128) -> Self {
        Self { kind: self.kind, bits, mask, port: 0 }
    }

    pub(super) fn kind(&self) -> Type {
        self.kind
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn width(&self) -> u32 {
        match self.kind {
            Type::V4 => 32,
            Type::V6 => 128,
        }
    }

    /// All bits that an address of this family has.
    pub(super) fn full(&self) -> u128 {
        u128::MAX >> (128 - self.width())
    }

    /// The mask of a prefix; all bits for one too long.
    pub(super) fn prefix_mask(&self, prefix: u8) -> u128 {
        let host = self.width().saturating_sub(u32::from(prefix));
        self.full() & u128::MAX.checked_shl(host).unwrap_or(0)
    }

    pub(super) fn mask_bits(&self) -> u32 {
        self.mask.count_ones()
    }

    pub(super) fn network(&self) -> u128 {
        self.bits & self.mask
    }

    /// The last address of the network.
    pub(super) fn last(&self) -> u128 {
        self.network() | (self.full() & !self.mask)
    }

    /// Whether the other's network lies in this one.
    pub(super) fn contains(&self, other: &Self) -> bool {
        self.kind == other.kind && self.network() <= other.network() && self.last() >= other.last()
    }

    fn ip_of(&self, bits: u128) -> IpAddr {
        match self.kind {
            Type::V4 => IpAddr::V4(Ipv4Addr::from((bits & 0xffff_ffff) as u32)),
            Type::V6 => IpAddr::V6(Ipv6Addr::from(bits)),
        }
    }

    pub(super) fn net_ip(&self) -> IpAddr {
        self.ip_of(self.bits)
    }

    /// As Go writes it: an IPv4 address within IPv6 like one of IPv4.
    fn show(&self, bits: u128) -> String {
        self.ip_of(bits).to_canonical().to_string()
    }

    /// The address alone.
    pub(super) fn ip(&self) -> String {
        self.show(self.bits)
    }

    /// What is neither a matter of the interface nor the family's name.
    pub(super) fn attribute(&self, name: &str) -> Option<String> {
        let v4 = self.kind == Type::V4;
        // A network of one or two addresses has no room for those that cannot be used.
        let spare = u128::from(v4 && self.mask_bits() < 31);
        let host = Self { mask: self.full(), ..*self };
        Some(match name {
            "address" => self.ip(),
            "binary" => format!("{:0width$b}", self.bits, width = self.width() as usize),
            "broadcast" if v4 => self.show(self.last()),
            "first_usable" => self.show(self.network() + spare),
            "hex" => format!("{:0width$x}", self.bits, width = self.width() as usize / 4),
            "host" => host.to_string(),
            "last_usable" => self.show(self.last() - spare),
            "mask_bits" => self.mask_bits().to_string(),
            "netmask" => self.show(self.mask),
            "network" => self.show(self.network()),
            "octets" => {
                let all = self.bits.to_be_bytes();
                let octets = all.get(16 - self.width() as usize / 8..).unwrap_or_default();
                octets.iter().map(u8::to_string).collect::<Vec<_>>().join(" ")
            }
            "port" => self.port.to_string(),
            "size" => match 1u128.checked_shl(self.width() - self.mask_bits()) {
                Some(size) => size.to_string(),
                // 2^128 itself.
                None => "340282366920938463463374607431768211456".into(),
            },
            "string" => self.to_string(),
            "uint32" if v4 => self.bits.to_string(),
            "uint128" if !v4 => self.bits.to_string(),
            _ => return None,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ip = self.ip();
        match (self.port, self.kind) {
            (0, _) if self.mask == self.full() => f.write_str(&ip),
            (0, _) => write!(f, "{ip}/{}", self.mask_bits()),
            (port, Type::V4) => write!(f, "{ip}:{port}"),
            (port, Type::V6) => write!(f, "[{ip}]:{port}"),
        }
    }
}
