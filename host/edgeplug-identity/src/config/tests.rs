use super::*;

#[test]
fn the_ways_to_a_tpm_are_read_and_printed_alike() {
    for text in [
        "device:/dev/tpmrm0",
        "swtpm:host=127.0.0.1,port=2321",
        "swtpm:host=::1,port=2321",
        "mssim:host=tpm-1.example.org,port=65535",
        "tabrmd",
    ] {
        assert_eq!(text.parse::<Tcti>().unwrap().to_string(), text);
    }
    assert_eq!("swtpm:port=2321,host=localhost".parse(), Ok(Tcti::Swtpm { host: "localhost".to_owned(), port: 2321 }));
}

#[test]
fn a_way_that_leaves_anything_to_the_librarys_search_is_refused() {
    for text in [
        "",
        "device",
        "device:",
        "device:tpm0",
        "device:/dev/tpm\0",
        "swtpm",
        "swtpm:",
        "swtpm:port=2321",
        "swtpm:host=localhost",
        "swtpm:host=,port=1",
        "swtpm:host=a b,port=1",
        "swtpm:host=a,port=0",
        "swtpm:host=a,port=65536",
        "swtpm:host=a,prot=1",
        "swtpm:host=a,port=1,port=2",
        "mssim:2321",
        "cmd:sh -c reboot",
        "libtss2-tcti-device.so:/dev/tpm0",
        "tabrmd:bus_name=x",
    ] {
        let refused = text.parse::<Tcti>().unwrap_err();
        assert!(refused.to_string().contains("device:/dev/tpmrm0"), "{text}");
    }
}

#[test]
fn passwords_print_as_dots() {
    let mut config = TpmConfig::new(Tcti::Tabrmd, "/var/lib/hub-key");
    config.owner_auth = Some("open sesame".to_owned().into());
    assert!(!format!("{config:?}").contains("sesame"));
}
