use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use functions::Profile;

use super::*;
use crate::evaluate::Parsed;
use crate::functions::table;
use crate::world::{Prints, Programs, World};

fn masked(message: &str, template: &str) -> String {
    Public::new([template]).mask(message)
}

#[test]
fn wording_and_the_templates_own_words_are_shown_and_nothing_else() {
    for (message, template, want) in [
        (
            r#"error calling parseInt: strconv.ParseInt: parsing "Zx9-K": invalid syntax"#,
            "{{ parseInt .x }}",
            r#"error calling parseInt: strconv.ParseInt: parsing "[redacted]": invalid syntax"#,
        ),
        (r#"parsing "abc": invalid syntax"#, r#"{{ parseInt "abc" }}"#, r#"parsing "abc": invalid syntax"#),
        (
            "error calling sprig_fail: no port for web Zx9 -K! 12: set it",
            r#"{{ sprig_fail (printf "no port for web %s: set it" .x) }}"#,
            "error calling sprig_fail: no port for web [redacted]: set it",
        ),
        // Two words of data are one mask, and so is what only looks like numbers.
        ("range can't iterate over 1234-5678 9012", "", "range can't iterate over [redacted]"),
        ("range can't iterate over 5", "{{ 5 }}", "range can't iterate over [redacted]"),
        ("invalid value 12 34 56", "{{ 12 }}", "invalid value 12 [redacted]"),
        // Numbers that tell places and counts, unless the template says the same words.
        ("yaml: line 3: did not find expected key", "", "yaml: line 3: did not find expected key"),
        ("yaml: line 3: did not find", "a line", "yaml: line [redacted]: did not find"),
        ("yaml: line 123456789: did not find", "", "yaml: line [redacted]: did not find"),
        // What the engine says is of the template.
        (
            "wrong number of args for add: want 2 got 1",
            "{{ add 1 }}",
            "wrong number of args for add: want 2 got 1",
        ),
        ("can't evaluate field x in type string", "{{ .x }}", "can't evaluate field x in type string"),
        ("found: want 2 got 1", "", "found: want [redacted] got [redacted]"),
        (r#"template: :1:39: executing "a" at"#, "", r#"template: :1:39: executing "[redacted]" at"#),
        ("error at :1:39:", "", "error at [redacted]"),
        // Numbers, letters and signs behind the same word as in the template.
        (
            "error calling sprig_fail: port 5 = b",
            r#"{{ sprig_fail "port 5 = b" }}"#,
            "error calling sprig_fail: port 5 = b",
        ),
        (
            "error calling sprig_fail: port 5",
            r#"{{ sprig_fail "port 51" }}"#,
            "error calling sprig_fail: port [redacted]",
        ),
        (
            "error calling sprig_fail: pw= x ==",
            r#"{{ sprig_fail .pw }} a x =="#,
            "error calling sprig_fail: [redacted]",
        ),
        // No characters, and none of a row of them.
        (
            r"invalid character '\u00e9' after top-level value",
            "",
            "invalid character [redacted] after top-level value",
        ),
        ("invalid character 'C' after 'q''w''e'", "C q w e", "invalid character [redacted] after [redacted]"),
        (
            r#"unknown type for ["C" "a" "nn"]"#,
            r#"{{ range }}a nn"#,
            r#"unknown type for ["[redacted]" "[redacted]" "nn"]"#,
        ),
        (r#"parsing "ange": invalid"#, r#"{{ range }}"#, r#"parsing "[redacted]": invalid"#),
        (r#"parsing "": invalid"#, "", r#"parsing "": invalid"#),
        (r#"error calling sprig_fail: """#, "sprig_fail", r#"error calling sprig_fail: "[redacted]""#),
        // Letters and numbers of fixed phrases.
        ("explodeMap: not a map", "", "explodeMap: not a map"),
        ("error calling sprig_fail: a map", "sprig_fail", "error calling sprig_fail: [redacted] map"),
        ("expected 1 or 2, but got 3", "", "expected 1 or 2, but got [redacted]"),
        // Quotes that do not close hide the rest.
        (r#"invalid "Zx9 value"#, "", "invalid [redacted]"),
        (r#"invalid "a\" value" value"#, "", r#"invalid "[redacted]" value"#),
        ("invalid ******** value", "", "invalid [redacted] value"),
        ("invalid ! value", "!", "invalid [redacted] value"),
        ("invalid 🔑🔑 value", "", "invalid [redacted] value"),
    ] {
        assert_eq!(masked(message, template), want);
    }
}

#[test]
fn a_long_text_loses_its_middle() {
    assert_eq!(shortened("abcdef".to_owned(), 6), "abcdef");
    assert_eq!(shortened("abcdefg".to_owned(), 4), "ab…fg");
    assert_eq!(shortened("äöüä".to_owned(), 6), "ä…ä");
}

/// What the agent of OpenBao said of thousands of templates. Where a template made the data itself, the data is
/// masked; any other difference is wording that the list lacks.
#[test]
fn the_wording_of_recorded_errors_is_known() {
    assert!(include_str!("../wording.txt").lines().is_sorted());
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (mut count, mut masks, mut unknown) = (0, 0, Vec::new());
    for folder in ["functions/tests/corpus", "gotemplate/tests/corpus"] {
        for file in std::fs::read_dir(corpus.join(folder)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|end| end != "txt") {
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            for pair in lines.windows(2) {
                let Some(message) = pair[1].strip_prefix("! execute: ") else { continue };
                let message = message.split_once(">: ").map_or(message, |(_, message)| message);
                let message = message.replace('⏎', "\n").replace('⇥', "\t");
                count += 1;
                let shown = masked(&message, pair[0]);
                masks += usize::from(shown.contains(MASK));
                // Quotes hold data alone, and so do numbers and single characters.
                let is_quoted = |nth: usize| nth % 2 == 1;
                let outside = message.split(['"', '`']).enumerate().filter(|&(nth, _)| !is_quoted(nth));
                let mut words = outside.flat_map(|(_, part)| pieces(part));
                let is_data = |word: &str| ["false", "Inf", "NaN", "true"].contains(&word);
                if words.any(|word| {
                    word.len() > 2
                        && !is_data(word)
                        && word.chars().all(char::is_alphabetic)
                        && !shown.contains(word)
                }) {
                    unknown.push(format!("{}\n  {message}\n  {shown}", pair[0]));
                }
            }
        }
    }
    eprintln!("{masks} of {count} hold a mask");
    assert!(count > 2_000, "only {count} errors were read");
    assert!(unknown.len() * 50 < count, "{} of {count}:\n{}", unknown.len(), unknown.join("\n"));
}

// === No piece of a secret, whatever is made of it ===

const CANARY: &str = "Zq7#Kx9 vW2~Jm5!Tb8-Hd4%Rn6";

/// What templates make of a secret.
const DERIVATIONS: &[&str] = &[
    "$s",
    "($s | toUpper)",
    "($s | toLower)",
    "($s | base64Encode)",
    "($s | base64URLEncode)",
    "($s | sprig_b32enc)",
    r#"(printf "%x" $s)"#,
    r#"(printf "%q" $s)"#,
    "($s | urlquery)",
    "($s | html)",
    "($s | js)",
    "($s | toJSON)",
    r#"($s | sprig_trunc 12)"#,
    r#"($s | sprig_trunc -12)"#,
    "(slice $s 3 17)",
    r##"($s | replaceAll "#" "")"##,
    r#"(index (split " " $s) 1)"#,
    r#"(printf "user:%s@host" $s)"#,
    "($s | sprig_nospace | sprig_swapcase)",
    r#"(sprig_list $s | toJSON)"#,
    r#"(sprig_dict "k" $s | toYAML)"#,
    r#"($s | sprig_splitList "" | sprig_join " ")"#,
];

/// Calls that fail with most texts, and say why.
const CALLS: &[&str] = &[
    "parseInt $d",
    "parseUint $d",
    "parseFloat $d",
    "parseBool $d",
    "parseJSON $d",
    r#"parseJSON (printf "{%q: %s}" $d $d)"#,
    "parseYAML (printf \"a: [%s\" $d)",
    r#"parseYAML (printf "*%s" $d)"#,
    r#"parseYAML (printf "!!int %q" $d)"#,
    r#"regexMatch (printf "[%s" $d) """#,
    r#"regexMatch (printf "(?%s)" $d) """#,
    r#"sprig_regexFind (printf "%s(" $d) """#,
    "base64Decode $d",
    "base64URLDecode $d",
    "sprig_fail $d",
    r#"sprig_fail (printf "bad password %s" $d)"#,
    "mustEnv $d",
    "executeTemplate $d",
    r#"executeTemplate "inner" $d"#,
    "index (split \",\" \"a\") $d",
    "index $d $d",
    "sprig_mustFromJson $d",
    "sprig_semver $d",
    r#"sprig_semverCompare $d "1.2.3""#,
    r#"sprig_semverCompare ">1" $d"#,
    "sprig_mustToDate \"2006\" $d",
    r#"sprig_urlParse (printf "http://[%s" $d)"#,
    r#"sprig_urlParse (printf "%%zz%s" $d)"#,
    "sprig_toDecimal (sprig_fail $d)",
    "sprig_mustRegexMatch (printf \"%s\\\\\" $d) \"\"",
    "sprig_dig $d $d",
    "sprig_get $d $d",
    "sprig_set (sprig_dict) $d",
    "sprig_first $d",
    "sprig_mustFirst $d",
    "sprig_mustUniq $d",
    "sprig_genCAWithKey $d 1 $d",
    "sprig_buildCustomCert $d $d",
    "sprig_decryptAES $d $d",
    "sprig_repeat 999999999 $d",
    "sockaddr $d",
    r#"sockaddr (printf "GetPrivateInterfaces | %s" $d)"#,
    "timestamp $d $d",
    "add $d 1",
    "divide $d 0",
    "eq (sprig_dict $d $d) (sprig_dict $d $d)",
    "eq (sprig_list $d) (sprig_list $d)",
    "lt $d 1",
    "call $d",
    "len 1 $d",
    "join $d $d",
    "loop $d",
    "(sprig_dict).x.y.z $d",
    "$d.field",
    "writeToFile $d $d $d $d $d",
    r#"writeToFile "/a" $d "" "600" "x""#,
    r#"writeToFile "/a" "" $d "600" "x""#,
    r#"writeToFile "/a" "" "" $d "x""#,
    r#"writeToFile (printf "/%s/" $d) "" "" "600" "x""#,
    r#"file (printf "../%s" $d)"#,
    r#"secret "a/b" $d"#,
    r#"plugin "sh" "-c" (printf "echo '%s'; echo '%s' >&2; exit 3" $d $d)"#,
    "plugin $d",
    "scratch.MapSet $d $d (scratch.Set $d $d)",
    "explodeMap (sprig_dict $d 1 (printf \"%s/a\" $d) 1)",
    "sprig_mustMerge (sprig_dict $d $d) $d",
    "print (range $d)",
    r#"add 1 (split "" $d)"#,
    r#"add (sprig_list $d) 1"#,
    r#"eq (split "" $d) (split "" $d)"#,
    "index (sprig_list) (sprig_int $d)",
    "slice (sprig_list) 1 $d",
    "mustEnv (print $d)",
    r#"parseJSON (print "1" $d)"#,
    r#"parseJSON (print "t" $d)"#,
    r#"sprig_fail (printf "% x" $d)"#,
    r#"sprig_fail (printf "pw=%s" $d)"#,
    r#"sprig_fail (printf "port %s of it" $d)"#,
    r#"sprig_fail (printf "line %s" $d)"#,
    r#"sprig_fail (split "" $d | join " ")"#,
    r#"sprig_genSelfSignedCert "a" (sprig_list $d) (sprig_list) 1"#,
    r#"plugin "sh" "-c" (printf "exit $((1%s))" $d)"#,
    r#"sockaddr (print "GetAllInterfaces | limit -" $d)"#,
];

fn evaluated(template: &str) -> Result<String, String> {
    evaluated_with(template, CANARY)
}

fn evaluated_with(template: &str, value: &str) -> Result<String, String> {
    let path = |path: &str| Dependency::Read { path: path.to_owned(), query: String::new() };
    let answer = serde_json::json!({"data": {"value": value}}).to_string();
    let secret = vault::Secret::parse(answer.as_bytes()).unwrap().map(Arc::new);
    let known = Arc::new(Knowledge::from([(path("kv/c"), Known::Secret(secret))]));
    let world = World {
        profile: Profile::OpenBao,
        environment: std::env::vars().collect(),
        overrides: HashMap::new(),
        now: None,
        programs: Programs::Real(Arc::default()),
        addresses: None,
        prints: Prints::HandsOn,
        has_files: true,
    };
    let settings =
        config::Template { sandbox_path: Some("/nonexistent".into()), ..config::Template::default() };
    let table = Arc::new(table(Profile::OpenBao));
    let parsed = Parsed::new(template.as_bytes(), &settings, Profile::OpenBao, &table);
    let parsed = parsed.map_err(|error| error.to_string())?;
    let text = parsed.evaluate(&known, &Arc::new(world)).text.map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Bytes in a row that give a secret away.
const PIECE: usize = 6;

#[test]
fn no_piece_of_a_secret_is_in_an_error_whatever_was_made_of_it() {
    let mut leaks = Vec::new();
    let mut failed = BTreeSet::new();
    for derivation in DERIVATIONS {
        let with = |call: &str| {
            format!(
                r#"{{{{ define "inner" }}}}{{{{ parseInt . }}}}{{{{ end }}}}{{{{ with secret "kv/c" }}}}{{{{ $s := .Data.value }}}}{{{{ $d := {derivation} }}}}{{{{ {call} }}}}{{{{ end }}}}"#
            )
        };
        let derived = evaluated(&with("$d")).unwrap();
        let pieces: Vec<String> = [CANARY, &derived]
            .iter()
            .flat_map(|text| text.as_bytes().windows(PIECE))
            .map(|piece| String::from_utf8_lossy(piece).to_lowercase())
            .collect();
        for call in CALLS {
            let Err(error) = evaluated(&with(call)) else { continue };
            failed.insert(*call);
            // What is behind the place: the place quotes the template.
            let (_, message) = error.split_once(">: ").unwrap_or(("", &error));
            let lower = message.to_lowercase();
            if let Some(piece) = pieces
                .iter()
                .find(|piece| lower.contains(*piece) && !with(call).to_lowercase().contains(*piece))
            {
                leaks.push(format!("{call} of {derivation}: {piece:?} is in {message}"));
            }
        }
    }
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
    let never: Vec<_> = CALLS.iter().filter(|call| !failed.contains(*call)).collect();
    assert!(never.is_empty(), "these do not fail: {never:?}");
}

/// Secrets too short to be looked for, two of a kind: each derivation and call fails in the same way with both.
const SHORT: &[(&str, &str)] =
    &[("J", "K"), ("7", "4"), ("é", "è"), ("Jx", "Kx"), ("42", "73"), ("JKx", "KJx"), ("742", "473")];

#[test]
fn errors_do_not_tell_two_short_secrets_apart() {
    let derivations = [
        "$s",
        "($s | toLower)",
        "($s | base64Encode)",
        r#"(printf "%x" $s)"#,
        r#"(printf "%q" $s)"#,
        r#"(print "a " $s)"#,
    ];
    let (mut apart, mut count) = (Vec::new(), 0);
    for derivation in derivations {
        for call in CALLS {
            let template = format!(
                r#"{{{{ define "inner" }}}}{{{{ parseInt . }}}}{{{{ end }}}}{{{{ with secret "kv/c" }}}}{{{{ $s := .Data.value }}}}{{{{ $d := {derivation} }}}}{{{{ {call} }}}}{{{{ end }}}}"#
            );
            for (one, other) in SHORT {
                let told = [one, other].map(|value| evaluated_with(&template, value));
                if let [Err(one), Err(other)] = told {
                    count += 1;
                    if one != other {
                        apart.push(format!("{call} of {derivation}:\n  {one}\n  {other}"));
                    }
                }
            }
        }
    }
    assert!(apart.is_empty(), "{} of {count}:\n{}", apart.len(), apart.join("\n"));
    assert!(count > 2_000, "only {count} failed");
}

#[test]
fn a_program_that_was_told_no_data_may_say_why_it_failed() {
    let template = r#"{{ with secret "kv/c" }}{{ plugin "sh" "-c" "echo the frobnicator is jammed >&2; exit 3" }}{{ end }}"#;
    let error = evaluated(template).unwrap_err();
    assert!(
        error.ends_with("exit status 3\n\nstdout:\n\n\n\nstderr:\n\nthe frobnicator is jammed"),
        "{error}"
    );
    let template = r#"{{ with secret "kv/c" }}{{ plugin "sh" "-c" "echo $0 is jammed >&2; exit 3" (toUpper .Data.value) }}{{ end }}"#;
    let error = evaluated(template).unwrap_err();
    assert!(error.ends_with("stderr:\n\n[redacted] is jammed"), "{error}");
}

#[test]
fn without_a_secret_everything_is_told() {
    let error = evaluated(r#"{{ parseInt (toUpper "abc") }}"#).unwrap_err();
    assert!(error.ends_with(r#"parsing "ABC": invalid syntax"#), "{error}");
}

#[test]
fn errors_have_an_end() {
    let long = "x".repeat(1 << 20);
    for template in [
        format!("{{{{ parseInt {long:?} }}}}"),
        format!("{{{{ {long} }}}}"),
        format!("{{{{ template {long:?} }}}}"),
        format!("{{{{ define {long:?} }}}}{{{{ parseInt \"a\" }}}}{{{{ end }}}}{{{{ template {long:?} }}}}"),
        format!("{{{{ sprig_fail {long:?} }}}}"),
    ] {
        let error = evaluated(&template).unwrap_err();
        assert!(error.len() < 8 << 10 && error.contains('…'), "{} bytes: {error:.100}", error.len());
    }
}
