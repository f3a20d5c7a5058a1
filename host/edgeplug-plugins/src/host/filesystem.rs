//! `wasi:filesystem`: WASI's own, with what it lacks put before it.
//!
//! What must stay true:
//! * Only regular files and directories are opened, and none of the kernel's file systems, wherever they are mounted:
//!   opening a pipe waits for ever, opening a device acts on it, and `proc` holds the daemon's memory.
//! * No symbolic link is made. Inside of its directories a plugin could not follow one out, but others could.
//! * What one instance holds open is bounded: descriptors are the whole daemon's.
//! * A plugin that wants to change what it may only read is told why it cannot.
//!
//! Deliberately absent: a bound on what is written to disk. Who grants `write` on the file system of the outbox shares it.

mod beneath;

use std::os::fd::AsRawFd;
use std::sync::Arc;

use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::filesystem::{Descriptor, Dir, File, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self, Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, DirectoryEntryStream, ErrorCode,
    Filesize, HostDescriptor, HostDirectoryEntryStream, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult, TcpSocket, UdpSocket};
use wasmtime_wasi::{FsPerms, OpenMode};

use super::State;
use beneath::{Found, NotOpened, Wanted};

/// Files, directories, sockets and streams of one instance. A connection is three of them. Some twenty plugins at this
/// bound are still below the thousand descriptors that systems give a process.
const HELD_MAX: usize = 96;
/// Listings of directories of one instance, which are held in memory as a whole.
const LISTINGS_MAX: usize = 4;
/// Entries of one listing.
const ENTRIES_MAX: usize = 10_000;

/// Puts it in the place of WASI's own.
pub(super) fn replace(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    types::add_to_linker::<_, HasSelf<_>>(linker, |state: &mut State| state)?;
    linker.allow_shadowing(false);
    Ok(())
}

impl State {
    /// Whether the instance may hold one more of what costs the daemon a descriptor; says so if not.
    pub(super) fn has_room(&mut self) -> bool {
        let costs = |entry: &&mut (dyn std::any::Any + Send)| {
            entry.is::<Descriptor>()
                || entry.is::<TcpSocket>()
                || entry.is::<UdpSocket>()
                || entry.is::<DynInputStream>()
                || entry.is::<DynOutputStream>()
        };
        let has_room = self.table.iter_mut().filter(costs).count() < HELD_MAX;
        if !has_room {
            self.refuse(&format!(
                "plugin {:?} holds too many files, streams and sockets: at most {HELD_MAX}",
                self.guest.plugin
            ));
        }
        has_room
    }

    fn room(&mut self) -> FsResult<()> {
        if self.has_room() { Ok(()) } else { Err(ErrorCode::InsufficientMemory.into()) }
    }

    fn directory(&self, descriptor: &Resource<Descriptor>) -> FsResult<&Dir> {
        match self.table.get(descriptor)? {
            Descriptor::Dir(directory) => Ok(directory),
            Descriptor::File(_) => Err(ErrorCode::NotDirectory.into()),
        }
    }

    /// Whether what lies in the directory may be changed; says so if not.
    fn may_change(&self, descriptor: &Resource<Descriptor>, path: &str) -> FsResult<()> {
        if self.directory(descriptor)?.perms == FsPerms::ReadWrite {
            return Ok(());
        }
        self.refuse(&self.guest.rights.read_only(path));
        Err(ErrorCode::NotPermitted.into())
    }

    fn refused(&self, refusal: NotOpened, path: &str) -> FsError {
        let plugin = &self.guest.plugin;
        let reason = match refusal {
            NotOpened::Failed(error) => return error.into(),
            NotOpened::Unable => return ErrorCode::Unsupported.into(),
            NotOpened::Outside => {
                format!("plugin {plugin:?} may not open {path:?}: it leads out of the granted directory")
            }
            NotOpened::Special => {
                format!("plugin {plugin:?} may not open {path:?}: only regular files and directories are opened")
            }
            NotOpened::Kernel => {
                format!("plugin {plugin:?} may not open {path:?}: a file system of the kernel is out of reach")
            }
        };
        self.refuse(&reason);
        ErrorCode::NotPermitted.into()
    }
}

impl types::Host for State {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        self.filesystem().convert_error_code(error)
    }

    fn filesystem_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        self.filesystem().filesystem_error_code(error)
    }
}

/// Functions that are WASI's own.
macro_rules! passed_on {
    ($(async fn $name:ident($($argument:ident: $kind:ty),*) -> $result:ty;)*) => {
        $(async fn $name(&mut self, $($argument: $kind),*) -> $result {
            HostDescriptor::$name(&mut self.filesystem(), $($argument),*).await
        })*
    };
}

/// Functions that are WASI's own for whoever may change the directory.
macro_rules! for_writers {
    ($(async fn $name:ident($descriptor:ident, [$($before:ident: $kind:ty),*], $path:ident, [$($after:ident: $other:ty),*]);)*) => {
        $(async fn $name(
            &mut self,
            $descriptor: Resource<Descriptor>,
            $($before: $kind,)*
            $path: String,
            $($after: $other),*
        ) -> FsResult<()> {
            self.may_change(&$descriptor, &$path)?;
            HostDescriptor::$name(&mut self.filesystem(), $descriptor, $($before,)* $path, $($after),*).await
        })*
    };
}

impl HostDescriptor for State {
    async fn open_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        let wanted = Wanted::new(path_flags, open_flags, flags)?;
        if wanted.changes() {
            self.may_change(&descriptor, &path)?;
        }
        self.room()?;
        let directory = self.directory(&descriptor)?;
        let (handle, permissions) = (Arc::clone(&directory.dir), directory.perms);
        let reading = self.begin_read().ok_or(ErrorCode::Busy)?;
        let opening = tokio::task::spawn_blocking({
            let path = path.clone();
            move || {
                let _reading = reading;
                beneath::open(&handle, &path, &wanted)
            }
        });
        let mode = if wanted.write { OpenMode::READ | OpenMode::WRITE } else { OpenMode::READ };
        let mode = if wanted.read { mode } else { mode - OpenMode::READ };
        let opened = match opening.await.map_err(wasmtime::Error::from).map_err(FsError::trap)? {
            Ok(Found::File(file)) => Descriptor::File(File::new(file, permissions, mode, false)),
            Ok(Found::Directory(file)) => Descriptor::Dir(Dir::new(file, permissions, mode, false)),
            Err(NotOpened::Unable) => {
                return self.open_at_without_openat2(descriptor, path_flags, path, open_flags, flags).await;
            }
            Err(refusal) => return Err(self.refused(refusal, &path)),
        };
        Ok(self.table.push(opened)?)
    }

    async fn read_directory(&mut self, descriptor: Resource<Descriptor>) -> FsResult<Resource<DirectoryEntryStream>> {
        if self.table.iter_mut().filter(|entry| entry.is::<DirectoryEntryStream>()).count() >= LISTINGS_MAX {
            let plugin = &self.guest.plugin;
            self.refuse(&format!("plugin {plugin:?} lists too many directories at a time: at most {LISTINGS_MAX}"));
            return Err(ErrorCode::InsufficientMemory.into());
        }
        let handle = Arc::clone(&self.directory(&descriptor)?.dir);
        // A reference (`O_PATH`) cannot be listed itself.
        let reading = self.begin_read().ok_or(ErrorCode::Busy)?;
        let counting = tokio::task::spawn_blocking(move || {
            let _reading = reading;
            std::fs::read_dir(format!("/proc/self/fd/{}", handle.as_raw_fd()))
                .map(|entries| entries.take(ENTRIES_MAX + 1).count())
        });
        if counting.await.map_err(wasmtime::Error::from).map_err(FsError::trap)?? > ENTRIES_MAX {
            let plugin = &self.guest.plugin;
            self.refuse(&format!(
                "plugin {plugin:?} may not list a directory of more than {ENTRIES_MAX} entries; files in it are opened by \
                 their names"
            ));
            return Err(ErrorCode::InsufficientMemory.into());
        }
        self.filesystem().read_directory(descriptor).await
    }

    async fn symlink_at(&mut self, _: Resource<Descriptor>, _: String, path: String) -> FsResult<()> {
        let plugin = &self.guest.plugin;
        self.refuse(&format!("plugin {plugin:?} may not make the symbolic link {path:?}: plugins make none"));
        Err(ErrorCode::NotPermitted.into())
    }

    async fn link_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        to: Resource<Descriptor>,
        to_path: String,
    ) -> FsResult<()> {
        self.may_change(&descriptor, &path)?;
        self.may_change(&to, &to_path)?;
        self.filesystem().link_at(descriptor, path_flags, path, to, to_path).await
    }

    async fn rename_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path: String,
        to: Resource<Descriptor>,
        to_path: String,
    ) -> FsResult<()> {
        self.may_change(&descriptor, &path)?;
        self.may_change(&to, &to_path)?;
        self.filesystem().rename_at(descriptor, path, to, to_path).await
    }

    for_writers! {
        async fn create_directory_at(descriptor, [], path, []);
        async fn remove_directory_at(descriptor, [], path, []);
        async fn unlink_file_at(descriptor, [], path, []);
        async fn set_times_at(descriptor, [path_flags: PathFlags], path, [accessed: NewTimestamp, changed: NewTimestamp]);
    }

    fn read_via_stream(
        &mut self,
        descriptor: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<DynInputStream>> {
        self.room()?;
        self.filesystem().read_via_stream(descriptor, offset)
    }

    fn write_via_stream(
        &mut self,
        descriptor: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.room()?;
        self.filesystem().write_via_stream(descriptor, offset)
    }

    fn append_via_stream(&mut self, descriptor: Resource<Descriptor>) -> FsResult<Resource<DynOutputStream>> {
        self.room()?;
        self.filesystem().append_via_stream(descriptor)
    }

    passed_on! {
        async fn advise(descriptor: Resource<Descriptor>, offset: Filesize, length: Filesize, advice: Advice) -> FsResult<()>;
        async fn sync_data(descriptor: Resource<Descriptor>) -> FsResult<()>;
        async fn get_flags(descriptor: Resource<Descriptor>) -> FsResult<DescriptorFlags>;
        async fn get_type(descriptor: Resource<Descriptor>) -> FsResult<DescriptorType>;
        async fn set_size(descriptor: Resource<Descriptor>, size: Filesize) -> FsResult<()>;
        async fn set_times(descriptor: Resource<Descriptor>, accessed: NewTimestamp, changed: NewTimestamp) -> FsResult<()>;
        async fn read(descriptor: Resource<Descriptor>, length: Filesize, offset: Filesize) -> FsResult<(Vec<u8>, bool)>;
        async fn write(descriptor: Resource<Descriptor>, bytes: Vec<u8>, offset: Filesize) -> FsResult<Filesize>;
        async fn sync(descriptor: Resource<Descriptor>) -> FsResult<()>;
        async fn stat(descriptor: Resource<Descriptor>) -> FsResult<DescriptorStat>;
        async fn stat_at(descriptor: Resource<Descriptor>, path_flags: PathFlags, path: String) -> FsResult<DescriptorStat>;
        async fn readlink_at(descriptor: Resource<Descriptor>, path: String) -> FsResult<String>;
        async fn is_same_object(descriptor: Resource<Descriptor>, other: Resource<Descriptor>) -> wasmtime::Result<bool>;
        async fn metadata_hash(descriptor: Resource<Descriptor>) -> FsResult<MetadataHashValue>;
        async fn metadata_hash_at(descriptor: Resource<Descriptor>, path_flags: PathFlags, path: String) -> FsResult<MetadataHashValue>;
    }

    fn drop(&mut self, descriptor: Resource<Descriptor>) -> wasmtime::Result<()> {
        HostDescriptor::drop(&mut self.filesystem(), descriptor)
    }
}

impl State {
    /// Kernels before 5.6, and sandboxes that know no `openat2`: what lies there is looked at first, and may be another
    /// thing when it is opened.
    async fn open_at_without_openat2(
        &mut self,
        descriptor: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        let same = Resource::new_borrow(descriptor.rep());
        match self.filesystem().stat_at(same, path_flags, path.clone()).await {
            Ok(stat) if !matches!(stat.type_, DescriptorType::RegularFile | DescriptorType::Directory) => {
                return Err(self.refused(NotOpened::Special, &path));
            }
            // What is missing may be made.
            Ok(_) | Err(_) => {}
        }
        self.filesystem().open_at(descriptor, path_flags, path, open_flags, flags).await
    }
}

impl HostDirectoryEntryStream for State {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        self.filesystem().read_directory_entry(stream).await
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        HostDirectoryEntryStream::drop(&mut self.filesystem(), stream)
    }
}
