//! One evaluation of one template: with what is known, recording what it needed.

use std::collections::{BTreeSet, HashMap};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use ::functions::{MAX_RESULT, Profile};
use atomic_file::{FileError, Sandbox};
use gotemplate::{
    ExecError, ExecOptions, FuncError, Funcs, MissingKey, Options, ParseError, Template, Value,
};

use crate::dependency::Dependency;
use crate::functions;
use crate::functions::Scratch;
use crate::pki::Certificate;
use crate::redact::{Public, redacted, shortened};
use crate::words::{cleaned, errno};
use crate::world::{Prints, World};
use crate::writes::FileWrite;

/// What was fetched for a dependency.
#[derive(Clone)]
pub(crate) enum Known {
    /// A secret; none for a write that the server answered with nothing.
    Secret(Option<Arc<vault::Secret>>),
    /// The names in a list; none when nothing is there.
    List(Option<Arc<Vec<String>>>),
    /// A certificate.
    Certificate(Arc<Certificate>),
    /// A file's content.
    File(Arc<Vec<u8>>),
}

/// All that was fetched.
pub(crate) type Knowledge = HashMap<Dependency, Known>;

/// A parsed template.
pub(crate) struct Parsed {
    template: Template,
    funcs: Arc<Funcs<Evaluation>>,
    missing_key: MissingKey,
    sandbox: Option<PathBuf>,
    destination: Option<PathBuf>,
    /// It calls functions that take seconds.
    calls_slow: bool,
    pace: AtomicU8,
}

/// How long a template takes, as far as it was seen. One that takes longer than its pace allows gets the next.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub(crate) enum Pace {
    /// A moment, as nearly all do: it is evaluated together with others, which wait for it.
    Quick,
    /// Perhaps a fraction of a second. It is evaluated apart from here on.
    Unknown,
    /// Seconds.
    Slow,
}

impl Pace {
    /// Processor time after which an evaluation is given up, to be tried at the next pace.
    fn most(self) -> Option<Duration> {
        match self {
            // A template of ten kilobytes with three loops over a thousand entries takes three.
            Self::Quick => Some(Duration::from_millis(20)),
            Self::Unknown => Some(Duration::from_millis(200)),
            Self::Slow => None,
        }
    }

    fn next(self) -> Self {
        if self == Self::Quick { Self::Unknown } else { Self::Slow }
    }
}

/// What came of an evaluation.
pub(crate) struct Evaluated {
    /// Everything that was asked for.
    pub(crate) needed: BTreeSet<Dependency>,
    /// What of it is not known yet; while there is any, neither `text` nor `writes` must be written.
    pub(crate) missing: BTreeSet<Dependency>,
    /// What `writeToFile` is to write, in order.
    pub(crate) writes: Vec<FileWrite>,
    /// What it printed for whoever runs the program, if that is not us.
    pub(crate) printed: Vec<u8>,
    /// The text, or the template's error, without anything secret.
    pub(crate) text: Result<Vec<u8>, Box<ExecError>>,
}

/// What a program said, and the words it was called with.
pub(crate) struct Said {
    pub(crate) call: Vec<String>,
    pub(crate) text: String,
}

/// The state that functions see.
pub(crate) struct Evaluation {
    known: Arc<Knowledge>,
    pub(crate) world: Arc<World>,
    pub(crate) sandbox: Option<PathBuf>,
    /// The template's own file.
    pub(crate) destination: Option<PathBuf>,
    /// What `scratch` gives.
    pub(crate) scratch: Arc<Scratch>,
    /// What the program said that ran last.
    pub(crate) said: Option<Said>,
    needed: BTreeSet<Dependency>,
    missing: BTreeSet<Dependency>,
    writes: Vec<FileWrite>,
}

impl Evaluation {
    /// What is known of a dependency, which is needed from now on.
    pub(crate) fn need(&mut self, dependency: Dependency) -> Option<Known> {
        let known = self.known.get(&dependency).cloned();
        if known.is_none() {
            self.missing.insert(dependency.clone());
        }
        self.needed.insert(dependency);
        known
    }

    /// Refuses to read a file outside the template's sandbox, links resolved. Reading it is confined once more.
    pub(crate) fn check_sandbox(&self, path: &Path) -> Result<(), FuncError> {
        let checked = self.confined(path, Sandbox::check);
        // As upstream, which compares the two as they are written.
        if let (Some(sandbox), Ok(()) | Err(FileError::Outside(_))) = (&self.sandbox, &checked)
            && sandbox.is_absolute() != path.is_absolute()
        {
            let (path, sandbox) = (cleaned(path), cleaned(sandbox));
            let text = format!("Rel: can't make {} relative to {}", path.display(), sandbox.display());
            return Err(FuncError::new(text));
        }
        checked.map_err(sandbox_words)
    }

    /// The same for a file to be written.
    pub(crate) fn check_sandbox_for(&self, path: &Path) -> Result<(), FuncError> {
        self.confined(path, Sandbox::check_new).map_err(sandbox_words)
    }

    fn confined(
        &self,
        path: &Path,
        check: fn(&Sandbox, &Path) -> Result<(), FileError>,
    ) -> Result<(), FileError> {
        let Some(sandbox) = &self.sandbox else { return Ok(()) };
        if self.world.has_files {
            check(&Sandbox::new(sandbox), path)
        } else if path.starts_with(sandbox) && !path.components().any(|part| part.as_os_str() == "..") {
            Ok(())
        } else {
            Err(FileError::Outside(path.to_owned()))
        }
    }

    /// Notes what is to be written when the evaluation turns out to be complete.
    pub(crate) fn write(&mut self, write: FileWrite) -> Result<(), FuncError> {
        let size: usize = self.writes.iter().map(|write| write.content.len()).sum();
        if size.saturating_add(write.content.len()) > MAX_RESULT {
            return Err(FuncError::new(format!("more than {} MiB to write", MAX_RESULT >> 20)));
        }
        self.writes.push(write);
        Ok(())
    }
}

fn sandbox_words(error: FileError) -> FuncError {
    FuncError::new(match error {
        FileError::Io { path, source, .. } => format!("lstat {}: {}", path.display(), errno(&source)),
        error => error.to_string(),
    })
}

/// Processor time that one evaluation may take.
const MAX_TIME: Duration = Duration::from_secs(5);

/// The same for one that calls functions which compute for seconds.
const MAX_SLOW_TIME: Duration = Duration::from_secs(60);

/// What this thread has computed so far; waiting for a program or a name does not count.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

impl Parsed {
    /// Parses a template's text as its stanza wants it. `table` has the functions of its profile.
    ///
    /// # Errors
    /// Go's words, with the place, and a hint where a function is another agent's.
    pub(crate) fn new(
        text: &[u8],
        settings: &config::Template,
        profile: Profile,
        table: &Arc<Funcs<Evaluation>>,
    ) -> Result<Self, ParseError> {
        let funcs = match settings.function_denylist.as_slice() {
            [] => Arc::clone(table),
            patterns => Arc::new(functions::deny(table, patterns)),
        };
        let options = Options {
            left: settings.left_delimiter.clone().into_bytes(),
            right: settings.right_delimiter.clone().into_bytes(),
            ..Options::default()
        };
        let slow = std::cell::Cell::new(false);
        let knows = |name: &str| {
            slow.set(slow.get() || functions::is_slow(name));
            funcs.contains(name)
        };
        let template = Template::parse(text, &options, knows).map_err(|mut error| {
            if let Some(hint) =
                error.undefined_function.as_deref().and_then(|name| functions::hint(name, profile))
            {
                error.message = format!("{} ({hint})", error.message);
            }
            error.message = shortened(error.message, MAX_MESSAGE);
            error
        })?;
        let missing_key = if settings.error_on_missing_key { MissingKey::Error } else { MissingKey::Zero };
        Ok(Self {
            template,
            funcs,
            missing_key,
            sandbox: settings.sandbox_path.clone(),
            destination: Some(settings.destination.clone()).filter(|path| !path.as_os_str().is_empty()),
            calls_slow: slow.get(),
            pace: AtomicU8::new(if slow.get() { Pace::Slow } else { Pace::Quick } as u8),
        })
    }

    /// How long it takes.
    pub(crate) fn pace(&self) -> Pace {
        match self.pace.load(Ordering::Relaxed) {
            0 => Pace::Quick,
            1 => Pace::Unknown,
            _ => Pace::Slow,
        }
    }

    /// Evaluates it with what is known. May take long and block: not for a thread that serves others.
    pub(crate) fn evaluate(&self, known: &Arc<Knowledge>, world: &Arc<World>) -> Evaluated {
        let most = if self.calls_slow { MAX_SLOW_TIME } else { MAX_TIME };
        handed_out(self.around(known, world, most), world)
    }

    /// The same at its pace: given up and forgotten when it takes longer.
    pub(crate) fn evaluate_at_pace(&self, known: &Arc<Knowledge>, world: &Arc<World>) -> Option<Evaluated> {
        let pace = self.pace();
        let Some(most) = pace.most() else { return Some(self.evaluate(known, world)) };
        let started = processor_time();
        let evaluated = self.around(known, world, most);
        let late = processor_time().saturating_sub(started) > most;
        if late {
            self.pace.store(pace.next() as u8, Ordering::Relaxed);
        }
        // Late and still complete: so be it.
        (!late || evaluated.0.text.is_ok()).then(|| handed_out(evaluated, world))
    }

    /// Evaluates it; gives what it printed beside what came of it.
    fn around(&self, known: &Arc<Knowledge>, world: &Arc<World>, most: Duration) -> (Evaluated, Vec<u8>) {
        gotemplate::without_cycles(|| {
            ::functions::within(world.now, most, || self.execute(known, world, most))
        })
    }

    fn execute(&self, known: &Arc<Knowledge>, world: &Arc<World>, most: Duration) -> Evaluated {
        let mut evaluation = Evaluation {
            known: Arc::clone(known),
            world: Arc::clone(world),
            sandbox: self.sandbox.clone(),
            destination: self.destination.clone(),
            scratch: Arc::default(),
            said: None,
            needed: BTreeSet::new(),
            missing: BTreeSet::new(),
            writes: Vec::new(),
        };
        let started = processor_time();
        let stop = || world.is_stopped() || processor_time().saturating_sub(started) > most;
        let options =
            ExecOptions { missing_key: self.missing_key, stop: Some(&stop), ..ExecOptions::default() };
        let mut text = Vec::new();
        let outcome = self.template.execute(&self.funcs, &mut evaluation, Value::Nil, &options, &mut text);
        // It may hold itself.
        evaluation.scratch.clear();
        let outcome = outcome.map_err(|error| self.told(error, &evaluation));
        let Evaluation { needed, missing, writes, .. } = evaluation;
        Evaluated { needed, missing, writes, printed: Vec::new(), text: outcome.map(|()| text) }
    }

    /// The error as people may see it: of a sane length, and without data where there is any that is not made up.
    fn told(&self, mut error: Box<ExecError>, evaluation: &Evaluation) -> Box<ExecError> {
        let Evaluation { known, world, needed, said, .. } = evaluation;
        let is_private = |dependency: &Dependency| !matches!(dependency, Dependency::List { .. });
        if world.is_real() && (said.is_some() || needed.iter().any(is_private)) {
            let template = String::from_utf8_lossy(self.template.text());
            let public = Public::new([template.as_ref()]);
            // A program that was told no data can show none of it.
            let said = said.as_ref().filter(|said| said.call.iter().all(|word| public.has_whole(word)));
            let public =
                Public::new([template.as_ref()].into_iter().chain(said.map(|said| said.text.as_str())));
            // Whole values are looked for in the whole; what is cut then is not told anyway.
            let message = shortened(redacted(&error.message, known, needed), MAX_MESSAGE);
            error.message = public.mask(&message);
        }
        error.message = shortened(error.message.trim_end().to_owned(), MAX_MESSAGE);
        error.context = shortened(std::mem::take(&mut error.context), MAX_QUOTE);
        error.template = shortened(std::mem::take(&mut error.template), MAX_QUOTE);
        error
    }
}

/// What an evaluation printed goes where the world wants it.
fn handed_out((mut evaluated, printed): (Evaluated, Vec<u8>), world: &World) -> Evaluated {
    // Of what is half known nobody wants to read, once for each secret that is on its way.
    if evaluated.missing.is_empty() {
        match world.prints {
            // Nobody to tell if it cannot be written; upstream does not look either.
            Prints::Itself => drop(std::io::stdout().write_all(&printed)),
            Prints::HandsOn => evaluated.printed = printed,
        }
    }
    evaluated
}

/// Longest message of an error, in bytes. A program's output may stand in it.
const MAX_MESSAGE: usize = 4 * 1024;

/// Longest part of a template that is quoted in an error, in bytes.
const MAX_QUOTE: usize = 1024;

#[cfg(test)]
mod tests;
