// Package telemetry sends readings of the plugin's own accord, beside what a sensor returns.
package telemetry

import (
	"errors"

	"edgeplug"
)

// Fate is what became of a sample.
type Fate uint8

const (
	// Accepted is committed to the daemon's store: it survives a crash and a power cut, and reaches the cloud sooner or
	// later.
	Accepted Fate = iota
	// AcceptedInMemory is taken into the daemon's memory only, because the operator chose so: a crash loses it.
	AcceptedInMemory
	// HeldBack is dropped on purpose: it came sooner than the cloud wants readings (device.Model.FrequencyS).
	HeldBack
	// Rejected is not taken; nothing of the sample was kept.
	Rejected
)

// Outcome is what became of one sample.
type Outcome struct {
	Fate Fate
	// Reason is why it was rejected, empty otherwise.
	Reason string
}

// Accepted is whether the daemon has it, in its store or, where the operator chose so, in its memory.
func (o Outcome) Accepted() bool { return o.Fate == Accepted || o.Fate == AcceptedInMemory }

// Err is why it was rejected, nil otherwise.
func (o Outcome) Err() error {
	if o.Fate == Rejected {
		return errors.New(o.Reason)
	}
	return nil
}

// Send sends up to 1000 samples, at most 240 KB of names and texts and 16 bytes for every value, and waits until the
// daemon's store has them; the wait does not count against the deadline of the call that the plugin is in. The answer
// has one outcome per sample, in the order given. More at once is rejected whole.
func Send(samples ...edgeplug.Sample) []Outcome { return send(samples) }
