//! What a credential file may hold, and what of it is the credential.

use serde_json::Value;
use vault::SecretString;

/// What a credential file may hold. No reason for a refusal holds any of its content.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Shape {
    /// One line; white space around it is no part of it.
    Line,
    /// One line, a JSON Web Token.
    Jwt,
    /// A password: one line, white space and all, but for the newline at its end that editors and `echo` put there.
    Password,
    /// A JWT-SVID: the token, or JSON around it. With an identity, the token of that one.
    Svid(Option<String>),
}

impl Shape {
    /// The credential in a file's content.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn take(&self, bytes: Vec<u8>) -> Result<SecretString, String> {
        let text = match String::from_utf8(bytes) {
            Ok(text) => SecretString::from(text),
            Err(_) => return Err("it is not text".to_owned()),
        };
        let text = text.expose();
        match self {
            Self::Line => line(text.trim()).map(SecretString::new).map_err(str::to_owned),
            Self::Jwt => jwt(text).map(SecretString::new).map_err(str::to_owned),
            Self::Password => {
                let text = text.strip_suffix('\n').unwrap_or(text);
                let text = text.strip_suffix('\r').unwrap_or(text);
                line(text).map(SecretString::new).map_err(str::to_owned)
            }
            Self::Svid(wanted) => svid(text, wanted.as_deref()),
        }
    }
}

fn line(text: &str) -> Result<&str, &'static str> {
    match text {
        "" => Err("it is empty"),
        text if text.contains(['\n', '\r']) => Err("it holds more than one line"),
        text if text.contains('\0') => Err("it is not text"),
        text => Ok(text),
    }
}

/// A JWT by its outside: three parts. One that is half written is mostly told from a whole one by that, and a file of
/// another kind always.
fn jwt(text: &str) -> Result<&str, &'static str> {
    let text = line(text.trim())?;
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte))
    };
    if text.split('.').count() == 3 && text.split('.').all(is_part) {
        Ok(text)
    } else {
        Err("it holds no whole JWT, which has three parts with dots between them")
    }
}

/// The token itself, as `spiffe-helper` writes it, or what `spire-agent api fetch jwt -output json` prints:
/// `[{"svids": [{"spiffe_id": …, "svid": …}]}, {"bundles": …}]`.
fn svid(text: &str, wanted: Option<&str>) -> Result<SecretString, String> {
    if !text.trim_start().starts_with(['[', '{']) {
        return jwt(text).map(SecretString::new).map_err(str::to_owned);
    }
    let json: Value = serde_json::from_str(text).map_err(|error| {
        format!(
            "it is no whole JSON: it breaks off or is broken at line {} column {}",
            error.line(),
            error.column()
        )
    })?;
    let mut found = Vec::new();
    collect(&json, &mut found);
    let chosen = match wanted {
        None => found.first(),
        Some(wanted) => found.iter().find(|(identity, _)| *identity == Some(wanted)),
    };
    match (chosen, wanted) {
        (Some((_, token)), _) => jwt(token).map(SecretString::new).map_err(str::to_owned),
        (None, Some(wanted)) if !found.is_empty() => Err(format!("it holds no SVID of {wanted}")),
        (None, _) => Err("its JSON holds no `svids`".to_owned()),
    }
}

/// All SVIDs with their identities, from any of the objects of `spire-agent`'s list or a single one.
fn collect<'a>(json: &'a Value, found: &mut Vec<(Option<&'a str>, &'a str)>) {
    let objects = match json {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    for object in objects {
        let Some(svids) = object.get("svids").and_then(Value::as_array) else { continue };
        for svid in svids {
            if let Some(token) = svid.get("svid").and_then(Value::as_str) {
                found.push((svid.get("spiffe_id").and_then(Value::as_str), token));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(shape: &Shape, text: &str) -> Result<String, String> {
        shape.take(text.as_bytes().to_vec()).map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn a_line_is_trimmed_and_a_password_is_not() {
        for (text, line, password) in [
            (" s.x \r\n\n", Ok("s.x"), Err("it holds more than one line")),
            ("p w ", Ok("p w"), Ok("p w ")),
            ("pw\n", Ok("pw"), Ok("pw")),
            (" pw\r\n", Ok("pw"), Ok(" pw")),
            ("pw\n\n", Ok("pw"), Err("it holds more than one line")),
            ("\n", Err("it is empty"), Err("it is empty")),
            ("", Err("it is empty"), Err("it is empty")),
            ("a\nb", Err("it holds more than one line"), Err("it holds more than one line")),
            ("a\0b", Err("it is not text"), Err("it is not text")),
        ] {
            let owned = |result: Result<&str, &str>| result.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(taken(&Shape::Line, text), owned(line), "{text:?}");
            assert_eq!(taken(&Shape::Password, text), owned(password), "{text:?}");
        }
        assert_eq!(Shape::Line.take(vec![0xff, 0xfe]), Err("it is not text".to_owned()));
    }

    #[test]
    fn a_jwt_has_three_parts() {
        assert_eq!(taken(&Shape::Jwt, " e30.e30.c2ln\n").as_deref(), Ok("e30.e30.c2ln"));
        for text in [
            "e30.e30",
            "e30.e30.",
            "e30..c2ln",
            "e30.e30.c2ln.x",
            "{\"a\": 1}",
            "<html>a.b.c</html>",
            "a b.c.d",
        ] {
            let error = taken(&Shape::Jwt, text).unwrap_err();
            assert!(error.contains("no whole JWT"), "{text}: {error}");
        }
    }

    #[test]
    fn an_svid_comes_alone_or_in_json() {
        let json = r#"[{"svids":[{"hint":"","spiffe_id":"spiffe://a/one","svid":"a.a.a"},{"spiffe_id":"spiffe://a/two","svid":"b.b.b"}]},{"bundles":{"a":"e30="}}]"#;
        let svid = |id: Option<&str>, text: &str| taken(&Shape::Svid(id.map(str::to_owned)), text);
        assert_eq!(svid(None, "a.a.a").as_deref(), Ok("a.a.a"));
        assert_eq!(svid(None, json).as_deref(), Ok("a.a.a"));
        assert_eq!(svid(Some("spiffe://a/two"), json).as_deref(), Ok("b.b.b"));
        assert_eq!(svid(None, r#"{"svids":[{"svid":"a.a.a"}]}"#).as_deref(), Ok("a.a.a"));
        assert_eq!(svid(Some("spiffe://a/no"), json).unwrap_err(), "it holds no SVID of spiffe://a/no");
        for cut in 1..json.len() {
            let error = svid(None, &json[..cut]).unwrap_err();
            assert!(error.starts_with("it is no whole JSON") && !error.contains("a.a.a"), "{error}");
        }
        assert_eq!(svid(None, "{}").unwrap_err(), "its JSON holds no `svids`");
    }
}
