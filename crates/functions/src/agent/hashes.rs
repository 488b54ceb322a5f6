//! Digests in hexadecimal, as the agents name them; sprig has its own names for some.
//!
//! MD5 is here because templates name files and fingerprints by it. A digest is fixed for ever: to add one, an entry
//! here. Nothing here makes a password's hash (`sprig::crypto::passwords`).

use aws_lc_rs::{digest, hmac};
use gotemplate::{Func, Param, Value};
use md5::{Digest as _, Md5};

use crate::arguments::bytes;
use crate::{Entry, entry};

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("hmacSHA256Hex", &[Param::Str, Param::Str], |arguments| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, bytes(arguments, 1));
            Ok(hex(hmac::sign(&key, bytes(arguments, 0)).as_ref()))
        }),
        "hmacSHA256Hex message key",
        "HMAC-SHA-256 in hexadecimal; the message stands before the key.",
        r#"{{ hmacSHA256Hex "m" "k" }}"#,
        "b60090e3052297aeb5a080889ce2fc4bca957e756faeb4df7d31800ca1e771ec",
    ),
    entry(
        Func::pure("md5sum", &[Param::Str], |arguments| Ok(hex(Md5::digest(bytes(arguments, 0)).as_ref()))),
        "md5sum text",
        "MD5 in hexadecimal. Not for anything that an attacker could choose.",
        r#"{{ md5sum "abc" }}"#,
        "900150983cd24fb0d6963f7d28e17f72",
    ),
    entry(
        Func::pure("sha256Hex", &[Param::Str], |arguments| {
            Ok(hex(digest::digest(&digest::SHA256, bytes(arguments, 0)).as_ref()))
        }),
        "sha256Hex text",
        "SHA-256 in hexadecimal.",
        r#"{{ sha256Hex "abc" }}"#,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    ),
];

fn hex(bytes: &[u8]) -> Value {
    Value::from(crate::go::hex::encode(bytes))
}
