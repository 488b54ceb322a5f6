//! URLs taken apart and put together.

use gotemplate::{Func, FuncError, Map, Param, Value};

use super::convert::{NIL_DEREFERENCE, kind};
use crate::arguments::{bounded, bytes};
use crate::go::url::{self, Part, User, escaped, host_name};
use crate::{Entry, entry};

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("sprig_urlParse", &[Param::Str], url_parse),
        "sprig_urlParse url",
        "A dictionary of the URL's parts: scheme, userinfo, host, hostname, path, query, opaque, fragment.",
        r#"{{ (sprig_urlParse "https://example.com:8200/v1").host }}"#,
        "example.com:8200",
    ),
    entry(
        Func::pure("sprig_urlJoin", &[Param::StringMap], url_join),
        "sprig_urlJoin dict",
        "The URL of such parts.",
        r#"{{ sprig_urlJoin (sprig_dict "scheme" "https" "host" "example.com" "path" "/v1") }}"#,
        "https://example.com/v1",
    ),
];

fn url_parse(arguments: &[Value]) -> Result<Value, FuncError> {
    let url = url::parse(bytes(arguments, 0)).map_err(|why| format!("unable to parse url: {why}"))?;
    Ok(Value::map([
        ("scheme", Value::from(url.scheme)),
        ("hostname", Value::from(host_name(&url.host))),
        ("host", Value::from(url.host)),
        ("path", Value::from(url.path)),
        ("query", Value::from(url.query)),
        ("opaque", Value::from(url.opaque)),
        ("fragment", Value::from(url.fragment)),
        ("userinfo", Value::from(url.user.map(|user| user.text()).unwrap_or_default())),
    ]))
}

/// A part of the dictionary, empty if it is not there.
fn part(map: &Map, name: &str) -> Result<Vec<u8>, FuncError> {
    match map.get_str(name) {
        None => Ok(Vec::new()),
        Some(Value::Str(text)) => Ok(text.to_vec()),
        Some(Value::Number(text)) => Ok(text.as_bytes().to_vec()),
        Some(Value::Nil | Value::NilInterface) => Err(NIL_DEREFERENCE.into()),
        Some(other) => {
            let found = kind(&other);
            Err(format!("unable to parse {name} key, must be of type string, but {found} found").into())
        }
    }
}

fn url_join(arguments: &[Value]) -> Result<Value, FuncError> {
    let Some(Value::Map(map)) = arguments.first() else { return Ok(Value::from("")) };
    let (scheme, host, path) = (part(map, "scheme")?, part(map, "host")?, part(map, "path")?);
    let (query, opaque) = (part(map, "query")?, part(map, "opaque")?);
    let (fragment, user_info) = (part(map, "fragment")?, part(map, "userinfo")?);
    let user = user(&user_info)?;
    bounded(3 * (scheme.len() + host.len() + path.len() + query.len() + fragment.len() + user_info.len()))?;

    let mut out = Vec::new();
    if !scheme.is_empty() {
        out.extend([scheme.as_slice(), b":"].concat());
    }
    if opaque.is_empty() {
        let has_authority = !host.is_empty() || user.is_some();
        if has_authority || !scheme.is_empty() && !path.is_empty() {
            out.extend_from_slice(b"//");
        }
        if let Some(user) = user {
            out.extend(user.text());
            out.push(b'@');
        }
        out.extend(escaped(&host, Part::Host));
        let path = if path == b"*" { path } else { escaped(&path, Part::Path) };
        if !path.is_empty() && !path.starts_with(b"/") && !host.is_empty() {
            out.push(b'/');
        }
        // Else the first segment would read as a scheme.
        if out.is_empty()
            && path.split(|byte| *byte == b'/').next().is_some_and(|first| first.contains(&b':'))
        {
            out.extend_from_slice(b"./");
        }
        out.extend(path);
    } else {
        out.extend(opaque);
    }
    if !query.is_empty() {
        out.push(b'?');
        out.extend(query);
    }
    if !fragment.is_empty() {
        out.push(b'#');
        out.extend(escaped(&fragment, Part::Fragment));
    }
    Ok(Value::from(out))
}

fn user(text: &[u8]) -> Result<Option<User>, FuncError> {
    if text.is_empty() {
        return Ok(None);
    }
    let url = [b"proto://", text, b"@host"].concat();
    let url = url::parse(&url).map_err(|why| format!("unable to parse userinfo in dict: {why}"))?;
    Ok(url.user)
}
