use super::*;
use crate::clock::Clock;

fn voice(plugin: &str) -> Voice {
    Voice::new(plugin, Arc::new(Desk::new(Clock::system())))
}

#[test]
fn a_message_cannot_forge_a_second_line() {
    assert_eq!(cleaned("one\ntwo\x1b[2J\u{9b}"), "one\\ntwo\\u{1b}[2J\\u{9b}");
    assert_eq!(cleaned("grün\n"), "grün");
}

#[test]
fn a_long_message_is_cut_between_characters() {
    let text = cleaned(&"ä".repeat(5000));
    assert_eq!(text.chars().filter(|c| *c == 'ä').count(), MESSAGE_LEN_MAX / 2);
    assert!(text.ends_with('…'));
}

#[test]
fn a_flood_is_cut_off() {
    let voice = voice("loud");
    let admitted = (0..1000).filter(|_| voice.admit(true)).count();
    assert_eq!(admitted, 250);
    assert_eq!(voice.lock().dropped, 750);
}

#[test]
fn standard_error_is_kept_line_by_line_to_explain_a_trap() {
    let voice = voice("panicking");
    for number in 0..10 {
        voice.stream(Stream::Error).write("line ".into()).expect("write");
        voice.stream(Stream::Error).write(format!("{number}\n").into()).expect("write");
    }
    voice.stream(Stream::Error).write("the end".into()).expect("write");
    voice.stream(Stream::Output).write("elsewhere\n".into()).expect("write");
    assert_eq!(voice.last_words(), "line 5; line 6; line 7; line 8; line 9; the end");
}

#[test]
fn a_line_without_end_is_bounded() {
    let voice = voice("endless");
    for _ in 0..100 {
        voice.stream(Stream::Output).write(vec![b'x'; WRITE_LEN_MAX].into()).expect("write");
    }
    assert_eq!(voice.lock().partial(Stream::Output).len(), MESSAGE_LEN_MAX);
}

#[test]
fn an_error_message_explains_a_trap_as_well() {
    let voice = voice("aborting");
    voice.say(LogLevel::Warn, LogStream::Log, "not this");
    voice.say(LogLevel::Error, LogStream::Log, "out of\nmemory");
    assert_eq!(voice.last_words(), "out of\\nmemory");
}

#[test]
fn a_go_panic_is_kept_and_not_the_trace_behind_it() {
    for stream in [Stream::Output, Stream::Error] {
        let voice = voice("go");
        let mut lines = voice.stream(stream);
        lines.write("before\npanic: too hot\n\n".into()).expect("write");
        for number in 0..20 {
            voice.stream(Stream::Error).write(format!("frame {number}\n").into()).expect("write");
        }
        assert_eq!(voice.last_words(), "panic: too hot; frame 0; frame 1; frame 2; frame 3; frame 4", "{stream:?}");
    }
}

#[test]
fn the_hint_of_rust_to_set_a_variable_is_no_last_word() {
    let voice = voice("rust");
    let said = "\nthread '<unnamed>' (1) panicked at src/lib.rs:3:5:\ntoo hot\n\
                note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
    voice.stream(Stream::Error).write(said.into()).expect("write");
    assert_eq!(voice.last_words(), "thread '<unnamed>' (1) panicked at src/lib.rs:3:5:; too hot");
}

#[test]
fn what_deceives_a_reader_is_written_out() {
    let written = cleaned("safe\u{202e}gnp.exe\u{2028}next \u{2066}x\u{2069}\u{200f} äöü 漢字");
    assert_eq!(written, "safe\\u{202e}gnp.exe\\u{2028}next \\u{2066}x\\u{2069}\\u{200f} äöü 漢字");
}

#[test]
fn a_line_is_bounded_as_it_is_written() {
    let text = cleaned(&"\u{1b}".repeat(5000));
    assert!(text.len() <= MESSAGE_LEN_MAX + '…'.len_utf8() && text.ends_with("\\u{1b}…"), "{} bytes", text.len());
}
