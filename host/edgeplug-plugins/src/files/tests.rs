use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::manifest::Manifest;
use crate::options::Limits;
use crate::policy::{PluginPolicy, Policy};

fn asking(files: Vec<Pattern>) -> Manifest {
    Manifest { files, ..Manifest::absent(&Limits::default()) }
}

struct Ground {
    directory: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("directory") }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().canonicalize().expect("path").join(name).to_str().expect("utf-8").to_owned()
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.path(name), content).expect("write");
    }

    fn rights(&self, granted: &[&str]) -> Rights {
        let patterns: Vec<Pattern> =
            granted.iter().map(|name| Pattern::parse(&self.path(name)).expect("pattern")).collect();
        let policy = Policy {
            plugins: [("p".to_owned(), PluginPolicy { files: patterns.clone(), ..PluginPolicy::default() })].into(),
            ..Policy::default()
        };
        let private = [PathBuf::from(self.path("private"))];
        Rights::new("p", Path::new("/plugins/p.toml"), &asking(patterns), &policy, &private)
    }
}

#[test]
fn a_granted_file_is_read_whole() {
    let ground = Ground::new();
    ground.write("a", b"content");
    assert_eq!(read(&ground.rights(&["a"]), &ground.path("a")), Ok(b"content".to_vec()));
    assert_eq!(read(&ground.rights(&["a", "b"]), &ground.path("b")), Err(FileError::NotFound));
    assert!(matches!(read(&ground.rights(&["b"]), &ground.path("a")), Err(FileError::Denied(_))));
}

#[test]
fn kernel_files_without_a_size_are_read() {
    for path in ["/proc/uptime", "/proc/net/dev"] {
        assert!(!read(&rights_to(path), path).expect(path).is_empty());
    }
}

fn rights_to(path: &str) -> Rights {
    let pattern = Pattern::parse(path).expect("pattern");
    let policy = Policy {
        plugins: [("*".to_owned(), PluginPolicy { files: vec![pattern.clone()], ..PluginPolicy::default() })].into(),
        ..Policy::default()
    };
    Rights::new("p", Path::new("/plugins/p.toml"), &asking(vec![pattern]), &policy, &[])
}

#[test]
fn a_link_does_not_lead_out_of_the_grant() {
    let ground = Ground::new();
    ground.write("secret", b"secret");
    ground.write("open-1", b"open");
    symlink(ground.path("secret"), ground.path("open-2")).expect("link");
    symlink(ground.path("open-1"), ground.path("open-3")).expect("link");
    let rights = ground.rights(&["open-*"]);
    assert!(matches!(read(&rights, &ground.path("open-2")), Err(FileError::Denied(_))));
    assert_eq!(read(&rights, &ground.path("open-3")), Ok(b"open".to_vec()));
}

#[test]
fn the_daemons_own_directories_stay_closed() {
    let ground = Ground::new();
    fs::create_dir(ground.path("private")).expect("directory");
    ground.write("private/key", b"secret");
    let rights = ground.rights(&["private/*", "*/key", "private/key"]);
    assert!(matches!(read(&rights, &ground.path("private/key")), Err(FileError::Denied(_))));
    assert_eq!(find(&rights, &ground.path("*/*")), Ok(vec![]), "not even their names");
    symlink(ground.path("private"), ground.path("link")).expect("link");
    assert_eq!(find(&rights, &ground.path("*/*")), Ok(vec![]), "nor by another way");
}

#[test]
fn pipes_directories_and_large_files_are_refused_without_waiting() {
    let ground = Ground::new();
    let pipe = ground.path("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo (package coreutils)");
    assert!(made.success());
    fs::create_dir(ground.path("directory")).expect("directory");
    File::create(ground.path("large")).and_then(|file| file.set_len(FILE_BYTES_MAX + 1)).expect("large file");
    let rights = ground.rights(&["*"]);
    assert!(matches!(read(&rights, &pipe), Err(FileError::Other(_))));
    assert!(matches!(read(&rights, &ground.path("directory")), Err(FileError::Other(_))));
    assert_eq!(read(&rights, &ground.path("large")), Err(FileError::TooLarge(FILE_BYTES_MAX)));
}

#[test]
fn a_search_looks_only_where_the_operator_allows() {
    let ground = Ground::new();
    for name in ["open", "closed"] {
        fs::create_dir(ground.path(name)).expect("directory");
        ground.write(&format!("{name}/a"), b"1");
    }
    let pattern = |name: &str| Pattern::parse(&ground.path(name)).expect("pattern");
    let policy = Policy {
        plugins: [("p".to_owned(), PluginPolicy { files: vec![pattern("open/*")], ..PluginPolicy::default() })].into(),
        ..Policy::default()
    };
    let rights = Rights::new("p", Path::new("/plugins/p.toml"), &asking(vec![pattern("closed/*")]), &policy, &[]);
    let mut visited = 0;
    expand(&rights, &pattern("closed/*"), &mut visited, &mut |path| panic!("{path}"));
    assert_eq!(visited, 0);
    expand(&rights, &pattern("*/*"), &mut visited, &mut |path| assert_eq!(path, ground.path("open/a")));
    assert_eq!(visited, 3);
}

#[test]
fn a_search_finds_what_is_granted_and_nothing_else() {
    let ground = Ground::new();
    for zone in ["zone0", "zone1", "other"] {
        fs::create_dir(ground.path(zone)).expect("directory");
        ground.write(&format!("{zone}/temp"), b"1");
    }
    let rights = ground.rights(&["zone*/temp", "zone*/missing"]);
    let everything = ground.path("*/*");
    assert_eq!(find(&rights, &everything), Ok(vec![ground.path("zone0/temp"), ground.path("zone1/temp")]));
    assert_eq!(find(&rights, &ground.path("zone1/*")), Ok(vec![ground.path("zone1/temp")]));
    assert_eq!(find(&rights, &ground.path("other/*")), Ok(vec![]));
    assert!(matches!(find(&rights, "not absolute"), Err(FileError::Denied(_))));
}
