//! When a secret is read again: a pure rule of its answer.

use std::time::Duration;

use functions::Profile;
use vault::{LeaseId, Rhythm, Secret, Token};

use crate::evaluate::Known;
use crate::functions::profile_of;

/// What keeps a secret fresh.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refresh {
    /// Renew it, and read it again when that no longer extends it.
    Renew {
        /// The lease, or the token that is the secret.
        what: Renewable,
        /// How long it lives now.
        ttl: Duration,
        /// When to renew.
        rhythm: Rhythm,
    },
    /// Read it again after this long.
    ReadAfter(Duration),
}

/// What the server can be asked to extend.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Renewable {
    /// A lease, by the token in use.
    Lease(LeaseId),
    /// A token that a template was given, by itself.
    Token(Token),
}

/// What the configuration has to say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// How often to read what says nothing of its own life.
    pub(crate) interval: Duration,
    /// A template wants it read this often whatever the answer says of its life, if that is no lease and nobody knows
    /// when it will change.
    pub(crate) at_most: Option<Duration>,
    /// After which share of its life to replace what cannot be renewed.
    pub(crate) threshold: f64,
    /// Whose rule for certificates.
    pub(crate) profile: Profile,
}

/// Local files are looked at this often.
const FILE_INTERVAL: Duration = Duration::from_secs(2);

impl Rules {
    /// Those of a configuration.
    pub(crate) fn of(shared: &config::TemplateConfig) -> Self {
        Self {
            interval: shared.static_secret_render_interval,
            at_most: None,
            threshold: shared.lease_renewal_threshold,
            profile: profile_of(shared.profile),
        }
    }

    /// The same for what templates want read this often, the shortest first.
    pub(crate) fn with_interval(self, interval: Option<Duration>) -> Self {
        Self { interval: interval.unwrap_or(self.interval), at_most: interval, ..self }
    }

    /// Whether static secrets are read so often that it pays to ask for their version first.
    pub(crate) fn is_brisk(&self) -> bool {
        self.interval < BRISK
    }

    /// The rule for anything that was fetched. `jitter` is uniform in 0..1.
    pub(crate) fn after(&self, known: &Known, unix_now: i64, jitter: f64) -> Refresh {
        match known {
            Known::File(_) => Refresh::ReadAfter(FILE_INTERVAL),
            Known::List(_) => Refresh::ReadAfter(self.interval.max(SHORTEST)),
            Known::Certificate(certificate) => {
                let good_for = self.certificate(certificate.valid, unix_now, jitter);
                Refresh::ReadAfter(good_for.unwrap_or_default().max(SHORTEST))
            }
            Known::Secret(None) => self.secret(&Secret::default(), unix_now, jitter),
            Known::Secret(Some(secret)) => self.secret(secret, unix_now, jitter),
        }
    }

    /// Upstream's rule: what can be renewed is; certificates, secret ids and static roles say themselves how
    /// long they are good for; other leases and durations count to the threshold, moved by up to 5 % either
    /// way; everything else is read at the interval, moved likewise.
    pub(crate) fn secret(&self, secret: &Secret, unix_now: i64, jitter: f64) -> Refresh {
        let data = |key: &str| secret.data.as_ref()?.get(key);
        let number = |key: &str| data(key).and_then(number);
        if let Some((what, ttl)) = renewable(secret) {
            return Refresh::Renew { what, ttl, rhythm: Rhythm::new(ttl, jitter) };
        }
        let auth = secret.auth.as_ref().map_or(0, |auth| auth.lease_duration);
        let mut base = if auth > 0 { auth } else { secret.lease_duration };
        if secret.lease_id.is_empty() {
            if let (Some(_), Some(expiration)) = (data("certificate"), number("expiration")) {
                base = expiration.saturating_sub(unix_now);
            }
            if let (Some(_), Some(ttl)) = (data("secret_id"), number("secret_id_ttl").filter(|ttl| *ttl > 0))
            {
                base = ttl.saturating_add(1);
            }
            if let (Some(_), Some(ttl)) = (data("rotation_period"), number("ttl")) {
                // A static role has a new password just then, and not before.
                return Refresh::ReadAfter(seconds(ttl.saturating_add(1)).max(SHORTEST));
            }
        }
        let mut base = if base > 0 { seconds(base) } else { self.interval };
        // KV version 1 says 32 days for want of a better answer.
        let is_bound = !secret.lease_id.is_empty() || secret.auth.is_some() || data("secret_id").is_some();
        if let Some(most) = self.at_most.filter(|_| !is_bound && data("certificate").is_none()) {
            base = base.min(most);
        }
        let share = if self.threshold > 0.0 && self.threshold < 1.0 { self.threshold } else { 0.9 };
        let wait = base.mul_f64((share + 0.1 * (jitter - 0.5)).max(0.05));
        Refresh::ReadAfter(wait.max(SHORTEST))
    }

    /// How long a certificate that is valid between two times is good for yet; `None` when a new one is due.
    ///
    /// OpenBao's agent uses nine tenths of what remains, unless that is less than a tenth of the whole life;
    /// Vault's uses the threshold of the whole life. Both move it by up to 3 %.
    pub(crate) fn certificate(
        &self,
        valid: Option<(i64, i64)>,
        unix_now: i64,
        jitter: f64,
    ) -> Option<Duration> {
        let (start, end) = valid?;
        let (life, remaining) = (end.saturating_sub(start), end.saturating_sub(unix_now));
        if remaining <= 0 {
            return None;
        }
        let percent = (jitter * 6.0).floor() - 3.0;
        let good = match self.profile {
            Profile::OpenBao => {
                let good = remaining / 10 * 9 + remaining % 10 * 9 / 10;
                if good <= life / 10 {
                    return None;
                }
                let moved = if good > 100 { percent / 100.0 } else { 0.0 };
                good as f64 * (1.0 + moved)
            }
            Profile::Vault => {
                let turn = start as f64 + life as f64 * (self.threshold + percent / 100.0);
                turn - unix_now as f64
            }
        };
        (good > 0.0).then(|| Duration::try_from_secs_f64(good).ok()).flatten()
    }
}

/// From here on, one more kind of request (and one more line in the audit log where the token may not) is worth less
/// than what it saves.
const BRISK: Duration = Duration::from_secs(60);

/// Shorter waits would ask the server without end.
const SHORTEST: Duration = Duration::from_secs(1);

/// Whether it ends with the token that asked for it: it has a lease, or is a token.
pub(crate) fn ends_with_token(known: &Known) -> bool {
    matches!(known, Known::Secret(Some(secret)) if !secret.lease_id.is_empty() || secret.auth.is_some())
}

/// What of a secret can be extended, and how long it lives. A token counts before a lease.
fn renewable(secret: &Secret) -> Option<(Renewable, Duration)> {
    if let Some(auth) = &secret.auth {
        if !auth.renewable || auth.lease_duration <= 0 {
            return None;
        }
        let token = Token::new(auth.client_token.expose()).ok()?;
        return Some((Renewable::Token(token), seconds(auth.lease_duration)));
    }
    if !secret.renewable || secret.lease_duration <= 0 {
        return None;
    }
    Some((Renewable::Lease(LeaseId::new(secret.lease_id.as_str())?), seconds(secret.lease_duration)))
}

fn seconds(count: i64) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or_default())
}

fn number(value: &serde_json::Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::pki::Certificate;

    const RULES: Rules = Rules {
        interval: Duration::from_secs(300),
        at_most: None,
        threshold: 0.9,
        profile: Profile::OpenBao,
    };

    fn refresh(answer: &serde_json::Value, jitter: f64) -> Refresh {
        let secret = Secret::parse(answer.to_string().as_bytes()).unwrap().unwrap();
        RULES.after(&Known::Secret(Some(Arc::new(secret))), 1000, jitter)
    }

    fn after(answer: serde_json::Value, jitter: f64) -> f64 {
        match refresh(&answer, jitter) {
            Refresh::ReadAfter(wait) => wait.as_secs_f64(),
            Refresh::Renew { .. } => panic!("renewed"),
        }
    }

    fn close(found: f64, want: f64) {
        assert!((found - want).abs() < 0.1, "{found} is not {want}");
    }

    #[test]
    fn static_secrets_are_read_every_five_minutes_less_a_tenth_with_jitter() {
        let kv2 = json!({"lease_duration": 0, "data": {"data": {}}});
        close(after(kv2.clone(), 0.0), 255.0);
        close(after(kv2, 0.999_999), 285.0);
        assert_eq!(
            RULES.after(&Known::Secret(None), 0, 0.5),
            Refresh::ReadAfter(Duration::from_secs(270)),
            "a write without an answer"
        );
    }

    #[test]
    fn durations_of_the_answer_count() {
        close(after(json!({"lease_duration": 100, "data": {}}), 0.5), 90.0);
        close(after(json!({"lease_id": "a", "lease_duration": 100, "renewable": false}), 0.5), 90.0);
        // KV version 1 says 32 days, or what the value's own ttl says.
        close(after(json!({"lease_duration": 2_764_800, "data": {"a": "b"}}), 0.0), 2_350_080.0);
        close(after(json!({"lease_duration": 10, "data": {"ttl": "10s"}}), 0.0), 8.5);
        // A token that cannot be renewed.
        close(after(json!({"auth": {"client_token": "s.x", "lease_duration": 50}}), 0.5), 45.0);
    }

    #[test]
    fn what_says_itself_how_long_it_is_good_for() {
        close(after(json!({"data": {"certificate": "x", "expiration": 2000}}), 0.5), 900.0);
        close(after(json!({"data": {"certificate": "x", "expiration": 1}}), 0.5), 270.0);
        close(after(json!({"lease_duration": 100, "data": {"expiration": 2000}}), 0.5), 90.0);
        close(after(json!({"data": {"secret_id": "x", "secret_id_ttl": 99}}), 0.5), 90.0);
        close(after(json!({"data": {"secret_id": "x", "secret_id_ttl": 0}}), 0.5), 270.0);
        // Static roles: in full and without jitter.
        close(after(json!({"data": {"rotation_period": 60, "ttl": 10}}), 0.0), 11.0);
        close(after(json!({"data": {"rotation_period": 60, "ttl": 0}}), 0.0), 1.0);
        close(after(json!({"data": {"rotation_schedule": "0 0 * * *", "ttl": 10}}), 0.5), 270.0);
        // A lease counts before all of them.
        let leased =
            json!({"lease_id": "a", "lease_duration": 100, "data": {"rotation_period": 60, "ttl": 10}});
        close(after(leased, 0.5), 90.0);
    }

    #[test]
    fn the_threshold_is_the_configurations() {
        let answer = json!({"lease_duration": 100, "data": {}});
        let secret = Secret::parse(answer.to_string().as_bytes()).unwrap().unwrap();
        for (threshold, want) in [(0.5, 50), (1.0, 90), (0.01, 5)] {
            let rules = Rules { threshold, ..RULES };
            assert_eq!(rules.secret(&secret, 0, 0.5), Refresh::ReadAfter(Duration::from_secs(want)));
        }
    }

    #[test]
    fn a_templates_own_interval_counts_for_what_nobody_knows_the_end_of() {
        let rules = RULES.with_interval(Some(Duration::from_secs(10)));
        let wait = |answer: serde_json::Value| {
            let secret = Secret::parse(answer.to_string().as_bytes()).unwrap().unwrap();
            match rules.secret(&secret, 1000, 0.5) {
                Refresh::ReadAfter(wait) => wait.as_secs(),
                Refresh::Renew { .. } => panic!("renewed"),
            }
        };
        assert_eq!(wait(json!({"data": {"data": {}}})), 9);
        assert_eq!(wait(json!({"lease_duration": 2_764_800, "data": {"a": "b"}})), 9, "KV version 1");
        assert_eq!(wait(json!({"lease_duration": 5, "data": {"ttl": "5s"}})), 4);
        assert_eq!(wait(json!({"lease_id": "a", "lease_duration": 100})), 90, "a lease");
        assert_eq!(wait(json!({"data": {"certificate": "x", "expiration": 2000}})), 900);
        assert_eq!(wait(json!({"data": {"secret_id": "x", "secret_id_ttl": 99}})), 90);
        assert_eq!(wait(json!({"data": {"rotation_period": 60, "ttl": 30}})), 31);
        assert_eq!(rules.after(&Known::List(None), 0, 0.5), Refresh::ReadAfter(Duration::from_secs(10)));
        assert!(rules.is_brisk() && !RULES.is_brisk());
        assert_eq!(RULES.with_interval(None).interval, RULES.interval);
        let shortest = RULES.with_interval(Some(Duration::from_millis(1)));
        let kv = Secret::parse(br#"{"data":{"data":{}}}"#).unwrap().unwrap();
        assert_eq!(shortest.secret(&kv, 0, 0.5), Refresh::ReadAfter(Duration::from_secs(1)));
    }

    #[test]
    fn lists_and_files_have_their_own_rhythm() {
        let list = Known::List(None);
        assert_eq!(RULES.after(&list, 0, 0.0), Refresh::ReadAfter(Duration::from_secs(300)));
        let file = Known::File(Arc::default());
        assert_eq!(RULES.after(&file, 0, 0.9), Refresh::ReadAfter(Duration::from_secs(2)));
    }

    #[test]
    fn leases_and_tokens_that_can_be_renewed_are() {
        let answer = json!({"lease_id": "a/1", "lease_duration": 100, "renewable": true});
        let Refresh::Renew { what: Renewable::Lease(lease), ttl, .. } = refresh(&answer, 0.5) else {
            panic!()
        };
        assert_eq!((lease.as_str(), ttl.as_secs()), ("a/1", 100));
        let answer = json!({"auth": {"client_token": "s.x", "lease_duration": 60, "renewable": true}});
        let Refresh::Renew { what: Renewable::Token(token), ttl, .. } = refresh(&answer, 0.5) else {
            panic!()
        };
        assert_eq!((token.expose(), ttl.as_secs()), ("s.x", 60));
        // Nothing names what to renew.
        close(after(json!({"lease_duration": 100, "renewable": true}), 0.5), 90.0);
    }

    #[test]
    fn certificates_are_used_for_nine_tenths() {
        let good = |profile, valid, now| {
            let rules = Rules { profile, ..RULES };
            rules.certificate(Some(valid), now, 0.5).map(|good| good.as_secs())
        };
        let valid = (0, 3600);
        assert_eq!(good(Profile::OpenBao, valid, 0), Some(3240));
        assert_eq!(good(Profile::OpenBao, valid, 1800), Some(1620));
        assert_eq!(good(Profile::OpenBao, valid, 3201), None, "nine tenths of the rest are a tenth of all");
        assert_eq!(good(Profile::OpenBao, valid, 3600), None);
        assert_eq!(good(Profile::OpenBao, (0, 60), 0), Some(54));
        assert_eq!(good(Profile::Vault, valid, 0), Some(3240));
        assert_eq!(good(Profile::Vault, valid, 1800), Some(1440));
        assert_eq!(good(Profile::Vault, valid, 3240), None);
        assert_eq!(RULES.certificate(None, 0, 0.5), None);
        for (jitter, want) in [(0.0, 3142.8), (0.99, 3304.8)] {
            close(RULES.certificate(Some(valid), 0, jitter).unwrap().as_secs_f64(), want);
        }
        let certificate = Certificate { valid: Some(valid), ..Certificate::default() };
        let known = Known::Certificate(Arc::new(certificate));
        assert_eq!(RULES.after(&known, 0, 0.5), Refresh::ReadAfter(Duration::from_secs(3240)));
    }
}
