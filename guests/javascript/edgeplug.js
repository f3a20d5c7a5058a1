// Write plugins for the Edgeplug daemon in JavaScript. What is here is described in edgeplug.d.ts.
export * as acks from "./src/acks.js";
export * as config from "./src/config.js";
export * as device from "./src/device.js";
export * as files from "./src/files.js";
export * as hardware from "./src/hardware.js";
export * as log from "./src/log.js";
export * as state from "./src/state.js";
export * as telemetry from "./src/telemetry.js";
export * as twin from "./src/twin.js";
export { abort } from "./src/host.js";
export { Command, CommandFailed, DEFERRED, DesiredChange, Failure, Firmware, Reply } from "./src/requests.js";
export { decode, encode } from "./src/utf8.js";
export { LatLong, Moment, RoundedInteger, Sample, number } from "./src/values.js";
