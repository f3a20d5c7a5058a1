// Package twinevents is for plugins that follow the twin's desired properties. Importing it exports the interface.
// Package edgeplug/twin reads and reports.
package twinevents

// Change is a change of the desired properties.
type Change struct {
	// Version grows with every change.
	Version uint64
	// Complete is whether Desired is all of it; otherwise it is only what changed, a member that was removed as `null`.
	Complete bool
	// Desired is a JSON object, at most 32 KiB.
	Desired string
}

// Follower follows the twin.
type Follower interface {
	// DesiredChanged is called after every change, in the order of versions, and once with all of it after a connection
	// was made. An error is logged and counted.
	DesiredChanged(change Change) error
}

// Export says who is told. Call it in an init function.
func Export(follower Follower) { exported = follower }

var exported Follower
