//! One evaluation of one template: with what is known, recording what it needed.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gotemplate::{
    ExecError, ExecOptions, FuncError, Funcs, MissingKey, Options, ParseError, Template, Value,
};

use crate::dependency::Dependency;
use crate::functions;

/// What was fetched for a dependency.
#[derive(Clone)]
pub(crate) enum Known {
    /// A secret; none for a write that the server answered with nothing.
    Secret(Option<Arc<vault::Secret>>),
    /// A file's content.
    File(Arc<Vec<u8>>),
}

/// All that was fetched.
pub(crate) type Knowledge = HashMap<Dependency, Known>;

/// The environment as it was at start.
pub(crate) type Environment = Arc<HashMap<String, String>>;

/// A parsed template.
pub(crate) struct Parsed {
    template: Template,
    funcs: Funcs<Evaluation>,
    missing_key: MissingKey,
    sandbox: Option<PathBuf>,
}

/// What came of an evaluation.
pub(crate) struct Evaluated {
    /// Everything that was asked for.
    pub(crate) needed: BTreeSet<Dependency>,
    /// What of it is not known yet; while there is any, `text` must not be written.
    pub(crate) missing: BTreeSet<Dependency>,
    /// The text, or the template's error.
    pub(crate) text: Result<Vec<u8>, Box<ExecError>>,
}

/// The state that functions see.
pub(crate) struct Evaluation {
    known: Arc<Knowledge>,
    environment: Environment,
    sandbox: Option<PathBuf>,
    needed: BTreeSet<Dependency>,
    missing: BTreeSet<Dependency>,
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

    /// A variable; a `BAO_` name that is not set falls back to its `VAULT_` name.
    pub(crate) fn environment(&self, name: &str) -> String {
        let other = name.strip_prefix("BAO_").map(|rest| format!("VAULT_{rest}"));
        let found = self.environment.get(name).or_else(|| self.environment.get(&other?));
        found.cloned().unwrap_or_default()
    }

    /// Refuses a file outside the template's sandbox, links resolved.
    pub(crate) fn check_sandbox(&self, path: &Path) -> Result<(), FuncError> {
        let Some(sandbox) = &self.sandbox else { return Ok(()) };
        let real = path
            .canonicalize()
            .map_err(|error| FuncError::new(format!("lstat {}: {error}", path.display())))?;
        let sandbox = sandbox.canonicalize().unwrap_or_else(|_| sandbox.clone());
        if real.starts_with(&sandbox) {
            return Ok(());
        }
        Err(FuncError::new(format!("'{}' is outside of sandbox", path.display())))
    }
}

impl Parsed {
    /// Parses a template's text as its stanza wants it.
    ///
    /// # Errors
    /// Go's words, with the place.
    pub(crate) fn new(text: &[u8], settings: &config::Template) -> Result<Self, ParseError> {
        let mut funcs = functions::table(::functions::Profile::OpenBao);
        for name in &settings.function_denylist {
            deny(&mut funcs, name);
        }
        let options = Options {
            left: settings.left_delimiter.clone().into_bytes(),
            right: settings.right_delimiter.clone().into_bytes(),
            ..Options::default()
        };
        let template = Template::parse(text, &options, |name| funcs.contains(name))?;
        let missing_key = if settings.error_on_missing_key { MissingKey::Error } else { MissingKey::Zero };
        Ok(Self { template, funcs, missing_key, sandbox: settings.sandbox_path.clone() })
    }

    /// Evaluates it with what is known.
    pub(crate) fn evaluate(&self, known: &Arc<Knowledge>, environment: &Environment) -> Evaluated {
        let mut evaluation = Evaluation {
            known: Arc::clone(known),
            environment: Arc::clone(environment),
            sandbox: self.sandbox.clone(),
            needed: BTreeSet::new(),
            missing: BTreeSet::new(),
        };
        let options = ExecOptions { missing_key: self.missing_key, ..ExecOptions::default() };
        let mut text = Vec::new();
        let outcome = self.template.execute(&self.funcs, &mut evaluation, Value::Nil, &options, &mut text);
        let Evaluation { needed, missing, .. } = evaluation;
        Evaluated { needed, missing, text: outcome.map(|()| text) }
    }
}

/// Puts a function in its place that parses and fails when it is called.
fn deny(funcs: &mut Funcs<Evaluation>, name: &str) {
    let known = funcs.names().find(|known| *known == name);
    if let Some(name) = known {
        let denied = gotemplate::Func::pure(name, &[], |_| Err(FuncError::new("function is disabled")));
        funcs.insert(denied.variadic(gotemplate::Param::Any));
    }
}

#[cfg(test)]
mod tests;
