//! Variables in scope.

use std::collections::HashMap;
use std::sync::Arc;

/// The variables in scope, found in no time however many there are.
#[derive(Default)]
pub(super) struct Names {
    stack: Vec<Arc<str>>,
    known: HashMap<Arc<str>, usize>,
}

impl Names {
    pub(super) fn push(&mut self, name: Arc<str>) {
        *self.known.entry(name.clone()).or_default() += 1;
        self.stack.push(name);
    }

    pub(super) fn truncate(&mut self, len: usize) {
        while self.stack.len() > len
            && let Some(name) = self.stack.pop()
            && let Some(count) = self.known.get_mut(&name)
        {
            *count -= 1;
        }
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.known.get(name).is_some_and(|&count| count > 0)
    }

    pub(super) fn len(&self) -> usize {
        self.stack.len()
    }
}
