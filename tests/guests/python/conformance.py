"""The conformance guest (../GUEST.md) in Python."""

import sys

from edgeplug import DEFERRED, CommandFailed, Failure, LatLong, Moment, Plugin, Reply, Sample
from edgeplug import acks, config, device, files, hardware, log, state, telemetry, twin
from wit_world.imports.spi import Operation_Transfer


class Conformance(Plugin):
    def __init__(self):
        self.calls = 0
        self.deferred = []

    def start(self):
        log.info(f"start: {config.get('greeting', '(none)')}")
        if config.get("refuse") == "start":
            raise Failure("refused to start")

    def stop(self):
        log.info("stop")

    def save_state(self):
        return f"calls={self.calls}".encode()

    def restore_state(self, saved):
        if config.get("refuse") == "restore":
            raise Failure(f"cannot go on from {saved.decode()}")
        self.calls = int(saved.decode().removeprefix("calls="))
        log.info(f"restored calls={self.calls}")

    def sample(self):
        self.calls += 1
        for id in self.deferred:
            log.info(f"finish {id}: {finish(id, Reply.done('late'))}")
        self.deferred.clear()
        if config.get("bad") == "sample":
            raise Failure("no reading")
        return [
            Sample(calls=self.calls),
            Sample(
                on=True,
                count=-7,
                ratio=0.1,
                name="Füße ☃ 𝄞",
                place=LatLong(52.5, -13.25),
                axes={"x": -0.5, "n": 3, "ok": False, "unit": "g"},
                device="child-1",
                time=Moment(1_700_000_000, 123_456_789),
            ),
        ]

    def desired_changed(self, change):
        log.info(f"desired {change.version} {'complete' if change.complete else 'partial'} {change.json}")
        if change.json == '{"reject":true}':
            raise Failure(f"rejected version {change.version}")

    def connection_changed(self, connected, reason):
        log.info("connected" if connected else f"disconnected: {reason}")

    def update(self, firmware):
        log.info(
            f"update {firmware.id} for {firmware.device or 'self'} {firmware.name} {firmware.version} "
            f"{firmware.size} {firmware.sha256}"
        )
        if firmware.name == "later.bin":
            return DEFERRED
        total = length = 0
        while piece := firmware.read(length, 4096):
            total = (total + sum(piece)) % (1 << 32)
            length += len(piece)
        return f"sum {total} of {length} bytes"

    def transform(self, samples):
        for sample in samples:
            for name, value in sample.values.items():
                if value == "bad":
                    raise Failure(f"bad text in {name}")
            sample.values["mirrored"] = True
        return samples

    def handle(self, command):
        if command.text.startswith("whoami"):
            return command.device or "self"
        verb, _, argument = command.text.partition(" ")
        handler = getattr(self, "do_" + verb.replace("-", "_"), None)
        if handler is None:
            raise CommandFailed(f"no command {verb}")
        if verb == "defer":
            self.deferred.append(command.id)
        return handler(argument)

    def do_echo(self, argument):
        return argument

    def do_fail(self, argument):
        return Reply.failed(argument)

    def do_error(self, argument):
        raise Failure(argument)

    def do_trap(self, _):
        # An exception would be told as an error; this ends the interpreter.
        raise SystemExit("deliberate")

    def do_defer(self, _):
        return DEFERRED

    def do_finish(self, argument):
        return finish(argument, Reply.failed("given up"))

    def do_progress(self, argument):
        id, percent, message = argument.split(" ", 2)
        acks.progress(id, int(percent), message)
        return "ok"

    def do_outcomes(self, _):
        return ", ".join(str(outcome) for outcome in telemetry.send(Sample({n: i}) for i, n in enumerate("abcd", 1)))

    def do_send(self, argument):
        outcomes = telemetry.send(Sample(n=n) for n in range(int(argument)))
        accepted = sum(outcome.kind == "accepted" for outcome in outcomes)
        return f"{accepted} accepted, {len(outcomes) - accepted} not"

    def do_integers(self, _):
        told = []
        for name, value in [("min", -(1 << 63)), ("max", (1 << 63) - 1), ("safe", (1 << 53) - 1)]:
            try:
                told.append(f"{name} {'ok' if all(telemetry.send(Sample({name: value}))) else 'rejected'}")
            except OverflowError:
                told.append(f"{name} refused")
        return ", ".join(told)

    def do_numbers(self, _):
        inf = float("inf")
        telemetry.send(Sample(nan=float("nan"), inf=inf, neg=-inf, zero=-0.0, tiny=5e-324, big=sys.float_info.max))
        return "ok"

    def do_twin(self, _):
        try:
            found = twin.get()
        except twin.Error as error:
            return Reply.failed(twin_error(error))
        return f"desired {found.desired} v{found.desired_version}, reported {found.reported} v{found.reported_version}"

    def do_report(self, argument):
        try:
            return f"version {twin.report(argument)}"
        except twin.Error as error:
            return Reply.failed(twin_error(error))

    def do_state_set(self, argument):
        key, text = argument.split(" ", 1)
        return kept(lambda: state.set(key, text))

    def do_state_bytes(self, key):
        return kept(lambda: state.set(key, bytes(range(256))))

    def do_state_get(self, key):
        return kept(lambda: state.get_text(key) if state.get(key) is not None else "(none)")

    def do_state_hex(self, key):
        return kept(lambda: (state.get(key) or b"").hex())

    def do_state_delete(self, key):
        return kept(lambda: state.delete(key))

    def do_state_keys(self, _):
        return kept(lambda: ",".join(state.keys()))

    def do_config(self, key):
        return config.get(key, "(none)")

    def do_config_all(self, _):
        return ";".join(f"{key}={value}" for key, value in config.all().items())

    def do_device(self, _):
        return f"{device.unique_id()}, {'connected' if device.connected() else 'disconnected'}"

    def do_template(self, _):
        model = device.template()
        return "none" if model is None else described(model)

    def do_read(self, path):
        return read(lambda: files.read_text(path))

    def do_read_at(self, argument):
        offset, length, path = argument.split(" ", 2)
        return read(lambda: files.read_at(path, int(offset), int(length)).decode())

    def do_find(self, pattern):
        return read(lambda: ",".join(files.find(pattern)))

    def do_hardware(self, _):
        calls = {
            "i2c": lambda: hardware.i2c("bus", 0x40, [bytes([1, 2]), 1]),
            "spi": lambda: hardware.spi("device", [Operation_Transfer(bytes([1]))]),
            "gpio": lambda: hardware.gpio_read("line"),
            "serial": lambda: hardware.serial_write("port", bytes([65])),
        }
        return ", ".join(f"{name} {hardware_outcome(call)}" for name, call in calls.items())

    def do_disconnect(self, _):
        return link(device.disconnect)

    def do_reconnect(self, _):
        return link(device.reconnect)

    def do_log(self, _):
        for say in (log.trace, log.debug, log.info, log.warn, log.error):
            say(f"{say.__name__} ☃")
        return "ok"

    def do_print(self, _):
        print("to standard output", flush=True)
        print("to standard error", file=sys.stderr, flush=True)
        return "ok"


def finish(id, reply):
    try:
        acks.finish(id, reply)
    except acks.Unknown:
        return "unknown"
    except acks.NotYours:
        return "not-yours"
    except acks.Unavailable as error:
        return f"unavailable: {error}"
    return "ok"


def twin_error(error):
    match error:
        case twin.Refused():
            return f"refused: {error.status}"
        case twin.Invalid():
            return f"invalid: {error}"
    return f"unavailable: {error}"


def kept(call):
    try:
        answer = call()
    except state.QuotaExceeded as error:
        return Reply.failed(f"quota: {error}")
    except state.Unavailable as error:
        return Reply.failed(f"unavailable: {error}")
    return "ok" if answer is None else answer


def read(call):
    try:
        return call()
    except PermissionError:
        return Reply.failed("denied")
    except FileNotFoundError:
        return Reply.failed("not-found")
    except files.TooLarge as error:
        return Reply.failed(f"too-large {error.limit}")
    except OSError as error:
        return Reply.failed(f"other: {error}")


def hardware_outcome(call):
    try:
        call()
    except hardware.Error as error:
        return error.kind
    return "ok"


def link(call):
    try:
        call()
    except PermissionError as error:
        return Reply.failed(str(error))
    return "ok"


def described(model):
    def members(attribute):
        inside = ",".join(f"{m.name}:{device.kind_name(m.kind)}:{m.validity}" for m in attribute.members)
        return f"{{{inside}}}" if inside else ""

    parts = [f"every {model.frequency_s} s", "edge" if model.edge else "plain"]
    parts += [f"{a.name}:{device.kind_name(a.kind)}:{a.tag}:{a.validity}{members(a)}" for a in model.attributes]
    parts += [f"set {s.name}:{device.kind_name(s.kind)}:{s.validity}" for s in model.settings]
    parts += [f"child {c.unique_id}:{c.tag}" for c in model.children]
    return " | ".join(parts)
