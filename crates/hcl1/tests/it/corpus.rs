//! Same snippets to the real agent and to us: accepted or refused alike, strings decoded alike.
//!
//! The verdicts in `tests/corpus` were recorded from the real binary by `tests/corpus/generate.py`.

use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use hcl1::{Kind, Source, parse};
use serde_json::Value;

/// Where we accept or refuse other than upstream on purpose, with the reason.
const DIFFERENCES: &[(&str, &[&str])] = &[
    (
        "an escape that names no byte or character: upstream reads the file and dies when the value is used",
        &["strings/octal_400", "strings/octal_777", "strings/U_above_max", "strings/U_ffffffff"],
    ),
    (
        "a character that upstream's library keeps for itself is a character like any other",
        &["strings/raw_private_use_u_e123"],
    ),
    (
        "no real file is this deep, and following it would exhaust the stack",
        &[
            "objects/deep_blocks_1000",
            "objects/deep_blocks_10000",
            "objects/deep_assigned_10000",
            "objects/deep_lists_10000",
            "json/deep_objects_10000",
            "json/deep_lists_10000",
        ],
    ),
    (
        "a byte order mark is skipped",
        &["file/bom", "file/bom_only", "file/bom_then_newline", "file/bom_before_json", "json/bom"],
    ),
    (
        "JSON cut short or torn: upstream silently drops what it cannot read, settings and all",
        &[
            "json/open_brace_key",
            "json/open_brace_key_colon",
            "json/open_brace_pair",
            "json/open_brace_pair_comma",
            "json/nested_unclosed",
            "json/nested_unclosed_empty",
            "json/list_unclosed",
            "json/missing_comma",
            "json/missing_comma_newline",
            "json/missing_value",
            "json/two_keys_one_colon",
            "json/closed_by_bracket",
            "json/list_closed_by_brace",
            "json/string_in_object_alone",
        ],
    ),
    (
        "a NUL byte ends the file for upstream, silently",
        &["json/trailing_nul", "json/nul_inside", "json/nul_after_pair"],
    ),
    (
        "plain JSON that upstream's reader lacks",
        &["json/null_in_list", "json/string_escapes_json", "json/nested_lists", "json/list_mixed"],
    ),
    (
        "numbers that are none: upstream fails as soon as the value is used",
        &[
            "json_numbers/1.",
            "json_numbers/.5",
            "json_numbers/1.2.3",
            "json_numbers/1e",
            "json_numbers/1e+",
            "json_numbers/0.",
            "json_numbers/00.5",
        ],
    ),
];

fn cases(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn bytes(case: &Value, plain: &str, encoded: &str) -> Vec<u8> {
    match case[plain].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => BASE64_STANDARD.decode(case[encoded].as_str().unwrap()).unwrap(),
    }
}

#[test]
fn accepted_or_refused_as_the_real_agent_does() {
    let mut wrong = Vec::new();
    let cases = cases("cases.jsonl");
    assert!(cases.len() > 180, "the corpus shrank to {}", cases.len());
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let accepted = case["accepted"].as_bool().unwrap();
        let ours = parse(&Source::new("case", bytes(case, "text", "b64")));
        let name = format!("{}/{name}", case["group"].as_str().unwrap());
        let differs = DIFFERENCES.iter().any(|(_, names)| names.contains(&name.as_str()));
        if (ours.is_ok() == accepted) == differs {
            let said = ours.err().map(|errors| errors[0].upstream_text());
            wrong.push(format!("{name}: upstream accepts: {accepted} ({}), ours: {said:?}, listed as a difference: {differs}", case["bao"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn strings_hold_the_bytes_the_real_agent_sees() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for case in cases("values.jsonl") {
        // The other targets ask what a field makes of a value, which is not this crate's business.
        if case["target"] != "contents" || case["refused"].is_string() {
            continue;
        }
        let name = case["name"].as_str().unwrap();
        let expression = String::from_utf8(bytes(&case, "text", "b64")).unwrap();
        let text = match case["syntax"].as_str() {
            Some("json") => format!("{{\"x\": {expression}}}"),
            _ => format!("x = {expression}\n"),
        };
        let want = bytes(&case, "value", "value_b64");
        seen += 1;
        let got = match parse(&Source::new(name, text)) {
            Ok(tree) => match &tree.items[0].value.kind {
                Kind::String(string) => string.0.clone(),
                // A number where a string is wanted is taken as it was written.
                Kind::Number(text) => text.clone().into_bytes(),
                other => format!("{other:?}").into_bytes(),
            },
            Err(errors) => errors[0].upstream_text().into_bytes(),
        };
        if got != want {
            let (got, want) = (String::from_utf8_lossy(&got), String::from_utf8_lossy(&want));
            wrong.push(format!("{name}: got {got:?}, want {want:?}"));
        }
    }
    assert!(seen > 50, "the corpus shrank to {seen}");
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}
