//! Where lines go, and the level, which can change while we run.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::filter_fn;
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

/// Lines of ours name a part of the program. Those of libraries name the place in their sources, and say whatever was
/// sent: paths with tokens in them, too.
fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() || metadata.module_path().is_none_or(|place| metadata.target() != place)
}

/// Where lines go beside standard error.
pub type Also = Box<dyn Write + Send>;

/// Starts logging to standard error, and to `also`. `root` is the product's word, `agent` or `proxy`. Once per process.
pub fn init(root: &'static str, style: Style, level: LevelFilter, also: Option<Also>) -> LevelHandle {
    let (filter, handle) = reload::Layer::new(level);
    let lines = tracing_subscriber::fmt::layer()
        .fmt_fields(Kept)
        .event_format(Hclog { style, root })
        .with_writer(Places { also: also.map(|out| Mutex::new(Other { out, failing: false })) });
    // A second start (only tests do that) keeps the first.
    let _ = tracing_subscriber::registry().with(filter).with(filter_fn(is_ours)).with(lines).try_init();
    LevelHandle(handle)
}

/// Standard error, and another place perhaps. A reader that went away and a full disk cost lines, never the program.
struct Places {
    also: Option<Mutex<Other>>,
}

struct Other {
    out: Also,
    failing: bool,
}

impl<'a> MakeWriter<'a> for Places {
    type Writer = Quiet<'a>;

    fn make_writer(&'a self) -> Quiet<'a> {
        Quiet(self)
    }
}

struct Quiet<'a>(&'a Places);

impl Write for Quiet<'_> {
    /// A whole line: it is put together before.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().lock().write_all(bytes);
        if let Some(other) = &self.0.also {
            let mut other = other.lock().unwrap_or_else(PoisonError::into_inner);
            let written = other.out.write_all(bytes);
            if let (Err(error), false) = (&written, other.failing) {
                // No line of the log: it would come back here.
                let _ = writeln!(
                    io::stderr().lock(),
                    "the log file cannot be written, its lines are here alone: {error}"
                );
            }
            other.failing = written.is_err();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_of_libraries_are_none_of_ours() {
        let kept = Kept::default();
        let writer = kept.clone();
        let lines = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(filter_fn(is_ours)).with(lines);
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!("malformed path /v1/auth/token/lookup/s.canary");
            let _whose = tracing::error_span!("identity", auto_auth = "shop").entered();
            tracing::info!(target: "listener", "ours");
        });
        let said = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert!(said.contains("ours") && said.contains("shop") && !said.contains("canary"), "{said}");
    }
}
