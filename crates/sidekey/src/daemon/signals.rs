//! Signals, as the agents' users know them.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use supervisor::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Asked {
    /// SIGTERM, SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
    /// SIGUSR1.
    Numbers,
    /// SIGUSR2, which must not end the program.
    Nothing,
    /// Any other, which is only handed on.
    HandOn(Number),
}

impl Asked {
    /// The signal, unless it ends us.
    pub(super) fn signal(self) -> Option<Number> {
        match self {
            Self::Stop => None,
            Self::Reload => Some(Number::HUP),
            Self::Numbers => Some(Number::USR1),
            Self::Nothing => Some(Number::USR2),
            Self::HandOn(signal) => Some(signal),
        }
    }
}

/// They would end us, and upstream does not mind them: heard, they do nothing. Programs that we start get them as ever.
const UNHEARD: [Number; 7] =
    [Number::ALARM, Number::VTALARM, Number::PROF, Number::IO, Number::XCPU, Number::XFSZ, Number::POWER];

/// Signals without a meaning of their own would end us as well. To be listened to once is enough: what is heard never
/// ends us again. Tokio has no place for the very last one (64), and the first two are the C library's.
fn survive() {
    for number in (libc::SIGRTMIN()..libc::SIGRTMAX()).chain([libc::SIGSTKFLT]) {
        // Where the system has no such signal, none comes.
        drop(signal(SignalKind::from_raw(number)));
    }
}

pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user1: Signal,
    user2: Signal,
    others: Vec<(Number, Signal)>,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        survive();
        let all = Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
            others: Vec::new(),
        };
        all.and(&UNHEARD)
    }

    /// The same with more that are to be handed on.
    pub(super) fn and(mut self, numbers: &[Number]) -> io::Result<Self> {
        self.add(numbers)?;
        Ok(self)
    }

    /// More that are to be handed on, beside those that are known already.
    pub(super) fn add(&mut self, numbers: &[Number]) -> io::Result<()> {
        let own = [Number::TERM, Number::INT, Number::HUP, Number::USR1, Number::USR2];
        for number in numbers.iter().filter(|number| !own.contains(number)) {
            if !self.others.iter().any(|(known, _)| known == number) {
                self.others.push((*number, signal(SignalKind::from_raw(number.as_raw()))?));
            }
        }
        Ok(())
    }

    pub(super) async fn next(&mut self) -> Asked {
        let others = poll_fn(|context| {
            let ready = |(number, signal): &mut (Number, Signal)| {
                signal.poll_recv(context).is_ready().then_some(*number)
            };
            self.others.iter_mut().find_map(ready).map_or(Poll::Pending, Poll::Ready)
        });
        tokio::select! {
            number = others => Asked::HandOn(number),
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hang_up.recv() => Asked::Reload,
            _ = self.user1.recv() => Asked::Numbers,
            _ = self.user2.recv() => Asked::Nothing,
        }
    }
}
