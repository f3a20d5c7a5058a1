use super::*;

fn endpoint(text: &str) -> Endpoint {
    Endpoint::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

fn name(text: &str) -> Name {
    Name::parse(text).expect(text)
}

/// Whether the right leads to this address by one of these names.
fn reaches(right: &str, address: &str, port: u16, names: &[&str]) -> bool {
    let names: Vec<_> = names.iter().map(|text| name(text)).collect();
    let right = endpoint(right);
    let address = address.parse().expect(address);
    right.reaches(&Destination { protocol: right.protocol, address, port, names: names.iter().collect() })
}

#[test]
fn what_is_no_endpoint_is_refused_with_the_reason() {
    for (text, part) in [
        ("api.example.com:443", "tcp://HOST:PORT"),
        ("http://api.example.com:80", "tcp://HOST:PORT"),
        ("tcp://api.example.com", "tcp://HOST:PORT"),
        ("tcp://:80", "name of 1 to 253"),
        ("tcp://api.example.com:0", "1 to 65535"),
        ("tcp://api.example.com:65536", "1 to 65535"),
        ("tcp://api.example.com:http", "1 to 65535"),
        ("tcp://fd00::1:80", "brackets"),
        ("tcp://[fd00::1:80", "letters, digits"),
        ("tcp://[10.0.0.300]:80", "none"),
        ("tcp://10.0.0.0/33:80", "0 to 32"),
        ("tcp://10.0.0.1/24:80", "10.0.0.0/24"),
        ("tcp://10.0.0:80", "looks like an address"),
        ("tcp://127.1:80", "looks like an address"),
        ("tcp://0x7f000001:80", "looks like an address"),
        ("tcp://2130706433:80", "looks like an address"),
        ("tcp://0.0.0.0:80", "cannot be granted"),
        ("tcp://169.254.169.254:80", "cannot be granted"),
        ("tcp://[fd00:ec2::254]:80", "cannot be granted"),
        ("tcp://[::ffff:10.0.0.1]:80", "write 10.0.0.1"),
        ("tcp://a.*.com:80", "letters, digits"),
        ("tcp://*example.com:80", "letters, digits"),
        ("tcp://münchen.example:80", "punycode"),
        ("tcp://user@host:80", "letters, digits"),
        ("tcp://host/path:80", "none"),
    ] {
        let error = Endpoint::parse(text).expect_err(text).to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
    let long = format!("tcp://{}:80", "a".repeat(64 << 10));
    assert!(Endpoint::parse(&long).expect_err("long").to_string().len() < 1000);
}

#[test]
fn an_address_is_reached_by_the_ranges_it_lies_in() {
    assert!(reaches("udp://192.168.1.7:161", "192.168.1.7", 161, &[]));
    assert!(!reaches("udp://192.168.1.7:161", "192.168.1.8", 161, &[]));
    assert!(!reaches("udp://192.168.1.7:161", "192.168.1.7", 162, &[]));
    assert!(reaches("tcp://10.0.0.0/24:502", "10.0.0.255", 502, &[]));
    assert!(!reaches("tcp://10.0.0.0/24:502", "10.0.1.0", 502, &[]));
    assert!(reaches("tcp://0.0.0.0/0:*", "8.8.8.8", 1, &[]) && reaches("tcp://*:53", "8.8.8.8", 53, &[]));
    assert!(reaches("tcp://[fd00::/8]:502", "fd12::1", 502, &[]));
    assert!(!reaches("tcp://[fd00::/8]:502", "10.0.0.1", 502, &[]));
    assert!(reaches("tcp://10.0.0.1:502", "::ffff:10.0.0.1", 502, &[]), "the same address in IPv6 clothes");
    assert!(!reaches("tcp://10.0.0.1:*", "10.0.0.1", 0, &[]), "port 0 is none");
    let tcp = endpoint("tcp://10.0.0.1:1");
    let udp = Destination { protocol: Protocol::Udp, address: "10.0.0.1".parse().expect("ip"), port: 1, names: vec![] };
    assert!(!tcp.reaches(&udp));
}

#[test]
fn a_name_leads_only_where_it_led_to() {
    assert!(reaches("tcp://api.example.com:443", "93.184.216.34", 443, &["API.example.com."]));
    assert!(!reaches("tcp://api.example.com:443", "93.184.216.34", 443, &["other.example.com"]));
    assert!(!reaches("tcp://api.example.com:443", "93.184.216.34", 443, &[]));
    assert!(reaches("tcp://*.example.com:443", "93.184.216.34", 443, &["a.example.com"]));
    for other in ["example.com", "a.b.example.com", "aexample.com", "a.example.com.evil.org"] {
        assert!(!reaches("tcp://*.example.com:443", "93.184.216.34", 443, &[other]), "{other}");
    }
}

#[test]
fn special_places_are_reached_only_by_who_wrote_them_down() {
    let special = [
        "127.0.0.1",
        "127.8.8.8",
        "::1",
        "169.254.7.7",
        "fe80::1",
        "224.0.0.251",
        "ff02::fb",
        "0.0.0.0",
        "::",
        "255.255.255.255",
        "169.254.169.254",
        "fd00:ec2::254",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::1",
    ];
    for address in special {
        for right in ["tcp://*:*", "tcp://name.example:*", "tcp://*.example:*", "tcp://0.0.0.0/0:*", "tcp://[::/0]:*"] {
            assert!(!reaches(right, address, 80, &["name.example"]), "{right} {address}");
        }
    }
    assert!(
        reaches("tcp://127.0.0.1:80", "127.0.0.1", 80, &[]) && reaches("tcp://127.0.0.0/8:80", "127.0.0.1", 80, &[])
    );
    assert!(reaches("tcp://[::1]:80", "::1", 80, &[]));
    assert!(reaches("tcp://localhost:80", "127.0.0.1", 80, &["localhost"]));
    assert!(!reaches("tcp://localhost:80", "127.0.0.1", 80, &["name.example"]));
    assert!(reaches("udp://169.254.0.0/16:80", "169.254.7.7", 80, &[]));
    assert!(!reaches("udp://169.254.0.0/16:80", "169.254.169.254", 80, &[]));
    assert!(reaches("udp://224.0.0.251:5353", "224.0.0.251", 5353, &[]));
}

#[test]
fn a_wider_right_covers_a_narrower_one() {
    let covers = |wide: &str, narrow: &str| endpoint(wide).covers(&endpoint(narrow));
    for (wide, narrow) in [
        ("tcp://a.example:1", "tcp://A.example.:1"),
        ("tcp://a.example:*", "tcp://a.example:1"),
        ("tcp://*.example:1", "tcp://a.example:1"),
        ("tcp://*:1", "tcp://a.example:1"),
        ("tcp://*:*", "tcp://10.0.0.0/24:1"),
        ("tcp://10.0.0.0/8:1", "tcp://10.0.0.0/24:1"),
    ] {
        assert!(covers(wide, narrow), "{wide} {narrow}");
    }
    for (narrow, wide) in [
        ("udp://a.example:1", "tcp://a.example:1"),
        ("tcp://a.example:1", "tcp://a.example:*"),
        ("tcp://a.example:1", "tcp://*.example:1"),
        ("tcp://10.0.0.0/24:1", "tcp://10.0.0.0/8:1"),
        ("tcp://*:1", "tcp://localhost:1"),
        ("tcp://*:1", "tcp://127.0.0.1:1"),
        ("tcp://0.0.0.0/0:1", "tcp://127.0.0.1:1"),
        ("tcp://0.0.0.0/0:1", "tcp://a.example:1"),
    ] {
        assert!(!covers(narrow, wide), "{narrow} {wide}");
    }
    assert!(endpoint("tcp://10.0.0.0/24:1").overlaps(&endpoint("tcp://10.0.0.0/8:1")));
}

#[test]
fn a_name_may_be_looked_up_by_whoever_holds_a_right_to_it() {
    assert!(endpoint("tcp://a.example:1").names(&name("a.EXAMPLE")));
    assert!(endpoint("tcp://*.example:1").names(&name("a.example")) && endpoint("tcp://*:1").names(&name("a")));
    assert!(!endpoint("tcp://10.0.0.0/8:1").names(&name("a")));
    assert!(
        !endpoint("tcp://*:1").names(&name("localhost")) && endpoint("tcp://localhost:1").names(&name("localhost"))
    );
}
