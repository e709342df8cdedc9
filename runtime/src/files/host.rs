//! `wasi:filesystem`: each call past the guard, then to wasmtime.

use super::FilesView;
use super::streams::{Reader, Target, Writer};
use std::fs::File;
use std::sync::Arc;
use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, DirectoryEntryStream,
    ErrorCode, Filesize, Host, HostDescriptor, HostDirectoryEntryStream, MetadataHashValue,
    NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::p2::{FsError, FsResult};
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream};

type Fd = Resource<Descriptor>;

/// The same handle once more.
fn borrowed(fd: &Fd) -> Fd {
    Resource::new_borrow(fd.rep())
}

impl preopens::Host for FilesView<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Fd, String)>> {
        let folders = preopens::Host::get_directories(&mut self.stock())?;
        for (number, (fd, path)) in folders.iter().enumerate() {
            self.guard.opened_place(fd.rep(), number);
            if path == "/" {
                self.guard.opened_top(fd.rep());
            }
            self.guard.follow(self.table, fd.rep())?;
        }
        Ok(folders)
    }
}

impl Host for FilesView<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        self.stock().convert_error_code(error)
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        self.stock().filesystem_error_code(error)
    }
}

/// Past the guard: streams of ours in place of wasmtime's, whose answer decides whether there is one.
impl FilesView<'_> {
    fn file(&self, fd: &Fd) -> FsResult<Arc<File>> {
        match self.table.get(fd)? {
            Descriptor::File(file) => Ok(Arc::clone(&file.file)),
            Descriptor::Dir(_) => Err(ErrorCode::IsDirectory.into()),
        }
    }

    fn written(
        &mut self,
        fd: &Fd,
        stock: Resource<DynOutputStream>,
        target: Target,
    ) -> FsResult<Resource<DynOutputStream>> {
        let file = self.file(fd)?;
        self.table.delete(stock)?;
        let writer: DynOutputStream =
            Box::new(Writer::new(file, target, self.guard.meter(fd.rep())));
        Ok(self.table.push(writer)?)
    }
}

/// What the guest is to see of what the host's file system says.
impl FilesView<'_> {
    fn shown(&self, stat: DescriptorStat) -> DescriptorStat {
        match &self.guard.uniform {
            Some(uniform) => uniform.stat(stat),
            None => stat,
        }
    }

    fn numbered(&mut self, hash: MetadataHashValue) -> MetadataHashValue {
        match &mut self.guard.uniform {
            Some(uniform) => uniform.number(hash),
            None => hash,
        }
    }
}

impl HostDescriptor for FilesView<'_> {
    async fn advise(
        &mut self,
        fd: Fd,
        offset: Filesize,
        len: Filesize,
        advice: Advice,
    ) -> FsResult<()> {
        self.stock().advise(fd, offset, len, advice).await
    }

    async fn sync_data(&mut self, fd: Fd) -> FsResult<()> {
        self.stock().sync_data(fd).await
    }

    async fn get_flags(&mut self, fd: Fd) -> FsResult<DescriptorFlags> {
        let is_folder = matches!(self.table.get(&fd)?, Descriptor::Dir(_));
        let becomes_own = is_folder && self.guard.becomes_own(fd.rep());
        let flags = self.stock().get_flags(fd).await?;
        // Programs ask before they write, and the handle is of what nobody may change.
        Ok(match becomes_own {
            true => flags | DescriptorFlags::MUTATE_DIRECTORY,
            false => flags,
        })
    }

    async fn get_type(&mut self, fd: Fd) -> FsResult<DescriptorType> {
        self.stock().get_type(fd).await
    }

    async fn set_size(&mut self, fd: Fd, size: Filesize) -> FsResult<()> {
        self.guard.check_change(self.table, fd.rep())?;
        self.guard.freed(fd.rep());
        self.stock().set_size(fd, size).await
    }

    async fn set_times(&mut self, fd: Fd, atim: NewTimestamp, mtim: NewTimestamp) -> FsResult<()> {
        self.guard.check_change(self.table, fd.rep())?;
        self.stock().set_times(fd, atim, mtim).await
    }

    async fn read(&mut self, fd: Fd, len: Filesize, offset: Filesize) -> FsResult<(Vec<u8>, bool)> {
        if let Some(mut rest) = self.guard.told(fd.rep(), offset) {
            rest.truncate(usize::try_from(len).unwrap_or(usize::MAX));
            let is_end = rest.is_empty();
            return Ok((rest.into(), is_end));
        }
        self.stock().read(fd, len, offset).await
    }

    async fn write(&mut self, fd: Fd, buf: Vec<u8>, offset: Filesize) -> FsResult<Filesize> {
        self.guard.check_change(self.table, fd.rep())?;
        self.guard.charge(fd.rep(), buf.len() as u64)?;
        self.stock().write(fd, buf, offset).await
    }

    async fn read_directory(&mut self, fd: Fd) -> FsResult<Resource<DirectoryEntryStream>> {
        let stream = self.stock().read_directory(fd).await?;
        if self.guard.uniform.is_some() {
            let mut entries = Vec::new();
            let handle = || Resource::new_borrow(stream.rep());
            while let Some(entry) = self.stock().read_directory_entry(handle()).await? {
                entries.push(entry);
            }
            if let Some(uniform) = &mut self.guard.uniform {
                uniform.list(stream.rep(), entries);
            }
        }
        Ok(stream)
    }

    async fn sync(&mut self, fd: Fd) -> FsResult<()> {
        self.stock().sync(fd).await
    }

    async fn create_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.guard.check_change_at(self.table, fd.rep(), &path)?;
        self.guard.charge_entry(fd.rep())?;
        self.stock().create_directory_at(fd, path).await
    }

    async fn stat(&mut self, fd: Fd) -> FsResult<DescriptorStat> {
        let stat = self.stock().stat(fd).await?;
        Ok(self.shown(stat))
    }

    async fn stat_at(
        &mut self,
        fd: Fd,
        flags: PathFlags,
        path: String,
    ) -> FsResult<DescriptorStat> {
        let stat = self.stock().stat_at(fd, flags, path).await?;
        Ok(self.shown(stat))
    }

    async fn set_times_at(
        &mut self,
        fd: Fd,
        flags: PathFlags,
        path: String,
        atim: NewTimestamp,
        mtim: NewTimestamp,
    ) -> FsResult<()> {
        self.guard.check_change(self.table, fd.rep())?;
        self.stock().set_times_at(fd, flags, path, atim, mtim).await
    }

    async fn link_at(
        &mut self,
        fd: Fd,
        flags: PathFlags,
        path: String,
        new_fd: Fd,
        new_path: String,
    ) -> FsResult<()> {
        self.guard.check_change(self.table, fd.rep())?;
        self.guard.check_change(self.table, new_fd.rep())?;
        self.guard.charge_entry(new_fd.rep())?;
        self.stock()
            .link_at(fd, flags, path, new_fd, new_path)
            .await
    }

    async fn open_at(
        &mut self,
        fd: Fd,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Fd> {
        let parent = fd.rep();
        self.guard.check_files()?;
        if open_flags.contains(OpenFlags::TRUNCATE) || flags.contains(DescriptorFlags::WRITE) {
            self.guard.check_change_at(self.table, parent, &path)?;
        }
        // Creating what is there already is opening it, and allowed where nothing may be changed.
        let creates = open_flags.contains(OpenFlags::CREATE);
        let answer = match flags.contains(DescriptorFlags::WRITE) {
            true => None,
            false => self.guard.answer(parent, &path)?,
        };
        if creates {
            self.guard.begin_change(self.table, parent)?;
            self.guard.charge_entry(parent)?;
        }
        let opened = self
            .stock()
            .open_at(fd, path_flags, path.clone(), open_flags, flags)
            .await;
        let opened = match opened {
            Err(error) if creates => {
                self.guard.tell_write(parent, &path);
                Err(error)
            }
            other => other,
        }?;
        if open_flags.contains(OpenFlags::TRUNCATE) {
            self.guard.freed(parent);
        }
        let file = match self.table.get(&opened)? {
            Descriptor::File(file) => Some(&file.file),
            Descriptor::Dir(_) => None,
        };
        self.guard.opened(opened.rep(), parent, file);
        if let Some(answer) = answer {
            self.guard.tells(opened.rep(), answer);
        }
        Ok(opened)
    }

    fn drop(&mut self, fd: Fd) -> wasmtime::Result<()> {
        let rep = fd.rep();
        if let Ok(Descriptor::File(file)) = self.table.get(&fd) {
            self.guard.locks.closed(&file.file);
        }
        HostDescriptor::drop(&mut self.stock(), fd)?;
        self.guard.freed(rep);
        self.guard.closed(rep);
        Ok(())
    }

    async fn readlink_at(&mut self, fd: Fd, path: String) -> FsResult<String> {
        self.stock().readlink_at(fd, path).await
    }

    async fn remove_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.guard.check_change(self.table, fd.rep())?;
        self.guard.freed(fd.rep());
        self.stock().remove_directory_at(fd, path).await
    }

    async fn rename_at(
        &mut self,
        fd: Fd,
        path: String,
        new_fd: Fd,
        new_path: String,
    ) -> FsResult<()> {
        self.guard.check_change(self.table, fd.rep())?;
        self.guard.check_change(self.table, new_fd.rep())?;
        self.guard.freed(new_fd.rep());
        self.stock().rename_at(fd, path, new_fd, new_path).await
    }

    async fn symlink_at(&mut self, fd: Fd, target: String, path: String) -> FsResult<()> {
        self.guard.check_change(self.table, fd.rep())?;
        self.guard.charge_entry(fd.rep())?;
        self.stock().symlink_at(fd, target, path).await
    }

    async fn unlink_file_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.guard.check_change(self.table, fd.rep())?;
        self.guard.freed(fd.rep());
        self.stock().unlink_file_at(fd, path).await
    }

    fn read_via_stream(&mut self, fd: Fd, offset: Filesize) -> FsResult<Resource<DynInputStream>> {
        if let Some(rest) = self.guard.told(fd.rep(), offset) {
            let reader: DynInputStream = Box::new(MemoryInputPipe::new(rest));
            return Ok(self.table.push(reader)?);
        }
        let stock = self.stock().read_via_stream(borrowed(&fd), offset)?;
        let file = self.file(&fd)?;
        self.table.delete(stock)?;
        let reader: DynInputStream = Box::new(Reader::new(file, offset));
        Ok(self.table.push(reader)?)
    }

    fn write_via_stream(
        &mut self,
        fd: Fd,
        offset: Filesize,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.guard.check_change(self.table, fd.rep())?;
        let stock = self.stock().write_via_stream(borrowed(&fd), offset)?;
        self.written(&fd, stock, Target::At(offset))
    }

    fn append_via_stream(&mut self, fd: Fd) -> FsResult<Resource<DynOutputStream>> {
        self.guard.check_change(self.table, fd.rep())?;
        let stock = self.stock().append_via_stream(borrowed(&fd))?;
        self.written(&fd, stock, Target::End)
    }

    async fn is_same_object(&mut self, a: Fd, b: Fd) -> wasmtime::Result<bool> {
        self.stock().is_same_object(a, b).await
    }

    async fn metadata_hash(&mut self, fd: Fd) -> FsResult<MetadataHashValue> {
        let hash = self.stock().metadata_hash(fd).await?;
        Ok(self.numbered(hash))
    }

    async fn metadata_hash_at(
        &mut self,
        fd: Fd,
        flags: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        let hash = self.stock().metadata_hash_at(fd, flags, path).await?;
        Ok(self.numbered(hash))
    }
}

impl HostDirectoryEntryStream for FilesView<'_> {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        match &mut self.guard.uniform {
            Some(uniform) => Ok(uniform.next(stream.rep())),
            None => self.stock().read_directory_entry(stream).await,
        }
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        if let Some(uniform) = &mut self.guard.uniform {
            uniform.listed(stream.rep());
        }
        HostDirectoryEntryStream::drop(&mut self.stock(), stream)
    }
}
