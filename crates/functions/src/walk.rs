//! Bounds for walks through whole values.
//!
//! A template can nest values without end and even put a map into itself, where Go would exhaust its stack. Here
//! every walk has a bound in depth and in steps.

use gotemplate::FuncError;

use crate::MAX_ELEMENTS;

/// Lists and maps may nest this deep.
const MAX_DEPTH: usize = 200;

/// What is left of a walk.
pub(crate) struct Walk {
    steps: usize,
    depth: usize,
}

impl Walk {
    /// A fresh one. It sees [`MAX_ELEMENTS`] at most: values that share their parts have exponentially many.
    pub(crate) fn new() -> Self {
        Self::of(MAX_ELEMENTS)
    }

    /// One that tires after so many elements.
    pub(crate) fn of(steps: usize) -> Self {
        Self { steps, depth: MAX_DEPTH }
    }

    /// Goes one level down for `inside`, which sees `count` elements.
    ///
    /// # Errors
    /// When it is too deep or has seen too much; else what `inside` says.
    pub(crate) fn down<T, E: From<FuncError>>(
        &mut self,
        count: usize,
        inside: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.depth = self.depth.checked_sub(1).ok_or(FuncError::from("the value is nested too deep"))?;
        self.steps =
            self.steps.checked_sub(count).ok_or(FuncError::from("the values have too many elements"))?;
        let result = inside(self);
        self.depth += 1;
        result
    }
}
