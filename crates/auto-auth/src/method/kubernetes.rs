//! `kubernetes`: the token of a pod's service account, which the kubelet renews in its file.

use super::credential::Credential;
use super::jwt::JwtFile;
use super::shape::Shape;

pub(super) fn new(keys: &config::Kubernetes) -> JwtFile {
    JwtFile {
        file: Credential::new("service account token", keys.token_path.clone()).shaped(Shape::Jwt),
        role: keys.role.clone(),
        read_period: config::DEFAULT_READ_PERIOD,
        as_bearer: false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Method as _;

    #[test]
    fn the_kubelets_file_is_looked_at_once_a_minute() {
        let keys = config::Kubernetes { role: "app".to_owned(), token_path: "/x".into() };
        assert_eq!(super::new(&keys).watch().unwrap().every, Duration::from_secs(60));
    }
}
