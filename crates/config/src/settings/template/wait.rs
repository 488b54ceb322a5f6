//! `wait`: how long changes are gathered before a template is rendered again.

use std::time::Duration;

use hcl1::Kind;

use super::command::read_timeout;
use crate::decode::{Fields, Labels, Wording};
use crate::go_duration::GoDuration;

/// How long a rendered template waits for further changes when one has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Wait {
    /// It is rendered when nothing has changed for this long …
    pub min: Duration,
    /// … or at the latest this long after the first change. Never less than `min`.
    pub max: Duration,
}

/// Upstream's share of `min` where no `max` is given.
const MAX_OF_MIN: u32 = 4;

impl Wait {
    fn new(min: Duration, max: Option<Duration>) -> Self {
        Self { min, max: max.unwrap_or(min.saturating_mul(MAX_OF_MIN)).max(min) }
    }
}

/// `wait { min, max }`, or `wait = "min:max"`, or `wait = "min"`.
pub(super) fn read(fields: &Fields<'_>) -> Option<Wait> {
    let value = fields.value("wait")?;
    match &value.kind {
        Kind::Null => None,
        Kind::Object(_) | Kind::List(_) => {
            // Given several times, the last one wins.
            let blocks = fields.blocks("wait", Labels::Ignored);
            let keys = fields.inside("wait", blocks.last()?, fields.prefix()).worded(Wording::Template);
            let min = read_timeout(&keys, "min", "wait.min");
            let max = read_timeout(&keys, "max", "wait.max");
            keys.finish();
            min.map(|min| Wait::new(min, max))
        }
        _ => match parse(&fields.text("wait")?) {
            Ok(wait) => wait,
            Err(why) => {
                let hint =
                    "the shortest and the longest wait: \"5s:20s\", or wait { min = \"5s\" max = \"20s\" }";
                fields.refuse_with(value.span, format!("'wait' {why}"), hint);
                None
            }
        },
    }
}

/// Upstream's text form and words. Nothing for no wait.
fn parse(text: &str) -> Result<Option<Wait>, String> {
    let part = |text: &str| GoDuration::parse(text.trim());
    let (min, max) = match text.trim().split(':').collect::<Vec<_>>().as_slice() {
        [""] => return Err("wait: cannot be empty".to_owned()),
        [min] => (part(min)?, None),
        [min, max] => (part(min)?, Some(part(max)?)),
        _ => return Err("wait: invalid format".to_owned()),
    };
    if min < GoDuration::default() || max.is_some_and(|max| max < GoDuration::default()) {
        return Err("wait: cannot be negative".to_owned());
    }
    if max.is_some_and(|max| max < min) {
        return Err("wait: min must be less than max".to_owned());
    }
    Ok(min.positive().map(|min| Wait::new(min, max.and_then(GoDuration::positive))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_or_two_and_upstreams_words() {
        let wait = |min, max| Wait { min: Duration::from_secs(min), max: Duration::from_secs(max) };
        assert_eq!(parse("5s"), Ok(Some(wait(5, 20))));
        assert_eq!(parse(" 5s : 1m "), Ok(Some(wait(5, 60))));
        assert_eq!(parse("0s"), Ok(None));
        for (text, why) in [
            ("", "wait: cannot be empty"),
            ("1s:2s:3s", "wait: invalid format"),
            ("2s:1s", "wait: min must be less than max"),
            ("-1s", "wait: cannot be negative"),
            ("1:2", "time: missing unit in duration \"1\""),
        ] {
            assert_eq!(parse(text), Err(why.to_owned()));
        }
    }
}
