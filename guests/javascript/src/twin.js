import { exact, host, told } from "./host.js";

/** The twin could not be read or changed; `kind` says how. */
export class TwinError extends Error {
  name = "TwinError";

  constructor({ tag, val }) {
    super(tag === "refused" ? `the hub refused with status ${val}` : val);
    this.kind = tag;
    this.status = tag === "refused" ? val : null;
  }
}

/** The whole twin. */
class Document {
  constructor({ desired, desiredVersion, reported, reportedVersion }) {
    this.desired = desired;
    this.desiredVersion = exact("the version of the twin", desiredVersion);
    this.reported = reported;
    this.reportedVersion = exact("the version of the twin", reportedVersion);
  }

  get desiredValues() {
    return JSON.parse(this.desired);
  }

  get reportedValues() {
    return JSON.parse(this.reported);
  }
}

export function get() {
  return new Document(
    told(
      () => host().twin.get(),
      (error) => new TwinError(error),
    ),
  );
}

export function report(patch) {
  const text = typeof patch === "string" ? patch : JSON.stringify(patch);
  const version = told(
    () => host().twin.report(text.toWellFormed()),
    (error) => new TwinError(error),
  );
  return exact("the version of the twin", version);
}
