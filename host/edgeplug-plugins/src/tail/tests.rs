use super::*;

fn push(tail: &Tail, text: &str) {
    tail.push(Timestamp::from_unix_ms(0), LogLevel::Info, LogStream::Log, text.to_owned());
}

fn texts(page: &LogPage) -> Vec<&str> {
    page.lines.iter().map(|line| line.text.as_str()).collect()
}

#[test]
fn a_reader_goes_on_where_it_was() {
    let tail = Tail::default();
    for text in ["one", "two", "three"] {
        push(&tail, text);
    }
    let page = tail.page(0, 2);
    assert_eq!((texts(&page), page.next, page.dropped), (vec!["two", "three"], 3, 1));
    assert_eq!(tail.page(3, 100), LogPage { lines: vec![], next: 3, dropped: 0 });
    push(&tail, "four");
    tail.skip();
    let page = tail.page(3, 100);
    assert_eq!((texts(&page), page.next, page.dropped), (vec!["four"], 5, 1), "what was skipped is counted");
    assert_eq!(tail.page(99, 100).lines.len(), 4, "a number of another run begins anew");
}

#[test]
fn lines_and_bytes_are_bounded() {
    let tail = Tail::default();
    for number in 0..LINES_MAX + 10 {
        push(&tail, &number.to_string());
    }
    let page = tail.page(0, usize::MAX);
    assert_eq!((page.lines.len(), page.lines[0].number, page.dropped), (LINES_MAX, 11, 10));
    for _ in 0..LINES_MAX {
        push(&tail, &"x".repeat(4096));
    }
    assert_eq!(tail.page(0, usize::MAX).lines.len(), BYTES_MAX / 4096);
}
