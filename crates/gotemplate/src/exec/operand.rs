//! What expressions evaluate to.

use crate::value::Value;

/// A value and whether Go would hold it in an `interface {}`: elements of a `[]interface {}` are, until a
/// pipeline unwraps them. The difference shows in messages and for nil.
#[derive(Clone, Debug)]
pub(super) struct Operand {
    pub(super) value: Value,
    pub(super) interface: bool,
}

impl Operand {
    /// A value that came out of a container or function of this static type.
    pub(super) fn of_type(value: Value, any: bool) -> Self {
        match value {
            Value::Nil if any => Self { value: Value::NilInterface, interface: true },
            value => Self { interface: any || matches!(value, Value::NilInterface), value },
        }
    }

    /// What a pipeline makes of it: the interface is gone, a nil one is no value at all.
    pub(super) fn unwrapped(self) -> Self {
        match self.value {
            Value::NilInterface => Self::from(Value::Nil),
            value => Self { value, interface: false },
        }
    }

    pub(super) fn type_name(&self) -> String {
        if self.interface { "interface {}".into() } else { self.value.type_name() }
    }
}

impl From<Value> for Operand {
    fn from(value: Value) -> Self {
        Self { interface: matches!(value, Value::NilInterface), value }
    }
}
