// Measures how busy the machine is. A plugin to start from.
import { CommandFailed, Failure, Sample, config, files, log } from "./sdk/edgeplug.js";

/** What the manifest asks to read. */
const LOADAVG = "/proc/loadavg";

export default class Load {
  start() {
    // From the manifest; readings are multiplied by it.
    this.factor = config.number("factor", 1);
    log.info(`started with a factor of ${this.factor}`);
  }

  sample() {
    const text = files.readText(LOADAVG);
    const load = Number.parseFloat(text);
    if (Number.isNaN(load)) throw new Failure(`${LOADAVG} holds no number: ${JSON.stringify(text)}`);
    return new Sample({ load: load * this.factor });
  }

  handle(command) {
    if (command.name === "ping") return "pong";
    throw new CommandFailed(`there is no command ${JSON.stringify(command.name)}; there is: ping`);
  }
}
