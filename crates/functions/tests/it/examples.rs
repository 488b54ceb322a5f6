//! Every function's example renders to what its entry says.

use functions::{Profile, entries};
use gotemplate::{ExecOptions, Funcs, Options, Template, Value};

#[test]
fn every_example_renders_as_told() {
    let mut failures = Vec::new();
    for profile in [Profile::OpenBao, Profile::Vault] {
        let mut funcs: Funcs<()> = Funcs::builtins();
        funcs.extend(entries(profile).map(|entry| entry.func));
        for entry in entries(profile) {
            let (name, help) = (entry.func.name, entry.help);
            if !help.example.contains(name) || !help.signature.starts_with(name) {
                failures.push(format!("{name}: its example or signature is another's"));
            }
            let rendered =
                Template::parse(help.example.as_bytes(), &Options::default(), |name| funcs.contains(name))
                    .map_err(|error| error.to_string())
                    .and_then(|template| {
                        let mut out = Vec::new();
                        template
                            .execute(&funcs, &mut (), Value::Nil, &ExecOptions::default(), &mut out)
                            .map(|()| String::from_utf8_lossy(&out).into_owned())
                            .map_err(|error| error.to_string())
                    });
            if rendered.as_deref() != Ok(help.output) {
                failures
                    .push(format!("{name}: {}\n  want {}\n  have {rendered:?}", help.example, help.output));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn no_name_stands_in_two_entries() {
    for profile in [Profile::OpenBao, Profile::Vault] {
        let mut names: Vec<_> = entries(profile).map(|entry| entry.func.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "a function is there twice");
    }
}
