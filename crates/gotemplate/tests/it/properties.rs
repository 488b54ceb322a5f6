//! What holds for every input.

use gotemplate::{ExecOptions, Limits, Options, Template, Value, sprint, sprintf};
use proptest::prelude::*;

use crate::functions::{Context, funcs};

const SMALL: Limits = Limits { steps: 5_000, output: 4_096, memory: 1 << 18, depth: 50 };

/// What it rendered, or said, and how much it had written.
fn run(text: &[u8], limits: Limits) -> (Result<(), String>, Vec<u8>) {
    let funcs = funcs();
    let mut out = Vec::new();
    let template = match Template::parse(text, &Options::default(), |name| funcs.contains(name)) {
        Ok(template) => template,
        Err(error) => {
            assert!(text.get(error.span.clone()).is_some(), "{error:?}");
            return (Err(error.to_string()), out);
        }
    };
    let options = ExecOptions { limits, ..ExecOptions::default() };
    let data = Value::map([("a", Value::strings(["x", "y"])), ("b", Value::int(3)), ("c", Value::Nil)]);
    let result = template.execute(&funcs, &mut Context::default(), data, &options, &mut out);
    if let Err(error) = &result {
        assert!(text.get(error.span.clone()).is_some(), "{error:?}");
        assert!(error.line <= 1 + text.iter().filter(|&&byte| byte == b'\n').count(), "{error:?}");
    }
    (result.map_err(|error| error.to_string()), out)
}

/// Expressions that always parse, with any spacing.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[a-z]{0,3}".prop_map(|text| format!("{text:?}")),
        (-1000i64..1000).prop_map(|number| number.to_string()),
        prop::sample::select(vec![
            ".", "$", ".a", ".b", ".c", ".c.d", "$.a", "nil", "true", "1.5", "'a'", "2i"
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let function = prop::sample::select(vec![
            "print",
            "printf",
            "len",
            "index",
            "slice",
            "eq",
            "lt",
            "and",
            "or",
            "not",
            "html",
            "sprig_list",
        ]);
        (function, prop::collection::vec(inner, 0..4), " {1,3}").prop_map(|(function, args, space)| {
            let args: Vec<String> = args.into_iter().map(|arg| format!("{space}{arg}")).collect();
            format!("({function}{})", args.concat())
        })
    })
}

fn statements() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[ x\n{}é]{0,4}".prop_map(|text| text.replace("{{", "")),
        expression().prop_map(|value| format!("{{{{ print {value} }}}}")),
        expression().prop_map(|value| format!("{{{{ $v := print {value} }}}}{{{{ $v }}}}")),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let head = prop::sample::select(vec!["if", "with", "range", "range $k, $v :="]);
        (head, expression(), prop::collection::vec(inner, 0..4), any::<bool>()).prop_map(
            |(head, value, body, otherwise)| {
                let otherwise = if otherwise { "{{else}}-" } else { "" };
                format!("{{{{{head} (and 1 {value})}}}}{}{otherwise}{{{{end}}}}", body.concat())
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_never_panic(text in prop::collection::vec(any::<u8>(), 0..200), left in any::<[u8; 2]>(), right in any::<[u8; 1]>()) {
        let _ = run(&text, SMALL);
        let options = Options { left: left.to_vec(), right: right.to_vec(), ..Options::default() };
        if let Err(error) = Template::parse(&text, &options, |_| true) {
            prop_assert!(text.get(error.span).is_some());
        }
    }

    #[test]
    fn actions_of_bytes_never_panic(action in "[ -~é\n]{0,40}") {
        let _ = run(format!("{{{{{action}}}}}").as_bytes(), SMALL);
    }

    #[test]
    fn the_same_twice(text in statements()) {
        prop_assert_eq!(run(text.as_bytes(), SMALL), run(text.as_bytes(), SMALL));
    }

    #[test]
    fn limits_hold(text in statements(), output in 0usize..100, steps in 0u64..100) {
        let (result, out) = run(text.as_bytes(), Limits { output, steps, ..SMALL });
        prop_assert!(out.len() <= output);
        // What fits into small limits is the same in larger ones.
        if result.is_ok() {
            prop_assert_eq!(run(text.as_bytes(), Limits { output: output * 2, steps: steps * 2, ..SMALL }).1, out);
        }
    }

    /// A refused call's context is printed canonically: as a template of its own it fails with the same context.
    #[test]
    fn contexts_read_back(value in expression()) {
        let funcs = funcs();
        let refused = |text: &str| {
            let template = Template::parse(text.as_bytes(), &Options::default(), |name| funcs.contains(name)).ok()?;
            let error = template
                .execute(&funcs, &mut Context::default(), Value::Nil, &ExecOptions::default(), &mut Vec::new())
                .err()?;
            Some((error.context, error.message))
        };
        if let Some((context, message)) = refused(&format!("{{{{ toUpper (print {value}) {value} }}}}"))
            && context.starts_with(char::is_alphabetic)
            && context.contains(' ')
        {
            prop_assert_eq!(refused(&format!("{{{{{context}}}}}")), Some((context, message)));
        }
    }

    #[test]
    fn formats_never_panic(format in "[%+# 0-9.*\\[\\]vTdsqxXobcUeEfgGtpwa-]{0,12}", number in any::<f64>(), text in any::<String>()) {
        let args = [Value::from(number), Value::from(text), Value::int(-3), Value::Nil];
        let first = sprintf(format.as_bytes(), &args);
        prop_assert_eq!(first, sprintf(format.as_bytes(), &args));
    }

    #[test]
    fn shortest_floats_read_back(number in any::<f64>()) {
        let text = String::from_utf8(sprint(&[Value::from(number)]).unwrap()).unwrap();
        if number.is_finite() {
            prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits());
        }
    }
}
