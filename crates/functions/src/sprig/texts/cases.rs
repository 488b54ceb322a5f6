//! Upper and lower case, and the cases of identifiers.

use gotemplate::{Func, FuncError, Value};

use super::TEXT;
use super::words::{Capitals, camel, connected};
use crate::arguments::bytes;
use crate::go::strings;
use crate::go::unicode::{is_lower, is_title, is_upper, to_lower, to_title, to_upper};
use crate::{Entry, Profile, entry};

pub(crate) const ENTRIES: &[Entry<()>] =
    &[
        entry(
            Func::pure("sprig_upper", TEXT, |arguments| mapped(arguments, to_upper)),
            "sprig_upper text",
            "Upper case, character by character: a sharp s stays.",
            r#"{{ sprig_upper "abc" }}"#,
            "ABC",
        ),
        entry(
            Func::pure("sprig_lower", TEXT, |arguments| mapped(arguments, to_lower)),
            "sprig_lower text",
            "Lower case, character by character.",
            r#"{{ sprig_lower "ABC" }}"#,
            "abc",
        ),
        entry(
            Func::pure("sprig_title", TEXT, title),
            "sprig_title text",
            "A capital at the start of each word; the other letters stay.",
            r#"{{ sprig_title "hello wORLD" }}"#,
            "Hello WORLD",
        ),
        entry(
            Func::pure("sprig_untitle", TEXT, untitle),
            "sprig_untitle text",
            "A small letter at the start of each word; the other letters stay.",
            r#"{{ sprig_untitle "Hello WORLD" }}"#,
            "hello wORLD",
        ),
        entry(
            Func::pure("sprig_swapcase", TEXT, swapcase),
            "sprig_swapcase text",
            "Small letters for capitals and the other way round.",
            r#"{{ sprig_swapcase "aLiCe" }}"#,
            "AlIcE",
        ),
        entry(
            Func::pure("sprig_snakecase", TEXT, |arguments| Ok(connected(bytes(arguments, 0), '_').into())),
            "sprig_snakecase text",
            "Small letters with an underscore between words.",
            r#"{{ sprig_snakecase "someHTTPServer" }}"#,
            "some_http_server",
        ),
        entry(
            Func::pure("sprig_kebabcase", TEXT, |arguments| Ok(connected(bytes(arguments, 0), '-').into())),
            "sprig_kebabcase text",
            "Small letters with a hyphen between words.",
            r#"{{ sprig_kebabcase "someHTTPServer" }}"#,
            "some-http-server",
        ),
        entry(
            Func::pure("sprig_camelcase", TEXT, |arguments| {
                Ok(camel(bytes(arguments, 0), Capitals::Keep).into())
            }),
            "sprig_camelcase text",
            "Words joined, each with a capital; other capitals stay.",
            r#"{{ sprig_camelcase "http_server foo" }}"#,
            "HttpServerFoo",
        )
        .only(Profile::OpenBao),
        entry(
            Func::pure("sprig_camelcase", TEXT, |arguments| {
                Ok(camel(bytes(arguments, 0), Capitals::Lower).into())
            }),
            "sprig_camelcase text",
            "Words joined, each with a capital; words of capitals become small behind the first.",
            r#"{{ sprig_camelcase "HTTP_server foo" }}"#,
            "HttpServerFoo",
        )
        .only(Profile::Vault),
    ];

fn mapped(arguments: &[Value], map: fn(char) -> char) -> Result<Value, FuncError> {
    Ok(Value::from(strings::map(bytes(arguments, 0), map)))
}

fn title(arguments: &[Value]) -> Result<Value, FuncError> {
    let mut before = ' ';
    let titled = strings::map(bytes(arguments, 0), |rune| {
        let begins = if before.is_ascii() {
            !(before.is_ascii_alphanumeric() || before == '_')
        } else {
            before.is_whitespace()
        };
        before = rune;
        if begins { to_title(rune) } else { rune }
    });
    Ok(Value::from(titled))
}

fn untitle(arguments: &[Value]) -> Result<Value, FuncError> {
    let mut begins = true;
    let untitled = strings::map(bytes(arguments, 0), |rune| {
        let small = begins && !rune.is_whitespace();
        begins = rune.is_whitespace();
        if small { to_lower(rune) } else { rune }
    });
    Ok(Value::from(untitled))
}

fn swapcase(arguments: &[Value]) -> Result<Value, FuncError> {
    let mut begins = true;
    let swapped = strings::map(bytes(arguments, 0), |rune| {
        if is_upper(rune) || is_title(rune) {
            begins = false;
            to_lower(rune)
        } else if is_lower(rune) {
            if std::mem::take(&mut begins) { to_title(rune) } else { to_upper(rune) }
        } else {
            begins = rune.is_whitespace();
            rune
        }
    });
    Ok(Value::from(swapped))
}
