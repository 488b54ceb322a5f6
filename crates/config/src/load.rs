//! Files and folders, each read, parsed and decoded, then all of them together made into settings.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use atomic_file::FileError;
use hcl1::{Diagnostic, Severity, Source};
use vault::Product;

use crate::check;
use crate::compile::compile;
use crate::environment::Environment;
use crate::flags::Flags;
use crate::problem::{Failure, Frame, MAX_TOLD, Problem, Report, UnknownKeys};
use crate::raw::{self, Raw};
use crate::settings::{AutoAuth, Consequence, Contents, Settings, Template};

/// What goes into settings besides the files.
#[derive(Clone, Copy, Debug)]
pub struct Loader<'a> {
    /// Agent or proxy.
    pub product: Product,
    /// The command line.
    pub flags: &'a Flags,
    /// The environment.
    pub environment: &'a Environment,
    /// What becomes of keys nobody knows.
    pub unknown_keys: UnknownKeys,
}

/// Settings, and what was remarked upon on the way.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the program is to do.
    pub settings: Settings,
    /// In the order of the files.
    pub warnings: Vec<Diagnostic>,
}

impl Loader<'_> {
    /// Loads the environment's paths, `BAO_AGENT_CONFIG_PATH` and so on, and then `paths`: files, and folders
    /// whose `.hcl` and `.json` files count in the order of their names.
    ///
    /// # Errors
    /// Every problem of every file, and then those of the whole.
    pub fn load(&self, paths: &[PathBuf]) -> Result<Loaded, Failure> {
        let variable = format!("{}_CONFIG_PATH", self.product.word().to_uppercase());
        let named = self.environment.filled(&variable);
        let named = named.iter().flat_map(|variable| variable.value.split(','));
        let named = named.map(str::trim).filter(|path| !path.is_empty()).map(PathBuf::from);
        let paths: Vec<PathBuf> = named.chain(paths.iter().cloned()).collect();
        let mut run = Run::new(*self);
        if paths.is_empty() {
            let message = "Must specify exactly at least one config path using -config";
            run.problems.push(Problem::at_start(message, None));
            run.unread = true;
        }
        for path in &paths {
            run.path(path);
        }
        run.finish()
    }

    /// The same with texts under their names instead of files.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_texts<N, T>(&self, texts: impl IntoIterator<Item = (N, T)>) -> Result<Loaded, Failure>
    where
        N: Into<String>,
        T: Into<Vec<u8>>,
    {
        let mut run = Run::new(*self);
        for (name, text) in texts {
            let name = name.into();
            run.text(Source::new(name.as_str(), text), Frame::File(name));
        }
        run.finish()
    }
}

/// A configuration is text that somebody wrote; larger files are something else.
const MAX_FILE: usize = 16 * 1024 * 1024;

/// One load.
struct Run<'a> {
    loader: Loader<'a>,
    raw: Raw,
    problems: Vec<Problem>,
    warnings: Vec<Diagnostic>,
    /// A file could not be read or parsed: what the whole lacks may be in there.
    unread: bool,
}

impl<'a> Run<'a> {
    fn new(loader: Loader<'a>) -> Self {
        Self { loader, raw: Raw::default(), problems: Vec::new(), warnings: Vec::new(), unread: false }
    }

    fn path(&mut self, path: &Path) {
        let shown = path.display().to_string();
        match fs::metadata(path) {
            Err(error) => self.unreadable(Frame::File(shown.clone()), "stat", &shown, &error),
            Ok(metadata) if metadata.is_dir() => self.folder(path, &shown),
            Ok(_) => self.file(path, Frame::File(shown)),
        }
    }

    fn folder(&mut self, folder: &Path, shown: &str) {
        match usable_files(folder) {
            Ok(files) => {
                for file in files {
                    let name = file.display().to_string();
                    self.file(&file, Frame::InFolder { folder: shown.to_owned(), file: name });
                }
            }
            Err(error) => self.unreadable(Frame::File(shown.to_owned()), "open", shown, &error),
        }
    }

    fn file(&mut self, path: &Path, frame: Frame) {
        let shown = path.display().to_string();
        match atomic_file::read_regular(path, MAX_FILE) {
            Ok(text) => self.text(Source::new(shown, text), frame),
            Err(FileError::Io { source, .. }) => self.unreadable(frame, "open", &shown, &source),
            Err(error) => self.unreadable(frame, "open", &shown, &io::Error::other(error.reason())),
        }
    }

    fn unreadable(&mut self, frame: Frame, did: &str, path: &str, error: &io::Error) {
        self.unread = true;
        let diagnostic = Diagnostic::plain(Severity::Error, format!("{did} {path}: {}", go_words(error)));
        self.problems.push(Problem::new(frame, "", diagnostic));
    }

    fn text(&mut self, source: Source, frame: Frame) {
        let object = match hcl1::parse(&source) {
            Ok(object) => object,
            Err(errors) => {
                self.unread = true;
                let problems = errors.into_iter().map(|e| Problem::new(frame.clone(), "", e).located());
                return self.problems.extend(problems);
            }
        };
        let Loader { product, environment, unknown_keys, .. } = self.loader;
        let report = Report::new(source, frame, unknown_keys);
        let raw = raw::read(&report, &object, product, environment);
        let (problems, warnings) = report.into_parts();
        self.problems.extend(problems);
        self.warnings.extend(warnings);
        self.raw = std::mem::take(&mut self.raw).merge(raw);
    }

    fn finish(mut self) -> Result<Loaded, Failure> {
        let Loader { product, flags, environment, .. } = self.loader;
        let mut problems = Vec::new();
        let mut settings = match self.unread {
            true => None,
            false => compile(product, self.raw, flags, environment, &mut problems),
        };
        if let Some(settings) = &mut settings {
            mark_shared_files(settings);
        }
        self.problems.extend(problems);
        self.warnings.extend(settings.iter().flat_map(shared_files));
        self.warnings.extend(settings.iter().flat_map(check::shared_addresses));
        self.warnings.extend(settings.iter().filter_map(check::plain_secrets));
        self.warnings.extend(settings.iter().flat_map(without_child));
        match settings {
            Some(settings) if self.problems.is_empty() => Ok(Loaded { settings, warnings: self.warnings }),
            _ => Err(Failure { problems: self.problems, warnings: self.warnings }),
        }
    }
}

/// Notes which templates are not alone in writing their file.
fn mark_shared_files(settings: &mut Settings) {
    let mut users = BTreeMap::<&Path, usize>::new();
    let templates = settings.templates.iter().filter(|template| template.variable.is_none());
    let files = templates.map(|template| template.destination.as_path());
    for file in files.chain(settings.auto_auths.iter().flat_map(AutoAuth::files)) {
        *users.entry(file).or_default() += 1;
    }
    let shared: Vec<PathBuf> =
        users.into_iter().filter(|(_, count)| *count > 1).map(|(file, _)| file.to_owned()).collect();
    for template in settings.templates.iter_mut().filter(|template| template.variable.is_none()) {
        template.shares_file = shared.contains(&template.destination);
    }
}

/// Templates and sinks that write one file, which upstream accepts: it holds what was written last.
fn shared_files(settings: &Settings) -> Vec<Diagnostic> {
    // Which templates, and how many sinks and token stores.
    let mut users = BTreeMap::<&Path, (Vec<String>, usize)>::new();
    for (nth, template) in settings.templates.iter().enumerate() {
        if template.variable.is_none() {
            let source = match &template.contents {
                Contents::Inline(_) => "contents".to_owned(),
                Contents::File(path) => path.display().to_string(),
            };
            users.entry(&template.destination).or_default().0.push(format!("number {} ({source})", nth + 1));
        }
    }
    for file in settings.auto_auths.iter().flat_map(AutoAuth::files) {
        users.entry(file).or_default().1 += 1;
    }
    let shared =
        users.into_iter().filter(|(_, (templates, tokens))| templates.len() + tokens > 1).take(MAX_TOLD);
    let tell = |(path, (templates, tokens)): (&Path, (Vec<String>, usize))| {
        let path = path.display();
        let message = match (templates.len(), tokens) {
            (count, 0) => format!("{count} templates have the destination {path}"),
            (0, _) => format!("{tokens} sinks write to {path}"),
            _ => format!("a template and a sink write to {path}"),
        };
        let mut message = format!("{message}: it holds what was written last");
        let more = templates.len().saturating_sub(MAX_TOLD);
        if let Some((last, others)) = templates.get(..templates.len() - more).and_then(<[_]>::split_last) {
            let others = others.join(", ");
            let and = if others.is_empty() { "" } else { " and " };
            message = format!("{message}: {others}{and}{last}");
        }
        if more > 0 {
            message = format!("{message}, and {more} more");
        }
        Diagnostic::plain(Severity::Warning, message)
            .hint("each replaces what the others wrote; give each a file of its own")
    };
    shared.map(tell).collect()
}

/// Templates whose changes concern the child, where there is none.
fn without_child(settings: &Settings) -> Vec<Diagnostic> {
    let told = |template: &Template| {
        let word = match template.on_change {
            Consequence::Restart => "restart",
            Consequence::Signal => "signal",
            Consequence::Command | Consequence::Nothing => return None,
        };
        let path = template.destination.display();
        let message =
            format!("on_change = {word:?} of the template for {path} has no effect: there is no exec");
        Some(Diagnostic::plain(Severity::Warning, message).hint("add exec { … }, or remove on_change"))
    };
    let templates = if settings.exec.is_none() { settings.templates.as_slice() } else { &[] };
    templates.iter().filter_map(told).take(MAX_TOLD).collect()
}

/// The files of a folder that count, by name. Upstream takes them in whatever order the file system has.
fn usable_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if is_usable(&name) && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Configuration by its name, and not what an editor left behind.
fn is_usable(name: &str) -> bool {
    let is_config = name.ends_with(".hcl") || name.ends_with(".json");
    let is_leftover =
        name.ends_with('~') || name.starts_with(".#") || (name.starts_with('#') && name.ends_with('#'));
    is_config && !is_leftover
}

/// Go's words for the errors people meet.
fn go_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        _ => error.to_string(),
    }
}
