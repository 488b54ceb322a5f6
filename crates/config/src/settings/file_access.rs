//! Who may use a file, and how: modes, users and groups.

use hcl1::Kind;

use crate::decode::Fields;
use crate::go_scalar::parse_octal;

/// A user or a group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Identity {
    /// By number.
    Id(u32),
    /// By name, looked up when it is used.
    Name(String),
}

impl Identity {
    /// The number of the user it names.
    ///
    /// # Errors
    /// No such user on this machine.
    pub fn user_id(&self) -> Result<u32, atomic_file::FileError> {
        match self {
            Self::Id(id) => Ok(*id),
            Self::Name(name) => atomic_file::user_id(name),
        }
    }

    /// The number of the group it names.
    ///
    /// # Errors
    /// No such group on this machine.
    pub fn group_id(&self) -> Result<u32, atomic_file::FileError> {
        match self {
            Self::Id(id) => Ok(*id),
            Self::Name(name) => atomic_file::group_id(name),
        }
    }
}

/// The permission bits of a file, with those for setuid, setgid and sticky.
const ALL_BITS: i64 = 0o7777;

/// A file's mode: a number as it stands (0640 is octal in HCL, JSON writes 416), or octal digits in a string.
pub(crate) fn read_mode(fields: &Fields<'_>, key: &'static str) -> Option<u32> {
    let value = fields.value(key)?;
    let mode = match &value.kind {
        Kind::Number(text) => {
            let mode = fields.integer(key)?;
            if !text.starts_with('0') && fields.is_hcl() && mode > 7 {
                fields.warn(
                    value.span,
                    format!("`{key}` is the decimal number {text}, which is the mode 0{mode:o}"),
                    format!("octal numbers start with a zero: 0{text}"),
                );
            }
            mode
        }
        Kind::Null => return None,
        _ => {
            let text = fields.text(key)?;
            match parse_octal(&text) {
                Ok(mode) => i64::from(mode),
                Err(why) => {
                    fields.refuse_with(
                        value.span,
                        format!("'{key}' {why}"),
                        "write the mode in octal digits: \"0640\"",
                    );
                    return None;
                }
            }
        }
    };
    match u32::try_from(mode) {
        Ok(bits) if mode <= ALL_BITS => Some(bits),
        _ => {
            fields.refuse_with(
                value.span,
                format!("'{key}' {mode} is no mode of a file"),
                "modes go from 0 to 07777",
            );
            None
        }
    }
}

/// A user or a group, by name or by number.
pub(crate) fn read_identity(fields: &Fields<'_>, key: &'static str) -> Option<Identity> {
    if let Some(Kind::Number(_)) = fields.value(key).map(|value| &value.kind) {
        return read_id(fields, key);
    }
    let text = fields.filled(key)?;
    Some(match text.parse() {
        Ok(id) => Identity::Id(id),
        Err(_) => Identity::Name(text),
    })
}

/// Users or groups, by name or by number.
pub(crate) fn read_identities(fields: &Fields<'_>, key: &'static str) -> Vec<Identity> {
    let names = fields.strings(key).unwrap_or_default();
    if fields.has(key) && names.iter().all(String::is_empty) {
        // An empty list would serve everybody.
        fields.refuse_with(
            fields.span_of(key),
            format!("'{key}' names nobody"),
            "name users or groups, or remove the key",
        );
    }
    let identity = |name: String| match name.parse() {
        Ok(id) => Identity::Id(id),
        Err(_) => Identity::Name(name),
    };
    names.into_iter().filter(|name| !name.is_empty()).map(identity).collect()
}

/// A user or a group by number; -1 leaves it alone.
pub(crate) fn read_id(fields: &Fields<'_>, key: &'static str) -> Option<Identity> {
    let id = fields.integer(key)?;
    if id == -1 {
        return None;
    }
    match u32::try_from(id) {
        // The last number is the kernel's own "leave it alone".
        Ok(id) if id != u32::MAX => Some(Identity::Id(id)),
        _ => {
            fields
                .refuse(fields.span_of(key), format!("`{key}` must be -1 or the number of a user or group"));
            None
        }
    }
}
