//! Looking before the program starts: what is asked for is there, or there is one clear error.

use std::collections::BTreeMap;

use super::super::kv::{Found, Kv, KvError};
use super::asked::Whole;
use super::plan::{Naming, Plan, contents, origin};
use super::reference::{Ask, Piece, Reference, Want};
use crate::daemon::Session;

/// What is asked for.
pub(super) struct Wishes<'a> {
    pub(super) secrets: &'a [Whole],
    /// Variables whose values have references.
    pub(super) references: &'a [(String, Vec<Piece>)],
    /// What is missing is passed over.
    pub(super) ignore_missing: bool,
}

/// Looks at everything. The second value are the names of variables that are left out.
///
/// # Errors
/// The first thing that is missing, or that cannot be asked for, or two for one name.
#[expect(clippy::print_stderr, reason = "the command line speaks here")]
pub(super) async fn look(session: Session, wishes: &Wishes<'_>) -> Result<(Plan, Vec<String>), String> {
    let kv = Kv::new(session);
    let mut plan = Plan::default();
    let mut left_out = Vec::new();
    for Whole { path, version, prefix, keep_case } in wishes.secrets {
        let place = kv.place(path.trim_matches('/')).await.map_err(told)?;
        if !is_key_value(&place.kind) {
            return Err(format!(
                "{path} is of the kind {:?}, where each read makes something new; name each variable: --env NAME=vault:{path}#KEY",
                place.kind
            ));
        }
        let passed_over =
            |path: &str| eprintln!("warning: {path} is left out: its latest version is deleted");
        let found = match version {
            Some(_) => kv.read(path.trim_matches('/'), place.mount, *version).await.map(|found| vec![found]),
            None => kv.expand(path, passed_over).await,
        };
        match found {
            Ok(all) => {
                for found in &all {
                    plan.add_secret(path, *version, found, Naming { prefix, keep_case: *keep_case })?;
                }
            }
            Err(error) if error.is_missing() && wishes.ignore_missing => {
                eprintln!("warning: {}", told(error))
            }
            Err(error) => return Err(told(error)),
        }
    }
    let mut looked_at = BTreeMap::<(String, Option<u64>), Found>::new();
    'next: for (name, pieces) in wishes.references {
        let mut versioned = BTreeMap::new();
        for piece in pieces {
            let Piece::Secret(reference) = piece else { continue };
            // A write is made once, by the agent.
            let Reference { path, want, ask: Ask::Read(version) } = reference else { continue };
            let place = kv.place(path).await.map_err(|error| format!("{name}: {}", told(error)))?;
            versioned.insert(path.as_str(), place.mount.as_ref().is_some_and(|mount| mount.versioned));
            if !is_key_value(&place.kind) {
                continue;
            }
            let key = (path.clone(), *version);
            if !looked_at.contains_key(&key) {
                match kv.read(path, place.mount, *version).await {
                    Ok(found) => drop(looked_at.insert(key.clone(), found)),
                    Err(error) if error.is_missing() && wishes.ignore_missing => {
                        eprintln!("warning: {name} is left out: {}", told(error));
                        left_out.push(name.clone());
                        continue 'next;
                    }
                    Err(error) => return Err(format!("{name}: {}", told(error))),
                }
            }
            let Some(found) = looked_at.get(&key) else { continue };
            if let Want::Key(key) = want
                && !found.fields.contains_key(key)
            {
                let mut keys: Vec<&str> = found.fields.keys().map(String::as_str).collect();
                keys.sort_unstable();
                let why = format!("{path} has no key {key:?}; it has {}", keys.join(", "));
                if wishes.ignore_missing {
                    eprintln!("warning: {name} is left out: {why}");
                    left_out.push(name.clone());
                    continue 'next;
                }
                return Err(format!("{name}: {why}"));
            }
        }
        let contents = contents(pieces, |path| versioned.get(path).copied().unwrap_or_default());
        plan.add(name.clone(), origin(pieces), contents)?;
    }
    Ok((plan, left_out))
}

/// Where a read changes nothing.
fn is_key_value(kind: &str) -> bool {
    matches!(kind, "kv" | "generic" | "cubbyhole")
}

fn told(error: KvError) -> String {
    error.to_string()
}
