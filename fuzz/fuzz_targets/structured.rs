//! Templates built from a grammar, so that execution goes deep instead of failing in the parser.
#![no_main]

use arbitrary::{Arbitrary, Result, Unstructured};
use gotemplate::{ExecOptions, Funcs, Limits, MissingKey, Options, Template, Value};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { steps: 20_000, output: 1 << 16, memory: 8 << 20, depth: 100 };

thread_local! {
    static FUNCS: Funcs<()> = fuzz::funcs();
    static NAMES: Vec<&'static str> = FUNCS.with(|funcs| funcs.names().collect());
}

/// A template as text.
#[derive(Debug)]
struct Text(String);

impl<'a> Arbitrary<'a> for Text {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let mut writer = Writer { bytes, out: String::new(), variables: 0, loops: 0 };
        for name in ["t", "u"] {
            writer.out.push_str(&format!("{{{{define {name:?}}}}}"));
            writer.list(2)?;
            writer.out.push_str("{{end}}");
        }
        writer.list(4)?;
        Ok(Self(writer.out))
    }
}

struct Writer<'b, 'a> {
    bytes: &'b mut Unstructured<'a>,
    out: String,
    /// In scope: `$v0` and so on.
    variables: usize,
    loops: usize,
}

impl Writer<'_, '_> {
    fn below(&mut self, bound: usize) -> Result<usize> {
        self.bytes.int_in_range(0..=bound - 1)
    }

    fn pick(&mut self, words: &[&str]) -> Result<()> {
        let word = *self.bytes.choose(words)?;
        self.out.push_str(word);
        Ok(())
    }

    fn list(&mut self, depth: usize) -> Result<()> {
        let variables = self.variables;
        for _ in 0..self.below(5)? {
            self.statement(depth)?;
        }
        self.variables = variables;
        Ok(())
    }

    fn statement(&mut self, depth: usize) -> Result<()> {
        match self.below(if depth == 0 { 6 } else { 10 })? {
            0 => self.pick(&["x", " ", "\n", "é", "{", "{{/* c */}}", "\u{1f600}\n"]),
            1 | 2 => {
                self.out.push_str("{{");
                self.pick(&["", "- ", " "])?;
                self.pipe(depth)?;
                self.pick(&["}}", " -}}", " }}"])
            }
            3 => {
                self.out.push_str(&format!("{{{{$v{} := ", self.variables));
                self.pipe(depth)?;
                self.variables += 1;
                self.out.push_str("}}");
                Ok(())
            }
            4 if self.variables > 0 => {
                let variable = self.below(self.variables)?;
                self.out.push_str(&format!("{{{{$v{variable} = "));
                self.pipe(depth)?;
                self.out.push_str("}}");
                Ok(())
            }
            5 if self.loops > 0 => self.pick(&["{{break}}", "{{continue}}"]),
            4 | 5 => {
                self.pick(&["{{template \"t\" ", "{{template \"u\" "])?;
                self.pipe(depth)?;
                self.out.push_str("}}");
                Ok(())
            }
            6 | 7 => {
                self.pick(&["{{if ", "{{with "])?;
                self.body(depth, false)
            }
            _ => {
                self.out.push_str("{{range ");
                let variables = self.variables;
                match self.below(4)? {
                    0 => {
                        self.out.push_str(&format!("$v{variables} := "));
                        self.variables += 1;
                    }
                    1 => {
                        self.out.push_str(&format!("$v{variables}, $v{} := ", variables + 1));
                        self.variables += 2;
                    }
                    2 if variables > 1 => self.out.push_str("$v0, $v1 = "),
                    _ => {}
                }
                self.body(depth, true)?;
                self.variables = variables;
                Ok(())
            }
        }
    }

    fn body(&mut self, depth: usize, looped: bool) -> Result<()> {
        self.pipe(depth)?;
        self.out.push_str("}}");
        self.loops += usize::from(looped);
        self.list(depth - 1)?;
        self.loops -= usize::from(looped);
        if self.bytes.ratio(1, 3)? {
            self.out.push_str("{{else}}");
            self.list(depth - 1)?;
        }
        self.out.push_str("{{end}}");
        Ok(())
    }

    fn pipe(&mut self, depth: usize) -> Result<()> {
        if self.below(4)? == 0 {
            self.operand(depth)?;
        } else {
            self.call(depth)?;
        }
        for _ in 0..self.below(3)? {
            self.out.push_str(" | ");
            self.call(depth)?;
        }
        Ok(())
    }

    fn call(&mut self, depth: usize) -> Result<()> {
        let name = NAMES.with(|names| self.bytes.choose(names).copied())?;
        self.out.push_str(name);
        for _ in 0..self.below(4)? {
            self.out.push(' ');
            self.operand(depth)?;
        }
        Ok(())
    }

    fn operand(&mut self, depth: usize) -> Result<()> {
        match self.below(8)? {
            0 if depth > 0 => {
                self.out.push('(');
                self.pipe(depth - 1)?;
                self.out.push(')');
                self.pick(&["", "", ".a", ".b.c"])
            }
            1 if self.variables > 0 => {
                let variable = self.below(self.variables)?;
                self.out.push_str(&format!("$v{variable}"));
                self.pick(&["", "", ".a", ".a.b"])
            }
            2 => {
                let text: String = self.bytes.arbitrary()?;
                self.out.push_str(&format!("{text:?}").replace("\\u{", "\\\\u{"));
                Ok(())
            }
            3 => {
                let number: i16 = self.bytes.arbitrary()?;
                self.out.push_str(&number.to_string());
                Ok(())
            }
            4 => {
                let number: f64 = self.bytes.arbitrary()?;
                if number.is_finite() {
                    self.out.push_str(&format!("{number:e}"));
                } else {
                    self.out.push_str("0.5");
                }
                Ok(())
            }
            5 => self.pick(&[
                ".",
                "$",
                ".a",
                "$.a.b",
                "nil",
                "true",
                "false",
                "0",
                "1",
                "-1",
                "3",
                "'a'",
                "1i",
                "\"\"",
                "9223372036854775807",
                "-9223372036854775808",
                "1e300",
            ]),
            6 => self.pick(&[
                "\"a\"",
                "\"a,b,c\"",
                "\",\"",
                "`{\"a\":{\"b\":1},\"l\":[1,null,\"x\"]}`",
                "`[1,2.5,\"x\"]`",
                "\"%v %d\"",
                "\"%+v|%#v|%T\"",
                "\"%[2]*[1]d\"",
                "\"%08.3f\"",
                "`a: [1, {b: ~}]`",
                "\"a = 1\\nb = [1]\"",
                "\"2006-01-02T15:04:05Z\"",
                "\"1h30m\"",
                "\"1.2.3\"",
                "\">=1.0 <2\"",
                "\"(a+)b\"",
                "\"$1\"",
                "\"aGk=\"",
                "\"/a/b.c\"",
                "\"http://u:p@h:1/p?q#f\"",
                "\"é\\xff\\x00\"",
            ]),
            _ => self.pick(&[
                "(split \",\" \"a,b,c\")",
                "(parseJSON `{\"a\":{\"b\":1},\"l\":[1,null]}`)",
                "(loop 3)",
                "(sprig_list 1 \"a\" nil)",
                "(sprig_dict \"a\" 1)",
                "(print 1)",
            ]),
        }
    }
}

fuzz_target!(|text: Text| {
    FUNCS.with(|funcs| {
        // Functions that are not there yet are refused here.
        let Ok(template) =
            Template::parse(text.0.as_bytes(), &Options::default(), |name| funcs.contains(name))
        else {
            return;
        };
        let data = Value::map([
            ("a", Value::map([("b", Value::strings(["x", "y"]))])),
            ("l", Value::list(vec![Value::int(1), Value::Nil, Value::from("z"), Value::number("3600")])),
        ]);
        let options = ExecOptions { missing_key: MissingKey::Zero, limits: LIMITS, ..ExecOptions::default() };
        let mut out = Vec::new();
        let execute = || template.execute(funcs, &mut (), data, &options, &mut out);
        // What it prints is not for our standard output.
        let (result, _) = functions::within(None, std::time::Duration::from_secs(5), execute);
        assert!(out.len() <= LIMITS.output);
        if let Err(error) = result {
            assert!(text.0.as_bytes().get(error.span.clone()).is_some(), "{error:?}");
        }
    });
});
