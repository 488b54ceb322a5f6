use proptest::prelude::*;

use super::*;

fn round(text: &str) -> String {
    marshal(&to_value(&serde_json::from_str(text).unwrap())).unwrap()
}

#[test]
fn keys_are_sorted_numbers_kept_and_html_escaped() {
    assert_eq!(
        round(r#"{"b":1000000,"a":[1.50,true,null],"c":"<a&b>\u2028\u0001é"}"#),
        "{\"a\":[1.50,true,null],\"b\":1000000,\"c\":\"\\u003ca\\u0026b\\u003e\\u2028\\u0001é\"}"
    );
}

#[test]
fn floats_are_written_as_go_writes_them() {
    for (value, text) in [
        (1.0, "1"),
        (1.5, "1.5"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (-0.5, "-0.5"),
    ] {
        assert_eq!(write::float(value).unwrap(), text);
    }
    assert_eq!(write::float(f64::NAN).unwrap_err(), "json: unsupported value: NaN");
}

#[test]
fn a_number_of_the_server_must_be_one() {
    assert_eq!(marshal(&Value::number("")).unwrap(), "0");
    assert_eq!(marshal(&Value::number("1x")).unwrap_err(), "json: invalid number literal \"1x\"");
    assert_eq!(marshal(&Value::number(" 1")).unwrap_err(), "json: invalid number literal \" 1\"");
}

#[test]
fn vaults_go_knows_no_map_of_any_key() {
    let map = crate::formats::yaml::parse(b"{a: 1}").unwrap();
    let dialect = Dialect { profile: crate::Profile::Vault, ..Dialect::default() };
    assert_eq!(write(&map, Dialect::default()).unwrap(), "{\"a\":1}");
    assert_eq!(
        write(&map, dialect).unwrap_err().to_string(),
        "json: unsupported type: map[interface {}]interface {}"
    );
}

#[test]
fn a_list_of_bytes_is_base64() {
    use gotemplate::{List, Type, UintKind};
    let bytes = [1, 2, 255].map(|byte| Value::Uint(UintKind::Uint8, byte)).to_vec();
    let list = Value::List(List::new(Type::Uint(UintKind::Uint8), bytes));
    assert_eq!(marshal(&list).unwrap(), "\"AQL/\"");
}

#[test]
fn depth_costs_no_stack() {
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    let mut value = parse(deep.as_bytes()).unwrap_or_else(|why| panic!("{why}")).value;
    assert_eq!(marshal(&value).unwrap(), deep);
    for _ in 0..100_000 {
        value = Value::list(vec![value]);
    }
    assert_eq!(marshal(&value).unwrap().len(), 220_000);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reading_never_panics(text in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = parse(&text);
    }

    #[test]
    fn nearly_json_never_panics(text in "[\\[\\]{},:\" 0-9a-ftrulns.eE+\\\\-]{0,40}") {
        let ours = parse(text.as_bytes());
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        let range = ours.as_ref().is_ok_and(|parsed| parsed.out_of_range.is_some());
        // Lone surrogates are U+FFFD to Go and an error to serde.
        if !text.contains("\\u") && !range {
            prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{}", text);
        }
    }

    #[test]
    fn what_was_written_reads_back(value in crate::formats::yaml::tests::values()) {
        // Large integers become floats when they are read, and then stay what they are.
        let written = again(&marshal(&value).unwrap());
        prop_assert_eq!(again(&written), written.clone());
        prop_assert_eq!(again(&indented(&written).unwrap()), written);
    }
}

fn again(text: &str) -> String {
    marshal(&parse(text.as_bytes()).unwrap_or_else(|why| panic!("{why}")).value).unwrap()
}
