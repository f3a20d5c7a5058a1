use super::*;

fn route(url: &str) -> Route {
    Route::new(Target::parse(url).unwrap_or_else(|problem| panic!("{url}: {problem:?}")))
}

fn to(route: &mut Route, location: &str) -> Result<String, RedirectProblem> {
    let location = HeaderValue::from_bytes(location.as_bytes()).unwrap();
    route.redirected(Some(&location))?;
    Ok(route.target().url.to_string())
}

#[test]
fn a_redirect_may_be_relative_and_loses_its_fragment() {
    let mut route = route("https://a.example/x/fw.bin?sig=1#sha256=00");
    assert_eq!(route.target().url.as_str(), "https://a.example/x/fw.bin?sig=1");
    assert_eq!(to(&mut route, "y.bin#part").unwrap(), "https://a.example/x/y.bin");
    assert_eq!(to(&mut route, "//b.example/z").unwrap(), "https://b.example/z");
    assert_eq!(route.target().host, "b.example");
    assert_eq!(to(&mut route, "https://c.example/ä").unwrap(), "https://c.example/%C3%A4");
}

#[test]
fn a_redirect_never_leaves_tls() {
    for location in ["http://a.example/", "http://localhost/", "http://127.0.0.1:80/", "HTTP://a.example/"] {
        assert_eq!(to(&mut route("https://a.example/"), location), Err(RedirectProblem::PlainText), "{location}");
    }
    // On this machine alone, as in tests.
    assert!(to(&mut route("http://127.0.0.1:1/"), "http://localhost:2/").is_ok());
    assert!(to(&mut route("http://127.0.0.1:1/"), "https://a.example/").is_ok());
    assert_eq!(to(&mut route("http://127.0.0.1:1/"), "http://a.example/"), Err(RedirectProblem::PlainText));
}

#[test]
fn a_redirect_to_what_is_no_server_is_refused() {
    let long = format!("/{}", "x".repeat(100_000));
    for location in ["", "file:///etc/passwd", "data:,x", "javascript:1", "https://", "ftp://a.example/", &long] {
        assert_eq!(to(&mut route("https://a.example/"), location), Err(RedirectProblem::NoTarget), "{location}");
    }
    assert_eq!(route("https://a.example/").redirected(None), Err(RedirectProblem::NoTarget));
    let not_text = HeaderValue::from_bytes(b"/\xff").unwrap();
    assert_eq!(route("https://a.example/").redirected(Some(&not_text)), Err(RedirectProblem::NoTarget));
}

#[test]
fn five_redirects_are_followed_and_no_circle_is() {
    let mut long = route("https://a.example/0");
    for hop in 1..=REDIRECTS_MAX {
        to(&mut long, &format!("/{hop}")).unwrap();
    }
    assert_eq!(to(&mut long, "/6"), Err(RedirectProblem::TooMany));

    assert_eq!(to(&mut route("https://a.example/0"), "/0"), Err(RedirectProblem::Loop));
    assert_eq!(to(&mut route("https://a.example/0#x"), "https://A.example:443/0#y"), Err(RedirectProblem::Loop));
    let mut circle = route("https://a.example/0");
    to(&mut circle, "https://b.example/0").unwrap();
    assert_eq!(to(&mut circle, "https://a.example/0"), Err(RedirectProblem::Loop));
}
