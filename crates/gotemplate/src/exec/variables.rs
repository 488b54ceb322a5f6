//! Variables: the innermost of a name counts.

use std::sync::Arc;

use super::{Executed, Machine, Operand, VARIABLE, VARIABLES_PER_STEP};
use crate::value::Value;

impl<C> Machine<'_, '_, C> {
    /// Where a variable is; looking far counts as work.
    pub(super) fn find(&mut self, name: &str) -> Executed<usize> {
        let known = self.vars.get(self.base..).unwrap_or_default();
        let Some(below) = known.iter().rev().position(|(known, _)| **known == *name) else {
            return self.fail(format!("undefined variable: {name}"));
        };
        let worked = self.meter.work(below as u64 / VARIABLES_PER_STEP);
        self.within(worked)?;
        Ok(self.vars.len() - 1 - below)
    }

    pub(super) fn variable(&mut self, name: &str) -> Executed<Operand> {
        let at = self.find(name)?;
        Ok(self.vars.get(at).map_or_else(|| Value::Nil.into(), |(_, value)| value.clone()))
    }

    pub(super) fn set(&mut self, name: &str, value: Operand) -> Executed<()> {
        let at = self.find(name)?;
        if let Some((_, slot)) = self.vars.get_mut(at) {
            let old = std::mem::replace(slot, value);
            self.drop_value(&old.value);
        }
        Ok(())
    }

    pub(super) fn declare(&mut self, name: Arc<str>, value: Operand) -> Executed<()> {
        let held = self.meter.hold(VARIABLE);
        self.within(held)?;
        self.vars.push((name, value));
        Ok(())
    }

    /// Drops the variables above the mark.
    pub(super) fn forget(&mut self, mark: usize) {
        while self.vars.len() > mark
            && let Some((_, old)) = self.vars.pop()
        {
            self.meter.release(VARIABLE);
            self.drop_value(&old.value);
        }
    }

    pub(super) fn set_top(&mut self, below: usize, value: Operand) {
        let at = self.vars.len().saturating_sub(below);
        if let Some((_, slot)) = self.vars.get_mut(at) {
            let old = std::mem::replace(slot, value);
            self.drop_value(&old.value);
        }
    }
}
