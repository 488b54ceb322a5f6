//! Passwords: hashed, and derived from a master password.

use aws_lc_rs::hmac;
use bcrypt::Version;
use gotemplate::{Func, FuncError, Param, Value};

use super::random;
use crate::arguments::{any, bytes};
use crate::{Entry, entry};

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("sprig_bcrypt", &[Param::Str], bcrypt_of),
        "sprig_bcrypt password",
        "A bcrypt hash with a new salt each time; above 72 bytes its text says that it failed.",
        r#"{{ sprig_bcrypt "secret" | len }}"#,
        "60",
    )
    .slow(),
    entry(
        Func::pure(
            "sprig_derivePassword",
            &[Param::Uint32, Param::Str, Param::Str, Param::Str, Param::Str],
            derive_password,
        ),
        "sprig_derivePassword counter type password user site",
        "The password that Master Password gives; types are `maximum long medium short basic pin`.",
        r#"{{ sprig_derivePassword 1 "long" "password" "user" "example.com" }}"#,
        "ZedaFaxcZaso9*",
    )
    .slow(),
    entry(
        Func::pure("sprig_htpasswd", &[Param::Str, Param::Str], htpasswd),
        "sprig_htpasswd user password",
        "A line for Apache's password file, with a bcrypt hash; a new one each time.",
        r#"{{ slice (sprig_htpasswd "ann" "secret") 0 11 }}"#,
        "ann:$2a$10$",
    )
    .slow(),
];

/// The cost that Go's bcrypt takes when not told otherwise.
const COST: u32 = 10;

fn bcrypt_text(password: &[u8]) -> Result<Vec<u8>, FuncError> {
    if password.len() > 72 {
        let text = "failed to encrypt string with bcrypt: bcrypt: password length exceeds 72 bytes";
        return Ok(text.into());
    }
    let hash = bcrypt::hash_with_salt(password, COST, random()?)
        .map_err(|_| FuncError::new("the password cannot be hashed with bcrypt"))?;
    Ok(hash.format_for_version(Version::TwoA).into_bytes())
}

fn bcrypt_of(arguments: &[Value]) -> Result<Value, FuncError> {
    bcrypt_text(bytes(arguments, 0)).map(Value::from)
}

fn htpasswd(arguments: &[Value]) -> Result<Value, FuncError> {
    let user = bytes(arguments, 0);
    if user.contains(&b':') {
        return Ok(Value::from([b"invalid username: ", user].concat()));
    }
    Ok(Value::from([user, b":", &bcrypt_text(bytes(arguments, 1))?].concat()))
}

/// What derived passwords look like: a letter for each character, standing for a row of [`characters`].
fn templates(kind: &[u8]) -> Option<&'static [&'static str]> {
    Some(match kind {
        b"maximum" => &["anoxxxxxxxxxxxxxxxxx", "axxxxxxxxxxxxxxxxxno"],
        b"long" => &[
            "CvcvnoCvcvCvcv",
            "CvcvCvcvnoCvcv",
            "CvcvCvcvCvcvno",
            "CvccnoCvcvCvcv",
            "CvccCvcvnoCvcv",
            "CvccCvcvCvcvno",
            "CvcvnoCvccCvcv",
            "CvcvCvccnoCvcv",
            "CvcvCvccCvcvno",
            "CvcvnoCvcvCvcc",
            "CvcvCvcvnoCvcc",
            "CvcvCvcvCvccno",
            "CvccnoCvccCvcv",
            "CvccCvccnoCvcv",
            "CvccCvccCvcvno",
            "CvcvnoCvccCvcc",
            "CvcvCvccnoCvcc",
            "CvcvCvccCvccno",
            "CvccnoCvcvCvcc",
            "CvccCvcvnoCvcc",
            "CvccCvcvCvccno",
        ],
        b"medium" => &["CvcnoCvc", "CvcCvcno"],
        b"short" => &["Cvcn"],
        b"basic" => &["aaanaaan", "aannaaan", "aaannaaa"],
        b"pin" => &["nnnn"],
        _ => return None,
    })
}

fn characters(class: u8) -> &'static [u8] {
    match class {
        b'V' => b"AEIOU",
        b'C' => b"BCDFGHJKLMNPQRSTVWXYZ",
        b'v' => b"aeiou",
        b'c' => b"bcdfghjklmnpqrstvwxyz",
        b'a' => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz",
        b'n' => b"0123456789",
        b'o' => b"@&%?,=[]_:-+*$#!'^~;()/.",
        _ => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz0123456789!@#$%^&*()",
    }
}

fn derive_password(arguments: &[Value]) -> Result<Value, FuncError> {
    let counter = match any(arguments, 0) {
        Value::Uint(_, counter) => *counter as u32,
        _ => 0,
    };
    let (kind, password, user, site) =
        (bytes(arguments, 1), bytes(arguments, 2), bytes(arguments, 3), bytes(arguments, 4));
    let Some(templates) = templates(kind) else {
        return Ok(Value::from([b"cannot find password template ", kind].concat()));
    };
    // The length is cut to 32 bits, as upstream does.
    let scope =
        |text: &[u8]| [b"com.lyndir.masterpassword", &(text.len() as u32).to_be_bytes()[..], text].concat();
    let failed = |_| FuncError::new("the password cannot be derived");
    // 2 to the 15th blocks of 1 KiB: 32 MiB while it runs.
    let params =
        scrypt::Params::new(15, 8, 2).map_err(|_| FuncError::new("the password cannot be derived"))?;
    let mut key = [0; 64];
    scrypt::scrypt(password, &scope(user), &params, &mut key).map_err(failed)?;
    let message = [&scope(site)[..], &counter.to_be_bytes()].concat();
    let seed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &message);
    let mut seed = seed.as_ref().iter().copied();
    let pick = |place: usize, length: usize| place % length.max(1);
    let template = templates.get(pick(seed.next().unwrap_or(0).into(), templates.len())).unwrap_or(&"");
    let password: Vec<u8> = template
        .bytes()
        .zip(seed)
        .filter_map(|(class, chance)| {
            let row = characters(class);
            row.get(pick(chance.into(), row.len())).copied()
        })
        .collect();
    Ok(Value::from(password))
}
