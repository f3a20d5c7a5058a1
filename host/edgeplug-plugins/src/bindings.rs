//! Generated from `wit/`: two worlds with every import, and one small world per export, so that each export can be
//! looked for on its own and a component may have any of them. The shared types are the same in all of them.

// The generated code wants `pub`; nothing of it leaves the crate.
#![allow(unreachable_pub)]

/// Everything a guest may call but hardware; [`crate::host`] implements it.
pub mod imports {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "imports",
        imports: {
            "edgeplug:plugin/telemetry.send": async | trappable,
            "edgeplug:plugin/device.disconnect": async | trappable,
            "edgeplug:plugin/device.reconnect": async | trappable,
            "edgeplug:plugin/twin.get": async | trappable,
            "edgeplug:plugin/twin.report": async | trappable,
            "edgeplug:plugin/acks.finish": async | trappable,
            "edgeplug:plugin/state.get": async | trappable,
            "edgeplug:plugin/state.set": async | trappable,
            "edgeplug:plugin/state.delete": async | trappable,
            "edgeplug:plugin/state.keys": async | trappable,
            "edgeplug:plugin/files.read": async | trappable,
            "edgeplug:plugin/files.read-at": async | trappable,
            "edgeplug:plugin/files.find": async | trappable,
            "edgeplug:plugin/firmware-file.read": async | trappable,
        },
    });
}

/// Buses, lines and ports.
pub mod hardware {
    wasmtime::component::bindgen!({ path: "../../wit", world: "hardware" });
}

pub use hardware::edgeplug::plugin::{gpio, hardware_types, i2c, serial, spi};
pub use imports::edgeplug::plugin::{acks, config, device, files, firmware_file, log, state, telemetry, twin, types};

pub mod sensor {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "package edgeplug:host; world exports-sensor { export edgeplug:plugin/sensor@0.2.0; }",
        world: "edgeplug:host/exports-sensor",
        exports: { default: async },
        with: { "edgeplug:plugin/types": crate::bindings::types },
    });
}

pub mod commands {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "package edgeplug:host; world exports-commands { export edgeplug:plugin/commands@0.2.0; }",
        world: "edgeplug:host/exports-commands",
        exports: { default: async },
        with: { "edgeplug:plugin/types": crate::bindings::types },
    });
}

pub mod twin_events {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "package edgeplug:host; world exports-twin-events { export edgeplug:plugin/twin-events@0.2.0; }",
        world: "edgeplug:host/exports-twin-events",
        exports: { default: async },
    });
}

pub mod connection_events {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "package edgeplug:host; world exports-connection-events { export edgeplug:plugin/connection-events@0.2.0; }",
        world: "edgeplug:host/exports-connection-events",
        exports: { default: async },
    });
}

pub mod firmware {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "package edgeplug:host; world exports-firmware { export edgeplug:plugin/firmware@0.2.0; }",
        world: "edgeplug:host/exports-firmware",
        exports: { default: async },
        with: { "edgeplug:plugin/types": crate::bindings::types },
    });
}

pub mod lifecycle {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "package edgeplug:host; world exports-lifecycle { export edgeplug:plugin/lifecycle@0.2.0; }",
        world: "edgeplug:host/exports-lifecycle",
        exports: { default: async },
    });
}

pub mod transform {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "package edgeplug:host; world exports-transform { export edgeplug:plugin/transform@0.2.0; }",
        world: "edgeplug:host/exports-transform",
        exports: { default: async },
        with: { "edgeplug:plugin/types": crate::bindings::types },
    });
}
