//! A keytab: principals with their keys, as MIT's and Microsoft's programs write it (format 5.2).

use std::fmt::Write as _;

use zeroize::Zeroizing;

use super::crypto::{Enctype, Key};
use super::principal::Principal;

/// The longest keytab that is read, in bytes; an entry has about a hundred.
pub(super) const MAX_KEYTAB: usize = 1 << 20;

/// What a keytab holds.
#[derive(PartialEq)]
pub(super) struct Keytab(Vec<Entry>);

#[derive(PartialEq)]
struct Entry {
    principal: Principal,
    version: u32,
    enctype: i64,
    key: Zeroizing<Vec<u8>>,
}

/// Which entries serve.
pub(super) struct Wanted<'a> {
    pub(super) principal: &'a Principal,
    /// Only the first part of an entry's name counts.
    pub(super) without_instance: bool,
}

impl Wanted<'_> {
    fn is(&self, entry: &Entry) -> bool {
        let Principal { realm, names } = &entry.principal;
        let names = if self.without_instance { names.get(..1).unwrap_or_default() } else { names };
        *realm == self.principal.realm && *names == self.principal.names
    }
}

impl Keytab {
    /// Reads a file's bytes.
    ///
    /// # Errors
    /// What is wrong with them, as what follows "keytab file PATH: ".
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        match bytes {
            [] => return Err("it is empty".to_owned()),
            [5, 2, ..] => {}
            [5, 1, ..] => {
                return Err("its format is 5.1; write it anew with a program of this century".to_owned());
            }
            _ => return Err("it is no keytab".to_owned()),
        }
        let mut left = Bytes(bytes.get(2..).unwrap_or_default());
        let mut entries = Vec::new();
        while !left.0.is_empty() {
            let at = bytes.len() - left.0.len();
            let entry = next_entry(&mut left).ok_or_else(|| format!("it is damaged at byte {at}"))?;
            entries.extend(entry);
        }
        if entries.is_empty() {
            return Err("it holds no key".to_owned());
        }
        Ok(Self(entries))
    }

    /// The types it has keys of for somebody, the best first.
    ///
    /// # Errors
    /// None, and what it has instead, as what follows "keytab file PATH: ".
    pub(super) fn enctypes(&self, wanted: &Wanted<'_>) -> Result<Vec<Enctype>, String> {
        let mine = || self.0.iter().filter(|entry| wanted.is(entry));
        let usable: Vec<Enctype> = Enctype::ALL
            .into_iter()
            .filter(|enctype| mine().any(|entry| entry.enctype == enctype.number()))
            .collect();
        if !usable.is_empty() {
            return Ok(usable);
        }
        let principal = wanted.principal;
        if mine().next().is_some() {
            return Err(format!(
                "its keys for {principal} are of old kinds only (DES, RC4); make AES keys: ktpass -crypto AES256-SHA1, ktadd -e aes256-cts"
            ));
        }
        let mut others: Vec<String> = self.0.iter().map(|entry| entry.principal.to_string()).collect();
        others.sort_unstable();
        others.dedup();
        let mut reason = format!("it has no key for {principal}; it has keys for");
        for other in others.iter().take(5) {
            let _ = write!(reason, " {other}");
        }
        if others.len() > 5 {
            let _ = write!(reason, " and {} more", others.len() - 5);
        }
        Err(reason)
    }

    /// A key of a type: of the version asked for, or else the newest.
    pub(super) fn key(&self, wanted: &Wanted<'_>, enctype: Enctype, version: Option<i64>) -> Option<Key> {
        let mine = self.0.iter().filter(|entry| entry.enctype == enctype.number() && wanted.is(entry));
        let best = mine.max_by_key(|entry| (Some(i64::from(entry.version)) == version, entry.version))?;
        Key::new(best.enctype, &best.key)
    }
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.0.split_at_checked(length)?;
        self.0 = left;
        Some(taken)
    }

    fn number<const N: usize>(&mut self) -> Option<u64> {
        Some(self.take(N)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Its length in two bytes, then itself.
    fn counted(&mut self) -> Option<&'a [u8]> {
        let length = self.number::<2>()?;
        self.take(usize::try_from(length).ok()?)
    }

    fn text(&mut self) -> Option<String> {
        self.counted().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }
}

/// An entry, or nothing where one was removed. `None` when the bytes end within it.
fn next_entry(left: &mut Bytes<'_>) -> Option<Option<Entry>> {
    let length = left.number::<4>()? as u32 as i32;
    let mut inside = Bytes(left.take(usize::try_from(length.unsigned_abs()).ok()?)?);
    if length <= 0 {
        return Some(None);
    }
    let parts = inside.number::<2>()?;
    let realm = inside.text()?;
    let names = (0..parts).map(|_| inside.text()).collect::<Option<Vec<String>>>()?;
    let _kind = inside.number::<4>()?;
    let _written_at = inside.number::<4>()?;
    let short = inside.number::<1>()?;
    let enctype = inside.number::<2>()?;
    let key = Zeroizing::new(inside.counted()?.to_vec());
    // One byte is not enough for some versions: a longer number may stand at the end.
    let version = inside.number::<4>().filter(|version| *version != 0).unwrap_or(short);
    Some(Some(Entry {
        principal: Principal { realm, names },
        version: u32::try_from(version).ok()?,
        enctype: i64::try_from(enctype).ok()?,
        key,
    }))
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes of an entry in the realm `EXAMPLE.COM`.
    pub(in crate::method::kerberos) fn entry(
        name: &[&str],
        version: u32,
        enctype: u16,
        key: &[u8],
    ) -> Vec<u8> {
        let counted = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
        let mut inside = (name.len() as u16).to_be_bytes().to_vec();
        inside.extend(counted(b"EXAMPLE.COM"));
        for part in name {
            inside.extend(counted(part.as_bytes()));
        }
        inside.extend([0, 0, 0, 1, 0, 0, 0, 0, version as u8]);
        inside.extend(enctype.to_be_bytes());
        inside.extend(counted(key));
        inside.extend(version.to_be_bytes());
        [&(inside.len() as u32).to_be_bytes()[..], &inside].concat()
    }

    /// Bytes of a keytab.
    pub(in crate::method::kerberos) fn keytab(entries: &[Vec<u8>]) -> Vec<u8> {
        [vec![5, 2], entries.concat()].concat()
    }

    fn principal(name: &str) -> Principal {
        Principal::new("EXAMPLE.COM", name)
    }

    #[test]
    fn the_best_type_and_the_newest_version_win() {
        let removed = [&(-4_i32).to_be_bytes()[..], &[9; 4]].concat();
        let bytes = keytab(&[
            entry(&["app"], 2, 17, &[1; 16]),
            removed,
            entry(&["app"], 300, 18, &[2; 32]),
            entry(&["app"], 299, 18, &[3; 32]),
            entry(&["other"], 900, 20, &[4; 32]),
        ]);
        let keytab = Keytab::parse(&bytes).unwrap();
        let app = principal("app");
        let wanted = Wanted { principal: &app, without_instance: false };
        assert_eq!(keytab.enctypes(&wanted).unwrap(), [Enctype::Aes256Sha1, Enctype::Aes128Sha1]);
        let sealed_by = |version: i64| {
            let sealed = Key::new(18, &[version as u8; 32]).unwrap().encrypt(1, b"x").unwrap();
            move |key: Key| key.decrypt(1, &sealed).is_ok()
        };
        let key = |version| keytab.key(&wanted, Enctype::Aes256Sha1, version).unwrap();
        assert!(sealed_by(2)(key(None)), "the newest");
        assert!(sealed_by(3)(key(Some(299))), "the one asked for");
        assert!(sealed_by(2)(key(Some(7))), "one that is not there");
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        let bytes = keytab(&[entry(&["app", "web"], 1, 23, &[1; 16]), entry(&["db"], 1, 18, &[1; 32])]);
        let keytab = Keytab::parse(&bytes).unwrap();
        let said = |name: &str, without_instance| {
            let principal = principal(name);
            keytab.enctypes(&Wanted { principal: &principal, without_instance }).unwrap_err()
        };
        assert_eq!(
            said("app", false),
            "it has no key for app@EXAMPLE.COM; it has keys for app/web@EXAMPLE.COM db@EXAMPLE.COM"
        );
        assert!(said("app", true).contains("old kinds only"), "{}", said("app", true));
    }

    #[test]
    fn damage_is_told_with_its_place() {
        let good = keytab(&[entry(&["app"], 1, 18, &[1; 32]), entry(&["app"], 2, 18, &[1; 32])]);
        let said = |bytes: &[u8]| Keytab::parse(bytes).err().unwrap();
        assert_eq!(said(b""), "it is empty");
        assert_eq!(said(b"-----BEGIN"), "it is no keytab");
        assert_eq!(said(&[5, 2]), "it holds no key");
        let second = (good.len() - 2) / 2 + 2;
        assert_eq!(said(&good[..good.len() - 1]), format!("it is damaged at byte {second}"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = Keytab::parse(&bytes);
            let _ = Keytab::parse(&[&[5, 2], &bytes[..]].concat());
        }
    }
}
