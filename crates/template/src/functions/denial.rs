//! `function_denylist`: functions that parse and fail when they are called.

use gotemplate::{Func, FuncError, Funcs, Param};

use crate::evaluate::Evaluation;

/// The table with every function that a pattern names replaced by one that fails. Go's own functions cannot be
/// denied, upstream neither.
pub(crate) fn deny(table: &Funcs<Evaluation>, patterns: &[String]) -> Funcs<Evaluation> {
    let builtins = Funcs::<Evaluation>::builtins();
    let mut funcs = Funcs::empty();
    funcs.extend(table.names().filter_map(|name| table.get(name).copied()));
    for name in table.names().filter(|name| !builtins.contains(name)) {
        if patterns.iter().any(|pattern| fits(pattern, name)) {
            let denied = Func::pure(name, &[], |_| Err(FuncError::new("function is disabled")));
            funcs.insert(denied.variadic(Param::Str));
        }
    }
    funcs
}

/// Whether a name is what a pattern says, where `*` stands for any text.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, name, want) in [
            ("env", "env", true),
            ("env", "mustEnv", false),
            ("env", "envOrDefault", false),
            ("env*", "envOrDefault", true),
            ("*", "file", true),
            ("sprig_*", "sprig_", true),
            ("sprig_*env", "sprig_expandenv", true),
            ("sprig_*env", "sprig_envx", false),
            ("*a*a", "a", false),
            ("*a*a", "bacad", false),
            ("*a*a", "baca", true),
            ("", "env", false),
        ] {
            assert_eq!(fits(pattern, name), want, "{pattern} {name}");
        }
    }
}
