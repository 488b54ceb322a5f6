//! What the keys of methods for clouds become.

use std::time::Duration;

use config::{AliCloud, AliCloudSource, Aws, AwsEc2, AwsIam, AwsKeys, AwsLogin, AwsNonce, Cf, MethodKind};

use crate::agent;

fn stanza(method: &str, keys: &str) -> String {
    format!(
        "auto_auth {{\n method \"{method}\" {{ config {{\n{keys}\n}} }}\n sink \"file\" {{ config {{ path = \"/s\" }} \
         }}\n}}\n"
    )
}

fn kind(method: &str, keys: &str) -> MethodKind {
    let auto_auth = agent().fine(&stanza(method, keys)).settings.auto_auths.remove(0);
    // Old names keep their mounts.
    assert_eq!(auto_auth.method.mount.as_str(), format!("auth/{method}"));
    auto_auth.method.kind
}

#[test]
fn aws_with_few_and_with_all_keys() {
    let iam = AwsIam {
        keys: None,
        region: Some("us-east-1".into()),
        header_value: None,
        poll_interval: Duration::from_secs(60),
    };
    let aws = |login| MethodKind::Aws(Aws { role: "r".into(), login, metadata_endpoint: None });
    assert_eq!(kind("aws", "type = \"iam\"\nrole = \"r\""), aws(AwsLogin::Iam(iam.clone())));
    let keys = "type = \"iam\"\nrole = \"r\"\naccess_key = \"a\"\nsecret_key = \"s\"\nsession_token = \"t\"\n\
                region = \"\"\nheader_value = \"h\"\ncredential_poll_interval = 5\n\
                metadata_endpoint = \"http://[::1]\"";
    let all = AwsIam {
        keys: Some(AwsKeys {
            access_key: "a".into(),
            secret_key: "s".into(),
            session_token: Some("t".into()),
        }),
        region: None,
        header_value: Some("h".into()),
        poll_interval: Duration::from_secs(5),
    };
    let metadata_endpoint = Some("http://[::1]".into());
    let want = Aws { role: "r".into(), login: AwsLogin::Iam(all), metadata_endpoint };
    let got = kind("aws", keys);
    assert_eq!(got, MethodKind::Aws(want));
    assert!(!format!("{got:?}").contains("\"s\"") && !format!("{got:?}").contains("\"t\""));
    let ec2 = |nonce, pkcs7| aws(AwsLogin::Ec2(AwsEc2 { nonce, pkcs7 }));
    let start = "type = \"ec2\"\nrole = \"r\"\n";
    assert_eq!(kind("aws", start), ec2(AwsNonce::Fresh, false));
    assert_eq!(
        kind("aws", &format!("{start}nonce = \"n\"\npkcs7 = true")),
        ec2(AwsNonce::Given("n".into()), true)
    );
    assert_eq!(kind("aws", &format!("{start}nonce_path = \"/n\"")), ec2(AwsNonce::Kept("/n".into()), false));
}

#[test]
fn a_login_beside_the_programs_own_makes_no_second_nonce() {
    let start = "type = \"ec2\"\nrole = \"r\"\n";
    assert_eq!(kind("aws", start).sparing(), None);
    assert!(kind("aws", &format!("{start}nonce = \"n\"")).sparing().is_some());
    assert!(kind("aws", "type = \"iam\"\nrole = \"r\"").sparing().is_some());
}

#[test]
fn alicloud_with_few_and_with_all_keys() {
    let few = AliCloud {
        role: "r".into(),
        region: "cn-hangzhou".into(),
        poll_interval: Duration::from_secs(60),
        source: AliCloudSource::default(),
        metadata_endpoint: None,
    };
    let start = "role = \"r\"\nregion = \"cn-hangzhou\"\n";
    assert_eq!(kind("alicloud", start), MethodKind::AliCloud(few.clone()));
    let keys = "access_key = \"a\"\nsecret_key = \"s\"\naccess_token = \"t\"\nrole_arn = \"arn\"\n\
                role_session_name = \"n\"\nrole_session_expiration = 900\nprivate_key = \"p\"\npublic_key_id = \"i\"\n\
                session_expiration = 0\nrole_name = \"rn\"\ncredential_poll_interval = 1\nmetadata_endpoint = \"http://m\"";
    let source = AliCloudSource {
        access_key: Some("a".into()),
        access_secret: Some("s".into()),
        access_token: Some("t".into()),
        role_arn: Some("arn".into()),
        role_session_name: Some("n".into()),
        role_session_expiration: Some(900),
        private_key: Some("p".into()),
        public_key_id: Some("i".into()),
        session_expiration: None,
        role_name: Some("rn".into()),
    };
    let metadata_endpoint = Some("http://m".into());
    let all = AliCloud { source, poll_interval: Duration::from_secs(1), metadata_endpoint, ..few };
    assert_eq!(kind("alicloud", &format!("{start}{keys}")), MethodKind::AliCloud(all));
}

#[test]
fn cf_and_its_old_name() {
    for name in ["cf", "pcf"] {
        assert_eq!(kind(name, "role = \"r\""), MethodKind::Cf(Cf { role: "r".into() }));
    }
}

#[test]
fn what_is_missing_or_contradicts_itself() {
    let aws = "type = \"iam\"\nrole = \"r\"\n";
    let alicloud = "role = \"r\"\nregion = \"cn-hangzhou\"\n";
    let half = "static AWS client credentials haven't been properly configured (the access key or secret key were \
                provided but not both)";
    for (method, start, keys, words) in [
        ("aws", "", "role = \"r\"", "missing 'type' value"),
        ("aws", "", "type = \"iam\"", "missing 'role' value"),
        ("aws", "", "type = \"iam\"\nrole = \"\"", "'role' value is empty"),
        ("aws", "", "type = \"sts\"\nrole = \"r\"", "'type' value is invalid"),
        ("aws", aws, "access_key = \"a\"", half),
        ("aws", aws, "secret_key = \"s\"", half),
        ("aws", aws, "region = \"evil.example/\"", "'region' value is no region"),
        (
            "aws",
            aws,
            "header_value = \"a\\nb\"",
            "'header_value' holds a character that an HTTP header cannot carry",
        ),
        ("aws", aws, "nonce = \"n\"\nnonce_path = \"/n\"", "'nonce' and 'nonce_path' exclude each other"),
        (
            "aws",
            aws,
            "credential_poll_interval = 0",
            "could not convert 'credential_poll_interval' config value to positive int",
        ),
        ("alicloud", "", "region = \"cn-hangzhou\"", "'role' is required but is not provided"),
        ("alicloud", "", "role = \"r\"\nregion = \"\"", "'region' is required but is not provided"),
        ("alicloud", "", "role = \"r\"\nregion = 5", "could not convert 'region' config value to string"),
        ("alicloud", "", "role = \"r\"\nregion = \"a/b\"", "'region' value is no region"),
        (
            "alicloud",
            alicloud,
            "session_expiration = -1",
            "'session_expiration' must be a positive number of seconds",
        ),
        ("pcf", "", "", "missing 'role' value"),
    ] {
        let text = stanza(method, &format!("{start}{keys}"));
        assert_eq!(agent().lines(&text), [format!("Error creating {method} auth method: {words}")], "{text}");
    }
}
