package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"edgeplug"
	"edgeplug/acks"
	"edgeplug/config"
	"edgeplug/device"
	"edgeplug/files"
	"edgeplug/hardware"
	"edgeplug/log"
	"edgeplug/state"
	"edgeplug/telemetry"
	"edgeplug/twin"
)

// What the guest answers to the commands that need nothing of its own, by verb.
var answers = map[string]func(argument string) edgeplug.Reply{
	"echo": func(argument string) edgeplug.Reply { return edgeplug.Done(argument) },
	"fail": func(argument string) edgeplug.Reply { return edgeplug.Failed(argument) },
	"trap": func(string) edgeplug.Reply { panic("deliberate") },
	"finish": func(argument string) edgeplug.Reply {
		return edgeplug.Done(finish(argument, edgeplug.Failed("given up")))
	},
	"progress": progress,
	"outcomes": outcomes,
	"send":     send,
	"integers": integers,
	"numbers":  numbers,
	"twin":     readTwin,
	"report":   report,
	"state-set": func(argument string) edgeplug.Reply {
		key, text, _ := strings.Cut(argument, " ")
		return kept(state.Set(key, []byte(text)))
	},
	"state-bytes":  stateBytes,
	"state-get":    func(argument string) edgeplug.Reply { return got(argument, "%s") },
	"state-hex":    func(argument string) edgeplug.Reply { return got(argument, "%x") },
	"state-delete": func(argument string) edgeplug.Reply { return kept(state.Delete(argument)) },
	"state-keys":   stateKeys,
	"config":       func(argument string) edgeplug.Reply { return edgeplug.Done(configured(argument)) },
	"config-all":   configAll,
	"device":       describeDevice,
	"template":     template,
	"read":         func(argument string) edgeplug.Reply { return content(files.Read(argument)) },
	"read-at":      readAt,
	"find":         find,
	"hardware":     useHardware,
	"disconnect":   func(string) edgeplug.Reply { return done(device.Disconnect()) },
	"reconnect":    func(string) edgeplug.Reply { return done(device.Reconnect()) },
	"log":          speak,
	"print":        print,
}

func done(err error) edgeplug.Reply {
	if err != nil {
		return edgeplug.Failed(err.Error())
	}
	return edgeplug.Done("ok")
}

func progress(argument string) edgeplug.Reply {
	words := strings.SplitN(argument, " ", 3)
	if len(words) != 3 {
		return edgeplug.Failed("not <id> <percent> <text>")
	}
	percent, err := strconv.ParseUint(words[1], 10, 8)
	if err != nil {
		return edgeplug.Failed(err.Error())
	}
	acks.Progress(words[0], uint8(percent), words[2])
	return edgeplug.Done("ok")
}

func outcomes(string) edgeplug.Reply {
	var samples []edgeplug.Sample
	for i, name := range []string{"a", "b", "c", "d"} {
		samples = append(samples, edgeplug.NewSample(name, edgeplug.Integer(i+1)))
	}
	var words []string
	for _, outcome := range telemetry.Send(samples...) {
		switch outcome.Fate {
		case telemetry.Accepted:
			words = append(words, "accepted")
		case telemetry.AcceptedInMemory:
			words = append(words, "accepted-in-memory")
		case telemetry.HeldBack:
			words = append(words, "held-back")
		case telemetry.Rejected:
			words = append(words, "rejected: "+outcome.Reason)
		}
	}
	return edgeplug.Done(strings.Join(words, ", "))
}

func send(argument string) edgeplug.Reply {
	count, err := strconv.Atoi(argument)
	if err != nil {
		return edgeplug.Failed(err.Error())
	}
	samples := make([]edgeplug.Sample, 0, count)
	for i := range count {
		samples = append(samples, edgeplug.NewSample("n", edgeplug.Integer(i)))
	}
	accepted, not := 0, 0
	for _, outcome := range telemetry.Send(samples...) {
		if outcome.Accepted() {
			accepted++
		} else {
			not++
		}
	}
	return edgeplug.Done(fmt.Sprintf("%d accepted, %d not", accepted, not))
}

func integers(string) edgeplug.Reply {
	var words []string
	for _, one := range []struct {
		name  string
		value edgeplug.Integer
	}{{"min", math.MinInt64}, {"max", math.MaxInt64}, {"safe", 1<<53 - 1}} {
		word := "ok"
		for _, outcome := range telemetry.Send(edgeplug.NewSample(one.name, one.value)) {
			if !outcome.Accepted() {
				word = "not accepted"
			}
		}
		words = append(words, one.name+" "+word)
	}
	return edgeplug.Done(strings.Join(words, ", "))
}

func numbers(string) edgeplug.Reply {
	sample := edgeplug.NewSample("nan", edgeplug.Number(math.NaN()))
	sample.Add("inf", edgeplug.Number(math.Inf(1)))
	sample.Add("neg", edgeplug.Number(math.Inf(-1)))
	sample.Add("zero", edgeplug.Number(math.Copysign(0, -1)))
	sample.Add("tiny", edgeplug.Number(math.SmallestNonzeroFloat64))
	sample.Add("big", edgeplug.Number(math.MaxFloat64))
	telemetry.Send(sample)
	return edgeplug.Done("ok")
}

func readTwin(string) edgeplug.Reply {
	document, err := twin.Get()
	if err != nil {
		return twinFailure(err)
	}
	return edgeplug.Done(fmt.Sprintf("desired %s v%d, reported %s v%d",
		document.Desired, document.DesiredVersion, document.Reported, document.ReportedVersion))
}

func report(argument string) edgeplug.Reply {
	version, err := twin.Report(argument)
	if err != nil {
		return twinFailure(err)
	}
	return edgeplug.Done(fmt.Sprintf("version %d", version))
}

func twinFailure(err error) edgeplug.Reply {
	var refused *twin.RefusedError
	switch {
	case errors.Is(err, twin.ErrUnavailable):
		return edgeplug.Failed("unavailable: " + err.Error())
	case errors.Is(err, twin.ErrInvalid):
		return edgeplug.Failed("invalid: " + err.Error())
	case errors.As(err, &refused):
		return edgeplug.Failed(fmt.Sprintf("refused: %d", refused.Status))
	}
	return edgeplug.Failed("unexpected: " + err.Error())
}

func stateBytes(argument string) edgeplug.Reply {
	var all [256]byte
	for i := range all {
		all[i] = byte(i)
	}
	return kept(state.Set(argument, all[:]))
}

func got(key, format string) edgeplug.Reply {
	value, err := state.Get(key)
	switch {
	case err != nil:
		return kept(err)
	case value == nil:
		return edgeplug.Done("(none)")
	}
	return edgeplug.Done(fmt.Sprintf(format, value))
}

func stateKeys(string) edgeplug.Reply {
	keys, err := state.Keys()
	if err != nil {
		return kept(err)
	}
	return edgeplug.Done(strings.Join(keys, ","))
}

func kept(err error) edgeplug.Reply {
	switch {
	case err == nil:
		return edgeplug.Done("ok")
	case errors.Is(err, state.ErrQuota):
		return edgeplug.Failed("quota: " + err.Error())
	}
	return edgeplug.Failed("unavailable: " + err.Error())
}

func configAll(string) edgeplug.Reply {
	var pairs []string
	for key, value := range config.All() {
		pairs = append(pairs, key+"="+value)
	}
	return edgeplug.Done(strings.Join(pairs, ";"))
}

func describeDevice(string) edgeplug.Reply {
	word := "disconnected"
	if device.Connected() {
		word = "connected"
	}
	return edgeplug.Done(device.UniqueID() + ", " + word)
}

func template(string) edgeplug.Reply {
	model := device.Template()
	if model == nil {
		return edgeplug.Done("none")
	}
	form := "plain"
	if model.Edge {
		form = "edge"
	}
	parts := []string{fmt.Sprintf("every %d s", model.FrequencyS), form}
	for _, attribute := range model.Attributes {
		part := fmt.Sprintf("%s:%s:%s:%s", attribute.Name, attribute.Kind, attribute.Tag, attribute.Validity)
		var members []string
		for _, member := range attribute.Members {
			members = append(members, fmt.Sprintf("%s:%s:%s", member.Name, member.Kind, member.Validity))
		}
		if len(members) > 0 {
			part += "{" + strings.Join(members, ",") + "}"
		}
		parts = append(parts, part)
	}
	for _, setting := range model.Settings {
		parts = append(parts, fmt.Sprintf("set %s:%s:%s", setting.Name, setting.Kind, setting.Validity))
	}
	for _, child := range model.Children {
		parts = append(parts, fmt.Sprintf("child %s:%s", child.UniqueID, child.Tag))
	}
	return edgeplug.Done(strings.Join(parts, " | "))
}

func readAt(argument string) edgeplug.Reply {
	words := strings.SplitN(argument, " ", 3)
	if len(words) != 3 {
		return edgeplug.Failed("not <offset> <length> <path>")
	}
	offset, err := strconv.ParseUint(words[0], 10, 64)
	if err != nil {
		return edgeplug.Failed(err.Error())
	}
	length, err := strconv.ParseUint(words[1], 10, 32)
	if err != nil {
		return edgeplug.Failed(err.Error())
	}
	return content(files.ReadAt(words[2], offset, uint32(length)))
}

func find(argument string) edgeplug.Reply {
	paths, err := files.Find(argument)
	return content([]byte(strings.Join(paths, ",")), err)
}

func content(bytes []byte, err error) edgeplug.Reply {
	var tooLarge *files.TooLargeError
	switch {
	case err == nil:
		return edgeplug.Done(bytes)
	case errors.Is(err, files.ErrDenied):
		return edgeplug.Failed("denied")
	case errors.Is(err, files.ErrNotFound):
		return edgeplug.Failed("not-found")
	case errors.As(err, &tooLarge):
		return edgeplug.Failed(fmt.Sprintf("too-large %d", tooLarge.LimitBytes))
	}
	return edgeplug.Failed("other: " + errors.Unwrap(err).Error())
}

func useHardware(string) edgeplug.Reply {
	_, i2c := hardware.I2C("bus").Transaction(0x40, hardware.Write{1, 2}, hardware.Read(1))
	_, spi := hardware.SPI("device").Transaction(hardware.Transfer{1})
	_, gpio := hardware.Line("line").Read()
	_, serial := hardware.Port("port").Write([]byte{65})
	return edgeplug.Done(fmt.Sprintf("i2c %s, spi %s, gpio %s, serial %s",
		hardwareOutcome(i2c), hardwareOutcome(spi), hardwareOutcome(gpio), hardwareOutcome(serial)))
}

func hardwareOutcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, hardware.ErrDenied):
		return "denied"
	case errors.Is(err, hardware.ErrNoDevice):
		return "no-device"
	case errors.Is(err, hardware.ErrTimedOut):
		return "timed-out"
	case errors.Is(err, hardware.ErrTooMuch):
		return "too-much"
	}
	return "other"
}

func speak(string) edgeplug.Reply {
	log.Tracef("trace ☃")
	log.Debugf("debug ☃")
	log.Infof("info ☃")
	log.Warnf("warn ☃")
	log.Errorf("error ☃")
	return edgeplug.Done("ok")
}

func print(string) edgeplug.Reply {
	fmt.Println("to standard output")
	fmt.Fprintln(os.Stderr, "to standard error")
	return edgeplug.Done("ok")
}
