use super::*;

const A: &str = "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7";
const B: &str = "0263829989b6fd954f72baaf2fc64bc2e2f01d692d4de72986ea808f6e99813f";

fn digest(text: &str) -> Sha256Digest {
    from_hex(text).expect("digest")
}

#[test]
fn lists_of_sha256sum_are_read() {
    let text = format!("# of today\n{A}  fw.bin\n\n{B} *./boot loader.img\r\n{}  fw.bin\n", A.to_uppercase());
    let sums = parse(&text).expect("list");
    assert_eq!(sums.len(), 2);
    assert_eq!(sums["fw.bin"], digest(A));
    assert_eq!(sums["boot loader.img"], digest(B));
}

#[test]
fn what_is_no_list_is_refused() {
    for (text, says) in [
        (format!("{A}  fw.bin\n{B}  fw.bin\n"), "two digests for \"fw.bin\""),
        (format!("{A}\n"), "line 1 names no file"),
        (format!("\\{A}  a\\nb\n"), "line 1 is none"),
        (format!("{A} fw.bin"), "line 1 is none"),
        (format!("{A}  fw.bin\nSHA256 (fw.bin) = {A}"), "line 2 is none"),
        (format!("{}é  fw.bin", &A[..63]), "line 1 is none"),
        ("<html>not found</html>".to_owned(), "line 1 is none"),
    ] {
        let reason = parse(&text).expect_err(&text);
        assert!(reason.contains(says), "{reason}");
    }
}

#[test]
fn a_file_about_one_file_may_name_it() {
    for text in [A.to_owned(), format!("{A}\n"), format!("{A}  fw.bin\n"), format!("\n{A} *fw.bin\n\n")] {
        assert_eq!(parse_single(&text, "fw.bin"), Ok(digest(A)), "{text}");
    }
    for (text, says) in [
        (format!("{A}  other.bin"), "about \"other.bin\""),
        (format!("{A}  fw.bin\n{B}  fw.bin"), "not the one line"),
        (String::new(), "not the one line"),
        (A[..62].to_owned(), "not the one line"),
    ] {
        let reason = parse_single(&text, "fw.bin").expect_err(&text);
        assert!(reason.contains(says), "{reason}");
    }
}
