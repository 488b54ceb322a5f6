//! Checksums.

use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512, digest};
use gotemplate::{Func, FuncError, Param, Value};

use crate::arguments::bytes;
use crate::go::hex;
use crate::{Entry, Profile, entry};

const TEXT: &[Param] = &[Param::Str];

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("sprig_sha1sum", TEXT, |arguments| hexadecimal(arguments, &SHA1_FOR_LEGACY_USE_ONLY)),
        "sprig_sha1sum text",
        "The SHA-1 hash in hexadecimal; not for anything that must be safe.",
        r#"{{ sprig_sha1sum "hello" }}"#,
        "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d",
    ),
    entry(
        Func::pure("sprig_sha256sum", TEXT, |arguments| hexadecimal(arguments, &SHA256)),
        "sprig_sha256sum text",
        "The SHA-256 hash in hexadecimal.",
        r#"{{ sprig_sha256sum "hello" }}"#,
        "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    ),
    entry(
        Func::pure("sprig_sha512sum", TEXT, |arguments| hexadecimal(arguments, &SHA512)),
        "sprig_sha512sum text",
        "The SHA-512 hash in hexadecimal.",
        r#"{{ sprig_sha512sum "hello" | len }}"#,
        "128",
    )
    .only(Profile::Vault),
    entry(
        Func::pure("sprig_adler32sum", TEXT, |arguments| Ok(adler32(bytes(arguments, 0)).to_string().into())),
        "sprig_adler32sum text",
        "The Adler-32 checksum as a decimal number.",
        r#"{{ sprig_adler32sum "hello" }}"#,
        "103547413",
    ),
];

fn hexadecimal(arguments: &[Value], algorithm: &'static Algorithm) -> Result<Value, FuncError> {
    Ok(Value::from(hex::encode(digest(algorithm, bytes(arguments, 0)).as_ref())))
}

fn adler32(bytes: &[u8]) -> u32 {
    const MODULUS: u32 = 65521;
    let (a, b) = bytes.iter().fold((1, 0), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % MODULUS;
        (a, (b + a) % MODULUS)
    });
    b << 16 | a
}
