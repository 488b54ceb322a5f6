//! Reading and writing JSON, YAML and TOML; reading numbers and booleans.

use gotemplate::{Func, FuncError, Param, UintKind, Value};

use crate::arguments::{any, bytes};
use crate::formats::json::{self, Dialect};
use crate::formats::{Fault, toml, yaml};
use crate::go::strconv;
use crate::{Entry, Profile, entry};

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("parseBool", &[Param::Str], parse_bool),
        "parseBool text",
        "The boolean that `1`, `t`, `true` and so on stand for; an empty text is false, `yes` an error.",
        r#"{{ parseBool "T" }}"#,
        "true",
    ),
    entry(
        Func::pure("parseFloat", &[Param::Str], parse_float),
        "parseFloat text",
        "The float64 that the text stands for, also in hexadecimal; an empty text is 0.",
        r#"{{ parseFloat "1.5e3" }}"#,
        "1500",
    ),
    entry(
        Func::pure("parseInt", &[Param::Str], parse_int),
        "parseInt text",
        "The int64 of a decimal text; an empty text is 0.",
        r#"{{ parseInt "-042" }}"#,
        "-42",
    ),
    entry(
        Func::pure("parseUint", &[Param::Str], parse_uint),
        "parseUint text",
        "The uint64 of a decimal text without a sign; an empty text is 0.",
        r#"{{ parseUint "42" }}"#,
        "42",
    ),
    entry(
        Func::pure("parseJSON", &[Param::Str], parse_json).any(),
        "parseJSON text",
        "The value of a JSON text; numbers become float64, so large ones print as 1e+06. An empty text is an empty map.",
        r#"{{ (parseJSON "{\"a\":[1,2]}").a }}"#,
        "[1 2]",
    ),
    entry(
        Func::pure("parseYAML", &[Param::Str], parse_yaml).any(),
        "parseYAML text",
        "The value of a YAML 1.1 text: `yes` and `off` are booleans, `010` is 8. An empty text is an empty map.",
        r#"{{ (parseYAML "a: [1, yes, 010]").a }}"#,
        "[1 true 8]",
    ),
    json(to_json::<false>, Profile::OpenBao),
    json(to_json::<true>, Profile::Vault),
    json_pretty(to_json_pretty::<false>, Profile::OpenBao),
    json_pretty(to_json_pretty::<true>, Profile::Vault),
    unescaped_json(to_unescaped_json::<false>, Profile::OpenBao),
    unescaped_json(to_unescaped_json::<true>, Profile::Vault),
    unescaped_json_pretty(to_unescaped_json_pretty::<false>, Profile::OpenBao),
    unescaped_json_pretty(to_unescaped_json_pretty::<true>, Profile::Vault),
    entry(
        Func::pure("toTOML", &[Param::Any], to_toml),
        "toTOML value",
        "TOML: simple values first, then tables, both sorted; keys without a value are left out.",
        r#"{{ toTOML (parseJSON "{\"b\":[true],\"a\":1}") }}"#,
        "a = 1.0\nb = [true]",
    ),
    entry(
        Func::pure("toYAML", &[Param::Any], to_yaml),
        "toYAML value",
        "YAML with keys in natural order; what would read as another type is quoted, long texts are folded.",
        r#"{{ toYAML (parseJSON "{\"a10\":[\"yes\"],\"a2\":1}") }}"#,
        "a2: 1\na10:\n- \"yes\"",
    ),
];

type Call = fn(&[Value]) -> Result<Value, FuncError>;

// Go before 1.27, with which Vault is built, writes no maps that YAML was read into: one entry for each profile.

const fn json(call: Call, profile: Profile) -> Entry<()> {
    entry(
        Func::pure("toJSON", &[Param::Any], call),
        "toJSON value",
        "JSON in one line, keys sorted, `<`, `>` and `&` escaped.",
        r#"{{ split "," "a,b" | toJSON }}"#,
        r#"["a","b"]"#,
    )
    .only(profile)
}

const fn json_pretty(call: Call, profile: Profile) -> Entry<()> {
    entry(
        Func::pure("toJSONPretty", &[Param::Any], call),
        "toJSONPretty value",
        "JSON with two spaces a level, keys sorted, `<`, `>` and `&` escaped.",
        r#"{{ split "," "a,b" | toJSONPretty }}"#,
        "[\n  \"a\",\n  \"b\"\n]",
    )
    .only(profile)
}

const fn unescaped_json(call: Call, profile: Profile) -> Entry<()> {
    entry(
        Func::pure("toUnescapedJSON", &[Param::Any], call),
        "toUnescapedJSON value",
        "JSON in one line, keys sorted, `<`, `>` and `&` as they are.",
        r#"{{ split "," "a,<b>" | toUnescapedJSON }}"#,
        r#"["a","<b>"]"#,
    )
    .only(profile)
}

const fn unescaped_json_pretty(call: Call, profile: Profile) -> Entry<()> {
    entry(
        Func::pure("toUnescapedJSONPretty", &[Param::Any], call),
        "toUnescapedJSONPretty value",
        "JSON with two spaces a level, keys sorted, `<`, `>` and `&` as they are.",
        r#"{{ split "," "a,<b>" | toUnescapedJSONPretty }}"#,
        "[\n  \"a\",\n  \"<b>\"\n]",
    )
    .only(profile)
}

fn parse_bool(arguments: &[Value]) -> Result<Value, FuncError> {
    parsed("parseBool", arguments, Value::from(false), |text| strconv::parse_bool(text).map(Value::from))
}

fn parse_float(arguments: &[Value]) -> Result<Value, FuncError> {
    parsed("parseFloat", arguments, Value::from(0.0), |text| strconv::parse_float(text).map(Value::from))
}

fn parse_int(arguments: &[Value]) -> Result<Value, FuncError> {
    parsed("parseInt", arguments, Value::int64(0), |text| strconv::parse_int(text).map(Value::int64))
}

fn parse_uint(arguments: &[Value]) -> Result<Value, FuncError> {
    let uint64 = |number| Value::Uint(UintKind::Uint64, number);
    parsed("parseUint", arguments, uint64(0), |text| strconv::parse_uint(text).map(uint64))
}

/// What `parse` makes of the text; `empty` if there is none.
fn parsed(
    name: &str,
    arguments: &[Value],
    empty: Value,
    parse: impl FnOnce(&[u8]) -> Result<Value, String>,
) -> Result<Value, FuncError> {
    match bytes(arguments, 0) {
        b"" => Ok(empty),
        text => parse(text).map_err(|why| FuncError::new(format!("{name}: {why}"))),
    }
}

fn empty_map() -> Value {
    Value::map::<&str>([])
}

fn parse_json(arguments: &[Value]) -> Result<Value, FuncError> {
    match bytes(arguments, 0) {
        b"" => Ok(empty_map()),
        text => {
            let parsed = json::parse(text)?;
            parsed.out_of_range.map_or(Ok(parsed.value), |why| Err(FuncError::new(why)))
        }
    }
}

fn parse_yaml(arguments: &[Value]) -> Result<Value, FuncError> {
    match bytes(arguments, 0) {
        b"" => Ok(empty_map()),
        text => Ok(yaml::parse(text)?),
    }
}

const fn dialect(escape_html: bool, vault: bool) -> Dialect {
    Dialect { escape_html, profile: if vault { Profile::Vault } else { Profile::OpenBao } }
}

fn to_json<const VAULT: bool>(arguments: &[Value]) -> Result<Value, FuncError> {
    written("toJSON", json::write(any(arguments, 0), dialect(true, VAULT)))
}

fn to_json_pretty<const VAULT: bool>(arguments: &[Value]) -> Result<Value, FuncError> {
    let compact = json::write(any(arguments, 0), dialect(true, VAULT));
    written("toJSONPretty", compact.and_then(|compact| json::indented(&compact)))
}

fn to_unescaped_json<const VAULT: bool>(arguments: &[Value]) -> Result<Value, FuncError> {
    written("toUnescapedJSON", json::write(any(arguments, 0), dialect(false, VAULT)))
}

fn to_unescaped_json_pretty<const VAULT: bool>(arguments: &[Value]) -> Result<Value, FuncError> {
    let compact = json::write(any(arguments, 0), dialect(false, VAULT));
    written("toUnescapedJSONPretty", compact.and_then(|compact| json::indented(&compact)))
}

fn to_toml(arguments: &[Value]) -> Result<Value, FuncError> {
    let value = any(arguments, 0);
    if value.is_nil() {
        return Err(FuncError::new("reflect: call of reflect.Value.Type on zero Value"));
    }
    toml::write(value).map(Value::from).map_err(|why| FuncError::new(format!("toTOML: {why}")))
}

fn to_yaml(arguments: &[Value]) -> Result<Value, FuncError> {
    Ok(Value::from(yaml::write(any(arguments, 0))?))
}

fn written(name: &str, text: Result<String, Fault>) -> Result<Value, FuncError> {
    text.map(Value::from).map_err(|why| FuncError::new(format!("{name}: {why}")))
}
