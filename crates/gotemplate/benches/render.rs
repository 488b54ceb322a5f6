//! How fast templates parse and render: `cargo bench -p gotemplate`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use gotemplate::{ExecOptions, Funcs, Options, Template, Value};

/// Some ten kilobytes of what configuration files are made of, with loops over a thousand entries.
fn text() -> String {
    let entry = "{{ range $i, $e := .services }}
{{- if and (ne $e.name \"\") (lt $i 100000) }}
[{{ $e.name }}]
address = {{ $e.address | printf \"%q\" }}
port    = {{ index $e \"port\" }}{{ if eq $e.port 8080 }} # default{{ end }}
{{- end }}
{{- end }}
{{ $all := \"\" }}{{ range .names }}{{ $all = . }}{{ if eq . \"n500\" }}{{ continue }}{{ end }}{{ . }},{{ end }}
{{ with .plain }}{{ template \"row\" . }}{{ end }}
";
    let row = "{{ define \"row\" }}{{ range $k, $v := . }}{{ $k }}={{ $v | html }}\n{{ end }}{{ end }}";
    let prose = "# a line that only stands there, as most lines of a configuration do\n".repeat(130);
    format!("{row}{entry}{prose}")
}

fn data() -> Value {
    let number = |at: i64| format!("n{at}");
    let service = |at| {
        Value::map([
            ("name", Value::from(number(at))),
            ("address", Value::from(format!("10.0.{}.{}", at / 256, at % 256))),
            ("port", Value::int(8000 + at % 100)),
        ])
    };
    Value::map([
        ("services", Value::list((0..1000).map(service).collect())),
        ("names", Value::strings((0..1000).map(number))),
        ("plain", Value::map((0..1000).map(|at| (number(at), Value::from(format!("value <{at}>")))))),
    ])
}

fn run(template: &Template, funcs: &Funcs<()>, data: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    let _ = black_box(template.execute(funcs, &mut (), data.clone(), &ExecOptions::default(), &mut out));
    out
}

fn benches(criterion: &mut Criterion) {
    let funcs: Funcs<()> = Funcs::builtins();
    let parse = |text: &str| {
        Template::parse(black_box(text.as_bytes()), &Options::default(), |name| funcs.contains(name))
    };

    let (text, data) = (text(), data());
    if let Ok(template) = parse(&text) {
        assert!(run(&template, &funcs, &data).len() > 50_000, "the template fails");
        criterion.bench_function("render 10 KB, loops over 1000 entries", |bench| {
            bench.iter(|| run(&template, &funcs, &data));
        });
    }

    let plain = format!(
        "{{{{ range .services }}}}  server {{{{ .name }}}} {{{{ .address }}}}:{{{{ .port }}}} check\n{{{{ end }}}}{}{{{{ range .names }}}}allow {{{{ . }}}};\n{{{{ end }}}}",
        "# a line that only stands there, as most lines of a configuration do\n".repeat(145)
    );
    if let Ok(template) = parse(&plain) {
        assert!(run(&template, &funcs, &data).len() > 40_000, "the template fails");
        criterion.bench_function("render 10 KB, two plain loops over 1000 entries", |bench| {
            bench.iter(|| run(&template, &funcs, &data));
        });
    }

    let long = "# port\n{{ if eq .a.b 1 }}listen = {{ .a.port | printf \"%d\" }}{{ else }}{{ $x := print \"a\" .b }}{{ $x }}{{ end }}\n"
        .repeat(900);
    criterion.bench_function("parse 100 KB", |bench| bench.iter(|| parse(&long).is_ok()));

    if let Ok(template) = parse("{{ range 1000000 }}{{ end }}") {
        criterion
            .bench_function("range over a million", |bench| bench.iter(|| run(&template, &funcs, &data)));
    }
}

criterion_group! { name = all; config = Criterion::default().sample_size(20); targets = benches }
criterion_main!(all);
