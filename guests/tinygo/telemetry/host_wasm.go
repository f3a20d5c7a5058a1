package telemetry

import (
	"edgeplug"
	"edgeplug/internal/convert"
	wit "edgeplug/internal/wit/imports/edgeplug_plugin_telemetry"
)

func send(samples []edgeplug.Sample) []Outcome {
	told := wit.Send(convert.Samples(samples))
	outcomes := make([]Outcome, 0, len(told))
	for _, one := range told {
		outcome := Outcome{Fate: Fate(one.Tag())}
		if outcome.Fate == Rejected {
			outcome.Reason = one.Rejected()
		}
		outcomes = append(outcomes, outcome)
	}
	return outcomes
}
