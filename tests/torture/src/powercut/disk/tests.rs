#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use super::*;

fn write(offset: u64, data: &[u8]) -> Op {
    Op::Write { inode: 1, offset, data: data.to_vec() }
}

fn disk(ops: &[Op]) -> Disk {
    let mut disk = Disk::default();
    for op in ops {
        disk.apply(op, None);
    }
    disk
}

fn create() -> [Op; 2] {
    [Op::Create { path: "d/f".into(), inode: 1 }, Op::SyncDirectory { path: "d".into() }]
}

#[test]
fn what_was_synced_survives_everything() {
    let mut ops = create().to_vec();
    ops.extend([write(0, &[1; 1500]), Op::Sync { inode: 1 }, write(100, &[2; 3000])]);
    let disk = disk(&ops);
    for seed in 0..200 {
        for survives in [Survives::Nothing, Survives::Everything, Survives::Prefix, Survives::Any] {
            let image = disk.image(survives, seed % 2 == 0, &mut Random::new(seed));
            let bytes = &image["d/f"];
            assert!(bytes.iter().take(100).all(|byte| *byte == 1));
            assert!(bytes.iter().skip(100).all(|byte| *byte == 1 || *byte == 2 || (*byte == 0 && bytes.len() > 1500)));
        }
    }
    assert_eq!(disk.image(Survives::Nothing, false, &mut Random::new(0))["d/f"], [1; 1500]);
    assert_eq!(disk.image(Survives::Everything, false, &mut Random::new(0))["d/f"].len(), 3100);
}

#[test]
fn a_name_lasts_once_its_directory_is_synced_or_with_any_sync_where_names_are_ordered() {
    let made = [Op::Create { path: "d/f".into(), inode: 1 }, write(0, b"x"), Op::Sync { inode: 1 }];
    let disk = disk(&made);
    assert!(disk.image(Survives::Nothing, false, &mut Random::new(0)).contains_key("d/f"));
    assert!(!disk.image(Survives::Nothing, true, &mut Random::new(0)).contains_key("d/f"));
}

#[test]
fn a_cut_inside_a_write_tears_it_at_a_sector() {
    assert_eq!(sectors_inside(0, 4096), 7);
    assert_eq!(sectors_inside(0, 512), 0);
    assert_eq!(sectors_inside(500, 24), 1);
    assert_eq!(sectors_inside(32, 24), 0);
    let mut disk = disk(&create());
    disk.apply(&write(500, &[7; 1000]), Some(2));
    assert_eq!(disk.image(Survives::Everything, false, &mut Random::new(0))["d/f"].len(), 1024);
}

#[test]
fn a_removed_file_may_come_back_until_its_directory_is_synced() {
    let mut ops = create().to_vec();
    ops.extend([write(0, b"x"), Op::Sync { inode: 1 }, Op::Unlink { path: "d/f".into() }]);
    let disk = disk(&ops);
    assert!(disk.image(Survives::Nothing, true, &mut Random::new(0)).contains_key("d/f"));
    assert!(!disk.image(Survives::Everything, true, &mut Random::new(0)).contains_key("d/f"));
}
