use super::*;

#[test]
fn a_death_is_told_without_words_and_frames() {
    let trap = "the plugin trapped: wasm trap: wasm `unreachable` instruction executed";
    let memory = "it had wanted more memory than it may have";
    for death in [
        trap.to_owned(),
        format!("{trap}; it said: panicked at src/lib.rs:3; 1: what; 0:   0x5b03 - x.wasm!abort"),
        format!("{trap}; 8:   0x5b03 - x.wasm!plugin_sample; at plugin.c:12:5"),
    ] {
        assert_eq!(brief(&death), trap);
    }
    assert_eq!(brief(&format!("{trap}; {memory}; 0:   0x5b03 - x.wasm!f")), format!("{trap}; {memory}"));
}
