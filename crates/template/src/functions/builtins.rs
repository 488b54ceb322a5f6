//! Help for the functions that every Go template has. They themselves are in `gotemplate`.

use ::functions::Help;

const fn help(
    signature: &'static str,
    summary: &'static str,
    example: &'static str,
    output: &'static str,
) -> Help {
    Help { signature, summary, example, output, only: None }
}

pub(super) const HELP: &[(&str, Help)] = &[
    (
        "and",
        help(
            "and value values...",
            "The first value that is empty, or the last; what follows the first is not evaluated.",
            r#"{{ and true "yes" }}"#,
            "yes",
        ),
    ),
    (
        "call",
        help(
            "call function values...",
            "Calls a value that is a function. Nothing here is one, so it always fails.",
            r#"{{ if false }}{{ call . }}{{ end }}none"#,
            "none",
        ),
    ),
    (
        "eq",
        help(
            "eq value other others...",
            "Whether the value equals one of the others; comparing different kinds is an error.",
            r#"{{ eq 2 1 2 3 }}"#,
            "true",
        ),
    ),
    ("ge", help("ge a b", "Whether a is at least b.", r#"{{ ge 2 2 }}"#, "true")),
    ("gt", help("gt a b", "Whether a is greater than b.", r#"{{ gt 2 1 }}"#, "true")),
    (
        "html",
        help(
            "html values...",
            "The text with < > & and quotes escaped.",
            r#"{{ html "<a & b>" }}"#,
            "&lt;a &amp; b&gt;",
        ),
    ),
    (
        "index",
        help(
            "index collection keys...",
            "An element of a list or a map, at any depth; needed for keys that are no names.",
            r#"{{ index (split "," "a,b,c") 1 }}"#,
            "b",
        ),
    ),
    ("js", help("js values...", "The text escaped for a JavaScript string.", r#"{{ js "it's" }}"#, r"it\'s")),
    ("le", help("le a b", "Whether a is at most b.", r#"{{ le 1 2 }}"#, "true")),
    ("len", help("len value", "How many elements, keys, or bytes of a text.", r#"{{ len "äb" }}"#, "3")),
    ("lt", help("lt a b", "Whether a is less than b.", r#"{{ lt 1 2 }}"#, "true")),
    ("ne", help("ne a b", "Whether a and b differ.", r#"{{ ne "a" "b" }}"#, "true")),
    ("not", help("not value", "Whether the value is empty.", r#"{{ not "" }}"#, "true")),
    (
        "or",
        help(
            "or value values...",
            "The first value that is not empty, or the last; what follows the first is not evaluated.",
            r#"{{ or "" "b" }}"#,
            "b",
        ),
    ),
    (
        "print",
        help(
            "print values...",
            "The values as text, with a space between two that are no texts.",
            r#"{{ print 1 2 "a" 3 }}"#,
            "1 2a3",
        ),
    ),
    (
        "printf",
        help(
            "printf format values...",
            "Go's fmt.Sprintf: %s text, %d integer, %q quoted, %v anything.",
            r#"{{ printf "%s=%03d" "a" 7 }}"#,
            "a=007",
        ),
    ),
    (
        "println",
        help(
            "println values...",
            "The values with spaces between them and a newline behind.",
            r#"{{ println "a" 1 }}"#,
            "a 1\n",
        ),
    ),
    (
        "slice",
        help(
            "slice value from [to]",
            "A part of a list, or of a text by bytes.",
            r#"{{ slice "abcdef" 1 3 }}"#,
            "bc",
        ),
    ),
    (
        "urlquery",
        help(
            "urlquery values...",
            "The text escaped for the query of a URL.",
            r#"{{ urlquery "a b&c" }}"#,
            "a+b%26c",
        ),
    ),
];
