use super::*;

#[derive(Debug, Deserialize)]
struct Held<T> {
    held: T,
}

fn request(text: &str) -> Result<DirectoryRequest, String> {
    toml::from_str::<Held<DirectoryRequest>>(&format!("held = {text}"))
        .map(|held| held.held)
        .map_err(|error| error.to_string())
}

#[test]
fn a_plugin_finds_a_directory_where_it_is_unless_it_says_otherwise() {
    let asked = request(r#"{ path = "/var/lib/weather" }"#).expect("request");
    assert_eq!((asked.guest.as_str(), asked.write), ("/var/lib/weather", false));
    let asked = request(r#"{ path = "/var/lib/weather", guest = "/", write = true }"#).expect("request");
    assert_eq!((asked.guest.as_str(), asked.write), ("/", true));
}

#[test]
fn nobody_asks_for_the_kernels_directories_or_ours() {
    for path in ["/", "/proc", "/proc/1", "/sys/class", "/dev/shm", "/run/edgeplug", "/run/edgeplug/x"] {
        let refused = request(&format!("{{ path = {path:?} }}")).expect_err(path);
        assert!(refused.contains("cannot be granted"), "{refused}");
    }
    for path in ["relative", "/a/../proc", "/a//b", "/a/", "/a/*", "/a\\u0000", ""] {
        request(&format!("{{ path = \"{path}\" }}")).expect_err(path);
    }
    request(&format!("{{ path = \"/{}\" }}", "a".repeat(600))).expect_err("long");
    request(r#"{ path = "/a", guest = "../b" }"#).expect_err("guest");
    request(r#"{ path = "/a", mode = 7 }"#).expect_err("an unknown key");
}

#[test]
fn a_grant_covers_what_lies_below_it_by_whole_names() {
    let grant = DirectoryGrant { path: "/var/lib/weather".to_owned(), write: false };
    assert!(grant.covers("/var/lib/weather") && grant.covers("/var/lib/weather/a/b"));
    assert!(!grant.covers("/var/lib/weather-2") && !grant.covers("/var/lib"));
}
