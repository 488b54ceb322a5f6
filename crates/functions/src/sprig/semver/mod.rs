//! Semantic versions, by the rules of Masterminds' semver 3.4.

mod constraint;
mod version;

use gotemplate::{Func, FuncError, Object, Param, Shape, Value};

use self::version::Version;
use crate::arguments::text;
use crate::{Entry, entry};

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("sprig_semver", &[Param::Str], semver),
        "sprig_semver version",
        "A version with Major, Minor, Patch, Prerelease, Metadata, Original, Compare and more; prints normalised.",
        r#"{{ $v := sprig_semver "v1.2-rc" }}{{ $v }} {{ $v.Minor }}"#,
        "1.2.0-rc 2",
    ),
    entry(
        Func::pure("sprig_semverCompare", &[Param::Str, Param::Str], semver_compare),
        "sprig_semverCompare constraint version",
        "Whether the version meets the constraint, such as `>=1.2 <2`, `^1.2`, `~1.2.3`, `1.x` or `1.2 - 1.4 || 2.x`.",
        r#"{{ sprig_semverCompare "^1.2.0" "1.3.0" }}"#,
        "true",
    ),
];

fn semver(arguments: &[Value]) -> Result<Value, FuncError> {
    Ok(Value::object(Version::parse(&text(arguments, 0), Shape::Pointer)?))
}

fn semver_compare(arguments: &[Value]) -> Result<Value, FuncError> {
    let alternatives = constraint::parse(&text(arguments, 0))?;
    let version = Version::parse(&text(arguments, 1), Shape::Pointer)?;
    Ok(Value::from(constraint::check(&alternatives, &version)))
}

/// What Go's deep copy makes of a version: its fields are private and stay zero.
pub(super) fn emptied(object: &dyn Object) -> Option<Value> {
    let version = object.as_any()?.downcast_ref::<Version>()?;
    Some(Value::object(Version::zero(version.shape())))
}
