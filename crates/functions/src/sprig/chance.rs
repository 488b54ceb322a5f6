//! Chance. It may become a password, so it is the system's best.

use gotemplate::FuncError;

use super::crypto::fill;

/// A source of random numbers that asks the system for many bytes at once.
pub(super) struct Chance {
    bytes: [u8; 512],
    used: usize,
}

impl Chance {
    /// A source that has asked for nothing yet.
    pub(super) fn new() -> Self {
        Self { bytes: [0; 512], used: 512 }
    }

    /// A number from 0 to `count` - 1, each as likely as any other; 0 if there is none.
    ///
    /// # Errors
    /// When the system has no chance to give.
    pub(super) fn below(&mut self, count: u64) -> Result<u64, FuncError> {
        if count == 0 {
            return Ok(0);
        }
        // Numbers from the last, incomplete round of `count` would favour small results.
        let rounds = u64::MAX - u64::MAX % count;
        loop {
            let number = self.number()?;
            if number < rounds {
                return Ok(number % count);
            }
        }
    }

    fn number(&mut self) -> Result<u64, FuncError> {
        if self.used >= self.bytes.len() {
            fill(&mut self.bytes)?;
            self.used = 0;
        }
        let chunk = self.bytes.get(self.used..).and_then(|rest| rest.first_chunk::<8>());
        self.used += 8;
        Ok(u64::from_le_bytes(chunk.copied().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_below_and_reach_everything() {
        let mut chance = Chance::new();
        let mut seen = [false; 6];
        for _ in 0..1000 {
            seen[chance.below(6).unwrap() as usize] = true;
        }
        assert_eq!(seen, [true; 6]);
        assert_eq!(chance.below(1).unwrap(), 0);
        assert_eq!(chance.below(0).unwrap(), 0);
    }
}
