//! Names of signals: Go's programs write `SIGHUP`, shells and people `HUP` as well.

use rustix::process::Signal;

use crate::decode::Fields;

/// Upstream's list. `SIGNULL` is no signal.
const NAMES: &[(&str, Option<Signal>)] = &[
    ("SIGABRT", Some(Signal::ABORT)),
    ("SIGALRM", Some(Signal::ALARM)),
    ("SIGBUS", Some(Signal::BUS)),
    ("SIGCONT", Some(Signal::CONT)),
    ("SIGFPE", Some(Signal::FPE)),
    ("SIGHUP", Some(Signal::HUP)),
    ("SIGILL", Some(Signal::ILL)),
    ("SIGINT", Some(Signal::INT)),
    ("SIGIO", Some(Signal::IO)),
    ("SIGIOT", Some(Signal::ABORT)),
    ("SIGKILL", Some(Signal::KILL)),
    ("SIGNULL", None),
    ("SIGPIPE", Some(Signal::PIPE)),
    ("SIGPROF", Some(Signal::PROF)),
    ("SIGQUIT", Some(Signal::QUIT)),
    ("SIGSEGV", Some(Signal::SEGV)),
    ("SIGSTOP", Some(Signal::STOP)),
    ("SIGSYS", Some(Signal::SYS)),
    ("SIGTERM", Some(Signal::TERM)),
    ("SIGTRAP", Some(Signal::TRAP)),
    ("SIGTSTP", Some(Signal::TSTP)),
    ("SIGTTIN", Some(Signal::TTIN)),
    ("SIGTTOU", Some(Signal::TTOU)),
    ("SIGUSR1", Some(Signal::USR1)),
    ("SIGUSR2", Some(Signal::USR2)),
    ("SIGWINCH", Some(Signal::WINCH)),
    ("SIGXCPU", Some(Signal::XCPU)),
    ("SIGXFSZ", Some(Signal::XFSZ)),
];

/// The signal of that name, with or without `SIG`, in letters of either case; `Some(None)` for `SIGNULL`, which is none.
pub(crate) fn parse(name: &str) -> Option<Option<Signal>> {
    let is = |whole: &str| {
        let short = whole.strip_prefix("SIG").unwrap_or(whole);
        whole.eq_ignore_ascii_case(name) || short.eq_ignore_ascii_case(name)
    };
    NAMES.iter().find(|(known, _)| is(known)).map(|(_, signal)| *signal)
}

/// A signal by its name; of what is not there and of a wrong one `None`, the latter told in upstream's words.
pub(crate) fn read(fields: &Fields<'_>, key: &'static str) -> Option<Option<Signal>> {
    read_shown(fields, key, key)
}

/// The same for a key that problems call by another name.
pub(crate) fn read_shown(fields: &Fields<'_>, key: &'static str, shown: &str) -> Option<Option<Signal>> {
    let name = fields.filled(key)?;
    let signal = parse(&name);
    if signal.is_none() {
        refuse(fields, key, shown, &name);
    }
    signal
}

/// Tells that this is no name of a signal.
pub(crate) fn refuse(fields: &Fields<'_>, key: &'static str, shown: &str, name: &str) {
    let valid: Vec<String> = NAMES.iter().map(|(name, _)| format!("{name:?}")).collect();
    let message = format!("'{shown}' invalid signal {name:?} - valid signals are [{}]", valid.join(" "));
    fields.refuse(fields.span_of(key), message);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_and_without_their_beginning() {
        for name in ["SIGHUP", "HUP", "sighup", "hup"] {
            assert_eq!(parse(name), Some(Some(Signal::HUP)), "{name}");
        }
        for name in ["SIGNULL", "null"] {
            assert_eq!(parse(name), Some(None), "{name}");
        }
        for name in ["", "SIG", "SIGSIGHUP", "1", "SIGFOO"] {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
