//! What a child is given in its environment besides what all get.

use std::ffi::{OsStr, OsString};
use std::fmt;

/// Names and values, by name. Values are secrets: they are in no message, and in no command line.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Variables(Vec<(OsString, OsString)>);

impl Variables {
    /// From names and values, in any order.
    pub fn new(pairs: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut pairs: Vec<_> = pairs.into_iter().collect();
        pairs.sort_unstable();
        Self(pairs)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_makes_no_difference_and_no_value_is_shown() {
        let pair = |name: &str, value: &str| (name.into(), value.into());
        let one = Variables::new([pair("B", "hidden"), pair("A", "hidden")]);
        assert_eq!(one, Variables::new([pair("A", "hidden"), pair("B", "hidden")]));
        assert_ne!(one, Variables::new([pair("A", "hidden"), pair("B", "")]));
        assert_eq!(format!("{one:?}"), r#"{"A", "B"}"#);
    }
}
