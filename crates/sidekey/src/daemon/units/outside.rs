//! The access log, the pid file and the child: what the program has outside of itself.

use std::path::PathBuf;
use std::sync::Arc;

use config::Settings;
use proxy::{AccessLog, AccessTarget};

use super::{Changes, Fixed, Id, Units};
use crate::daemon::build::StartError;
use crate::daemon::child::{Child, Kept, Waits};
use crate::daemon::pid_file::PidFile;
use crate::daemon::tasks::{Scope, Tasks};

/// The access log.
pub(in crate::daemon) struct Access {
    pub(super) id: Id,
    settings: config::AccessLog,
    pub(in crate::daemon) log: AccessLog,
}

/// The child of `exec`.
pub(in crate::daemon) struct Exec {
    settings: config::Exec,
    record: Arc<supervisor::Record>,
    scope: Scope,
    pub(in crate::daemon) kept: Kept,
}

#[derive(Default)]
pub(super) struct Outside {
    pid_file: Option<(PathBuf, PidFile)>,
}

/// What is new. `None` where the old stays.
#[derive(Default)]
pub(super) struct Next {
    access: Option<Option<Access>>,
    pid_file: Option<Option<(PathBuf, PidFile)>>,
    child: Option<Child>,
}

impl Units {
    pub(super) fn prepare_outside(
        &self,
        settings: &Settings,
        fixed: &Fixed,
        problems: &mut Vec<StartError>,
    ) -> Next {
        let mut next = Next::default();
        if self.access.as_ref().map(|access| &access.settings) != settings.access_log.as_ref() {
            next.access = match &settings.access_log {
                None => Some(None),
                Some(log) => match access_log(log) {
                    Ok(made) => Some(Some(Access { id: fixed.id(), settings: log.clone(), log: made })),
                    Err(error) => {
                        problems.push(StartError::AccessLog(error));
                        None
                    }
                },
            };
        }
        if let Some(exec) = &settings.exec
            && self.child.as_ref().is_none_or(|child| child.settings != *exec)
        {
            match Child::new(exec) {
                Ok(child) => {
                    // At a start it may still be rendered; later a child is not stopped for nothing.
                    let is_rendered = settings.templates.iter().any(|template| {
                        exec.command
                            .first()
                            .is_some_and(|program| template.destination.as_os_str() == program.as_str())
                    });
                    if self.ways.is_some()
                        && !is_rendered
                        && let Err(why) = child.program_is_there()
                    {
                        problems.push(StartError::Program(why));
                    }
                    next.child = Some(child);
                }
                Err(error) => problems.push(error),
            }
        }
        next
    }

    /// Last but for listeners that take the place of others, so that little has to be undone that others can see.
    pub(super) fn prepare_pid_file(
        &self,
        next: &mut Next,
        settings: &Settings,
        problems: &mut Vec<StartError>,
    ) {
        let now = self.outside.pid_file.as_ref().map(|(path, _)| path);
        if now == settings.pid_file.as_ref() || !problems.is_empty() {
            return;
        }
        match settings.pid_file.as_ref().map(|path| Ok((path.clone(), PidFile::write(path)?))).transpose() {
            Ok(pid_file) => next.pid_file = Some(pid_file),
            Err(error) => problems.push(StartError::PidFile(error)),
        }
    }

    /// Gives the child that is about to start.
    pub(super) fn commit_outside(&mut self, next: Next, changes: &mut Changes) -> Option<Child> {
        if let Some(access) = next.access {
            match (&self.access, &access) {
                (None, Some(_)) => changes.added("access_log", ""),
                (Some(_), None) => changes.removed("access_log", ""),
                _ => changes.changed("access_log", ""),
            }
            self.access = access;
        }
        if let Some(pid_file) = next.pid_file {
            let path =
                |file: &Option<(PathBuf, PidFile)>| file.as_ref().map(|(path, _)| path.display().to_string());
            match (path(&self.outside.pid_file), path(&pid_file)) {
                (None, Some(new)) => changes.added("pid_file", new),
                (Some(old), None) => changes.removed("pid_file", old),
                (_, new) => changes.changed("pid_file", new.unwrap_or_default()),
            }
            self.outside.pid_file = pid_file;
        }
        next.child
    }

    pub(super) fn commit_child(
        &mut self,
        child: Option<Child>,
        fixed: &Fixed,
        tasks: &mut Tasks,
        changes: &mut Changes,
    ) {
        let Some(settings) = self.settings.exec.clone() else {
            let Some(Exec { kept, .. }) = self.child.take() else { return };
            changes.removed("exec", "");
            let stop = tasks.stop();
            tasks.start_graceful("child", async move {
                kept.stop(stop.cancelled()).await;
                Ok(())
            });
            return;
        };
        let Some(child) = child else { return };
        let before = self.child.take();
        let scope = tasks.scope();
        let waits = Waits {
            values: fixed.variables.watch(),
            rendered: fixed.rendered.clone(),
            given_up: fixed.given_up.clone(),
        };
        let record = child.record();
        let before = match before {
            Some(Exec { kept, scope, .. }) => {
                changes.changed("exec", "");
                scope.stop().cancel();
                Some(kept)
            }
            None => {
                changes.added("exec", "");
                None
            }
        };
        let kept = child.keep(waits, &fixed.child, before, &scope, tasks);
        self.child = Some(Exec { settings, record, scope, kept });
    }
}

impl Exec {
    pub(super) fn record(&self) -> Arc<supervisor::Record> {
        Arc::clone(&self.record)
    }
}

fn access_log(settings: &config::AccessLog) -> Result<AccessLog, atomic_file::FileError> {
    AccessLog::start(match settings {
        config::AccessLog::StandardError => AccessTarget::StandardError,
        config::AccessLog::File(path) => AccessTarget::File(path.clone()),
    })
}
