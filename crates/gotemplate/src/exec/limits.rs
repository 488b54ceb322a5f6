//! What one execution may use, and what it has used.

use std::fmt;

/// Bounds on what one rendering may take. Go has the one on depth only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Statements, commands, arguments and iterations. Long texts count as well: each 512 bytes that calls read
    /// or make are a step, so ten million steps are a second or two whatever they do.
    pub steps: u64,
    /// Bytes of output, and of any one string made on the way.
    pub output: usize,
    /// Bytes of all values that calls made and that may still be alive, output and variables included. A value
    /// counts until a variable that held it alone is overwritten or goes out of scope, or until it was printed;
    /// one that is dropped elsewhere goes on counting. So this bounds memory from above.
    pub memory: usize,
    /// Templates inside templates; Go's own limit is the default.
    pub depth: usize,
}

impl Default for Limits {
    /// 10 million steps, 16 MiB of output, 512 MiB of values, 100000 templates inside each other.
    ///
    /// 512 MiB hold the longest text thirty times over, which no template for a file needs, and a machine
    /// that runs an agent can spare them for a moment.
    fn default() -> Self {
        Self { steps: 10_000_000, output: 16 << 20, memory: 512 << 20, depth: 100_000 }
    }
}

/// Which bound ended an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::steps`]
    Steps,
    /// [`Limits::output`]
    Output,
    /// [`Limits::memory`]
    Memory,
    /// [`Limits::depth`], or this crate's own bound on how deep expressions recurse.
    Depth,
    /// [`ExecOptions::stop`](crate::ExecOptions::stop) said so.
    Stopped,
}

/// Steps between two questions to the caller.
const POLL_EVERY: u64 = 256;
/// Bytes that are worth a step.
const BYTES_PER_STEP: usize = 512;

pub(super) struct Meter<'a> {
    limits: Limits,
    stop: Option<&'a dyn Fn() -> bool>,
    steps: u64,
    /// When to look closer: at the limit, or to ask the caller.
    pause: u64,
    memory: usize,
}

impl<'a> Meter<'a> {
    pub(super) fn new(limits: Limits, stop: Option<&'a dyn Fn() -> bool>) -> Self {
        Self { limits, stop, steps: 0, pause: 0, memory: 0 }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn step(&mut self) -> Result<(), Limit> {
        self.work(1)
    }

    /// Many steps at once.
    pub(super) fn work(&mut self, steps: u64) -> Result<(), Limit> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps < self.pause { Ok(()) } else { self.look() }
    }

    /// The time that this many bytes take.
    pub(super) fn handle(&mut self, bytes: usize) -> Result<(), Limit> {
        if bytes < BYTES_PER_STEP { Ok(()) } else { self.work((bytes / BYTES_PER_STEP) as u64) }
    }

    #[cold]
    fn look(&mut self) -> Result<(), Limit> {
        if self.steps > self.limits.steps {
            return Err(Limit::Steps);
        }
        if self.stop.is_some_and(|stop| stop()) {
            return Err(Limit::Stopped);
        }
        self.pause = (self.steps + POLL_EVERY).min(self.limits.steps.saturating_add(1));
        Ok(())
    }

    /// Bytes that are alive from now on.
    pub(super) fn hold(&mut self, bytes: usize) -> Result<(), Limit> {
        self.memory = self.memory.saturating_add(bytes);
        if self.memory > self.limits.memory { Err(Limit::Memory) } else { Ok(()) }
    }

    pub(super) fn release(&mut self, bytes: usize) {
        self.memory = self.memory.saturating_sub(bytes);
    }

    /// How many bytes may still be made, and one more, so that counting them can stop.
    pub(super) fn room(&self) -> usize {
        (self.limits.memory - self.memory.min(self.limits.memory)).saturating_add(1)
    }

    /// What the template's author reads.
    pub(super) fn message(&self, limit: Limit) -> String {
        let Limits { steps, output, memory, depth } = self.limits;
        match limit {
            Limit::Steps => format!("exceeded maximum number of steps ({steps})"),
            Limit::Output => format!("output exceeds {output} bytes"),
            Limit::Memory => format!("values made by the template exceed {memory} bytes"),
            Limit::Depth => format!("exceeded maximum template depth ({depth})"),
            Limit::Stopped => "rendering was stopped before its end".into(),
        }
    }
}

impl fmt::Debug for Meter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter")
            .field("steps", &self.steps)
            .field("memory", &self.memory)
            .finish_non_exhaustive()
    }
}
