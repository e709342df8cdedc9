//! The terminal of the person who runs an app, lent to it: the host side of the guest's import `pywasm:guest/terminal`.
//!
//! With it an app decides how keys are read, so that Ctrl-C may reach it as a key and no more as a signal. Reading and
//! writing go through the standard streams as ever.

use crate::events::{Denial, Event, EventSink};
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, OutputModes, QueueSelector,
    SpecialCodeIndex, Termios, isatty, tcflush, tcgetattr, tcgetwinsize, tcsetattr,
};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use wasmtime::component::{HasData, Linker};

mod generated {
    wasmtime::component::bindgen!({
        inline: "package pywasm:runtime; world terminals { import pywasm:guest/terminal@0.1.0; }",
        path: "../guests/cpython/wit",
        require_store_data_send: true,
    });
}

use generated::pywasm::guest::terminal as wit;

/// A terminal to lend; cheap to clone. See [`Stdio::with_terminal`](crate::Stdio::with_terminal).
#[derive(Clone)]
pub struct Terminal(Arc<Lent>);

struct Lent {
    device: OwnedFd,
    before: Termios,
    changed: AtomicBool,
}

impl Terminal {
    /// The terminal that standard input comes from, if it does.
    pub fn of_this_process() -> Option<Self> {
        let input = std::io::stdin();
        if !isatty(&input) {
            return None;
        }
        Some(Self(Arc::new(Lent {
            device: input.as_fd().try_clone_to_owned().ok()?,
            before: tcgetattr(&input).ok()?,
            changed: AtomicBool::new(false),
        })))
    }

    /// Sets back what the app has changed. To be called when it has ended, however it did.
    pub fn restore(&self) {
        if self.0.changed.swap(false, Ordering::SeqCst) {
            // It may have been taken away.
            let _ = tcsetattr(&self.0.device, OptionalActions::Drain, &self.0.before);
        }
    }
}

/// The special characters, in the order in which Linux has them.
const CHARACTERS: [SpecialCodeIndex; 17] = [
    SpecialCodeIndex::VINTR,
    SpecialCodeIndex::VQUIT,
    SpecialCodeIndex::VERASE,
    SpecialCodeIndex::VKILL,
    SpecialCodeIndex::VEOF,
    SpecialCodeIndex::VTIME,
    SpecialCodeIndex::VMIN,
    SpecialCodeIndex::VSWTC,
    SpecialCodeIndex::VSTART,
    SpecialCodeIndex::VSTOP,
    SpecialCodeIndex::VSUSP,
    SpecialCodeIndex::VEOL,
    SpecialCodeIndex::VREPRINT,
    SpecialCodeIndex::VDISCARD,
    SpecialCodeIndex::VWERASE,
    SpecialCodeIndex::VLNEXT,
    SpecialCodeIndex::VEOL2,
];

/// What one process has of it.
pub(crate) struct Lending {
    pub(crate) terminal: Option<Terminal>,
    pub(crate) events: EventSink,
}

impl Lending {
    fn device(&self) -> Option<&OwnedFd> {
        Some(&self.terminal.as_ref()?.0.device)
    }
}

struct Has;

impl HasData for Has {
    type Data<'a> = &'a Lending;
}

pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> &Lending,
) -> wasmtime::Result<()> {
    wit::add_to_linker::<_, Has>(linker, view)
}

impl wit::Host for &Lending {
    fn get(&mut self) -> Option<wit::Settings> {
        let Some(device) = self.device() else {
            self.events.tell(Event::Denied(Denial::Terminal));
            return None;
        };
        let settings = tcgetattr(device).ok()?;
        Some(wit::Settings {
            input: settings.input_modes.bits(),
            output: settings.output_modes.bits(),
            control: settings.control_modes.bits(),
            local: settings.local_modes.bits(),
            characters: CHARACTERS
                .iter()
                .map(|at| settings.special_codes[*at])
                .collect(),
        })
    }

    fn set(&mut self, when: wit::Moment, settings: wit::Settings) -> bool {
        let Some(Terminal(lent)) = &self.terminal else {
            return false;
        };
        let mut new = lent.before.clone();
        new.input_modes = InputModes::from_bits_retain(settings.input);
        new.output_modes = OutputModes::from_bits_retain(settings.output);
        new.control_modes = ControlModes::from_bits_retain(settings.control);
        new.local_modes = LocalModes::from_bits_retain(settings.local);
        for (at, character) in CHARACTERS.into_iter().zip(settings.characters) {
            new.special_codes[at] = character;
        }
        let when = match when {
            wit::Moment::Now => OptionalActions::Now,
            wit::Moment::Drained => OptionalActions::Drain,
            wit::Moment::Flushed => OptionalActions::Flush,
        };
        lent.changed.store(true, Ordering::SeqCst);
        tcsetattr(&lent.device, when, &new).is_ok()
    }

    fn measure(&mut self) -> Option<wit::Size> {
        let size = tcgetwinsize(self.device()?).ok()?;
        Some(wit::Size {
            rows: size.ws_row,
            columns: size.ws_col,
        })
    }

    fn discard(&mut self, queue: wit::Queue) -> bool {
        let queue = match queue {
            wit::Queue::Input => QueueSelector::IFlush,
            wit::Queue::Output => QueueSelector::OFlush,
            wit::Queue::Both => QueueSelector::IOFlush,
        };
        self.device()
            .is_some_and(|device| tcflush(device, queue).is_ok())
    }
}
