//! `alicloud`: the question "who am I" to Alibaba Cloud's STS, signed and given to the server, which asks it for us.

mod rpc;
mod source;

#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::json;
use tracing::warn;
use vault::BoxFuture;

use self::rpc::{Keys, signed_target};
use self::source::Sources;
use super::{Attempt, LoginError, Method, Scene};
use crate::watch::Watch;

/// What it signs with, and where that comes from.
pub(super) struct AliCloud {
    role: String,
    region: String,
    watch: Watch,
    sources: Sources,
    /// Those of the last login, for comparison, and for when no source answers.
    last: Option<Keys>,
}

impl AliCloud {
    pub(super) fn new(keys: &config::AliCloud) -> Self {
        Self {
            role: keys.role.clone(),
            region: keys.region.clone(),
            watch: Watch { every: keys.poll_interval, files: Vec::new() },
            sources: Sources::new(keys),
            last: None,
        }
    }

    async fn prepare(&mut self, scene: &Scene<'_>) -> Result<Attempt, LoginError> {
        let now = Timestamp::now();
        let keys = match (self.sources.keys(scene.environment, now).await, &self.last) {
            (Ok(keys), _) => keys,
            (Err(error), Some(last)) if !last.is_expired(now) => {
                warn!(target: "auth.handler", error = %error, "unable to retrieve current creds, retaining last creds");
                last.clone()
            }
            (Err(error), _) => return Err(error),
        };
        let question = [("Action", "GetCallerIdentity"), ("RegionId", &self.region)];
        let target = signed_target(&question, &keys, now)?;
        let url = format!("https://{}{target}", sts_host(&self.region));
        // The server sends these as they are, and none of them is signed; it wants at least one.
        let headers = json!({"Accept": ["application/json"], "User-Agent": [USER_AGENT]});
        let body = json!({
            "role": self.role,
            "identity_request_url": STANDARD.encode(url),
            "identity_request_headers": STANDARD.encode(headers.to_string()),
        });
        self.last = Some(keys);
        Ok(Attempt::login(scene.mount, body))
    }
}

impl Method for AliCloud {
    fn prepare<'a>(&'a mut self, scene: &'a Scene<'a>) -> BoxFuture<'a, Result<Attempt, LoginError>> {
        Box::pin(self.prepare(scene))
    }

    fn watch(&self) -> Option<Watch> {
        Some(self.watch.clone())
    }

    fn has_new_credentials<'a>(&'a mut self, scene: &'a Scene<'a>) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            match self.sources.keys(scene.environment, Timestamp::now()).await {
                Ok(keys) => self.last.as_ref() != Some(&keys),
                Err(error) => {
                    // Without a login yet, the next one tells why.
                    if self.last.is_some() {
                        warn!(target: "auth.handler", error = %error, "unable to retrieve current creds, retaining last creds");
                    }
                    false
                }
            }
        })
    }
}

/// Who asks, as the cloud's own logs show it.
const USER_AGENT: &str = concat!("sidekey/", env!("CARGO_PKG_VERSION"));

/// Regions without an STS of their own, from the endpoint table of Alibaba's SDK; the provider's own test regions are
/// left out. The server checks the host against that table.
const WITHOUT_STS: &[&str] = &[
    "cn-beijing-finance-1",
    "cn-beijing-finance-pop",
    "cn-beijing-gov-1",
    "cn-edge-1",
    "cn-fujian",
    "cn-hangzhou-finance",
    "cn-hongkong-finance-pop",
    "cn-north-2-gov-1",
    "cn-qingdao-nebula",
    "cn-shanghai-finance-1",
    "cn-shenzhen-finance-1",
    "cn-wuhan",
    "cn-yushanfang",
    "cn-zhangbei",
    "cn-zhengzhou-nebula-1",
];

/// The host of a region's STS.
fn sts_host(region: &str) -> String {
    if WITHOUT_STS.contains(&region) {
        return "sts.aliyuncs.com".to_owned();
    }
    format!("sts.{region}.aliyuncs.com")
}
