//! Bodies from the cloud, in either protocol.

#![no_main]

use edgeplug_protocol::c2d::CloudMessage;
use edgeplug_protocol::template::Device;
use edgeplug_protocol::version::Version;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let device = |id: &str, tag: &str| Device { id: id.into(), tag: tag.into() };
    let devices = [device("GW", "gw"), device("C1", "c"), device("C2", "c")];
    for version in [Version::Legacy, Version::V21] {
        match CloudMessage::parse(version, body) {
            CloudMessage::Command(command) => {
                let _ = command.target("CP", "GW", &devices);
            }
            CloudMessage::Ota(ota) => {
                let targets = ota.targets("CP", "GW", &devices);
                assert!(!targets.is_empty(), "somebody has to answer");
                for (index, (target, files)) in targets.iter().enumerate() {
                    assert!(!targets[..index].iter().any(|(other, _)| other == target), "two answers of one device");
                    assert!(files.len() <= ota.files.len(), "a file twice for one device");
                }
                for name in ota.files.iter().filter_map(|file| file.file_name()) {
                    assert!(
                        !name.contains(['/', '\\', '\0']) && name != "." && name != ".." && !name.is_empty(),
                        "{name:?}"
                    );
                }
            }
            _ => {}
        }
    }
});
