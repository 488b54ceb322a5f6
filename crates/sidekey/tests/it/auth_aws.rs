//! `method "aws"`: moto checks signatures, cryptography and openssl the instance's papers.

use crate::clouds::{Cloud, keys_json};
use crate::put;

const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
const FIELDS: [&str; 3] = ["AccessKeyId", "SecretAccessKey", "Token"];

#[tokio::test]
async fn iam_logins_are_what_aws_would_take() {
    let cloud = Cloud::start("aws").await;
    let text = |pointer: &str| cloud.ready.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    let (id, secret) = (text("/keys/0/0"), text("/keys/0/1"));
    let (other_id, other_secret) = (text("/keys/1/0"), text("/keys/1/1"));
    let config = cloud.documented(0);

    // From the environment, for the default region and for another.
    let keys = [
        ("AWS_ACCESS_KEY_ID", id.as_str()),
        ("AWS_SECRET_ACCESS_KEY", &secret),
        ("AWS_REGION", "ap-south-1"),
    ];
    let said = cloud.logs_in(&config, &keys).await;
    assert!(!said.contains(&secret), "{said}");
    let elsewhere = config.replacen("config = {", "config = {\n region = \"eu-west-1\"", 1);
    cloud.logs_in(&elsewhere, &keys).await;
    let from_environment = config.replacen("config = {", "config = {\n region = \"\"", 1);
    cloud.logs_in(&from_environment, &keys).await;

    // From the shared file, and from the configuration before everything else.
    let file = cloud.stage.path("credentials");
    put(&file, &format!("[p]\naws_access_key_id = {other_id}\naws_secret_access_key = {other_secret}\n"));
    let shared = [("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap()), ("AWS_PROFILE", "p")];
    cloud.logs_in(&config, &shared).await;
    let fixed = format!("config = {{\n access_key = \"{other_id}\"\n secret_key = \"{other_secret}\"");
    cloud.logs_in(&config.replacen("config = {", &fixed, 1), &keys).await;

    // A web identity's temporary keys, made by moto.
    let token = cloud.stage.path("jwt");
    put(&token, "e30.e30.e30\n");
    let role = text("/role");
    let web = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ROLE_ARN", &role),
        ("AWS_ROLE_SESSION_NAME", "me"),
        ("AWS_ENDPOINT_URL_STS", &cloud.address),
    ];
    cloud.logs_in(&config, &web).await;

    let user = "arn:aws:iam::123456789012:user/app";
    let want = [
        format!("sts.amazonaws.com {id} {user}"),
        format!("sts.eu-west-1.amazonaws.com {id} {user}"),
        format!("sts.ap-south-1.amazonaws.com {id} {user}"),
        format!("sts.amazonaws.com {other_id} {user}"),
        format!("sts.amazonaws.com {other_id} {user}"),
    ];
    let logins = cloud.logins().await;
    assert_eq!(logins[..5], want);
    assert!(logins[5].ends_with("arn:aws:sts::123456789012:assumed-role/web/me"), "{logins:?}");

    // Refused: a wrong secret, and a value of the header that the server does not expect.
    let wrong = [("AWS_ACCESS_KEY_ID", id.as_str()), ("AWS_SECRET_ACCESS_KEY", "CANARY/CANARY")];
    let said = cloud.is_refused(&config, &wrong).await;
    assert!(said.contains("SignatureDoesNotMatch") && !said.contains("CANARY"), "{said}");
    let said = cloud.is_refused(&config.replace("= \"vault.example.com\"", "= \"else\""), &keys).await;
    assert!(said.contains("server id"), "{said}");
    let said = cloud.is_refused(&config, &[]).await;
    assert!(said.contains("found no AWS credentials: environment: AWS_ACCESS_KEY_ID is not set; "), "{said}");

    // Keys of the instance that are replaced while it runs.
    let (first, second) =
        (keys_json(FIELDS, [&id, &secret, ""]), keys_json(FIELDS, [&other_id, &other_secret, ""]));
    cloud.sees_a_change(&config, &[(ENDPOINT, &cloud.address)], &first, &second).await;
    assert!(cloud.logins().await.last().unwrap().contains(&other_id));
}

#[tokio::test]
async fn an_instances_papers_are_good_and_its_nonce_outlives_it() {
    let cloud = Cloud::start("aws").await;
    let environment = [(ENDPOINT, cloud.address.as_str())];
    let config = cloud.documented(1);
    // Two runs of the program, and one with the other kind of signature: one nonce.
    cloud.logs_in(&config, &environment).await;
    cloud.logs_in(&config, &environment).await;
    cloud.logs_in(&config.replacen("config = {", "config = {\n pkcs7 = true", 1), &environment).await;
    assert_eq!(cloud.logins().await, ["i-0abc"; 3]);
    // As upstream has it, the nonce is forgotten, and the server refuses the next one.
    let nonce = cloud.stage.read("nonce");
    let forgetful: Vec<&str> = config.lines().filter(|line| !line.contains("nonce_path")).collect();
    let forgetful = forgetful.join("\n");
    let said = cloud.is_refused(&forgetful, &environment).await;
    assert!(said.contains("client nonce mismatch"), "{said}");
    let given = forgetful.replacen("config = {", &format!("config = {{\n nonce = {nonce:?}"), 1);
    let said = cloud.logs_in(&given, &environment).await;
    assert!(!said.contains(&nonce), "{said}");
    // A document that is not what was signed.
    cloud.serve("document", "{\"instanceId\": \"i-other\"}").await;
    let said = cloud.is_refused(&given, &environment).await;
    assert!(said.contains("InvalidSignature"), "{said}");
    cloud.serve("document", "<html>CANARY</html>").await;
    let said = cloud.is_refused(&given, &environment).await;
    assert!(said.contains("what it answered is no identity document") && !said.contains("CANARY"), "{said}");
}
