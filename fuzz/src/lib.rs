//! What the targets share.

use functions::{Entry, Profile, entries};
use gotemplate::Funcs;

/// Go's functions and all of the agents' that need their arguments only. Those that are slow by design, and
/// `sockaddr`, which gives something else on the next machine, have tests of their own.
pub fn funcs() -> Funcs<()> {
    let fit = |entry: &&Entry<()>| !entry.slow && entry.func.name != "sockaddr";
    let mut funcs = Funcs::builtins();
    funcs.extend(entries(Profile::OpenBao).filter(fit).map(|entry| entry.func));
    funcs
}
