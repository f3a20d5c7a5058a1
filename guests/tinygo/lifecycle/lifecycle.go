// Package lifecycle is for plugins with something to set up, to put away or to hand over. Importing it exports the
// interface.
package lifecycle

// Starter is what every plugin that imports this package has. It may be a [Stopper], a [Saver] and a [Restorer] too;
// say so for the compiler to check it:
//
//	var _ lifecycle.Stopper = (*plugin)(nil)
type Starter interface {
	// Start is called once, before anything else. An error keeps the plugin from running; it is tried again later, at
	// growing intervals.
	Start() error
}

// Stopper has something to put away.
type Stopper interface {
	// Stop is called once before the instance goes: at the daemon's stop, at a change of the file and at its removal.
	// There is a deadline. A plugin that crashed or overran its deadline is not called again.
	Stop()
}

// Saver has something to hand over.
type Saver interface {
	// SaveState is called on the old version when the file has changed, before Stop: what the new one shall know, at
	// most 1 MiB. No bytes are nothing. An error is logged, and the new version starts with nothing.
	SaveState() ([]byte, error)
}

// Restorer takes over.
type Restorer interface {
	// RestoreState is called on the new version after its Start, when the old one saved something. An error means that
	// this version cannot go on from there: the daemon keeps the old one running and says so.
	RestoreState(saved []byte) error
}

// Export says whom the daemon calls. Call it in an init function.
func Export(starter Starter) { exported = starter }

var exported Starter
