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
