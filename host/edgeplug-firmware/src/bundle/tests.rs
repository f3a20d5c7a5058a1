use tar::{Builder, Header};

use super::*;

/// One entry of an archive.
fn entry(name: &[u8], kind: EntryType, content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(content.len().try_into().expect("small"));
    header.set_cksum();
    let mut archive = Builder::new(Vec::new());
    archive.append(&header, content).expect("entry");
    let mut bytes = archive.into_inner().expect("archive");
    bytes.truncate(bytes.len() - 1024);
    bytes
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.extend([0; 1024]);
    bytes
}

fn file(name: &str, content: &[u8]) -> Vec<u8> {
    entry(name.as_bytes(), EntryType::Regular, content)
}

fn read(bytes: &[u8]) -> Result<Release, String> {
    Release::of_bundle("a", bytes)
}

#[test]
fn a_component_and_its_manifest_are_read_in_any_order() {
    let (component, manifest) = (file("a.wasm", b"\0asm"), file("a.toml", b"x = 1"));
    let wanted = Release { component: b"\0asm".to_vec(), signature: None, manifest: Some(b"x = 1".to_vec()) };
    assert_eq!(read(&archive(&[component.clone(), manifest.clone()])), Ok(wanted));
    let signed = read(&archive(&[manifest, file("a.wasm.minisig", b"s"), component])).expect("good");
    assert_eq!(signed.signature.as_deref(), Some(b"s".as_slice()));
}

#[test]
fn what_real_tar_packs_is_read() {
    let directory = tempfile::tempdir().expect("directory");
    for (name, content) in [("a.wasm", "\0asm"), ("a.toml", "x = 1")] {
        std::fs::write(directory.path().join(name), content).expect("write");
    }
    let status = std::process::Command::new("tar")
        .args(["--format=ustar", "-cf", "a.edgeplug", "a.wasm", "a.toml"])
        .current_dir(directory.path())
        .status();
    assert!(status.expect("tar of the package tar").success());
    let bytes = std::fs::read(directory.path().join("a.edgeplug")).expect("read");
    assert_eq!(read(&bytes).expect("good").component, b"\0asm");
}

#[test]
fn tricks_are_refused() {
    let (component, manifest) = (file("a.wasm", b"\0asm"), file("a.toml", b"x = 1"));
    let with = |extra: Vec<u8>| archive(&[component.clone(), manifest.clone(), extra]);
    let mut huge = file("a.wasm.minisig", b"");
    // A size in base 256, which goes to 2^64 and beyond.
    huge[124] = 0x80;
    huge[125..136].fill(0xff);
    let sum: u32 = huge[..512]
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
        .sum();
    huge[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut flipped = with(Vec::new());
    flipped[3] ^= 1;
    let long = entry(b"././@LongLink", EntryType::GNULongName, &vec![b'x'; 100_000]);
    let pax = entry(b"a.wasm", EntryType::XHeader, b"20 path=../evil.wasm\n");
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (archive(&[]), "a.wasm is not in it"),
        (archive(std::slice::from_ref(&component)), "a.toml is not in it"),
        (archive(std::slice::from_ref(&manifest)), "a.wasm is not in it"),
        (with(component.clone()), "twice"),
        (with(file("b.wasm", b"")), "is none of its files"),
        (with(file("../a.wasm", b"")), "is none of its files"),
        (with(file("/a.wasm", b"")), "is none of its files"),
        (with(file("./a.wasm", b"")), "is none of its files"),
        (with(entry(b"a.wasm", EntryType::Symlink, b"")), "is none of its files"),
        (archive(&[entry(b"a.wasm", EntryType::Link, b""), manifest.clone()]), "is none of its files"),
        (archive(&[entry(b"a.wasm", EntryType::Directory, b""), manifest.clone()]), "is none of its files"),
        (archive(&[entry(b"a.wasm", EntryType::GNUSparse, b""), manifest.clone()]), "is none of its files"),
        (archive(&[entry(b"a.wasm", EntryType::Fifo, b""), manifest.clone()]), "is none of its files"),
        (with(long), "is none of its files"),
        (with(pax), "is none of its files"),
        (archive(&[component.clone(), file("a.toml", &vec![b' '; (64 << 10) + 1])]), "is larger than 65536 bytes"),
        (with(huge), "is no tar archive: size overflow"),
        (flipped, "is no tar archive"),
        (component[..514].to_vec(), "is cut short"),
        (component[..100].to_vec(), "is no tar archive"),
        (b"\0asm\x0d\0\x01\0".to_vec(), "is no tar archive"),
    ];
    for (bytes, says) in cases {
        let reason = read(&bytes).expect_err(says);
        assert!(reason.contains(says), "{reason} lacks {says}");
    }
}

#[test]
fn any_flipped_byte_gives_a_reason_or_the_same_files() {
    let bytes = archive(&[file("a.wasm", b"\0asm"), file("a.toml", b"x = 1")]);
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x41;
        // The signature is what tells; here nothing may hang, grow or panic.
        let _ = read(&bytes);
    }
}
