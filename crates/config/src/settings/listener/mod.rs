//! `listener "tcp" { … }` and `listener "unix" { … }`: where clients connect.

mod access;
mod ciphers;
mod limits;
mod tls;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use super::auto_auth::Choosing;
use super::file_access::{Identity, read_identity};
use crate::decode::{Block, Fields, Labels, Wording};
use crate::environment::Environment;
use crate::go_scalar::parse_octal;

pub use access::{AllowRule, AllowedPath, AllowedPeers, ListenerAccess, RateLimit};
pub use ciphers::TlsChoice;
pub use limits::ListenerLimits;
pub use tls::{DEFAULT_TLS_RELOAD, ListenerTls};

/// Address of a tcp listener that names none; upstream's.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8200";

/// A place where clients connect.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Who may use it, for what, and how often.
    pub access: ListenerAccess,
    /// Where.
    pub endpoint: Endpoint,
    /// Certificates; `None` for plain HTTP (`tls_disable = true`).
    pub tls: Option<ListenerTls>,
    /// What is served.
    pub role: Role,
    /// Refuse requests without `X-Vault-Request: true`.
    pub require_request_header: bool,
    /// `agent_api`/`proxy_api { enable_quit = true }`.
    pub enable_quit: bool,
    /// The same with `enable_reload`.
    pub enable_reload: bool,
    /// Whose token requests travel with: a place in [`super::Settings::auto_auths`]. `None` where ours is not used.
    pub auto_auth: Option<usize>,
    /// Host names to accept beside the loopback's own; `["*"]` accepts all.
    pub allowed_hosts: Vec<String>,
    /// How much, how many, how slowly.
    pub limits: ListenerLimits,
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq)]
pub enum Endpoint {
    /// TCP. Port 0 takes a free one, which the log names.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix {
        /// Its path.
        path: PathBuf,
        /// Mode and owner, each applied if given.
        access: SocketAccess,
    },
    /// A socket that systemd has opened and passes to us.
    Systemd {
        /// Its name (`FileDescriptorName=`), or its place among those passed, from 0.
        socket: String,
        /// A unix socket; else tcp.
        is_unix: bool,
    },
}

impl Endpoint {
    /// Whether the system tells who is at the other end.
    pub fn is_unix(&self) -> bool {
        matches!(self, Self::Unix { .. } | Self::Systemd { is_unix: true, .. })
    }
}

/// Who may use a unix socket.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SocketAccess {
    /// `socket_mode`.
    pub mode: Option<u32>,
    /// `socket_user`.
    pub owner: Option<Identity>,
    /// `socket_group`.
    pub group: Option<Identity>,
}

impl SocketAccess {
    /// With users and groups looked up.
    ///
    /// # Errors
    /// One that is not known on this machine.
    pub fn attributes(&self) -> Result<atomic_file::SocketAttributes, atomic_file::FileError> {
        Ok(atomic_file::SocketAttributes {
            mode: self.mode,
            owner: self.owner.as_ref().map(Identity::user_id).transpose()?,
            group: self.group.as_ref().map(Identity::group_id).transpose()?,
        })
    }
}

/// What a listener serves.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Role {
    /// Everything.
    #[default]
    Default,
    /// The metrics endpoint alone.
    MetricsOnly,
}

// === Reading ===

/// A listener as it was read, for the checks of the whole; its settings may be a stand-in after an error.
pub(crate) fn read<'a>(
    file: &Fields<'a>,
    block: &Block<'a>,
    index: usize,
    product: vault::Product,
    environment: &Environment,
) -> Choosing<Listener> {
    let prefix = format!("error parsing 'listener': listeners.{index}: ");
    let fields = file.inside("listener", block, prefix).worded(Wording::Listener);
    if block.object.is_none() {
        return Choosing::read(&fields, Listener::default());
    }
    let kind = fields.kind(block).map(|kind| kind.to_lowercase());
    let endpoint = match kind.as_deref() {
        Some("unix") => read_unix(&fields, environment),
        Some("tcp") => read_tcp(&fields, environment),
        Some(other) => {
            let message = format!("unsupported listener type {other:?}");
            fields.refuse_with(block.span, message, "the types are \"tcp\" and \"unix\"");
            // What its other keys mean nobody knows.
            return Choosing::read(&fields, Listener::default());
        }
        None => {
            let hint = "write listener \"tcp\" { … } or listener \"unix\" { … }";
            fields.refuse_with(block.span, "listener type must be specified", hint);
            return Choosing::read(&fields, Listener::default());
        }
    };
    let (enable_quit, enable_reload) = read_api(&fields, product);
    let listener = Listener {
        access: access::read(&fields, kind.as_deref() == Some("unix")),
        auto_auth: None,
        endpoint,
        tls: tls::read(&fields),
        role: read_role(&fields),
        require_request_header: fields.lax_bool("require_request_header").unwrap_or(false),
        enable_quit,
        enable_reload,
        allowed_hosts: read_hosts(&fields),
        limits: limits::read(&fields),
    };
    read_ignored(&fields);
    let listener = Choosing::read(&fields, listener);
    fields.finish();
    listener
}

/// A stand-in for one that cannot be read.
impl Default for Listener {
    fn default() -> Self {
        Self {
            access: ListenerAccess::default(),
            auto_auth: None,
            endpoint: Endpoint::Tcp(UNSPECIFIED),
            tls: None,
            role: Role::Default,
            require_request_header: false,
            enable_quit: false,
            enable_reload: false,
            allowed_hosts: Vec::new(),
            limits: ListenerLimits::default(),
        }
    }
}

fn read_hosts(fields: &Fields<'_>) -> Vec<String> {
    let hosts = fields.strings("allowed_hosts").unwrap_or_default();
    let is_none = |host: &&String| {
        host.is_empty() || host.bytes().any(|byte| matches!(byte, b'/' | b'@' | b'?' | b'#' | 0..=b' ' | 127))
    };
    if let Some(odd) = hosts.iter().find(is_none) {
        let message = format!("no request can name the host {odd:?} of `allowed_hosts`");
        let hint = "write the name alone, as in \"proxy.example.com\"; \"*\" is any";
        fields.refuse_with(fields.span_of("allowed_hosts"), message, hint);
    }
    hosts
}

/// Who may connect to a unix socket.
const SOCKET_KEYS: [&str; 3] = ["socket_mode", "socket_user", "socket_group"];

const UNSPECIFIED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

fn read_tcp(fields: &Fields<'_>, environment: &Environment) -> Endpoint {
    for key in SOCKET_KEYS {
        fields.ignore(&[key]);
        if fields.has(key) {
            // Upstream says nothing.
            fields.warn(
                fields.key_span(key),
                format!("`{key}` has no effect on a tcp listener: whoever reaches the address may connect"),
                "for a socket with a mode and an owner: listener \"unix\" { address = \"/run/sidekey.sock\" }",
            );
        }
    }
    let given = fields.filled("address").unwrap_or_else(|| DEFAULT_LISTEN.to_owned());
    let Some(address) = expanded(fields, &given, environment) else { return Endpoint::Tcp(UNSPECIFIED) };
    let is_made = address != given;
    if let Some(socket) = read_systemd(fields, &address) {
        return Endpoint::Systemd { socket, is_unix: false };
    }
    let span = fields.span_of("address");
    let parsed = match is_made {
        true => parse_made(&address),
        false => parse_listen(&address),
    };
    let parsed = parsed.unwrap_or_else(|why| {
        let start = fields.with_prefix("").worded(Wording::Plain).at_start("Error starting listener: ");
        start.refuse_with(
            span,
            format!("listen tcp: address {address}: {why}"),
            "write host and port: \"127.0.0.1:8200\", \"[::1]:8200\", \"localhost:8200\"",
        );
        UNSPECIFIED
    });
    Endpoint::Tcp(parsed)
}

/// An address with what its template makes of the addresses of this machine. `None` was refused.
fn expanded(fields: &Fields<'_>, address: &str, environment: &Environment) -> Option<String> {
    if !address.contains("{{") {
        return Some(address.to_owned());
    }
    match environment.address(address) {
        Ok(made) => Some(made),
        Err(why) => {
            let hint = "one address and a port: \"{{ GetPrivateIP }}:8200\", \"{{ GetInterfaceIP \\\"eth0\\\" }}:8200\"";
            fields.refuse_with(fields.span_of("address"), why, hint);
            None
        }
    }
}

/// As [`parse_listen`], for what a template made: an IPv6 address needs no brackets, and no address does not stand for
/// all of them.
fn parse_made(address: &str) -> Result<SocketAddr, String> {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    match host.parse() {
        Ok(IpAddr::V6(ip)) => parse_listen(&format!("[{ip}]:{port}")),
        _ if host.is_empty() => Err("no addresses found, please configure one".to_owned()),
        _ => parse_listen(address),
    }
}

/// `systemd:NAME` or `systemd:0`.
fn read_systemd(fields: &Fields<'_>, address: &str) -> Option<String> {
    let socket = address.strip_prefix("systemd:")?;
    // systemd.socket(5), `FileDescriptorName=`.
    if socket.is_empty() || socket.len() > 255 || socket.contains(|c: char| c == ':' || !c.is_ascii_graphic())
    {
        fields.refuse_with(
            fields.span_of("address"),
            format!("{address:?} names no socket of systemd"),
            "the name in the .socket unit, or its number from 0: \"systemd:agent\", \"systemd:0\"",
        );
    }
    Some(socket.to_owned())
}

/// `host:port`, the host an IP address, `localhost`, or nothing for all addresses. No port is port 0.
fn parse_listen(address: &str) -> Result<SocketAddr, String> {
    let (host, port) = address.trim().rsplit_once(':').ok_or("missing port in address")?;
    let port = match port {
        "" => 0,
        port => port.parse().map_err(|_| format!("invalid port {port:?}"))?,
    };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let ip = match (bracketed, host) {
        (Some(v6), _) => IpAddr::V6(v6.parse().map_err(|_| format!("{v6:?} is no IPv6 address"))?),
        (None, "") => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        (None, "localhost") => IpAddr::V4(Ipv4Addr::LOCALHOST),
        (None, host) if host.contains(':') => return Err("too many colons in address".to_owned()),
        (None, host) => IpAddr::V4(host.parse().map_err(|_| format!("{host:?} is no IP address"))?),
    };
    Ok(SocketAddr::new(ip, port))
}

fn read_unix(fields: &Fields<'_>, environment: &Environment) -> Endpoint {
    let path = match fields.filled("address") {
        Some(address) => expanded(fields, &address, environment).map(PathBuf::from).unwrap_or_default(),
        None => {
            fields.refuse_with(
                fields.span,
                "a unix listener needs an `address`",
                "the socket's path: address = \"/run/sidekey.sock\"",
            );
            PathBuf::new()
        }
    };
    if let Some(socket) = path.to_str().and_then(|address| read_systemd(fields, address)) {
        for key in SOCKET_KEYS {
            if fields.has(key) {
                fields.refuse_with(
                    fields.span_of(key),
                    format!("`{key}` cannot go with a socket of systemd"),
                    "say it in the .socket unit: SocketMode=, SocketUser=, SocketGroup=",
                );
            }
        }
        return Endpoint::Systemd { socket, is_unix: true };
    }
    let mode = fields.filled("socket_mode").and_then(|text| match parse_octal(&text) {
        Ok(mode) if mode <= 0o7777 => Some(mode),
        _ => {
            fields.with_prefix("").worded(Wording::Plain).at_start("Error starting listener: ").refuse_with(
                fields.span_of("socket_mode"),
                format!("invalid socket_mode {text:?}"),
                "write the mode in octal digits: \"0660\"",
            );
            None
        }
    });
    let access = SocketAccess {
        mode,
        owner: read_identity(fields, "socket_user"),
        group: read_identity(fields, "socket_group"),
    };
    Endpoint::Unix { path, access }
}

fn read_role(fields: &Fields<'_>) -> Role {
    match fields.filled("role").as_deref() {
        None | Some("default") => Role::Default,
        Some("metrics_only") => Role::MetricsOnly,
        Some(other) => {
            let message = format!("unsupported listener role {other:?}");
            let hint = "the roles are \"default\" and \"metrics_only\"";
            fields.refuse_with(fields.span_of("role"), message, hint);
            Role::Default
        }
    }
}

/// `agent_api` counts for the agent and `proxy_api` for the proxy; the other one is checked and passed over.
fn read_api(fields: &Fields<'_>, product: vault::Product) -> (bool, bool) {
    let (mut quit, mut reload) = (false, false);
    for (key, owner) in [("agent_api", vault::Product::Agent), ("proxy_api", vault::Product::Proxy)] {
        let blocks = fields.blocks(key, Labels::Ignored);
        if blocks.is_empty() {
            continue;
        }
        let api = fields.inside_all(key, &blocks, fields.prefix());
        let enable_quit = api.strict_bool("enable_quit").unwrap_or(false);
        let enable_reload = api.strict_bool("enable_reload").unwrap_or(false);
        quit |= enable_quit && owner == product;
        reload |= enable_reload && owner == product;
        api.finish();
    }
    (quit, reload)
}

/// Keys of the servers' listeners that mean nothing in a proxy. A value of the wrong kind is refused all the
/// same: whoever wrote it meant something.
fn read_ignored(fields: &Fields<'_>) {
    for key in ["http_idle_timeout", "http_read_header_timeout", "http_read_timeout", "http_write_timeout"] {
        fields.duration(key);
    }
    if fields.duration("max_request_duration").is_some_and(|duration| duration.nanoseconds() < 0) {
        fields
            .refuse_beside(fields.span_of("max_request_duration"), "max_request_duration cannot be negative");
    }
    for key in ["max_request_size", "max_request_json_memory", "max_request_json_strings"] {
        fields.integer(key);
    }
    if let Some(skips) = fields.integer("x_forwarded_for_hop_skips").filter(|skips| *skips < 0) {
        fields.refuse_beside(
            fields.span_of("x_forwarded_for_hop_skips"),
            format!("x_forwarded_for_hop_skips cannot be negative but set to {skips}"),
        );
    }
    for key in ["cors_enabled", "x_forwarded_for_reject_not_authorized", "x_forwarded_for_reject_not_present"]
    {
        fields.lax_bool(key);
    }
    fields.ignore(&[
        "type",
        "cluster_address",
        "cors_allowed_headers",
        "cors_allowed_origins",
        "custom_response_headers",
        "inflight_requests_logging",
        "max_request_json_array_elements",
        "max_request_json_depth",
        "max_request_json_object_entries",
        "profiling",
        "proxy_protocol_authorized_addrs",
        "proxy_protocol_behavior",
        "purpose",
        "telemetry",
        "x_forwarded_for_authorized_addrs",
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listens_where_upstream_does() {
        for (text, want) in [
            ("127.0.0.1:8200", "127.0.0.1:8200"),
            ("0.0.0.0:8200", "0.0.0.0:8200"),
            ("0.0.0.0:", "0.0.0.0:0"),
            ("[::]:8200", "[::]:8200"),
            ("[::1]:0", "[::1]:0"),
            (":8200", "[::]:8200"),
            ("localhost:8200", "127.0.0.1:8200"),
        ] {
            assert_eq!(parse_listen(text).map(|a| a.to_string()), Ok(want.to_owned()), "{text}");
        }
        for text in
            ["8200", "127.0.0.1", "::1:8200", "vault:8200", "127.0.0.1:http", "[::1:1", "1.2.3.4:99999"]
        {
            assert!(parse_listen(text).is_err(), "{text}");
        }
    }
}
