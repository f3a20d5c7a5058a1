//! Generated from `wit/`: one world with every import, and one small world per export, so that each export can be
//! looked for on its own and a component may have any of them.

// The generated code wants `pub`; nothing of it leaves the crate.
#![allow(unreachable_pub)]

/// Everything a guest may call; [`crate::host`] implements it.
pub mod imports {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "imports",
        imports: {
            "edgeplug:plugin/telemetry.send": async | trappable,
            "edgeplug:plugin/files.read": async | trappable,
            "edgeplug:plugin/files.find": async | trappable,
        },
    });
}

pub use imports::edgeplug::plugin::{config, device, files, log, telemetry, types};

pub mod sensor {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "package edgeplug:host; world exports-sensor { export edgeplug:plugin/sensor@0.1.0; }",
        world: "edgeplug:host/exports-sensor",
        exports: { default: async },
        with: { "edgeplug:plugin/types": crate::bindings::types },
    });
}

pub mod commands {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "package edgeplug:host; world exports-commands { export edgeplug:plugin/commands@0.1.0; }",
        world: "edgeplug:host/exports-commands",
        exports: { default: async },
    });
}

pub mod lifecycle {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "package edgeplug:host; world exports-lifecycle { export edgeplug:plugin/lifecycle@0.1.0; }",
        world: "edgeplug:host/exports-lifecycle",
        exports: { default: async },
    });
}
