use gotemplate::{Key, Map, Type, Value};
use proptest::prelude::*;

use super::*;

/// Values as they come from servers and readers.
pub(in crate::formats) fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::NilInterface),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::int),
        (-1.0e9..1.0e9).prop_map(Value::Float),
        // Minus zero reads as the integer 0.
        any::<f64>().prop_filter("finite", |number| number.is_normal()).prop_map(Value::Float),
        texts().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::list),
            prop::collection::btree_map(texts(), inner, 0..5).prop_map(|map| Value::Map(Map::new(
                Type::Str,
                Type::Any,
                map.into_iter().map(|(key, value)| (Key::str(key), value))
            ))),
        ]
    })
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,12}",
        "[a-z:# '\"\\-?,\\[\\]{}&*!|>%@`\n\t]{0,10}",
        "[ynYNtTfFoOeEsSuUlLrRaA~.0-9+_x-]{1,5}",
        "([a-z]{1,9} ?){0,40}",
        "[\n a]{0,6}",
        "\\PC{0,8}",
        any::<String>(),
    ]
}

/// The types of containers differ between what is written and what is read, so they are compared as text.
fn shown(value: &Value) -> String {
    let value = gotemplate::sprintf(b"%#v", std::slice::from_ref(value)).unwrap();
    String::from_utf8_lossy(&value).replace("map[interface {}]interface {}", "map[string]interface {}")
}

fn read(text: &str) -> Value {
    parse(text.as_bytes()).unwrap_or_else(|why| panic!("{why}"))
}

#[test]
fn depth_costs_no_stack() {
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    let mut value = read(&deep);
    for _ in 0..50_000 {
        value = Value::list(vec![value]);
    }
    assert_eq!(write(&value).unwrap().len(), 59_999 * 2 + 2);
    let over = "[".repeat(10_001);
    assert_eq!(parse(over.as_bytes()).unwrap_err().to_string(), "yaml: exceeded max depth of 10000");
    let blocks = "- ".repeat(10_001);
    assert_eq!(parse(blocks.as_bytes()).unwrap_err().to_string(), "yaml: exceeded max depth of 10000");
}

#[test]
fn aliases_cannot_explode() {
    let mut text = "a: &a [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for pair in ["ab", "bc", "cd", "de", "ef", "fg", "gh", "hi", "ij"] {
        let (old, new) = pair.split_at(1);
        text += &format!("{new}: &{new} [{}]\n", vec![format!("*{old}"); 10].join(","));
    }
    assert_eq!(parse(text.as_bytes()).unwrap_err().to_string(), "yaml: document contains excessive aliasing");
}

#[test]
fn a_map_in_itself_is_an_error() {
    let Value::Map(map) = Value::map([("a", Value::Nil)]) else { unreachable!() };
    map.insert(Key::str("a"), Value::list(vec![Value::Map(map.clone())]));
    assert_eq!(write(&Value::Map(map.clone())).unwrap_err().to_string(), "yaml: the value contains itself");
    assert_eq!(
        crate::formats::toml::write(&Value::map([(
            "x",
            Value::list(vec![Value::int(1), Value::Map(map.clone())])
        )]))
        .unwrap_err()
        .to_string(),
        "toml: the value contains itself"
    );
    // Do not leak it.
    map.remove(&Key::str("a"));
}

#[test]
fn output_is_bounded() {
    let mut value = Value::from("a\n".repeat(1 << 20));
    for _ in 0..3000 {
        value = Value::map([("x", value)]);
    }
    assert_eq!(write(&value).unwrap_err().to_string(), "the result is larger than 16 MiB");
}

#[test]
fn characters_that_are_none_are_noticed_with_their_piece() {
    let far = format!("a: [\n{}\u{1}", " ".repeat(600));
    assert_eq!(parse(far.as_bytes()).unwrap_err().to_string(), "yaml: control characters are not allowed");
    let behind = format!("@{}\u{1}", " ".repeat(600));
    assert_eq!(
        parse(behind.as_bytes()).unwrap_err().to_string(),
        "yaml: found character that cannot start any token"
    );
    assert_eq!(parse(b"@\x01").unwrap_err().to_string(), "yaml: control characters are not allowed");
}

#[test]
fn texts_in_utf_16_are_read() {
    let units = "\u{feff}a: é😀".encode_utf16();
    let little: Vec<u8> = units.clone().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = units.flat_map(u16::to_be_bytes).collect();
    for text in [little, big] {
        assert_eq!(shown(&parse(&text).unwrap()), shown(&Value::map([("a", Value::from("é😀"))])));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reading_never_panics(text in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = parse(&text);
    }

    #[test]
    fn nearly_yaml_never_panics(text in "[a-c0-9 \n\t:\\-?,\\[\\]{}&*!|>%#'\"<~.\r\u{85}\u{2028}]{0,60}") {
        let _ = parse(text.as_bytes());
    }

    #[test]
    fn what_was_written_reads_back(value in values()) {
        // Something behind it, so that nothing is trimmed away at its end.
        let value = Value::list(vec![value, Value::from("end")]);
        let written = String::from_utf8(write(&value).unwrap()).unwrap();
        // As in Go, where such a key merges when it is read.
        prop_assume!(!written.contains("<<:"));
        let again = parse(written.as_bytes());
        prop_assert!(again.is_ok(), "{:?} of {}", again, written);
        prop_assert_eq!(shown(&again.unwrap()), shown(&value), "{}", written);
    }

    #[test]
    fn toml_never_panics(value in values()) {
        let _ = crate::formats::toml::write(&value);
    }
}
