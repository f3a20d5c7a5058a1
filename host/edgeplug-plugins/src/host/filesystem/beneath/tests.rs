use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;

use super::*;

fn wanted(text: &str) -> Wanted {
    let has = |letter| text.contains(letter);
    Wanted {
        follow: has('f'),
        create: has('c'),
        exclusive: has('x'),
        truncate: has('t'),
        directory: has('d'),
        read: has('r'),
        write: has('w'),
    }
}

struct Ground {
    directory: tempfile::TempDir,
    handle: File,
}

impl Ground {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("directory");
        fs::write(directory.path().join("a"), "content").expect("write");
        fs::create_dir(directory.path().join("d")).expect("directory");
        let handle = File::open(directory.path()).expect("open");
        Self { directory, handle }
    }

    fn open(&self, path: &str, how: &str) -> Result<Found, NotOpened> {
        open(&self.handle, path, &wanted(how))
    }

    fn is(&self, path: &str, how: &str, expected: impl Fn(&NotOpened) -> bool) {
        match self.open(path, how) {
            Ok(_) => panic!("{path} was opened"),
            Err(refusal) => assert!(expected(&refusal), "{path}: {refusal:?}"),
        }
    }
}

fn fails(errno: Errno) -> impl Fn(&NotOpened) -> bool {
    move |refusal| matches!(refusal, NotOpened::Failed(error) if Errno::from_io_error(error) == Some(errno))
}

#[test]
fn files_are_made_opened_and_cut_as_asked() {
    let ground = Ground::new();
    assert!(matches!(ground.open("a", "r"), Ok(Found::File(_))));
    assert!(
        matches!(ground.open("d", "r"), Ok(Found::Directory(_)))
            && matches!(ground.open(".", "rd"), Ok(Found::Directory(_)))
    );
    let Ok(Found::File(mut made)) = ground.open("d/new", "rwc") else { panic!("made") };
    made.write_all(b"text").expect("write");
    ground.open("d/new", "rwcx").map(|_| ()).expect_err("is there");
    ground.open("d/new", "rwt").map(|_| ()).expect("cut");
    assert_eq!(fs::read(ground.directory.path().join("d/new")).expect("read"), b"");
    ground.is("nothing", "r", fails(Errno::NOENT));
    ground.is("a", "rd", fails(Errno::NOTDIR));
    ground.is("d", "rw", fails(Errno::ISDIR));
    ground.is(&"x".repeat(300), "r", fails(Errno::NAMETOOLONG));
    ground.is("", "r", fails(Errno::NOENT));
    ground.is("a\0b", "r", fails(Errno::INVAL));
}

#[test]
fn no_way_leads_out() {
    let ground = Ground::new();
    symlink("/etc/passwd", ground.directory.path().join("absolute")).expect("link");
    symlink("d/../..", ground.directory.path().join("up")).expect("link");
    symlink("missing", ground.directory.path().join("dangling")).expect("link");
    let outside = |refusal: &NotOpened| matches!(refusal, NotOpened::Outside);
    for path in ["/etc/passwd", "..", "../x", "d/../../x", "absolute", "up", "up/x"] {
        ground.is(path, "rf", outside);
        ground.is(path, "rwfc", outside);
    }
    ground.is("absolute", "r", fails(Errno::LOOP));
    ground.is("dangling", "rwfc", fails(Errno::BUSY));
    assert!(!ground.directory.path().join("missing").exists());
}

#[test]
fn the_kernels_file_systems_are_closed_wherever_they_are() {
    let proc = File::open("/proc").expect("proc");
    let sys = File::open("/sys").expect("sys");
    for (directory, path) in [(&proc, "self/mem"), (&proc, "1"), (&proc, "stat"), (&proc, "."), (&sys, "class")] {
        let refused = open(directory, path, &wanted("rf"));
        let Err(refusal) = refused else { panic!("{path} was opened") };
        assert!(matches!(refusal, NotOpened::Kernel | NotOpened::Failed(_)), "{path}: {refusal:?}");
    }
    let refused = open(&proc, "stat", &wanted("r"));
    assert!(matches!(refused, Err(NotOpened::Kernel)));
}

#[test]
fn devices_and_pipes_are_not_even_opened() {
    let devices = File::open("/dev").expect("dev");
    for path in ["null", "zero", "full"] {
        let refused = open(&devices, path, &wanted("rf"));
        assert!(matches!(refused, Err(NotOpened::Special | NotOpened::Kernel)), "{path}");
    }
}
