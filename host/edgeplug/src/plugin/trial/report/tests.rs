use edgeplug_protocol::time::Timestamp;

use super::*;

#[test]
fn a_reading_is_one_line() {
    let sample = Sample {
        device: Some("cellar".to_owned()),
        time: Some(Timestamp::from_unix_ms(0)),
        values: vec![("load".to_owned(), json!(0.5)), ("door".to_owned(), json!("open"))],
    };
    assert_eq!(reading(&sample), "load=0.5 door=\"open\" of cellar at 1970-01-01T00:00:00.000Z");
}

#[test]
fn what_a_plugin_says_stays_on_its_line() {
    let forged = "x\n     9.999  end         0 calls, 0 failed\u{1b}[2J\u{202e}";
    assert_eq!(one_line(forged), "x\\n     9.999  end         0 calls, 0 failed\\u{1b}[2J\\u{202e}");
    assert_eq!(one_line("21.5 °C, größer"), "21.5 °C, größer");
}
