//! HTTP proxies towards the server, from the environment.

use vault::{Address, Proxies, Proxy};

use crate::environment::Environment;
use crate::problem::Problem;

/// `PROXY_ADDR`, else `HTTP_PROXY`, both with the prefix of our variables: one proxy for everything. Else the variables
/// that all programs read: `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`, or the same in lower case.
///
/// # Errors
/// A proxy that would be used for one of `servers` and cannot be.
pub(crate) fn read(environment: &Environment, servers: &[&Address]) -> Result<Proxies, Box<Problem>> {
    // With an address that is bad itself, nobody knows.
    let wanted = |proxies: &Proxies| {
        servers.is_empty() || servers.iter().any(|server| proxies.way_to(server).is_some())
    };
    let own = environment.filled("PROXY_ADDR").or_else(|| environment.filled("HTTP_PROXY"));
    if let Some(variable) = own {
        // Servers on this machine are asked without it.
        let unused = !servers.is_empty() && servers.iter().all(|server| server.is_local());
        return match Proxy::parse(variable.value) {
            Ok(proxy) => Ok(Proxies::always(proxy)),
            Err(_) if unused => Ok(Proxies::default()),
            Err(why) => Err(bad(&variable.name, &why)),
        };
    }
    let filled = |name: &'static str| {
        environment.exact(name).filter(|value| !value.is_empty()).map(|value| (name, value))
    };
    let either = |upper, lower| filled(upper).or_else(|| filled(lower));
    let no_proxy = either("NO_PROXY", "no_proxy").map_or("", |(_, value)| value);
    let read = |upper, lower, tls: bool| {
        let Some((name, value)) = either(upper, lower) else { return Ok(None) };
        match Proxy::parse(value) {
            Ok(proxy) => Ok(Some(proxy)),
            Err(why) => {
                // Whether it would be used, one that works tells.
                let any = Proxy::parse("http://any").ok();
                let (plain, secure) = if tls { (None, any) } else { (any, None) };
                if wanted(&Proxies::of(plain, secure, no_proxy)) { Err(bad(name, &why)) } else { Ok(None) }
            }
        }
    };
    let plain = read("HTTP_PROXY", "http_proxy", false)?;
    let tls = read("HTTPS_PROXY", "https_proxy", true)?;
    Ok(Proxies::of(plain, tls, no_proxy))
}

/// Without the value: there may be a password in it.
fn bad(name: &str, why: &str) -> Box<Problem> {
    let message =
        format!("Error fetching client: failed to read environment: invalid proxy in {name}: {why}");
    Box::new(
        Problem::at_start(message, None)
            .hint("a proxy looks like http://user:password@proxy.example.com:3128"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(variables: &[(&str, &str)], server: &str) -> Result<String, String> {
        let environment = Environment::new(variables.iter().copied());
        let server: Address = server.parse().unwrap();
        let proxies = read(&environment, &[&server]).map_err(|problem| format!("{problem:?}"))?;
        Ok(proxies.way_to(&server).map(ToString::to_string).unwrap_or_default())
    }

    #[test]
    fn who_speaks_first() {
        const AWAY: &str = "https://vault.example.com:8200";
        for (variables, server, proxy) in [
            (&[][..], AWAY, ""),
            (&[("HTTPS_PROXY", "http://p:1")], AWAY, "http://p:1"),
            (&[("https_proxy", "http://p:1")], AWAY, "http://p:1"),
            (&[("https_proxy", "http://q:1"), ("HTTPS_PROXY", "http://p:1")], AWAY, "http://p:1"),
            (&[("https_proxy", "http://q:1"), ("HTTPS_PROXY", "")], AWAY, "http://q:1"),
            (&[("HTTP_PROXY", "http://p:1")], AWAY, ""),
            (&[("HTTP_PROXY", "http://p:1")], "http://vault.example.com:8200", "http://p:1"),
            (&[("HTTPS_PROXY", "p:1"), ("NO_PROXY", "example.com")], AWAY, ""),
            (&[("HTTPS_PROXY", "p:1"), ("no_proxy", ".example.com")], AWAY, ""),
            (&[("VAULT_PROXY_ADDR", "p:1"), ("NO_PROXY", "*")], AWAY, "http://p:1"),
            (&[("VAULT_HTTP_PROXY", "p:1"), ("HTTPS_PROXY", "q:1")], AWAY, "http://p:1"),
            (&[("VAULT_HTTP_PROXY", "q:1"), ("VAULT_PROXY_ADDR", "p:1")], AWAY, "http://p:1"),
            (&[("BAO_PROXY_ADDR", "p:1"), ("VAULT_PROXY_ADDR", "q:1")], AWAY, "http://p:1"),
            (&[("VAULT_PROXY_ADDR", "p:1"), ("HTTP_PROXY", "p:1")], "http://127.0.0.1:8200", ""),
            // What cannot be used harms nobody who does not use it.
            (&[("HTTPS_PROXY", "socks5://p:1"), ("NO_PROXY", "*")], AWAY, ""),
            (&[("HTTP_PROXY", "socks5://p:1")], AWAY, ""),
            (&[("VAULT_PROXY_ADDR", "socks5://p:1")], "unix:///run/vault.sock", ""),
        ] {
            assert_eq!(way(variables, server).as_deref(), Ok(proxy), "{variables:?} {server}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_refused_without_its_password() {
        for name in ["HTTPS_PROXY", "https_proxy", "VAULT_PROXY_ADDR", "BAO_HTTP_PROXY"] {
            for value in ["socks5://user:s3cret@p:1", "http://user:s3cret@p:port", "http://user:s3cret%@p"] {
                let problem = way(&[(name, value)], "https://vault.example.com").unwrap_err();
                assert!(problem.contains(name) && !problem.contains("s3cret"), "{problem}");
            }
        }
    }
}
