//! Arbitrary input never panics, and every span lies in the text.

use hcl1::{Color, Kind, Object, Source, parse};
use proptest::prelude::*;

fn check(bytes: &[u8]) {
    match parse(&Source::new("any", bytes)) {
        Ok(tree) => spans_inside(&tree, bytes.len()),
        Err(errors) => {
            assert!(!errors.is_empty());
            for error in errors {
                let _ = error.render(Color::Plain);
            }
        }
    }
}

fn spans_inside(object: &Object, length: usize) {
    for item in &object.items {
        assert!(item.keys.iter().all(|k| k.span.start <= k.span.end && k.span.end <= length));
        assert!(item.value.span.end <= length);
        if let Kind::Object(inner) = &item.value.kind {
            spans_inside(inner, length);
        }
    }
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }

    #[test]
    fn what_looks_like_hcl(text in "([a-z]{1,2}|[ \n\r\t={}\\[\\],\"\\\\$#/<>.:-]|<<-?E\n|E\n|0x?[0-9a-f]{1,3}|\u{e9}|\u{feff}){0,60}") {
        check(text.as_bytes());
    }

    #[test]
    fn what_looks_like_json(text in "\\{([\"a:,{}\\[\\] \n]|null|true|-?[0-9.e]{1,4}|\\\\u[0-9a-f]{0,4}){0,40}") {
        check(text.as_bytes());
    }
}
