//! Users and groups by name, from the local tables alone.

use crate::FileError;

/// The number of a user.
///
/// # Errors
/// No such name in `/etc/passwd`.
pub fn user_id(name: &str) -> Result<u32, FileError> {
    look_up("user", "/etc/passwd", name)
}

/// The number of a group.
///
/// # Errors
/// No such name in `/etc/group`.
pub fn group_id(name: &str) -> Result<u32, FileError> {
    look_up("group", "/etc/group", name)
}

/// Both tables have the name in the first field and the number in the third. Directory services are not
/// asked: a static binary cannot load their modules, and a container has none.
fn look_up(what: &'static str, table: &str, name: &str) -> Result<u32, FileError> {
    let unknown = || FileError::UnknownIdentity { what, name: name.to_owned() };
    let text = std::fs::read_to_string(table).map_err(|_| unknown())?;
    text.lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&name))
        .and_then(|fields| fields.get(2)?.parse().ok())
        .ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_root_and_nobody_else() {
        assert_eq!(user_id("root").unwrap(), 0);
        assert_eq!(group_id("root").unwrap(), 0);
        let error = user_id("no such user").unwrap_err();
        assert_eq!(error.to_string(), "failed to look up user \"no such user\"");
    }
}
