//! No input panics, overflows the stack or runs without end.

use gotemplate::{ExecOptions, Limits, MAX_PAREN_DEPTH, Options, Template, Value};

use crate::functions::{Context, funcs};

/// Renders with small limits; errors are fine.
fn run(text: &[u8], limits: Limits) -> Result<Vec<u8>, String> {
    let funcs = funcs();
    let template = Template::parse(text, &Options::default(), |name| funcs.contains(name));
    let template = template.map_err(|error| error.to_string())?;
    let options = ExecOptions { limits, ..ExecOptions::default() };
    let mut out = Vec::new();
    let data = Value::map([("a", Value::strings(["x", "y"])), ("b", Value::int(3)), ("c", Value::Nil)]);
    match template.execute(&funcs, &mut Context::default(), data, &options, &mut out) {
        Ok(()) => Ok(out),
        Err(error) => Err(error.to_string()),
    }
}

const SMALL: Limits = Limits { steps: 2_000, output: 10_000, memory: 1 << 20, depth: 100 };

/// Marsaglia's xorshift: the same sequence on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

const PIECES: &[&str] = &[
    "{{",
    "}}",
    "{{- ",
    " -}}",
    "{{/*",
    "*/}}",
    " ",
    "\n",
    "if ",
    "else ",
    "end",
    "range ",
    "with ",
    "define ",
    "block ",
    "template ",
    "break",
    "continue",
    "nil",
    "true",
    "$",
    "$x",
    ":=",
    "=",
    ",",
    "|",
    "(",
    ")",
    ".",
    ".a",
    ".b.c",
    "\"a\"",
    "`r`",
    "'c'",
    "1",
    "-2.5",
    "0x1p4",
    "1i",
    "print ",
    "printf ",
    "\"%[2]*.*d %v\" ",
    "index ",
    "slice ",
    "eq ",
    "lt ",
    "len ",
    "and ",
    "or ",
    "not ",
    "html ",
    "js ",
    "sprig_list ",
    "executeTemplate ",
    "\"t\"",
    "{{end}}",
    "{{define \"t\"}}",
    "{{range .a}}",
    "{{$x := .}}",
    "{{template \"t\" .}}",
    "\u{e9}",
    "\\",
    "\"",
    "`",
];

#[test]
fn arbitrary_pieces_never_panic() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..30_000 {
        let mut text = Vec::new();
        for _ in 0..random.below(24) {
            if random.below(40) == 0 {
                text.push(random.below(256) as u8);
            } else {
                text.extend_from_slice(PIECES[random.below(PIECES.len())].as_bytes());
            }
        }
        let _ = run(&text, SMALL);
    }
}

#[test]
fn arbitrary_actions_never_panic() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for _ in 0..30_000 {
        let mut text = b"{{define \"t\"}}{{.}}{{end}}{{$x := .a}}{{".to_vec();
        for _ in 0..1 + random.below(8) {
            text.extend_from_slice(PIECES[18 + random.below(36)].as_bytes());
            text.push(b' ');
        }
        text.extend_from_slice(b"}}");
        let _ = run(&text, SMALL);
    }
}

#[test]
fn arbitrary_formats_never_panic() {
    let mut random = Random(88_172_645_463_325_252);
    let alphabet = b"%%%%+-# 0123456789.*[]vTdsqxXobcUeEfgGtpw\xff!";
    for _ in 0..30_000 {
        let format: Vec<u8> = (0..random.below(12)).map(|_| alphabet[random.below(alphabet.len())]).collect();
        let args =
            [Value::int(-3), Value::from("é\u{0}"), Value::from(1e-7), Value::Complex(1.0, -2.0), Value::Nil];
        let _ = gotemplate::sprintf(&format, &args[random.below(5)..]);
    }
}

#[test]
fn wide_formats_are_written_out() {
    let width = |format: &str, value: Value| gotemplate::sprintf(format.as_bytes(), &[value]).unwrap().len();
    assert_eq!(width("%.70000f", Value::from(1.5)), 70_002);
    assert_eq!(width("%.70000e", Value::from(1.5)), 70_006);
    assert_eq!(width("%#.70000g", Value::from(1.5)), 70_001);
    assert_eq!(width("%.70000x", Value::from(1.5)), 70_008);
    assert_eq!(width("%.70000U", Value::int(1)), 70_002);
    assert_eq!(width("%70000v", Value::from(true)), 70_000);
    assert_eq!(width("%.70000d", Value::int(1)), 70_000);
}

#[test]
fn template_recursion_ends_with_go_s_error() {
    let error = run(
        b"{{define \"t\"}}{{if 1}}{{template \"t\" .}}{{end}}{{end}}{{template \"t\"}}",
        Limits::default(),
    );
    assert_eq!(
        error.unwrap_err(),
        "template: :1:33: executing \"t\" at <{{template \"t\" .}}>: exceeded maximum template depth (100000)"
    );
}

#[test]
fn rendered_templates_end_too() {
    let deepest = format!("{}executeTemplate \"t\"{}", "(".repeat(90), ")".repeat(90));
    let text = format!("{{{{define \"t\"}}}}{{{{ {deepest} }}}}{{{{end}}}}{{{{template \"t\"}}}}");
    let error = run(text.as_bytes(), Limits::default()).unwrap_err();
    assert!(error.contains("nest deeper than"), "{error}");
    let error = run(b"{{define \"t\"}}{{executeTemplate \"t\"}}{{end}}{{template \"t\"}}", Limits::default());
    assert!(error.unwrap_err().contains("nest deeper than"));
}

#[test]
fn deep_parentheses_are_refused_and_the_deepest_work() {
    let nested = |depth: usize| format!("{{{{ {}1{} }}}}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(run(nested(MAX_PAREN_DEPTH).as_bytes(), SMALL).unwrap(), b"1");
    for depth in [MAX_PAREN_DEPTH + 1, 1_000_000] {
        let error = run(nested(depth).as_bytes(), SMALL).unwrap_err();
        assert_eq!(error, "template: :1: max expression depth exceeded");
    }
}

#[test]
fn deep_blocks_work() {
    let depth = 100_000;
    let text = format!("{}x{}", "{{if 1}}".repeat(depth), "{{end}}".repeat(depth));
    assert_eq!(run(text.as_bytes(), Limits::default()).unwrap(), b"x");
    let chain = format!("{{{{if 0}}}}{}{{{{else}}}}y{{{{end}}}}", "{{else if 0}}".repeat(depth));
    assert_eq!(run(chain.as_bytes(), Limits::default()).unwrap(), b"y");
    let open = "{{with 1}}".repeat(depth);
    assert_eq!(run(open.as_bytes(), Limits::default()).unwrap_err(), "template: :1: unexpected EOF");
}

#[test]
fn limits_hold() {
    let error = run(b"{{range 100000000}}{{end}}", Limits::default()).unwrap_err();
    assert!(error.ends_with("exceeded maximum number of steps (10000000)"), "{error}");
    let error = run(
        b"{{range 100}}aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa{{end}}",
        Limits { output: 999, ..SMALL },
    );
    assert!(error.unwrap_err().ends_with("output exceeds 999 bytes"));
    let error =
        run(b"{{$x := \"aa\"}}{{range 100}}{{$x = print $x $x}}{{end}}", Limits::default()).unwrap_err();
    assert!(error.ends_with("error calling print: text exceeds 16777216 bytes"), "{error}");
}

#[test]
fn deep_values_are_not_printed() {
    let error =
        run(b"{{$x := 1}}{{range 100000}}{{$x = sprig_list $x}}{{end}}{{print $x}}", Limits::default());
    assert!(error.unwrap_err().ends_with("error calling print: value is nested too deeply to print"));
}
