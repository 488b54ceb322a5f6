//! Small stand-ins for the agent's functions, just enough for the corpus.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use gotemplate::{
    Call, Chan, Func, FuncError, Funcs, Key, Map, Method, Object, Param, Render, Type, UintKind, Value,
};

/// What lives as long as one rendering.
#[derive(Default)]
pub(crate) struct Context {
    scratch: Arc<Scratch>,
}

type Answer = Result<Value, FuncError>;

/// Go's builtins and the stand-ins.
pub(crate) fn funcs() -> Funcs<Context> {
    let mut funcs = Funcs::builtins();
    funcs.extend([
        Func::pure("split", &[Param::Str, Param::Str], split),
        Func::pure("join", &[Param::Str, Param::Strings], join),
        Func::pure("splitToMap", &[Param::Str, Param::Str, Param::Str], split_to_map),
        Func::pure("toUpper", &[Param::Str], |args| Ok(Value::from(string(&args[0]).to_uppercase()))),
        Func::pure("indent", &[Param::Int, Param::Str], indent),
        Func::pure("loop", &[Param::Any], range).variadic(Param::Any),
        Func::pure("parseInt", &[Param::Str], |args| {
            let text = string(&args[0]);
            let wrong = |_| format!("parseInt: strconv.ParseInt: parsing {text:?}: invalid syntax");
            Ok(Value::int64(text.parse().map_err(wrong)?))
        }),
        Func::pure("parseUint", &[Param::Str], |args| {
            Ok(Value::Uint(UintKind::Uint64, string(&args[0]).parse().unwrap_or(0)))
        }),
        Func::pure("parseJSON", &[Param::Str], |args| Ok(Json::read(&string(&args[0])))).any(),
        Func::pure("add", &[Param::Any, Param::Any], |args| {
            Ok(Value::int64(args[0].as_int().unwrap_or(0) + args[1].as_int().unwrap_or(0)))
        })
        .any(),
        Func::pure("divide", &[Param::Any, Param::Any], |args| {
            let quotient = args[1].as_int().unwrap_or(0).checked_div(args[0].as_int().unwrap_or(0));
            quotient.map(Value::int64).ok_or_else(|| "runtime error: integer divide by zero".into())
        })
        .any(),
        Func::pure("mergeMap", &[Param::StringMap, Param::StringMap], |args| Ok(args[0].clone())),
        Func::pure("sprig_list", &[], |args| Ok(Value::list(args.to_vec()))).variadic(Param::Any),
        Func::pure("secret", &[], |args| match args.get(1).map(string) {
            Some(pair) if !pair.contains('=') => Err(format!("not k=v pair {pair:?}").into()),
            _ => Ok(Value::Nil),
        })
        .any()
        .variadic(Param::Str),
        Func::with("scratch", &[], |context: &mut Context, _| Ok(Value::Object(context.scratch.clone()))),
        Func::new("executeTemplate", &[Param::Str], Call::Render(execute_template)).variadic(Param::Any),
    ]);
    funcs
}

fn string(value: &Value) -> String {
    String::from_utf8_lossy(value.as_str().unwrap_or_default()).into_owned()
}

fn execute_template(_: &mut Context, args: &[Value]) -> Result<Render, FuncError> {
    if args.len() > 2 {
        let count = args.len();
        return Err(
            format!("executeTemplate: wrong number of arguments, expected 1 or 2, but got {count}").into()
        );
    }
    let data = args.get(1).cloned().unwrap_or(Value::Nil);
    Ok(Render { template: args[0].as_str().unwrap_or_default().to_vec(), data })
}

fn split(args: &[Value]) -> Answer {
    let (separator, text) = (string(&args[0]), string(&args[1]));
    let text = text.trim();
    if separator.is_empty() {
        return Ok(Value::strings(text.chars().map(String::from)));
    }
    Ok(if text.is_empty() { Value::strings([""; 0]) } else { Value::strings(text.split(&separator)) })
}

fn join(args: &[Value]) -> Answer {
    let Value::List(list) = &args[1] else { return Err("no list".into()) };
    Ok(Value::from(list.items().iter().map(string).collect::<Vec<_>>().join(&string(&args[0]))))
}

fn split_to_map(args: &[Value]) -> Answer {
    let (outer, inner, text) = (string(&args[0]), string(&args[1]), string(&args[2]));
    let pairs = text.split(&outer).filter_map(|pair| pair.split_once(&inner));
    Ok(Value::Map(Map::new(Type::Str, Type::Str, pairs.map(|(k, v)| (Key::str(k), Value::from(v))))))
}

fn indent(args: &[Value]) -> Answer {
    let Ok(count) = usize::try_from(args[0].as_int().unwrap_or(0)) else {
        return Err("indent value must be a positive integer".into());
    };
    Ok(Value::from(" ".repeat(count) + &string(&args[1])))
}

fn range(args: &[Value]) -> Answer {
    let bounds: Vec<i64> = args.iter().filter_map(Value::as_int).collect();
    Ok(Value::Chan(Chan::new(match bounds.as_slice() {
        [end] => 0..*end,
        [start, end] => *start..*end,
        _ => 0..0,
    })))
}

/// The agent's scratch pad.
#[derive(Default)]
struct Scratch(Mutex<BTreeMap<String, Value>>);

impl Object for Scratch {
    fn type_name(&self) -> Cow<'static, str> {
        "*template.Scratch".into()
    }

    fn method(&self, name: &str) -> Option<Method> {
        Some(match name {
            "Key" => Method::new(&[Param::Str]),
            "Get" => Method::new(&[Param::Str]).any(),
            "Set" => Method::new(&[Param::Str, Param::Any]),
            "MapSet" => Method::new(&[Param::Str, Param::Str, Param::Any]),
            _ => return None,
        })
    }

    fn call(&self, name: &str, args: &[Value]) -> Answer {
        let key = string(&args[0]);
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match name {
            "Key" => Ok(Value::from(values.contains_key(&key))),
            "Get" => Ok(values.get(&key).cloned().unwrap_or(Value::Nil)),
            "Set" => {
                values.insert(key, args[1].clone());
                Ok(Value::from(""))
            }
            _ => {
                let map = values.entry(key.clone()).or_insert_with(|| Value::map([("", Value::Nil); 0]));
                let Value::Map(map) = map else { return Err(format!("{key:?} is not a map").into()) };
                map.insert(Key::str(string(&args[1])), args[2].clone());
                Ok(Value::from(""))
            }
        }
    }
}

/// JSON that is known to be well formed, without escapes in strings.
struct Json<'a>(&'a str);

impl Json<'_> {
    fn read(text: &str) -> Value {
        Json(text).value()
    }

    fn value(&mut self) -> Value {
        self.0 = self.0.trim_start();
        if self.skip("{") {
            let mut entries = Vec::new();
            while !self.skip("}") {
                let key = string(&self.value());
                self.skip(":");
                entries.push((key, self.value()));
                self.skip(",");
            }
            return Value::map(entries);
        }
        if self.skip("[") {
            let mut items = Vec::new();
            while !self.skip("]") {
                items.push(self.value());
                self.skip(",");
            }
            return Value::list(items);
        }
        if self.skip("\"") {
            let (text, rest) = self.0.split_once('"').unwrap_or((self.0, ""));
            self.0 = rest;
            return Value::from(text);
        }
        let end = self.0.find([',', ']', '}']).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        match word {
            "null" => Value::Nil,
            "true" => Value::from(true),
            "false" => Value::from(false),
            number => Value::Float(number.parse().unwrap_or(f64::NAN)),
        }
    }

    fn skip(&mut self, token: &str) -> bool {
        let rest = self.0.trim_start().strip_prefix(token);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }
}
