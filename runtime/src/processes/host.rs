//! The functions of `pywasm:guest/processes`.

use super::family::{Ended, Given, Process, Refused};
use super::pipe::{Reader, Writer};
use super::semaphore::{self, Semaphore};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi_io::poll::{DynPollable, subscribe};
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream};

#[cfg(test)]
mod fuzz;

mod generated {
    wasmtime::component::bindgen!({
        inline: "package pywasm:runtime; world host { import pywasm:guest/processes@0.1.0; }",
        path: "../guests/cpython/wit",
        imports: { default: trappable },
        require_store_data_send: true,
        with: {
            "wasi:io": wasmtime_wasi_io::bindings::wasi::io,
            "wasi:filesystem": wasmtime_wasi::p2::bindings::filesystem,
            "pywasm:guest/processes.semaphore": crate::processes::semaphore::Semaphore,
        },
    });
}

use generated::pywasm::guest::processes as wit;

/// Longest argument vector and environment together, as on Linux by default; in bytes.
const ARGUMENTS: usize = 2 << 20;

/// What the functions need of a store.
pub(crate) struct ProcessesView<'a> {
    pub(crate) process: &'a mut Process,
    pub(crate) files: &'a mut crate::files::Guard,
    pub(crate) table: &'a mut ResourceTable,
}

struct Processes;

impl HasData for Processes {
    type Data<'a> = ProcessesView<'a>;
}

pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> ProcessesView<'_>,
) -> wasmtime::Result<()> {
    wit::add_to_linker::<T, Processes>(linker, view)
}

impl From<Refused> for wit::Refusal {
    fn from(refused: Refused) -> Self {
        let reason = match refused {
            Refused::Program(_) => wit::Reason::Program,
            Refused::Limit(_) => wit::Reason::Limit,
            Refused::Argument(_) => wit::Reason::Argument,
        };
        let message = refused.to_string();
        Self { reason, message }
    }
}

impl ProcessesView<'_> {
    fn push_reader(&mut self, reader: Reader) -> wasmtime::Result<Resource<DynInputStream>> {
        let end = reader.weak();
        let stream: DynInputStream = Box::new(reader);
        let stream = self.table.push(stream)?;
        self.process.ends.insert(stream.rep(), end);
        Ok(stream)
    }

    fn push_writer(&mut self, writer: Writer) -> wasmtime::Result<Resource<DynOutputStream>> {
        let end = writer.weak();
        let stream: DynOutputStream = Box::new(writer);
        let stream = self.table.push(stream)?;
        self.process.ends.insert(stream.rep(), end);
        Ok(stream)
    }

    fn reader(&self, stream: &Resource<DynInputStream>) -> wasmtime::Result<Option<Reader>> {
        self.table.get(stream)?;
        Ok(self.process.ends.reader(stream.rep()))
    }

    fn writer(&self, stream: &Resource<DynOutputStream>) -> wasmtime::Result<Option<Writer>> {
        self.table.get(stream)?;
        Ok(self.process.ends.writer(stream.rep()))
    }

    /// What is lent, as the other process will hold it. None for a stream that is no pipe.
    fn lend(&self, source: wit::Lent) -> wasmtime::Result<Option<Given>> {
        Ok(match source {
            wit::Lent::Standard(number) => Some(Given::Standard(number)),
            wit::Lent::Reader(reader) => self.reader(&reader)?.map(Given::Reader),
            wit::Lent::Writer(writer) => self.writer(&writer)?.map(Given::Writer),
            wit::Lent::Both((reader, writer)) => self
                .reader(&reader)?
                .zip(self.writer(&writer)?)
                .map(|(reader, writer)| Given::Both(reader, writer)),
            wit::Lent::File(lent) => Some(Given::File {
                file: self.table.get(&lent.file)?.clone(),
                place: self.files.place_number(lent.file.rep()),
                position: lent.position,
                append: lent.append,
            }),
            wit::Lent::Device(path) => Some(Given::Device(path)),
        })
    }

    fn take(&mut self, given: Given) -> wasmtime::Result<wit::Given> {
        Ok(match given {
            Given::Standard(number) => wit::Given::Standard(number),
            Given::Reader(reader) => wit::Given::Reader(self.push_reader(reader)?),
            Given::Writer(writer) => wit::Given::Writer(self.push_writer(writer)?),
            Given::Both(reader, writer) => {
                wit::Given::Both((self.push_reader(reader)?, self.push_writer(writer)?))
            }
            Given::File {
                file,
                place,
                position,
                append,
            } => {
                let file: Resource<Descriptor> = self.table.push(file)?;
                if let Some(place) = place {
                    self.files.opened_place(file.rep(), place);
                }
                wit::Given::File(wit::GivenFile {
                    file,
                    position,
                    append,
                })
            }
            Given::Device(path) => wit::Given::Device(path),
        })
    }
}

impl wit::Host for ProcessesView<'_> {
    fn identity(&mut self) -> wasmtime::Result<(u32, u32)> {
        Ok(self.process.identity())
    }

    fn inherited(&mut self) -> wasmtime::Result<Vec<wit::GivenDescriptor>> {
        let inherited = self.process.take_inherited();
        inherited
            .into_iter()
            .map(|(number, given)| {
                let source = self.take(given)?;
                Ok(wit::GivenDescriptor { number, source })
            })
            .collect()
    }

    fn pipe(
        &mut self,
    ) -> wasmtime::Result<Result<(Resource<DynInputStream>, Resource<DynOutputStream>), wit::Refusal>>
    {
        let Some((reader, writer)) = self.process.family().pipe() else {
            return Ok(Err(Refused::Limit("pipes between processes").into()));
        };
        Ok(Ok((self.push_reader(reader)?, self.push_writer(writer)?)))
    }

    fn abandoned(
        &mut self,
        writer: Resource<DynOutputStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        self.table.get(&writer)?;
        let abandoned = self.process.ends.abandoned(writer.rep());
        let abandoned = self.table.push(abandoned)?;
        subscribe(self.table, abandoned)
    }

    fn spawn(
        &mut self,
        arguments: Vec<String>,
        environment: Vec<(String, String)>,
        folder: String,
        descriptors: Vec<wit::LentDescriptor>,
    ) -> wasmtime::Result<Result<u32, wit::Refusal>> {
        let words = arguments.iter().map(String::len).sum::<usize>();
        let pairs = environment
            .iter()
            .map(|(name, value)| name.len() + value.len());
        if words + pairs.sum::<usize>() > ARGUMENTS {
            return Ok(Err(Refused::Argument("the arguments are too long").into()));
        }
        // Two processes cannot both go on from the image when one of them changes something.
        if self.files.own_root(self.table).is_err() {
            return Ok(Err(Refused::Limit("room for its files").into()));
        }
        let mut inherited = Vec::new();
        for wit::LentDescriptor { number, source } in descriptors {
            let Some(given) = self.lend(source)? else {
                let refused = Refused::Argument("only pipes, files and devices can be passed on");
                return Ok(Err(refused.into()));
            };
            inherited.push((number, given));
        }
        let started = self
            .process
            .spawn(&arguments, environment, &folder, inherited);
        Ok(started.map_err(wit::Refusal::from))
    }

    fn reap(&mut self, child: u32) -> wasmtime::Result<Result<Option<(u32, u32)>, ()>> {
        Ok(self.process.reap(child).map_err(|_| ()))
    }

    fn subscribe(&mut self, child: u32) -> wasmtime::Result<Resource<DynPollable>> {
        let ended: Resource<Ended> = self.table.push(self.process.ended(child))?;
        subscribe(self.table, ended)
    }

    fn kill(&mut self, process: u32, signal: u8) -> wasmtime::Result<bool> {
        Ok(self.process.family().signal(process, signal))
    }

    fn killed(&mut self, signal: u8) -> wasmtime::Result<()> {
        self.process.killed(signal);
        Ok(())
    }

    fn open_semaphore(
        &mut self,
        name: String,
        creation: wit::Creation,
        value: u32,
    ) -> wasmtime::Result<Option<Resource<Semaphore>>> {
        let creation = match creation {
            wit::Creation::Existing => semaphore::Creation::Existing,
            wit::Creation::New => semaphore::Creation::New,
            wit::Creation::Either => semaphore::Creation::Either,
        };
        let semaphores = &self.process.family().semaphores;
        let opened = semaphores.open(name, creation, value);
        Ok(opened.map(|one| self.table.push(one)).transpose()?)
    }

    fn unlink_semaphore(&mut self, name: String) -> wasmtime::Result<bool> {
        Ok(self.process.family().semaphores.unlink(&name))
    }
}

impl wit::HostSemaphore for ProcessesView<'_> {
    fn take(&mut self, semaphore: Resource<Semaphore>) -> wasmtime::Result<bool> {
        Ok(self.table.get(&semaphore)?.take())
    }

    fn give(&mut self, semaphore: Resource<Semaphore>) -> wasmtime::Result<bool> {
        Ok(self.table.get(&semaphore)?.give())
    }

    fn value(&mut self, semaphore: Resource<Semaphore>) -> wasmtime::Result<u32> {
        Ok(self.table.get(&semaphore)?.value())
    }

    fn subscribe(
        &mut self,
        semaphore: Resource<Semaphore>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        let waiting = self.table.get(&semaphore)?.clone();
        let waiting = self.table.push(waiting)?;
        subscribe(self.table, waiting)
    }

    fn drop(&mut self, semaphore: Resource<Semaphore>) -> wasmtime::Result<()> {
        self.table.delete(semaphore)?;
        Ok(())
    }
}
