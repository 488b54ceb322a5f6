//! `method "alicloud"`: aliyun-python-sdk-core checks signatures.

use crate::clouds::{Cloud, keys_json};

const FIELDS: [&str; 3] = ["AccessKeyId", "AccessKeySecret", "SecurityToken"];

#[tokio::test]
async fn logins_are_what_alibaba_would_take() {
    let cloud = Cloud::start("alicloud").await;
    let config = cloud.documented(0);
    let keys = [("ALICLOUD_ACCESS_KEY", "LTAIenv"), ("ALICLOUD_SECRET_KEY", "env-secret")];
    let said = cloud.logs_in(&config, &keys).await;
    assert!(!said.contains("env-secret"), "{said}");
    let fixed = "config = {\n access_key = \"LTAIenv\"\n access_secret = \"env-secret\"";
    cloud.logs_in(&config.replacen("config = {", fixed, 1), &[]).await;

    let wrong = [("ALICLOUD_ACCESS_KEY", "LTAIenv"), ("ALICLOUD_SECRET_KEY", "CANARY")];
    let said = cloud.is_refused(&config, &wrong).await;
    assert!(said.contains("SignatureDoesNotMatch") && !said.contains("CANARY"), "{said}");
    let said = cloud.is_refused(&config, &[]).await;
    assert!(said.contains("found no Alibaba Cloud credentials: "), "{said}");

    // Keys of the instance's role that are replaced while it runs.
    let keys = |id| keys_json(FIELDS, [id, "ram-secret", "ram/token+="]);
    let environment = [("ALICLOUD_METADATA_ENDPOINT", cloud.address.as_str())];
    cloud.sees_a_change(&config, &environment, &keys("STS.1"), &keys("STS.2")).await;
    assert_eq!(cloud.logins().await, ["LTAIenv", "LTAIenv", "STS.1", "STS.2"]);
}
