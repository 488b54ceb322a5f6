//! Any bytes with any delimiters parse or are refused; errors point into the text.
#![no_main]

use arbitrary::Arbitrary;
use gotemplate::{Options, Template};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    left: &'a [u8],
    right: &'a [u8],
    usual: bool,
    text: &'a [u8],
}

fuzz_target!(|input: Input<'_>| {
    let mut options = Options { name: "n".into(), ..Options::default() };
    if !input.usual {
        (options.left, options.right) = (input.left.to_vec(), input.right.to_vec());
    }
    match Template::parse(input.text, &options, |name| name.len() % 5 != 0) {
        Ok(template) => assert!(template.defined().count() > 0),
        Err(error) => {
            assert!(input.text.get(error.span.clone()).is_some(), "{error:?}");
            assert!(error.line >= 1, "{error:?}");
        }
    }
});
