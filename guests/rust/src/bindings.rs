//! Generated from `wit/`: the imports once, and each export in a world of its own, so that a plugin can export some of
//! them. `wit/` is a copy of the daemon's, so that this crate builds on its own; the daemon's tests compare the two.

pub mod imports {
    wit_bindgen::generate!({
        path: "wit",
        world: "imports",
        additional_derives: [PartialEq],
        generate_all,
    });
}

pub mod sensor {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package edgeplug:guest; world sensor { export edgeplug:plugin/sensor@0.1.0; }",
        world: "edgeplug:guest/sensor",
        with: { "edgeplug:plugin/types@0.1.0": crate::bindings::imports::edgeplug::plugin::types },
        pub_export_macro: true,
        export_macro_name: "export_sensor",
        default_bindings_module: "edgeplug_guest::bindings::sensor",
    });
}

pub mod commands {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package edgeplug:guest; world commands { export edgeplug:plugin/commands@0.1.0; }",
        world: "edgeplug:guest/commands",
        pub_export_macro: true,
        export_macro_name: "export_commands",
        default_bindings_module: "edgeplug_guest::bindings::commands",
    });
}

pub mod lifecycle {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package edgeplug:guest; world lifecycle { export edgeplug:plugin/lifecycle@0.1.0; }",
        world: "edgeplug:guest/lifecycle",
        pub_export_macro: true,
        export_macro_name: "export_lifecycle",
        default_bindings_module: "edgeplug_guest::bindings::lifecycle",
    });
}
