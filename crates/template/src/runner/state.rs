//! The state of one template: pure, time passed in.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use config::{Template, Wait};
use tokio::time::Instant;

use super::backoff::LOCAL;
use super::standing::{Failing, Standing};
use crate::dependency::Dependency;
use crate::evaluate::Parsed;
use crate::output::Look;
use crate::prepared::Piece;
use crate::writes::FileWrite;

/// First pause after a template's own failure (an error in it, a file that cannot be written).
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// A file that somebody else has changed is put back so often at most: two who disagree about it do not fight.
const PUT_BACK: Duration = Duration::from_secs(60);

/// A template and how it stands.
pub(super) struct Output {
    pub(super) settings: Arc<Template>,
    /// What it is made from; none when it is gone, and its place free for another.
    pub(super) piece: Option<Arc<Piece>>,
    /// None when its text cannot be parsed.
    pub(super) parsed: Option<Arc<Parsed>>,
    /// What it asked for when it was evaluated last.
    pub(super) needed: BTreeSet<Dependency>,
    /// When it was evaluated apart, counted with all others; 0 for never.
    pub(super) turn: u64,
    pub(super) standing: Arc<Standing>,
    /// How long further news is waited for once it was rendered.
    wait: Option<Wait>,
    /// When to evaluate it with what is new.
    news_at: Option<Instant>,
    /// Until when news is gathered at most.
    news_until: Option<Instant>,
    /// When to try again after a failure.
    retry_at: Option<Instant>,
    /// What `writeToFile` has appended already; with the evaluation while there is one.
    appended: Vec<FileWrite>,
    failures: u32,
    under_way: bool,
    rendered: bool,
    /// How its file looked when it was written or found right.
    look: Option<Look>,
    /// When it is put back at the earliest if it looks otherwise.
    put_back_from: Instant,
}

/// What a failure leads to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Setback {
    /// Until the next try.
    pub(super) pause: Duration,
    /// How many there were in a row.
    pub(super) failures: u32,
}

impl Output {
    /// `wait` counts where the template itself says nothing.
    pub(super) fn new(piece: &Arc<Piece>, wait: Option<Wait>, now: Instant) -> Self {
        let (settings, standing) = (Arc::clone(&piece.settings), Arc::clone(&piece.standing));
        let parsed = piece.parsed.as_ref().ok().cloned();
        if parsed.is_none() {
            standing.failed(Failing::Unusable);
        }
        Self {
            wait: settings.wait.or(wait),
            piece: Some(Arc::clone(piece)),
            settings,
            standing,
            parsed,
            needed: BTreeSet::new(),
            turn: 0,
            news_at: Some(now),
            news_until: None,
            retry_at: None,
            appended: Vec::new(),
            failures: 0,
            under_way: false,
            rendered: false,
            look: None,
            put_back_from: now,
        }
    }

    /// It is not wanted any more. Gives what it asked for.
    pub(super) fn leave(&mut self) -> BTreeSet<Dependency> {
        (self.piece, self.parsed) = (None, None);
        (self.news_at, self.news_until, self.retry_at) = (None, None, None);
        // Nobody waits for it.
        self.rendered = true;
        self.look = None;
        std::mem::take(&mut self.needed)
    }

    /// Whether another may have its place.
    pub(super) fn is_free(&self) -> bool {
        self.piece.is_none() && !self.under_way
    }

    /// `wait` counts from now on where the template itself says nothing.
    pub(super) fn waits(&mut self, wait: Option<Wait>) {
        self.wait = self.settings.wait.or(wait);
    }

    /// An evaluation has ended of one that is not wanted any more.
    pub(super) fn left(&mut self) {
        self.under_way = false;
    }

    /// Whether an evaluation now may say something new.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due_at().is_some_and(|at| at <= now)
    }

    /// When that is. Never while there is an evaluation.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let all = [self.news_at, self.retry_at];
        all.into_iter().flatten().min().filter(|_| !self.under_way)
    }

    /// It is being evaluated. What changes meanwhile is news again. Gives what it has appended to files already.
    pub(super) fn started(&mut self) -> Vec<FileWrite> {
        self.under_way = true;
        (self.news_at, self.news_until, self.retry_at) = (None, None, None);
        std::mem::take(&mut self.appended)
    }

    /// Something it asked for has changed. Once it was rendered, it waits until all is quiet, but not for ever.
    pub(super) fn has_news(&mut self, now: Instant) {
        let Some(wait) = self.wait.filter(|_| self.rendered) else {
            self.news_at = Some(now);
            return;
        };
        let until = *self.news_until.get_or_insert(now + wait.max);
        self.news_at = Some((now + wait.min).min(until));
    }

    pub(super) fn evaluated(&mut self, needed: BTreeSet<Dependency>, appended: Vec<FileWrite>) {
        self.needed = needed;
        self.appended = appended;
        self.under_way = false;
    }

    /// It is to be evaluated once more, from its start.
    pub(super) fn postponed(&mut self, appended: Vec<FileWrite>, now: Instant) {
        self.appended = appended;
        self.under_way = false;
        self.news_at = Some(now);
    }

    /// Its file is right, and looks so; a variable has none.
    pub(super) fn rendered(&mut self, look: Option<Look>) {
        self.failures = 0;
        self.rendered = true;
        self.look = look;
        self.standing.rendered();
    }

    /// Notes a failure. Pauses double up to `longest`; a file is tried again soon, because what was in its way may be
    /// gone and nobody is asked for it.
    pub(super) fn failed(&mut self, why: Failing, now: Instant, longest: Duration) -> Setback {
        self.standing.failed(why);
        let longest = if why == Failing::File { LOCAL } else { longest.max(FIRST_PAUSE) };
        let pause = (FIRST_PAUSE * 2u32.pow(self.failures.min(16))).min(longest);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now + pause);
        Setback { pause, failures: self.failures }
    }

    /// Whether its file looks as it was left; one that is being made, or was put back a moment ago, always does.
    pub(super) fn is_as_left(&self, look: impl FnOnce() -> Option<Look>, now: Instant) -> bool {
        self.look.is_none() || self.under_way || now < self.put_back_from || self.look == look()
    }

    /// Its file is made anew.
    pub(super) fn put_back(&mut self, now: Instant) {
        self.put_back_from = now + PUT_BACK;
        self.has_news(now);
    }

    /// Whether its file was written or found right once.
    pub(super) fn is_rendered(&self) -> bool {
        self.rendered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn output(wait: Option<Wait>, shared: Option<Wait>) -> (Output, Instant) {
        let now = Instant::now();
        let template = Template { wait, ..Template::default() };
        let prepared = crate::Prepared::new(vec![template], config::Profile::Vault, None);
        (Output::new(&prepared.all[0], shared, now), now)
    }

    #[test]
    fn news_is_gathered_once_it_was_rendered() {
        let wait = Wait { min: seconds(5), max: seconds(12) };
        let (mut output, start) = output(None, Some(wait));
        // Nobody waits for the first time.
        assert!(output.is_due(start));
        output.started();
        assert!(!output.is_due(start + seconds(99)), "evaluated twice at once");
        output.has_news(start);
        output.evaluated(BTreeSet::new(), Vec::new());
        assert!(output.is_due(start));
        output.started();
        output.evaluated(BTreeSet::new(), Vec::new());
        output.rendered(None);
        assert_eq!(output.due_at(), None);
        let after = |count| Some(start + seconds(count));
        for (news, due) in [(0, 5), (4, 9), (8, 12), (11, 12)] {
            output.has_news(start + seconds(news));
            assert_eq!(output.due_at(), after(due), "after news at {news}");
        }
        assert!(!output.is_due(start + seconds(11)) && output.is_due(start + seconds(12)));
        output.started();
        output.evaluated(BTreeSet::new(), Vec::new());
        output.has_news(start + seconds(20));
        assert_eq!(output.due_at(), after(25), "the longest wait counts anew");
    }

    #[test]
    fn the_templates_own_wait_counts_before_all_others() {
        let wait = |count| Some(Wait { min: seconds(count), max: seconds(count) });
        let (mut output, start) = output(wait(1), wait(9));
        output.started();
        output.evaluated(BTreeSet::new(), Vec::new());
        output.rendered(None);
        output.has_news(start);
        assert_eq!(output.due_at(), Some(start + seconds(1)));
    }

    #[test]
    fn each_kind_of_failure_has_its_pauses_and_success_resets_them() {
        for (why, want) in [(Failing::Template, [1, 2, 4, 8, 10, 10]), (Failing::File, [1, 2, 2, 2, 2, 2])] {
            let (mut output, start) = output(None, None);
            for (nth, want) in want.into_iter().enumerate() {
                output.started();
                output.evaluated(BTreeSet::new(), Vec::new());
                let setback = output.failed(why, start, seconds(10));
                assert_eq!((setback.pause, setback.failures), (seconds(want), nth as u32 + 1), "{why:?}");
                assert_eq!(output.due_at(), Some(start + seconds(want)));
            }
            output.rendered(None);
            assert_eq!(output.failed(why, start, seconds(10)).pause, seconds(1));
        }
    }
}
