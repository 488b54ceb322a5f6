//! Time zones as Go has them: UTC, the local one, a named one, or a fixed offset with a name of its own.

use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `*time.Location`.
#[derive(Clone, Debug)]
pub enum Zone {
    /// `time.UTC`
    Utc,
    /// `time.Local`: the process's zone.
    Local,
    /// One of the system's database.
    Named(TimeZone),
    /// A name and seconds east of UTC.
    Fixed(Arc<(Vec<u8>, i64)>),
}

/// The Gregorian calendar repeats after 400 years, and with it the rules that hold from now on.
const CYCLE: i64 = 146_097 * 86_400;

impl Zone {
    /// `time.LoadLocation`: names as the system's database writes them; the empty name is UTC.
    pub fn load(name: &str) -> Option<Self> {
        match name {
            "" | "UTC" => Some(Self::Utc),
            "Local" => Some(Self::Local),
            // Unlike file names, names are found here in any case.
            _ => TimeZone::get(name).ok().filter(|zone| zone.iana_name() == Some(name)).map(Self::Named),
        }
    }

    /// `time.FixedZone`.
    pub(crate) fn fixed(name: &[u8], offset: i64) -> Self {
        Self::Fixed(Arc::new((name.to_vec(), offset)))
    }

    /// What `String` gives.
    pub(crate) fn name(&self) -> Vec<u8> {
        match self {
            Self::Utc => b"UTC".to_vec(),
            Self::Local if std::env::var_os("TZ").is_none() => b"Local".to_vec(),
            Self::Local => local().and_then(TimeZone::iana_name).unwrap_or("UTC").into(),
            Self::Named(zone) => zone.iana_name().unwrap_or_default().into(),
            Self::Fixed(fixed) => fixed.0.clone(),
        }
    }

    /// The abbreviation and the seconds east of UTC at an instant.
    pub(crate) fn lookup(&self, unix: i64) -> (Vec<u8>, i64) {
        match self {
            Self::Fixed(fixed) => (fixed.0.clone(), fixed.1),
            _ => match self.rules() {
                Some(zone) => {
                    let info = zone.to_offset_info(timestamp(unix));
                    (info.abbreviation().into(), info.offset().seconds().into())
                }
                None => (b"UTC".to_vec(), 0),
            },
        }
    }

    /// The offset that an abbreviation stands for here, preferably at an instant given in local time.
    pub(crate) fn lookup_name(&self, name: &[u8], local: i64) -> Option<i64> {
        let rules = self.rules()?;
        let mut known = vec![self.lookup(i64::MIN)];
        let end = Timestamp::from_second(4_102_444_800).ok()?;
        for change in rules.following(Timestamp::MIN).take_while(|change| change.timestamp() < end) {
            let one = (change.abbreviation().into(), change.offset().seconds().into());
            if !known.contains(&one) {
                known.push(one);
            }
        }
        known.retain(|(known, _)| known == name);
        let at = |offset: i64| self.lookup(local.wrapping_sub(offset));
        let in_effect = known.iter().map(|(_, offset)| at(*offset)).find(|(found, _)| found == name);
        in_effect.or_else(|| known.into_iter().next()).map(|(_, offset)| offset)
    }

    pub(super) fn rules(&self) -> Option<&TimeZone> {
        match self {
            Self::Utc | Self::Fixed(_) => None,
            Self::Local => local(),
            Self::Named(zone) => Some(zone),
        }
    }

    /// Whether both are one and the same `*Location`.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Utc, Self::Utc) | (Self::Local, Self::Local) => true,
            (Self::Named(a), Self::Named(b)) => a == b,
            // Go keeps one zone for each whole hour without a name.
            (Self::Fixed(a), Self::Fixed(b)) => {
                Arc::ptr_eq(a, b)
                    || a == b && a.0.is_empty() && a.1 % 3600 == 0 && (-12..=14).contains(&(a.1 / 3600))
            }
            _ => false,
        }
    }
}

/// The process's zone; none for UTC. Read once, as Go does.
fn local() -> Option<&'static TimeZone> {
    static LOCAL: OnceLock<Option<TimeZone>> = OnceLock::new();
    LOCAL.get_or_init(|| TimeZone::try_system().ok().filter(|zone| *zone != TimeZone::UTC)).as_ref()
}

/// The instant whose rules hold at `unix`, within what the database's reader knows.
fn timestamp(unix: i64) -> Timestamp {
    let most = Timestamp::MAX.as_second() - 1;
    let known = if unix > most { most - CYCLE + 1 + (unix - most - 1).rem_euclid(CYCLE) } else { unix };
    Timestamp::from_second(known).unwrap_or(Timestamp::MIN)
}
