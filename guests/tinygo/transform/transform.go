// Package transform is for plugins that filter or change other plugins' readings on their way to the store, where the
// operator wired it. Importing it exports the interface.
package transform

import "edgeplug"

// Processor changes readings.
type Processor interface {
	// Process gives what shall be stored in place of the samples. On an error they are stored as they were. The samples
	// are the processor's: it may change them and return them.
	Process(samples []edgeplug.Sample) ([]edgeplug.Sample, error)
}

// Export says who answers the daemon. Call it in an init function.
func Export(processor Processor) { exported = processor }

var exported Processor
