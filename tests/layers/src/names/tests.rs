use super::*;

fn paths(source: &str, tests: Tests) -> Vec<String> {
    names(source, tests).iter().map(|name| name.segments.join("::")).collect()
}

#[test]
fn a_use_tree_names_every_leaf_in_full() {
    let source = "use std::{fs::{self, File}, io as inout, net::*};\nuse ::tokio::time;";
    let expected = ["use", "std::fs::self", "std::fs::File", "std::io", "std::net", "use", "tokio::time"];
    assert_eq!(paths(source, Tests::Included), expected);
}

#[test]
fn code_goes_on_after_a_use_tree() {
    assert_eq!(paths("use a::{b, c};\nfn d() { e::f() }", Tests::Included), ["use", "a::b", "a::c", "fn", "d", "e::f"]);
}

#[test]
fn an_expression_names_its_path() {
    assert_eq!(paths("let x = std::time::Instant::now();", Tests::Included), ["let", "x", "std::time::Instant::now"]);
    assert_eq!(paths("Vec::<u8>::new()", Tests::Included), ["Vec", "u8", "new"]);
}

#[test]
fn test_items_can_be_left_out() {
    let source = "a();\n#[cfg(test)]\nmod tests { fn t() { b::c() } }\nd();\n#[cfg(test)]\nmod tests;\ne()";
    assert_eq!(paths(source, Tests::LeftOut), ["a", "d", "e"]);
    assert!(paths(source, Tests::Included).contains(&"b::c".to_owned()));
}
