//! Outgoing connections, through `wasi:sockets`.

use crate::hostile::fixture::Fixture;
use crate::hostile::wall::{Ends, Wall, Word};

fn tries(word: Word, name: &'static str, attempts: &[&str]) -> Wall {
    Wall::new(word, name, Fixture::Network, "").config("try", attempts.join("\n"))
}

pub(super) fn walls() -> Vec<Wall> {
    vec![
        tries(
            Word::Network,
            "network-without-a-right",
            &[
                "tcp 127.0.0.1:{port}",
                "tcp [::1]:{port}",
                "tcp [::ffff:127.0.0.1]:{port}",
                "tcp 0.0.0.0:{port}",
                "udp 127.0.0.1:{port}",
                "tcp localhost:{port}",
                "lookup secret.test",
            ],
        )
        .asks(r#"network = ["tcp://127.0.0.1:{port}", "udp://127.0.0.1:{port}", "tcp://localhost:{port}", "tcp://secret.test:1"]"#)
        .short(),
        tries(
            Word::Network,
            "network-of-the-machine-itself",
            &[
                "tcp 127.0.0.1:{port}",
                "tcp 127.0.0.2:{port}",
                "tcp [::1]:{port}",
                "tcp [::ffff:127.0.0.1]:{port}",
                "tcp 0.0.0.0:{port}",
                "tcp [::]:{port}",
                "udp 127.0.0.1:{port}",
                "udp 0.0.0.0:{port}",
                "tcp 169.254.169.254:80",
            ],
        )
        .asks(
            r#"network = ["tcp://127.0.0.1:{port}", "tcp://127.0.0.2:{port}", "tcp://[::1]:{port}", "udp://127.0.0.1:{port}"]"#,
        )
        .allows(r#"network = ["tcp://0.0.0.0/0:*", "udp://0.0.0.0/0:*", "tcp://[::/0]:*", "tcp://*:*"]"#),
        Wall::new(Word::Network, "network-secrets-of-clouds", Fixture::Network, "cannot be granted")
            .asks(r#"network = ["tcp://169.254.169.254:80"]"#)
            .ends(Ends::Refused),
        tries(
            Word::Network,
            "network-other-port",
            &["tcp 127.0.0.1:{port}", "udp 127.0.0.1:{port}", "udp 127.0.0.1:1", "tcp 127.0.0.2:1"],
        )
        .granted(r#"network = ["tcp://127.0.0.1:1"]"#),
        tries(
            Word::Network,
            "network-listen",
            &["listen 127.0.0.1:0", "listen 0.0.0.0:0", "listen [::]:0", "listen 127.0.0.1:{port}"],
        )
        .asks(r#"network = ["tcp://127.0.0.1:1"]"#)
        .allows(r#"network = ["tcp://127.0.0.1:*", "udp://127.0.0.1:*"]"#),
        tries(
            Word::Network,
            "network-other-names",
            &[
                "may lookup granted.test",
                "lookup secret.test",
                "lookup a.granted.test",
                "lookup granted.test.secret.test",
                "lookup localhost",
                "lookup LOCALHOST.",
            ],
        )
        .granted(r#"network = ["tcp://granted.test:443"]"#),
        tries(
            Word::NameRebinding,
            "network-name-rebinding",
            &[
                "may lookup rebound.test",
                "tcp 127.0.0.1:{port}",
                "tcp rebound.test:{port}",
                "tcp 127.0.0.1:{port}",
                "tcp rebound.test:{port}",
            ],
        )
        .granted(r#"network = ["tcp://rebound.test:{port}"]"#)
        .short(),
        tries(Word::Network, "network-socket-storm", &["storm 127.0.0.1:1", "storm 192.0.2.1:443"])
            .granted(r#"network = ["tcp://127.0.0.1:1"]"#),
    ]
}
