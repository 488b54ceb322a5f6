//! Where lines go, and the level, which can change while we run.

use std::io::{self, Write};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::format::{Hclog, Kept, Style};

/// Changes the level of all lines at once.
#[derive(Clone)]
pub struct LevelHandle(reload::Handle<LevelFilter, tracing_subscriber::Registry>);

impl LevelHandle {
    /// From now on lines of this level and above are written.
    pub fn set(&self, level: LevelFilter) {
        // Fails only when the subscriber is gone, and then nobody writes lines any more.
        let _ = self.0.reload(level);
    }
}

/// Starts logging to standard error. `root` is the product's word, `agent` or `proxy`. Once per process.
pub fn init(root: &'static str, style: Style, level: LevelFilter) -> LevelHandle {
    let (filter, handle) = reload::Layer::new(level);
    let lines = tracing_subscriber::fmt::layer()
        .fmt_fields(Kept)
        .event_format(Hclog { style, root })
        .with_writer(StandardError);
    // A second start (only tests do that) keeps the first.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    LevelHandle(handle)
}

/// Standard error; a reader that went away costs lines, never the program.
struct StandardError;

impl<'a> MakeWriter<'a> for StandardError {
    type Writer = Quiet;

    fn make_writer(&'a self) -> Quiet {
        Quiet
    }
}

struct Quiet;

impl Write for Quiet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().lock().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
