//! Addresses of this machine, in go-sockaddr's little language: a template of one action, with functions of its
//! own that make, filter and sort lists of addresses.

mod address;
mod interfaces;
mod maths;
mod rfcs;
mod select;

#[cfg(test)]
mod tests;

use std::any::Any;
use std::borrow::Cow;
use std::sync::LazyLock;

use gotemplate::{
    ExecOptions, Func, FuncError, Funcs, MissingKey, Object, Options, Param, Shape, Template, Value, sprintf,
};

use crate::arguments::{any, bytes, int, text};
use crate::{Entry, entry};
use address::Type;
use interfaces::{IfAddr, all};
use select::{Side, by_flag, by_name, by_rfc, sorted};

pub(crate) const ENTRIES: &[Entry<()>] = &[entry(
    Func::pure("sockaddr", &[], sockaddr).variadic(Param::Str),
    "sockaddr expression...",
    "What an expression of go-sockaddr makes of the addresses of this machine, such as `GetPrivateIP`.",
    r#"{{ sockaddr "GetAllInterfaces | include \"name\" \"^no such$\" | join \"address\" \" \"" }}"#,
    "",
)];

const LIST: Param = Param::Named("sockaddr.IfAddrs");
const S: Param = Param::Str;

/// What an expression may call beside Go's own functions.
static FUNCTIONS: LazyLock<Funcs<()>> = LazyLock::new(|| {
    let mut funcs = Funcs::builtins();
    funcs.extend([
        Func::pure("GetAllInterfaces", &[], |_| Ok(list(all()?))),
        Func::pure("GetDefaultInterfaces", &[], |_| Ok(list(default_interfaces()?))),
        Func::pure("GetPrivateInterfaces", &[], |_| Ok(list(forwardable(Side::Matched)?))),
        Func::pure("GetPublicInterfaces", &[], |_| Ok(list(forwardable(Side::Rest)?))),
        Func::pure("GetPrivateIP", &[], |_| Ok(first(&forwardable(Side::Matched)?))),
        Func::pure("GetPublicIP", &[], |_| Ok(first(&forwardable(Side::Rest)?))),
        Func::pure("GetPrivateIPs", &[], |_| {
            let private = by_rfc("6890", sorted("type,size", all()?)?)?.0;
            Ok(joined(&by_rfc(rfcs::NOT_FORWARDABLE, private)?.1))
        }),
        Func::pure("GetPublicIPs", &[], |_| Ok(joined(&by_rfc("6890", sorted("type,size", all()?)?)?.1))),
        Func::pure("GetInterfaceIP", &[S], |a| {
            let named = by_name(bytes(a, 0), all()?)?.0;
            Ok(first(&sorted("type,size", by_flag("forwardable", named)?.0)?))
        }),
        Func::pure("GetInterfaceIPs", &[S], |a| {
            Ok(joined(&sorted("type,size", by_name(bytes(a, 0), all()?)?.0)?))
        }),
        Func::pure("include", &[S, S, LIST], |a| {
            select::select(Side::Matched, &text(a, 0), bytes(a, 1), taken(a, 2)).map(list)
        }),
        Func::pure("exclude", &[S, S, LIST], |a| {
            select::select(Side::Rest, &text(a, 0), bytes(a, 1), taken(a, 2)).map(list)
        }),
        Func::pure("sort", &[S, LIST], |a| sorted(&text(a, 0), taken(a, 1)).map(list)),
        Func::pure("unique", &[S, LIST], |a| select::unique(&text(a, 0), taken(a, 1)).map(list)),
        Func::pure("limit", &[Param::Uint64, LIST], limit),
        Func::pure("offset", &[Param::Int, LIST], offset),
        Func::pure("attr", &[S, Param::Any], attr),
        Func::pure("join", &[S, S, LIST], join),
        Func::pure("math", &[S, S, LIST], |a| maths::each(&text(a, 0), &text(a, 1), taken(a, 2)).map(list)),
    ]);
    funcs
});

/// The function `sockaddr`: what an expression makes of the addresses of this machine.
///
/// # Errors
/// Upstream's texts.
pub fn sockaddr(arguments: &[Value]) -> Result<Value, FuncError> {
    let words: Vec<&[u8]> = arguments.iter().map(|word| word.as_str().unwrap_or_default()).collect();
    let input = [b"{{ ", words.join(&b' ').as_slice(), b" }}"].concat();
    evaluate(&input).map(Value::from)
}

/// What a text with expressions in double braces, such as `{{ GetPrivateIP }}:8200`, makes of the addresses of this
/// machine.
///
/// # Errors
/// Upstream's texts.
pub fn address(template: &str) -> Result<String, String> {
    let made = evaluate(template.as_bytes()).map_err(|why| why.to_string())?;
    Ok(String::from_utf8_lossy(&made).into_owned())
}

fn evaluate(input: &[u8]) -> Result<Vec<u8>, FuncError> {
    let failed = |doing: &str, why: String| {
        let quoted = sprintf(b"%+q", &[Value::from(input)]).unwrap_or_default();
        FuncError::new(format!("unable to {doing} {}: {why}", String::from_utf8_lossy(&quoted)))
    };
    let options = Options { name: "sockaddr.Parse".into(), ..Options::default() };
    let template = Template::parse(input, &options, |name| FUNCTIONS.contains(name))
        .map_err(|why| failed("parse template", why.to_string()))?;
    let options = ExecOptions { missing_key: MissingKey::Error, ..ExecOptions::default() };
    let mut out = Vec::new();
    template
        .execute(&FUNCTIONS, &mut (), list(all()?), &options, &mut out)
        .map_err(|why| failed("execute sockaddr input", why.to_string()))?;
    Ok(out)
}

// === Lists of addresses as values ===

/// A `sockaddr.IfAddrs`. Known by its name only, so that functions can ask for it; it has no elements to
/// templates.
struct IfAddrs(Vec<IfAddr>);

impl Object for IfAddrs {
    fn type_name(&self) -> Cow<'static, str> {
        "sockaddr.IfAddrs".into()
    }

    fn shape(&self) -> Shape {
        Shape::Struct
    }

    fn text(&self) -> Option<Vec<u8>> {
        let all: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        Some(format!("[{}]", all.join(" ")).into_bytes())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

fn list(addresses: Vec<IfAddr>) -> Value {
    Value::object(IfAddrs(addresses))
}

fn view(value: &Value) -> Option<&[IfAddr]> {
    match value {
        Value::Object(object) => Some(&object.as_any()?.downcast_ref::<IfAddrs>()?.0),
        _ => None,
    }
}

fn taken(arguments: &[Value], nth: usize) -> Vec<IfAddr> {
    view(any(arguments, nth)).unwrap_or_default().to_vec()
}

// === Functions ===

fn default_interfaces() -> Result<Vec<IfAddr>, FuncError> {
    let name = interfaces::default_name()?;
    Ok(all()?.into_iter().filter(|address| address.interface.name == name).collect())
}

/// Those that a router would forward, up, the default interface first; private ones (RFC 6890) or the others.
fn forwardable(side: Side) -> Result<Vec<IfAddr>, FuncError> {
    let up = by_flag("up", by_flag("forwardable", all()?)?.0)?.0;
    Ok(side.of(by_rfc("6890", sorted("default,type,size", up)?)?))
}

fn first(addresses: &[IfAddr]) -> Value {
    Value::from(addresses.first().map(|one| one.address.ip()).unwrap_or_default())
}

fn joined(addresses: &[IfAddr]) -> Value {
    let all: Vec<String> = addresses.iter().map(|one| one.address.ip()).collect();
    Value::from(all.join(" "))
}

fn limit(arguments: &[Value]) -> Result<Value, FuncError> {
    let mut addresses = taken(arguments, 1);
    if let Value::Uint(_, count) = any(arguments, 0) {
        addresses.truncate(usize::try_from(*count).unwrap_or(usize::MAX));
    }
    Ok(list(addresses))
}

fn offset(arguments: &[Value]) -> Result<Value, FuncError> {
    let (offset, addresses) = (int(arguments, 0), taken(arguments, 1));
    let (magnitude, count) = (offset.unsigned_abs(), addresses.len());
    let Some(skip) = usize::try_from(magnitude).ok().filter(|&skip| skip <= count) else {
        return Err(FuncError::new(format!(
            "unable to seek past the end of the interface array: offset ({magnitude}) exceeds the number of \
             interfaces ({count})"
        )));
    };
    let begin = if offset < 0 { count - skip } else { skip };
    Ok(list(addresses.get(begin..).unwrap_or_default().to_vec()))
}

fn attr(arguments: &[Value]) -> Result<Value, FuncError> {
    let (name, value) = (text(arguments, 0), any(arguments, 1));
    let Some(addresses) = view(value) else {
        let shown = sprintf(b"%v", std::slice::from_ref(value)).unwrap_or_default();
        return Err(FuncError::new(format!(
            "unable to obtain attribute {name} from type {} ({})",
            value.type_name(),
            String::from_utf8_lossy(&shown)
        )));
    };
    match addresses.first() {
        Some(address) => attribute(address, &name).map(Value::from),
        None => Ok(Value::from("")),
    }
}

fn join(arguments: &[Value]) -> Result<Value, FuncError> {
    let (name, separator) = (text(arguments, 0), text(arguments, 1));
    let addresses = view(any(arguments, 2)).unwrap_or_default();
    let all: Result<Vec<String>, FuncError> =
        addresses.iter().map(|address| attribute(address, &name)).collect();
    let all = all?;
    let length: usize = all.iter().map(|one| one.len().saturating_add(separator.len())).sum();
    crate::arguments::bounded(length)?;
    Ok(Value::from(all.join(&separator)))
}

fn attribute(address: &IfAddr, name: &str) -> Result<String, FuncError> {
    let name = name.to_lowercase();
    match name.as_str() {
        "flags" => Ok(address.interface.flags.to_string()),
        "name" => Ok(address.interface.name.clone()),
        "type" => Ok(match address.address.kind() {
            Type::V4 => "IPv4".into(),
            Type::V6 => "IPv6".into(),
        }),
        _ => address
            .address
            .attribute(&name)
            .ok_or_else(|| FuncError::new(format!("unsupported attribute name {name:?}"))),
    }
}
