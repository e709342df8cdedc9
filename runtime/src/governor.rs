//! Keeps an instance's use of the processor within its limits.
//!
//! Runs at every epoch while guest code computes; code that waits in a host call uses no processor and is not asked.

use crate::exit::Limit;
use crate::net::sync::lock;
use crate::policy::{CpuShare, Limits};
use rustix::time::{ClockId, clock_gettime};
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What an app has used and may still use: all its processes together.
pub(crate) struct Account {
    share: Option<CpuShare>,
    limit: Option<Duration>,
    used: Duration,
    seen: Instant,
    /// Seconds of processor time that may be used at once; negative when too much was.
    credit: f64,
}

/// Watches one process.
pub(crate) struct Governor {
    account: Arc<Mutex<Account>>,
    meter: Meter,
    /// What the process had used when it was last looked at.
    seen: Duration,
}

/// Counts the time of the processor that one process has used: of its thread, which may run others too, what passes while
/// the process is polled.
#[derive(Clone, Default)]
pub(crate) struct Meter(Arc<Mutex<Reading>>);

#[derive(Default)]
struct Reading {
    before: Duration,
    /// What the thread had used when it began to poll the process, while it does.
    began: Option<Duration>,
}

impl Meter {
    /// Polls `process`, and counts.
    pub(crate) async fn count<F: Future>(&self, process: F) -> F::Output {
        let mut process = pin!(process);
        poll_fn(|cx| {
            lock(&self.0).began = Some(processor_time());
            let polled = process.as_mut().poll(cx);
            let before = self.used();
            *lock(&self.0) = Reading {
                before,
                began: None,
            };
            polled
        })
        .await
    }

    fn used(&self) -> Duration {
        let reading = lock(&self.0);
        let now = reading
            .began
            .map(|began| processor_time().saturating_sub(began));
        reading.before + now.unwrap_or_default()
    }
}

/// A limit that ends the guest, as the error that unwinds it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exceeded(pub(crate) Limit);

/// How long a guest that was idle may run at full speed, for a share of one: requests of a server are
/// short, and should not wait when it did nothing before.
const BURST: f64 = 0.1;

impl Governor {
    pub(crate) fn new(account: &Arc<Mutex<Account>>, meter: &Meter) -> Self {
        Self {
            account: Arc::clone(account),
            meter: meter.clone(),
            seen: Duration::ZERO,
        }
    }

    /// How long the guest must pause now.
    pub(crate) fn check(&mut self) -> Result<Option<Duration>, Exceeded> {
        let used = self.meter.used();
        let new = used.saturating_sub(self.seen);
        self.seen = used;
        lock(&self.account).spend(Instant::now(), new)
    }
}

impl Account {
    /// From now on.
    pub(crate) fn new(limits: &Limits) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            share: limits.cpus,
            limit: limits.cpu_time,
            used: Duration::ZERO,
            seen: Instant::now(),
            credit: 0.0,
        }))
    }

    /// Someone has used so much more of a processor.
    fn spend(&mut self, now: Instant, cpu: Duration) -> Result<Option<Duration>, Exceeded> {
        let wall = now.saturating_duration_since(self.seen);
        self.seen = now.max(self.seen);
        self.used += cpu;
        if self.limit.is_some_and(|limit| self.used >= limit) {
            return Err(Exceeded(Limit::CpuTime));
        }
        let Some(share) = self.share.map(CpuShare::get) else {
            return Ok(None);
        };
        let earned = self.credit + wall.as_secs_f64() * share;
        self.credit = earned.min(BURST * share) - cpu.as_secs_f64();
        Ok((self.credit < 0.0).then(|| Duration::from_secs_f64(-self.credit / share)))
    }
}

/// Of this thread.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the limit of {} is reached", self.0.what())
    }
}

impl std::error::Error for Exceeded {}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_share_is_kept_over_any_pattern_of_all_processes() {
        let account = Account::new(&Limits {
            cpus: Some("0.25".parse().expect("a share")),
            ..Limits::default()
        });
        let mut account = lock(&account);
        let start = account.seen;
        let (mut now, mut used) = (start, Duration::ZERO);
        for round in 0..1000u32 {
            // One or two compute for 1 to 20 ms, and in every tenth round they wait for 200 ms.
            let busy = MS * (round % 20 + 1);
            let idle = if round % 10 == 0 {
                200 * MS
            } else {
                Duration::ZERO
            };
            now += busy + idle;
            for _ in 0..=round % 2 {
                used += busy;
                if let Some(pause) = account.spend(now, busy).expect("no limit of time") {
                    now += pause;
                }
            }
        }
        let share = used.as_secs_f64() / now.duration_since(start).as_secs_f64();
        assert!(share < 0.26, "{share}");
    }

    #[test]
    fn time_of_the_processor_ends_the_guest() {
        let account = Account::new(&Limits {
            cpu_time: Some(100 * MS),
            ..Limits::default()
        });
        let mut account = lock(&account);
        let now = account.seen + 1000 * MS;
        assert!(matches!(account.spend(now, 99 * MS), Ok(None)));
        assert!(matches!(
            account.spend(now, MS),
            Err(Exceeded(Limit::CpuTime))
        ));
    }
}
