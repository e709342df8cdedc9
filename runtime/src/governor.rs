//! Keeps an instance's use of the processor within its limits.
//!
//! Runs at every epoch, on the thread of the instance, while guest code computes; code that waits in a
//! host call uses no processor and is not asked.

use crate::exit::Limit;
use crate::policy::{CpuShare, Limits};
use rustix::time::{ClockId, clock_gettime};
use std::fmt;
use std::time::{Duration, Instant};

/// What one instance has used and may still use.
pub(crate) struct Governor {
    share: Option<CpuShare>,
    limit: Option<Duration>,
    used: Duration,
    seen: Seen,
    /// Seconds of processor time that may be used at once; negative when too much was.
    credit: f64,
}

#[derive(Clone, Copy)]
struct Seen {
    wall: Instant,
    cpu: Duration,
}

/// A limit that ends the guest, as the error that unwinds it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exceeded(pub(crate) Limit);

/// How long a guest that was idle may run at full speed, for a share of one: requests of a server are
/// short, and should not wait when it did nothing before.
const BURST: f64 = 0.1;

impl Governor {
    /// To be made and asked on the thread that runs the guest.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            share: limits.cpus,
            limit: limits.cpu_time,
            used: Duration::ZERO,
            seen: Seen::now(),
            credit: 0.0,
        }
    }

    /// How long the guest must pause now.
    pub(crate) fn check(&mut self) -> Result<Option<Duration>, Exceeded> {
        self.account(Seen::now())
    }

    fn account(&mut self, now: Seen) -> Result<Option<Duration>, Exceeded> {
        let wall = now.wall.saturating_duration_since(self.seen.wall);
        let cpu = now.cpu.saturating_sub(self.seen.cpu);
        self.seen = now;
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

impl Seen {
    fn now() -> Self {
        let cpu = clock_gettime(ClockId::ThreadCPUTime);
        Self {
            wall: Instant::now(),
            cpu: Duration::try_from(cpu).unwrap_or_default(),
        }
    }
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

    fn governor(limits: Limits) -> (Governor, Seen) {
        let governor = Governor::new(&limits);
        let seen = governor.seen;
        (governor, seen)
    }

    #[test]
    fn a_share_is_kept_over_any_pattern() {
        let (mut governor, mut now) = governor(Limits {
            cpus: Some("0.25".parse().expect("a share")),
            ..Limits::default()
        });
        let (start, mut used) = (now.wall, Duration::ZERO);
        for round in 0..1000u32 {
            // Computes for 1 to 20 ms, and in every tenth round waits for 200 ms.
            let busy = MS * (round % 20 + 1);
            let idle = if round % 10 == 0 {
                200 * MS
            } else {
                Duration::ZERO
            };
            now.wall += busy + idle;
            now.cpu += busy;
            used += busy;
            if let Some(pause) = governor.account(now).expect("no limit of time") {
                now.wall += pause;
            }
        }
        let share = used.as_secs_f64() / now.wall.duration_since(start).as_secs_f64();
        assert!(share < 0.26, "{share}");
    }

    #[test]
    fn time_of_the_processor_ends_the_guest() {
        let (mut governor, mut now) = governor(Limits {
            cpu_time: Some(100 * MS),
            ..Limits::default()
        });
        now.wall += 1000 * MS;
        now.cpu += 99 * MS;
        assert!(matches!(governor.account(now), Ok(None)));
        now.cpu += MS;
        assert!(matches!(
            governor.account(now),
            Err(Exceeded(Limit::CpuTime))
        ));
    }
}
