//! What was fetched, as templates see it: `*dependency.Secret`, `dependency.PemEncoded`.

use std::borrow::Cow;

use std::sync::Arc;

use functions::Profile;
use functions::formats::json::to_value;
use functions::go::layout;
use gotemplate::{FuncError, Key, List, Map, Method, NilType, Object, Shape, Type, Value};

use crate::pki::Certificate;

/// A secret's answer, turned into template values once.
pub(crate) struct SecretObject {
    request_id: Value,
    lease_id: Value,
    lease_duration: Value,
    renewable: Value,
    data: Value,
    warnings: Value,
    auth: Value,
    wrap_info: Value,
}

const AUTH: NilType = NilType {
    name: "*dependency.SecretAuth",
    fields: &["ClientToken", "Accessor", "Policies", "Metadata", "LeaseDuration", "Renewable"],
};

const WRAP_INFO: NilType = NilType {
    name: "*dependency.SecretWrapInfo",
    fields: &["Token", "TTL", "CreationTime", "WrappedAccessor"],
};

static NIL_AUTH: NilType = AUTH;
static NIL_WRAP_INFO: NilType = WRAP_INFO;

impl SecretObject {
    pub(crate) fn value(secret: &vault::Secret) -> Value {
        let auth = match &secret.auth {
            None => Value::NilPointer(&NIL_AUTH),
            Some(auth) => Value::object(Fields {
                name: AUTH.name,
                fields: vec![
                    ("ClientToken", Value::from(auth.client_token.expose())),
                    ("Accessor", Value::from(auth.accessor.expose())),
                    ("Policies", strings(&auth.policies)),
                    ("Metadata", metadata(&auth.metadata)),
                    ("LeaseDuration", Value::int(auth.lease_duration)),
                    ("Renewable", Value::from(auth.renewable)),
                ],
            }),
        };
        let wrap_info = match &secret.wrap_info {
            None => Value::NilPointer(&NIL_WRAP_INFO),
            Some(wrap) => Value::object(Fields {
                name: WRAP_INFO.name,
                fields: vec![
                    ("Token", Value::from(wrap.token.expose())),
                    ("TTL", Value::int(wrap.ttl)),
                    ("CreationTime", time(&wrap.creation_time)),
                    ("WrappedAccessor", Value::from(wrap.wrapped_accessor.expose())),
                ],
            }),
        };
        let data = match &secret.data {
            Some(data) if !data.is_empty() => {
                Value::map(data.iter().map(|(key, value)| (key, to_value(value))))
            }
            _ => Value::Map(Map::nil(Type::Str, Type::Any)),
        };
        Value::object(Self {
            request_id: Value::from(secret.request_id.as_str()),
            lease_id: Value::from(secret.lease_id.as_str()),
            lease_duration: Value::int(secret.lease_duration),
            renewable: Value::from(secret.renewable),
            data,
            warnings: strings(&secret.warnings),
            auth,
            wrap_info,
        })
    }
}

impl Object for SecretObject {
    fn type_name(&self) -> Cow<'static, str> {
        "*dependency.Secret".into()
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("RequestID", self.request_id.clone()),
            ("LeaseID", self.lease_id.clone()),
            ("LeaseDuration", self.lease_duration.clone()),
            ("Renewable", self.renewable.clone()),
            ("Data", self.data.clone()),
            ("Warnings", self.warnings.clone()),
            ("Auth", self.auth.clone()),
            ("WrapInfo", self.wrap_info.clone()),
        ]
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(match name {
            "RequestID" => self.request_id.clone(),
            "LeaseID" => self.lease_id.clone(),
            "LeaseDuration" => self.lease_duration.clone(),
            "Renewable" => self.renewable.clone(),
            "Data" => self.data.clone(),
            "Warnings" => self.warnings.clone(),
            "Auth" => self.auth.clone(),
            "WrapInfo" => self.wrap_info.clone(),
            _ => return None,
        })
    }
}

/// A `time.Time`; the zero one for what is none.
fn time(text: &str) -> Value {
    Value::object(layout::parse(layout::RFC3339_NANO, text.as_bytes()).unwrap_or_default())
}

/// A `[]string`, nil when it is empty.
fn strings(texts: &[String]) -> Value {
    if texts.is_empty() {
        return Value::List(List::nil(Type::Str));
    }
    Value::strings(texts.iter().map(String::as_str))
}

/// A `map[string]string`, nil when it is empty.
fn metadata(fields: &serde_json::Map<String, serde_json::Value>) -> Value {
    if fields.is_empty() {
        return Value::Map(Map::nil(Type::Str, Type::Str));
    }
    let text = |value: &serde_json::Value| Value::from(value.as_str().unwrap_or_default());
    let entries = fields.iter().map(|(key, value)| (Key::str(key), text(value)));
    Value::Map(Map::new(Type::Str, Type::Str, entries))
}

/// A certificate as templates see it. `.Data` is the certificate itself, so that templates for `secret` fit.
pub(crate) struct PemObject(pub(crate) Arc<Certificate>, pub(crate) Profile);

impl Object for PemObject {
    fn type_name(&self) -> Cow<'static, str> {
        "dependency.PemEncoded".into()
    }

    fn shape(&self) -> Shape {
        Shape::Struct
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        let names: &[_] = match self.1 {
            Profile::OpenBao => &["Cert", "Key", "CA"],
            Profile::Vault => &["Cert", "Key", "CA", "CAChain"],
        };
        names.iter().filter_map(|name| Some((*name, self.field(name)?))).collect()
    }

    /// `CAChain` is there in both profiles; only Vault's prints it.
    fn field(&self, name: &str) -> Option<Value> {
        Some(match name {
            "Cert" => Value::from(self.0.cert.as_str()),
            "Key" => Value::from(self.0.key.as_str()),
            "CA" => Value::from(self.0.ca.as_str()),
            "CAChain" => strings(&self.0.chain),
            _ => return None,
        })
    }

    fn method(&self, name: &str) -> Option<Method> {
        (name == "Data").then_some(Method::new(&[]))
    }

    fn call(&self, _: &str, _: &[Value]) -> Result<Value, FuncError> {
        Ok(Value::object(Self(Arc::clone(&self.0), self.1)))
    }

    fn equals(&self, other: &dyn Object) -> bool {
        other.as_any().and_then(|other| other.downcast_ref::<Self>()).is_some_and(|other| self.0 == other.0)
    }

    fn as_any(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }
}

/// A pointer to a struct with these fields.
struct Fields {
    name: &'static str,
    fields: Vec<(&'static str, Value)>,
}

impl Object for Fields {
    fn type_name(&self) -> Cow<'static, str> {
        self.name.into()
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        self.fields.clone()
    }
}
