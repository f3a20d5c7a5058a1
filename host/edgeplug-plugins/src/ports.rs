//! The interfaces that a component may export, each looked for on its own.

use wasmtime::component::{Instance, InstancePre};

use crate::bindings::commands::{ExportsCommands, ExportsCommandsIndices};
use crate::bindings::connection_events::{ExportsConnectionEvents, ExportsConnectionEventsIndices};
use crate::bindings::firmware::{ExportsFirmware, ExportsFirmwareIndices};
use crate::bindings::lifecycle::{ExportsLifecycle, ExportsLifecycleIndices};
use crate::bindings::sensor::{ExportsSensor, ExportsSensorIndices};
use crate::bindings::transform::{ExportsTransform, ExportsTransformIndices};
use crate::bindings::twin_events::{ExportsTwinEvents, ExportsTwinEventsIndices};
use crate::host::State;
use edgeplug_engine::Exports;

/// The generated types have no trait in common, so no function could go over them.
macro_rules! ports {
    ($($name:ident: $indices:ty => $port:ty,)+) => {
        /// Which of them a component has, and where in it.
        pub(crate) struct Indices {
            $($name: Option<$indices>,)+
        }

        /// Those of one instance.
        #[derive(Default)]
        pub(crate) struct Ports {
            $(pub(crate) $name: Option<$port>,)+
        }

        impl Indices {
            pub(crate) fn find(component: &InstancePre<State>) -> Self {
                Self { $($name: <$indices>::new(component).ok(),)+ }
            }

            pub(crate) fn exports(&self) -> Exports {
                Exports { $($name: self.$name.is_some(),)+ }
            }

            /// Fails when a function has another type than it should.
            pub(crate) fn load(
                &self,
                mut store: impl wasmtime::AsContextMut,
                instance: &Instance,
            ) -> wasmtime::Result<Ports> {
                Ok(Ports {
                    $($name: match &self.$name {
                        Some(indices) => Some(indices.load(&mut store, instance)?),
                        None => None,
                    },)+
                })
            }
        }
    };
}

ports! {
    sensor: ExportsSensorIndices => ExportsSensor,
    commands: ExportsCommandsIndices => ExportsCommands,
    twin_events: ExportsTwinEventsIndices => ExportsTwinEvents,
    connection_events: ExportsConnectionEventsIndices => ExportsConnectionEvents,
    firmware: ExportsFirmwareIndices => ExportsFirmware,
    lifecycle: ExportsLifecycleIndices => ExportsLifecycle,
    transform: ExportsTransformIndices => ExportsTransform,
}
