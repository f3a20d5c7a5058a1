use super::*;

#[test]
fn a_name_is_one_segment_of_the_path() {
    assert_eq!(segment("bme280-roof_2.x"), "bme280-roof_2.x");
    assert_eq!(segment("../status?x=é"), "..%2Fstatus%3Fx%3D%C3%A9");
}
