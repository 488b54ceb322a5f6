//! A child process whose output is kept, and which does not outlive us.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use crate::{KitError, eventually};

/// A running child.
pub struct Process {
    child: Child,
    output: Arc<Mutex<Vec<String>>>,
    name: String,
}

impl Process {
    /// Starts it and collects what it prints on either stream.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(name: &str, mut command: Command) -> Result<Self, KitError> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| KitError::Start(name.to_owned(), error))?;
        let output = Arc::new(Mutex::new(Vec::new()));
        if let Some(stdout) = child.stdout.take() {
            collect(stdout, Arc::clone(&output));
        }
        if let Some(stderr) = child.stderr.take() {
            collect(stderr, Arc::clone(&output));
        }
        Ok(Self { child, output, name: name.to_owned() })
    }

    /// Its process id; `None` once it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// All it has printed, a line each.
    pub fn output(&self) -> Vec<String> {
        self.output.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Whether a line it printed holds `text`.
    pub fn has_said(&self, text: &str) -> bool {
        self.output().iter().any(|line| line.contains(text))
    }

    /// Waits for a line that holds `text`, and gives it back.
    ///
    /// # Errors
    /// It did not print it in time, or ended before; with what it printed.
    pub async fn says(&mut self, text: &str) -> Result<String, KitError> {
        let ended = std::cell::Cell::new(false);
        let child = std::cell::RefCell::new(&mut self.child);
        let output = &self.output;
        let found = eventually(text, || async {
            let lines = output.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
            let found = lines.into_iter().find(|line| line.contains(text)).map(Some);
            // One more look after the end: the last lines may still be on their way.
            if found.is_none() && ended.get() {
                return Some(None);
            }
            ended.set(child.borrow_mut().try_wait().is_ok_and(|status| status.is_some()));
            found
        })
        .await;
        match found {
            Ok(Some(line)) => Ok(line),
            _ => Err(KitError::Unsaid {
                name: self.name.clone(),
                text: text.to_owned(),
                output: self.output().join("\n"),
            }),
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // One that has just ended needs none.
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It did not end in time; with what it printed.
    pub async fn ended(&mut self) -> Result<ExitStatus, KitError> {
        match tokio::time::timeout(crate::PATIENCE * 2, self.child.wait()).await {
            Ok(Ok(status)) => {
                // What it said last arrives a moment after its end.
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                Ok(status)
            }
            _ => Err(KitError::TimedOut(format!("the end of {}:\n{}", self.name, self.output().join("\n")))),
        }
    }

    /// Asks it to end and waits for it.
    ///
    /// # Errors
    /// As [`Process::ended`].
    pub async fn stop(&mut self) -> Result<ExitStatus, KitError> {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Ends it as a power failure would.
    pub async fn kill(&mut self) {
        // It has ended already if this fails.
        let _ = self.child.kill().await;
    }
}

/// Reads lines until the stream ends; the task ends with the child.
fn collect(stream: impl AsyncRead + Send + Unpin + 'static, output: Arc<Mutex<Vec<String>>>) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            output.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(line);
        }
    });
}
