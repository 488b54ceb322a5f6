//! Rendering once, for the command line: against the server, or with fixtures. Nothing is written.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use config::{Contents, Profile, Template, TemplateConfig};
use futures_util::StreamExt as _;
use gotemplate::{ExecError, ParseError};
use thiserror::Error;
use vault::api::Caller;
use vault::{Token, Upstream};

use crate::dependency::Dependency;
use crate::evaluate::{Evaluated, Knowledge, Known, Parsed};
use crate::fetch::{Fetcher, MAX_FILE};
use crate::fixtures::Fixtures;
use crate::functions::{profile_of, table};
use crate::output;
use crate::redact::redacted;
use crate::refresh::Rules;
use crate::world::{StopOnDrop, World};

/// What came of a template.
pub struct Rendered {
    /// How upstream names it: its file, or `(dynamic)`.
    pub source: String,
    /// The file it would be written to.
    pub destination: PathBuf,
    /// Its own text, for showing places in it; empty when it could not be read.
    pub template: Vec<u8>,
    /// The text, or why there is none.
    pub outcome: Result<Vec<u8>, RenderError>,
    /// What `writeToFile` would write.
    pub writes: Vec<Written>,
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
    #[error("failed to read template: {0}")]
    Source(String),
    /// It cannot be parsed; the place is in it.
    #[error("parse: {0}")]
    Parse(ParseError),
    /// It failed; the place is in it. No value of a secret is.
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
/// names do run.
pub async fn render_once(
    templates: &[Template],
    settings: &OnceSettings,
    server: Arc<dyn Upstream>,
    caller: Caller,
    token: &Token,
) -> Vec<Rendered> {
    let profile = profile_of(settings.shared.profile);
    let stop = StopOnDrop::default();
    let world = World::here(&settings.shared, &settings.environment, &settings.for_commands, &stop);
    let world = Arc::new(world);
    let fetcher = Fetcher::new(server, caller, Rules::of(&settings.shared));
    let functions = Arc::new(table(profile));
    let mut known = Arc::new(Knowledge::new());
    let mut all = Vec::new();
    for template in templates {
        let mut rendered = Rendered::new(template);
        let parsed = match rendered
            .read(template)
            .and_then(|text| Parsed::new(text, template, profile, &functions).map_err(RenderError::Parse))
        {
            Ok(parsed) => Arc::new(parsed),
            Err(error) => {
                rendered.outcome = Err(error);
                all.push(rendered);
                continue;
            }
        };
        for _ in 0..ROUNDS {
            let Some(evaluated) = evaluate(&parsed, &known, &world).await else {
                rendered.outcome = Err(RenderError::Bug);
                break;
            };
            if evaluated.missing.is_empty() {
                rendered.settle(evaluated, &known);
                break;
            }
            let fetches = evaluated.missing.iter().map(|dependency| async {
                (dependency.clone(), fetcher.fetch(dependency, token, false).await)
            });
            let mut fetches = futures_util::stream::iter(fetches).buffered(AT_ONCE);
            let mut found = Vec::new();
            let mut failure = None;
            while let Some((dependency, outcome)) = fetches.next().await {
                match outcome {
                    Ok(fetched) => found.push((dependency, fetched)),
                    Err(error) => failure = failure.or_else(|| Some(error.to_string())),
                }
            }
            drop(fetches);
            Arc::make_mut(&mut known).extend(found);
            if let Some(failure) = failure {
                rendered.needed = names(&evaluated);
                rendered.outcome = Err(RenderError::Fetch(failure));
                break;
            }
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
    let world = Arc::new(fixtures.world(profile));
    let parsed = match Parsed::new(text, settings, profile, &Arc::new(table(profile))) {
        Ok(parsed) => parsed,
        Err(error) => {
            rendered.outcome = Err(RenderError::Parse(error));
            return rendered;
        }
    };
    let mut known = Arc::new(Knowledge::new());
    for _ in 0..ROUNDS {
        let evaluated = parsed.evaluate(&known, &world);
        if evaluated.missing.is_empty() {
            rendered.settle(evaluated, &known);
            break;
        }
        let found: Result<Vec<(Dependency, Known)>, String> = evaluated
            .missing
            .iter()
            .map(|dependency| Ok((dependency.clone(), fixtures.known(dependency)?)))
            .collect();
        match found {
            Ok(found) => Arc::make_mut(&mut known).extend(found),
            Err(why) => {
                rendered.needed = names(&evaluated);
                rendered.outcome = Err(RenderError::Fetch(why));
                break;
            }
        }
    }
    rendered
}

impl Rendered {
    fn new(settings: &Template) -> Self {
        Self {
            source: output::source(settings),
            destination: settings.destination.clone(),
            template: Vec::new(),
            outcome: Err(RenderError::Endless),
            writes: Vec::new(),
            needed: Vec::new(),
        }
    }

    fn read(&mut self, settings: &Template) -> Result<&[u8], RenderError> {
        self.template = match &settings.contents {
            Contents::Inline(text) => text.clone(),
            Contents::File(path) => atomic_file::read_regular(path, MAX_FILE)
                .map_err(|error| RenderError::Source(error.to_string()))?,
        };
        Ok(&self.template)
    }

    fn settle(&mut self, evaluated: Evaluated, known: &Knowledge) {
        self.needed = names(&evaluated);
        self.outcome = evaluated.text.map_err(|mut error| {
            error.message = redacted(&error.message, known, &evaluated.needed);
            RenderError::Exec(error)
        });
        if self.outcome.is_ok() {
            let writes = evaluated.writes.into_iter();
            self.writes = writes
                .map(|write| Written { path: write.path, content: write.content, append: write.append })
                .collect();
        }
    }
}

fn names(evaluated: &Evaluated) -> Vec<String> {
    evaluated.needed.iter().map(Dependency::to_string).collect()
}

/// Off this thread, which serves others meanwhile. `None` for a panic.
async fn evaluate(parsed: &Arc<Parsed>, known: &Arc<Knowledge>, world: &Arc<World>) -> Option<Evaluated> {
    let (parsed, known, world) = (Arc::clone(parsed), Arc::clone(known), Arc::clone(world));
    tokio::task::spawn_blocking(move || parsed.evaluate(&known, &world)).await.ok()
}

#[cfg(test)]
mod tests;
