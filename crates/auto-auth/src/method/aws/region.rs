//! Regions and where their STS is.

use config::Environment;

/// The region to sign for: the configuration's, or, where that is left empty, the environment's.
///
/// Without the key it is `us-east-1` whatever the environment says, as upstream has it: the server checks signatures
/// against one STS endpoint of its own, by default the global one, and that takes `us-east-1` alone. `AWS_REGION` is
/// set on every container and function of the cloud, so heeding it would break what works.
pub(super) fn signing<'a>(configured: Option<&'a str>, environment: &'a Environment) -> &'a str {
    configured.or_else(|| from_environment(environment)).unwrap_or(config::DEFAULT_AWS_REGION)
}

/// `AWS_REGION`, else `AWS_DEFAULT_REGION`.
pub(super) fn from_environment(environment: &Environment) -> Option<&str> {
    let filled = |name: &str| environment.exact(name).filter(|value| is_region(value));
    filled("AWS_REGION").or_else(|| filled("AWS_DEFAULT_REGION"))
}

/// The host of the STS that signatures for a region are meant for.
pub(super) fn sts_host(region: &str) -> String {
    // The global endpoint signs as this region.
    if region == config::DEFAULT_AWS_REGION {
        return "sts.amazonaws.com".to_owned();
    }
    format!("sts.{region}.{}", domain(region))
}

/// The domain of the partition a region belongs to, from the partition table of the AWS SDKs.
fn domain(region: &str) -> &'static str {
    match region.split_once('-') {
        Some(("cn", _)) => "amazonaws.com.cn",
        Some(("eusc", _)) => "amazonaws.eu",
        Some(("us", rest)) if rest.starts_with("iso-") => "c2s.ic.gov",
        Some(("us", rest)) if rest.starts_with("isob-") => "sc2s.sgov.gov",
        Some(("us", rest)) if rest.starts_with("isof-") => "csp.hci.ic.gov",
        Some(("eu", rest)) if rest.starts_with("isoe-") => "cloud.adc-e.uk",
        _ => "amazonaws.com",
    }
}

fn is_region(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_its_domain() {
        for (region, host) in [
            ("us-east-1", "sts.amazonaws.com"),
            ("eu-west-1", "sts.eu-west-1.amazonaws.com"),
            ("us-gov-west-1", "sts.us-gov-west-1.amazonaws.com"),
            ("cn-north-1", "sts.cn-north-1.amazonaws.com.cn"),
            ("us-iso-east-1", "sts.us-iso-east-1.c2s.ic.gov"),
            ("us-isob-east-1", "sts.us-isob-east-1.sc2s.sgov.gov"),
            ("us-isof-south-1", "sts.us-isof-south-1.csp.hci.ic.gov"),
            ("eu-isoe-west-1", "sts.eu-isoe-west-1.cloud.adc-e.uk"),
            ("eusc-de-east-1", "sts.eusc-de-east-1.amazonaws.eu"),
        ] {
            assert_eq!(sts_host(region), host);
        }
    }

    #[test]
    fn the_environment_counts_only_where_the_key_is_empty() {
        let environment =
            Environment::new([("AWS_REGION", "eu-west-1"), ("AWS_DEFAULT_REGION", "eu-west-2")]);
        assert_eq!(signing(Some("us-east-1"), &environment), "us-east-1");
        assert_eq!(signing(None, &environment), "eu-west-1");
        let environment =
            Environment::new([("AWS_REGION", "evil.example/"), ("AWS_DEFAULT_REGION", "eu-west-2")]);
        assert_eq!(signing(None, &environment), "eu-west-2");
        assert_eq!(signing(None, &Environment::default()), "us-east-1");
    }
}
