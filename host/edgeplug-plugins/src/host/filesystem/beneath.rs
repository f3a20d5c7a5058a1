//! Opens a file or directory beneath another one, and nothing else.
//!
//! The order is what makes it safe: what the path leads to is first opened as a mere reference (`O_PATH`, which neither
//! waits at a pipe nor wakes a device), with the kernel seeing to it that the way never leaves the directory (`openat2`,
//! `RESOLVE_BENEATH`); then judged by what it is; and only then opened through that same reference.
//!
//! It blocks; callers run it where blocking is allowed.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, fstatfs, open as reopen, openat2};
use rustix::io::Errno;
use wasmtime_wasi::p2::bindings::filesystem::types::{DescriptorFlags, ErrorCode, OpenFlags, PathFlags};

/// Times that others may get in between (a rename anywhere, a file made and removed).
const TRIES_MAX: usize = 8;
/// File systems that are the kernel's and not anybody's files (magic.h): proc, sysfs, debugfs, tracefs, securityfs,
/// configfs, both cgroups, bpf, devpts, binfmt_misc, selinux, fusectl.
const KERNEL: [u64; 13] = [
    0x9fa0,
    0x6265_6572,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0x6265_6570,
    0x0027_e0eb,
    0x6367_7270,
    0xcafe_4a11,
    0x1cd1,
    0x4249_4e4d,
    0xf97c_ff8c,
    0x6573_5543,
];

/// What a guest wants to do with what it opens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    follow: bool,
    create: bool,
    exclusive: bool,
    truncate: bool,
    directory: bool,
    pub(super) read: bool,
    pub(super) write: bool,
}

pub(super) enum Found {
    File(File),
    Directory(File),
}

#[derive(Debug)]
pub(super) enum NotOpened {
    /// The way leads out of the directory.
    Outside,
    /// A pipe, a device, a socket.
    Special,
    /// On a file system of the kernel.
    Kernel,
    /// This kernel or its guard has no `openat2`.
    Unable,
    Failed(io::Error),
}

impl Wanted {
    pub(super) fn new(path: PathFlags, open: OpenFlags, flags: DescriptorFlags) -> Result<Self, ErrorCode> {
        let unknown = DescriptorFlags::FILE_INTEGRITY_SYNC
            | DescriptorFlags::DATA_INTEGRITY_SYNC
            | DescriptorFlags::REQUESTED_WRITE_SYNC;
        if flags.intersects(unknown) {
            return Err(ErrorCode::Unsupported);
        }
        let makes = OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::TRUNCATE;
        if open.contains(OpenFlags::DIRECTORY) && open.intersects(makes) {
            return Err(ErrorCode::Invalid);
        }
        let write = flags.contains(DescriptorFlags::WRITE) || open.intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE);
        Ok(Self {
            follow: path.contains(PathFlags::SYMLINK_FOLLOW),
            create: open.contains(OpenFlags::CREATE),
            exclusive: open.contains(OpenFlags::EXCLUSIVE),
            truncate: open.contains(OpenFlags::TRUNCATE),
            directory: open.contains(OpenFlags::DIRECTORY),
            read: flags.contains(DescriptorFlags::READ) || !flags.contains(DescriptorFlags::WRITE),
            write,
        })
    }

    pub(super) fn changes(&self) -> bool {
        self.write
    }

    fn access(&self) -> OFlags {
        OFlags::CLOEXEC
            | match (self.read, self.write) {
                (true, true) => OFlags::RDWR,
                (false, true) => OFlags::WRONLY,
                _ => OFlags::RDONLY,
            }
    }
}

pub(super) fn open(directory: &File, path: &str, wanted: &Wanted) -> Result<Found, NotOpened> {
    for _ in 0..TRIES_MAX {
        let follow = if wanted.follow { OFlags::empty() } else { OFlags::NOFOLLOW };
        match at(directory, path, OFlags::PATH | OFlags::CLOEXEC | follow, Mode::empty()) {
            Ok(_) if wanted.create && wanted.exclusive => return Err(failed(Errno::EXIST)),
            Ok(reference) => return through(&reference, wanted),
            Err(Errno::NOENT) if wanted.create => {
                let made = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | wanted.access();
                match at(directory, path, made, Mode::from_raw_mode(0o666)) {
                    Ok(made) => return Ok(Found::File(made.into())),
                    Err(Errno::EXIST | Errno::AGAIN) => {}
                    Err(error) => return Err(failed(error)),
                }
            }
            Err(Errno::AGAIN) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Err(failed(Errno::BUSY))
}

fn at(directory: &File, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    openat2(directory, path, flags, mode, ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS)
}

/// Judges what the reference refers to, and opens it.
fn through(reference: &OwnedFd, wanted: &Wanted) -> Result<Found, NotOpened> {
    let kind = FileType::from_raw_mode(fstat(reference).map_err(failed)?.st_mode);
    let is_directory = match kind {
        FileType::RegularFile if wanted.directory => return Err(failed(Errno::NOTDIR)),
        FileType::RegularFile => false,
        FileType::Directory if wanted.write => return Err(failed(Errno::ISDIR)),
        FileType::Directory => true,
        FileType::Symlink => return Err(failed(Errno::LOOP)),
        _ => return Err(NotOpened::Special),
    };
    // The magic number is 32 bits wide, whatever the type of the field.
    let magic = fstatfs(reference).map_err(failed)?.f_type as u64 & u64::from(u32::MAX);
    if KERNEL.contains(&magic) {
        return Err(NotOpened::Kernel);
    }
    let truncate = if wanted.truncate { OFlags::TRUNC } else { OFlags::empty() };
    let itself = format!("/proc/self/fd/{}", reference.as_raw_fd());
    let opened =
        reopen(itself, wanted.access() | truncate, Mode::empty()).map_err(|error| NotOpened::Failed(error.into()))?;
    Ok(if is_directory { Found::Directory(opened.into()) } else { Found::File(opened.into()) })
}

fn failed(error: Errno) -> NotOpened {
    match error {
        Errno::XDEV => NotOpened::Outside,
        // Guards that do not know the call say that it is not permitted (systemd, seccomp-util.c).
        Errno::NOSYS | Errno::PERM => NotOpened::Unable,
        error => NotOpened::Failed(error.into()),
    }
}

#[cfg(test)]
mod tests;
