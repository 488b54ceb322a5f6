//! Each bound on an execution, and what a template can do to reach it.

use std::cell::Cell;

use gotemplate::{ExecError, ExecOptions, Limit, Limits, Options, Template, Value};

use crate::functions::{Context, funcs};

#[expect(clippy::unwrap_used, reason = "called by tests only")]
fn run(text: &str, options: &ExecOptions<'_>) -> Result<usize, Box<ExecError>> {
    let funcs = funcs();
    let template =
        Template::parse(text.as_bytes(), &Options::default(), |name| funcs.contains(name)).unwrap();
    let mut out = Vec::new();
    template.execute(&funcs, &mut Context::default(), Value::Nil, options, &mut out)?;
    Ok(out.len())
}

/// Without optimisation the real limits take minutes.
const SMALL: Limits = Limits { steps: 200_000, output: 1 << 20, memory: 16 << 20, depth: 100_000 };

fn small() -> ExecOptions<'static> {
    ExecOptions { limits: SMALL, ..ExecOptions::default() }
}

/// The limit that ended it, and the message.
#[expect(clippy::unwrap_used, reason = "called by tests only")]
fn refusal(text: &str) -> (Option<Limit>, String) {
    let error = run(text, &small()).unwrap_err();
    (error.limit, error.message)
}

#[test]
fn steps() {
    let message = "exceeded maximum number of steps (200000)";
    for text in [
        "{{range 100000000}}{{end}}",
        "{{range loop 10000001}}{{end}}",
        "{{range loop 9223372036854775807}}{{continue}}{{end}}",
        "{{define `a`}}{{template `b`}}{{template `b`}}{{end}}{{define `b`}}{{range 10000000}}{{end}}{{end}}{{template `a`}}",
        // Reading long texts is work too.
        "{{$x := printf `%100000d` 1}}{{range 1000000}}{{if eq $x (print $x)}}{{end}}{{end}}",
        "{{$x := printf `%100000d` 1}}{{range 1000000}}{{$n := len $x}}{{end}}",
        "{{$s := ``}}{{range 1000000}}{{$s = print $s `a`}}{{end}}",
    ] {
        let (limit, found) = refusal(text);
        assert_eq!((limit, found.as_str()), (Some(Limit::Steps), message), "{text}");
    }
}

#[test]
fn many_variables_are_not_free() {
    let declared: String = (0..20_000).map(|at| format!("{{{{$v{at} := 1}}}}")).collect();
    let (limit, _) = refusal(&format!("{declared}{{{{range 100000}}}}{{{{$v0}}}}{{{{end}}}}"));
    assert_eq!(limit, Some(Limit::Steps));
}

#[test]
fn output() {
    let (limit, message) = refusal("{{range 100}}{{printf `%100000d` 1}}{{end}}");
    assert_eq!((limit, message.as_str()), (Some(Limit::Output), "output exceeds 1048576 bytes"));
    let doubling = "{{$x := `aa`}}{{range 100}}{{$x = printf `%s%s` $x $x}}{{end}}";
    let (limit, message) = refusal(doubling);
    assert_eq!(
        (limit, message.as_str()),
        (Some(Limit::Output), "error calling printf: text exceeds 1048576 bytes")
    );
    let error = run(doubling, &ExecOptions::default()).unwrap_err();
    let (limit, message) = (error.limit, error.message);
    assert_eq!((limit, message.as_str()), (None, "error calling printf: text exceeds 16777216 bytes"));
    let small = ExecOptions { limits: Limits { output: 100, ..Limits::default() }, ..ExecOptions::default() };
    let error = run("{{$x := printf `%101d` 1}}", &small).unwrap_err();
    assert_eq!(
        (error.limit, error.message.as_str()),
        (Some(Limit::Output), "error calling printf: text exceeds 100 bytes")
    );
    assert_eq!(run("{{printf `%100d` 1}}", &small).unwrap(), 100);
}

#[test]
fn memory() {
    let message = "values made by the template exceed 16777216 bytes";
    for text in [
        // Lists of big texts, in a variable, in the caller's context, in variables, in what templates hold.
        "{{$l := sprig_list}}{{range 1000}}{{$l = sprig_list $l (printf `%100000d` 1)}}{{end}}",
        "{{range 1000}}{{scratch.MapSet `m` (printf `%d` .) (printf `%100000d` .)}}{{end}}",
        "{{range 1000}}{{scratch.Set (printf `%d` .) (sprig_list (printf `%100000d` .))}}{{end}}",
        "{{define `t`}}{{$x := printf `%100000d` 1}}{{template `t`}}{{end}}{{template `t`}}",
        "{{define `t`}}{{with printf `%100000d` 1}}{{template `t`}}{{end}}{{end}}{{template `t`}}",
        // A text in a hundred thousand parts.
        "{{$s := printf `%0100000d` 1}}{{define `t`}}{{$l := split `` .}}{{template `t` .}}{{end}}{{template `t` $s}}",
    ] {
        let (limit, found) = refusal(text);
        assert_eq!((limit, found.as_str()), (Some(Limit::Memory), message), "{text}");
    }
}

#[test]
fn what_is_dropped_counts_no_more() {
    for text in [
        "{{range 1000}}{{$x := printf `%100000d` 1}}{{end}}",
        "{{$x := ``}}{{range 1000}}{{$x = printf `%100000d` .}}{{end}}",
        "{{define `t`}}{{$x := printf `%100000d` 1}}{{end}}{{range 1000}}{{template `t`}}{{end}}",
        "{{define `t`}}{{$x := printf `%100000d` 1}}{{end}}{{range 1000}}{{executeTemplate `t`}}{{end}}",
        "{{range 1000}}{{$x := sprig_list (printf `%100000d` 1)}}{{end}}",
        "{{$s := ``}}{{range 2000}}{{$s = print $s `0123456789abcdef0123456789`}}{{end}}",
    ] {
        let limits = Limits { steps: 2_000_000, ..SMALL };
        let found = run(text, &ExecOptions { limits, ..ExecOptions::default() });
        assert_eq!(found.map_err(|error| error.message), Ok(0), "{text}");
    }
}

#[test]
fn depth() {
    let (limit, message) = refusal("{{define `t`}}{{template `t`}}{{end}}{{template `t`}}");
    assert_eq!((limit, message.as_str()), (Some(Limit::Depth), "exceeded maximum template depth (100000)"));
    let (limit, message) = refusal("{{define `t`}}{{executeTemplate `t`}}{{end}}{{template `t`}}");
    assert_eq!(limit, Some(Limit::Depth));
    assert!(message.contains("expressions and rendered templates nest deeper than"), "{message}");
}

#[test]
fn a_walk_of_a_big_map_by_many_at_once_copies_nothing() {
    let data = Value::map((0..1000).map(|at| (at.to_string(), Value::int(at))));
    let funcs = funcs();
    let text = b"{{define `t`}}{{range .}}{{template `t` $}}{{end}}{{end}}{{template `t` .}}";
    let template = Template::parse(text, &Options::default(), |name| funcs.contains(name)).unwrap();
    let error = template
        .execute(&funcs, &mut Context::default(), data, &ExecOptions::default(), &mut Vec::new())
        .unwrap_err();
    assert_eq!(error.limit, Some(Limit::Depth));
}

#[test]
fn formats_that_would_take_all_memory_or_time() {
    let text = |text: &str| {
        let mut out = Vec::new();
        let funcs = funcs();
        let template =
            Template::parse(text.as_bytes(), &Options::default(), |name| funcs.contains(name)).unwrap();
        template
            .execute(&funcs, &mut Context::default(), Value::Nil, &ExecOptions::default(), &mut out)
            .map(|()| String::from_utf8_lossy(&out).into_owned())
            .map_err(|error| error.message)
    };
    assert_eq!(text("{{printf `%1000000000d` 1}}").unwrap(), "%!(NOVERB)%!(EXTRA int=1)");
    assert!(text("{{printf `%.999999999f` 1.5}}").unwrap().starts_with("%!"));
    let too_long = Err("error calling printf: text exceeds 16777216 bytes".to_owned());
    let wide = "%1000000[1]d".repeat(20);
    assert_eq!(text(&format!("{{{{printf `{wide}` 1}}}}")), too_long);
    // A hundred thousand digits each, of which one is shown.
    let general = "%.1000000[1]g".repeat(2_000);
    assert_eq!(text(&format!("{{{{printf `{general}` 1.5}}}}")).unwrap(), "1.5".repeat(2_000));
    // Every bracket would be sought to the end of the text.
    let brackets = "%[".repeat(100_000);
    assert!(text(&format!("{{{{printf `{brackets}` 1}}}}")).is_ok());
    // A list that holds itself twice, thirty times over.
    let doubled = "{{$l := sprig_list 1 2}}{{range 30}}{{$l = sprig_list $l $l}}{{end}}{{print $l}}";
    assert_eq!(text(doubled), Err("error calling print: text exceeds 16777216 bytes".into()));
    for escaper in ["html", "js", "urlquery"] {
        let grown = format!(
            "{{{{$x := `<<<<<<<<`}}}}{{{{range 20}}}}{{{{$x = print $x $x}}}}{{{{end}}}}{{{{{escaper} $x}}}}"
        );
        assert_eq!(text(&grown), Err(format!("error calling {escaper}: text exceeds 16777216 bytes")));
    }
}

#[test]
fn the_caller_can_stop_it() {
    let asked = Cell::new(0);
    let stop = || {
        asked.set(asked.get() + 1);
        asked.get() > 100
    };
    let options = ExecOptions { stop: Some(&stop), ..ExecOptions::default() };
    let error = run("{{range 100000000}}{{end}}", &options).unwrap_err();
    assert_eq!(
        (error.limit, error.message.as_str()),
        (Some(Limit::Stopped), "rendering was stopped before its end")
    );
    assert_eq!(asked.get(), 101);
    // Few steps, but long texts: it is asked as often.
    asked.set(0);
    let error =
        run("{{$x := printf `%100000d` 1}}{{range 10000}}{{$n := len $x}}{{end}}", &options).unwrap_err();
    assert_eq!(error.limit, Some(Limit::Stopped));
}

#[test]
fn a_limit_inside_a_rendered_template_is_known_outside() {
    let (limit, message) = refusal("{{define `t`}}{{range 100000000}}{{end}}{{end}}{{executeTemplate `t`}}");
    assert_eq!(limit, Some(Limit::Steps));
    assert!(message.starts_with("error calling executeTemplate: template: "), "{message}");
}
