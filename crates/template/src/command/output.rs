//! What a command prints: told line by line, with an end, and read to its own end whatever that is, so that the
//! command never waits for us.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::Instrument as _;

/// Hears a line, and whether it came from `stdout` or `stderr`.
pub(crate) type Tell = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// Lines told of one run and stream.
const MAX_LINES: usize = 100;

/// Longest line told, in bytes.
const MAX_LINE: usize = 1024;

/// How long what is in the pipe may take to arrive once the command has ended.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A program that a command left behind goes on writing: its pipe is emptied, so that it does not die of it. So many
/// at a time; of one more the pipe is closed.
static LEFT_BEHIND: Semaphore = Semaphore::const_new(16);

/// Read at a time.
const CHUNK: usize = 64 * 1024;

/// Both streams of a command under way.
pub(super) struct Heard(Vec<JoinHandle<()>>);

pub(super) fn listen(stdout: Option<ChildStdout>, stderr: Option<ChildStderr>, tell: &Tell) -> Heard {
    let start =
        |reading: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| tokio::spawn(reading.in_current_span());
    let stdout = stdout.map(|pipe| start(Box::pin(read(pipe, "stdout", Arc::clone(tell)))));
    let stderr = stderr.map(|pipe| start(Box::pin(read(pipe, "stderr", Arc::clone(tell)))));
    Heard(stdout.into_iter().chain(stderr).collect())
}

impl Heard {
    /// The command has ended: waits for its last words.
    pub(super) async fn finish(mut self) {
        let all = futures_util::future::join_all(&mut self.0);
        if timeout(LAST_WORDS, all).await.is_ok() {
            return;
        }
        for reading in self.0.into_iter().filter(|reading| !reading.is_finished()) {
            match LEFT_BEHIND.try_acquire() {
                Ok(place) => drop(tokio::spawn(async move {
                    let _ = reading.await;
                    drop(place);
                })),
                Err(_) => reading.abort(),
            }
        }
    }
}

async fn read(mut pipe: impl AsyncRead + Unpin, stream: &'static str, tell: Tell) {
    let mut lines = Lines::default();
    let mut chunk = vec![0; CHUNK];
    while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
        lines.take(chunk.get(..count).unwrap_or_default(), |line| tell(stream, line));
    }
    lines.end(|line| tell(stream, line));
}

/// Bytes to lines, until there were enough.
#[derive(Default)]
struct Lines {
    line: Vec<u8>,
    told: usize,
    /// Bytes that are not shown.
    hidden: u64,
}

impl Lines {
    fn take(&mut self, bytes: &[u8], mut tell: impl FnMut(&str)) {
        // A gigabyte of it is only counted: the command waits for whoever reads.
        if self.told >= MAX_LINES {
            self.hidden += bytes.iter().filter(|byte| **byte != b'\n').count() as u64;
            return;
        }
        let mut parts = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(part) = parts.next() {
            let room = if self.told < MAX_LINES { MAX_LINE.saturating_sub(self.line.len()) } else { 0 };
            let shown = part.get(..room.min(part.len())).unwrap_or_default();
            self.line.extend_from_slice(shown);
            self.hidden += (part.len() - shown.len()) as u64;
            if parts.peek().is_some() {
                self.flush(&mut tell);
            }
        }
    }

    fn flush(&mut self, tell: &mut impl FnMut(&str)) {
        if !self.line.is_empty() && self.told < MAX_LINES {
            self.told += 1;
            tell(String::from_utf8_lossy(&self.line).trim_end_matches('\r'));
        }
        self.line.clear();
    }

    fn end(&mut self, mut tell: impl FnMut(&str)) {
        self.flush(&mut tell);
        if self.hidden > 0 {
            tell(&format!("… {} more bytes are not shown", self.hidden));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_whatever_the_pieces_and_few() {
        let mut told = Vec::new();
        let mut lines = Lines::default();
        for piece in ["on", "e\r\nt", "wo\n\nthree"] {
            lines.take(piece.as_bytes(), |line| told.push(line.to_owned()));
        }
        lines.end(|line| told.push(line.to_owned()));
        assert_eq!(told, ["one", "two", "three"]);
        let (mut told, mut lines) = (0, Lines::default());
        for _ in 0..1000 {
            lines.take(b"0123456789\n", |_| told += 1);
        }
        assert_eq!((told, lines.hidden, lines.line.len()), (MAX_LINES, 9000, 0));
        lines.take(&[b'x'; 5000], |_| {});
        assert_eq!((lines.hidden, lines.line.len()), (14_000, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn last_words_are_waited_for_a_moment() {
        let began = tokio::time::Instant::now();
        Heard(vec![tokio::spawn(std::future::pending())]).finish().await;
        let late = began.elapsed().saturating_sub(LAST_WORDS);
        assert!(began.elapsed() >= LAST_WORDS && late < Duration::from_millis(5), "{late:?}");
    }
}
