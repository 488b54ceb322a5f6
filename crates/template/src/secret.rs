//! A fetched secret as templates see it: `*dependency.Secret`.

use std::borrow::Cow;

use gotemplate::{NilType, Object, Type, Value};

use functions::formats::json::to_value;

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
                    ("Policies", Value::strings(auth.policies.iter().map(String::as_str))),
                    ("Metadata", Value::map(auth.metadata.iter().map(|(key, value)| (key, to_value(value))))),
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
                    ("CreationTime", Value::from(wrap.creation_time.as_str())),
                    ("WrappedAccessor", Value::from(wrap.wrapped_accessor.expose())),
                ],
            }),
        };
        let data = match &secret.data {
            Some(data) => Value::map(data.iter().map(|(key, value)| (key, to_value(value)))),
            None => Value::Map(gotemplate::Map::nil(Type::Str, Type::Any)),
        };
        Value::object(Self {
            request_id: Value::from(secret.request_id.as_str()),
            lease_id: Value::from(secret.lease_id.as_str()),
            lease_duration: Value::int(secret.lease_duration),
            renewable: Value::from(secret.renewable),
            data,
            warnings: Value::strings(secret.warnings.iter().map(String::as_str)),
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
