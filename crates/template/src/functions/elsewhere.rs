//! Names of Consul and Nomad, which no agent can reach, and other names that are not there.

use ::functions::Profile;
use gotemplate::{Func, FuncError, Param};

use crate::evaluate::Evaluation;

const CONSUL: &[&str] = &[
    "byKey",
    "byMeta",
    "byPort",
    "byTag",
    "caLeaf",
    "caRoots",
    "connect",
    "datacenters",
    "explode",
    "exportedServices",
    "importedServices",
    "key",
    "keyExists",
    "keyOrDefault",
    "ls",
    "node",
    "nodes",
    "partitions",
    "peerings",
    "safeLs",
    "safeTree",
    "service",
    "services",
    "tree",
];

const NOMAD: &[&str] =
    &["nomadService", "nomadServices", "nomadVar", "nomadVarExists", "nomadVarList", "nomadVarListSafe"];

/// What stands for them in Vault's profile: there they are known, and have nobody to ask. Upstream asks a Consul
/// at 127.0.0.1 again and again; here the call fails.
pub(super) fn functions() -> impl Iterator<Item = Func<Evaluation>> {
    let consul = CONSUL.iter().map(|name| Func::pure(name, &[], |_| Err(no("Consul"))));
    let nomad = NOMAD.iter().map(|name| Func::pure(name, &[], |_| Err(no("Nomad"))));
    consul.chain(nomad).map(|func| func.variadic(Param::Any).any())
}

fn no(which: &str) -> FuncError {
    FuncError::new(format!("{which} functions are not available in the agent"))
}

/// What to say of a name that is no function of this profile, if there is something to say.
pub(crate) fn hint(name: &str, profile: Profile) -> Option<String> {
    if CONSUL.contains(&name) {
        return Some(no("Consul").to_string());
    }
    if NOMAD.contains(&name) {
        return Some(no("Nomad").to_string());
    }
    let (other, word) = match profile {
        Profile::OpenBao => (Profile::Vault, "vault"),
        Profile::Vault => (Profile::OpenBao, "openbao"),
    };
    if super::table(other).contains(name) {
        return Some(format!("it is there with template_config.profile = \"{word}\""));
    }
    super::table(profile).nearest(name).map(|near| format!("did you mean {near:?}?"))
}
