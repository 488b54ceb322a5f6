//! Rendering once, for the command line: against the server, or with fixtures. Nothing is written.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use config::{Contents, Profile, Template, TemplateConfig};
use futures_util::{FutureExt as _, StreamExt as _};
use gotemplate::{ExecError, ParseError};
use thiserror::Error;
use vault::api::Caller;
use vault::{Token, Upstream};

use crate::dependency::Dependency;
use crate::evaluate::{Evaluated, Knowledge, Known, Parsed};
use crate::fetch::Fetcher;
use crate::fixtures::Fixtures;
use crate::functions::{profile_of, shared_table};
use crate::redact::redacted;
use crate::refresh::Rules;
use crate::source;
use crate::world::{Prints, StopOnDrop, World};

/// What came of a template.
pub struct Rendered {
    /// Its file, if it has one of its own.
    pub source: Option<PathBuf>,
    /// The file it would be written to.
    pub destination: PathBuf,
    /// Its own text, for showing places in it; empty when it could not be read.
    pub template: Vec<u8>,
    /// The text, or why there is none.
    pub outcome: Result<Vec<u8>, RenderError>,
    /// What `writeToFile` would write.
    pub writes: Vec<Written>,
    /// What it printed beside its text (`spew_dump`), also when it failed.
    pub printed: Vec<u8>,
    /// What it asked for, as upstream's log names it.
    pub needed: Vec<String>,
}

/// A file that `writeToFile` would write.
pub struct Written {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub content: Vec<u8>,
    /// Behind what is there, instead of in its place.
    pub append: bool,
}

/// Without what was rendered, which is mostly secret.
impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rendered")
            .field("destination", &self.destination)
            .field("outcome", &self.outcome.as_ref().map(Vec::len))
            .finish_non_exhaustive()
    }
}

/// The same.
impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Written").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Why there is no text.
#[derive(Debug, Error)]
pub enum RenderError {
    /// Its file cannot be read.
    #[error("{0}")]
    Source(String),
    /// It cannot be parsed; the place is in it.
    #[error("parse: {0}")]
    Parse(ParseError),
    /// It failed; the place is in it. No secret is, nor anything made of one.
    #[error("execute: {0}")]
    Exec(Box<ExecError>),
    /// Something it asks for is not to be had.
    #[error("{0}")]
    Fetch(String),
    /// It always asks for more.
    #[error("it asks for ever more secrets: no end after {ROUNDS} rounds")]
    Endless,
    /// We failed.
    #[error("a bug in Sidekey (panic) while evaluating the template")]
    Bug,
}

/// Each round may name secrets by what others held.
const ROUNDS: usize = 100;

/// Requests under way at a time.
const AT_ONCE: usize = 10;

/// What rendering once needs besides templates.
#[derive(Clone)]
pub struct OnceSettings {
    /// The stanza that all templates share.
    pub shared: TemplateConfig,
    /// The environment as it was at start.
    pub environment: HashMap<String, String>,
    /// Variables that commands get beside the environment, and `env` sees.
    pub for_commands: Vec<(String, String)>,
}

/// Without the environment, in which there may be a token.
impl fmt::Debug for OnceSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceSettings").field("shared", &self.shared).finish_non_exhaustive()
    }
}

/// Renders templates with what the server has, each secret asked for once. Nothing is written: `writeToFile` is
/// only noted, and a certificate in a template's file is used as long as it is good. Programs that `plugin`
/// names do run. Dropped, it ends them.
pub async fn render_once(
    templates: &[Template],
    settings: &OnceSettings,
    server: Arc<dyn Upstream>,
    caller: Caller,
    token: &Token,
) -> Vec<Rendered> {
    let profile = profile_of(settings.shared.profile);
    let stop = StopOnDrop::default();
    let mut world = World::here(&settings.shared, &settings.environment, &settings.for_commands, &stop);
    world.prints = Prints::HandsOn;
    let fetcher = Fetcher::new(server, caller, Rules::of(&settings.shared));
    let server = Server { fetcher, token, world: Arc::new(world) };
    let functions = shared_table(profile);
    let mut known = Arc::new(Knowledge::new());
    let mut all = Vec::new();
    for template in templates {
        let mut rendered = Rendered::new(template);
        let parsed = rendered
            .read(template)
            .and_then(|text| Parsed::new(text, template, profile, &functions).map_err(RenderError::Parse));
        match parsed {
            Ok(parsed) => rendered.settle(&Arc::new(parsed), &server, &mut known).await,
            Err(error) => rendered.outcome = Err(error),
        }
        all.push(rendered);
    }
    all
}

/// Renders a text with made-up secrets, files and environment: no server, no file, no program.
pub fn render_with(text: &[u8], settings: &Template, profile: Profile, fixtures: &Fixtures) -> Rendered {
    let mut rendered = Rendered::new(settings);
    rendered.template = text.to_vec();
    let profile = profile_of(profile);
    match Parsed::new(text, settings, profile, &shared_table(profile)) {
        Ok(parsed) => {
            let source = MadeUp { fixtures, world: Arc::new(fixtures.world(profile)) };
            // It waits for nobody. If it did, `outcome` would go on saying that there is no end.
            let _ = rendered.settle(&Arc::new(parsed), &source, &mut Arc::default()).now_or_never();
        }
        Err(error) => rendered.outcome = Err(RenderError::Parse(error)),
    }
    rendered
}

/// Where a template is evaluated, and where what it asks for comes from.
trait Source {
    /// `None` for a panic.
    async fn evaluate(&self, parsed: &Arc<Parsed>, known: &Arc<Knowledge>) -> Option<Evaluated>;

    /// What could be had, and why the rest could not.
    async fn fetch(
        &self,
        missing: &BTreeSet<Dependency>,
        known: &Knowledge,
    ) -> (Vec<(Dependency, Known)>, Option<String>);
}

/// The real server.
struct Server<'a> {
    fetcher: Fetcher,
    token: &'a Token,
    world: Arc<World>,
}

impl Source for Server<'_> {
    /// Off this thread, which serves others meanwhile.
    async fn evaluate(&self, parsed: &Arc<Parsed>, known: &Arc<Knowledge>) -> Option<Evaluated> {
        let (parsed, known, world) = (Arc::clone(parsed), Arc::clone(known), Arc::clone(&self.world));
        tokio::task::spawn_blocking(move || parsed.evaluate(&known, &world)).await.ok()
    }

    async fn fetch(
        &self,
        missing: &BTreeSet<Dependency>,
        known: &Knowledge,
    ) -> (Vec<(Dependency, Known)>, Option<String>) {
        let fetches = missing.iter().map(|dependency| async {
            (dependency.clone(), self.fetcher.fetch(dependency, self.token, false).await)
        });
        let mut fetches = futures_util::stream::iter(fetches).buffered(AT_ONCE);
        let (mut found, mut failure) = (Vec::new(), None);
        while let Some((dependency, outcome)) = fetches.next().await {
            match outcome {
                Ok(fetched) => found.push((dependency, fetched)),
                // A path may be made of another secret's value.
                Err(error) => {
                    let told = || redacted(&error.to_string(), known, &known.keys().cloned().collect());
                    failure = failure.or_else(|| Some(told()));
                }
            }
        }
        (found, failure)
    }
}

/// Fixtures.
struct MadeUp<'a> {
    fixtures: &'a Fixtures,
    world: Arc<World>,
}

impl Source for MadeUp<'_> {
    async fn evaluate(&self, parsed: &Arc<Parsed>, known: &Arc<Knowledge>) -> Option<Evaluated> {
        Some(parsed.evaluate(known, &self.world))
    }

    async fn fetch(
        &self,
        missing: &BTreeSet<Dependency>,
        _: &Knowledge,
    ) -> (Vec<(Dependency, Known)>, Option<String>) {
        let (mut found, mut failure) = (Vec::new(), None);
        for dependency in missing {
            match self.fixtures.known(dependency) {
                Ok(known) => found.push((dependency.clone(), known)),
                Err(why) => failure = failure.or(Some(why)),
            }
        }
        (found, failure)
    }
}

impl Rendered {
    fn new(settings: &Template) -> Self {
        Self {
            source: match &settings.contents {
                Contents::File(path) => Some(path.clone()),
                Contents::Inline(_) => None,
            },
            destination: settings.destination.clone(),
            template: Vec::new(),
            outcome: Err(RenderError::Endless),
            writes: Vec::new(),
            printed: Vec::new(),
            needed: Vec::new(),
        }
    }

    fn read(&mut self, settings: &Template) -> Result<&[u8], RenderError> {
        self.template = source::read(&settings.contents).map_err(RenderError::Source)?;
        Ok(&self.template)
    }

    /// Evaluates and fetches until nothing is missing.
    async fn settle(&mut self, parsed: &Arc<Parsed>, source: &impl Source, known: &mut Arc<Knowledge>) {
        for _ in 0..ROUNDS {
            let Some(evaluated) = source.evaluate(parsed, known).await else {
                self.outcome = Err(RenderError::Bug);
                return;
            };
            self.needed = evaluated.needed.iter().map(Dependency::to_string).collect();
            if evaluated.missing.is_empty() {
                self.finish(evaluated);
                return;
            }
            let (found, failure) = source.fetch(&evaluated.missing, known).await;
            Arc::make_mut(known).extend(found);
            if let Some(failure) = failure {
                self.outcome = Err(RenderError::Fetch(failure));
                return;
            }
        }
    }

    fn finish(&mut self, evaluated: Evaluated) {
        self.printed = evaluated.printed;
        self.outcome = evaluated.text.map_err(RenderError::Exec);
        if self.outcome.is_ok() {
            let writes = evaluated.writes.into_iter();
            self.writes = writes
                .map(|write| Written { path: write.path, content: write.content, append: write.append })
                .collect();
        }
    }
}

#[cfg(test)]
mod tests;
