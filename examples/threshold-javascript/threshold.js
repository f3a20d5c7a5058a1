// Switches cooling on above one temperature and off below another. The thresholds are desired properties of the twin,
// kept for times without a connection; what is so is reported there, and sent as readings.
import {
  CommandFailed,
  Failure,
  Reply,
  Sample,
  config,
  decode,
  encode,
  files,
  log,
  state,
  telemetry,
  twin,
} from "../../guests/javascript/edgeplug.js";

/** Where thresholds are kept that came from the twin or by command, and what the twin wanted when they did. */
const KEPT = "thresholds";
const MODES = ["auto", "on", "off"];

export default class Threshold {
  mode = "auto";
  cooling = false;
  /** The desired properties that concern this plugin, all of them. */
  desired = {};
  /** Why the desired thresholds are not those in force, null when they are. */
  refused = null;
  /** What was last reported, as JSON: the twin is written only when something changed. */
  reported = null;

  start() {
    this.sensor = config.get("sensor");
    if (this.sensor === null)
      throw new Failure("[config] `sensor` is missing: the file that holds the temperature, in 1/1000 °C");
    this.defaults = { on_above_c: config.number("on_above_c", 70), off_below_c: config.number("off_below_c", 60) };
    const wrong = fault(this.defaults);
    if (wrong) throw new Failure(`[config] ${wrong}`);
    this.thresholds = this.defaults;
    const kept = state.getText(KEPT);
    if (kept !== null) ({ thresholds: this.thresholds, desired: this.desired } = JSON.parse(kept));
  }

  sample() {
    this.temperature = this.measured();
    this.decide();
    this.report();
    return this.reading();
  }

  desiredChanged(change) {
    const desired = this.merged(change);
    // All of it comes again with every connection; what a command set since then stays.
    if (JSON.stringify(desired) === JSON.stringify(this.desired)) return;
    const wanted = { ...this.defaults, ...desired };
    const refused = fault(wanted);
    if (refused === null) this.adopt(wanted, desired);
    else this.desired = desired;
    this.refused = refused;
    this.decideNow();
  }

  connectionChanged(connected) {
    if (connected) this.report();
  }

  handle(command) {
    const words = command.arguments.split(/\s+/);
    switch (command.name) {
      case "status":
        return this.status();
      case "cooling":
        if (!MODES.includes(words[0])) throw new CommandFailed(`cooling is one of ${MODES.join(", ")}`);
        this.mode = words[0];
        break;
      case "thresholds": {
        const [on_above_c, off_below_c] = words.map(Number);
        const wrong =
          words.length === 2 ? fault({ on_above_c, off_below_c }) : "give two temperatures: on above, off below";
        if (wrong) throw new CommandFailed(wrong);
        this.adopt({ on_above_c, off_below_c });
        this.refused = null;
        break;
      }
      default:
        throw new CommandFailed(`no command ${command.name}; there are: status, cooling, thresholds`);
    }
    this.decideNow();
    return Reply.done(this.status());
  }

  // A new version goes on with what this one had on, so that nothing is switched by an update.
  saveState() {
    return encode(JSON.stringify({ mode: this.mode, cooling: this.cooling }));
  }

  restoreState(saved) {
    const { mode, cooling } = JSON.parse(decode(saved));
    if (!MODES.includes(mode)) throw new Failure(`there is no mode ${mode} in this version`);
    Object.assign(this, { mode, cooling: cooling === true });
  }

  measured() {
    const text = files.readText(this.sensor);
    const temperature = Number(text.trim() || NaN) / 1000;
    if (Number.isNaN(temperature)) throw new Failure(`${this.sensor} holds no number: ${JSON.stringify(text)}`);
    return temperature;
  }

  /** The desired properties after a change: a part leaves what it does not name as it was, null takes away. */
  merged({ complete, values }) {
    const desired = complete ? {} : { ...this.desired };
    for (const name of Object.keys(this.defaults)) {
      if (!Object.hasOwn(values, name)) continue;
      if (values[name] === null) delete desired[name];
      else desired[name] = values[name];
    }
    return desired;
  }

  /** What cannot be kept is not in force either: the error says so to whoever asked, and the next connection asks again. */
  adopt(thresholds, desired = this.desired) {
    state.set(KEPT, JSON.stringify({ thresholds, desired }));
    Object.assign(this, { thresholds, desired });
  }

  /** Says whether cooling was switched. */
  decide() {
    const before = this.cooling;
    if (this.mode !== "auto") this.cooling = this.mode === "on";
    else if (this.temperature > this.thresholds.on_above_c) this.cooling = true;
    else if (this.temperature < this.thresholds.off_below_c) this.cooling = false;
    if (this.cooling !== before)
      log.info(`cooling ${this.cooling ? "on" : "off"} at ${this.temperature} °C, ${this.mode}`);
    return this.cooling !== before;
  }

  /** Between two samples: a switch is told at once. */
  decideNow() {
    if (this.temperature === undefined) return;
    if (this.decide()) telemetry.send(this.reading());
    this.report();
  }

  reading() {
    return new Sample({ temperature: this.temperature, cooling: this.cooling });
  }

  status() {
    const { on_above_c, off_below_c } = this.thresholds;
    const temperature = this.temperature === undefined ? "not measured yet" : `${this.temperature} °C`;
    const cooling = `cooling ${this.cooling ? "on" : "off"} (${this.mode})`;
    return `${temperature}, ${cooling}, on above ${on_above_c}, off below ${off_below_c}`;
  }

  report() {
    const now = JSON.stringify({ ...this.thresholds, mode: this.mode, cooling: this.cooling, refused: this.refused });
    if (now === this.reported) return;
    try {
      twin.report(now);
      this.reported = now;
    } catch (error) {
      // The next sample tries again.
      if (error.kind !== "unavailable") log.warn(`the twin was not reported: ${error.message}`);
    }
  }
}

/** What is wrong with two thresholds, null when nothing is. */
function fault({ on_above_c, off_below_c }) {
  if (!Number.isFinite(on_above_c) || !Number.isFinite(off_below_c))
    return "on_above_c and off_below_c must be numbers";
  if (off_below_c > on_above_c) return `off_below_c (${off_below_c}) must not be above on_above_c (${on_above_c})`;
  return null;
}
