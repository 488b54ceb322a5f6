//! `scratch`: a store that lives as long as one evaluation.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ::functions::{Entry, entry};
use gotemplate::{Func, FuncError, Key, List, Map, Method, Object, Param, Type, Value};

use super::text;
use crate::evaluate::Evaluation;
use crate::words::quoted;

pub(super) const ENTRIES: &[Entry<Evaluation>] = &[entry(
    Func::with("scratch", &[], |evaluation: &mut Evaluation, _| {
        Ok(Value::Object(Arc::clone(&evaluation.scratch) as Arc<dyn Object>))
    }),
    "scratch",
    "A store for one rendering, shared by all defined templates: .Key, .Get, .Set, .SetX (if absent), .MapSet, \
     .MapSetX, .MapValues.",
    r#"{{ scratch.Set "seen" 3 }}{{ scratch.Get "seen" }}"#,
    "3",
)];

/// What `scratch` gives.
#[derive(Default)]
pub(crate) struct Scratch(Mutex<BTreeMap<String, Value>>);

impl Scratch {
    /// Lets go of everything: it may hold itself.
    pub(crate) fn clear(&self) {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        drop(all);
    }
}

const KEY: Method = Method::new(&[Param::Str]);
const GET: Method = Method::new(&[Param::Str]).any();
const SET: Method = Method::new(&[Param::Str, Param::Any]);
const MAP_SET: Method = Method::new(&[Param::Str, Param::Str, Param::Any]);

impl Object for Scratch {
    fn type_name(&self) -> Cow<'static, str> {
        "*template.Scratch".into()
    }

    fn method(&self, name: &str) -> Option<Method> {
        Some(match name {
            "Key" | "MapValues" => KEY,
            "Get" => GET,
            "Set" | "SetX" => SET,
            "MapSet" | "MapSetX" => MAP_SET,
            _ => return None,
        })
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Result<Value, FuncError> {
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = text(arguments, 0);
        let last = arguments.last().cloned().unwrap_or(Value::Nil);
        match name {
            "Key" => return Ok(Value::from(values.contains_key(&key))),
            "Get" => return Ok(values.get(&key).cloned().unwrap_or(Value::Nil)),
            "MapValues" => return Ok(sorted(values.get(&key))),
            "Set" => drop(values.insert(key, last)),
            "SetX" => drop(values.entry(key).or_insert(last)),
            _ => {
                let empty = || Value::map::<&str>([]);
                let Value::Map(map) = values.entry(key.clone()).or_insert_with(empty) else {
                    return Err(not_a_map(&key));
                };
                if !is_string_map(map) {
                    return Err(not_a_map(&key));
                }
                let inner = Key::str(arguments.get(1).and_then(Value::as_str).unwrap_or_default());
                if name == "MapSet" || map.get(&inner).is_none() {
                    // Go holds nil in an interface here.
                    let last = if last.is_nil() { Value::NilInterface } else { last };
                    if !map.insert(inner, last) {
                        return Err("assignment to entry in nil map".into());
                    }
                }
            }
        }
        Ok(Value::from(""))
    }
}

/// The values of a map in the order of its keys; nil for anything else.
fn sorted(value: Option<&Value>) -> Value {
    match value {
        Some(Value::Map(map)) if is_string_map(map) => {
            Value::list(map.entries().into_iter().map(|(_, value)| value).collect())
        }
        _ => Value::List(List::nil(Type::Any)),
    }
}

fn is_string_map(map: &Map) -> bool {
    *map.key() == Type::Str && *map.value() == Type::Any
}

fn not_a_map(key: &str) -> FuncError {
    FuncError::new(format!("{} is not a map", quoted(key)))
}
