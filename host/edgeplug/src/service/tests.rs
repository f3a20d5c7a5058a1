use super::*;

#[test]
fn text_from_the_network_cannot_speak_for_us() {
    assert_eq!(one_line("refused\nREADY=1\nMAINPID=1"), "refused READY=1 MAINPID=1");
    assert_eq!(one_line(&"x".repeat(10_000)).len(), STATUS_CHARS_MAX);
}
