//! What comes from the server: `secret`, `secrets`, `pkiCert`.

use std::sync::Arc;

use ::functions::{Entry, entry};
use gotemplate::{Func, FuncError, List, Param, Type, Value};

use super::{text, texts};
use crate::dependency::Dependency;
use crate::evaluate::{Evaluation, Known};
use crate::secret::{PemObject, SecretObject};

pub(super) const ENTRIES: &[Entry<Evaluation>] = &[
    entry(
        Func::with("secret", &[], secret).variadic(Param::Str).any(),
        "secret path [key=value...]",
        "A secret; with pairs, the answer to writing them. Nothing until it was fetched, so use `with`.",
        r#"{{ with secret "secret/app" }}{{ .Data.data.password }}{{ end }}"#,
        "hunter2",
    ),
    entry(
        Func::with("secrets", &[Param::Str], secrets),
        "secrets path",
        "The sorted names below a path; folders end in a slash. Empty where nothing is.",
        r#"{{ range secrets "secret/" }}{{ . }} {{ end }}"#,
        "app db/ ",
    ),
    entry(
        Func::with("pkiCert", &[], certificate).variadic(Param::Str).any(),
        "pkiCert path key=value...",
        "A certificate, its key and its CA. The template's own file is where it is kept until its time is up, \
         so write `.Cert`, `.Key` and `.CA` to one file.",
        r#"{{ with pkiCert "pki/issue/web" "common_name=web" }}{{ .Key }}{{ end }}"#,
        "-----BEGIN PRIVATE KEY-----\n",
    ),
];

fn secret(evaluation: &mut Evaluation, arguments: &[Value]) -> Result<Value, FuncError> {
    let Some(dependency) = Dependency::secret(&texts(arguments))? else { return Ok(Value::Nil) };
    Ok(match evaluation.need(dependency) {
        Some(Known::Secret(Some(secret))) => SecretObject::value(&secret),
        _ => Value::Nil,
    })
}

fn secrets(evaluation: &mut Evaluation, arguments: &[Value]) -> Result<Value, FuncError> {
    let path = text(arguments, 0);
    let known = if path.is_empty() { None } else { evaluation.need(Dependency::list(&path)?) };
    Ok(match known {
        Some(Known::List(Some(names))) => Value::strings(names.iter().map(String::as_str)),
        _ => Value::List(List::nil(Type::Str)),
    })
}

fn certificate(evaluation: &mut Evaluation, arguments: &[Value]) -> Result<Value, FuncError> {
    let destination = evaluation.destination.clone();
    let dependency = Dependency::certificate(&texts(arguments), destination)?;
    let Some(dependency) = dependency else { return Ok(Value::Nil) };
    Ok(match evaluation.need(dependency) {
        Some(Known::Certificate(certificate)) => {
            Value::object(PemObject(Arc::clone(&certificate), evaluation.world.profile))
        }
        _ => Value::Nil,
    })
}
