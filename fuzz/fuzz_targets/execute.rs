//! Any template runs to its end, within its limits, twice to the same bytes where no chance is involved.
#![no_main]

use gotemplate::{ExecOptions, Funcs, Limits, MissingKey, Options, Template, Value};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { steps: 20_000, output: 1 << 16, memory: 8 << 20, depth: 100 };

thread_local! {
    static FUNCS: Funcs<()> = fuzz::funcs();
}

/// Parts of the names of functions whose results differ each time.
const CHANCE: &[&str] = &["rand", "shuffle", "uuid", "gen", "bcrypt", "htpasswd", "encrypt"];

/// Processor time of one call; far more than the limits let one have.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

fuzz_target!(|text: &[u8]| {
    FUNCS.with(|funcs| {
        let Ok(template) = Template::parse(text, &Options::default(), |name| funcs.contains(name)) else {
            return;
        };
        let by_chance = CHANCE.iter().any(|word| text.windows(word.len()).any(|part| part == word.as_bytes()));
        for missing_key in [MissingKey::Zero, MissingKey::Error] {
            let options = ExecOptions { missing_key, limits: LIMITS, ..ExecOptions::default() };
            let run = || {
                let mut out = Vec::new();
                let execute = || template.execute(funcs, &mut (), Value::Nil, &options, &mut out);
                // The time stands still, and what it prints is not for our standard output.
                let (result, printed) = functions::within(Some(Timestamp::UNIX_EPOCH), PATIENCE, execute);
                (out, result, printed)
            };
            let (out, result, printed) = run();
            assert!(out.len() <= LIMITS.output);
            if let Err(error) = &result {
                assert!(text.get(error.span.clone()).is_some(), "{error:?}");
            }
            if !by_chance {
                assert_eq!((out, result.map_err(|error| error.to_string()), printed), {
                    let (out, result, printed) = run();
                    (out, result.map_err(|error| error.to_string()), printed)
                });
            }
        }
    });
});
