//! Templates read and parsed, before anything is done with them: what cannot be used is known then.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use config::{Profile, Template};
use gotemplate::Funcs;

use crate::evaluate::{Evaluation, Parsed};
use crate::runner::{RunnerError, Standing};
use crate::{functions, output, source};

/// Templates of one runner, in order.
pub struct Prepared {
    pub(crate) all: Vec<Arc<Piece>>,
}

/// One of them. Who has the same one before and after a reload has nothing to do.
pub(crate) struct Piece {
    pub(crate) settings: Arc<Template>,
    pub(crate) parsed: Result<Arc<Parsed>, Unusable>,
    pub(crate) standing: Arc<Standing>,
    profile: Profile,
    /// Of the text, which may be another though the stanza is the same.
    text: Option<u64>,
}

/// Why a template cannot be used at all.
#[derive(Clone)]
pub(crate) enum Unusable {
    Source(String),
    Text(String),
}

impl Prepared {
    /// Reads and parses templates; those that are the same as in `before`, text included, are taken from there.
    pub fn new(templates: Vec<Template>, profile: Profile, before: Option<&Self>) -> Self {
        let mut known: Vec<&Arc<Piece>> = before.iter().flat_map(|before| &before.all).collect();
        let own = functions::profile_of(profile);
        let table = functions::shared_table(own);
        let piece = |template: Template| {
            let text = source::read(&template.contents);
            let print = text.as_ref().ok().map(|text| {
                let mut hasher = DefaultHasher::new();
                text.hash(&mut hasher);
                hasher.finish()
            });
            let is_same = |piece: &&Arc<Piece>| {
                *piece.settings == template && piece.profile == profile && piece.text == print
            };
            if let Some(at) = known.iter().position(is_same) {
                return Arc::clone(known.swap_remove(at));
            }
            let parsed = text.map_err(Unusable::Source).and_then(|text| parse(&text, &template, own, &table));
            let standing = Arc::new(Standing::new(template.destination.clone()));
            Arc::new(Piece { settings: Arc::new(template), parsed, standing, profile, text: print })
        };
        Self { all: templates.into_iter().map(piece).collect() }
    }

    /// Why those cannot be used that cannot. Whoever was as useless in `before` is not told of again.
    pub fn problems(&self, before: Option<&Self>) -> Vec<RunnerError> {
        let is_known = |piece: &Piece| {
            before.iter().flat_map(|before| &before.all).any(|known| known.settings == piece.settings)
        };
        let new = self.all.iter().filter(|piece| !is_known(piece));
        new.filter_map(|piece| piece.problem()).collect()
    }

    /// The first that cannot be used and must be: with `once` any, and of those that count with `exits`.
    pub fn fatal(&self, once: bool, exits: bool) -> Option<RunnerError> {
        let counts = |piece: &&Arc<Piece>| once || exits && piece.settings.error_fatal;
        self.all.iter().filter(counts).find_map(|piece| piece.problem())
    }

    /// How each stands, in order; kept up to date while they are rendered.
    pub fn standings(&self) -> impl Iterator<Item = &Arc<Standing>> {
        self.all.iter().map(|piece| &piece.standing)
    }

    /// Whether nothing is another than in `before`.
    pub fn is_same(&self, before: &Self) -> bool {
        self.all.len() == before.all.len()
            && self.all.iter().zip(&before.all).all(|(one, other)| Arc::ptr_eq(one, other))
    }

    /// The files or variables of those that are not in `other`.
    pub fn not_in(&self, other: Option<&Self>) -> Vec<String> {
        let all = || other.iter().flat_map(|other| &other.all);
        let new = self.all.iter().filter(|piece| !all().any(|known| Arc::ptr_eq(known, piece)));
        new.map(|piece| piece.settings.destination.display().to_string()).collect()
    }
}

impl Piece {
    /// As an error.
    pub(crate) fn problem(&self) -> Option<RunnerError> {
        Some(match self.parsed.as_ref().err()? {
            Unusable::Source(reason) => RunnerError::Source(reason.clone()),
            Unusable::Text(reason) => {
                RunnerError::Parse { source_name: output::source(&self.settings), reason: reason.clone() }
            }
        })
    }
}

fn parse(
    text: &[u8],
    template: &Template,
    profile: ::functions::Profile,
    functions: &Arc<Funcs<Evaluation>>,
) -> Result<Arc<Parsed>, Unusable> {
    let parsed = Parsed::new(text, template, profile, functions);
    parsed.map(Arc::new).map_err(|error| Unusable::Text(error.to_string()))
}

#[cfg(test)]
mod tests {
    use config::Contents;

    use super::*;

    fn template(destination: &str, text: &str) -> Template {
        Template {
            destination: destination.into(),
            contents: Contents::Inline(text.as_bytes().to_vec()),
            ..Template::default()
        }
    }

    #[test]
    fn what_is_the_same_is_the_very_same_and_there_and_back_is_nothing() {
        let one = || vec![template("a", "x"), template("b", "y")];
        let first = Prepared::new(one(), Profile::Vault, None);
        let second = Prepared::new(one(), Profile::Vault, Some(&first));
        assert!(second.is_same(&first) && second.not_in(Some(&first)).is_empty());
        let other = Prepared::new(vec![template("b", "y"), template("a", "z")], Profile::Vault, Some(&first));
        assert!(!other.is_same(&first));
        assert_eq!(
            (other.not_in(Some(&first)), first.not_in(Some(&other))),
            (vec!["a".into()], vec!["a".into()])
        );
        let profile = Prepared::new(one(), Profile::OpenBao, Some(&first));
        assert_eq!(profile.not_in(Some(&first)).len(), 2, "other functions, other templates");
    }

    #[test]
    fn a_file_with_another_text_is_another_template_and_only_news_is_a_problem() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("source");
        let stanza = || vec![Template { contents: Contents::File(path.clone()), ..template("a", "") }];
        let write =
            |text: &str| atomic_file::write(&path, text.as_bytes(), &atomic_file::Attributes::new(0o600));
        let absent = Prepared::new(stanza(), Profile::Vault, None);
        assert_eq!(absent.problems(None).len(), 1);
        assert!(Prepared::new(stanza(), Profile::Vault, Some(&absent)).problems(Some(&absent)).is_empty());
        write("one").unwrap();
        let first = Prepared::new(stanza(), Profile::Vault, Some(&absent));
        assert!(first.problems(None).is_empty() && !first.is_same(&absent));
        assert!(Prepared::new(stanza(), Profile::Vault, Some(&first)).is_same(&first));
        write("two").unwrap();
        assert!(!Prepared::new(stanza(), Profile::Vault, Some(&first)).is_same(&first));
    }
}
