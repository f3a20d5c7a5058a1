use super::*;

fn words(source: &str) -> Vec<String> {
    tokens(source).iter().filter_map(Token::word).map(str::to_owned).collect()
}

#[test]
fn comments_and_doc_text_are_no_code() {
    assert_eq!(words("a // b\nc /* d /* e */ f */ g\n/// h\n//! i\n/** j */ k"), ["a", "c", "g", "k"]);
}

#[test]
fn literals_are_no_code() {
    assert_eq!(
        words(r####"a "b \" c" d r"e\" f r#"g " h"# i b"j" br##"k"# l"## m c"n" o"####),
        ["a", "d", "f", "i", "m", "o"]
    );
    assert_eq!(words(r"a '\'' b 'c' d b'e' f '\u{41}' g"), ["a", "b", "d", "f", "g"]);
}

#[test]
fn lifetimes_do_not_swallow_what_follows() {
    assert_eq!(
        words("fn f<'a>(x: &'a str) -> Cow<'static, str> { 'outer: loop {} }"),
        ["fn", "f", "x", "str", "Cow", "str", "loop"]
    );
}

#[test]
fn a_raw_identifier_is_its_name_and_numbers_are_none() {
    assert_eq!(words("r#type 0x1f 1_000u64 x1"), ["type", "x1"]);
}

#[test]
fn lines_are_counted_through_literals_and_comments() {
    let source = "/* 1\n2 */ \"3\n4\" r#\"\n\"# a\nb";
    let lines: Vec<usize> = tokens(source).iter().map(|token| token.line).collect();
    assert_eq!(lines, [4, 5]);
}

#[test]
fn an_unfinished_literal_ends_with_the_file() {
    for source in ["\"abc", "r#\"abc", "'", "b'", "/* /*", "\"\\"] {
        assert_eq!(words(source), Vec::<String>::new(), "{source}");
    }
}
