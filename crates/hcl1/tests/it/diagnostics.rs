//! What a person sees of a mistake.

use hcl1::{Color, Source, parse};

fn rendered(text: &str) -> String {
    let errors = parse(&Source::new("agent.hcl", text)).unwrap_err();
    errors.iter().map(|e| e.render(Color::Plain)).collect::<Vec<_>>().join("\n\n")
}

#[test]
fn shows_the_line_a_caret_and_a_hint() {
    assert_eq!(
        rendered("vault {\n  address = http\n}\n"),
        "\
error: Unknown token: 2:13 IDENT http
 --> agent.hcl:2:13
  |
2 |   address = http
  |             ^^^^
  |
  = hint: a value is a quoted string, a number, true, false, a list or an object"
    );
}

#[test]
fn tells_of_every_mistake_in_one_run() {
    let text = "pid_file = 'a'\nvault {\n  address = x\n  retry { num_retries 5 }\n}\nlog_level = [1 2]\n";
    let errors = parse(&Source::new("a.hcl", text)).unwrap_err();
    let lines: Vec<String> = errors.iter().map(hcl1::Diagnostic::upstream_text).collect();
    assert_eq!(
        lines,
        [
            "At 1:12: illegal char",
            "At 3:13: Unknown token: 3:13 IDENT x",
            "At 4:23: expected: IDENT | STRING | ASSIGN | LBRACE got: NUMBER",
            "At 6:16: error parsing list, expected comma or list end, got: NUMBER",
        ]
    );
}

#[test]
fn says_which_brace_is_open() {
    let text = rendered("vault {\n  address = \"a\"\n");
    assert!(text.contains("object expected closing RBRACE got: EOF"), "{text}");
    assert!(text.contains("the brace opened in line 1 is never closed"), "{text}");
}

#[test]
fn a_file_cannot_drive_the_terminal() {
    let text = rendered("a = \x1b[31mred\n");
    assert!(!text.contains('\x1b'), "{text:?}");
}

#[test]
fn deep_nesting_is_refused_not_followed() {
    for (open, close) in [("a {", "}"), ("[", "]"), ("{\"a\":", "}")] {
        let start = if open == "[" { "a = " } else { "" };
        let text = format!("{start}{}1{}", open.repeat(100_000), close.repeat(100_000));
        let errors = parse(&Source::new("deep", text)).unwrap_err();
        assert!(errors[0].message.contains("levels deep"), "{}", errors[0].message);
    }
}
