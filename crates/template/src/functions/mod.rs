//! The functions that need more than their arguments: a secret, a file, the environment, a program. They record
//! what they need in the [`Evaluation`] and give what is known of it. The others are in the crate `functions`.

mod builtins;
mod denial;
mod elsewhere;
mod environment;
mod files;
mod nested;
mod programs;
mod scratch;
mod secrets;

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock, OnceLock};

use ::functions::{Entry, Help, Profile};
use gotemplate::{Funcs, Value};

use crate::evaluate::Evaluation;

pub(crate) use denial::deny;
pub(crate) use elsewhere::hint;
pub(crate) use scratch::Scratch;

const TABLES: &[&[Entry<Evaluation>]] = &[
    environment::ENTRIES,
    files::ENTRIES,
    nested::ENTRIES,
    programs::ENTRIES,
    scratch::ENTRIES,
    secrets::ENTRIES,
];

/// All that a template of this profile may call.
pub(crate) fn table(profile: Profile) -> Funcs<Evaluation> {
    let mut funcs = Funcs::builtins();
    funcs.extend(::functions::entries(profile).filter_map(|entry| entry.func.lift()));
    funcs.extend(own(profile).map(|entry| entry.func));
    funcs.extend([environment::SOCKADDR]);
    if profile == Profile::Vault {
        funcs.extend(elsewhere::functions());
    }
    funcs
}

/// The same, made once for all who need it: with several identities there are several runners.
pub(crate) fn shared_table(profile: Profile) -> Arc<Funcs<Evaluation>> {
    static TABLES: [OnceLock<Arc<Funcs<Evaluation>>>; 2] = [OnceLock::new(), OnceLock::new()];
    let [openbao, vault] = &TABLES;
    let made = match profile {
        Profile::OpenBao => openbao,
        Profile::Vault => vault,
    };
    Arc::clone(made.get_or_init(|| Arc::new(table(profile))))
}

/// A function as people are told of it.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    /// The name templates use.
    pub name: &'static str,
    /// Whose it is: `Go`, `Agents` or `Sprig`.
    pub group: &'static str,
    /// A call with the parameters' names.
    pub signature: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// A template of one line that uses it.
    pub example: &'static str,
    /// What the example renders to.
    pub output: &'static str,
    /// The only profile that has it; none for both.
    pub only: Option<config::Profile>,
}

impl Listed {
    fn new(name: &'static str, group: &'static str, help: Help) -> Self {
        let Help { signature, summary, example, output, only } = help;
        let only = only.map(|only| match only {
            Profile::OpenBao => config::Profile::OpenBao,
            Profile::Vault => config::Profile::Vault,
        });
        Self { name, group, signature, summary, example, output, only }
    }
}

/// Every function of a profile, by group and name.
pub fn catalogue(profile: config::Profile) -> Vec<Listed> {
    let profile = profile_of(profile);
    let named = |(name, help): (&'static str, Help)| {
        let group = if name.starts_with("sprig_") { "Sprig" } else { "Agents" };
        Listed::new(name, group, help)
    };
    let pure = ::functions::entries(profile).map(|entry| (entry.func.name, entry.help));
    let own = own(profile).map(|entry| (entry.func.name, entry.help));
    let go = builtins::HELP.iter().map(|&(name, help)| Listed::new(name, "Go", help));
    let mut all: Vec<_> = go.chain(pure.chain(own).map(named)).collect();
    all.sort_by_key(|listed| (listed.group != "Go", listed.group, listed.name));
    all
}

/// Whose functions a configuration means. `functions` and `config` know nothing of each other, so each has its own
/// type: here one becomes the other, and outside of this crate there is the configuration's only.
pub(crate) fn profile_of(profile: config::Profile) -> Profile {
    match profile {
        config::Profile::OpenBao => Profile::OpenBao,
        config::Profile::Vault => Profile::Vault,
    }
}

/// Whether a function may take seconds.
pub(crate) fn is_slow(name: &str) -> bool {
    static SLOW: LazyLock<BTreeSet<&str>> = LazyLock::new(|| {
        let both = [Profile::OpenBao, Profile::Vault];
        let pure = both.into_iter().flat_map(::functions::entries).filter(|entry| entry.slow);
        let own = both.into_iter().flat_map(own).filter(|entry| entry.slow);
        pure.map(|entry| entry.func.name).chain(own.map(|entry| entry.func.name)).collect()
    });
    SLOW.contains(name)
}

fn own(profile: Profile) -> impl Iterator<Item = &'static Entry<Evaluation>> {
    let fits = move |entry: &&Entry<Evaluation>| entry.help.only.is_none_or(|only| only == profile);
    TABLES.iter().copied().flatten().filter(fits)
}

/// A string argument's text; what is no UTF-8 becomes U+FFFD.
fn text(arguments: &[Value], nth: usize) -> String {
    let bytes = arguments.get(nth).and_then(Value::as_str).unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

/// All of them.
fn texts(arguments: &[Value]) -> Vec<String> {
    (0..arguments.len()).map(|nth| text(arguments, nth)).collect()
}
