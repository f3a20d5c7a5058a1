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
