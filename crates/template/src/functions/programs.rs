//! `plugin`: the output of a program.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use ::functions::{Entry, MAX_RESULT, entry};
use gotemplate::{Func, FuncError, Param, Value};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::{text, texts};
use crate::evaluate::{Evaluation, Said};
use crate::processes::UnderWay;
use crate::words::{errno, quoted};
use crate::world::Programs;

pub(super) const ENTRIES: &[Entry<Evaluation>] = &[entry(
    Func::with("plugin", &[Param::Str], plugin).variadic(Param::Str),
    "plugin program [arguments...]",
    "What a program writes to its standard output, trimmed; no shell. It runs each time the template is \
     evaluated, for 30 seconds at most.",
    r#"{{ plugin "host-role" "web" }}"#,
    "frontend",
)
.slow()];

/// How long a program may run; upstream's.
const LIMIT: Duration = Duration::from_secs(30);

fn plugin(evaluation: &mut Evaluation, arguments: &[Value]) -> Result<Value, FuncError> {
    let name = text(arguments, 0);
    if name.is_empty() {
        return Ok(Value::from(""));
    }
    let mut arguments: Vec<String> = texts(arguments.get(1..).unwrap_or_default())
        .iter()
        .map(|argument| argument.trim().to_owned())
        .filter(|argument| !argument.is_empty())
        .collect();
    let outcome = match &evaluation.world.programs {
        Programs::Real(under_way) => run(&name, &arguments, LIMIT, under_way),
        Programs::Canned(answers) => {
            let call = [std::slice::from_ref(&name), arguments.as_slice()].concat().join(" ");
            answers.get(&call).cloned().map(Value::from).ok_or_else(|| {
                format!("programs are not run here, and the fixtures have no plugin {}", quoted(&call))
            })
        }
    };
    let text = outcome.as_ref().err().cloned().unwrap_or_default();
    arguments.push(name);
    evaluation.said = Some(Said { call: arguments, text });
    outcome.map_err(FuncError::new)
}

/// Runs a program to its end and gives its output, or says in upstream's words why not.
fn run(name: &str, arguments: &[String], limit: Duration, under_way: &UnderWay) -> Result<Value, String> {
    let mut process = Command::new(name);
    process.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    let shown = quoted(name);
    let stopping = || format!("exec {shown}: the program is stopping");
    let started = under_way.start(&mut process).map_err(|error| {
        format!("exec {shown}: {}\n\nstdout:\n\n\n\nstderr:\n\n", start_failed(name, &error))
    })?;
    let mut running = Running::new(started.ok_or_else(stopping)?, under_way);
    match running.wait(limit) {
        Ended::With(status) if status.success() => Ok(Value::from(running.out.text.trim_ascii())),
        Ended::With(status) => {
            let (out, err) = (running.out.lossy(), running.err.lossy());
            Err(format!("exec {shown}: {}\n\nstdout:\n\n{out}\n\nstderr:\n\n{err}", status_words(status)))
        }
        Ended::TooLate => Err(format!("exec {shown}: did not finish in {}s", limit.as_secs())),
        Ended::TooMuch => Err(format!("exec {shown}: it wrote more than {} MiB", MAX_RESULT >> 20)),
        Ended::Stopped => Err(stopping()),
        Ended::Lost(error) => Err(format!("exec {shown}: {}", errno(&error))),
    }
}

enum Ended {
    With(ExitStatus),
    TooLate,
    TooMuch,
    Stopped,
    Lost(std::io::Error),
}

/// A program under way; its whole process group is killed on drop, unless it has ended by itself.
struct Running<'a> {
    child: Child,
    under_way: &'a UnderWay,
    out: Stream,
    err: Stream,
}

/// One of its outputs.
#[derive(Default)]
struct Stream {
    file: Option<File>,
    text: Vec<u8>,
}

impl<'a> Running<'a> {
    fn new(mut child: Child, under_way: &'a UnderWay) -> Self {
        let stream = |fd: Option<OwnedFd>| Stream { file: fd.map(File::from), text: Vec::new() };
        let out = stream(child.stdout.take().map(OwnedFd::from));
        let err = stream(child.stderr.take().map(OwnedFd::from));
        Self { child, under_way, out, err }
    }

    /// Until it has ended and both outputs are closed, as Go waits.
    #[expect(clippy::disallowed_types, reason = "a real process takes real time, also under a paused clock")]
    fn wait(&mut self, limit: Duration) -> Ended {
        let start = std::time::Instant::now();
        // Nobody tells us of the end of a program that has closed its outputs, so we look.
        let mut pause = Duration::from_millis(1);
        loop {
            if self.under_way.is_stopped() {
                return Ended::Stopped;
            }
            if start.elapsed() >= limit {
                return Ended::TooLate;
            }
            if self.out.file.is_none() && self.err.file.is_none() {
                match self.under_way.ended(&mut self.child) {
                    Ok(Some(status)) => return Ended::With(status),
                    Ok(None) => {}
                    Err(error) => return Ended::Lost(error),
                }
            }
            if let Err(error) = self.read(pause) {
                return Ended::Lost(error);
            }
            if self.out.text.len() + self.err.text.len() > MAX_RESULT {
                return Ended::TooMuch;
            }
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// Waits for output as long as `pause`, and takes what is there.
    fn read(&mut self, pause: Duration) -> std::io::Result<()> {
        let streams = [&mut self.out, &mut self.err];
        let open: Vec<&mut Stream> = streams.into_iter().filter(|stream| stream.file.is_some()).collect();
        let mut waiting: Vec<PollFd<'_>> = open
            .iter()
            .filter_map(|stream| stream.file.as_ref())
            .map(|file| PollFd::new(file, PollFlags::IN))
            .collect();
        let timeout = Timespec::try_from(pause).map_err(std::io::Error::other)?;
        match poll(&mut waiting, Some(&timeout)) {
            Err(Errno::INTR) => return Ok(()),
            polled => polled?,
        };
        let ready: Vec<bool> = waiting.iter().map(|waited| !waited.revents().is_empty()).collect();
        drop(waiting);
        for (stream, _) in open.into_iter().zip(ready).filter(|(_, ready)| *ready) {
            stream.take()?;
        }
        Ok(())
    }
}

impl Stream {
    /// What is there now; there is something, or the end.
    fn take(&mut self) -> std::io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut chunk = [0; 16 * 1024];
        match file.read(&mut chunk) {
            Ok(0) => self.file = None,
            Ok(count) => self.text.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn lossy(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.under_way.end(&mut self.child);
    }
}

/// Go's words: a name without a slash is looked up first.
fn start_failed(name: &str, error: &std::io::Error) -> String {
    if !name.contains('/') && error.kind() == std::io::ErrorKind::NotFound {
        return format!("exec: {}: executable file not found in $PATH", quoted(name));
    }
    format!("fork/exec {name}: {}", errno(error))
}

fn status_words(status: ExitStatus) -> String {
    let name = match status.signal() {
        None => return format!("exit status {}", status.code().unwrap_or_default()),
        Some(1) => "hangup",
        Some(2) => "interrupt",
        Some(3) => "quit",
        Some(6) => "aborted",
        Some(8) => "floating point exception",
        Some(9) => "killed",
        Some(11) => "segmentation fault",
        Some(13) => "broken pipe",
        Some(14) => "alarm clock",
        Some(15) => "terminated",
        Some(other) => return format!("signal: signal {other}"),
    };
    format!("signal: {name}{}", if status.core_dumped() { " (core dumped)" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(line: &str, limit: u64) -> Result<String, String> {
        let arguments = ["-c".to_owned(), line.to_owned()];
        let ran = run("sh", &arguments, Duration::from_millis(limit), &UnderWay::default());
        ran.map(|value| String::from_utf8_lossy(value.as_str().unwrap()).into_owned())
    }

    #[test]
    fn output_is_trimmed_and_errors_are_upstreams() {
        assert_eq!(shell("echo; echo ' a b '; echo x >&2", 9000).unwrap(), "a b");
        assert_eq!(shell("head -c 200000 /dev/zero", 9000).unwrap().len(), 200_000);
        for (line, want) in [
            (
                "echo out; echo err >&2; exit 3",
                "exec \"sh\": exit status 3\n\nstdout:\n\nout\n\n\nstderr:\n\nerr\n",
            ),
            ("kill -9 $$", "exec \"sh\": signal: killed\n\nstdout:\n\n\n\nstderr:\n\n"),
        ] {
            assert_eq!(shell(line, 9000).unwrap_err(), want);
        }
        let start = |name: &str| run(name, &[], LIMIT, &UnderWay::default()).unwrap_err();
        for (name, want) in [
            (
                "/nonexistent/x",
                "exec \"/nonexistent/x\": fork/exec /nonexistent/x: no such file or directory",
            ),
            (
                "nosuchprogram",
                "exec \"nosuchprogram\": exec: \"nosuchprogram\": executable file not found in $PATH",
            ),
            ("/etc/passwd", "exec \"/etc/passwd\": fork/exec /etc/passwd: permission denied"),
        ] {
            assert_eq!(start(name), format!("{want}\n\nstdout:\n\n\n\nstderr:\n\n"));
        }
    }

    #[test]
    fn what_hangs_or_floods_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let late = folder.path().join("late");
        let line = format!("(sleep 0.5; echo x > {}) & sleep 60", late.display());
        assert_eq!(shell(&line, 50).unwrap_err(), "exec \"sh\": did not finish in 0s");
        assert!(shell("cat /dev/zero", 20_000).unwrap_err().contains("wrote more than 16 MiB"));
        let ending = UnderWay::default();
        ending.stop();
        let stopping = run("sleep", &["60".to_owned()], LIMIT, &ending);
        assert!(stopping.unwrap_err().ends_with("is stopping"));
        // Longer than the child would have taken.
        assert_eq!(shell("sleep 0.8", 9000).unwrap(), "");
        assert!(!late.exists(), "a child of the program lived on");
    }
}
