//! Reading and writing JSON, YAML and TOML; reading numbers and booleans.

use gotemplate::{Func, FuncError, Param, Value};

use crate::arguments::any;
use crate::formats::json;
use crate::{Entry, entry};

pub(crate) const ENTRIES: &[Entry<()>] = &[entry(
    Func::pure("toJSON", &[Param::Any], to_json),
    "toJSON value",
    "JSON in one line, keys sorted, `<`, `>` and `&` escaped.",
    r#"{{ split "," "a,b" | toJSON }}"#,
    r#"["a","b"]"#,
)];

fn to_json(arguments: Vec<Value>) -> Result<Value, FuncError> {
    json::marshal(any(&arguments, 0)).map(Value::from).map_err(|why| FuncError::new(format!("toJSON: {why}")))
}
