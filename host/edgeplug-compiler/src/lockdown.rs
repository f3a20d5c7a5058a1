//! The walls around the compiler, put up before any input is read.
//!
//! Always: limits on processor time and address space, no file may grow (unless standard error is one), no core dump,
//! no further processes or descriptors, no new privileges, not traceable. Where the kernel has them: Landlock (no path,
//! no port, no signal or abstract socket out of this process) and seccomp (only the system calls that computing and the
//! two pipes need, and no executable memory). A kernel without the last two is no reason to stop; it is noted, and the
//! daemon's own sandbox still holds.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetStatus, Scope};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::set_no_new_privs;

use crate::options::Limits;

/// Newest Landlock version whose rights are asked for; older kernels give what they have.
const LANDLOCK: ABI = ABI::V6;

/// Seconds of processor time between the signal that tells of the limit and the end.
const CPU_GRACE_S: u64 = 5;

/// A wall that every supported kernel has could not be put up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockdownError {
    #[error("{0}: {1}")]
    Kernel(&'static str, io::Error),
    #[error("standard output is not a pipe")]
    NotAPipe,
}

/// Locks the process down; the answer lists the walls this kernel did not offer.
pub(crate) fn lock_down(limits: Limits) -> Result<Vec<String>, LockdownError> {
    if io::stdout().is_terminal() || is_file(io::stdout().as_fd()) {
        return Err(LockdownError::NotAPipe);
    }
    if !is_file(io::stderr().as_fd()) {
        // A person may collect our complaints in a file; the daemon hands us pipes only.
        limit(Resource::Fsize, 0, "limit file size")?;
    }
    let resources = [
        (Resource::As, limits.memory_mb << 20, "limit address space"),
        (Resource::Core, 0, "switch core dumps off"),
        (Resource::Nproc, 0, "limit processes"),
    ];
    for (resource, value, what) in resources {
        limit(resource, value, what)?;
    }
    // At the soft limit comes SIGXCPU, which says what happened; at the hard one SIGKILL, which could be anybody's.
    let cpu = Rlimit { current: Some(limits.cpu_s), maximum: Some(limits.cpu_s + CPU_GRACE_S) };
    setrlimit(Resource::Cpu, cpu).map_err(|error| kernel("limit processor time", error))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|error| kernel("become untraceable", error))?;
    set_no_new_privs(true).map_err(|error| kernel("give up new privileges", error))?;

    let mut notes = Vec::new();
    notes.extend(landlock().err());
    // After Landlock, which needs a descriptor for a moment.
    limit(Resource::Nofile, 0, "limit open files")?;
    notes.extend(seccomp().err());
    Ok(notes)
}

fn is_file(descriptor: BorrowedFd<'_>) -> bool {
    descriptor.try_clone_to_owned().and_then(|owned| File::from(owned).metadata()).is_ok_and(|about| about.is_file())
}

fn limit(resource: Resource, value: u64, what: &'static str) -> Result<(), LockdownError> {
    setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) }).map_err(|error| kernel(what, error))
}

fn kernel(what: &'static str, error: rustix::io::Errno) -> LockdownError {
    LockdownError::Kernel(what, error.into())
}

fn landlock() -> Result<(), String> {
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(LANDLOCK))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(LANDLOCK)))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(LANDLOCK)))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(|error| format!("no Landlock: {error}"))?;
    match status.ruleset {
        RulesetStatus::NotEnforced => Err("no Landlock: the kernel does not offer it".to_owned()),
        RulesetStatus::PartiallyEnforced => {
            Err("Landlock only in part: the kernel is too old for all of it".to_owned())
        }
        RulesetStatus::FullyEnforced => Ok(()),
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
fn seccomp() -> Result<(), String> {
    seccomp_filter().map_err(|error| format!("no seccomp: {error}"))
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
fn seccomp() -> Result<(), String> {
    Err("no seccomp: not available for this processor".to_owned())
}

/// Everything not listed fails with "operation not permitted", which the C library and Rust's standard library take as
/// an ordinary error, instead of killing a process over a call that a newer C library has learnt to make.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
fn seccomp_filter() -> Result<(), seccompiler::Error> {
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
        TargetArch,
    };

    let plain = [
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
    let not_executable = |prot_exec: i32| {
        let bits = u64::from(prot_exec.unsigned_abs());
        let condition = SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bits), 0)?;
        SeccompRule::new(vec![condition])
    };
    let mut rules: std::collections::BTreeMap<i64, Vec<SeccompRule>> =
        plain.into_iter().map(|number| (number, Vec::new())).collect();
    for number in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(number, vec![not_executable(libc::PROT_EXEC)?]);
    }
    // How `abort` ends a process that ran out of memory; nobody else is to be signalled.
    let ourselves = u64::from(std::process::id());
    let own_process = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, ourselves)?;
    rules.insert(libc::SYS_tgkill, vec![SeccompRule::new(vec![own_process])?]);
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let program: BpfProgram = SeccompFilter::new(rules, refused, SeccompAction::Allow, arch)?.try_into()?;
    seccompiler::apply_filter(&program)
}
