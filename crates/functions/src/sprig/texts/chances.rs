//! Random texts.

use gotemplate::{Func, FuncError, Param, Value};

use super::super::chance::Chance;
use super::TEXT;
use crate::arguments::{bounded, bytes, int};
use crate::go::unicode::chars;
use crate::{Entry, Profile, entry};

const COUNT: &[Param] = &[Param::Int];

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("sprig_randAlphaNum", COUNT, |arguments| {
            random(arguments, |byte| byte.is_ascii_alphanumeric())
        }),
        "sprig_randAlphaNum count",
        "So many random letters and digits, good for a password.",
        "{{ sprig_randAlphaNum 16 | len }}",
        "16",
    )
    .only(Profile::OpenBao),
    entry(
        Func::pure("sprig_randAlpha", COUNT, |arguments| {
            random(arguments, |byte| byte.is_ascii_alphabetic())
        }),
        "sprig_randAlpha count",
        "So many random letters.",
        "{{ sprig_randAlpha 16 | len }}",
        "16",
    )
    .only(Profile::OpenBao),
    entry(
        Func::pure("sprig_randAscii", COUNT, |arguments| {
            random(arguments, |byte| byte == b' ' || byte.is_ascii_graphic())
        }),
        "sprig_randAscii count",
        "So many random characters from the space to the tilde.",
        "{{ sprig_randAscii 16 | len }}",
        "16",
    )
    .only(Profile::OpenBao),
    entry(
        Func::pure("sprig_randNumeric", COUNT, |arguments| random(arguments, |byte| byte.is_ascii_digit())),
        "sprig_randNumeric count",
        "So many random digits.",
        "{{ sprig_randNumeric 16 | len }}",
        "16",
    )
    .only(Profile::OpenBao),
    entry(
        Func::pure("sprig_shuffle", TEXT, shuffle),
        "sprig_shuffle text",
        "The characters in random order.",
        r#"{{ sprig_shuffle "hello" | len }}"#,
        "5",
    ),
];

fn random(arguments: &[Value], allowed: fn(u8) -> bool) -> Result<Value, FuncError> {
    // A negative count is an error that sprig drops.
    let count = usize::try_from(int(arguments, 0)).unwrap_or(0);
    bounded(count)?;
    let alphabet: Vec<u8> = (0..=127).filter(|byte| allowed(*byte)).collect();
    let mut chance = Chance::new();
    let mut text = Vec::with_capacity(count);
    for _ in 0..count {
        let nth = chance.below(alphabet.len() as u64)? as usize;
        text.extend(alphabet.get(nth));
    }
    Ok(Value::from(text))
}

fn shuffle(arguments: &[Value]) -> Result<Value, FuncError> {
    let mut shuffled: Vec<char> = chars(bytes(arguments, 0)).collect();
    let mut chance = Chance::new();
    for last in (1..shuffled.len()).rev() {
        shuffled.swap(last, chance.below(last as u64 + 1)? as usize);
    }
    Ok(Value::from(shuffled.into_iter().collect::<String>()))
}
