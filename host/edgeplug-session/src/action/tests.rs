use super::*;

#[test]
fn a_url_is_shown_without_what_opens_it() {
    for (url, shown) in [
        ("https://a.example/fw.bin", "https://a.example/fw.bin"),
        ("https://a.example/fw.bin?sig=secret", "https://a.example/fw.bin…"),
        ("https://a.example/fw.bin#secret", "https://a.example/fw.bin…"),
        ("https://me:secret@a.example:8443/fw.bin?sig=secret", "https://…@a.example:8443/fw.bin…"),
        ("https://me:secret@b@a.example", "https://…@a.example"),
        ("https://a.example/@fw.bin", "https://a.example/@fw.bin"),
        ("me:secret@a.example/fw.bin", "://…@a.example/fw.bin"),
        ("", "://"),
    ] {
        assert_eq!(format!("{:?}", SecretUrl::new(url.to_owned())).replace('"', ""), shown);
    }
}
