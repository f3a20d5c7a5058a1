use nix::fcntl::{OFlag, open as open_inheritable};
use nix::sys::stat::Mode;
use nix::unistd::close;

use super::*;

#[test]
fn an_open_device_is_kept_from_child_processes() {
    let directory = tempfile::tempdir().unwrap();
    let (device, other, link) = ["device", "other", "link"].map(|name| directory.path().join(name)).into();
    std::fs::write(&device, "").unwrap();
    std::fs::write(&other, "").unwrap();
    std::os::unix::fs::symlink(&device, &link).unwrap();
    // As the C library does it.
    let open = |path: &Path| open_inheritable(path, OFlag::O_RDWR, Mode::empty()).unwrap();
    let (first, second, unrelated) = (open(&device), open(&link), open(&other));

    keep_from_children(&link).unwrap();

    let inheritable = |descriptor| fcntl(descriptor, FcntlArg::F_GETFD).unwrap() & FdFlag::FD_CLOEXEC.bits() == 0;
    assert_eq!([first, second, unrelated].map(inheritable), [false, false, true]);
    for descriptor in [first, second, unrelated] {
        close(descriptor).unwrap();
    }
}

#[test]
fn a_device_that_cannot_be_opened_is_told_by_kind() {
    let missing = probe(Path::new("/dev/no-such-tpm")).unwrap_err();
    assert!(matches!(missing, IdentityError::Missing { .. }), "{missing:?}");
    let odd = probe(Path::new("/dev")).unwrap_err();
    assert!(matches!(&odd, IdentityError::Missing { what, .. } if what.contains("cannot be opened")), "{odd:?}");
    probe(Path::new("/dev/null")).unwrap();
}
