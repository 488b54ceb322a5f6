//! What the targets share.

use functions::{Profile, entries};
use gotemplate::Funcs;

/// Slow by design, different from one machine to the next, or writing to standard output; they have tests of
/// their own.
const LEFT_OUT: &[&str] = &[
    "sprig_bcrypt",
    "sprig_derivePassword",
    "sprig_genCA",
    "sprig_genCAWithKey",
    "sprig_genPrivateKey",
    "sprig_genSelfSignedCert",
    "sprig_genSelfSignedCertWithKey",
    "sprig_genSignedCert",
    "sprig_genSignedCertWithKey",
    "sprig_htpasswd",
    "sockaddr",
    "spew_dump",
    "spew_printf",
];

/// Go's functions and all of the agents' that need their arguments only.
pub fn funcs() -> Funcs<()> {
    let mut funcs = Funcs::builtins();
    funcs.extend(
        entries(Profile::OpenBao).map(|entry| entry.func).filter(|func| !LEFT_OUT.contains(&func.name)),
    );
    funcs
}
