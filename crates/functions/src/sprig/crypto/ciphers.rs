//! AES as sprig has it, and chance.

use aws_lc_rs::cipher::{
    AES_256, AES_256_KEY_LEN, AES_CBC_IV_LEN, DecryptingKey, DecryptionContext, EncryptingKey,
    EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use gotemplate::{Func, FuncError, Param, Value};

use super::{fill, random};
use crate::arguments::{bounded, bytes, int};
use crate::go::base64::STANDARD;
use crate::{Entry, Profile, entry};

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("sprig_decryptAES", &[Param::Str, Param::Str], decrypt_aes),
        "sprig_decryptAES password text",
        "What `sprig_encryptAES` was given. Nothing tells a wrong password but an error or nonsense.",
        r#"{{ sprig_decryptAES "secret" "ttYFqk7lvnOz3+TVIp3nNTlVyIthWtAoe74prdDYEU0=" }}"#,
        "hello world",
    ),
    entry(
        Func::pure("sprig_encryptAES", &[Param::Str, Param::Str], encrypt_aes),
        "sprig_encryptAES password text",
        "The text under AES-256 in CBC mode, in base64. The password itself is the key, cut or filled with zeros.",
        r#"{{ sprig_encryptAES "secret" "hello world" | sprig_decryptAES "secret" }}"#,
        "hello world",
    ),
    entry(
        Func::pure("sprig_randBytes", &[Param::Int], rand_bytes),
        "sprig_randBytes count",
        "So many random bytes, in base64; others each time.",
        r#"{{ sprig_randBytes 16 | len }}"#,
        "24",
    )
    .only(Profile::OpenBao),
    entry(
        Func::pure("sprig_uuidv4", &[], uuidv4),
        "sprig_uuidv4",
        "A random UUID; another each time.",
        r#"{{ sprig_uuidv4 | len }}"#,
        "36",
    )
    .only(Profile::OpenBao),
];

const BLOCK: usize = 16;

/// The password as a key: as many of its bytes as a key has, or zeros behind it.
fn cipher_key(password: &[u8]) -> Result<UnboundCipherKey, FuncError> {
    let mut key = [0; AES_256_KEY_LEN];
    for (to, from) in key.iter_mut().zip(password) {
        *to = *from;
    }
    UnboundCipherKey::new(&AES_256, &key).map_err(|_| failed())
}

fn failed() -> FuncError {
    FuncError::new("the cipher failed")
}

fn encrypt_aes(arguments: &[Value]) -> Result<Value, FuncError> {
    let (password, text) = (bytes(arguments, 0), bytes(arguments, 1));
    if text.is_empty() {
        return Ok(Value::from(""));
    }
    bounded(text.len().saturating_add(2 * BLOCK) / 3 * 4)?;
    let padding = BLOCK - text.len() % BLOCK;
    let mut content = [text, &vec![padding as u8; padding]].concat();
    let iv: [u8; AES_CBC_IV_LEN] = random()?;
    let key = EncryptingKey::cbc(cipher_key(password)?).map_err(|_| failed())?;
    let context = EncryptionContext::Iv128(FixedLength::from(iv));
    key.less_safe_encrypt(&mut content, context).map_err(|_| failed())?;
    Ok(Value::from(STANDARD.encode([&iv[..], &content].concat())))
}

/// Upstream looks neither at the length nor at the padding: where Go would panic, that is the error.
fn decrypt_aes(arguments: &[Value]) -> Result<Value, FuncError> {
    let (password, text) = (bytes(arguments, 0), bytes(arguments, 1));
    if text.is_empty() {
        return Ok(Value::from(""));
    }
    let sealed = STANDARD
        .decode(text)
        .map_err(|at| FuncError::new(format!("illegal base64 data at input byte {at}")))?;
    let Some((iv, content)) = sealed.split_at_checked(BLOCK) else {
        // Go's buffer is as long as the text could be, and has room for a start that is not there.
        let (length, capacity) = (sealed.len(), text.len() / 4 * 3);
        let bounds = if capacity < BLOCK {
            format!("[:16] with capacity {capacity}")
        } else {
            format!("[16:{length}]")
        };
        return Err(FuncError::new(format!("runtime error: slice bounds out of range {bounds}")));
    };
    if content.len() % BLOCK != 0 {
        return Err("crypto/cipher: input not full blocks".into());
    }
    let mut content = content.to_vec();
    let iv: [u8; AES_CBC_IV_LEN] = iv.try_into().map_err(|_| failed())?;
    let key = DecryptingKey::cbc(cipher_key(password)?).map_err(|_| failed())?;
    key.decrypt(&mut content, DecryptionContext::Iv128(FixedLength::from(iv))).map_err(|_| failed())?;
    let Some(&padding) = content.last() else {
        return Err("runtime error: index out of range [-1]".into());
    };
    match content.len().checked_sub(padding.into()) {
        Some(end) => content.truncate(end),
        None => {
            let beyond = usize::from(padding) - content.len();
            return Err(FuncError::new(format!("runtime error: slice bounds out of range [:-{beyond}]")));
        }
    }
    Ok(Value::from(content))
}

fn rand_bytes(arguments: &[Value]) -> Result<Value, FuncError> {
    let count = usize::try_from(int(arguments, 0))
        .map_err(|_| FuncError::new("runtime error: makeslice: len out of range"))?;
    bounded((count / 3).saturating_add(1).saturating_mul(4))?;
    let mut chance = vec![0; count];
    fill(&mut chance)?;
    Ok(Value::from(STANDARD.encode(chance)))
}

fn uuidv4(_: &[Value]) -> Result<Value, FuncError> {
    let chance = u128::from_be_bytes(random()?);
    // Version 4, variant 10.
    let uuid = chance & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let digits = format!("{uuid:032x}");
    let mut text = String::with_capacity(36);
    for (place, digit) in digits.chars().enumerate() {
        if matches!(place, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    Ok(Value::from(text))
}
