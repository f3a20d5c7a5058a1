//! A restart of the device, for the daemon alone: what it reads as the kernel's boot id is another one afterwards.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) struct AnotherBoot {
    /// Preloaded into the daemon, see `another_boot.c`.
    library: PathBuf,
    /// Holds the boot id.
    file: PathBuf,
    boots: Cell<u32>,
}

impl AnotherBoot {
    /// The first boot.
    pub(crate) fn new(directory: &Path) -> Self {
        let library = directory.join("another_boot.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ota/another_boot.c");
        let built =
            Command::new("cc").args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"]).arg(&library).arg(source).status();
        assert!(built.expect("there is no C compiler; apt-get install gcc libc6-dev").success());
        let boot = Self { library, file: directory.join("boot_id"), boots: Cell::new(0) };
        boot.restart();
        boot
    }

    /// For a daemon that believes it.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.display().to_string();
        vec![("LD_PRELOAD".to_owned(), text(&self.library)), ("ANOTHER_BOOT".to_owned(), text(&self.file))]
    }

    /// The next boot.
    pub(crate) fn restart(&self) {
        let boot = self.boots.get() + 1;
        self.boots.set(boot);
        std::fs::write(&self.file, format!("00000000-0000-4000-8000-{boot:012}\n")).unwrap();
    }
}
