// Package commands is for plugins that act. Importing it exports the interface.
package commands

import (
	"strings"

	"edgeplug"
)

// Command is a command from the cloud.
type Command struct {
	// ID names this command for acks.Finish. It is the same when it is handled again after a crash of the daemon.
	ID string
	// Text is the whole text as it was sent, for instance `set-led-green off`.
	Text string
	// Device is the unique id of the child device it is meant for, empty for the device itself.
	Device string
}

// Name is the first word.
func (c Command) Name() string {
	name, _ := c.split()
	return name
}

// Arguments is everything after the first word, trimmed.
func (c Command) Arguments() string {
	_, arguments := c.split()
	return arguments
}

func (c Command) split() (name, arguments string) {
	text := strings.TrimSpace(c.Text)
	if end := strings.IndexAny(text, " \t\r\n"); end >= 0 {
		return text[:end], strings.TrimSpace(text[end:])
	}
	return text, ""
}

// Handler acts.
type Handler interface {
	// Handle is called for every command, once each. What is wrong with the command is an [edgeplug.Failed]; what is
	// wrong with the plugin is an error, which the cloud is told as a failure too, and which counts as a fault of the
	// plugin.
	Handle(command Command) (edgeplug.Reply, error)
}

// Export says who answers the daemon. Call it in an init function.
func Export(handler Handler) { exported = handler }

var exported Handler
