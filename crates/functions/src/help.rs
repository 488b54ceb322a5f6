//! What a function is for, beside the function itself.

use gotemplate::Func;

/// Whose functions a template sees. Most are in both.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Profile {
    /// OpenBao's agent.
    OpenBao,
    /// Vault's agent.
    Vault,
}

/// For people: what stands in the documentation of a function.
#[derive(Clone, Copy, Debug)]
pub struct Help {
    /// A call with the parameters' names, `replaceAll old new text`; optional ones in brackets, `...` for more.
    pub signature: &'static str,
    /// One sentence on what it gives, and what is surprising about it.
    pub summary: &'static str,
    /// A template of one line that uses it.
    pub example: &'static str,
    /// What the example renders to. A test holds the two together.
    pub output: &'static str,
    /// The only profile that has it; none for both.
    pub only: Option<Profile>,
}

/// A function and its help.
#[derive(Clone, Copy, Debug)]
pub struct Entry<C: 'static> {
    /// What is called.
    pub func: Func<C>,
    /// What is told about it.
    pub help: Help,
    /// Whether it waits for somebody, or computes for seconds.
    pub slow: bool,
}

/// An entry of both profiles that is quick.
pub const fn entry<C>(
    func: Func<C>,
    signature: &'static str,
    summary: &'static str,
    example: &'static str,
    output: &'static str,
) -> Entry<C> {
    Entry { func, help: Help { signature, summary, example, output, only: None }, slow: false }
}

impl<C> Entry<C> {
    /// The same in one profile only.
    #[must_use]
    pub const fn only(mut self, profile: Profile) -> Self {
        self.help.only = Some(profile);
        self
    }

    /// The same, which may take seconds: whoever evaluates it must not let others wait.
    #[must_use]
    pub const fn slow(mut self) -> Self {
        self.slow = true;
        self
    }
}
