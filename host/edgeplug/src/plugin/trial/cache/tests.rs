use super::*;

#[test]
fn two_trials_never_share_a_cache() {
    let home = tempfile::tempdir().unwrap();
    let first = CacheDirectory::below(home.path()).unwrap();
    let second = CacheDirectory::below(home.path()).unwrap();
    assert_ne!(first.path, second.path);
    let path = first.path.clone();
    drop(first);
    assert_eq!(CacheDirectory::below(home.path()).unwrap().path, path);
}

#[test]
fn there_are_only_so_many() {
    let home = tempfile::tempdir().unwrap();
    let all: Vec<_> = (0..CACHES_MAX).map(|_| CacheDirectory::below(home.path()).unwrap()).collect();
    assert!(CacheDirectory::below(home.path()).unwrap_err().to_string().contains("wait"));
    drop(all);
}
