use super::*;

#[test]
fn every_world_of_the_interface_is_found() {
    for name in ["sensor-plugin", "controller-plugin", "plugin", "imports", "hardware"] {
        let (resolve, world) = world(name).unwrap();
        assert_eq!(resolve.worlds[world].name, name);
    }
}

#[test]
fn a_list_of_exports_is_a_world_of_its_own() {
    let (resolve, id) = world("commands, sensor").unwrap();
    assert_eq!(resolve.worlds[id].name, "guest");
    assert_eq!(exports(&resolve, id), ["sensor", "commands"]);
    let imports = resolve.worlds[id].imports.values();
    let imports: Vec<_> = imports.filter_map(|item| short_name(&resolve, item)).collect();
    assert!(imports.contains(&"telemetry") && imports.contains(&"i2c"), "{imports:?}");
}

#[test]
fn an_unknown_name_is_answered_with_what_there_is() {
    let words = world("sensor,dance").unwrap_err().to_string();
    assert!(words.contains("\"dance\"") && words.contains("sensor-plugin") && words.contains("transform"), "{words}");
    assert!(world("").is_err());
}
