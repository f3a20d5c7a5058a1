// Package sensor is for plugins that measure: the daemon owns the schedule and asks. Importing it exports the
// interface.
package sensor

import "edgeplug"

// Sampler measures.
type Sampler interface {
	// Sample is called once per interval (`interval_s` or `interval_ms` in the manifest). No samples are a good answer.
	// An error is logged and counted; the plugin keeps running and is asked again. The bounds are those of
	// telemetry.Send.
	Sample() ([]edgeplug.Sample, error)
}

// Export says who answers the daemon. Call it in an init function.
func Export(sampler Sampler) { exported = sampler }

var exported Sampler
