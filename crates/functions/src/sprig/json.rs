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
    to_json(Form::Lenient, plain::<false>, Profile::OpenBao),
    to_json(Form::Lenient, plain::<true>, Profile::Vault),
    to_json(Form::Must, must::<false>, Profile::OpenBao),
    to_json(Form::Must, must::<true>, Profile::Vault),
    to_pretty_json(Form::Lenient, plain_pretty::<false>, Profile::OpenBao),
    to_pretty_json(Form::Lenient, plain_pretty::<true>, Profile::Vault),
    to_pretty_json(Form::Must, must_pretty::<false>, Profile::OpenBao),
    to_pretty_json(Form::Must, must_pretty::<true>, Profile::Vault),
    to_raw_json(Form::Lenient, raw::<false>, Profile::OpenBao),
    to_raw_json(Form::Lenient, raw::<true>, Profile::Vault),
    to_raw_json(Form::Must, raw::<false>, Profile::OpenBao),
    to_raw_json(Form::Must, raw::<true>, Profile::Vault),
];

type Call = fn(&[Value]) -> Result<Value, FuncError>;

/// Which of two functions: sprig has each under a second name, which says what went wrong.
#[derive(Clone, Copy)]
enum Form {
    Lenient,
    Must,
}

const fn of_any(
    [name, signature, summary, example]: [&'static str; 4],
    output: &'static str,
    call: Call,
    profile: Profile,
) -> Entry<()> {
    entry(Func::pure(name, &[Param::Any], call), signature, summary, example, output).only(profile)
}

const fn to_json(form: Form, call: Call, profile: Profile) -> Entry<()> {
    let help = match form {
        Form::Lenient => [
            "sprig_toJson",
            "sprig_toJson value",
            "JSON in one line, keys sorted, `<`, `>` and `&` escaped; an empty text if there is no JSON for it.",
            r#"{{ sprig_toJson "<a>" }}"#,
        ],
        Form::Must => [
            "sprig_mustToJson",
            "sprig_mustToJson value",
            "JSON in one line, keys sorted, `<`, `>` and `&` escaped.",
            r#"{{ sprig_mustToJson "<a>" }}"#,
        ],
    };
    of_any(help, r#""\u003ca\u003e""#, call, profile)
}

const fn to_pretty_json(form: Form, call: Call, profile: Profile) -> Entry<()> {
    let help = match form {
        Form::Lenient => [
            "sprig_toPrettyJson",
            "sprig_toPrettyJson value",
            "JSON with two spaces a level; an empty text if there is no JSON for it.",
            r#"{{ split "," "a" | sprig_toPrettyJson }}"#,
        ],
        Form::Must => [
            "sprig_mustToPrettyJson",
            "sprig_mustToPrettyJson value",
            "JSON with two spaces a level.",
            r#"{{ split "," "a" | sprig_mustToPrettyJson }}"#,
        ],
    };
    of_any(help, "[\n  \"a\"\n]", call, profile)
}

const fn to_raw_json(form: Form, call: Call, profile: Profile) -> Entry<()> {
    let summary = "JSON in one line, keys sorted, `<`, `>` and `&` as they are.";
    let help = match form {
        Form::Lenient => {
            ["sprig_toRawJson", "sprig_toRawJson value", summary, r#"{{ sprig_toRawJson "<a>" }}"#]
        }
        Form::Must => [
            "sprig_mustToRawJson",
            "sprig_mustToRawJson value",
            summary,
            r#"{{ sprig_mustToRawJson "<a>" }}"#,
        ],
    };
    of_any(help, r#""<a>""#, call, profile)
}

fn from_json(arguments: &[Value]) -> Result<Value, FuncError> {
    Ok(lenient(json::parse(bytes(arguments, 0)))?.map_or(Value::NilInterface, |parsed| parsed.value))
}

fn must_from_json(arguments: &[Value]) -> Result<Value, FuncError> {
    let parsed = json::parse(bytes(arguments, 0))?;
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

fn plain<const VAULT: bool>(arguments: &[Value]) -> Result<Value, FuncError> {
    Ok(Value::from(lenient(written(arguments, true, VAULT))?.unwrap_or_default()))
}

fn must<const VAULT: bool>(arguments: &[Value]) -> Result<Value, FuncError> {
    Ok(Value::from(written(arguments, true, VAULT)?))
}

fn plain_pretty<const VAULT: bool>(arguments: &[Value]) -> Result<Value, FuncError> {
    Ok(Value::from(lenient(pretty(arguments, VAULT))?.unwrap_or_default()))
}

fn must_pretty<const VAULT: bool>(arguments: &[Value]) -> Result<Value, FuncError> {
    Ok(Value::from(pretty(arguments, VAULT)?))
}

fn raw<const VAULT: bool>(arguments: &[Value]) -> Result<Value, FuncError> {
    Ok(Value::from(written(arguments, false, VAULT)?))
}
