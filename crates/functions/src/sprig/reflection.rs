//! Types and kinds, and comparison in depth.

use gotemplate::{Func, FuncError, Param, Value};

use super::convert::kind;
use super::deep::{Walk, equal};
use crate::arguments::{any, bytes};
use crate::{Entry, entry};

const NAME_VALUE: &[Param] = &[Param::Str, Param::Any];

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("sprig_typeOf", &[Param::Any], |arguments| Ok(any(arguments, 0).type_name().into())),
        "sprig_typeOf value",
        "The name of the value's Go type.",
        "{{ sprig_typeOf (sprig_list 1) }}",
        "[]interface {}",
    ),
    entry(
        Func::pure("sprig_typeIs", NAME_VALUE, type_is),
        "sprig_typeIs name value",
        "Whether the value's Go type has this name.",
        r#"{{ sprig_typeIs "int" 1 }}"#,
        "true",
    ),
    entry(
        Func::pure("sprig_typeIsLike", NAME_VALUE, type_is_like),
        "sprig_typeIsLike name value",
        "Whether the value is of this type or a pointer to it.",
        r#"{{ sprig_typeIsLike "semver.Version" (sprig_semver "1.2.3") }}"#,
        "true",
    ),
    entry(
        Func::pure("sprig_kindOf", &[Param::Any], |arguments| Ok(kind(any(arguments, 0)).into())),
        "sprig_kindOf value",
        "The kind of the value's Go type: string, int, slice, map, invalid for nil.",
        "{{ sprig_kindOf (sprig_list 1) }}",
        "slice",
    ),
    entry(
        Func::pure("sprig_kindIs", NAME_VALUE, kind_is),
        "sprig_kindIs kind value",
        "Whether the value is of this kind.",
        r#"{{ sprig_kindIs "map" (sprig_dict) }}"#,
        "true",
    ),
    entry(
        Func::pure("sprig_deepEqual", &[Param::Any, Param::Any], deep_equal),
        "sprig_deepEqual value value",
        "Whether two values are the same all the way down, types included.",
        "{{ sprig_deepEqual (sprig_list 1 2) (sprig_list 1 2) }}",
        "true",
    ),
];

fn type_is(arguments: &[Value]) -> Result<Value, FuncError> {
    Ok(Value::from(any(arguments, 1).type_name().as_bytes() == bytes(arguments, 0)))
}

fn type_is_like(arguments: &[Value]) -> Result<Value, FuncError> {
    let (wanted, name) = (bytes(arguments, 0), any(arguments, 1).type_name());
    let pointed = name.strip_prefix('*').map(str::as_bytes);
    Ok(Value::from(name.as_bytes() == wanted || pointed == Some(wanted)))
}

fn kind_is(arguments: &[Value]) -> Result<Value, FuncError> {
    Ok(Value::from(kind(any(arguments, 1)).as_bytes() == bytes(arguments, 0)))
}

fn deep_equal(arguments: &[Value]) -> Result<Value, FuncError> {
    equal(any(arguments, 0), any(arguments, 1), &mut Walk::new()).map(Value::from)
}
