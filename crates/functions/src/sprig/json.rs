//! JSON.

use gotemplate::{Func, FuncError, Param, Value};

use crate::arguments::{any, bytes};
use crate::formats::Fault;
use crate::formats::json::{self, Dialect};
use crate::{Entry, Profile, entry};

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("sprig_fromJson", &[Param::Str], from_json).any(),
        "sprig_fromJson text",
        "The value of a JSON text, numbers as float64; nil if it is none.",
        r#"{{ (sprig_fromJson "{\"a\":1}").a }}"#,
        "1",
    ),
    entry(
        Func::pure("sprig_mustFromJson", &[Param::Str], must_from_json).any(),
        "sprig_mustFromJson text",
        "The value of a JSON text, numbers as float64.",
        r#"{{ (sprig_mustFromJson "{\"a\":1}").a }}"#,
        "1",
    ),
    to_json("sprig_toJson", "sprig_toJson value", plain::<false>, Profile::OpenBao),
    to_json("sprig_toJson", "sprig_toJson value", plain::<true>, Profile::Vault),
    to_json("sprig_mustToJson", "sprig_mustToJson value", must::<false>, Profile::OpenBao),
    to_json("sprig_mustToJson", "sprig_mustToJson value", must::<true>, Profile::Vault),
    to_pretty_json("sprig_toPrettyJson", "sprig_toPrettyJson value", plain_pretty::<false>, Profile::OpenBao),
    to_pretty_json("sprig_toPrettyJson", "sprig_toPrettyJson value", plain_pretty::<true>, Profile::Vault),
    to_pretty_json(
        "sprig_mustToPrettyJson",
        "sprig_mustToPrettyJson value",
        must_pretty::<false>,
        Profile::OpenBao,
    ),
    to_pretty_json(
        "sprig_mustToPrettyJson",
        "sprig_mustToPrettyJson value",
        must_pretty::<true>,
        Profile::Vault,
    ),
    to_raw_json("sprig_toRawJson", "sprig_toRawJson value", raw::<false>, Profile::OpenBao),
    to_raw_json("sprig_toRawJson", "sprig_toRawJson value", raw::<true>, Profile::Vault),
    to_raw_json("sprig_mustToRawJson", "sprig_mustToRawJson value", raw::<false>, Profile::OpenBao),
    to_raw_json("sprig_mustToRawJson", "sprig_mustToRawJson value", raw::<true>, Profile::Vault),
];

type Call = fn(Vec<Value>) -> Result<Value, FuncError>;

const fn to_json(name: &'static str, signature: &'static str, call: Call, profile: Profile) -> Entry<()> {
    let (summary, example) = if is_must(name) {
        ("JSON in one line, keys sorted, `<`, `>` and `&` escaped.", r#"{{ sprig_mustToJson "<a>" }}"#)
    } else {
        (
            "JSON in one line, keys sorted, `<`, `>` and `&` escaped; an empty text if there is no JSON for it.",
            r#"{{ sprig_toJson "<a>" }}"#,
        )
    };
    entry(Func::pure(name, &[Param::Any], call), signature, summary, example, r#""\u003ca\u003e""#)
        .only(profile)
}

const fn to_pretty_json(
    name: &'static str,
    signature: &'static str,
    call: Call,
    profile: Profile,
) -> Entry<()> {
    let (summary, example) = if is_must(name) {
        ("JSON with two spaces a level.", r#"{{ split "," "a" | sprig_mustToPrettyJson }}"#)
    } else {
        (
            "JSON with two spaces a level; an empty text if there is no JSON for it.",
            r#"{{ split "," "a" | sprig_toPrettyJson }}"#,
        )
    };
    entry(Func::pure(name, &[Param::Any], call), signature, summary, example, "[\n  \"a\"\n]").only(profile)
}

const fn to_raw_json(name: &'static str, signature: &'static str, call: Call, profile: Profile) -> Entry<()> {
    let example =
        if is_must(name) { r#"{{ sprig_mustToRawJson "<a>" }}"# } else { r#"{{ sprig_toRawJson "<a>" }}"# };
    let summary = "JSON in one line, keys sorted, `<`, `>` and `&` as they are.";
    entry(Func::pure(name, &[Param::Any], call), signature, summary, example, r#""<a>""#).only(profile)
}

const fn is_must(name: &str) -> bool {
    matches!(name.as_bytes(), [_, _, _, _, _, _, b'm', ..])
}

fn from_json(arguments: Vec<Value>) -> Result<Value, FuncError> {
    Ok(lenient(json::parse(bytes(&arguments, 0)))?.map_or(Value::NilInterface, |parsed| parsed.value))
}

fn must_from_json(arguments: Vec<Value>) -> Result<Value, FuncError> {
    let parsed = json::parse(bytes(&arguments, 0))?;
    parsed.out_of_range.map_or(Ok(parsed.value), |why| Err(FuncError::new(why)))
}

/// Without what Go would say; only bounds of ours are told.
fn lenient<T>(outcome: Result<T, Fault>) -> Result<Option<T>, FuncError> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(Fault::Said(_)) => Ok(None),
        Err(Fault::Bound(why)) => Err(why),
    }
}

fn written(arguments: &[Value], escape_html: bool, vault: bool) -> Result<String, Fault> {
    let profile = if vault { Profile::Vault } else { Profile::OpenBao };
    json::write(any(arguments, 0), Dialect { escape_html, profile })
}

fn pretty(arguments: &[Value], vault: bool) -> Result<String, Fault> {
    written(arguments, true, vault).and_then(|compact| json::indented(&compact))
}

fn plain<const VAULT: bool>(arguments: Vec<Value>) -> Result<Value, FuncError> {
    Ok(Value::from(lenient(written(&arguments, true, VAULT))?.unwrap_or_default()))
}

fn must<const VAULT: bool>(arguments: Vec<Value>) -> Result<Value, FuncError> {
    Ok(Value::from(written(&arguments, true, VAULT)?))
}

fn plain_pretty<const VAULT: bool>(arguments: Vec<Value>) -> Result<Value, FuncError> {
    Ok(Value::from(lenient(pretty(&arguments, VAULT))?.unwrap_or_default()))
}

fn must_pretty<const VAULT: bool>(arguments: Vec<Value>) -> Result<Value, FuncError> {
    Ok(Value::from(pretty(&arguments, VAULT)?))
}

fn raw<const VAULT: bool>(arguments: Vec<Value>) -> Result<Value, FuncError> {
    Ok(Value::from(written(&arguments, false, VAULT)?))
}
