use proptest::prelude::*;

use super::*;

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern.as_bytes()).unwrap_or_else(|why| panic!("{pattern}: {why}"))
}

#[test]
fn bad_bytes_count_as_one_character_each() {
    let any = regex(".");
    assert_eq!(any.find_all(b"\xff\xc3\xa9\xe2\x82", -1).unwrap(), [0..1, 1..3, 3..4, 4..5]);
    assert_eq!(regex("\\x{fffd}").find(b"ab\xff").unwrap(), Some(2..3));
}

#[test]
fn a_group_that_can_never_take_part_keeps_its_number() {
    assert_eq!(regex("(a){0}(b)").replace_all(b"ab", b"[$1|$2]").unwrap(), b"a[|b]");
}

#[test]
fn surrogates_match_nothing() {
    assert!(!regex("\\x{d800}").is_match("\u{fffd}a".as_bytes()).unwrap());
    assert!(regex("^[\\x{d7ff}-\\x{e000}]$").is_match("\u{e000}".as_bytes()).unwrap());
    assert!(regex("^[^\\x{dfff}]$").is_match(b"a").unwrap());
}

#[test]
fn what_would_take_too_long_is_refused() {
    let nested = |count: usize| [&"(".repeat(count), "a", &")".repeat(count)].concat();
    assert!(Regex::new(nested(250).as_bytes()).is_ok());
    for pattern in [
        nested(251),
        nested(50_000),
        "a*(?i)*".to_owned() + &"(?i)*".repeat(20_000),
        "\\pL{1000}".repeat(100),
        "(?i)".to_owned() + &"[\\x{0}-\\x{10ffff}]".repeat(5_000),
        "\\pL".repeat(40_000),
        "a".repeat(200_000),
    ] {
        let why = Regex::new(pattern.as_bytes()).unwrap_err();
        assert!(why.contains("too large") || why.contains("too deeply"), "{}", &why[..80]);
    }
}

#[test]
fn a_large_expression_reads_short_texts_only() {
    let text = vec![b'a'; 64 << 10];
    for pattern in ["a".repeat(64 << 10), "[ab]*b(?:[ab]{100}){10}".into(), "((a{10}){10}){10}b{990}".into()]
    {
        let regex = regex(&pattern);
        assert!(regex.is_match(&text[..1000]).is_ok(), "{}", &pattern[..20]);
        let why = regex.is_match(&text.repeat(20)).unwrap_err().to_string();
        assert_eq!(why, "the expression is too large for so long a text");
        assert!(regex.find_all(&text.repeat(20), -1).is_err());
    }
    // What is usual reads the longest texts.
    let usual = regex(r"^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}(/\w+)*$");
    assert!(usual.subject(&text.repeat(256)).is_ok(), "{}", usual.size);
}

#[test]
fn the_thread_remembers_a_few() {
    for round in 0..40 {
        let pattern = format!("a{{{}}}", round % 12);
        assert!(Regex::remembered(pattern.as_bytes()).is_ok());
    }
    assert!(Regex::remembered(b"(").is_err());
}

fn pattern() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(
            [
                "a",
                "b",
                "é",
                ".",
                "(",
                ")",
                "|",
                "*",
                "+",
                "?",
                "??",
                "{2}",
                "{,2}",
                "{0}",
                "{1,3}?",
                "[",
                "]",
                "[^",
                "-",
                "^",
                "$",
                "\\",
                "\\d",
                "\\pL",
                "\\P{Greek}",
                "[[:alpha:]]",
                "(?i)",
                "(?s:",
                "(?m)",
                "(?U)",
                "(?P<n>",
                "(?<m>",
                "\\b",
                "\\B",
                "\\z",
                "\\Q",
                "\\E",
                "\\x{d800}",
                "\\x41",
                "\\123",
                "&&",
                "~~",
                "#",
                " ",
                "[:^word:]",
            ]
            .as_slice()
        )
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..3),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_pattern_compiles_or_says_why(
        pattern in pattern(),
        text in prop::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), any::<u8>()], 0..20),
        template in prop::collection::vec(prop_oneof![Just(b'$'), Just(b'{'), Just(b'1'), any::<u8>()], 0..8),
        limit in -1i64..4,
    ) {
        match Regex::new(&pattern) {
            Err(why) => prop_assert!(!why.contains("internal error"), "{why}"),
            Ok(regex) => {
                let found = regex.find_all(&text, -1).unwrap();
                prop_assert_eq!(!found.is_empty(), regex.is_match(&text).unwrap());
                prop_assert_eq!(regex.find(&text).unwrap(), found.first().cloned());
                prop_assert!(found.windows(2).all(|pair| pair[0].end <= pair[1].start));
                prop_assert_eq!(regex.replace_all(&text, b"${0}").unwrap(), text.clone());
                regex.replace_all(&text, &template).unwrap();
                regex.split(&text, limit).unwrap();
            }
        }
    }

    #[test]
    fn a_quoted_text_matches_itself_only(text in ".{0,12}") {
        let regex = Regex::new(&[b"^", &quote_meta(text.as_bytes())[..], b"$"].concat()).unwrap();
        prop_assert!(regex.is_match(text.as_bytes()).unwrap());
    }
}
