// Package acks ends what was answered with edgeplug.Deferred.
package acks

import (
	"errors"

	"edgeplug"
)

var (
	// ErrUnknown: nothing under way has this id, or it has its end already.
	ErrUnknown = errors.New("nothing under way has this id")
	// ErrNotYours: it belongs to another plugin.
	ErrNotYours = errors.New("this id belongs to another plugin")
	// ErrUnavailable: the end could not be written down; try again.
	ErrUnavailable = errors.New("the end could not be written down")
)

// Finish tells the end of a command or an update. The cloud is told once. When there is no error, the end is on disk.
func Finish(id string, ending edgeplug.Ending) error { return finish(id, ending) }

// Progress tells how far it is, 0 to 100 percent, with a few words. It never fails and never waits.
func Progress(id string, percent uint8, message string) { progress(id, percent, message) }
