//! When a secret is read again: a pure rule of its answer.

use std::time::Duration;

use vault::{LeaseId, Rhythm, Secret};

/// What keeps a secret fresh.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refresh {
    /// Renew its lease, and read it again when that no longer extends it.
    Renew {
        /// The lease.
        lease: LeaseId,
        /// How long it lives now.
        ttl: Duration,
        /// When to renew.
        rhythm: Rhythm,
    },
    /// Read it again after this long.
    ReadAfter(Duration),
}

/// The rule, upstream's: leases that can be renewed are; certificates, secret ids and static roles say
/// themselves how long they are good for; other leases and durations count to the `threshold`; everything else
/// is read every `interval`. `jitter` is uniform in 0..1 and moves the result by up to 5 % either way.
pub(crate) fn rule(
    secret: &Secret,
    interval: Duration,
    threshold: f64,
    unix_now: i64,
    jitter: f64,
) -> Refresh {
    let data = |key: &str| secret.data.as_ref()?.get(key);
    let number = |key: &str| data(key).and_then(number);
    if let Some(lease) =
        LeaseId::new(secret.lease_id.as_str()).filter(|_| secret.renewable && secret.lease_duration > 0)
    {
        let ttl = seconds(secret.lease_duration);
        return Refresh::Renew { lease, ttl, rhythm: Rhythm::new(ttl, jitter) };
    }
    let auth = secret.auth.as_ref().map_or(0, |auth| auth.lease_duration);
    let mut base = if auth > 0 { auth } else { secret.lease_duration };
    if secret.lease_id.is_empty() {
        if let (Some(_), Some(expiration)) = (data("certificate"), number("expiration")) {
            base = expiration - unix_now;
        }
        if let (Some(_), Some(ttl)) = (data("secret_id"), number("secret_id_ttl").filter(|ttl| *ttl > 0)) {
            base = ttl + 1;
        }
        if let (Some(_), Some(ttl)) = (data("rotation_period"), number("ttl")) {
            // A static role has a new password just then, and not before.
            return Refresh::ReadAfter(seconds(ttl + 1).max(Duration::from_secs(1)));
        }
    }
    let base = if base > 0 { seconds(base) } else { interval };
    let share = if threshold > 0.0 && threshold < 1.0 { threshold } else { 0.9 };
    let wait = base.mul_f64((share + 0.1 * (jitter - 0.5)).max(0.05));
    Refresh::ReadAfter(wait.max(Duration::from_secs(1)))
}

fn seconds(count: i64) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or_default())
}

fn number(value: &serde_json::Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(300);

    fn after(answer: serde_json::Value, jitter: f64) -> f64 {
        let secret = Secret::parse(answer.to_string().as_bytes()).unwrap().unwrap();
        match rule(&secret, INTERVAL, 0.9, 1000, jitter) {
            Refresh::ReadAfter(wait) => wait.as_secs_f64(),
            Refresh::Renew { .. } => panic!("renewed"),
        }
    }

    #[test]
    fn static_secrets_are_read_every_five_minutes_less_a_tenth_with_jitter() {
        let kv2 = json!({"lease_duration": 0, "data": {"data": {}}});
        assert!((after(kv2.clone(), 0.0) - 255.0).abs() < 0.1);
        assert!((after(kv2, 0.999_999) - 285.0).abs() < 0.1);
    }

    #[test]
    fn durations_of_the_answer_count() {
        assert!((after(json!({"lease_duration": 100, "data": {}}), 0.5) - 90.0).abs() < 0.1);
        assert!(
            (after(json!({"lease_id": "a", "lease_duration": 100, "renewable": false}), 0.5) - 90.0).abs()
                < 0.1
        );
        assert!((after(json!({"data": {"certificate": "x", "expiration": 2000}}), 0.5) - 900.0).abs() < 0.1);
        assert!((after(json!({"data": {"secret_id": "x", "secret_id_ttl": 99}}), 0.5) - 90.0).abs() < 0.1);
        assert!((after(json!({"data": {"rotation_period": 60, "ttl": 10}}), 0.0) - 11.0).abs() < 0.1);
        assert!((after(json!({"data": {"certificate": "x", "expiration": 1}}), 0.5) - 270.0).abs() < 0.1);
    }

    #[test]
    fn leases_that_can_be_renewed_are() {
        let answer = json!({"lease_id": "a/1", "lease_duration": 100, "renewable": true});
        let secret = Secret::parse(answer.to_string().as_bytes()).unwrap().unwrap();
        assert!(
            matches!(rule(&secret, INTERVAL, 0.9, 0, 0.5), Refresh::Renew { ttl, .. } if ttl.as_secs() == 100)
        );
    }
}
