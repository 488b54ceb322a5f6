//! Objects, nil pointers, missing keys and error positions: what the corpus cannot reach.

use std::borrow::Cow;

use gotemplate::{
    ExecError, ExecOptions, FuncError, Funcs, Method, MissingKey, NilType, Object, Options, Param, Shape,
    Template, Value,
};

struct Secret {
    shape: Shape,
}

impl Object for Secret {
    fn type_name(&self) -> Cow<'static, str> {
        match self.shape {
            Shape::Pointer => "*dependency.Secret".into(),
            Shape::Struct => "dependency.Secret".into(),
        }
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        let data = Value::map([("ttl", Value::number("3600")), ("null", Value::Nil)]);
        vec![("LeaseDuration", Value::int(60)), ("Data", data), ("Auth", Value::NilPointer(&AUTH))]
    }

    fn method(&self, name: &str) -> Option<Method> {
        (name == "Twice").then_some(Method::new(&[Param::Str]))
    }

    fn call(&self, _: &str, args: &[Value]) -> Result<Value, FuncError> {
        let text = args[0].as_str().unwrap_or_default();
        if text.is_empty() { Err("nothing to repeat".into()) } else { Ok(Value::from([text, text].concat())) }
    }
}

static AUTH: NilType = NilType { name: "*dependency.SecretAuth", fields: &["ClientToken"] };

#[expect(clippy::unwrap_used, reason = "called by tests only")]
fn run(text: &str, data: Value, missing_key: MissingKey) -> Result<String, Box<ExecError>> {
    let funcs: Funcs<()> = Funcs::builtins();
    let template =
        Template::parse(text.as_bytes(), &Options::default(), |name| funcs.contains(name)).unwrap();
    let options = ExecOptions { missing_key, ..ExecOptions::default() };
    let mut out = Vec::new();
    template.execute(&funcs, &mut (), data, &options, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn secret(text: &str) -> String {
    let result = run(text, Value::object(Secret { shape: Shape::Pointer }), MissingKey::Zero);
    result.unwrap_or_else(|error| error.message)
}

#[test]
fn fields_and_methods() {
    assert_eq!(
        secret("{{.LeaseDuration}} {{.Data.ttl}} {{.Data.nope}} {{.Auth}}"),
        "60 3600 <no value> <nil>"
    );
    assert_eq!(secret("{{.Twice \"ab\"}} {{\"c\" | .Twice}}"), "abab cc");
    assert_eq!(secret("{{.Twice}}"), "wrong number of args for Twice: want 1 got 0");
    assert_eq!(secret("{{.Twice \"\"}}"), "error calling Twice: nothing to repeat");
    assert_eq!(secret("{{.Nope}}"), "can't evaluate field Nope in type *dependency.Secret");
    assert_eq!(secret("{{.Data 1}}"), "Data has arguments but cannot be invoked as function");
    assert_eq!(secret("{{.Data.null.x}}"), "nil pointer evaluating interface {}.x");
}

#[test]
fn nil_pointers() {
    assert_eq!(secret("{{.Auth.ClientToken}}"), "nil pointer evaluating *dependency.SecretAuth.ClientToken");
    assert_eq!(secret("{{.Auth.Nope}}"), "can't evaluate field Nope in type *dependency.SecretAuth");
    assert_eq!(
        secret("{{with .Auth}}a{{else}}b{{end}} {{eq .Auth nil}} {{printf \"%T\" .Auth}}"),
        "b true *dependency.SecretAuth"
    );
    assert_eq!(secret("{{range .Auth}}{{end}}"), "range can't iterate over <nil>");
}

#[test]
fn printing_structs() {
    let inner = "60 map[null:<nil> ttl:3600] <nil>";
    assert_eq!(secret("{{.}}"), format!("{{{inner}}}"));
    assert_eq!(secret("{{print .}}"), format!("&{{{inner}}}"));
    let data = Value::object(Secret { shape: Shape::Struct });
    assert_eq!(run("{{print .}}", data, MissingKey::Zero).unwrap(), format!("{{{inner}}}"));
}

#[test]
fn json_numbers_are_a_string_kind() {
    assert_eq!(secret("{{eq .Data.ttl \"3600\"}} {{len .Data.ttl}} {{.Data.ttl.Int64}}"), "true 4 3600");
    assert_eq!(
        secret("{{printf \"%d %T %q\" .Data.ttl .Data.ttl .Data.ttl}}"),
        "%!d(json.Number=3600) json.Number \"3600\""
    );
    assert_eq!(
        secret("{{eq .Data.ttl 3600}}"),
        "error calling eq: incompatible types for comparison: json.Number and int"
    );
    assert_eq!(secret("{{printf .Data.ttl}}"), "wrong type for value; expected string; got json.Number");
    assert_eq!(secret("{{.Data.ttl.Nope}}"), "can't evaluate field Nope in type interface {}");
}

#[test]
fn missing_keys_by_option() {
    let run = |text, rule| {
        let data = Value::map([("a", Value::int(1))]);
        run(text, data, rule).unwrap_or_else(|error| error.message)
    };
    assert_eq!(run("{{.b}}{{.b.c}}", MissingKey::Default), "<no value><no value>");
    assert_eq!(run("{{.b.c}}", MissingKey::Zero), "nil pointer evaluating interface {}.c");
    assert_eq!(run("{{.b}}", MissingKey::Error), "map has no entry for key \"b\"");
    assert_eq!(run("{{index . \"b\"}}", MissingKey::Error), "<no value>");
}

#[test]
fn errors_know_their_place() {
    let text = "line\n{{define \"d\"}} {{ index  1 2 }}{{end}}{{template \"d\"}}";
    let error = run(text, Value::Nil, MissingKey::Zero).unwrap_err();
    assert_eq!((error.line, error.column, error.template.as_str()), (2, 18, "d"));
    assert_eq!(&text[error.span.clone()], "index");
    assert_eq!(error.context, "index 1 2");

    let funcs: Funcs<()> = Funcs::builtins();
    let text = "a\n{{ print (nope 1) }}";
    let error =
        Template::parse(text.as_bytes(), &Options::default(), |name| funcs.contains(name)).unwrap_err();
    assert_eq!(error.undefined_function.as_deref(), Some("nope"));
    assert_eq!((error.line, error.column, &text[error.span.clone()]), (2, 10, "nope"));
    assert_eq!(error.to_string(), "template: :2: function \"nope\" not defined");
}

#[test]
fn delimiters_can_be_anything() {
    let funcs: Funcs<()> = Funcs::builtins();
    let options = Options { name: "n".into(), left: b"<<".to_vec(), right: b"}".to_vec() };
    let template =
        Template::parse(b"<</* c */}{{<<- print 1 -} << 2}", &options, |name| funcs.contains(name)).unwrap();
    let mut out = Vec::new();
    template.execute(&funcs, &mut (), Value::Nil, &ExecOptions::default(), &mut out).unwrap();
    assert_eq!(out, b"{{12");

    // Messages show them, but not for a stray break.
    let refusal = |text: &[u8]| Template::parse(text, &options, |_| true).unwrap_err().message;
    assert_eq!(refusal(b"<<end}"), "unexpected <<end}");
    assert_eq!(refusal(b"<<break}"), "{{break}} outside {{range}}");
    let template = Template::parse(b"<<template \"a\"  1}", &options, |_| true).unwrap();
    let error = template.execute(&funcs, &mut (), Value::Nil, &ExecOptions::default(), &mut out).unwrap_err();
    assert_eq!(error.context, "<<template \"a\" 1}");
}
