//go:build !wasm

package telemetry

import (
	"edgeplug"
	"edgeplug/internal/played"
)

func send(samples []edgeplug.Sample) []Outcome {
	told := played.Current().Send(samples)
	outcomes := make([]Outcome, 0, len(told))
	for _, one := range told {
		outcomes = append(outcomes, one.(Outcome))
	}
	return outcomes
}
