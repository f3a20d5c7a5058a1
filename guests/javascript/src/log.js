import { host } from "./host.js";

const say = (level) => (message) => host().log.log(level, String(message).toWellFormed());

export const trace = say("trace");
export const debug = say("debug");
export const info = say("info");
export const warn = say("warn");
export const error = say("error");
