// Package connectionevents is for plugins that watch the connection to the cloud. Importing it exports the interface.
package connectionevents

// Connection is how it is.
type Connection struct {
	Connected bool
	// Reason is why it is not connected, in words; empty when it is.
	Reason string
}

// Watcher watches the connection.
type Watcher interface {
	// ConnectionChanged is called at every change, and once after the plugin was started.
	ConnectionChanged(connection Connection)
}

// Export says who is told. Call it in an init function.
func Export(watcher Watcher) { exported = watcher }

var exported Watcher
