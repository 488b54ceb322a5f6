//! Any template runs to its end, within its limits, twice to the same bytes where no chance is involved.
#![no_main]

use gotemplate::{ExecOptions, Funcs, Limits, MissingKey, Options, Template, Value};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { steps: 20_000, output: 1 << 16, memory: 8 << 20, depth: 100 };

thread_local! {
    static FUNCS: Funcs<()> = fuzz::funcs();
}

fuzz_target!(|text: &[u8]| {
    FUNCS.with(|funcs| {
        let Ok(template) = Template::parse(text, &Options::default(), |name| funcs.contains(name)) else {
            return;
        };
        for missing_key in [MissingKey::Zero, MissingKey::Error] {
            let options = ExecOptions { missing_key, limits: LIMITS, ..ExecOptions::default() };
            let mut out = Vec::new();
            let execute = || template.execute(funcs, &mut (), Value::Nil, &options, &mut out);
            // What it prints is not for our standard output.
            let (result, _) = functions::within(None, execute);
            assert!(out.len() <= LIMITS.output);
            if let Err(error) = result {
                assert!(text.get(error.span.clone()).is_some(), "{error:?}");
            }
        }
    });
});
