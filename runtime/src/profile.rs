//! A profile of Python code.
//!
//! A guest that computes asks every 5 ms whether there is a signal for it. Then its memory is in order and its frames are
//! read; they stand for the processor's time since the time before. So nothing of the guest is changed, and waiting costs nothing.

use crate::frames::{Frame, Interpreter};
use crate::host::Host;
use crate::net::sync::lock;
use rustix::time::{ClockId, clock_gettime};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wasmtime::{Engine, Instance, Memory, Module, StoreContextMut, WasmCoreDump};

/// Frames kept of different stacks, all together; what comes on top is added up as one.
const FRAMES: usize = 200_000;

/// On what the Python code of an app spent the processor's time.
#[derive(Debug, Clone, Default)]
pub struct Profile(Arc<Mutex<Samples>>);

#[derive(Debug, Default)]
struct Samples {
    /// Outermost call first.
    stacks: HashMap<Vec<Frame>, Duration>,
    frames: usize,
    others: Duration,
}

impl Profile {
    /// How long the processor was busy with each stack of calls, the outermost call first; about to 5 ms. Stacks beyond the
    /// first 200,000 frames are added up as an empty one.
    pub fn stacks(&self) -> Vec<(Vec<Frame>, Duration)> {
        let samples = lock(&self.0);
        let known = samples.stacks.iter();
        let mut stacks: Vec<_> = known.map(|(stack, time)| (stack.clone(), *time)).collect();
        if !samples.others.is_zero() {
            stacks.push((Vec::new(), samples.others));
        }
        stacks
    }

    fn add(&self, mut stack: Vec<Frame>, time: Duration) {
        stack.reverse();
        let mut samples = lock(&self.0);
        if let Some(known) = samples.stacks.get_mut(&stack) {
            *known += time;
        } else if samples.frames + stack.len() <= FRAMES {
            samples.frames += stack.len();
            samples.stacks.insert(stack, time);
        } else {
            samples.others += time;
        }
    }
}

/// What samplers are made of.
#[derive(Debug, Clone)]
pub(crate) struct Profiler {
    profile: Profile,
    trap: Module,
}

/// A module whose start traps: `(func unreachable) (start 0)`.
const TRAP: &[u8] =
    b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x08\x01\0\x0a\x05\x01\x03\0\0\x0b";

impl Profiler {
    pub(crate) fn new(engine: &Engine) -> wasmtime::Result<Self> {
        Ok(Self {
            profile: Profile::default(),
            trap: Module::new(engine, TRAP)?,
        })
    }

    pub(crate) fn profile(&self) -> &Profile {
        &self.profile
    }

    pub(crate) fn sampler(&self) -> Sampler {
        Sampler {
            profile: self.profile.clone(),
            guest: Guest::New(self.trap.clone()),
            busy: Duration::ZERO,
        }
    }
}

/// Takes samples of one instance.
pub(crate) struct Sampler {
    profile: Profile,
    guest: Guest,
    /// The time that the processor had spent on this thread at the last sample.
    busy: Duration,
}

enum Guest {
    /// Not looked at yet; the module is what to look with.
    New(Module),
    Python(Interpreter, Memory),
    /// No Python 3.14.
    Other,
}

impl Guest {
    /// A component does not export its memory, but the account of a trap has all memories of a store, and they can be read
    /// from then on. The trap is in an instance of its own, but wasmtime lets the host call no component of the store after it:
    /// so this is for when the one call that there is has begun.
    async fn look(trap: &Module, store: &mut StoreContextMut<'_, Host>) -> Self {
        let Err(error) = Instance::new_async(&mut *store, trap, &[]).await else {
            return Self::Other;
        };
        let Some(dump) = error.downcast_ref::<WasmCoreDump>() else {
            return Self::Other;
        };
        let python = dump.memories().iter().find_map(|memory| {
            let interpreter = Interpreter::find(memory.data(&*store))?;
            Some(Self::Python(interpreter, *memory))
        });
        python.unwrap_or(Self::Other)
    }
}

impl Sampler {
    async fn sample(&mut self, store: &mut StoreContextMut<'_, Host>) {
        if let Guest::New(trap) = &self.guest {
            self.guest = Guest::look(trap, store).await;
        }
        let busy = busy();
        if let Guest::Python(interpreter, memory) = &self.guest {
            let stack = interpreter.running(memory.data(&*store));
            if !stack.is_empty() {
                self.profile.add(stack, busy.saturating_sub(self.busy));
            }
        }
        self.busy = busy;
    }
}

/// The time that the processor has spent on this thread, which is an instance's own.
fn busy() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Takes a sample of a guest that computes, if it is profiled.
pub(crate) fn sample<'a>(
    store: &'a mut StoreContextMut<'_, Host>,
) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
    Box::pin(async move {
        if let Some(mut sampler) = store.data_mut().sampler.take() {
            sampler.sample(store).await;
            store.data_mut().sampler = Some(sampler);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_are_added_up_and_bounded() {
        let (profile, second) = (Profile::default(), Duration::from_secs(1));
        let frame = |line| Frame {
            file: "a.py".to_owned(),
            function: "f".to_owned(),
            line,
        };
        profile.add(vec![frame(2), frame(1)], second);
        profile.add(vec![frame(2), frame(1)], second);
        assert_eq!(profile.stacks(), [(vec![frame(1), frame(2)], 2 * second)]);
        for line in 0..=u32::try_from(FRAMES).expect("it fits") {
            profile.add(vec![frame(line)], second);
        }
        let stacks = profile.stacks();
        let together = stacks.iter().find(|(stack, _)| stack.is_empty());
        assert_eq!(together.map(|(_, time)| *time), Some(3 * second));
        let all: Duration = stacks.iter().map(|(_, time)| time).sum();
        assert_eq!(all, Duration::from_secs(2 + FRAMES as u64 + 1));
    }
}
