//! `spiffe`: a JWT-SVID that `spiffe-helper` or `spire-agent` keeps fresh in a file.

use config::SendAs;

use super::credential::Credential;
use super::jwt::JwtFile;
use super::shape::Shape;

pub(super) fn new(keys: &config::Spiffe) -> JwtFile {
    JwtFile {
        file: Credential::new("JWT-SVID", keys.path.clone()).shaped(Shape::Svid(keys.spiffe_id.clone())),
        role: keys.role.clone(),
        read_period: keys.read_period,
        as_bearer: keys.send_as == SendAs::Bearer,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_svid_of_somebody_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("svid");
        let svid = r#"[{"svids":[{"spiffe_id":"spiffe://a/web","svid":"a.b.c"}]}]"#;
        atomic_file::write(&path, svid.as_bytes(), &atomic_file::Attributes::new(0o600)).unwrap();
        for (wanted, good) in [(None, true), (Some("spiffe://a/web"), true), (Some("spiffe://a/db"), false)] {
            let keys = config::Spiffe {
                path: path.clone(),
                role: "app".to_owned(),
                spiffe_id: wanted.map(str::to_owned),
                read_period: Duration::from_secs(1),
                send_as: SendAs::Jwt,
            };
            for (send_as, as_bearer) in [(SendAs::Jwt, false), (SendAs::Bearer, true)] {
                assert_eq!(new(&config::Spiffe { send_as, ..keys.clone() }).as_bearer, as_bearer);
            }
            let read = new(&keys).file.fetch().map(|_| ()).map_err(|error| error.to_string());
            assert_eq!(read.is_ok(), good, "{wanted:?}: {read:?}");
        }
    }
}
