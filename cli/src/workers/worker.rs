//! One worker: a process that runs `pywasm run --worker` or `pywasm serve --worker`.

use super::Plan;
use super::control::{End, Line, send_sockets};
use crate::denials::News;
use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio::sync::mpsc::Sender;
use tokio::time::timeout;

/// Which of all workers that there have been.
pub type WorkerId = u64;

/// What happens to a worker.
pub enum Happened {
    News(News),
    Ended(ExitStatus),
}

/// A running worker. Told to end when dropped.
pub struct Worker {
    pid: Pid,
    end: End,
    pub started: Instant,
    /// It has begun to listen.
    pub listens: bool,
    /// It was told to end.
    pub retired: bool,
}

impl Worker {
    /// Starts it. `tell` hears of what happens to it, its end last.
    pub fn start(
        id: WorkerId,
        plan: &Plan,
        tell: Sender<(WorkerId, Happened)>,
    ) -> anyhow::Result<Self> {
        let (own, other) = UnixStream::pair()?;
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let mut command = Command::new(program);
        command
            .args([plan.verb, "--worker", &id.to_string()])
            .args(["--with-parent", &std::process::id().to_string()]);
        if let Some(granted) = &plan.granted {
            command.args(["--granted", granted]);
        }
        if let Some(file) = plan.packing.file() {
            command.arg("--packed").arg(file);
        }
        let mut child = command
            .args(&plan.arguments)
            .stdin(Stdio::from(OwnedFd::from(other)))
            // A Ctrl-C at the terminal is for the command, which decides what to do about it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start a worker")?;
        let pid = child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
            .context("a worker has no process")?;
        send_sockets(&own, &plan.ports.sockets().collect::<Vec<_>>())
            .context("cannot hand the published ports to a worker")?;
        let mut line = Line::new(own)?;
        let end = line.end();
        tokio::spawn(async move {
            let ended = loop {
                tokio::select! {
                    news = line.next() => match news {
                        Ok(Some(news)) => drop(tell.send((id, Happened::News(news))).await),
                        Ok(None) => break child.wait().await,
                        Err(error) => {
                            crate::printer::note(&format!("{}; ending that worker", crate::report::in_full(&error)));
                            // It is waited for all the same.
                            let _ = child.start_kill();
                            break child.wait().await;
                        }
                    },
                    ended = child.wait() => {
                        // What it said last is still to be heard.
                        while let Ok(Ok(Some(news))) = timeout(LAST_WORDS, line.next()).await {
                            drop(tell.send((id, Happened::News(news))).await);
                        }
                        break ended;
                    }
                }
            };
            // Nobody hears it once the command ends.
            let _ = tell
                .send((id, Happened::Ended(ended.unwrap_or_default())))
                .await;
        });
        Ok(Self {
            pid,
            end,
            started: Instant::now(),
            listens: false,
            retired: false,
        })
    }

    /// Tells it to take no more connections, to serve those it has, and to end.
    pub fn retire(&mut self) {
        self.retired = true;
        self.end.tell();
    }

    /// Sends a signal to it.
    pub fn signal(&self, signal: Signal) {
        // It may end at this very moment.
        let _ = kill_process(self.pid, signal);
    }
}

const LAST_WORDS: Duration = Duration::from_millis(50);
