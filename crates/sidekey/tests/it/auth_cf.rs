//! `method "cf"`: Python's cryptography checks signatures, with the longest salt and with any.

use crate::clouds::Cloud;

#[tokio::test]
async fn logins_are_signed_with_the_instances_key_under_both_names() {
    let cloud = Cloud::start("cf").await;
    let config = cloud.documented(0);
    let path = |name: &str| cloud.stage.path(name).to_str().unwrap().to_owned();
    let (certificate, pkcs1, pkcs8) = (path("cert.pem"), path("pkcs1.pem"), path("pkcs8.pem"));
    for (config, key) in [(config.clone(), &pkcs1), (config.replace("\"cf\"", "\"pcf\""), &pkcs8)] {
        let environment = [("CF_INSTANCE_CERT", certificate.as_str()), ("CF_INSTANCE_KEY", key)];
        cloud.logs_in(&config, &environment).await;
    }
    assert_eq!(cloud.logins().await, ["instance"; 2]);
    let said = cloud.is_refused(&config, &[("CF_INSTANCE_CERT", &certificate)]).await;
    assert!(said.contains("CF_INSTANCE_KEY"), "{said}");
    let other = path("other.pem");
    let environment = [("CF_INSTANCE_CERT", certificate.as_str()), ("CF_INSTANCE_KEY", &other)];
    let said = cloud.is_refused(&config, &environment).await;
    assert!(said.contains("InvalidSignature"), "{said}");
}
